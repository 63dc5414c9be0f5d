#include "worker/source/redis_group.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/operate/counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ACK_IDS = 500 /* of one XACK */
};

/* ---- acknowledging ---- */

static void
queue_ack(struct redis_group *g, struct lane *lane, struct redis *redis, const struct str *ids,
    int count)
{
	struct str words[3 + ACK_IDS];

	words[0] = STR("XACK");
	words[1] = str_of(lane->stream);
	words[2] = str_of(g->stream.config->group);
	memcpy(words + 3, ids, (size_t)count * sizeof(*ids));
	redis_queue(redis, 3 + count, words);
}

size_t
group_queue_acks(struct redis_group *g, struct lane *lane, struct redis *redis, struct arena *arena)
{
	struct group_lane *state = group_lane(lane);
	const struct group_item *item;
	struct str ids[ACK_IDS];
	size_t commands = 0;
	int count = 0;

	while ((item = group_log_take(&state->log, lane->answered)) != NULL) {
		char text[POSITION_TEXT];

		if (item->left_out && !item->gone)
			continue; /* it was not answered: it stays with the group */
		ids[count++] = str_of(arena_printf(arena, "%s", position_text(item->id, text)));
		if (count < ACK_IDS)
			continue;
		queue_ack(g, lane, redis, ids, count);
		commands++;
		count = 0;
	}
	if (count > 0)
		queue_ack(g, lane, redis, ids, count);
	return commands + (count > 0);
}

/* ---- request ---- */

static size_t
room_of(const struct redis_group *g)
{
	size_t rows = (size_t)g->stream.config->batch_max_rows;

	return 4 * (rows < 1024 ? 1024 : rows);
}

/* Which of the lanes can take new entries, packed to the front of wanted. */
static size_t
with_room(const struct redis_group *g, struct lane **lanes, size_t count, struct lane **wanted)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (group_lane(lanes[i])->log.count < room_of(g))
			wanted[kept++] = lanes[i];
	return kept;
}

static void
queue_new(struct redis_group *g, const struct read_plan *plan, int block_ms)
{
	struct redis_stream *s = &g->stream;
	struct arena *a = &s->incoming->arena;
	struct str *words = arena_alloc(a, (9 + 2 * s->asked_count) * sizeof(*words));
	int n = 0;

	words[n++] = STR("XREADGROUP");
	words[n++] = STR("GROUP");
	words[n++] = str_of(s->config->group);
	words[n++] = str_of(g->consumer);
	words[n++] = STR("COUNT");
	words[n++] = str_of(arena_printf(a, "%u", plan->count));
	if (plan->block && block_ms > 0) { /* 0 would be for ever */
		words[n++] = STR("BLOCK");
		words[n++] = str_of(arena_printf(a, "%d", block_ms));
	}
	words[n++] = STR("STREAMS");
	for (size_t i = 0; i < s->asked_count; i++)
		words[n++] = str_of(s->asked[i].lane->stream);
	for (size_t i = 0; i < s->asked_count; i++)
		words[n++] = STR(">");
	redis_queue(s->read, n, words);
}

static void
ask_new(struct redis_group *g, struct lane **lanes, size_t count, const struct read_limits *limits,
    int block_ms)
{
	struct redis_stream *s = &g->stream;
	struct read_lane *reads = arena_alloc(&s->incoming->arena, count * sizeof(*reads));
	struct read_plan plan;

	for (size_t i = 0; i < count; i++)
		reads[i] = (struct read_lane){ group_lane(lanes[i])->entry_bytes,
			group_lane(lanes[i])->alone };
	plan = read_plan(reads, count, limits);
	stream_remember_asked(s, lanes, count, &plan);
	g->asks_ids = false;
	queue_new(g, &plan, block_ms);
}

/* What is behind the lane's cursor and held by us already. */
static void
ask_ids(struct redis_group *g, struct lane *lane, unsigned max_rows, size_t max_bytes)
{
	struct group_lane *state = group_lane(lane);
	size_t most = max_bytes / state->entry_bytes + 1;
	struct position place = lane->cursor;
	struct group_item *item;

	if (most > max_rows)
		most = max_rows;
	if (most > GROUP_ASK_MAX)
		most = GROUP_ASK_MAX;
	if (state->alone || most == 0)
		most = 1;
	g->asks_ids = true;
	g->ids_asked = g->ids_taken = 0;
	g->stream.asked_count = 1;
	g->stream.asked[0] = (struct asked){ lane, lane->cursor };
	while (g->ids_asked < most && (item = group_log_next(&state->log, place, &place)) != NULL) {
		char id[POSITION_TEXT];

		position_text(item->id, id);
		redis_queuef(g->stream.read, "XRANGE %s %s %s", lane->stream, id, id);
		g->asked_places[g->ids_asked++] = place;
	}
	g->stream.asked_each = (unsigned)g->ids_asked;
}

static struct lane *
lane_to_read_again(struct lane **lanes, size_t count, size_t turn)
{
	struct position place;

	for (size_t i = 0; i < count; i++) {
		struct lane *lane = lanes[(turn + i) % count];

		if (group_log_next(&group_lane(lane)->log, lane->cursor, &place) != NULL)
			return lane;
	}
	return NULL;
}

static void
make_asked(struct redis_stream *s)
{
	if (s->asked_max > 0)
		return;
	s->asked = calloc(1, sizeof(*s->asked));
	CHECK(s->asked != NULL);
	s->asked_max = 1;
}

int
group_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err)
{
	struct redis_group *g = redis_group_of(source);
	struct redis_stream *s = &g->stream;
	struct read_limits limits = { .max_rows = max_rows,
		.max_bytes = max_bytes,
		.turn = s->turn,
		.count = s->count,
		.busy = s->busy };
	struct lane *again, **wanted;

	CHECK(!s->requested && count > 0);
	if (!redis_is_open(s->read))
		return err_set(err, ERR_RETRY, ENOTCONN, "redis: not connected");
	CHECK(g->acks == 0);
	if (s->incoming == NULL)
		s->incoming = stream_delivery(s);
	arena_reset(&s->incoming->arena);
	s->incoming->first = NULL;
	s->incoming->count = 0;
	make_asked(s);
	for (size_t i = 0; i < count; i++)
		g->acks += group_queue_acks(g, lanes[i], s->read, &s->incoming->arena);
	again = lane_to_read_again(lanes, count, s->turn);
	wanted = arena_alloc(&s->incoming->arena, count * sizeof(struct lane *));
	if (again != NULL) {
		ask_ids(g, again, max_rows, max_bytes);
		s->turn++;
	} else {
		count = with_room(g, lanes, count, wanted);
		if (count > 0)
			ask_new(g, wanted, count, &limits, block_ms);
	}
	if (redis_flush(s->read, err) != 0) {
		stream_close(s);
		return -1;
	}
	s->requested = again != NULL || count > 0 || g->acks > 0;
	if (again == NULL && count == 0)
		s->asked_count = 0;
	g->tail = &s->incoming->first;
	s->bytes_seen = 0;
	s->deadline_ms = clock_ms() + s->read_options.timeout_ms + block_ms;
	return 0;
}

/* ---- receive ---- */

/* It stays with the group; nobody can hold it. */
static void
leave_out(struct redis_group *g, struct lane *lane, struct group_item *item)
{
	char id[POSITION_TEXT];

	item->left_out = true;
	atomic_store(&lane->alarm, lane_why_of(LANE_WHY_ENTRY_TOO_LARGE));
	log_event(LOG_ERROR, "entry_too_large", "worker", "%d", g->stream.worker, "lane", "%s",
	    lane->name, "entry", "%s", position_text(item->id, id), "entry_max", "%lld",
	    (long long)g->stream.config->entry_max_bytes, "next", "%s",
	    "it stays pending and its keys stale; the others go on: a larger entry_max, or XACK",
	    NULL);
}

/* What our consumer was given and we did not see is asked for when the source is opened again. */
static int
read_overflow(struct redis_group *g, struct err *err)
{
	struct redis_stream *s = &g->stream;
	struct lane *lane = s->asked_count > 0 ? s->asked[0].lane : NULL;

	for (size_t i = 0; i < s->asked_count; i++)
		group_lane(s->asked[i].lane)->alone = true;
	if (g->asks_ids && stream_asks_one(s)) {
		struct group_item *item = group_log_at(&group_lane(lane)->log, g->asked_places[0]);

		if (item != NULL)
			leave_out(g, lane, item);
	}
	s->count = READ_COUNT_MIN;
	stream_close(s);
	g->acks = 0;
	return err_set(err, ERR_RETRY, 0, "redis: a reply that is too large to be held");
}

/* Its place is `place`; it is delivered only where nothing before it would be passed over. */
static void
take_entry(struct redis_group *g, struct lane *lane, struct entry *e, struct position place,
    bool wanted)
{
	struct group_lane *state = group_lane(lane);

	e->place = e->id;
	e->id = place;
	if (e->bytes > (size_t)g->stream.config->entry_max_bytes) {
		leave_out(g, lane, group_log_at(&state->log, place));
		return;
	}
	if (!wanted)
		return;
	*g->tail = e;
	g->tail = &e->next;
	g->stream.incoming->count++;
}

static int
take_new_of(struct redis_group *g, const struct asked *asked, const struct redis_reply *entries)
{
	struct lane *lane = asked->lane;
	struct group_lane *state = group_lane(lane);
	struct position place;
	size_t largest = 0;
	bool wanted = lane->state == LANE_OPEN &&
	    position_compare(lane->cursor, asked->cursor) == 0 &&
	    group_log_next(&state->log, lane->cursor, &place) == NULL;

	state->alone = state->faulty = false;
	for (size_t i = 0; entries != NULL && i < entries->count; i++) {
		struct entry *e =
		    stream_entry(&g->stream.incoming->arena, lane, entries->element[i]);

		if (e == NULL)
			return -1;
		if (e->bytes > largest)
			largest = e->bytes;
		lane_took(lane, e->id);
		take_entry(g, lane, e, group_log_add(&state->log, e->id), wanted);
	}
	state->entry_bytes = read_entry_bytes(state->entry_bytes, largest);
	return 0;
}

/* The reply names, in the order asked, the streams that have something. */
static int
take_new(struct redis_group *g, const struct redis_reply *reply)
{
	struct redis_stream *s = &g->stream;
	size_t count = reply->type == REDIS_ARRAY ? reply->count : 0, next = 0, most = 0;

	for (size_t i = 0; i < s->asked_count; i++) {
		const struct redis_reply *one = next < count ? reply->element[next] : NULL;

		if (one != NULL &&
		    (one->type != REDIS_ARRAY || one->count != 2 ||
			one->element[1]->type != REDIS_ARRAY))
			return -1;
		if (one != NULL &&
		    str_equal(one->element[0]->text, str_of(s->asked[i].lane->stream)))
			next++;
		else
			one = NULL;
		if (one != NULL && one->element[1]->count > most)
			most = one->element[1]->count;
		if (take_new_of(g, &s->asked[i], one != NULL ? one->element[1] : NULL) != 0)
			return -1;
	}
	s->busy = count;
	s->count = read_count_next(most);
	return next == count ? 0 : -1;
}

/* An entry that is held by the group and no more in the stream: its keys can't be known. */
static void
take_missing(struct redis_group *g, struct lane *lane, struct group_item *item)
{
	char id[POSITION_TEXT];

	item->left_out = item->gone = true;
	COUNT(lane->pending_deleted, 1);
	log_event(LOG_ERROR, "pending_deleted", "worker", "%d", g->stream.worker, "lane", "%s",
	    lane->name, "entry", "%s", position_text(item->id, id), "next", "%s",
	    "it was deleted before it was read: its keys may be stale", NULL);
}

static int
take_again(struct redis_group *g, const struct redis_reply *reply)
{
	const struct asked *asked = &g->stream.asked[0];
	struct lane *lane = asked->lane;
	struct group_lane *state = group_lane(lane);
	struct position place = g->asked_places[g->ids_taken++];
	struct group_item *item = group_log_at(&state->log, place);
	bool wanted =
	    lane->state == LANE_OPEN && position_compare(lane->cursor, asked->cursor) == 0;
	struct entry *e;

	if (reply->type != REDIS_ARRAY)
		return -1;
	state->alone = state->faulty = false;
	if (item == NULL || item->left_out)
		return 0;
	if (reply->count == 0) {
		take_missing(g, lane, item);
		return 0;
	}
	e = stream_entry(&g->stream.incoming->arena, lane, reply->element[0]);
	if (e == NULL)
		return -1;
	state->entry_bytes = read_entry_bytes(state->entry_bytes, e->bytes);
	take_entry(g, lane, e, place, wanted);
	return 0;
}

/* 0: the lane is held, or asked alone; -1: the source can't be read now. */
static int
read_refused(struct redis_group *g, const struct redis_reply *reply, struct err *err)
{
	struct redis_stream *s = &g->stream;
	struct lane *lane = s->asked[0].lane;

	if (stream_read_error(s, reply, err) != 0) {
		g->acks = 0;
		return -1;
	}
	for (size_t i = 0; i < s->asked_count; i++)
		group_lane(s->asked[i].lane)->alone = true;
	if (s->asked_count > 1 || lane->state != LANE_OPEN)
		return 0;
	stream_hold_faulty(s, lane, &group_lane(lane)->faulty, err);
	return 0;
}

static int
makes_no_sense(struct redis_group *g, struct err *err)
{
	stream_close(&g->stream);
	g->acks = 0;
	g->stream.incoming->first = NULL;
	g->stream.incoming->count = 0;
	return err_set(err, ERR_RETRY, EPROTO, "redis: a reply that makes no sense");
}

/* One reply: 1 it was the last one, 0 there are more, -1 lost. */
static int
take_reply(struct redis_group *g, const struct redis_reply *reply, struct err *err)
{
	int status;

	if (g->acks > 0) {
		g->acks--;
		return g->acks == 0 && g->stream.asked_count == 0;
	}
	if (reply->type == REDIS_ERROR) {
		if (read_refused(g, reply, err) != 0)
			return -1;
		g->ids_taken += g->asks_ids;
		return !g->asks_ids || g->ids_taken == g->ids_asked;
	}
	status = g->asks_ids ? take_again(g, reply) : take_new(g, reply);
	if (status != 0)
		return makes_no_sense(g, err);
	return !g->asks_ids || g->ids_taken == g->ids_asked;
}

int
group_receive(struct source *source, struct delivery **delivery, struct err *err)
{
	struct redis_group *g = redis_group_of(source);
	struct redis_stream *s = &g->stream;
	struct redis_reply *reply = NULL;
	int status = 0;

	CHECK(s->requested);
	*delivery = NULL;
	while (status == 0) {
		switch (stream_read_on(s, "XREADGROUP", &reply, err)) {
		case STREAM_READ_LOST:
			g->acks = 0;
			return -1;
		case STREAM_READ_NOT_YET:
			return 0;
		case STREAM_READ_TOO_LARGE:
			return read_overflow(g, err);
		case STREAM_READ_REPLY:
			break;
		}
		status = take_reply(g, reply, err);
		if (status < 0)
			return -1;
	}
	s->requested = false;
	if (s->incoming->first == NULL)
		return 1;
	*delivery = s->incoming;
	s->incoming = NULL;
	return 1;
}
