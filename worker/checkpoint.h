#ifndef WORKER_CHECKPOINT_H
#define WORKER_CHECKPOINT_H

#include "common/str.h"
#include "worker/position.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Checkpoints: what a lane remembers of entries that it has applied, to recognise their stream
 * again.  A server that was restarted from an older snapshot, or a replica that was promoted without
 * having received everything, holds another stream under the same name: an entry of which we have a
 * checkpoint is missing there, or has other contents.
 *
 * A few are enough: at most one a second is added, and they are thinned to doubling ages (a second, two,
 * four, …), so that the last one both sides have in common is at most four times as old as the fork.
 *
 * Beside them each batch leaves that of its last entry: under load both sides of a split brain have an
 * entry of the same place.
 *
 * As text, in the ledger: "HISTORY =ID:HASH ID:HASH ID:HASH …", the batch's first, then newest first.
 */
enum {
	CHECKPOINTS_MAX = 16,
	HISTORY_MAX = 40,
	CHECKPOINTS_TEXT = HISTORY_MAX + 2 + (CHECKPOINTS_MAX + 1) * 60
};

struct checkpoint {
	struct position id;
	uint64_t hash; /* of the entry's fields; 0: no entry of ours need stand here */
};

struct checkpoints {
	char history[HISTORY_MAX + 1]; /* the server's replication id; "": not known */
	unsigned count;
	bool changed; /* not yet in the ledger */
	struct checkpoint
	    last; /* of the last batch; without meaning where the ledger is elsewhere */
	struct checkpoint list[CHECKPOINTS_MAX]; /* newest first */
};

/* A hash that no entry has. */
#define CHECKPOINT_NO_ENTRY UINT64_C(1)

struct entry;
/* FNV-1a over names and values with their lengths; never 0 or 1. */
uint64_t checkpoint_hash(const struct entry *entry);

/* The lane stands at this entry now; one within a second of the one before takes its place.  Hash 0:
 * it was put there by order and need not be an entry.  Checkpoints at or behind id are dropped. */
void checkpoints_add(struct checkpoints *c, struct position id, uint64_t hash);
/* From now on the stream is read from a server with this replication id. */
void checkpoints_set_history(struct checkpoints *c, const char *history);
/* Must an entry of ours stand at the lane's position?  (Not where an order put the lane.) */
bool checkpoints_stand_on_entry(const struct checkpoints *c, struct position position);
/* Its hash; 0: not known. */
uint64_t checkpoints_hash_at(const struct checkpoints *c, struct position position);

const char *checkpoints_text(const struct checkpoints *c, char out[CHECKPOINTS_TEXT]);
/* Text that isn't ours gives none. */
void checkpoints_parse(struct str text, struct checkpoints *out);

#endif
