#ifndef WORKER_OPERATE_LANE_GROUP_H
#define WORKER_OPERATE_LANE_GROUP_H

#include "config/config.h"

#include <stdbool.h>

/*
 * The part of `sluice lane` that is about lanes that only invalidate: what their consumer groups say (of
 * topics in lane_topic.c), and orders, which whoever reads the lane obeys within a second.  Each returns
 * an exit code, said on stderr.
 */
int lane_group_list(const struct config *config);

/* The name of the lane that only invalidates and is called so (pool/source/stream, or the stream alone;
 * pool/source/topic/partition, or topic/partition); false: there is none. */
bool lane_group_find(const struct config *config, const char *name, char lane[256]);
/* The order is a text of worker/store/order.h. */
int lane_group_order(const struct config *config, const char *lane, const char *order);

/* Places of the topics' lanes. */
int lane_topic_list(const struct config *config);
/* Has the lane's topic that partition? */
int lane_topic_check(const struct config *config, const char *topic, int partition);

#endif
