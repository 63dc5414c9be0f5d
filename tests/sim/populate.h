#ifndef TESTS_SIM_POPULATE_H
#define TESTS_SIM_POPULATE_H

#include "worker/owed.h"
#include "worker/position.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Mode populate in the simulation: `profile` has it in a quarter of the seeds, its entries in the fake cache
 * obey the rules of sluice_populate and sluice_invalidate, and the fake MySQL reads rows back.  Nobody
 * else fills the entries, none is evicted.  What must hold: a value is the row as it was after some
 * commit, never one of a transaction that isn't committed; once `done` covers a commit no value is of
 * an older one; at rest each value is its row's.
 */
struct batch;
struct touched;

/* One key of a batch, as the worker tells it. */
struct populate_told {
	unsigned row;
	struct told told;
	bool has_now;
	uint64_t version;
	char now[512]; /* a struct row */
	int64_t read_us;
};
enum { POPULATE_TOLD_MAX = 64 };

void populate_set_up(void);
/* In the session's transaction, behind its last write. */
void populate_read_back(int session, struct batch *batch);
/* The row was committed as it is; by a dead letter that is applied: replays. */
void populate_commit(unsigned row, bool replays);

/* What the worker sends for the row, and that it arrives. */
void populate_tell(struct populate_told *told, const struct batch *batch,
    const struct touched *touched);
void populate_arrives(const struct populate_told *told);
/* The cache was emptied. */
void populate_flushed(void);

void populate_check_done(unsigned lane, struct position done);
void populate_check_rest(void);

#endif
