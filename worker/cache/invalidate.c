#include "worker/cache/cache.h"

#include "common/clock.h"
#include "common/map.h"
#include "common/redis.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	KEYS_PER_COMMAND = 128,
	COMMAND_BYTES = 256 * 1024, /* keys of one UNLINK, about */
	QUEUE_BYTES = 64 * 1024,    /* sent when this much waits */
	ARENA_KEEP = 256 * 1024,
	KEY_COLUMNS = 16,
	MAP_KEEP = 16 * 1024
};

struct invalidator {
	struct cache cache; /* first: the worker's pointer */
	const struct config *config;
	struct redis_options options;
	struct redis *redis;
	struct buf password;
	char name[32];
	struct map
	    lanes; /* streams, borrowed from config; empty where the cache is another server */

	/* of one round */
	struct arena arena; /* keys, then replies */
	struct map seen;    /* keys that more than one row has */
	struct buf key;
	struct str argv[1 + KEYS_PER_COMMAND];
	int argc;
	size_t command_bytes, queued_bytes;
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
	return redis_open(invalidator_of(cache)->redis, err);
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

static bool
is_forbidden(const struct invalidator *v, struct str key)
{
	static const char ours[] = "sluice:";

	return (key.len >= sizeof(ours) - 1 && memcmp(key.data, ours, sizeof(ours) - 1) == 0) ||
	    map_get(&v->lanes, key.data, key.len) != NULL;
}

/* Queue the command that has been gathered; write when much is queued. */
static int
send_command(struct invalidator *v, struct err *err)
{
	if (v->argc == 1)
		return 0;
	redis_queue(v->redis, v->argc, v->argv);
	v->queued_bytes += v->command_bytes;
	v->argc = 1;
	v->command_bytes = 0;
	if (v->queued_bytes < QUEUE_BYTES)
		return 0;
	v->queued_bytes = 0;
	return redis_flush(v->redis, err);
}

static int
add_key(struct invalidator *v, const struct table *table, bool one_row, struct err *err)
{
	struct counters *counters = v->cache.counters;
	struct str key = { v->key.data, v->key.len };

	if (is_forbidden(v, key)) {
		if (counters != NULL)
			COUNT(counters->invalidations_skipped, 1);
		return 0;
	}
	if (!one_row && map_get(&v->seen, key.data, key.len) != NULL)
		return 0;
	key.data = arena_copy(&v->arena, key.data, key.len);
	if (!one_row)
		*map_at(&v->seen, key.data, key.len) = v;
	v->argv[v->argc++] = key;
	v->command_bytes += key.len;
	if (counters != NULL) {
		COUNT(counters->invalidated, 1);
		COUNT(counters->tables[table->config - v->config->tables].invalidated, 1);
	}
	if (v->argc == 1 + KEYS_PER_COMMAND || v->command_bytes >= COMMAND_BYTES)
		return send_command(v, err);
	return 0;
}

static int
add_row(struct invalidator *v, const struct touched *row, struct err *err)
{
	const struct table *table = row->table;
	struct str values[KEY_COLUMNS];
	const struct str *named = row->values != NULL ? row->values : values;

	CHECK(table->key_count <= KEY_COLUMNS);
	for (unsigned i = 0; i < table->key_count; i++)
		values[i] =
		    row->key[i].kind == VALUE_NULL ? (struct str){ NULL, 0 } : row->key[i].text;
	for (size_t i = 0; i < table->template_count; i++) {
		const struct key_template *template = &table->templates[i];

		if (template->config->mode == MODE_NONE || (i < 64 && row->unchanged >> i & 1))
			continue;
		buf_reset(&v->key);
		if (key_template_render(template, named, &v->key) &&
		    add_key(v, table, template->one_row, err) != 0)
			return -1;
	}
	return 0;
}

static int
invalidate_start(struct cache *cache, const struct batch *batch, struct err *err)
{
	struct invalidator *v = invalidator_of(cache);

	if (!redis_is_open(v->redis))
		return err_set(err, ERR_RETRY, 0, "not connected to the cache");
	CHECK(batch->state == BATCH_WRITTEN && redis_pending(v->redis) == 0);
	arena_reset(&v->arena);
	map_reset(&v->seen, MAP_KEEP);
	v->argv[0] = STR("UNLINK");
	v->argc = 1;
	v->command_bytes = v->queued_bytes = 0;
	v->progress_ms = clock_ms();
	for (const struct touched *row = batch->touched; row != NULL; row = row->next)
		if (add_row(v, row, err) != 0)
			goto fail;
	if (send_command(v, err) == 0 && redis_flush(v->redis, err) == 0)
		return 0;
fail:
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
		got = redis_receive(v->redis, &v->arena, timeout_ms, &reply, err);
		if (got == 0 && clock_ms() - v->progress_ms < v->options.timeout_ms)
			return 0;
		if (got == 0)
			err_set(err, ERR_RETRY, 0, "the cache did not answer within %d ms",
			    v->options.timeout_ms);
		if (got <= 0)
			goto fail;
		v->progress_ms = clock_ms();
		if (reply->type == REDIS_ERROR) {
			redis_reply_error(reply, err);
			goto fail;
		}
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
invalidate_free(struct cache **cache)
{
	struct invalidator *v;

	if (*cache == NULL)
		return;
	v = invalidator_of(*cache);
	redis_free(&v->redis);
	arena_deinit(&v->arena);
	map_deinit(&v->lanes);
	map_deinit(&v->seen);
	buf_deinit(&v->key);
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

static void
remember_lanes(struct invalidator *v)
{
	for (size_t i = 0; i < v->config->source_count; i++) {
		const struct config_source *source = &v->config->sources[i];

		for (size_t j = 0; j < source->stream_count; j++)
			*map_at(&v->lanes, source->streams[j], strlen(source->streams[j])) = v;
	}
}

static const struct cache_ops invalidate_ops = {
	.open = invalidate_open,
	.is_open = invalidate_is_open,
	.close = invalidate_close,
	.start = invalidate_start,
	.poll = invalidate_poll,
	.fd = invalidate_fd,
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
	buf_init(&v->key);
	arena_init(&v->arena, ARENA_KEEP);
	map_init(&v->lanes);
	map_init(&v->seen);
	if (config->cache_is_redis)
		remember_lanes(v);
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
	return &v->cache;
}
