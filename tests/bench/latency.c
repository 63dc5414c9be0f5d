/*
 * latency REDIS-PORT MYSQL-PORT DATABASE STREAM COUNT
 *
 * One change at a time on an idle sluice: from XADD to the moment another session sees the row.
 * Beside it, how long a bare INSERT with its COMMIT takes on the same server, in turns with it.
 * The password is in MYSQL_PWD.  Prints, in microseconds: p50 p99 (sluice) p50 p99 (bare)
 */
#include "common/clock.h"
#include "common/random.h"
#include "common/redis.h"
#include "tests/bench/rows.h"

#include <mysql.h>
#include <time.h>

enum { PAUSE_US = 30000, GIVE_UP_US = 10000000 };

struct latency {
	struct redis *redis;
	MYSQL *mysql;
	struct arena arena;
	struct random random;
	const char *stream;
};

static void
die(const char *why)
{
	fprintf(stderr, "latency: %s\n", why);
	exit(1);
}

static void
query(struct latency *l, const char *text)
{
	if (mysql_query(l->mysql, text) != 0)
		die(mysql_error(l->mysql));
}

static bool
is_there(struct latency *l, int id)
{
	char text[64];
	MYSQL_RES *result;
	bool found;

	snprintf(text, sizeof(text), "SELECT 1 FROM t WHERE id=%d", id);
	query(l, text);
	result = mysql_store_result(l->mysql);
	if (result == NULL)
		die(mysql_error(l->mysql));
	found = mysql_num_rows(result) == 1;
	mysql_free_result(result);
	return found;
}

static int64_t
time_change(struct latency *l, int id)
{
	int64_t start_us = clock_us();
	struct err err = { 0 };

	if (redis_call(l->redis, &l->arena, &err, "XADD %s * id %lld name x email y city z score 7",
		l->stream, (long long)id) == NULL)
		die(err.text);
	arena_reset(&l->arena);
	while (!is_there(l, id)) {
		if (clock_us() - start_us > GIVE_UP_US)
			die("the row does not come");
	}
	return clock_us() - start_us;
}

static int64_t
time_bare(struct latency *l, int id)
{
	int64_t start_us = clock_us();
	char text[128];

	snprintf(text, sizeof(text),
	    "INSERT INTO bare (id,name,email,city,score) VALUES (%d,'x','y','z',7)", id);
	query(l, text);
	query(l, "COMMIT");
	return clock_us() - start_us;
}

/* Long enough for the worker to be asleep again, and never in step with its clock. */
static void
pause_random(struct latency *l)
{
	struct timespec pause = { .tv_nsec = 1000 *
		    (PAUSE_US + (long)random_below(&l->random, PAUSE_US)) };

	nanosleep(&pause, NULL);
}

static int
compare_times(const void *left, const void *right)
{
	const int64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static void
print_percentiles(int64_t *times, int count)
{
	qsort(times, (size_t)count, sizeof(*times), compare_times);
	printf("%lld %lld ", (long long)times[count / 2],
	    (long long)times[count - 1 - count / 100]);
}

static void
measure(struct latency *l, int count)
{
	int64_t *changes = calloc((size_t)count, sizeof(*changes));
	int64_t *bare = calloc((size_t)count, sizeof(*bare));

	CHECK(changes != NULL && bare != NULL);
	time_change(l, 1000000); /* everything is open and warm */
	for (int i = 0; i < count; i++) {
		pause_random(l);
		changes[i] = time_change(l, i + 1);
		pause_random(l);
		bare[i] = time_bare(l, i + 1);
	}
	print_percentiles(changes, count);
	print_percentiles(bare, count);
	printf("\n");
	free(changes);
	free(bare);
}

int
main(int argc, char **argv)
{
	struct redis_options options = {
		.host = "127.0.0.1", .connect_timeout_ms = 2000, .timeout_ms = 5000
	};
	static struct latency l;
	struct err err = { 0 };

	if (argc != 6 || atoi(argv[5]) < 1) {
		fprintf(stderr, "usage: latency REDIS-PORT MYSQL-PORT DATABASE STREAM COUNT\n");
		return 2;
	}
	options.port = atoi(argv[1]);
	l.stream = argv[4];
	l.redis = redis_new(&options);
	l.mysql = mysql_init(NULL);
	arena_init(&l.arena, 4096);
	random_init(&l.random, random_seed());
	if (redis_open(l.redis, &err) != 0)
		die(err.text);
	if (mysql_real_connect(l.mysql, "127.0.0.1", "app", getenv("MYSQL_PWD"), argv[3],
		(unsigned)atoi(argv[2]), NULL, 0) == NULL)
		die(mysql_error(l.mysql));
	query(&l, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
	mysql_autocommit(l.mysql, 0);
	measure(&l, atoi(argv[5]));
	mysql_close(l.mysql);
	redis_free(&l.redis);
	arena_deinit(&l.arena);
	return 0;
}
