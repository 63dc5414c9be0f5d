#ifndef WORKER_SOURCE_KAFKA_RECORD_H
#define WORKER_SOURCE_KAFKA_RECORD_H

#include "common/err.h"
#include "common/str.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Records of a topic that is ours, such as dead letters: written one by one and waited for, and read
 * from the first to the last there is.  Nothing here joins a group, and no topic is made.
 */
enum {
	KAFKA_RECORD_MAX = 1000000
}; /* bytes, with key and headers: what a broker takes by default */

struct kafka_header {
	const char *name;
	struct str value;
};
struct kafka_record {
	struct str key, value; /* value without data: a tombstone, the key is gone */
	const struct kafka_header *headers;
	size_t header_count;
	int partition;
	int64_t offset, at_ms; /* of one that was read */
};

/* ---- writing: of one thread ---- */

/* Nothing is connected before the first record.  once: the idempotent producer, which takes a second to
 * start; without it a record may be there twice after an error. */
struct kafka_writer *kafka_writer_new(const struct config *config, const char *topic, bool once);
/* The partition for a key, always the same as long as the topic has as many of them; -1: it can't be
 * told, or there is no such topic. */
int kafka_writer_partition(struct kafka_writer *w, struct str key, struct err *err);
/* Take a record, which is copied.  -1: it, or one before it, was refused. */
int kafka_writer_put(struct kafka_writer *w, const struct kafka_record *record, struct err *err);
/* 0: all that was put since the last call is acknowledged by all replicas in sync; -1: some may not be,
 * and they won't be later.  Waits kafka.timeout and a second. */
int kafka_writer_flush(struct kafka_writer *w, struct err *err);
void kafka_writer_free(struct kafka_writer **writer);

/* ---- reading: of one thread ---- */

/* NULL: it can't be reached, or there is no such topic. */
struct kafka_reader *kafka_reader_new(const struct config *config, const char *topic,
    struct err *err);
int kafka_reader_partitions(const struct kafka_reader *r);
/* How many offsets its log holds now; -1: it doesn't answer. */
int64_t kafka_reader_count(struct kafka_reader *r, struct err *err);
/* Begin at that offset of the partition (-1: the first there is), up to where it ends now. */
int kafka_reader_start(struct kafka_reader *r, int partition, int64_t offset, struct err *err);
/* The next record: 1, valid until the next call; 0 the end, -1 an error. */
int kafka_reader_next(struct kafka_reader *r, struct kafka_record *record, struct err *err);
void kafka_reader_free(struct kafka_reader **reader);

#endif
