/* The cache of a schedule: what it is asked, and what happens to it (race_play.h). */
#include "tests/integration/race_play.h"

#include "common/err.h"
#include "worker/cache/library.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct redis *redis;
static struct arena answers;
static volatile int64_t *shift_us;

static void
stop(const struct err *err)
{
	fprintf(stderr, "seed %llu: %s\n", (unsigned long long)world.seed, err->text);
	exit(2);
}

/* ---- what it is asked ---- */

static struct redis_reply *
call(int count, const struct str *words)
{
	struct redis_reply *reply = NULL;
	struct err err = { 0 };

	arena_reset(&answers);
	redis_queue(redis, count, words);
	if (redis_flush(redis, &err) != 0 ||
	    redis_receive(redis, &answers, 60000, &reply, &err) != 1)
		stop(&err);
	return reply;
}

struct redis_reply *
ask(const char *format, ...)
{
	struct redis_reply *reply;
	struct err err = { 0 };
	char line[1024];
	struct str words[24];
	int count = 0;
	char *rest = line;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *word; (word = strsep(&rest, " ")) != NULL && count < 24;)
		words[count++] = str_of(word);
	reply = call(count, words);
	if (redis_reply_error(reply, &err) != 0) {
		fprintf(stderr, "%s: ", line);
		stop(&err);
	}
	return reply;
}

void
clock_move(int64_t ms)
{
	*shift_us += ms * 1000;
	world.now_ms += ms;
	trace("time +%lld ms", (long long)ms);
}

/* ---- what happens to it ---- */

void
cache_evict(void)
{
	if (!world.family->evicts)
		return;
	trace("evicted");
	ask("DEL %s", world.key);
}

void
cache_snapshot(void)
{
	const struct redis_reply *reply;

	if (!world.family->failover || world.lost)
		return;
	world.snapshot_ttl = ask("PTTL %s", world.key)->integer;
	reply = ask("DUMP %s", world.key);
	world.snapshot_len = reply->text.data == NULL ? 0 : reply->text.len;
	CHECK(world.snapshot_len < sizeof(world.snapshot));
	memcpy(world.snapshot, reply->text.data != NULL ? reply->text.data : "",
	    world.snapshot_len);
	world.snapshot_ms = world.now_ms;
	for (unsigned l = 0; l < LOGS; l++)
		world.snapshot_done[l] = world.logs[l].done;
	world.has_snapshot = true;
	trace("replicated so far");
}

/* Everything that was told since is told again: until then old values may be read. */
void
cache_failover(void)
{
	int64_t ttl_ms = world.snapshot_ttl - (world.now_ms - world.snapshot_ms);
	struct str words[5];
	struct err err = { 0 };
	char digits[32];

	if (!world.has_snapshot)
		return;
	trace("the cache fails over");
	ask("DEL %s", world.key);
	if (world.snapshot_len > 0 && (world.snapshot_ttl < 0 || ttl_ms > 0)) {
		snprintf(digits, sizeof(digits), "%lld",
		    world.snapshot_ttl < 0 ? 0LL : (long long)ttl_ms);
		words[0] = STR("RESTORE"), words[1] = str_of(world.key), words[2] = str_of(digits);
		words[3] = (struct str){ world.snapshot, world.snapshot_len };
		if (redis_reply_error(call(4, words), &err) != 0)
			stop(&err);
	}
	world.has_snapshot = false;
	for (unsigned l = 0; l < LOGS; l++) {
		if (world.replay_to[l] < world.logs[l].done)
			world.replay_to[l] = world.logs[l].done;
		world.logs[l].done = world.snapshot_done[l];
		world.lost |= world.logs[l].done < world.replay_to[l];
	}
}

void
cache_see_replayed(void)
{
	world.lost = world.lost &&
	    (world.logs[0].done < world.replay_to[0] || world.logs[1].done < world.replay_to[1]);
}

/* ---- the connection ---- */

void
cache_open(int port, const char *file)
{
	static struct redis_options options;
	struct library library;
	struct err err = { 0 };
	int fd = open(file, O_RDWR);

	options = (struct redis_options){
		.host = "127.0.0.1", .port = port, .connect_timeout_ms = 5000, .timeout_ms = 60000
	};
	shift_us = fd < 0 ?
	    MAP_FAILED :
	    mmap(NULL, sizeof(*shift_us), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(shift_us != MAP_FAILED);
	redis = redis_new(&options);
	arena_init(&answers, 1 << 16);
	if (redis_open(redis, &err) != 0 || library_load(redis, &library, &answers, &err) != 0)
		stop(&err);
}

void
cache_close(void)
{
	redis_free(&redis);
	arena_deinit(&answers);
}
