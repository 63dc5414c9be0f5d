#include "common/err.h"
#include "common/number.h"
#include "tests/demo/shop.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_MAX = 10, CHUNK = 500 };

struct check {
	const struct model *model;
	struct shop_verdict *verdict;
	struct redis *redis;
	struct sql *sql;
	struct arena arena;
	struct buf want;
	unsigned shown;
};

static void
show(struct check *c, const char *what, const char *key, struct str is)
{
	if (c->shown++ < SHOWN_MAX)
		printf("%s %s: is %.*s, should be %s\n", what, key, STR_ARGS(is),
		    c->want.len > 0 ? c->want.data : "absent");
}

/* What the row should be into c->want; empty when it should not be. */
static void
want_row(struct check *c, enum shop_table table, size_t row)
{
	buf_reset(&c->want);
	if (!model_row_text(c->model, table, row, &c->want))
		buf_reset(&c->want);
}

static bool
is_wanted(const struct check *c, struct str text)
{
	return c->want.len > 0 && str_equal(text, (struct str){ c->want.data, c->want.len });
}

/* ---- rows ---- */

static void
check_result(struct check *c, enum shop_table table, const struct sql_result *result, bool *seen)
{
	char id[24];
	size_t row;

	for (size_t i = 0; i < result->rows; i++) {
		struct str text = sql_cell(result, i, 1);

		c->verdict->rows++;
		buf_reset(&c->want);
		if (shop_row_of_id(table, sql_cell(result, i, 0), &row)) {
			seen[row] = true;
			want_row(c, table, row);
		}
		if (is_wanted(c, text))
			continue;
		c->verdict->wrong++;
		show(c, "row of", shop_table_name(table), text);
	}
	for (row = 0; row < shop_table_rows(table); row++) {
		want_row(c, table, row);
		if (seen[row] || c->want.len == 0)
			continue;
		c->verdict->wrong++;
		shop_row_id(table, row, id);
		show(c, shop_table_name(table), id, STR("missing"));
	}
}

static int
check_rows(struct check *c, struct err *err)
{
	for (enum shop_table table = SHOP_SESSIONS; table < SHOP_TABLES; table++) {
		struct sql_result result;
		bool *seen;

		if (sql_queryf(c->sql, &result, err, "SELECT id, %s FROM %s", shop_row_sql(table),
			shop_table_name(table)) != 0)
			return -1;
		seen = calloc(shop_table_rows(table), sizeof(*seen));
		CHECK(seen != NULL);
		check_result(c, table, &result, seen);
		free(seen);
		sql_result_free(&result);
	}
	return 0;
}

/* ---- dead letters ---- */

static int
check_letters(struct check *c, struct err *err)
{
	struct sql_result result;
	uint64_t all, apart, right;

	if (sql_queryf(c->sql, &result, err,
		"SELECT COUNT(*), COUNT(DISTINCT lane, entry),"
		" COUNT(IF(table_name = 'inventory' AND reason = 'out_of_range', 1, NULL))"
		" FROM sluice_dead_letter WHERE chunk = 0") != 0)
		return -1;
	CHECK(number_u64(sql_cell(&result, 0, 0), &all) &&
	    number_u64(sql_cell(&result, 0, 1), &apart) &&
	    number_u64(sql_cell(&result, 0, 2), &right));
	sql_result_free(&result);
	c->verdict->letters = all;
	c->verdict->letters_wrong = all - right + (all - apart);
	if (right != model_refused(c->model)) {
		c->verdict->letters_wrong++;
		printf("dead letters out_of_range: are %llu, should be %llu\n",
		    (unsigned long long)right, (unsigned long long)model_refused(c->model));
	}
	return 0;
}

/* ---- cached keys ---- */

static void
check_key(struct check *c, enum shop_table table, size_t row, const struct redis_reply *reply)
{
	char key[40];

	if (reply->type == REDIS_NIL)
		return;
	c->verdict->cached++;
	want_row(c, table, row);
	if (is_wanted(c, reply->text))
		return;
	c->verdict->stale++;
	shop_cache_key(table, row, key);
	show(c, "cached", key, reply->text);
}

static int
check_keys(struct check *c, enum shop_table table, size_t from, struct err *err)
{
	size_t end = from + CHUNK < shop_table_rows(table) ? from + CHUNK : shop_table_rows(table);
	struct redis_reply *reply;
	char key[40];

	arena_reset(&c->arena);
	for (size_t row = from; row < end; row++) {
		shop_cache_key(table, row, key);
		redis_queuef(c->redis, "GET %s", key);
	}
	if (redis_flush(c->redis, err) != 0)
		return -1;
	for (size_t row = from; row < end; row++) {
		int got = redis_receive(c->redis, &c->arena, 10000, &reply, err);

		if (got == 0)
			return err_set(err, ERR_RETRY, 0, "redis: no answer");
		if (got < 0 || redis_reply_error(reply, err) != 0)
			return -1;
		check_key(c, table, row, reply);
	}
	return 0;
}

static int
check_cache(struct check *c, struct err *err)
{
	for (enum shop_table table = SHOP_SESSIONS; table < SHOP_TABLES; table++)
		for (size_t row = 0; row < shop_table_rows(table); row += CHUNK)
			if (check_keys(c, table, row, err) != 0)
				return -1;
	return 0;
}

int
shop_check(const struct shop_servers *servers, const struct model *model,
    struct shop_verdict *verdict, struct err *err)
{
	struct check c = { .model = model, .verdict = verdict };
	int status = -1;

	*verdict = (struct shop_verdict){ 0 };
	arena_init(&c.arena, 1024 * 1024);
	c.redis = redis_new(&servers->redis);
	c.sql = sql_new(&servers->mysql);
	if (sql_open(c.sql, err) == 0 && redis_open(c.redis, err) == 0 &&
	    check_rows(&c, err) == 0 && check_letters(&c, err) == 0 && check_cache(&c, err) == 0)
		status = 0;
	sql_free(&c.sql);
	redis_free(&c.redis);
	arena_deinit(&c.arena);
	buf_deinit(&c.want);
	return status;
}
