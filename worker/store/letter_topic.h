#ifndef WORKER_STORE_LETTER_TOPIC_H
#define WORKER_STORE_LETTER_TOPIC_H

#include "worker/source/kafka_record.h"
#include "worker/store/letter_entry.h"

/*
 * Dead letters of lanes that don't write, as records of the topic that `dead_letters.topic` names.
 *
 * A letter's key is its lane, its entry and the time of that; so one that was written just before a
 * crash, and once more after it, is one letter.  Its headers are the fields of letter_entry.h, its value
 * is the payload.  A payload larger than a record is cut: header `chunks` says into how many parts, part
 * n > 0 is a record with the key and `#n` behind it.  Kafka can't delete a record: a letter is gone when
 * a record without a value follows with its key, in its partition, and a compacted topic loses both.  So
 * what is there is what is the last with its key.
 */

/*
 * The letters of the topic, for one command.  Keys are held in memory, about keys_max bytes of them at a
 * time, payloads not: a topic whose keys have room is read twice, of a larger one the rest once more for
 * each keys_max bytes of them.
 */
enum { LETTER_KEYS_MAX = 8 << 20 };
struct letter_topic_reader;
struct letter_topic_reader *letter_topic_reader_new(const struct config *config, size_t keys_max,
    struct err *err);
void letter_topic_reader_free(struct letter_topic_reader **reader);
/* Bytes of keys that are held now. */
size_t letter_topic_keys(const struct letter_topic_reader *t);
/* Begin before the first letter of all (partition -1), or go to the one at that place alone (or behind it,
 * where none is). */
void letter_topic_rewind(struct letter_topic_reader *t, int partition, int64_t offset);
/* The next letters that match, at most LETTERS_READ of them, partition by partition, with their ids
 * ("t0-41") and keys, in arena, and where they are wanted whole with their payloads, a few MiB; *count 0: that
 * was all. */
int letter_topic_page(struct letter_topic_reader *t, const struct letter_filter *filter, bool whole,
    struct arena *arena, struct letter_entry *letters, size_t *count, struct err *err);
/* Mark letters as gone; *dropped counts them. */
int letter_topic_drop(struct letter_topic_reader *t, const struct letter_entry *letters,
    size_t count, uint64_t *dropped, struct err *err);

/* "t0-41" */
bool letter_topic_id(const char *text, int *partition, int64_t *offset);

#endif
