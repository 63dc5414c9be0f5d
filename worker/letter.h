#ifndef WORKER_LETTER_H
#define WORKER_LETTER_H

#include "common/arena.h"
#include "worker/change.h"
#include "worker/parked.h"
#include "worker/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Dead letters that the owner of their lane has in hand (worker/tend_replay.c).
 *
 * Replay only marks a letter.  The owner goes through the open letters of the lane in the order they
 * were written: a marked one is applied when nothing is parked before it in any of its keys, and so
 * is one that only followed another.  Each is closed by the transaction that applies it.
 */
enum letter_state {
	LETTER_IS_PARKED,
	LETTER_IS_REPLAY,
	LETTER_IS_FORCE,
	LETTER_IS_DROP,
	LETTER_IS_APPLIED, /* written, its cache keys not yet known to be gone */
	LETTER_STATES
};

enum letter_action {
	LETTER_STAYS, /* not its turn: nothing of it changes */
	LETTER_APPLY,
	LETTER_DENY,	   /* not applied, and not tried: `denied` says why */
	LETTER_INVALIDATE, /* only its cache keys, once more */
	LETTER_DROP_IT
};

struct letter {
	uint64_t id;
	struct position place; /* of its entry */
	enum letter_state state;
	bool forked;	       /* nobody knows whether it was applied before (reason `fork`) */
	bool follows;	       /* nothing wrong with it: it was behind another */
	struct park_key *keys; /* what it parks; none: nothing waits for it */
	unsigned key_count;
	uint64_t chunks, bytes; /* of its payload, about */
	enum letter_action action;
	bool refused; /* LETTER_APPLY: again; entry.refusal says why */
	const char *denied;
	struct entry entry; /* with what is applied or invalidated */
	struct letter *next;
};

/* One step's letters, in the order they were written. */
struct letter_list {
	struct arena arena; /* of all of it */
	struct letter *first, *last;
	unsigned count;
	bool outbox; /* sluice_outbox holds keys of them */
};

/* All the same table and reason, open. */
struct letter_count {
	char table[64 * 4 + 1], reason[33];
	uint64_t count;
};
enum { LETTER_COUNTS_MAX = 200, LETTERS_COUNTED_MAX = 10000, LETTERS_STEP = 500 };

#endif
