#include "common/clock.h"
#include "common/err.h"
#include "common/random.h"
#include "tests/demo/shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOOKUPS_A_SECOND = 1000, REOPEN_MS = 200, ROWS_READ = 1500 /* of each table */ };

struct lookup {
	struct reader *reader;
	struct redis *redis;
	struct sql *sql;
	struct arena arena;
	struct random random;
	int64_t opened_ms; /* when MySQL was last tried */
};

bool
reader_has_mysql(struct sql *sql, int64_t *tried_ms)
{
	struct err err;

	if (sql_is_open(sql))
		return true;
	if (clock_ms() - *tried_ms < REOPEN_MS)
		return false;
	*tried_ms = clock_ms();
	return sql_open(sql, &err) == 0;
}

/* The row as text: 1 there, 0 not, -1 MySQL doesn't answer. */
static int
read_row(struct lookup *l, enum shop_table table, size_t row, struct buf *out)
{
	struct sql_result result;
	struct err err;
	char id[24];

	shop_row_id(table, row, id);
	buf_reset(out);
	if (!reader_has_mysql(l->sql, &l->opened_ms) ||
	    sql_queryf(l->sql, &result, &err, "SELECT %s FROM %s WHERE id = '%s'",
		shop_row_sql(table), shop_table_name(table), id) != 0)
		return -1;
	int found = result.rows > 0;
	if (found) {
		struct str text = sql_cell(&result, 0, 0);
		buf_add(out, text.data, text.len);
	}
	sql_result_free(&result);
	return found;
}

static bool
is_equal(const struct buf *a, const struct buf *b)
{
	return str_equal((struct str){ a->data, a->len }, (struct str){ b->data, b->len });
}

static int
fill(struct lookup *l, enum shop_table table, size_t row, const char *key, struct err *err)
{
	struct buf before = { 0 }, after = { 0 };
	int found = read_row(l, table, row, &before), status = 0;

	if (found < 0)
		atomic_fetch_add(&l->reader->unavailable, 1);
	if (found > 0) {
		struct str value = { before.data, before.len };

		if (redis_call(l->redis, &l->arena, err, "SET %s %b", key, &value) == NULL)
			status = -1;
		else if (read_row(l, table, row, &after) == 1 && is_equal(&before, &after))
			atomic_fetch_add(&l->reader->filled, 1);
		else if (redis_call(l->redis, &l->arena, err, "UNLINK %s", key) == NULL)
			status = -1;
		else
			atomic_fetch_add(&l->reader->dropped, 1);
	}
	buf_deinit(&before);
	buf_deinit(&after);
	return status;
}

static int
look_up(struct lookup *l, struct err *err)
{
	enum shop_table table = (enum shop_table)random_below(&l->random, SHOP_TABLES);
	size_t row = (size_t)random_below(&l->random, ROWS_READ);
	struct redis_reply *reply;
	char key[40];

	shop_cache_key(table, row, key);
	arena_reset(&l->arena);
	reply = redis_call(l->redis, &l->arena, err, "GET %s", key);
	if (reply == NULL)
		return -1;
	if (reply->type != REDIS_NIL) {
		atomic_fetch_add(&l->reader->hits, 1);
		return 0;
	}
	atomic_fetch_add(&l->reader->misses, 1);
	return fill(l, table, row, key, err);
}

static void *
reader_main(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000000L / LOOKUPS_A_SECOND };
	struct lookup *l = arg;
	struct err err = { 0 };
	int status;

	sql_thread_start();
	/* a SET whose answer was lost may still arrive later: then nobody knows what should be cached */
	status = redis_open(l->redis, &err);
	while (status == 0 && !atomic_load(&l->reader->stop)) {
		status = look_up(l, &err);
		nanosleep(&pause, NULL);
	}
	if (status != 0)
		printf("the reader failed: %s\n", err.text);
	atomic_store(&l->reader->failed, status != 0);
	redis_free(&l->redis);
	sql_free(&l->sql);
	arena_deinit(&l->arena);
	sql_thread_stop();
	free(l);
	return NULL;
}

void
reader_start(struct reader *reader, const struct shop_servers *servers, uint64_t seed)
{
	struct lookup *l = calloc(1, sizeof(*l));

	CHECK(l != NULL);
	reader->servers = servers;
	l->reader = reader;
	l->redis = redis_new(&servers->redis);
	l->sql = sql_new(&servers->mysql);
	arena_init(&l->arena, 65536);
	random_init(&l->random, seed);
	CHECK(pthread_create(&reader->thread, NULL, reader_main, l) == 0);
}

void
reader_stop(struct reader *reader)
{
	atomic_store(&reader->stop, true);
	pthread_join(reader->thread, NULL);
}
