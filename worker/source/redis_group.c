#include "worker/source/redis_group.h"

#include "common/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct group_lane *
group_lane(struct lane *lane)
{
	struct group_lane *state = lane->source_state;

	if (state == NULL) {
		state = calloc(1, sizeof(*state));
		CHECK(state != NULL);
		state->entry_bytes = READ_ENTRY_UNKNOWN;
		snprintf(state->cursor, sizeof(state->cursor), "0-0");
		lane->source_state = state;
	}
	return state;
}

/* Its ordinals go on where they are: nothing of it may be taken for something read later. */
static void
close_lane(struct source *source, struct lane *lane)
{
	struct group_lane *state = lane->source_state;

	if (state == NULL)
		return;
	group_leave(redis_group_of(source), lane);
	group_log_deinit(&state->log);
	free(state);
	lane->source_state = NULL;
}

static int
group_open(struct source *source, struct err *err)
{
	redis_group_of(source)->acks = 0;
	return stream_open(source, err);
}

/* ---- what a group has no need of ---- */

static int
settle(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	(void)source, (void)lane, (void)identity, (void)err;
	return 0;
}

static void
new_identity(struct source *source, struct lane *lane, char identity[64])
{
	(void)source, (void)lane;
	identity[0] = '\0';
}

/* There is something between two places as long as it can be read again. */
static int
range(struct source *source, struct lane *lane, struct position after, struct position to,
    struct delivery **page, struct err *err)
{
	struct position place;

	(void)err;
	*page = NULL;
	if (group_log_next(&group_lane(lane)->log, after, &place) != NULL &&
	    position_compare(place, to) <= 0)
		*page = stream_delivery(redis_stream_of(source));
	return 0;
}

static int
lift(struct source *source, struct lane *lane, bool *cannot, struct err *err)
{
	(void)source, (void)lane, (void)err;
	*cannot = false;
	return 0;
}

static int
confirm(struct source *source, struct lane *lane, int replicas, struct err *err)
{
	(void)source, (void)lane, (void)replicas, (void)err;
	return 0;
}

static void
free_source(struct source **source)
{
	struct redis_group *g;

	if (*source == NULL)
		return;
	g = redis_group_of(*source);
	stream_deinit(&g->stream);
	free(g);
	*source = NULL;
}

struct source *
redis_group_new(const struct config *config, int worker)
{
	static struct source_ops ops;
	struct redis_group *g = calloc(1, sizeof(*g));
	char host[65] = "";

	CHECK(g != NULL);
	stream_init(&g->stream, config, worker);
	ops = *g->stream.source.ops;
	ops.open = group_open;
	ops.look = group_look;
	ops.settle = settle;
	ops.claim = settle;
	ops.new_identity = new_identity;
	ops.request = group_request;
	ops.receive = group_receive;
	ops.release = group_release;
	ops.range = range;
	ops.lift = lift;
	ops.confirm = confirm;
	ops.close_lane = close_lane;
	ops.free = free_source;
	g->stream.source.ops = &ops;
	if (gethostname(host, sizeof(host) - 1) != 0 || !str_is_utf8(str_of(host), NULL))
		snprintf(host, sizeof(host), "unknown");
	snprintf(g->consumer, sizeof(g->consumer), "%s/%ld/%08llx/%d", host, (long)getpid(),
	    (unsigned long long)random_seed() & 0xffffffffu, worker);
	return &g->stream.source;
}
