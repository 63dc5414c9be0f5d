#include "worker/cache/cache.h"

#include "common/clock.h"
#include "common/random.h"
#include "common/redis.h"
#include "worker/cache/flush.h"
#include "worker/cache/library.h"
#include "worker/cache/notes.h"
#include "worker/cache/round.h"

#include <stdio.h>
#include <stdlib.h>

struct invalidator {
	struct cache cache; /* first: the worker's pointer */
	const struct config *config;
	struct redis_options options;
	struct redis *redis;
	struct buf password;
	char name[32];
	struct library library;
	struct untouched untouched;
	struct scan *scan; /* NULL: no template has mode scan */
	struct round round;
	struct notes notes;
	int64_t progress_ms;
};

static struct invalidator *
invalidator_of(const struct cache *cache)
{
	union {
		const struct cache *in;
		struct invalidator *out;
	} pointer = { .in = cache };

	return pointer.out;
}

static int
invalidate_open(struct cache *cache, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	if (redis_open(v->redis, err) != 0)
		return -1;
	arena_reset(&v->round.arena);
	notes_connected(&v->notes, &v->round.arena);
	if (!redis_is_open(v->redis))
		return err_set(err, ERR_RETRY, 0, "the cache was lost as it was connected");
	if (!config_needs_functions(v->config))
		return 0;
	arena_reset(&v->round.arena);
	if (library_load(v->redis, &v->library, &v->round.arena, err) == 0 &&
	    (!config_has_mode(v->config, MODE_POPULATE) ||
		server_clock_ask(&v->round.clock, v->redis, &v->round.arena, err) == 0))
		return 0;
	redis_close(v->redis);
	return -1;
}

static bool
invalidate_is_open(const struct cache *cache)
{
	return redis_is_open(invalidator_of(cache)->redis);
}

static void
invalidate_close(struct cache *cache)
{
	redis_close(invalidator_of(cache)->redis);
}

static int
invalidate_start(struct cache *cache, const struct batch *batch, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	if (!redis_is_open(v->redis))
		return err_set(err, ERR_RETRY, 0, "not connected to the cache");
	v->progress_ms = clock_ms();
	if (round_start(&v->round, batch, err) == 0)
		return 0;
	redis_close(v->redis);
	return -1;
}

static int
invalidate_poll(struct cache *cache, int timeout_ms, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);
	struct redis_reply *reply;
	int got;

	if (!redis_is_open(v->redis))
		return err_set(err, ERR_RETRY, 0, "not connected to the cache");
	while (redis_pending(v->redis) > 0) {
		got = redis_receive(v->redis, &v->round.arena, timeout_ms, &reply, err);
		if (got == 0 && clock_ms() - v->progress_ms < v->options.timeout_ms)
			return 0;
		if (got == 0)
			err_set(err, ERR_RETRY, 0, "the cache did not answer within %d ms",
			    v->options.timeout_ms);
		if (got <= 0)
			goto fail;
		v->progress_ms = clock_ms();
		/* what it sends goes out now: its answer is waited for too */
		if (round_answer(&v->round, reply, err) != 0 || redis_flush(v->redis, err) != 0)
			goto fail;
	}
	return 1;
fail:
	redis_close(v->redis);
	return -1;
}

static int
invalidate_fd(const struct cache *cache)
{
	const struct invalidator *v = invalidator_of(cache);

	return redis_is_open(v->redis) && redis_pending(v->redis) > 0 ? redis_fd(v->redis) : -1;
}

static void
invalidate_scan(struct cache *cache, struct cache_scan *now)
{
	struct invalidator *v = invalidator_of(cache);

	*now = (struct cache_scan){ .fd = -1, .wait_ms = INT32_MAX };
	if (v->scan == NULL)
		return;
	scan_work(v->scan);
	scan_show(v->scan, now);
}

static int
invalidate_noted(struct cache *cache, struct lane *const *lanes, size_t count, struct position *at,
    enum cache_notes *found, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	CHECK(redis_is_open(v->redis) && redis_pending(v->redis) == 0);
	arena_reset(&v->round.arena);
	return notes_read(&v->notes, &v->round.arena, lanes, count, at, found, err);
}

static int
invalidate_note(struct cache *cache, struct lane *const *lanes, size_t count,
    const struct position *at, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	CHECK(redis_is_open(v->redis) && redis_pending(v->redis) == 0);
	arena_reset(&v->round.arena);
	return notes_write(&v->notes, &v->round.arena, lanes, count, at, err);
}

static int
invalidate_flush(struct cache *cache, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	CHECK(redis_is_open(v->redis) && redis_pending(v->redis) == 0);
	arena_reset(&v->round.arena);
	return flush_cache(v->redis, &v->round.arena, v->config, v->options.timeout_ms,
	    &v->round.message, err);
}

static void
invalidate_free(struct cache **cache)
{
	struct invalidator *v;

	if (*cache == NULL)
		return;
	v = invalidator_of(*cache);
	redis_free(&v->redis);
	scan_free(&v->scan);
	untouched_deinit(&v->untouched);
	round_deinit(&v->round);
	buf_deinit(&v->password);
	free(v);
	*cache = NULL;
}

/* The secret is expanded at each open, so that a changed file is seen. */
static const char *
read_password(void *arg)
{
	struct invalidator *v = arg;

	return config_secret(&v->config->cache.password, &v->password);
}

static const struct cache_ops invalidate_ops = {
	.open = invalidate_open,
	.is_open = invalidate_is_open,
	.close = invalidate_close,
	.start = invalidate_start,
	.poll = invalidate_poll,
	.fd = invalidate_fd,
	.scan = invalidate_scan,
	.noted = invalidate_noted,
	.note = invalidate_note,
	.flush = invalidate_flush,
	.free = invalidate_free,
};

struct cache *
invalidate_new(const struct config *config, int worker)
{
	struct invalidator *v = calloc(1, sizeof(*v));
	const struct config_redis *cache = &config->cache;

	CHECK(v != NULL);
	v->cache.ops = &invalidate_ops;
	v->config = config;
	snprintf(v->name, sizeof(v->name), "sluice-cache-%d", worker);
	buf_init(&v->password);
	v->options = (struct redis_options){
		.host = cache->host,
		.port = cache->port,
		.socket = cache->socket,
		.user = cache->user,
		.password = read_password,
		.password_arg = v,
		.db = cache->db,
		.client_name = v->name,
		.connect_timeout_ms = cache->connect_timeout_ms,
		.timeout_ms = cache->timeout_ms,
	};
	v->redis = redis_new(&v->options);
	v->notes = (struct notes){
		.redis = v->redis, .pool = config->pool, .timeout_ms = cache->timeout_ms
	};
	snprintf(v->notes.name, sizeof(v->notes.name), "%016llx",
	    (unsigned long long)random_seed());
	round_init(&v->round, &v->cache, config, v->redis, &v->library);
	untouched_init(&v->untouched, config);
	v->round.untouched = &v->untouched;
	if (config_has_mode(config, MODE_SCAN))
		v->scan = scan_new(&v->cache, config, &v->options, &v->untouched);
	v->round.scan = v->scan;
	return &v->cache;
}
