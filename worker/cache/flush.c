#include "worker/cache/flush.h"

#include "worker/cache/announce.h"

#include <errno.h>

/* One answer; NULL: lost, or refused for good (then the connection stays open). */
static const struct redis_reply *
answer(struct redis *redis, struct arena *a, int timeout_ms, struct err *err)
{
	struct redis_reply *reply = NULL;
	int got = redis_receive(redis, a, timeout_ms, &reply, err);

	if (got == 0)
		err_set(err, ERR_RETRY, 0, "the cache did not answer within %d ms", timeout_ms);
	if (got > 0 && redis_reply_error(reply, err) == 0)
		return reply;
	if (got == 0 || err->class == ERR_RETRY)
		redis_close(redis);
	return NULL;
}

/* What stands beside a lane and is written before its first batch; a group has its stream alone. */
static struct str
witness(struct arena *a, const struct config *config, const struct config_source *source,
    const char *stream)
{
	if (!source->write)
		return str_of(stream);
	return str_of(arena_printf(a, IDENTITY_KEY, config->pool, stream));
}

static size_t
queue_witnesses(struct redis *redis, struct arena *a, const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->source_count; i++) {
		const struct config_source *source = &config->sources[i];

		for (size_t j = 0; j < source->stream_count; j++) {
			struct str key = witness(a, config, source, source->streams[j]);

			redis_queuef(redis, "EXISTS %b", &key);
			count++;
		}
	}
	if (config->dead_stream != NULL && config_invalidates(config)) {
		redis_queuef(redis, "EXISTS %s", config->dead_stream);
		count++;
	}
	return count;
}

/* -1 also where nobody may say. */
static int
holds_none_of_ours(struct redis *redis, struct arena *a, const struct config *config,
    int timeout_ms, struct err *err)
{
	size_t count = queue_witnesses(redis, a, config), found = 0;
	struct err one = { 0 };

	if (count > 0 && redis_flush(redis, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct redis_reply *reply = answer(redis, a, timeout_ms, &one);

		if (!redis_is_open(redis)) {
			*err = one;
			return -1;
		}
		found += reply != NULL && reply->type == REDIS_INTEGER && reply->integer != 0;
	}
	if (found > 0)
		return err_set(err, ERR_FATAL, EEXIST,
		    "the database holds lanes, or dead letters, of this configuration");
	if (one.text[0] != '\0')
		return err_set(err, ERR_FATAL, one.code,
		    "whether it holds lanes of this configuration can't be known: %s", one.text);
	return 0;
}

static int
announce(struct redis *redis, struct arena *a, const struct config *config, int timeout_ms,
    struct buf *message, struct err *err)
{
	const struct announcement flushed = { .reason = "flushed" };
	struct str argv[ANNOUNCE_WORDS];

	if (!announce_is_on(config))
		return 0;
	redis_queue(redis, announce_command(config, &flushed, message, argv), argv);
	return redis_flush(redis, err) == 0 && answer(redis, a, timeout_ms, err) != NULL ? 0 : -1;
}

int
flush_cache(struct redis *redis, struct arena *a, const struct config *config, int timeout_ms,
    struct buf *message, struct err *err)
{
	if (holds_none_of_ours(redis, a, config, timeout_ms, err) != 0)
		return -1;
	redis_queuef(redis, "FLUSHDB ASYNC");
	if (redis_flush(redis, err) != 0 || answer(redis, a, timeout_ms, err) == NULL)
		return -1;
	return announce(redis, a, config, timeout_ms, message, err);
}
