#ifndef WORKER_SOURCE_GROUP_LOG_H
#define WORKER_SOURCE_GROUP_LOG_H

#include "worker/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The entries of a stream that our consumer holds and has not acknowledged, in the order in which it
 * got them: new ones, those of an earlier connection, those taken over from others.  So a consumer
 * group, which knows no order, looks to the worker like any lane: an entry's place is its ordinal, and
 * what was dropped behind the lane's cursor is read again by its id.
 *
 * An item leaves the log in front, once all up to it is answered.  No I/O here.
 */
struct group_item {
	struct position id; /* in the stream */
	bool left_out;	    /* it can't be delivered: too large, or */
	bool gone;	    /* no more in the stream */
};

struct group_log {
	struct group_item *items;
	size_t first, count, room; /* items[first … first+count-1] */
	uint64_t taken;		   /* ordinals up to this one have left */
};

void group_log_deinit(struct group_log *log);

/* The entry's place in the lane. */
struct position group_log_add(struct group_log *log, struct position id);
/* The same for those of these ids that the log doesn't hold yet; returns how many. */
size_t group_log_add_unknown(struct group_log *log, const struct position *ids, size_t count);

/* The first that is behind `after` and can be delivered, with its place; NULL: none. */
struct group_item *group_log_next(struct group_log *log, struct position after,
    struct position *place);
/* The item at this place, or NULL. */
struct group_item *group_log_at(struct group_log *log, struct position place);

/* Take out the first item, if its place is at or below `answered` or it is gone; NULL: neither.  Valid until the
 * next call of any of these. */
const struct group_item *group_log_take(struct group_log *log, struct position answered);

#endif
