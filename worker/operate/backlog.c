#include "worker/operate/backlog.h"

#include "common/clock.h"
#include "worker/operate/counters.h"

#include <string.h>

enum { LANES_AT_ONCE = 64 };

bool
backlog_group_lag(const struct redis_reply *groups, const char *group, uint64_t *lag)
{
	const struct redis_reply *ours = redis_group(groups, group);
	const struct redis_reply *value = ours != NULL ? redis_pair(ours, "lag") : NULL;

	if (value == NULL || value->type != REDIS_INTEGER || value->integer < 0)
		return false; /* nil after a trim by somebody else */
	*lag = (uint64_t)value->integer;
	return true;
}

/* What some consumer of a lane that only invalidates was given and has not acknowledged. */
static uint64_t
pending_of(const struct redis_reply *groups, const char *group)
{
	const struct redis_reply *ours = redis_group(groups, group);
	const struct redis_reply *value = ours != NULL ? redis_pair(ours, "pending") : NULL;

	return value != NULL && value->integer > 0 ? (uint64_t)value->integer : 0;
}

static void
queue_lane(struct redis *redis, const struct lane *lane)
{
	struct str stream = str_of(lane->stream);

	redis_queuef(redis, "XINFO GROUPS %b", &stream);
	redis_queuef(redis, "XLEN %b", &stream);
}

static int
receive(struct redis *redis, struct arena *arena, const struct config *config,
    struct redis_reply **reply, struct err *err)
{
	int got = redis_receive(redis, arena, config->redis.timeout_ms, reply, err);

	if (got != 0)
		return got;
	redis_close(redis); /* a late answer must not be taken for another's */
	return err_set(err, ERR_RETRY, 0, "no answer within %d ms", config->redis.timeout_ms);
}

static int
receive_lane(struct redis *redis, struct arena *arena, const struct config *config,
    struct lane *lane, struct err *err)
{
	struct redis_reply *groups, *length;
	uint64_t lag;

	if (receive(redis, arena, config, &groups, err) < 0 ||
	    receive(redis, arena, config, &length, err) < 0)
		return -1;
	if (length->type != REDIS_INTEGER)
		return 0; /* not a stream, or not allowed */
	if (!backlog_group_lag(groups, config->group, &lag))
		lag = (uint64_t)length->integer;
	else if (!lane->source->write)
		lag += pending_of(groups, config->group);
	SHOW(lane->lag, lag);
	SHOW(lane->stream_length, (uint64_t)length->integer);
	if (lag == 0)
		SHOW(lane->oldest_pending_ms, 0);
	else if (SEE(lane->oldest_pending_ms) == 0)
		SHOW(lane->oldest_pending_ms, clock_wall_ms());
	return 0;
}

int
backlog_look(struct redis *redis, const struct config *config, struct lane *lanes, size_t count,
    struct err *err)
{
	struct arena arena;
	int status = 0;

	if (!redis_is_open(redis) && redis_open(redis, err) != 0)
		return -1;
	arena_init(&arena, 256 * 1024);
	for (size_t from = 0; from < count && status == 0; from += LANES_AT_ONCE) {
		size_t to = count - from < LANES_AT_ONCE ? count : from + LANES_AT_ONCE;
		for (size_t i = from; i < to; i++)
			queue_lane(redis, &lanes[i]);
		status = redis_flush(redis, err);
		for (size_t i = from; i < to && status == 0; i++)
			status = receive_lane(redis, &arena, config, &lanes[i], err);
		arena_reset(&arena);
	}
	arena_deinit(&arena);
	return status;
}
