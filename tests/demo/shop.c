#include "tests/demo/shop.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/random.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * demo_shop REDIS_PORT MYSQL_PORT DATABASE RATE [SEED]	PASSWORD in the environment
 *
 * Adds RATE changes a second until a line "stop" comes in, then waits for "check", compares, and
 * ends.  Says how it goes in lines of JSON on standard output; other lines are for people.
 */
enum { CHUNK = 256, REPORT_MS = 200, REPLY_MS = 30000, BACKLOG_MAX = 250000 };

struct shop {
	struct shop_servers servers;
	struct model *model;
	struct reader reader;
	struct slow slow;
	struct redis *redis;
	struct arena arena;
	uint64_t rate, sent;
	double credit; /* changes that may go out now */
	int64_t paced_ms, reported_ms;
	bool slowed; /* the streams hold BACKLOG_MAX entries: a slow machine shall end, too */
	bool stopped;
};

static const char *
password(void *arg)
{
	(void)arg;
	return getenv("PASSWORD");
}

static int
receive(struct shop *s, struct redis_reply **reply, struct err *err)
{
	int got = redis_receive(s->redis, &s->arena, REPLY_MS, reply, err);

	if (got == 0)
		return err_set(err, ERR_RETRY, 0, "redis: no answer within %d ms", REPLY_MS);
	return got < 0 ? -1 : redis_reply_error(*reply, err);
}

static int
send_chunk(struct shop *s, struct err *err)
{
	struct redis_reply *reply;
	struct shop_change change;

	arena_reset(&s->arena);
	for (int i = 0; i < CHUNK; i++) {
		model_next(s->model, &change);
		redis_queue(s->redis, change.argc, change.argv);
	}
	if (redis_flush(s->redis, err) != 0)
		return -1;
	for (int i = 0; i < CHUNK; i++)
		if (receive(s, &reply, err) != 0)
			return -1;
	s->sent += CHUNK;
	return 0;
}

/* Entries in all streams, those already written and not yet trimmed included. */
static int
look_at_backlog(struct shop *s, struct err *err)
{
	struct redis_reply *reply;
	int64_t backlog = 0;

	arena_reset(&s->arena);
	for (int i = 0; i < SHOP_TABLES * SHOP_LANES; i++)
		redis_queuef(s->redis, "XLEN %s",
		    arena_printf(&s->arena, "wb:%s:%d",
			shop_table_name((enum shop_table)(i / SHOP_LANES)), i % SHOP_LANES));
	if (redis_flush(s->redis, err) != 0)
		return -1;
	for (int i = 0; i < SHOP_TABLES * SHOP_LANES; i++) {
		if (receive(s, &reply, err) != 0)
			return -1;
		backlog += reply->integer;
	}
	s->slowed = backlog > BACKLOG_MAX;
	return 0;
}

static void
report_slow(const char *way, const struct slow_reads *r)
{
	printf("{\"%s\": {\"reads\": %llu, \"filled\": %llu, \"refused\": %llu, \"stale\": "
	       "%llu}}\n",
	    way, (unsigned long long)r->reads, (unsigned long long)r->filled,
	    (unsigned long long)r->refused, (unsigned long long)r->stale);
}

static void
report(struct shop *s, const char *state)
{
	printf("{\"state\": \"%s\", \"sent\": %llu, \"sessions\": %llu, \"inventory\": %llu,"
	       " \"users\": %llu, \"refused\": %llu, \"slowed\": %s, \"hits\": %llu,"
	       " \"misses\": %llu, \"filled\": %llu, \"dropped\": %llu, \"unavailable\": %llu}\n",
	    state, (unsigned long long)s->sent,
	    (unsigned long long)model_changes(s->model, SHOP_SESSIONS),
	    (unsigned long long)model_changes(s->model, SHOP_INVENTORY),
	    (unsigned long long)model_changes(s->model, SHOP_USERS),
	    (unsigned long long)model_refused(s->model), s->slowed ? "true" : "false",
	    (unsigned long long)s->reader.hits, (unsigned long long)s->reader.misses,
	    (unsigned long long)s->reader.filled, (unsigned long long)s->reader.dropped,
	    (unsigned long long)s->reader.unavailable);
	report_slow("plain", &s->slow.plain);
	report_slow("versioned", &s->slow.versioned);
}

/* A command of our parent within timeout_ms: 's'top, 'c'heck, 0 none, -1 it is gone. */
static int
next_command(int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int found = 0;
	char c;

	/* the first letter of a line says it */
	while (poll(&input, 1, found == 0 ? timeout_ms : -1) > 0) {
		if (read(STDIN_FILENO, &c, 1) != 1)
			return -1;
		if (c == '\n')
			break;
		if (found == 0)
			found = (unsigned char)c;
	}
	return found;
}

static int
pace(struct shop *s)
{
	int64_t now_ms = clock_ms();

	s->credit += (double)s->rate * (double)(now_ms - s->paced_ms) / 1000;
	s->paced_ms = now_ms;
	if (s->credit > (double)s->rate / 4) /* what a slow moment lost is not made up for */
		s->credit = (double)s->rate / 4;
	return !s->slowed && s->credit >= (double)CHUNK;
}

static int
run(struct shop *s, struct err *err)
{
	s->paced_ms = clock_ms();
	while (!s->stopped) {
		bool sends = pace(s);
		int command = next_command(sends ? 0 : 2);

		if (command < 0)
			return err_set(err, ERR_FATAL, 0, "the parent is gone");
		s->stopped = command == 's';
		if (sends && send_chunk(s, err) != 0)
			return -1;
		if (sends)
			s->credit -= (double)CHUNK;
		if (clock_ms() - s->reported_ms < REPORT_MS)
			continue;
		s->reported_ms = clock_ms();
		if (look_at_backlog(s, err) != 0)
			return -1;
		report(s, "selling");
	}
	report(s, "stopped");
	return 0;
}

/* The reader goes on until the check. */
static int
wait_for_check(struct shop *s, struct err *err)
{
	int command;

	while ((command = next_command(REPORT_MS)) != 'c') {
		if (command < 0)
			return err_set(err, ERR_FATAL, 0, "the parent is gone");
		report(s, "stopped");
	}
	return 0;
}

static int
check(struct shop *s, struct err *err)
{
	struct shop_verdict v;

	if (atomic_load(&s->reader.failed) || atomic_load(&s->slow.failed))
		return err_set(err, ERR_RETRY, 0, "a reader ended early");
	if (shop_check(&s->servers, s->model, &v, err) != 0)
		return -1;
	printf("{\"state\": \"checked\", \"rows\": %llu, \"wrong\": %llu, \"letters\": %llu,"
	       " \"letters_wrong\": %llu, \"cached\": %llu, \"stale\": %llu}\n",
	    (unsigned long long)v.rows, (unsigned long long)v.wrong, (unsigned long long)v.letters,
	    (unsigned long long)v.letters_wrong, (unsigned long long)v.cached,
	    (unsigned long long)v.stale);
	report(s, "checked");
	return v.wrong + v.letters_wrong + v.stale + s->slow.versioned.stale > 0;
}

static void
shop_init(struct shop *s, char **argv, uint64_t seed)
{
	s->servers.redis = (struct redis_options){ .host = "127.0.0.1",
		.port = atoi(argv[1]),
		.client_name = "shop",
		.connect_timeout_ms = 10000,
		.timeout_ms = REPLY_MS };
	s->servers.mysql = (struct sql_options){ .host = "127.0.0.1",
		.port = atoi(argv[2]),
		.user = "app",
		.password = password,
		.database = argv[3],
		.connect_timeout_ms = 10000,
		.timeout_ms = 120000 };
	s->rate = strtoull(argv[4], NULL, 10);
	s->model = model_new(seed);
	s->redis = redis_new(&s->servers.redis);
	arena_init(&s->arena, 1024 * 1024);
}

int
main(int argc, char **argv)
{
	static struct shop s;
	struct err err = { 0 };
	int status = -1;

	if (argc < 5 || argc > 6) {
		fputs("usage: demo_shop REDIS_PORT MYSQL_PORT DATABASE RATE [SEED]\n", stderr);
		return 2;
	}
	uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : random_seed();
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	sql_library_init();
	sql_thread_start();
	shop_init(&s, argv, seed);
	if (redis_open(s.redis, &err) == 0) {
		reader_start(&s.reader, &s.servers, seed + 1);
		slow_start(&s.slow, &s.servers, seed + 2);
		if (run(&s, &err) == 0)
			status = wait_for_check(&s, &err);
		slow_stop(&s.slow);
		reader_stop(&s.reader);
	}
	if (status == 0)
		status = check(&s, &err);
	if (status < 0)
		printf("the shop failed: %s\n", err.text);
	redis_free(&s.redis);
	arena_deinit(&s.arena);
	model_free(&s.model);
	sql_thread_stop();
	return status == 0 ? 0 : 1;
}
