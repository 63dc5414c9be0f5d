#include "worker/operate/monitor.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/number.h"
#include "common/redis.h"
#include "worker/operate/access.h"
#include "worker/operate/backlog.h"
#include "worker/operate/snapshot.h"
#include "worker/source/kafka_record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Its own patience with Redis is short: what it asks for can be missed, and the end waits for it. */
enum {
	TICK_MS = 1000,
	REDIS_EVERY_MS = 10000,
	BACKLOG_EVERY_MS = 2000,
	DEAD_EVERY_MS = 3000,
	PATIENCE_MS = 2000
};

struct monitor {
	struct watched *watched;
	pthread_t thread;
	pthread_mutex_t mutex; /* only for the condition: the thread sleeps on it */
	pthread_cond_t wake;
	bool stop;
	struct rates rates;
	int64_t redis_asked_ms, backlog_asked_ms, dead_asked_ms;
	struct config hasty; /* the configuration, with that patience */
	struct access_redis access;
	struct redis *redis;
	struct kafka_reader *dead_topic; /* NULL: not open */
	struct access_redis cache_access;
	struct redis *cache;
	struct cache_watch cache_watch;
	struct random random;
	struct monitor_view view;
};

const char *
rate_name(enum rate rate)
{
	static const char *const names[RATES] = { "entries", "changes", "rows", "batches",
		"invalidated" };

	return rate < RATES ? names[rate] : NULL;
}

void
rates_sample(struct rates *r, int64_t now_ms, const uint64_t totals[RATES], double a_second[RATES])
{
	unsigned oldest = r->count < RATE_SAMPLES ? 0 : r->next;

	/* the slot about to be overwritten is the oldest one */
	int64_t elapsed_ms = r->count == 0 ? 0 : now_ms - r->at_ms[oldest];
	for (int i = 0; i < RATES; i++) {
		uint64_t before = r->count == 0 ? 0 : r->totals[oldest][i];
		a_second[i] =
		    elapsed_ms > 0 ? (double)(totals[i] - before) * 1000 / (double)elapsed_ms : 0;
	}
	memcpy(r->totals[r->next], totals, sizeof(r->totals[0]));
	r->at_ms[r->next] = now_ms;
	r->next = (r->next + 1) % RATE_SAMPLES;
	if (r->count < RATE_SAMPLES)
		r->count++;
}

static void
look_at_rates(struct monitor *m)
{
	uint64_t totals[RATES] = { 0 };
	double a_second[RATES];

	for (size_t i = 0; i < m->watched->worker_count; i++) {
		struct counters *c = &m->watched->workers[i].counters;
		totals[RATE_ENTRIES] += SEE(c->entries);
		totals[RATE_CHANGES] += SEE(c->changes);
		totals[RATE_ROWS] += SEE(c->rows);
		totals[RATE_BATCHES] += SEE(c->batches);
		totals[RATE_INVALIDATED] += SEE(c->invalidated);
	}
	rates_sample(&m->rates, clock_ms(), totals, a_second);
	for (int i = 0; i < RATES; i++)
		SHOW(m->view.rates_thousandths[i], (uint64_t)(a_second[i] * 1000 + 0.5));
}

/* Is the server there?  Only the breaker says when that is tried again. */
static bool
reach(struct redis *redis, struct breaker *breaker, enum dependency dependency)
{
	struct err err = { 0 };

	if (redis_is_open(redis))
		return true;
	if (!breaker_ready(breaker))
		return false;
	if (redis_open(redis, &err) != 0) {
		if (breaker_failed(breaker, err.text))
			log_event(LOG_WARN, "probe_failed", "dependency", "%s",
			    dependency_name(dependency), "error", "%s", err.text, NULL);
		return false;
	}
	if (breaker_worked(breaker))
		log_event(LOG_INFO, "probe_goes_on", "dependency", "%s",
		    dependency_name(dependency), NULL);
	return true;
}

static void
look_at_redis(struct monitor *m)
{
	struct arena arena;
	struct redis_reply *reply;
	uint64_t used, max;

	if (m->redis_asked_ms != 0 && clock_ms() - m->redis_asked_ms < REDIS_EVERY_MS)
		return;
	m->redis_asked_ms = clock_ms();

	arena_init(&arena, 0);
	reply = redis_call(m->redis, &arena, NULL, "INFO memory");
	if (reply != NULL && redis_info_number(reply->text, "used_memory", &used) &&
	    redis_info_number(reply->text, "maxmemory", &max)) {
		SHOW(m->view.redis_used_bytes, used);
		SHOW(m->view.redis_max_bytes, max);
	}
	arena_deinit(&arena);
}

static void
count_in_stream(struct monitor *m)
{
	struct arena arena;
	struct redis_reply *reply;

	if (!reach(m->redis, &m->view.redis, DEPENDENCY_REDIS))
		return;
	arena_init(&arena, 0);
	reply = redis_call(m->redis, &arena, NULL, "XLEN %s", m->hasty.dead_stream);
	if (reply != NULL && reply->type == REDIS_INTEGER && reply->integer >= 0)
		SHOW(m->view.dead_stream_entries, (uint64_t)reply->integer);
	arena_deinit(&arena);
}

static void
count_in_topic(struct monitor *m)
{
	int64_t count;

	if (m->dead_topic == NULL)
		m->dead_topic = kafka_reader_new(&m->hasty, m->hasty.dead_topic, NULL);
	count = m->dead_topic != NULL ? kafka_reader_count(m->dead_topic, NULL) : -1;
	if (count >= 0)
		SHOW(m->view.dead_stream_entries, (uint64_t)count);
	else
		kafka_reader_free(&m->dead_topic); /* it may be another one by now */
}

static void
look_at_dead_letters(struct monitor *m)
{
	if (m->dead_asked_ms != 0 && clock_ms() - m->dead_asked_ms < DEAD_EVERY_MS)
		return;
	m->dead_asked_ms = clock_ms();
	if (m->hasty.dead_topic != NULL)
		count_in_topic(m);
	else
		count_in_stream(m);
}

static void
look_at_cache(struct monitor *m)
{
	bool was_open = redis_is_open(m->cache);

	if (!reach(m->cache, &m->view.cache, DEPENDENCY_CACHE))
		return;
	if (!was_open)
		m->cache_watch.asked_ms = 0; /* it may be another one: look at once */
	cache_watch_turn(&m->cache_watch, m->cache);
}

/* While MySQL is away no worker looks at its lanes: somebody must see them grow. */
static void
look_at_backlog(struct monitor *m)
{
	bool away = false;

	for (size_t i = 0; i < m->watched->worker_count; i++)
		away |= !m->watched->workers[i].invalidates &&
		    atomic_load(&m->watched->workers[i].counters.mysql.state) != BREAKER_CLOSED;
	if (!away || !redis_is_open(m->redis) ||
	    clock_ms() - m->backlog_asked_ms < BACKLOG_EVERY_MS)
		return;
	m->backlog_asked_ms = clock_ms();
	backlog_look(m->redis, &m->hasty, m->watched->lanes, config_lane_count(&m->hasty), NULL);
}

/* Sleep one tick; false when it is time to end. */
static bool
rest(struct monitor *m)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_MS / 1000;
	pthread_mutex_lock(&m->mutex);
	while (!m->stop && pthread_cond_timedwait(&m->wake, &m->mutex, &until) != ETIMEDOUT)
		;
	stop = m->stop;
	pthread_mutex_unlock(&m->mutex);
	return !stop;
}

static void *
monitor_thread(void *arg)
{
	struct monitor *m = arg;

	pthread_setname_np(pthread_self(), "monitor");
	do {
		look_at_rates(m);
		if (config_reads_streams(&m->hasty) &&
		    reach(m->redis, &m->view.redis, DEPENDENCY_REDIS)) {
			look_at_redis(m);
			look_at_backlog(m);
		}
		if (config_invalidates(&m->hasty))
			look_at_dead_letters(m);
		if (config_has_templates(&m->hasty))
			look_at_cache(m);
		log_flush_quiet();
	} while (rest(m));
	return NULL;
}

struct monitor *
monitor_new(struct watched *watched, struct err *err)
{
	struct monitor *m = calloc(1, sizeof(*m));
	pthread_condattr_t attributes;

	CHECK(m != NULL);
	m->watched = watched;
	pthread_mutex_init(&m->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&m->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	m->hasty = *watched->config;
	access_hurry(&m->hasty.redis, PATIENCE_MS);
	if (m->hasty.kafka.timeout_ms > PATIENCE_MS)
		m->hasty.kafka.timeout_ms = PATIENCE_MS;
	access_redis_init(&m->access, &m->hasty.redis, "sluice-monitor");
	m->redis = redis_new(&m->access.options);
	access_hurry(&m->hasty.cache, PATIENCE_MS);
	access_redis_init(&m->cache_access, &m->hasty.cache, "sluice-cache-watch");
	m->cache = redis_new(&m->cache_access.options);
	cache_watch_init(&m->cache_watch, watched, &m->view.cache_view);
	random_init(&m->random, random_seed());
	breaker_init(&m->view.redis, &m->random);
	breaker_init(&m->view.cache, &m->random);
	watched->monitor = m;

	int code = pthread_create(&m->thread, NULL, monitor_thread, m);
	if (code == 0)
		return m;
	err_set(err, ERR_FATAL, code, "cannot start the monitor's thread: %s", strerror(code));
	m->thread = 0;
	monitor_free(&m);
	return NULL;
}

void
monitor_free(struct monitor **monitor)
{
	struct monitor *m = *monitor;

	if (m == NULL)
		return;
	pthread_mutex_lock(&m->mutex);
	m->stop = true;
	pthread_cond_signal(&m->wake);
	pthread_mutex_unlock(&m->mutex);
	if (m->thread != 0)
		pthread_join(m->thread, NULL);
	m->watched->monitor = NULL;
	kafka_reader_free(&m->dead_topic);
	redis_free(&m->redis);
	redis_free(&m->cache);
	access_redis_deinit(&m->cache_access);
	access_redis_deinit(&m->access);
	pthread_cond_destroy(&m->wake);
	pthread_mutex_destroy(&m->mutex);
	free(m);
	*monitor = NULL;
}

struct monitor_view *
monitor_view(struct monitor *monitor)
{
	return &monitor->view;
}
