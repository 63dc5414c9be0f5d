#ifndef WORKER_OPERATE_ROW_TRACES_H
#define WORKER_OPERATE_ROW_TRACES_H

#include "common/redis.h"
#include "worker/lane.h"
#include "worker/operate/row_access.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a row is named by what isn't applied: open dead letters, entries that stand in a stream.  Each
 * look is bounded and says when the bound was hit.  Entries are decoded and their keys compared as the
 * worker does it; what can't be decoded names no row.  The row_access must be open and have a row.
 */
enum { TRACE_LETTERS_MAX = 500, TRACE_ENTRIES_MAX = 1000, TRACE_BYTES_MAX = 8 * 1024 * 1024 };

struct row_trace {
	char lane[LANE_NAME_MAX + 1], entry[POSITION_TEXT];
	struct position id;
	const char *operation; /* upsert, delete, … */
	bool has_version;
	uint64_t version;
	uint64_t letter; /* its id; 0: it is an entry of a stream */
	char reason[33], state[17];
};
typedef void row_trace_fn(void *arg, const struct row_trace *trace);

/* Open letters of lanes that write, the newest first. */
int row_traces_letters(struct row_access *a, row_trace_fn *found, void *arg, bool *bounded,
    struct err *err);

/* Entries of the lane's stream behind `after`, in order.  *looked counts them all. */
int row_traces_stream(struct row_access *a, struct redis *redis, struct lane *lane,
    struct position after, row_trace_fn *found, void *arg, uint64_t *looked, bool *bounded,
    struct err *err);

/* May a lane of this source bring changes of the table? */
bool row_traces_lists(const struct config_source *source, const char *table);

#endif
