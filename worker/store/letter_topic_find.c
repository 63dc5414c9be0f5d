#include "worker/store/letter_topic.h"

#include "common/map.h"
#include "common/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4 << 20, MAP_KEEP = 64 << 10, BEGUN = -2 };

/*
 * A partition is gone through stretch by stretch, each as long as the keys of its records have room: up
 * to the partition's end to learn which of them come again, or are gone, and then once more itself.
 */
struct letter_topic_reader {
	const struct config *config;
	struct kafka_reader *reader;
	struct kafka_writer *writer; /* NULL: nothing was dropped yet */
	size_t keys_max;
	int partitions;
	int partition;	  /* being read */
	bool one;	  /* only the record at `from` */
	int64_t from, to; /* the stretch: to -1: it isn't known yet; from -1: the first there is */
	int64_t next;	  /* where to begin in it, or BEGUN */
	/* of the stretch: offset + 1 of the last record that has a key and a value, 0: it has none */
	struct arena keys;
	struct map last;
};

bool
letter_topic_id(const char *text, int *partition, int64_t *offset)
{
	const char *dash = text[0] == 't' ? strchr(text, '-') : NULL;
	int64_t number;

	if (dash == NULL ||
	    !number_i64((struct str){ text + 1, (size_t)(dash - text - 1) }, &number) ||
	    number < 0 || number > INT32_MAX || !number_i64(str_of(dash + 1), offset) ||
	    *offset < 0)
		return false;
	*partition = (int)number;
	return true;
}

struct letter_topic_reader *
letter_topic_reader_new(const struct config *config, size_t keys_max, struct err *err)
{
	struct letter_topic_reader *t = calloc(1, sizeof(*t));

	CHECK(t != NULL);
	t->config = config;
	t->keys_max = keys_max;
	arena_init(&t->keys, keys_max);
	map_init(&t->last);
	t->reader = kafka_reader_new(config, config->dead_topic, err);
	letter_topic_rewind(t, -1, 0);
	if (t->reader == NULL)
		letter_topic_reader_free(&t);
	else
		t->partitions = kafka_reader_partitions(t->reader);
	return t;
}

size_t
letter_topic_keys(const struct letter_topic_reader *t)
{
	return arena_bytes(&t->keys);
}

void
letter_topic_reader_free(struct letter_topic_reader **reader)
{
	struct letter_topic_reader *t = *reader;

	if (t == NULL)
		return;
	map_deinit(&t->last);
	kafka_reader_free(&t->reader);
	kafka_writer_free(&t->writer);
	arena_deinit(&t->keys);
	free(t);
	*reader = NULL;
}

void
letter_topic_rewind(struct letter_topic_reader *t, int partition, int64_t offset)
{
	t->one = partition >= 0;
	t->partition = t->one ? partition : 0;
	t->from = t->one ? offset : -1;
	t->to = -1;
}

/* ---- stretches ---- */

/* A key that comes again, also as a tombstone, is that of the later record. */
static void
note(struct letter_topic_reader *t, const struct kafka_record *record, bool more)
{
	int64_t *next = map_get(&t->last, record->key.data, record->key.len);

	if (next == NULL && !more)
		return;
	if (next == NULL) {
		const char *key = arena_copy(&t->keys, record->key.data, record->key.len);

		next = arena_zalloc(&t->keys, sizeof(*next));
		*map_at(&t->last, key, record->key.len) = next;
	}
	*next = record->value.data != NULL ? record->offset + 1 : 0;
}

/* Know the keys of the stretch that begins at t->from.  1, 0: nothing is there any more, -1. */
static int
stretch(struct letter_topic_reader *t, struct err *err)
{
	struct kafka_record record;
	bool more = true; /* of its records are to come */
	int got;

	arena_reset(&t->keys);
	map_reset(&t->last, MAP_KEEP);
	if (kafka_reader_start(t->reader, t->partition, t->from, err) != 0)
		return -1;
	while ((got = kafka_reader_next(t->reader, &record, err)) > 0) {
		if (record.key.data != NULL)
			note(t, &record, more);
		if (more)
			t->to = record.offset + 1;
		more = more && !t->one && arena_bytes(&t->keys) < t->keys_max;
	}
	t->next = t->from;
	return got < 0 ? -1 : t->to >= 0;
}

/* The next record of a stretch: 1, 0: that was all, -1. */
static int
next_record(struct letter_topic_reader *t, struct kafka_record *record, struct err *err)
{
	while (t->partition < t->partitions) {
		int got = t->to < 0 ? stretch(t, err) : 1;

		if (got == 1 && t->next != BEGUN &&
		    kafka_reader_start(t->reader, t->partition, t->next, err) != 0)
			return -1;
		if (got == 1) {
			t->next = BEGUN;
			got = kafka_reader_next(t->reader, record, err);
			if (got != 0 && (got < 0 || record->offset < t->to))
				return got;
			t->from = t->to;
			t->to = -1;
			got = !t->one;
		}
		if (got < 0)
			return -1;
		if (got == 0) {
			t->partition = t->one ? t->partitions : t->partition + 1;
			t->from = -1;
		}
	}
	return 0;
}

/* ---- letters ---- */

static struct str
header(const void *record, const char *name)
{
	const struct kafka_record *r = record;

	for (size_t i = 0; i < r->header_count; i++)
		if (strcmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return STR("");
}

static struct str
chunk_key(struct arena *arena, struct str key, uint64_t chunk)
{
	return str_of(arena_printf(arena, "%.*s#%llu", STR_ARGS(key), (unsigned long long)chunk));
}

/* Add the parts from *part on that come in order behind this offset of the letter's partition. */
static int
add_parts(struct letter_topic_reader *t, const struct letter_entry *letter, int64_t from,
    uint64_t *part, struct buf *all, struct arena *arena, struct err *err)
{
	struct str wanted = chunk_key(arena, letter->key, *part);
	struct kafka_record record;
	int got = 1;

	if (kafka_reader_start(t->reader, letter->partition, from, err) != 0)
		return -1;
	while (*part < letter->row.chunks &&
	    (got = kafka_reader_next(t->reader, &record, err)) == 1) {
		if (record.value.data == NULL || !str_equal(record.key, wanted))
			continue;
		buf_add(all, record.value.data, record.value.len);
		wanted = chunk_key(arena, letter->key, ++*part);
	}
	return got < 0 ? -1 : 0;
}

/* The rest of a payload is behind its first part, but for one whose writer died when it wrote it anew:
 * then there is an older one.  What is missing makes no payload, which is said where it is read. */
static int
add_chunks(struct letter_topic_reader *t, struct letter_entry *letter, struct arena *arena,
    struct err *err)
{
	struct buf all = { 0 };
	uint64_t part = 1;
	int status;

	buf_add(&all, letter->payload.data, letter->payload.len);
	status = add_parts(t, letter, letter->offset + 1, &part, &all, arena, err);
	if (status == 0 && part < letter->row.chunks)
		status = add_parts(t, letter, -1, &part, &all, arena, err);
	letter->payload = arena_str(arena, all.data, all.len);
	buf_deinit(&all);
	t->next = letter->offset + 1;
	return status;
}

/* No tombstone, and none with its key behind it. */
static bool
is_last(const struct letter_topic_reader *t, const struct kafka_record *record)
{
	const int64_t *next = map_get(&t->last, record->key.data, record->key.len);

	return next != NULL && *next == record->offset + 1;
}

/* Is it the last with its key, a letter, and one that fits? */
static bool
read_letter(struct letter_topic_reader *t, const struct kafka_record *record,
    const struct letter_filter *filter, struct arena *arena, struct letter_entry *letter)
{
	*letter = (struct letter_entry){ .partition = record->partition, .offset = record->offset };
	if (record->key.data == NULL || !is_last(t, record) ||
	    !letter_entry_read(letter, header, record, record->at_ms, filter))
		return false;
	if (!number_u64(header(record, "chunks"), &letter->row.chunks) || letter->row.chunks == 0)
		letter->row.chunks = 1;
	snprintf(letter->row.kept_id, sizeof(letter->row.kept_id), "t%d-%lld", record->partition,
	    (long long)record->offset);
	letter->key = arena_str(arena, record->key.data, record->key.len);
	return true;
}

int
letter_topic_page(struct letter_topic_reader *t, const struct letter_filter *filter, bool whole,
    struct arena *arena, struct letter_entry *letters, size_t *count, struct err *err)
{
	struct kafka_record record;
	size_t bytes = 0;
	int got = 1;

	*count = 0;
	while (*count < LETTERS_READ && bytes < PAGE_BYTES &&
	    (got = next_record(t, &record, err)) == 1) {
		struct letter_entry *letter = &letters[*count];

		if (!read_letter(t, &record, filter, arena, letter))
			continue;
		++*count;
		if (!whole)
			continue;
		letter->payload = arena_str(arena, record.value.data, record.value.len);
		if (letter->row.chunks > 1 && add_chunks(t, letter, arena, err) != 0)
			return -1;
		bytes += letter->payload.len;
	}
	return got < 0 ? -1 : 0;
}

/* ---- gone ---- */

/* The parts first: a letter that is left half is listed still. */
static int
mark(struct letter_topic_reader *t, const struct letter_entry *letter, struct arena *arena,
    struct err *err)
{
	struct kafka_record record = { .partition = letter->partition };

	for (uint64_t i = letter->row.chunks; i-- > 0;) {
		record.key = i > 0 ? chunk_key(arena, letter->key, i) : letter->key;
		if (kafka_writer_put(t->writer, &record, err) != 0)
			return -1;
	}
	return 0;
}

int
letter_topic_drop(struct letter_topic_reader *t, const struct letter_entry *letters, size_t count,
    uint64_t *dropped, struct err *err)
{
	struct arena arena;
	int status = 0;

	if (t->writer == NULL)
		t->writer = kafka_writer_new(t->config, t->config->dead_topic, false);
	arena_init(&arena, 0);
	for (size_t i = 0; i < count && status == 0; i++)
		status = mark(t, &letters[i], &arena, err);
	if (status == 0)
		status = kafka_writer_flush(t->writer, err);
	if (status == 0)
		*dropped += count;
	arena_deinit(&arena);
	return status;
}
