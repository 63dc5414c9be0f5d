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

/*
 * What a broker answers comes from the heap: memory of its own is cleared by the system for each answer
 * and given back behind it, which costs more than to read the answer.  glibc allows 32 MiB.  The whole
 * process's; before there are threads that read.
 */
void kafka_bound_heap(const struct config *config);

#endif
