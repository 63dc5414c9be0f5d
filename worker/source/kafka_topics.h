#ifndef WORKER_SOURCE_KAFKA_TOPICS_H
#define WORKER_SOURCE_KAFKA_TOPICS_H

#include "common/err.h"
#include "config/config.h"

/* Which topics a cluster has, for `sluice check --connect`.  Joins no group. */
struct kafka_topics;

/* NULL: the brokers can't be reached, or refuse us. */
struct kafka_topics *kafka_topics_ask(const struct config *config, struct err *err);
/* Partitions of the topic, or of all that the pattern fits; 0: there is none; -1: it can't be read. */
int kafka_topics_count(const struct kafka_topics *topics, const char *name, struct err *err);
void kafka_topics_forget(struct kafka_topics **topics);

#endif
