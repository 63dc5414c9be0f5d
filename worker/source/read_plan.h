#ifndef WORKER_SOURCE_READ_PLAN_H
#define WORKER_SOURCE_READ_PLAN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Which lanes a request reads and how many entries of each, so that the reply stays small.
 *
 * XREAD's COUNT is per stream, so a reply holds up to lanes * COUNT entries.  COUNT starts small,
 * doubles while replies are full, and is bounded by rows and by the largest entries lately seen.
 * Where one entry of each lane would already be too much, the lanes take turns.
 */
enum {
	READ_COUNT_MIN = 16,
	READ_COUNT_MAX = 65536,
	READ_BYTES_MIN = 16384,
	READ_ENTRY_BYTES = 64,
	READ_ENTRY_UNKNOWN = 65536 /* assumed of a lane that was never read */
};

struct read_lane {
	size_t entry_bytes; /* largest recent entry */
	bool alone;	    /* must be read alone, one entry */
};

struct read_limits {
	unsigned max_rows;
	size_t max_bytes;
	size_t turn;	/* which lane is the first (modulo their number) */
	unsigned count; /* from read_count_next */
	size_t busy;	/* lanes that had something in the last reply */
};

/* Lanes first … first+width-1 (modulo their number), COUNT count. */
struct read_plan {
	size_t first, width;
	unsigned count;
	bool block; /* may wait at the server: no lane was left out */
};

/* count > 0 lanes. */
struct read_plan read_plan(const struct read_lane *lanes, size_t count,
    const struct read_limits *limits);

/* COUNT for the next request when the busiest lane had `most` entries in the last reply. */
unsigned read_count_next(size_t most);

/* A lane's entry_bytes after a reply that had entries of at most `largest` bytes (0: none). */
size_t read_entry_bytes(size_t before, size_t largest);

#endif
