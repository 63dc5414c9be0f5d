#ifndef WORKER_OPERATE_LANE_GROUP_H
#define WORKER_OPERATE_LANE_GROUP_H

#include "config/config.h"

#include <stdbool.h>

/*
 * The part of `sluice lane` that is about lanes that only invalidate: what their consumer groups say,
 * and orders, which every process that reads them obeys within a second.  Each returns an exit code,
 * said on stderr.
 */
int lane_group_list(const struct config *config);

/* The name of the lane that only invalidates and is called so (pool/source/stream, or the stream alone);
 * false: there is none. */
bool lane_group_find(const struct config *config, const char *name, char lane[256]);
int lane_group_order(const struct config *config, const char *lane, const char *order);

#endif
