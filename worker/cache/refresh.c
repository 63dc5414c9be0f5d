#include "worker/cache/refresh.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/cache/refresh_work.h"
#include "worker/operate/counters.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Whoever waits for the end of the process waits so long for us at most. */
enum { CACHE_PATIENCE_MS = 2000, MYSQL_PATIENCE_MS = 5000 };
enum { TOP_EVERY_MS = 1000, RETRY_MS = 1000 };

/* ---- connections ---- */

void
refresh_cache_failed(struct refresh *r, const struct err *err)
{
	redis_close(r->redis);
	if (breaker_failed(&r->counters.cache, err->text))
		log_event(LOG_WARN, "refresh_cache_away", "error", "%s", err->text, "next", "%s",
		    "nothing is loaded ahead until it answers", NULL);
}

static int
load_script(struct refresh *r, struct arena *arena, const char *text, char sha[41], struct err *err)
{
	struct str script = str_of(text);
	struct redis_reply *reply = redis_call(r->redis, arena, err, "SCRIPT LOAD %b", &script);

	if (reply == NULL)
		return -1;
	snprintf(sha, 41, "%s", reply->text.data);
	return 0;
}

bool
refresh_cache_ready(struct refresh *r)
{
	struct err err = { 0 };
	struct arena arena;

	if (redis_is_open(r->redis))
		return true;
	if (!breaker_ready(&r->counters.cache))
		return false;
	arena_init(&arena, 0);
	if (redis_open(r->redis, &err) != 0 ||
	    (r->needs_library && library_load(r->redis, &r->library, &arena, &err) != 0) ||
	    load_script(r, &arena, refresh_plain_script, r->script_sha, &err) != 0 ||
	    (r->members_in_cache &&
		load_script(r, &arena, refresh_members_script, r->members_sha, &err) != 0)) {
		refresh_cache_failed(r, &err);
	} else {
		if (breaker_worked(&r->counters.cache))
			log_event(LOG_INFO, "refresh_goes_on", "dependency", "%s", "cache", NULL);
	}
	arena_deinit(&arena);
	return redis_is_open(r->redis);
}

void
refresh_mysql_failed(struct refresh *r, const struct err *err)
{
	sql_close(r->sql);
	if (atomic_load(&r->stop) != 0)
		return;
	r->retry_ms = clock_ms() + random_jitter(&r->random, RETRY_MS);
	if (breaker_failed(&r->counters.mysql_read, err->text))
		log_event(LOG_WARN, "refresh_mysql_away", "failures", "%u",
		    atomic_load(&r->counters.mysql_read.failures), "error", "%s", err->text, "next",
		    "%s", "values of popular keys are kept up to stale_max; the breaker is open",
		    NULL);
}

static void
mysql_worked(struct refresh *r)
{
	if (breaker_worked(&r->counters.mysql_read))
		log_event(LOG_INFO, "refresh_goes_on", "dependency", "%s", "mysql_read", NULL);
}

/* Autocommit: no snapshot outlives a statement.  Read only: `load` and `warm` are anybody's text. */
static int
connect_mysql(struct refresh *r, struct err *err)
{
	if (sql_open(r->sql, err) == 0 &&
	    sql_queryf(r->sql, NULL, err,
		"SET SESSION autocommit = 1, time_zone = '+00:00',"
		" transaction_isolation = 'READ-COMMITTED'") != 0) {
		/* MariaDB before 11.1 has it under its older name */
		if (sql_is_open(r->sql))
			sql_queryf(r->sql, NULL, err,
			    "SET SESSION autocommit = 1, time_zone = '+00:00',"
			    " tx_isolation = 'READ-COMMITTED'");
	}
	if (sql_is_open(r->sql))
		sql_queryf(r->sql, NULL, err, "SET SESSION TRANSACTION READ ONLY");
	return sql_is_open(r->sql) ? 0 : -1;
}

/* MySQL lets us in, or it doesn't: was it the query? */
static void
judge_suspects(struct refresh *r, bool it_was)
{
	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[i];

		if (t->suspected && it_was && ++t->failed >= (unsigned)r->config->refresh.failures)
			refresh_table_refused(r, t, &t->why);
		else if (t->suspected && it_was)
			mysql_worked(r);
		t->suspected = false;
	}
}

size_t
refresh_answer_max(const struct refresh *r)
{
	return (size_t)r->config->memory_bytes / 4;
}

bool
refresh_mysql_ready(struct refresh *r)
{
	struct err err = { 0 };

	if (sql_is_open(r->sql))
		return true;
	if (clock_ms() < r->retry_ms || !breaker_ready(&r->counters.mysql_read))
		return false;
	refresh_keep(r, false); /* connecting may take its time-out */
	if (connect_mysql(r, &err) != 0)
		refresh_mysql_failed(r, &err);
	judge_suspects(r, sql_is_open(r->sql));
	return sql_is_open(r->sql);
}

void
refresh_table_refused(struct refresh *r, const struct refresh_table *t, const struct err *err)
{
	mysql_worked(r); /* it answered */
	if (breaker_failed(&r->counters.tables[t->index].load, err->text))
		log_event(LOG_ERROR, "refresh_impossible", "table", "%s", t->table->name, "code",
		    "%d", err->code, "error", "%s", err->text, "next", "%s",
		    "its keys expire; it is tried again after open_for", NULL);
}

void
refresh_table_suspected(struct refresh *r, struct refresh_table *t, const struct err *err)
{
	sql_close(r->sql); /* the next connection tells */
	if (atomic_load(&r->stop) != 0)
		return;
	t->suspected = true;
	t->why = *err;
	if (t->failed == 0)
		log_event(LOG_WARN, "refresh_load_failed", "table", "%s", t->table->name, "error",
		    "%s", err->text, "next", "%s",
		    "it is tried again; its values are kept up to stale_max", NULL);
}

void
refresh_table_worked(struct refresh *r, struct refresh_table *t)
{
	t->failed = 0;
	mysql_worked(r);
	if (breaker_worked(&r->counters.tables[t->index].load))
		log_event(LOG_INFO, "refresh_goes_on", "table", "%s", t->table->name, NULL);
}

/* ---- the thread ---- */

static void
describe_tables(struct refresh *r)
{
	struct err err = { 0 };

	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[i];

		if (t->ready || !refresh_mysql_ready(r) ||
		    !breaker_ready(&r->counters.tables[t->index].load))
			continue;
		if (refresh_table_describe(t, r->sql, &err) == 0) {
			refresh_table_worked(r, t);
			continue;
		}
		if (!sql_is_open(r->sql)) {
			refresh_mysql_failed(r, &err);
			return;
		}
		refresh_table_refused(r, t, &err);
	}
}

static void
find_top(struct refresh *r)
{
	if (r->top_ms != 0 && clock_ms() - r->top_ms < TOP_EVERY_MS)
		return;
	r->top_ms = clock_ms();
	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[i];

		hot_keys_forget(&t->read, r->top_ms);
		t->top_count = hot_keys_top(&t->read, t->top, (size_t)t->table->refresh.top);
	}
}

static void
show_key(struct refresh *r, const struct refresh_table *t, const struct hot_keys *of,
    const struct hot_key *k)
{
	struct refresh_key *out = &r->shown[r->shown_count++];
	int64_t now_ms = clock_ms();

	*out = (struct refresh_key){ .table = t->table,
		.rate = hot_key_rate(of, k, now_ms),
		.ttl_ms = k->state.expires_ms != 0 ? k->state.expires_ms - now_ms : INT64_MIN,
		.loaded_wall_ms = k->state.loaded_wall_ms,
		.load_us = k->state.load_us,
		.stretched = k->state.lent_ms > now_ms && k->state.expires_ms < now_ms,
		.ours = refresh_is_ours(&r->share, k->hash) };
	if (r->config->show_keys)
		snprintf(out->key, sizeof(out->key), "%.*s", STR_ARGS(hot_key_text(k)));
	else
		snprintf(out->key, sizeof(out->key), "%016llx", (unsigned long long)k->hash);
}

/* The tables take turns, so that none hides the others. */
static void
show_keys(struct refresh *r)
{
	bool more = true;

	if (r->shown_ms == r->top_ms)
		return;
	r->shown_ms = r->top_ms;
	pthread_mutex_lock(&r->mutex);
	r->shown_count = 0;
	for (size_t n = 0; more; n++) {
		more = false;
		for (size_t i = 0; i < r->table_count && r->shown_count < REFRESH_KEYS_SHOWN; i++) {
			struct refresh_table *t = &r->tables[i];
			size_t warm = n - t->top_count;

			if (n < t->top_count)
				show_key(r, t, &t->read, t->top[n]);
			else if (n >= t->top_count && warm < t->warm.used)
				show_key(r, t, &t->warm, &t->warm.keys[warm]);
			else
				continue;
			more = true;
		}
	}
	pthread_mutex_unlock(&r->mutex);
}

void
refresh_turn(struct refresh *r)
{
	int64_t from_us = clock_us();

	SHOW(r->counters.beat_ms, (uint64_t)clock_ms());
	describe_tables(r);
	refresh_share_look(r);
	refresh_reads(r);
	find_top(r);
	refresh_warm(r);
	refresh_take_rings(r);
	/* who is first may take all of a small budget */
	r->turns++;
	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[(r->turns + i) % r->table_count];

		if (t->ready)
			refresh_load(r, t);
	}
	show_keys(r);
	r->turn_us = quick_to_rise(r->turn_us, clock_us() - from_us);
}

static void *
refresh_thread(void *arg)
{
	struct refresh *r = arg;
	struct pollfd wake = { .fd = r->wake_fd, .events = POLLIN };

	pthread_setname_np(pthread_self(), "refresh");
	sql_thread_start();
	while (atomic_load(&r->stop) == 0) {
		refresh_turn(r);
		poll(&wake, 1, REFRESH_TICK_MS);
	}
	refresh_members_leave(r);
	sql_close(r->sql);
	redis_close(r->redis);
	redis_close(r->listener);
	sql_thread_stop();
	return NULL;
}

/* ---- from outside ---- */

static void
make_tables(struct refresh *r)
{
	size_t count = r->config->table_count;

	r->tables = calloc(count, sizeof(*r->tables));
	r->counters.tables = calloc(count, sizeof(*r->counters.tables));
	CHECK(r->tables != NULL && r->counters.tables != NULL);
	for (size_t i = 0; i < count; i++) {
		if (!r->config->tables[i].refresh.on)
			continue;
		refresh_table_init(&r->tables[r->table_count++], r->config, i);
		breaker_init_counting(&r->counters.tables[i].load, &r->random, 1,
		    r->config->refresh.open_ms);
		SHOW(r->counters.tables[i].on, 1);
		r->needs_library |= refresh_is_versioned(&r->config->tables[i]);
	}
}

static void
make_connections(struct refresh *r)
{
	r->own = *r->config;
	access_hurry(&r->own.cache, CACHE_PATIENCE_MS);
	if (r->own.mysql.timeout_ms > MYSQL_PATIENCE_MS)
		r->own.mysql.timeout_ms = MYSQL_PATIENCE_MS;
	if (r->own.mysql.connect_timeout_ms > MYSQL_PATIENCE_MS)
		r->own.mysql.connect_timeout_ms = MYSQL_PATIENCE_MS;
	access_redis_init(&r->access, &r->own.cache, "sluice-refresh");
	access_redis_init(&r->listen_access, &r->own.cache, "sluice-listen");
	access_mysql_init(&r->mysql_access, &r->own.mysql);
	r->redis = redis_new(&r->access.options);
	r->listener = redis_new(&r->listen_access.options);
	r->sql = sql_new(&r->mysql_access.options);
	sql_set_wait(r->sql, refresh_wait, r);
}

struct refresh *
refresh_make(const struct config *config, size_t workers)
{
	struct refresh *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->config = config;
	r->members_in_cache = config_lanes_of_kind(config, true) == 0;
	random_init(&r->random, random_seed());
	pthread_mutex_init(&r->mutex, NULL);
	arena_init(&r->arena, 256 * 1024);
	arena_init(&r->partial, 64 * 1024);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(r->wake_fd >= 0);
	breaker_init_counting(&r->counters.mysql_read, &r->random,
	    (unsigned)config->refresh.failures, config->refresh.open_ms);
	breaker_init(&r->counters.cache, &r->random);
	pace_init(&r->pace, (double)config->refresh.max_loads_per_second,
	    (int64_t)config->refresh.slow_load_ms * 1000);
	SHOW(r->counters.rate_limit, (uint64_t)config->refresh.max_loads_per_second);
	make_tables(r);
	make_connections(r);
	r->ring_count = workers > 0 ? workers : 1;
	r->rings = calloc(r->ring_count, sizeof(struct refresh_ring *));
	CHECK(r->rings != NULL);
	for (size_t i = 0; i < r->ring_count; i++)
		r->rings[i] = refresh_ring_new();
	return r;
}

struct refresh *
refresh_new(const struct config *config, size_t workers, struct err *err)
{
	struct refresh *r = refresh_make(config, workers);
	int code = pthread_create(&r->thread, NULL, refresh_thread, r);
	r->started = code == 0;
	if (code == 0)
		return r;
	err_set(err, ERR_FATAL, code, "cannot start the refresh thread: %s", strerror(code));
	refresh_free(&r);
	return NULL;
}

void
refresh_free(struct refresh **refresh)
{
	struct refresh *r = *refresh;

	if (r == NULL)
		return;
	atomic_store(&r->stop, 1);
	eventfd_write(r->wake_fd, 1);
	if (r->started)
		pthread_join(r->thread, NULL);
	redis_free(&r->redis);
	redis_free(&r->listener);
	sql_free(&r->sql);
	access_redis_deinit(&r->access);
	access_redis_deinit(&r->listen_access);
	access_mysql_deinit(&r->mysql_access);
	for (size_t i = 0; i < r->table_count; i++)
		refresh_table_deinit(&r->tables[i]);
	free(r->tables);
	free(r->counters.tables);
	free(r->share.others);
	for (size_t i = 0; i < r->ring_count; i++)
		refresh_ring_free(&r->rings[i]);
	free(r->rings);
	arena_deinit(&r->arena);
	arena_deinit(&r->partial);
	pthread_mutex_destroy(&r->mutex);
	close(r->wake_fd);
	free(r);
	*refresh = NULL;
}

struct refresh_counters *
refresh_counters(struct refresh *refresh)
{
	return &refresh->counters;
}

size_t
refresh_keys(struct refresh *r, struct refresh_key out[REFRESH_KEYS_SHOWN])
{
	size_t count;

	pthread_mutex_lock(&r->mutex);
	count = r->shown_count;
	memcpy(out, r->shown, count * sizeof(*out));
	pthread_mutex_unlock(&r->mutex);
	return count;
}

struct refresh_ring *
refresh_ring(struct refresh *refresh, size_t worker)
{
	CHECK(worker < refresh->ring_count);
	return refresh->rings[worker];
}
