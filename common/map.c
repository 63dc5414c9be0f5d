#include "common/map.h"

#include "common/err.h"
#include "common/random.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

struct map_slot {
	const void *key;
	size_t len;
	uint64_t hash; /* 0: the slot is free */
	void *value;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void
seed_draw(void)
{
	seed[0] = random_seed();
	seed[1] = random_seed();
}

static inline uint64_t
rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein 2012, with fewer rounds): a keyed hash for short strings.
 * Bytes are taken in the machine's order; the hash never leaves the process. */
uint64_t
map_hash(const void *key, size_t len)
{
	const unsigned char *at = key;
	uint64_t v[4], word, last = (uint64_t)len << 56;
	size_t left = len;

	pthread_once(&seed_once, seed_draw);
	v[0] = seed[0] ^ 0x736f6d6570736575u;
	v[1] = seed[1] ^ 0x646f72616e646f6du;
	v[2] = seed[0] ^ 0x6c7967656e657261u;
	v[3] = seed[1] ^ 0x7465646279746573u;
	for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)at[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void
map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void
map_deinit(struct map *m)
{
	free(m->slots);
	map_init(m);
}

void
map_reset(struct map *m, size_t keep_slots)
{
	if (m->capacity > keep_slots)
		map_deinit(m);
	if (m->used > 0)
		memset(m->slots, 0, m->capacity * sizeof(*m->slots));
	m->used = 0;
}

/* The key's slot, or the free one where it belongs.  There is always a free one. */
static struct map_slot *
map_find(const struct map *m, const void *key, size_t len, uint64_t hash)
{
	size_t mask = m->capacity - 1, i = hash & mask;

	for (;; i = (i + 1) & mask) {
		struct map_slot *slot = &m->slots[i];

		if (slot->hash == 0)
			return slot;
		if (slot->hash == hash && slot->len == len &&
		    (len == 0 || memcmp(slot->key, key, len) == 0))
			return slot;
	}
}

static void
map_grow(struct map *m)
{
	struct map old = *m;

	m->capacity = old.capacity == 0 ? CAPACITY_MIN : old.capacity * 2;
	m->slots = calloc(m->capacity, sizeof(*m->slots));
	CHECK(m->slots != NULL);
	for (size_t i = 0; i < old.capacity; i++) {
		const struct map_slot *slot = &old.slots[i];

		if (slot->hash != 0)
			*map_find(m, slot->key, slot->len, slot->hash) = *slot;
	}
	free(old.slots);
}

static uint64_t
slot_hash(const void *key, size_t len)
{
	uint64_t hash = map_hash(key, len);

	return hash != 0 ? hash : 1;
}

void **
map_at(struct map *m, const void *key, size_t len)
{
	uint64_t hash = slot_hash(key, len);
	struct map_slot *slot;

	if (m->used + 1 > m->capacity / 4 * 3)
		map_grow(m);
	slot = map_find(m, key, len, hash);
	if (slot->hash == 0) {
		*slot = (struct map_slot){ .key = key, .len = len, .hash = hash };
		m->used++;
	}
	return &slot->value;
}

void *
map_get(const struct map *m, const void *key, size_t len)
{
	if (m->used == 0)
		return NULL;
	return map_find(m, key, len, slot_hash(key, len))->value;
}
