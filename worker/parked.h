#ifndef WORKER_PARKED_H
#define WORKER_PARKED_H

#include "worker/change.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Parked keys: what waits behind a dead letter (`on_poison: park`).  A later entry of the same lane
 * that may touch the same row follows the letter into the dead letters.
 *
 * A key is 16 bytes: what it says and a hash (FNV-1a) of the lane's name, the table's and, for a
 * row, the change's bucket.  The rows of sluice_parked hold them, so they never change.
 *	k	this row
 *	t	any row of the table: the server may take the change's key for one we can't name, or
 *		an event said that the table was truncated or dropped
 *	a	some row of the table is parked; with each k and t where such changes can come
 * A k waits for itself, an a for the table's t, a t for both.
 */
struct park_key {
	unsigned char bytes[16];
};
enum { PARK_KEYS = 2 /* of one change, at most */ };

/* The keys that a change parks when its entry is a letter; 0 where its key isn't known, or it only
 * invalidates. */
unsigned park_keys(const struct change *change, struct park_key keys[PARK_KEYS]);

/* A set of them.  Thread: its owner's.  All zero is an empty one. */
struct parked {
	struct park_key *keys; /* ascending */
	size_t count, room;
	unsigned generation; /* another one whenever the set has changed */
};

void parked_deinit(struct parked *p);
void parked_clear(struct parked *p);
bool parked_has(const struct parked *p, const struct park_key *key);
/* False: it was there. */
bool parked_add(struct parked *p, const struct park_key *key);
/* Take these instead, in any order. */
void parked_replace(struct parked *p, const struct park_key *keys, size_t count);

/* Must a change with this key wait? */
bool parked_blocks(const struct parked *p, const struct park_key *key);
/* Must this entry?  Looks at the changes whose key is known. */
bool parked_blocks_entry(const struct parked *p, const struct entry *entry);
/* Park all keys of this entry. */
void parked_add_entry(struct parked *p, const struct entry *entry);

#endif
