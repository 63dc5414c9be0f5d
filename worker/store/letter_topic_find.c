#include "worker/store/letter_topic.h"

#include "common/map.h"
#include "common/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last record of a key; the map holds offset + 1, so that no value is NULL. */
struct letter_topic_reader {
	const struct config *config;
	struct kafka_reader *reader;
	struct kafka_writer *writer; /* NULL: nothing was dropped yet */
	struct arena keys;
	struct map *last; /* of each partition; those that have a value */
	int partitions;
	int partition; /* being read */
	int64_t next;  /* where to begin in it; -1: it is begun */
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

/* What a key's last record is, 0 for a tombstone or none. */
static int64_t
last_of(const struct letter_topic_reader *t, int partition, struct str key)
{
	const int64_t *next = map_get(&t->last[partition], key.data, key.len);

	return next != NULL ? *next : 0;
}

static void
note(struct letter_topic_reader *t, const struct kafka_record *record)
{
	struct map *map = &t->last[record->partition];
	int64_t *next = map_get(map, record->key.data, record->key.len);

	if (next == NULL) {
		const char *key = arena_copy(&t->keys, record->key.data, record->key.len);

		next = arena_zalloc(&t->keys, sizeof(*next));
		*map_at(map, key, record->key.len) = next;
	}
	*next = record->value.data != NULL ? record->offset + 1 : 0;
}

static int
note_all(struct letter_topic_reader *t, struct err *err)
{
	struct kafka_record record;
	int got = 0;

	for (int p = 0; p < t->partitions && got == 0; p++) {
		if (kafka_reader_start(t->reader, p, -1, err) != 0)
			return -1;
		while ((got = kafka_reader_next(t->reader, &record, err)) > 0)
			if (record.key.data != NULL)
				note(t, &record);
	}
	return got;
}

struct letter_topic_reader *
letter_topic_reader_new(const struct config *config, struct err *err)
{
	struct letter_topic_reader *t = calloc(1, sizeof(*t));

	CHECK(t != NULL);
	t->config = config;
	arena_init(&t->keys, 0);
	t->reader = kafka_reader_new(config, config->dead_topic, err);
	if (t->reader != NULL) {
		t->partitions = kafka_reader_partitions(t->reader);
		t->last = calloc((size_t)t->partitions + 1, sizeof(*t->last));
		CHECK(t->last != NULL);
	}
	for (int p = 0; p < t->partitions; p++)
		map_init(&t->last[p]);
	letter_topic_rewind(t, -1, 0);
	if (t->reader == NULL || note_all(t, err) != 0)
		letter_topic_reader_free(&t);
	return t;
}

void
letter_topic_reader_free(struct letter_topic_reader **reader)
{
	struct letter_topic_reader *t = *reader;

	if (t == NULL)
		return;
	for (int p = 0; p < t->partitions; p++)
		map_deinit(&t->last[p]);
	free(t->last);
	kafka_reader_free(&t->reader);
	kafka_writer_free(&t->writer);
	arena_deinit(&t->keys);
	free(t);
	*reader = NULL;
}

void
letter_topic_rewind(struct letter_topic_reader *t, int partition, int64_t offset)
{
	t->partition = partition < 0 ? 0 : partition;
	t->next = partition < 0 ? 0 : offset;
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

/* The rest of a payload.  One that is missing makes no payload, which is said where it is read. */
static int
add_chunks(struct letter_topic_reader *t, struct letter_entry *letter, struct arena *arena,
    struct err *err)
{
	struct kafka_record record;
	struct buf all = { 0 };
	int got = 1;

	buf_add(&all, letter->payload.data, letter->payload.len);
	for (uint64_t i = 1; i < letter->row.chunks && got == 1; i++) {
		int64_t next = last_of(t, letter->partition, chunk_key(arena, letter->key, i));

		if (next == 0)
			break;
		got = kafka_reader_start(t->reader, letter->partition, next - 1, err) == 0 ?
		    kafka_reader_next(t->reader, &record, err) :
		    -1;
		if (got == 1 && record.offset == next - 1)
			buf_add(&all, record.value.data, record.value.len);
	}
	letter->payload = (struct str){ arena_copy(arena, all.data, all.len), all.len };
	buf_deinit(&all);
	t->next = letter->offset + 1;
	return got < 0 ? -1 : 0;
}

/* Is it the last with its key, a letter, and one that fits? */
static bool
read_letter(struct letter_topic_reader *t, const struct kafka_record *record,
    const struct letter_filter *filter, struct arena *arena, struct letter_entry *letter)
{
	*letter = (struct letter_entry){ .partition = record->partition, .offset = record->offset };
	if (record->key.data == NULL ||
	    last_of(t, record->partition, record->key) != record->offset + 1 ||
	    !letter_entry_read(letter, header, record, record->at_ms, filter))
		return false;
	if (!number_u64(header(record, "chunks"), &letter->row.chunks) || letter->row.chunks == 0)
		letter->row.chunks = 1;
	snprintf(letter->row.kept_id, sizeof(letter->row.kept_id), "t%d-%lld", record->partition,
	    (long long)record->offset);
	letter->key =
	    (struct str){ arena_copy(arena, record->key.data, record->key.len), record->key.len };
	letter->payload = (struct str){ arena_copy(arena, record->value.data, record->value.len),
		record->value.len };
	return true;
}

/* The next record, of the next partitions too: 1, 0 or -1. */
static int
next_record(struct letter_topic_reader *t, struct kafka_record *record, struct err *err)
{
	int got = 0;

	for (; t->partition < t->partitions; t->partition++, t->next = 0) {
		if (t->next >= 0 && kafka_reader_start(t->reader, t->partition, t->next, err) != 0)
			return -1;
		t->next = -1;
		got = kafka_reader_next(t->reader, record, err);
		if (got != 0)
			return got;
	}
	return 0;
}

int
letter_topic_page(struct letter_topic_reader *t, const struct letter_filter *filter,
    struct arena *arena, struct letter_entry *letters, size_t *count, struct err *err)
{
	struct kafka_record record;
	int got = 1;

	*count = 0;
	while (*count < LETTERS_READ && (got = next_record(t, &record, err)) == 1) {
		struct letter_entry *letter = &letters[*count];

		if (!read_letter(t, &record, filter, arena, letter))
			continue;
		if (letter->row.chunks > 1 && add_chunks(t, letter, arena, err) != 0)
			return -1;
		++*count;
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
