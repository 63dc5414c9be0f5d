#include "worker/cache/hot_keys.h"

#include "common/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights grow with time instead of counts shrinking; before they grow too large all are scaled. */
enum { HALVES_MAX = 64 };

void
hot_keys_init(struct hot_keys *h, size_t counters, int64_t half_life_ms)
{
	CHECK(counters > 0 && counters < UINT32_MAX / 4 && half_life_ms > 0);
	*h = (struct hot_keys){ .max = counters, .half_life_ms = half_life_ms };
	for (h->slot_count = 8; h->slot_count < 2 * counters; h->slot_count *= 2)
		;
	h->keys = calloc(counters, sizeof(*h->keys));
	h->heap = calloc(counters, sizeof(*h->heap));
	h->slots = calloc(h->slot_count, sizeof(*h->slots));
	CHECK(h->keys != NULL && h->heap != NULL && h->slots != NULL);
}

void
hot_keys_deinit(struct hot_keys *h)
{
	free(h->keys);
	free(h->heap);
	free(h->slots);
	*h = (struct hot_keys){ 0 };
}

size_t
hot_keys_bytes(const struct hot_keys *h)
{
	return h->max * (sizeof(*h->keys) + sizeof(*h->heap)) + h->slot_count * sizeof(*h->slots);
}

void
hot_keys_clear(struct hot_keys *h)
{
	memset(h->slots, 0, h->slot_count * sizeof(*h->slots));
	h->used = 0;
	h->total = h->floor = 0;
}

/* FNV-1a, its bits then mixed as splitmix64 does. */
uint64_t
hot_key_hash(struct str key)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001b3u;
	hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
	hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
	return hash ^ (hash >> 31);
}

/* ---- the index ---- */

/* Where the key is, or where it would go. */
static size_t
slot_of(const struct hot_keys *h, struct str key, uint64_t hash)
{
	size_t at = hash & (h->slot_count - 1);

	for (; h->slots[at] != 0; at = (at + 1) & (h->slot_count - 1)) {
		const struct hot_key *k = &h->keys[h->slots[at] - 1];

		if (k->hash == hash && str_equal(hot_key_text(k), key))
			break;
	}
	return at;
}

/* Close the gap: whoever was pushed beyond it by a collision moves up. */
static void
slot_remove(struct hot_keys *h, size_t gap)
{
	size_t mask = h->slot_count - 1;

	for (size_t at = (gap + 1) & mask; h->slots[at] != 0; at = (at + 1) & mask) {
		size_t home = h->keys[h->slots[at] - 1].hash & mask;

		if (((at - home) & mask) < ((at - gap) & mask))
			continue;
		h->slots[gap] = h->slots[at];
		gap = at;
	}
	h->slots[gap] = 0;
}

/* ---- the heap ---- */

static double
count_at(const struct hot_keys *h, size_t place)
{
	return h->keys[h->heap[place]].count;
}

static void
heap_swap(struct hot_keys *h, size_t a, size_t b)
{
	uint32_t key = h->heap[a];

	h->heap[a] = h->heap[b];
	h->heap[b] = key;
	h->keys[h->heap[a]].heap = (uint32_t)a;
	h->keys[h->heap[b]].heap = (uint32_t)b;
}

/* Its count has grown. */
static void
heap_down(struct hot_keys *h, size_t place)
{
	for (;;) {
		size_t child = 2 * place + 1;

		if (child >= h->used)
			return;
		if (child + 1 < h->used && count_at(h, child + 1) < count_at(h, child))
			child++;
		if (count_at(h, place) <= count_at(h, child))
			return;
		heap_swap(h, place, child);
		place = child;
	}
}

static void
heap_up(struct hot_keys *h, size_t place)
{
	for (; place > 0 && count_at(h, place) < count_at(h, (place - 1) / 2);
	    place = (place - 1) / 2)
		heap_swap(h, place, (place - 1) / 2);
}

/* ---- counting ---- */

static double
scale_at(const struct hot_keys *h, int64_t now_ms)
{
	return exp2((double)(now_ms - h->epoch_ms) / (double)h->half_life_ms);
}

static void
rescale(struct hot_keys *h, int64_t now_ms)
{
	double scale = scale_at(h, now_ms);

	for (size_t i = 0; i < h->used; i++) {
		h->keys[i].count /= scale;
		h->keys[i].error /= scale;
	}
	h->total /= scale;
	h->floor /= scale;
	h->epoch_ms = now_ms;
}

/* The counter of a new key: a free one, or that of the key with the lowest count, which it inherits
 * as its error; of one that was forgotten, what it may have had when it lost its own. */
static struct hot_key *
take_counter(struct hot_keys *h, struct str key, uint64_t hash)
{
	double inherited = 0;
	struct hot_key *k;

	CHECK(h->keys != NULL && h->heap != NULL);
	if (h->used < h->max) {
		k = &h->keys[h->used];
		k->heap = (uint32_t)h->used;
		h->heap[h->used] = (uint32_t)h->used;
		h->used++;
	} else {
		k = &h->keys[h->heap[0]];
		if (k->count > h->floor)
			h->floor = k->count;
		inherited = h->floor;
		slot_remove(h, slot_of(h, hot_key_text(k), k->hash));
	}
	k->state = (struct hot_state){ 0 };
	k->hash = hash;
	k->count = k->error = inherited;
	k->read_ms = 0;
	k->len = (uint16_t)key.len;
	memcpy(k->text, key.data, key.len);
	h->slots[slot_of(h, key, hash)] = (uint32_t)(k - h->keys) + 1;
	heap_up(h, k->heap);
	return k;
}

struct hot_key *
hot_keys_find(struct hot_keys *h, struct str key)
{
	uint32_t at = h->slots[slot_of(h, key, hot_key_hash(key))];

	return at == 0 ? NULL : &h->keys[at - 1];
}

struct hot_key *
hot_keys_add(struct hot_keys *h, struct str key, double weight, int64_t now_ms)
{
	struct hot_key *k;

	if (key.len > HOT_KEY_BYTES) {
		h->too_long++;
		return NULL;
	}
	if (h->total <= 0)
		h->epoch_ms = now_ms;
	if (now_ms - h->epoch_ms > HALVES_MAX * h->half_life_ms)
		rescale(h, now_ms);
	k = hot_keys_find(h, key);
	if (k == NULL)
		k = take_counter(h, key, hot_key_hash(key));
	k->read_ms = now_ms;
	k->weight = weight;
	weight *= scale_at(h, now_ms);
	k->count += weight;
	h->total += weight;
	heap_down(h, k->heap);
	return k;
}

double
hot_key_count(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms)
{
	return key->count / scale_at(h, now_ms);
}

double
hot_key_error(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms)
{
	return key->error / scale_at(h, now_ms);
}

double
hot_key_rate(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms)
{
	double sure = hot_key_count(h, key, now_ms) - hot_key_error(h, key, now_ms);

	return sure * M_LN2 * 1000 / (double)h->half_life_ms;
}

/* Its rate when it was last told of, not what is left of it. */
static bool
is_read_no_more(const struct hot_keys *h, const struct hot_key *k, int64_t now_ms)
{
	double quiet_ms = (double)(now_ms - k->read_ms);
	double rate = hot_key_rate(h, k, k->read_ms) / 1000;

	return k->count > 0 && quiet_ms >= (double)h->half_life_ms &&
	    rate * quiet_ms >= (double)HOT_KEY_MISSES * k->weight;
}

size_t
hot_keys_forget(struct hot_keys *h, int64_t now_ms)
{
	size_t forgotten = 0;

	for (size_t i = 0; i < h->used; i++) {
		struct hot_key *k = &h->keys[i];

		if (!is_read_no_more(h, k, now_ms))
			continue;
		k->count = k->error = 0;
		heap_up(h, k->heap);
		forgotten++;
	}
	return forgotten;
}

static int
compare_sure(const void *a, const void *b)
{
	const struct hot_key *const *x = a, *const *y = b;
	double first = (*x)->count - (*x)->error, second = (*y)->count - (*y)->error;

	return first < second ? 1 : first > second ? -1 : 0;
}

size_t
hot_keys_top(struct hot_keys *h, struct hot_key **out, size_t max)
{
	struct hot_key **all = calloc(h->used > 0 ? h->used : 1, sizeof(struct hot_key *));
	size_t count = 0;

	CHECK(all != NULL);
	for (size_t i = 0; i < h->used; i++)
		if (h->keys[i].count > 0)
			all[count++] = &h->keys[i];
	qsort(all, count, sizeof(struct hot_key *), compare_sure);
	if (count > max)
		count = max;
	memcpy(out, all, count * sizeof(struct hot_key *));
	free(all);
	return count;
}
