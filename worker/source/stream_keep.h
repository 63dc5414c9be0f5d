#ifndef WORKER_SOURCE_STREAM_KEEP_H
#define WORKER_SOURCE_STREAM_KEEP_H

#include "worker/position.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What of a stream is kept behind `done`, and for how long.  MySQL may lose its last commits at a
 * failover; the ledger then goes back to where it was some time before, and what follows that place
 * must still be in the stream.  So time counts from when `done` passed an entry, not from when the
 * entry was added: a backlog is old when it is written.
 *
 * The entry at the place up to which is trimmed stays, as a witness.  Nobody else's memory is used: a
 * new owner trims nothing before `keep` has gone by.  No I/O here.
 */
enum { KEEP_STEPS = 32, KEEP_MARKS = KEEP_STEPS + 4 };

struct stream_keep {
	struct {
		int64_t at_ms;
		struct position done;
	} mark[KEEP_MARKS]; /* oldest first */
	unsigned count;
	uint64_t epoch; /* the lane's, as its owner of whom they are */
};

/*
 * `done` is here now.  Where was it keep_ms ago?  False: not known, trim nothing.  What was before this
 * epoch of the lane doesn't count: another owner may have made dead letters of what stands there.
 */
bool stream_keep_place(struct stream_keep *kept, uint64_t epoch, int64_t now_ms, int keep_ms,
    struct position done, struct position *place);
/* The ledger went back: what was known of `done` is no longer so. */
void stream_keep_forget(struct stream_keep *kept);

/*
 * A stream of `length` entries that takes `bytes` may take bytes_max: how many, the oldest, are too
 * many?  0: none.  Redis removes whole nodes (by default 100 entries or 4 KiB, whichever is less) and
 * no more than the count says, so one node is added.
 */
uint64_t stream_keep_excess(uint64_t length, uint64_t bytes, uint64_t bytes_max);

struct stream_held {
	struct position first;
	uint64_t length, bytes;
};

/*
 * What goes at one look: the oldest `excess`, none beyond the bound, then all before `place`.  Time says
 * nothing about how many entries there are (a thousand may be of one millisecond), so what is too much
 * goes by count.  Both at once: where something grows old at every look, what is too much would stay.
 */
struct stream_trim {
	uint64_t excess; /* 0: nothing is too much, or it goes by age */
	bool aged;
	struct position place;
};

/* bytes_max 0: no limit.  Nothing beyond the bound goes; aged: all before it is old enough, may be NULL. */
struct stream_trim stream_keep_trim(const struct stream_held *held, uint64_t bytes_max,
    struct position bound, const struct position *aged);

#endif
