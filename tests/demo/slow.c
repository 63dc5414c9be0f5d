#include "common/number.h"
#include "common/random.h"
#include "tests/demo/shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE_PAUSE_US = 4000, LOAD_US_MIN = 2000, LOAD_US_MAX = 10000 };
#define TTL_MS "600000"

struct page {
	struct slow *slow;
	struct redis *redis;
	struct sql *sql;
	struct arena arena;
	struct random random;
	struct buf value; /* "version|the row" */
	int64_t tried_ms;
	/* of the read */
	size_t user;
	uint64_t floor; /* before it began */
};

static void
pause_us(uint64_t us)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)us * 1000 }, NULL);
}

static uint64_t
version_of(struct str value)
{
	const char *end = value.len > 0 ? memchr(value.data, '|', value.len) : NULL;
	uint64_t version = 0;

	if (end != NULL)
		number_u64((struct str){ value.data, (size_t)(end - value.data) }, &version);
	return version;
}

static void
judge(const struct page *p, struct slow_reads *reads, struct str value)
{
	if (version_of(value) < p->floor)
		atomic_fetch_add(&reads->stale, 1);
}

/* The row, and what a page does with it before it stores it: 1 there, 0 not, -1 MySQL doesn't answer. */
static int
load(struct page *p)
{
	struct sql_result result;
	struct err err;

	if (!reader_has_mysql(p->sql, &p->tried_ms) ||
	    sql_queryf(p->sql, &result, &err,
		"SELECT CONCAT_WS('|', ver, %s) FROM users WHERE id = %zu",
		shop_row_sql(SHOP_USERS), p->user + 1) != 0)
		return -1;
	int found = result.rows > 0;
	if (found) {
		struct str text = sql_cell(&result, 0, 0);
		buf_reset(&p->value);
		buf_add(&p->value, text.data, text.len);
	}
	sql_result_free(&result);
	pause_us(LOAD_US_MIN + random_below(&p->random, LOAD_US_MAX - LOAD_US_MIN));
	return found;
}

static int
read_plain(struct page *p, struct err *err)
{
	struct slow_reads *reads = &p->slow->plain;
	struct redis_reply *reply =
	    redis_call(p->redis, &p->arena, err, "GET slow:user:%llu", p->user + 1ull);

	if (reply == NULL)
		return -1;
	atomic_fetch_add(&reads->reads, 1);
	if (reply->type == REDIS_STRING) {
		judge(p, reads, reply->text);
		return 0;
	}
	if (load(p) <= 0)
		return 0;
	struct str value = { p->value.data, p->value.len };
	if (redis_call(p->redis, &p->arena, err, "SET slow:user:%llu %b PX " TTL_MS, p->user + 1ull,
		&value) == NULL)
		return -1;
	atomic_fetch_add(&reads->filled, 1);
	return 0;
}

/* An error answer is no error: the page has its row, and the lease ends by itself. */
static void
fill(struct page *p, int found, struct str token, struct str floor)
{
	struct slow_reads *reads = &p->slow->versioned;
	struct str value = { p->value.data, p->value.len };
	struct redis_reply *reply;
	char version[24];

	snprintf(version, sizeof(version), "%llu", (unsigned long long)version_of(value));
	if (found > 0)
		reply = redis_call(p->redis, &p->arena, NULL,
		    "FCALL sluice_fill 1 entry:user:%llu %b %s %b " TTL_MS, p->user + 1ull, &token,
		    version, &value);
	else
		reply = redis_call(p->redis, &p->arena, NULL,
		    "FCALL sluice_fill_none 1 entry:user:%llu %b %b " TTL_MS, p->user + 1ull,
		    &token, &floor);
	if (reply != NULL && str_equal(reply->text, STR("OK")))
		atomic_fetch_add(&reads->filled, 1);
	else
		atomic_fetch_add(&reads->refused, 1);
}

static int
read_versioned(struct page *p, struct err *err)
{
	struct slow_reads *reads = &p->slow->versioned;
	struct redis_reply *reply = redis_call(p->redis, &p->arena, err,
	    "FCALL sluice_get 1 entry:user:%llu", p->user + 1ull);

	if (!redis_is_open(p->redis))
		return -1;
	/* until sluice has loaded its library, the answer is an error: load without the cache */
	if (reply == NULL || reply->type != REDIS_ARRAY || reply->count == 0)
		return 0;
	struct str word = reply->element[0]->text;
	atomic_fetch_add(&reads->reads, 1);
	if ((str_equal(word, STR("HIT")) || str_equal(word, STR("STALE"))) && reply->count > 1) {
		if (reply->element[1]->type == REDIS_STRING)
			judge(p, reads, reply->element[1]->text);
		return 0;
	}
	bool lease = str_equal(word, STR("LOAD")) && reply->count == 3;
	int found = load(p);
	if (lease && found >= 0)
		fill(p, found, reply->element[1]->text, reply->element[2]->text);
	return redis_is_open(p->redis) ? 0 : -1;
}

static int
read_page(struct page *p, struct err *err)
{
	p->user = SLOW_FIRST + (size_t)random_below(&p->random, SLOW_USERS - SLOW_FIRST);
	for (int way = 0; way < 2; way++) {
		arena_reset(&p->arena);
		p->floor = atomic_load(&p->slow->floors.version[p->user]);
		if ((way == 0 ? read_plain : read_versioned)(p, err) != 0)
			return -1;
	}
	return 0;
}

static void *
slow_main(void *arg)
{
	struct page *p = arg;
	struct err err = { 0 };

	sql_thread_start();
	int status = redis_open(p->redis, &err);
	while (status == 0 && !atomic_load(&p->slow->stop)) {
		status = read_page(p, &err);
		pause_us(PAGE_PAUSE_US);
	}
	if (status != 0)
		printf("a slow reader failed: %s\n", err.text);
	if (status != 0)
		atomic_store(&p->slow->failed, true);
	redis_free(&p->redis);
	sql_free(&p->sql);
	arena_deinit(&p->arena);
	buf_deinit(&p->value);
	sql_thread_stop();
	free(p);
	return NULL;
}

void
slow_start(struct slow *slow, const struct shop_servers *servers, uint64_t seed)
{
	slow->servers = servers;
	floors_start(&slow->floors, servers);
	for (int i = 0; i < SLOW_READERS; i++) {
		struct page *p = calloc(1, sizeof(*p));

		CHECK(p != NULL);
		p->slow = slow;
		p->redis = redis_new(&servers->redis);
		p->sql = sql_new(&servers->mysql);
		arena_init(&p->arena, 16384);
		random_init(&p->random, seed + (uint64_t)i);
		CHECK(pthread_create(&slow->threads[i], NULL, slow_main, p) == 0);
	}
}

void
slow_stop(struct slow *slow)
{
	atomic_store(&slow->stop, true);
	for (int i = 0; i < SLOW_READERS; i++)
		pthread_join(slow->threads[i], NULL);
	floors_stop(&slow->floors);
}
