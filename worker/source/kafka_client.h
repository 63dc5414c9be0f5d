#ifndef WORKER_SOURCE_KAFKA_CLIENT_H
#define WORKER_SOURCE_KAFKA_CLIENT_H

#include "common/err.h"
#include "config/config.h"

#include "worker/source/kafka_record.h"

#include <librdkafka/rdkafka.h>

/* The properties of a worker's consumer.  NULL: the settings are refused; err says which. */
rd_kafka_conf_t *kafka_conf(const struct config *config, int worker, struct err *err);
/* The same for a producer that waits for each record: acks=all, and idempotent where once is set. */
rd_kafka_conf_t *kafka_writer_conf(const struct config *config, bool once, struct err *err);

#endif
