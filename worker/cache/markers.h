#ifndef WORKER_CACHE_MARKERS_H
#define WORKER_CACHE_MARKERS_H

#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * How many markers on absent keys may live at a time because of us (markers_max).  The cache doesn't say
 * whether a key was there, so each invalidation that may leave one counts as one, for the longest that any
 * template's marker_absent is: never fewer are counted than live.  What is beyond leaves none, as with
 * marker_absent: 0; keys that are there keep their markers.
 *
 * Only mode versioned asks: with populate a row that is written late must find its marker.
 * Thread: its worker's.
 */
enum { MARKER_BUCKETS = 32 };

struct markers {
	uint64_t max; /* 0: no limit */
	int64_t bucket_ms;
	uint64_t counts[MARKER_BUCKETS + 1]; /* by time, the last of them at `bucket` */
	int64_t bucket;
	uint64_t alive;
	bool full; /* the last one was left out */
};

void markers_init(struct markers *m, const struct config *config);
/* May one more be left?  It is counted then. */
bool markers_take(struct markers *m, int64_t now_ms);

#endif
