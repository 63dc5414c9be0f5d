#ifndef WORKER_SOURCE_KAFKA_TOPICS_H
#define WORKER_SOURCE_KAFKA_TOPICS_H

#include "common/err.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/* Which topics a cluster has, for `sluice check --connect`.  Joins no group. */
struct kafka_topics;

/* NULL: the brokers can't be reached, or refuse us. */
struct kafka_topics *kafka_topics_ask(const struct config *config, struct err *err);
/* Partitions of the topic, or of all that the pattern fits; 0: there is none; -1: it can't be read. */
int kafka_topics_count(const struct kafka_topics *topics, const char *name, struct err *err);
/* Where our group is in a partition of the topic, or of those that the pattern fits. */
struct kafka_place {
	const char *topic;
	int partition;
	int64_t committed;  /* -1: it has no offset */
	int64_t first, end; /* of the log */
};
typedef void kafka_place_seen(void *arg, const struct kafka_place *place);
int kafka_topics_places(const struct kafka_topics *topics, const char *name, kafka_place_seen *seen,
    void *arg, struct err *err);
/* May our group be used?  -1: no, as its coordinator says. */
int kafka_topics_ask_group(const struct kafka_topics *topics, struct err *err);
/* How many copies the broker keeps of the topic's first partition; 0: not known. */
int kafka_topics_replicas(const struct kafka_topics *topics, const char *name);
/* A property of the topic, such as cleanup.policy; false: it can't be read. */
bool kafka_topics_property(const struct kafka_topics *topics, const char *topic, const char *name,
    char *out, size_t size);
void kafka_topics_forget(struct kafka_topics **topics);

#endif
