#ifndef WORKER_OPERATE_BACKLOG_H
#define WORKER_OPERATE_BACKLOG_H

#include "common/err.h"
#include "common/redis.h"
#include "config/config.h"
#include "worker/lane.h"

#include <stddef.h>

/*
 * What waits in the streams, asked without the workers: while MySQL is away none of them owns a
 * lane or looks at one, and that is when people want to know.  Reads only the notice-board group's
 * lag (or the stream's length where that isn't known), never an entry, which may be megabytes.
 *
 * Fills lag, stream_length and oldest_pending_ms of the lanes (the time of the first look that
 * found something, where nobody knew an older one); 64 lanes a round trip.
 */
int backlog_look(struct redis *redis, const struct config *config, struct lane *lanes, size_t count,
    struct err *err);

/* The lag in a reply of XINFO GROUPS for the group of that name; false when it isn't known. */
bool backlog_group_lag(const struct redis_reply *groups, const char *group, uint64_t *lag);

#endif
