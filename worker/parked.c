#include "worker/parked.h"

#include "common/err.h"
#include "worker/lane.h"
#include "worker/store/schema.h"

#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

typedef unsigned __int128 hash128; /* as in common/number.h: C has no other spelling */

static hash128
add_bytes(hash128 hash, const void *data, size_t len)
{
	const hash128 prime = ((hash128)1 << 88) + 0x13b;
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * prime;
	return hash;
}

static struct park_key
key_of(char kind, hash128 hash)
{
	struct park_key key;

	key.bytes[0] = (unsigned char)kind;
	for (size_t i = 1; i < sizeof(key.bytes); i++) {
		key.bytes[i] = (unsigned char)(hash & 255);
		hash >>= 8;
	}
	return key;
}

/* Can a change of this table come whose bucket doesn't hold all that may be its row? */
static bool
may_be_unsure(const struct table *table)
{
	if (table->key_unsure)
		return true;
	for (unsigned i = 0; i < table->key_count; i++) {
		const struct column *column = &table->columns[table->key[i]];

		if ((column->kind == COLUMN_TEXT && !column->exact_collation) ||
		    column->kind == COLUMN_OTHER)
			return true;
	}
	return false;
}

/* Can an event come by this lane that is about a whole table? */
static bool
may_be_truncated(const struct lane *lane)
{
	return lane->source != NULL && config_has_events(lane->source);
}

unsigned
park_keys(const struct change *change, struct park_key keys[PARK_KEYS])
{
	const hash128 basis = ((hash128)0x6c62272e07bb0142 << 64) | 0x62b821756295c58d;
	const char *lane = change->entry->lane->name;
	const struct table *table = change->table;
	hash128 of_table, of_row;
	struct str bucket = change->bucket;

	if (change->op == CHANGE_INVALIDATE || table == NULL || table->problem != NULL ||
	    (bucket.data == NULL && !change->whole_table))
		return 0;
	of_table = add_bytes(basis, lane, strlen(lane) + 1);
	of_table = add_bytes(of_table, table->name, strlen(table->name) + 1);
	if (change->unsure || change->whole_table) {
		keys[0] = key_of('t', of_table);
		keys[1] = key_of('a', of_table);
		return 2;
	}
	/* the bucket begins with the table's place in the schema, which another release may change */
	CHECK(bucket.len >= sizeof(uint32_t));
	of_row = add_bytes(of_table, bucket.data + sizeof(uint32_t), bucket.len - sizeof(uint32_t));
	keys[0] = key_of('k', of_row);
	keys[1] = key_of('a', of_table);
	return may_be_unsure(table) || may_be_truncated(change->entry->lane) ? 2 : 1;
}

/* ---- sets ---- */

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct park_key));
}

void
parked_deinit(struct parked *p)
{
	free(p->keys);
	memset(p, 0, sizeof(*p));
}

void
parked_clear(struct parked *p)
{
	p->generation += p->count > 0;
	p->count = 0;
}

/* Where the key is, or would be. */
static size_t
place_of(const struct parked *p, const struct park_key *key)
{
	size_t low = 0, high = p->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&p->keys[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool
parked_has(const struct parked *p, const struct park_key *key)
{
	size_t at = place_of(p, key);

	return at < p->count && compare(&p->keys[at], key) == 0;
}

static void
make_room(struct parked *p, size_t count)
{
	if (count <= p->room)
		return;
	p->room = count + count / 2 + 16;
	p->keys = reallocarray(p->keys, p->room, sizeof(*p->keys));
	CHECK(p->keys != NULL);
}

bool
parked_add(struct parked *p, const struct park_key *key)
{
	size_t at = place_of(p, key);

	if (at < p->count && compare(&p->keys[at], key) == 0)
		return false;
	make_room(p, p->count + 1);
	memmove(&p->keys[at + 1], &p->keys[at], (p->count - at) * sizeof(*key));
	p->keys[at] = *key;
	p->count++;
	p->generation++;
	return true;
}

void
parked_replace(struct parked *p, const struct park_key *keys, size_t count)
{
	make_room(p, count);
	if (count > 0)
		memcpy(p->keys, keys, count * sizeof(*keys));
	if (count > 1)
		qsort(p->keys, count, sizeof(*p->keys), compare);
	p->count = count;
	p->generation++;
}

bool
parked_blocks(const struct parked *p, const struct park_key *key)
{
	struct park_key other = *key;

	if (p->count == 0)
		return false;
	switch (key->bytes[0]) {
	case 'a':
		other.bytes[0] = 't';
		return parked_has(p, &other);
	case 't':
		other.bytes[0] = 'a';
		return parked_has(p, key) || parked_has(p, &other);
	default:
		return parked_has(p, key);
	}
}

bool
parked_blocks_entry(const struct parked *p, const struct entry *entry)
{
	struct park_key keys[PARK_KEYS];

	for (size_t i = 0; i < entry->change_count && p->count > 0; i++) {
		unsigned count = park_keys(&entry->changes[i], keys);

		for (unsigned j = 0; j < count; j++) {
			if (parked_blocks(p, &keys[j]))
				return true;
		}
	}
	return false;
}

void
parked_add_entry(struct parked *p, const struct entry *entry)
{
	struct park_key keys[PARK_KEYS];

	for (size_t i = 0; i < entry->change_count; i++) {
		unsigned count = park_keys(&entry->changes[i], keys);

		for (unsigned j = 0; j < count; j++)
			parked_add(p, &keys[j]);
	}
}
