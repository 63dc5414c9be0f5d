/*
 * decode plain|schema COUNT
 *
 * One core decodes COUNT of Debezium's events (events.h), and beside it yyjson only parses them, in turns.
 * Prints: bytes decoder_seconds parse_seconds
 */
#include "common/clock.h"
#include "common/err.h"
#include "tests/bench/events.h"
#include "worker/source/event.h"
#include "worker/source/schema_memory.h"

#include <yyjson.h>

enum { EVENTS = 512 };

struct pool {
	struct str texts[EVENTS];
	struct buf buf[EVENTS];
	struct arena arena;
	struct schema_memory schemas;
};

static int64_t
decode_all(struct pool *pool)
{
	int64_t start = clock_us();

	for (unsigned i = 0; i < EVENTS; i++) {
		struct message message = { .value = pool->texts[i],
			.schemas = &pool->schemas,
			.no_origin = true,
			.rows_alone = true };
		struct entry entry = { 0 };
		struct events events;

		CHECK(debezium_decode(&entry, &pool->arena, &message, &events) == 0);
		CHECK(events.list[0].after.count == 5);
		if (i % 64 == 0)
			arena_reset(&pool->arena);
	}
	return clock_us() - start;
}

static int64_t
parse_all(struct pool *pool)
{
	int64_t start = clock_us();

	for (unsigned i = 0; i < EVENTS; i++) {
		yyjson_doc *doc = yyjson_read(pool->texts[i].data, pool->texts[i].len, 0);

		CHECK(doc != NULL);
		yyjson_doc_free(doc);
	}
	return clock_us() - start;
}

int
main(int argc, char **argv)
{
	static struct pool pool;
	static struct rows rows;
	int64_t decoded_us = 0, parsed_us = 0;
	uint64_t bytes = 0;

	if (argc != 3 || atoll(argv[2]) < EVENTS) {
		fprintf(stderr, "usage: decode plain|schema COUNT\n");
		return 2;
	}
	rows_init(&rows, ROW_INSERT, EVENTS);
	arena_init(&pool.arena, 1 << 20);
	for (unsigned i = 0; i < EVENTS; i++) {
		buf_init(&pool.buf[i]);
		pool.texts[i] = event_make(&rows, i, strcmp(argv[1], "schema") == 0, &pool.buf[i]);
	}
	for (uint64_t n = 0; n < (uint64_t)atoll(argv[2]); n += EVENTS) {
		decoded_us += decode_all(&pool);
		parsed_us += parse_all(&pool);
		for (unsigned i = 0; i < EVENTS; i++)
			bytes += pool.texts[i].len;
	}
	printf("%llu %.6f %.6f\n", (unsigned long long)bytes, (double)decoded_us / 1e6,
	    (double)parsed_us / 1e6);
	for (unsigned i = 0; i < EVENTS; i++)
		buf_deinit(&pool.buf[i]);
	schema_memory_deinit(&pool.schemas);
	arena_deinit(&pool.arena);
	return 0;
}
