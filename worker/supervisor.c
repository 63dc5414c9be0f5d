#include "worker/supervisor.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mysql.h"
#include "common/resident.h"
#include "worker/cache/refresh.h"
#include "worker/cache/verify.h"
#include "worker/operate/access.h"
#include "worker/operate/backlog.h"
#include "worker/operate/exit_code.h"
#include "worker/operate/http.h"
#include "worker/operate/monitor.h"
#include "worker/operate/watched.h"
#include "worker/store/no_store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A worker tells the main thread that it has ended by this signal. */
#define SIGNAL_ENDED SIGUSR1

/* After the deadline workers get this long to let go of their lanes. */
enum { GRACE_MS = 500, LANES_LISTED_MAX = 100 };

/* When what only the start needs has been touched, once a process. */
enum { STARTED_MS = 2000 };

/* How long the last look at the streams may wait for Redis, twice: it comes behind the deadline. */
enum { LAST_LOOK_MS = 1000 };

struct thread {
	pthread_t id;
	struct worker *worker;
	pthread_t main;
	bool started;
	/* shared, atomic */
	_Atomic int ended;
	_Atomic int nothing_left;
};

struct supervisor {
	const struct config *config;
	struct lane *lanes;
	size_t lane_count; /* those of the configuration; s->watched.lane_count is all */
	struct lane_table table;
	struct worker *workers;
	struct thread *threads;
	struct lane ***lanes_of; /* by worker */
	size_t worker_count, workers_made;
	size_t stream_workers; /* the first of them; the others read topics */
	_Atomic int stop;
	int wake_fd; /* readable once stop is set: workers wait for it too */
	struct watched watched;
	struct refresh *refresh; /* NULL: no table has it */
	struct verify *verify;	 /* NULL: not asked for */
	struct monitor *monitor;
	struct http *http;
	sigset_t signals;
};

/* ---- set up ---- */

static void
block_signals(struct supervisor *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	sigaddset(&s->signals, SIGNAL_ENDED);
	pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	signal(SIGPIPE, SIG_IGN); /* a client that hangs up is no reason to die */
	/* nor is a log that may not grow: its lines are lost and counted */
	signal(SIGXFSZ, SIG_IGN);
}

static void *
rows_of(size_t count, size_t bytes)
{
	void *rows = calloc(count > 0 ? count : 1, bytes);

	CHECK(rows != NULL);
	return rows;
}

/* A lane's index is among those of its kind: only those that write are shared out in a pool. */
static void
make_lanes(struct supervisor *s)
{
	int index[2] = { 0, 0 };
	size_t made = 0;

	s->lane_count = config_lane_count(s->config);
	s->table = (struct lane_table){
		.config = s->config, .count = &s->watched.lane_count, .max = lanes_max(s->config)
	};
	pthread_mutex_init(&s->table.adding, NULL);
	s->table.lanes = s->lanes = rows_of(s->table.max, sizeof(*s->lanes));
	for (size_t i = 0; i < s->config->source_count; i++) {
		const struct config_source *source = &s->config->sources[i];

		for (size_t j = 0; j < source->stream_count; j++)
			lane_init(&s->lanes[made++], s->config, source, j, index[source->write]++);
	}
	CHECK(made == s->lane_count);
}

static void
make_worker(struct supervisor *s, size_t index)
{
	struct worker *worker = &s->workers[index];

	worker_init(worker, s->config, (int)index, NULL, 0, &s->stop);
	worker->wake_fd = s->wake_fd;
	worker->cache = invalidate_new(s->config, (int)index);
	worker->cache->counters = &worker->counters;
	s->threads[index].worker = worker;
	s->threads[index].main = pthread_self();
	s->workers_made++;
}

/* Of lanes that write, or of lanes that don't: these never wait for MySQL. */
static void
read_streams(struct supervisor *s, size_t index, bool writes, size_t slot, size_t slots)
{
	struct worker *worker = &s->workers[index];
	struct letter_home *home;

	make_worker(s, index);
	worker->lanes = s->lanes_of[index] =
	    rows_of(s->lane_count / slots + 1, sizeof(struct lane *));
	for (size_t i = 0; i < s->lane_count; i++) {
		if (s->lanes[i].source->write != writes ||
		    (size_t)s->lanes[i].index % slots != slot)
			continue;
		SHOW(s->lanes[i].shown_worker, (int)index);
		worker->lanes[worker->lane_count++] = &s->lanes[i];
	}
	worker->invalidates = !writes;
	if (writes) {
		worker->source = redis_stream_new(s->config, (int)index);
		worker->store = mysql_store_new(s->config, (int)index, worker_wait, worker);
	} else {
		home = letter_home_new(s->config, (int)index);
		worker->source = redis_group_new(s->config, (int)index);
		worker->store = no_store_new(s->config, &home);
	}
}

static void
read_topics(struct supervisor *s, size_t index, bool writes)
{
	struct worker *worker = &s->workers[index];
	struct letter_home *home = writes ? NULL : letter_home_new(s->config, (int)index);

	make_worker(s, index);
	worker->lanes = s->lanes_of[index] = rows_of(WORKER_LANES_MAX, sizeof(struct lane *));
	worker->table = &s->table;
	worker->source_breaker = &worker->counters.kafka;
	worker->source = kafka_new(s->config, (int)index, writes);
	worker->invalidates = !writes;
	worker->store = writes ? mysql_store_new(s->config, (int)index, worker_wait, worker) :
				 no_store_new(s->config, &home);
}

static size_t
workers_for(const struct supervisor *s, bool writes)
{
	size_t lanes = config_lanes_of_kind(s->config, writes);

	return (size_t)s->config->workers < lanes ? (size_t)s->config->workers : lanes;
}

static void
make_workers(struct supervisor *s)
{
	size_t writing = workers_for(s, true), invalidating = workers_for(s, false);
	size_t topics = config_reads_topics_to(s->config, true) ? (size_t)s->config->workers : 0;
	size_t told = config_reads_topics_to(s->config, false) ? (size_t)s->config->workers : 0;

	s->stream_workers = writing + invalidating;
	s->worker_count = s->stream_workers + topics + told;
	s->workers = rows_of(s->worker_count, sizeof(*s->workers));
	s->threads = rows_of(s->worker_count, sizeof(*s->threads));
	s->lanes_of = rows_of(s->worker_count, sizeof(*s->lanes_of));
	for (size_t i = 0; i < writing; i++)
		read_streams(s, i, true, i, writing);
	for (size_t i = 0; i < invalidating; i++)
		read_streams(s, writing + i, false, i, invalidating);
	for (size_t i = s->stream_workers; i < s->worker_count; i++)
		read_topics(s, i, i < s->stream_workers + topics);
	s->watched = (struct watched){
		.config = s->config,
		.lanes = s->lanes,
		.lane_count = s->lane_count,
		.workers = s->workers,
		.worker_count = s->worker_count,
		.started_ms = clock_ms(),
		.started_wall_ms = clock_wall_ms(),
		.stop = &s->stop,
	};
}

/* Before anybody looks at it. */
static int
start_refresh(struct supervisor *s, struct err *err)
{
	if (!config_refreshes(s->config))
		return 0;
	s->refresh = refresh_new(s->config, s->worker_count, err);
	if (s->refresh == NULL)
		return -1;
	for (size_t i = 0; i < s->worker_count; i++)
		if (s->workers[i].cache != NULL)
			s->workers[i].cache->reloads = refresh_ring(s->refresh, i);
	s->watched.refresh = s->refresh;
	return 0;
}

static int
start_verify(struct supervisor *s, struct err *err)
{
	if (s->config->verify.sample == 0)
		return 0;
	s->verify = verify_new(s->config, s->worker_count, err);
	if (s->verify == NULL)
		return -1;
	for (size_t i = 0; i < s->worker_count; i++)
		if (s->workers[i].cache != NULL)
			s->workers[i].cache->checks = verify_ring(s->verify, i);
	s->watched.verify = s->verify;
	return 0;
}

static int
start_pages(struct supervisor *s, struct err *err)
{
	if (s->config->http_host == NULL)
		return 0;
	s->http = http_new(s->config->http_host, s->config->http_port, &s->watched, err);
	if (s->http == NULL)
		return -1;
	log_event(LOG_INFO, "http_listening", "host", "%s", s->config->http_host, "port", "%d",
	    http_port(s->http), NULL);
	return 0;
}

static void *
thread_main(void *arg)
{
	struct thread *thread = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker%d", thread->worker->index);
	pthread_setname_np(pthread_self(), name);
	atomic_store(&thread->nothing_left, worker_run(thread->worker));
	atomic_store(&thread->ended, 1);
	pthread_kill(thread->main, SIGNAL_ENDED);
	return NULL;
}

static int
start_workers(struct supervisor *s, struct err *err)
{
	for (size_t i = 0; i < s->worker_count; i++) {
		int code = pthread_create(&s->threads[i].id, NULL, thread_main, &s->threads[i]);
		if (code != 0)
			return err_set(err, ERR_FATAL, code, "cannot start worker %zu: %s", i,
			    strerror(code));
		s->threads[i].started = true;
	}
	return 0;
}

static int
start(struct supervisor *s, struct err *err)
{
	log_event(LOG_INFO, "start", "version", "%s", SLUICE_VERSION, "pool", "%s", s->config->pool,
	    "lanes", "%zu", s->lane_count, "workers", "%zu", s->worker_count, "pid", "%d",
	    (int)getpid(), "config", "%s", s->config->file, NULL);
	if (s->stream_workers < (size_t)s->config->workers && s->stream_workers > 0)
		log_event(LOG_WARN, "fewer_workers", "workers", "%zu", s->stream_workers, "why",
		    "%s", "a lane belongs to one worker and there are no more lanes", NULL);
	if (start_refresh(s, err) != 0 || start_verify(s, err) != 0 || start_pages(s, err) != 0)
		return -1;
	s->monitor = monitor_new(&s->watched, err);
	if (s->monitor == NULL)
		return -1;
	return start_workers(s, err);
}

/* ---- running and stopping ---- */

static bool
all_ended(const struct supervisor *s)
{
	for (size_t i = 0; i < s->worker_count; i++)
		if (s->threads[i].started && !atomic_load(&s->threads[i].ended))
			return false;
	return true;
}

static bool
nothing_left(const struct supervisor *s)
{
	for (size_t i = 0; i < s->worker_count; i++)
		if (!atomic_load(&s->threads[i].ended) || !atomic_load(&s->threads[i].nothing_left))
			return false;
	return true;
}

/* The next signal within timeout_ms, or 0. */
static int
next_signal(const struct supervisor *s, int64_t timeout_ms)
{
	struct timespec timeout;

	if (timeout_ms < 0)
		timeout_ms = 0;
	timeout.tv_sec = (time_t)(timeout_ms / 1000);
	timeout.tv_nsec = (long)(timeout_ms % 1000) * 1000000;
	int signal_number = sigtimedwait(&s->signals, NULL, &timeout);
	return signal_number > 0 ? signal_number : 0;
}

static void
log_what_is_left(const struct supervisor *s, const char *why)
{
	char text[POSITION_TEXT];
	size_t listed = 0;

	for (size_t i = 0; i < atomic_load(&s->watched.lane_count); i++) {
		struct lane *lane = &s->lanes[i];
		struct position done = { SEE(lane->shown_done_ms), SEE(lane->shown_done_minor) };
		uint64_t lag = SEE(lane->lag);
		if (lag == 0 || listed++ >= LANES_LISTED_MAX)
			continue;
		log_event(LOG_WARN, "left_in_stream", "lane", "%s", lane->name, "lag", "%llu",
		    (unsigned long long)lag, "done", "%s", position_text(done, text), NULL);
	}
	log_event(LOG_ERROR, "stopped_with_work_left", "why", "%s", why, "lanes_with_lag", "%zu",
	    listed, "next", "%s",
	    "nothing is lost: the streams hold it and the next start goes on from the ledger",
	    NULL);
}

static void
on_second_signal(int signal_number)
{
	(void)signal_number;
	_exit(EXIT_CODE_WORK_LEFT);
}

/* While the main thread waits for something else than signals, a second one ends the process. */
static void
obey_second_signal(bool on)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	signal(SIGTERM, on_second_signal);
	signal(SIGINT, on_second_signal);
	pthread_sigmask(on ? SIG_UNBLOCK : SIG_BLOCK, &signals, NULL);
}

/* The workers may not have looked for a while.  False when Redis doesn't tell. */
static bool
look_at_backlog(struct supervisor *s)
{
	struct config hasty = *s->config;
	struct access_redis access;
	struct err err = { 0 };
	bool known;

	if (!config_reads_streams(s->config))
		return false; /* a topic's end isn't asked for */
	access_hurry(&hasty.redis, LAST_LOOK_MS);
	obey_second_signal(true);
	access_redis_init(&access, &hasty.redis, "sluice-stop");
	struct redis *redis = redis_new(&access.options);
	known = backlog_look(redis, &hasty, s->lanes, s->lane_count, &err) == 0;
	if (!known)
		log_event(LOG_WARN, "backlog_unknown", "error", "%s", err.text, NULL);
	redis_free(&redis);
	access_redis_deinit(&access);
	obey_second_signal(false);
	return known && !config_reads_topics(s->config);
}

/* A second signal: the main thread answers it, so it works however stuck a worker is. */
static _Noreturn void
leave_at_once(const struct supervisor *s)
{
	log_flush();
	if (nothing_left(s))
		_exit(EXIT_CODE_OK);
	log_what_is_left(s, "a second signal");
	_exit(EXIT_CODE_WORK_LEFT);
}

static void
wait_for_workers(struct supervisor *s, int64_t deadline_ms)
{
	while (!all_ended(s) && clock_ms() < deadline_ms) {
		int signal_number = next_signal(s, deadline_ms - clock_ms());
		if (signal_number == SIGTERM || signal_number == SIGINT)
			leave_at_once(s);
	}
}

static void
run(struct supervisor *s)
{
	int64_t timeout_ms = STARTED_MS;

	/* a worker ends by itself only when it was told to: no need to look for that here */
	for (;;) {
		int signal_number = next_signal(s, timeout_ms);
		if (signal_number == 0 && timeout_ms == STARTED_MS) {
			resident_drop_code();
			timeout_ms = 3600 * 1000;
		}
		if (signal_number == SIGHUP)
			log_event(LOG_INFO, "signal_ignored", "signal", "%s", "SIGHUP", "why", "%s",
			    "the configuration is read at start only", NULL);
		if (signal_number != SIGTERM && signal_number != SIGINT)
			continue;
		log_event(LOG_INFO, "stopping", "signal", "%s",
		    signal_number == SIGTERM ? "SIGTERM" : "SIGINT", "timeout_ms", "%d",
		    s->config->shutdown_timeout_ms, NULL);
		return;
	}
}

/* Workers that had nothing in hand, because MySQL was away, end at once; the streams may not be
 * empty. */
static bool
mysql_is_away(const struct supervisor *s)
{
	for (size_t i = 0; i < s->worker_count; i++)
		if (!s->workers[i].invalidates &&
		    atomic_load(&s->workers[i].counters.mysql.state) != BREAKER_CLOSED)
			return true;
	return false;
}

/* What nobody knows is not called finished. */
static bool
backlog_is_empty(struct supervisor *s)
{
	uint64_t lag = 0;

	if (!look_at_backlog(s))
		return false;
	for (size_t i = 0; i < s->lane_count; i++)
		lag += SEE(s->lanes[i].lag);
	return lag == 0;
}

static int
stop(struct supervisor *s)
{
	atomic_store(&s->stop, 1);
	eventfd_write(s->wake_fd, 1);
	wait_for_workers(s, clock_ms() + s->config->shutdown_timeout_ms);
	if (!all_ended(s)) {
		atomic_store(&s->stop, 2);
		wait_for_workers(s, clock_ms() + GRACE_MS);
	}
	log_flush();
	bool away = mysql_is_away(s);
	if (nothing_left(s) && (!away || backlog_is_empty(s))) {
		log_event(LOG_INFO, "stopped", NULL);
		return EXIT_CODE_OK;
	}
	if (!nothing_left(s))
		look_at_backlog(s);
	log_what_is_left(s, away ? "mysql is away" : "not finished within shutdown_timeout");
	if (!all_ended(s))
		_exit(EXIT_CODE_WORK_LEFT); /* a thread that hangs can't be joined */
	return EXIT_CODE_WORK_LEFT;
}

static void
free_worker(struct supervisor *s, size_t index)
{
	struct worker *worker = &s->workers[index];

	for (size_t i = 0; i < worker->lane_count; i++)
		worker->source->ops->close_lane(worker->source, worker->lanes[i]);
	worker_deinit(worker);
	free(s->lanes_of[index]);
}

static void
supervisor_deinit(struct supervisor *s)
{
	http_free(&s->http);
	monitor_free(&s->monitor);
	for (size_t i = 0; i < s->worker_count; i++)
		if (s->threads[i].started)
			pthread_join(s->threads[i].id, NULL);
	refresh_free(&s->refresh);
	verify_free(&s->verify);
	for (size_t i = 0; i < s->workers_made; i++)
		free_worker(s, i);
	free(s->lanes_of);
	free(s->threads);
	for (size_t i = s->lane_count; i < atomic_load(&s->watched.lane_count); i++) {
		parked_deinit(&s->lanes[i].parked);
		parked_deinit(&s->lanes[i].replay_blocked);
	}
	pthread_mutex_destroy(&s->table.adding);
	free(s->workers);
	free(s->lanes);
	close(s->wake_fd);
}

int
supervisor_run(const struct config *config)
{
	struct supervisor s = { .config = config };
	struct err err = { 0 };
	int code = EXIT_CODE_RUNTIME;

	block_signals(&s);
	sql_library_init();
	s.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(s.wake_fd >= 0);
	make_lanes(&s);
	make_workers(&s);
	if (start(&s, &err) == 0) {
		run(&s);
		code = stop(&s);
	} else {
		log_event(LOG_ERROR, "start_failed", "error", "%s", err.text, NULL);
		atomic_store(&s.stop, 2);
		eventfd_write(s.wake_fd, 1);
	}
	supervisor_deinit(&s);
	return code;
}
