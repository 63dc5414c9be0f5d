#ifndef WORKER_OPERATE_CHECK_KAFKA_H
#define WORKER_OPERATE_CHECK_KAFKA_H

#include "worker/operate/check.h"

/* Does librdkafka take all of kafka.settings?  What it refuses goes to stderr with its place. */
bool check_kafka_settings(const struct config *config);

/* Log in, and look for the topics. */
void check_kafka(struct check *c);

#endif
