#ifndef WORKER_OPERATE_EXPLAIN_LANES_H
#define WORKER_OPERATE_EXPLAIN_LANES_H

#include "common/buf.h"
#include "common/redis.h"
#include "worker/operate/row_traces.h"

/*
 * The lanes that may bring changes of a row, for people: how far each is written and invalidated, what
 * stands still, and which of its entries that aren't done with name the row.  A lane that has nothing to
 * say is only counted.  Bounded: TRACE_ENTRIES_MAX entries a lane and LANES_ENTRIES_MAX in all; what
 * was left out is said.  Topics aren't looked into.
 */
enum { LANES_ENTRIES_MAX = 10000, LANES_PENDING_SHOWN = 20 };

struct explain_lanes {
	const struct config *config;
	struct row_access *row; /* open, with the row */
	struct redis *redis;	/* of the streams; may be closed */
	struct buf *out;
	/* its own */
	struct position position; /* of the lane that is looked at */
	bool writes;
	uint64_t entries, found, left_out;
	size_t quiet;
};

/* -1: MySQL is away. */
int explain_lanes(struct explain_lanes *l, const char *table, struct err *err);

#endif
