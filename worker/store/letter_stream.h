#ifndef WORKER_STORE_LETTER_STREAM_H
#define WORKER_STORE_LETTER_STREAM_H

#include "common/redis.h"
#include "worker/store/letter_entry.h"

/*
 * Dead letters of lanes that don't write, as entries of the stream that `dead_letters.stream` names.
 * A letter has the fields of letter_entry.h and `payload`; its id is the stream's.  sluice never trims
 * the stream.  A letter that was written just before a crash may be there twice.
 */

/* The letters behind stream id `after` ("0-0": from the first) that match, at most LETTERS_PAGE of
 * them, with their stream ids and payloads, in arena.  *next: where to go on; *count 0 and *next equal
 * to `after`: that was all. */
int letter_stream_page(struct redis *redis, const char *stream, const struct letter_filter *filter,
    struct position after, struct arena *arena, struct letter_entry *letters, size_t *count,
    struct position *next, struct err *err);

/* Take letters out; *dropped counts those that were there. */
int letter_stream_drop(struct redis *redis, const char *stream, const struct letter_entry *letters,
    size_t count, uint64_t *dropped, struct err *err);

#endif
