#include "worker/store/letter_topic.h"

#include "worker/store/dead_letter.h"
#include "worker/store/letter_home.h"
#include "worker/store/letter_orders.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 512 << 10, WAIT_BYTES = 1 << 20, KEEP_BYTES = 64 << 10 };

struct letter_topic {
	struct letter_home home; /* first: the store's pointer */
	struct kafka_writer *writer;
	struct letter_orders *orders;
	struct buf payload;
	struct arena arena;
};

static struct letter_topic *
of(struct letter_home *home)
{
	return (struct letter_topic *)home;
}

/* The headers of its first record; the others have none. */
static size_t
add_headers(struct letter_topic *l, const struct entry *e, size_t chunks,
    struct kafka_header headers[LETTER_FIELDS + 1])
{
	struct letter_field fields[LETTER_FIELDS];

	letter_entry_fields(e, &l->arena, fields);
	for (size_t i = 0; i < LETTER_FIELDS; i++)
		headers[i] = (struct kafka_header){ fields[i].name, fields[i].value };
	if (chunks == 1)
		return LETTER_FIELDS;
	headers[LETTER_FIELDS] =
	    (struct kafka_header){ "chunks", str_of(arena_printf(&l->arena, "%zu", chunks)) };
	return LETTER_FIELDS + 1;
}

static int
put_letter(struct letter_topic *l, const struct entry *e, struct err *err)
{
	struct kafka_header headers[LETTER_FIELDS + 1];
	char id[POSITION_TEXT];
	const char *key = arena_printf(&l->arena, "%s %s %lld", e->lane->name, entry_id_text(e, id),
	    (long long)e->at_ms);
	size_t chunks = (l->payload.len + CHUNK_BYTES - 1) / CHUNK_BYTES;
	struct kafka_record record = { .key = str_of(key), .headers = headers };

	record.partition = kafka_writer_partition(l->writer, record.key, err);
	if (record.partition < 0)
		return -1;
	record.header_count = add_headers(l, e, chunks, headers);
	for (size_t i = 0; i < chunks; i++) {
		size_t at = i * CHUNK_BYTES, left = l->payload.len - at;

		record.value =
		    (struct str){ l->payload.data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES };
		if (i > 0) {
			record.key = str_of(arena_printf(&l->arena, "%s#%zu", key, i));
			record.header_count = 0;
		}
		if (kafka_writer_put(l->writer, &record, err) != 0)
			return -1;
	}
	return 0;
}

static int
topic_write(struct letter_home *home, const struct entry *first, unsigned *written, struct err *err)
{
	struct letter_topic *l = of(home);
	size_t waiting = 0;

	*written = 0;
	for (const struct entry *e = first; e != NULL; e = e->next_kept) {
		if (!letter_entry_is(e))
			continue;
		arena_reset(&l->arena);
		buf_reset(&l->payload);
		dead_letter_payload(e, &l->payload);
		waiting += l->payload.len;
		++*written;
		if (put_letter(l, e, err) != 0)
			return err_prefix(err, "dead letters");
		if (waiting < WAIT_BYTES)
			continue;
		if (kafka_writer_flush(l->writer, err) != 0)
			return err_prefix(err, "dead letters");
		waiting = 0;
	}
	buf_shrink(&l->payload, KEEP_BYTES);
	return kafka_writer_flush(l->writer, err) == 0 ? 0 : err_prefix(err, "dead letters");
}

static int
topic_orders(struct letter_home *home, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	(void)err;
	return letter_orders_take(of(home)->orders, lanes, count, orders);
}

static void
topic_free(struct letter_home **home)
{
	struct letter_topic *l;

	if (*home == NULL)
		return;
	l = of(*home);
	kafka_writer_free(&l->writer);
	letter_orders_free(&l->orders);
	buf_deinit(&l->payload);
	arena_deinit(&l->arena);
	free(l);
	*home = NULL;
}

static const struct letter_home_ops topic_ops = {
	.write = topic_write,
	.orders = topic_orders,
	.free = topic_free,
};

struct letter_home *
letter_topic_new(const struct config *config, int worker)
{
	struct letter_topic *l = calloc(1, sizeof(*l));

	CHECK(l != NULL);
	l->home.ops = &topic_ops;
	l->writer = kafka_writer_new(config, config->dead_topic, true);
	l->orders = letter_orders_new(config, NULL, worker);
	buf_init(&l->payload);
	arena_init(&l->arena, KEEP_BYTES);
	return &l->home;
}

struct letter_home *
letter_home_new(const struct config *config, int worker)
{
	return config->dead_topic != NULL ? letter_topic_new(config, worker) :
					    letter_stream_new(config, worker);
}
