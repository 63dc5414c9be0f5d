#include "worker/cache/verify.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/cache/hot_keys.h"
#include "worker/cache/verify_look.h"
#include "worker/lane.h"
#include "worker/operate/counters.h"
#include "worker/operate/explain_entry.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TICK_MS = 100, TAKEN_PER_TICK = 20000, PING_MS = 3000 };

struct verify {
	/* set before start */
	const struct config *config;
	struct verify_ring **rings; /* one a worker */
	size_t ring_count;
	pthread_t thread;
	bool started;
	int wake_fd;

	/* the thread's */
	struct random random;
	struct verify_eye eye;
	struct verify_wait wait;
	double tokens;		    /* looks that the rate allows */
	int64_t tokens_ms, used_ms; /* used_ms: of MySQL */

	struct verify_counters counters;
	/* shared */
	_Atomic int stop;
	pthread_mutex_t mutex; /* of wrong */
	struct verify_wrong wrong[VERIFY_WRONG_KEPT];
	size_t wrong_count, wrong_next;
};

/* ---- connections ---- */

static void
away(struct verify *v, struct breaker *breaker, const char *dependency, const struct err *err)
{
	if (atomic_load(&v->stop) == 0 && breaker_failed(breaker, err->text))
		log_event(LOG_WARN, "verify_away", "dependency", "%s", dependency, "error", "%s",
		    err->text, "next", "%s", "nothing is looked at again until it answers", NULL);
}

static bool
is_ready(struct verify *v)
{
	struct err err = { 0 };

	if (!redis_is_open(v->eye.redis)) {
		if (!breaker_ready(&v->counters.cache))
			return false;
		if (redis_open(v->eye.redis, &err) != 0) {
			away(v, &v->counters.cache, "cache", &err);
			return false;
		}
		breaker_worked(&v->counters.cache);
	}
	if (!sql_is_open(v->eye.rows.sql)) {
		if (!breaker_ready(&v->counters.mysql))
			return false;
		if (row_access_open(&v->eye.rows, &err) != 0) {
			away(v, &v->counters.mysql, "mysql", &err);
			return false;
		}
		breaker_worked(&v->counters.mysql);
		v->used_ms = clock_ms();
	}
	return true;
}

/* ---- what is told ---- */

static void
take_rings(struct verify *v)
{
	struct verify_told told;

	for (size_t i = 0; i < v->ring_count; i++)
		for (unsigned n = 0; n < TAKEN_PER_TICK && verify_ring_next(v->rings[i], &told);
		    n++) {
			if (!verify_wait_add(&v->wait, &told))
				COUNT(v->counters.full, 1);
			verify_ring_taken(v->rings[i]);
		}
	SHOW(v->counters.waiting, v->wait.used);
}

/* ---- verdicts ---- */

static void
fill_wrong(const struct verify *v, const struct verify_item *item, const struct verify_seen *seen,
    struct verify_wrong *out)
{
	const struct verify_item *newest = verify_wait_newest(&v->wait, item);
	const struct verify_told *told = &newest->told;

	*out = (struct verify_wrong){ .serial = newest->serial,
		.table = told->table,
		.template = told->template,
		.look = item->look,
		.what = verify_what(seen),
		.said = told->said,
		.seen = *seen,
		.lane = told->lane != NULL ? told->lane->name : NULL,
		.change = told->change,
		.up_to = told->up_to,
		.told_wall_ms = told->at_wall_ms,
		.seen_wall_ms = clock_wall_ms() };
	if (v->config->show_keys)
		snprintf(out->key, sizeof(out->key), "%.*s", STR_ARGS(told->key));
	else
		snprintf(out->key, sizeof(out->key), "%016llx",
		    (unsigned long long)hot_key_hash(told->key));
}

/* A key stands there once.  Where a later invalidation of it is known there it is that one which should
 * have fixed it: *wrong takes it over. */
static void
keep_wrong(struct verify *v, struct verify_wrong *wrong)
{
	size_t at = 0;

	pthread_mutex_lock(&v->mutex);
	while (at < v->wrong_count &&
	    (v->wrong[at].template != wrong->template || strcmp(v->wrong[at].key, wrong->key) != 0))
		at++;
	if (at == v->wrong_count) {
		at = v->wrong_next;
		v->wrong_next = (v->wrong_next + 1) % VERIFY_WRONG_KEPT;
		if (v->wrong_count < VERIFY_WRONG_KEPT)
			v->wrong_count++;
	} else if (v->wrong[at].serial > wrong->serial) {
		wrong->serial = v->wrong[at].serial;
		wrong->said = v->wrong[at].said;
		wrong->lane = v->wrong[at].lane;
		wrong->change = v->wrong[at].change;
		wrong->up_to = v->wrong[at].up_to;
		wrong->told_wall_ms = v->wrong[at].told_wall_ms;
	}
	v->wrong[at] = *wrong;
	pthread_mutex_unlock(&v->mutex);
}

static void
tell_wrong(struct verify *v, const struct verify_item *item, const struct verify_seen *seen)
{
	struct verify_wrong w;
	struct buf entry = { 0 };
	char change[POSITION_TEXT];

	fill_wrong(v, item, seen, &w);
	keep_wrong(v, &w);
	explain_version(str_of(w.seen.entry), &entry);
	log_event(LOG_WARN, "stale_key", "table", "%s", w.table->name, "template", "%s",
	    w.template->written, "key", "%s", w.key, "within", "%s", verify_look_name(w.look),
	    "what", "%s", w.what, "entry_version", "%s", entry.data, "row_version", "%llu",
	    (unsigned long long)w.seen.row_version, "told_version", "%llu",
	    (unsigned long long)w.said.version, "lane", "%s", w.lane != NULL ? w.lane : "unknown",
	    "entry", "%s", w.lane != NULL ? position_text(w.change, change) : "", "next", "%s",
	    "it stays until its TTL or the row's next change", NULL);
	buf_deinit(&entry);
}

static void
judge(struct verify *v, struct verify_item *item, const struct verify_seen *seen)
{
	size_t table = (size_t)(item->told.table - v->config->tables);
	struct verify_table_counters *counters = &v->counters.tables[table];
	enum config_mode mode = item->told.template->mode;
	enum verify_verdict verdict = item->confirms ? verify_confirm(mode, &item->first, seen) :
						       verify_judge(mode, &item->told.said, seen);

	switch (verdict) {
	case VERIFY_SUSPECT:
		item->first = *seen;
		verify_wait_again(&v->wait, item, clock_ms());
		return;
	case VERIFY_UNKNOWN:
		COUNT(counters->unknown, 1);
		break;
	case VERIFY_WRONG:
		COUNT(counters->wrong[item->look], 1);
		tell_wrong(v, item, seen);
		COUNT(counters->checks[item->look], 1);
		break;
	case VERIFY_ABSENT:
		COUNT(counters->absent, 1);
		COUNT(counters->checks[item->look], 1);
		break;
	case VERIFY_RIGHT:
		COUNT(counters->checks[item->look], 1);
		break;
	}
	verify_wait_looked(&v->wait, item);
}

/* ---- looking ---- */

/* Some keys of one template. */
static int
look_at(struct verify *v, const struct verify_template *template, struct verify_item **items,
    size_t count)
{
	struct str keys[VERIFY_BATCH_MAX] = { { NULL, 0 } };
	struct verify_seen seen[VERIFY_BATCH_MAX];
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		keys[i] = items[i]->told.key;
	if (verify_eye_look(&v->eye, template, keys, count, seen, &err) == 0) {
		for (size_t i = 0; i < count; i++)
			judge(v, items[i], &seen[i]);
		return 0;
	}
	if (redis_is_open(v->eye.redis))
		away(v, &v->counters.mysql, "mysql", &err);
	else
		away(v, &v->counters.cache, "cache", &err);
	return -1;
}

static void
leave_out(struct verify *v, struct verify_item **items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		verify_wait_looked(&v->wait, items[i]);
	COUNT(v->counters.late, count);
}

/* All of them, template by template; what can't be looked at is left out. */
static void
look_at_all(struct verify *v, struct verify_item **items, size_t count)
{
	struct verify_item *some[VERIFY_BATCH_MAX];
	int status = 0;

	for (size_t t = 0; t < v->eye.template_count; t++) {
		const struct verify_template *template = &v->eye.templates[t];
		size_t n = 0;

		for (size_t i = 0; i < count; i++) {
			if (items[i] == NULL || items[i]->told.template != template->template)
				continue;
			some[n++] = items[i];
			items[i] = NULL;
		}
		if (n > 0 && (status != 0 || (status = look_at(v, template, some, n)) != 0))
			leave_out(v, some, n);
	}
	/* of a template that can't be read backwards */
	for (size_t i = 0; i < count; i++)
		if (items[i] != NULL)
			leave_out(v, &items[i], 1);
}

static void
refill(struct verify *v)
{
	double rate = (double)v->config->verify.rate;
	int64_t now_ms = clock_ms();

	v->tokens += rate * (double)(now_ms - v->tokens_ms) / 1000;
	v->tokens_ms = now_ms;
	/* no more than a second's worth at once */
	if (v->tokens > rate)
		v->tokens = rate;
}

/* A session that nobody uses ends by itself: it is kept while keys wait. */
static void
keep_session(struct verify *v)
{
	struct err err = { 0 };

	if (!sql_is_open(v->eye.rows.sql) || clock_ms() - v->used_ms < PING_MS)
		return;
	v->used_ms = clock_ms();
	if (v->wait.used == 0 || sql_queryf(v->eye.rows.sql, NULL, &err, "DO 1") != 0)
		sql_close(v->eye.rows.sql);
}

static void
look(struct verify *v)
{
	struct verify_item *items[VERIFY_BATCH_MAX];
	uint64_t late = 0;
	size_t count, max;

	refill(v);
	while (atomic_load(&v->stop) == 0 && v->tokens >= 1 && v->wait.used > 0 && is_ready(v)) {
		max = v->tokens < (double)VERIFY_BATCH_MAX ? (size_t)v->tokens : VERIFY_BATCH_MAX;
		count = verify_wait_due(&v->wait, clock_ms(), items, max, &late);
		if (count == 0)
			break;
		v->tokens -= (double)count;
		look_at_all(v, items, count);
		v->used_ms = clock_ms();
	}
	COUNT(v->counters.late, late);
	SHOW(v->counters.waiting, v->wait.used);
	SHOW(v->counters.found, v->eye.found);
	SHOW(v->counters.absent, v->eye.absent);
}

/* ---- the thread ---- */

static void *
verify_thread(void *arg)
{
	struct verify *v = arg;
	struct pollfd wake = { .fd = v->wake_fd, .events = POLLIN };

	pthread_setname_np(pthread_self(), "verify");
	sql_thread_start();
	v->tokens_ms = clock_ms();
	while (atomic_load(&v->stop) == 0) {
		take_rings(v);
		look(v);
		keep_session(v);
		poll(&wake, 1, TICK_MS);
	}
	sql_close(v->eye.rows.sql);
	redis_close(v->eye.redis);
	sql_thread_stop();
	return NULL;
}

/* ---- from outside ---- */

static void
make(struct verify *v, const struct config *config, size_t workers)
{
	v->config = config;
	random_init(&v->random, random_seed());
	pthread_mutex_init(&v->mutex, NULL);
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(v->wake_fd >= 0);
	breaker_init(&v->counters.mysql, &v->random);
	breaker_init(&v->counters.cache, &v->random);
	v->counters.tables = calloc(config->table_count + 1, sizeof(*v->counters.tables));
	CHECK(v->counters.tables != NULL);
	verify_eye_init(&v->eye, config, NULL, "sluice-verify");
	sql_set_wait(v->eye.rows.sql, sql_wait_or_wake, &v->wake_fd);
	verify_wait_init(&v->wait, (size_t)config->verify.waiting);
	v->ring_count = workers > 0 ? workers : 1;
	v->rings = calloc(v->ring_count, sizeof(struct verify_ring *));
	CHECK(v->rings != NULL);
	for (size_t i = 0; i < v->ring_count; i++)
		v->rings[i] = verify_ring_new(config->verify.sample);
}

struct verify *
verify_new(const struct config *config, size_t workers, struct err *err)
{
	struct verify *v = calloc(1, sizeof(*v));

	CHECK(v != NULL);
	make(v, config, workers);

	int code = pthread_create(&v->thread, NULL, verify_thread, v);
	v->started = code == 0;
	if (code == 0)
		return v;
	err_set(err, ERR_FATAL, code, "cannot start the verify thread: %s", strerror(code));
	verify_free(&v);
	return NULL;
}

void
verify_free(struct verify **verify)
{
	struct verify *v = *verify;

	if (v == NULL)
		return;
	atomic_store(&v->stop, 1);
	eventfd_write(v->wake_fd, 1);
	if (v->started)
		pthread_join(v->thread, NULL);
	verify_eye_deinit(&v->eye);
	verify_wait_deinit(&v->wait);
	for (size_t i = 0; i < v->ring_count; i++)
		verify_ring_free(&v->rings[i]);
	free(v->rings);
	free(v->counters.tables);
	pthread_mutex_destroy(&v->mutex);
	close(v->wake_fd);
	free(v);
	*verify = NULL;
}

struct verify_ring *
verify_ring(struct verify *verify, size_t worker)
{
	CHECK(worker < verify->ring_count);
	return verify->rings[worker];
}

struct verify_counters *
verify_counters(struct verify *verify)
{
	return &verify->counters;
}

void
verify_told_counts(const struct verify *verify, uint64_t *told, uint64_t *picked, uint64_t *dropped)
{
	*told = *picked = *dropped = 0;
	for (size_t i = 0; i < verify->ring_count; i++) {
		struct verify_ring_counts *counts = verify_ring_counts(verify->rings[i]);

		*told += SEE(counts->told);
		*picked += SEE(counts->picked);
		*dropped += SEE(counts->dropped);
	}
}

size_t
verify_wrong_keys(struct verify *v, struct verify_wrong out[VERIFY_WRONG_KEPT])
{
	size_t count;

	pthread_mutex_lock(&v->mutex);
	count = v->wrong_count;
	for (size_t i = 0; i < count; i++)
		out[i] = v->wrong[(v->wrong_next + VERIFY_WRONG_KEPT - 1 - i) % VERIFY_WRONG_KEPT];
	pthread_mutex_unlock(&v->mutex);
	return count;
}
