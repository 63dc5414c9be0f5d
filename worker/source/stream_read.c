#include "worker/source/redis_stream.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENTRY_OVERHEAD = 32,	/* what an entry counts beside its names and values */
	STRING_OVERHEAD = 8,	/* ... and each of these */
	READ_SLACK = 256 << 10, /* above entry_max: the frame, and what one recv reads beyond */
	FAULT_HOLD_MS = 5000,
	WRITE_WAIT_MS = 1000
};

/* ---- deliveries ---- */

struct delivery *
stream_delivery(struct redis_stream *s)
{
	return delivery_pool_take(&s->pool);
}

void
stream_recycle(struct source *source, struct delivery **delivery)
{
	delivery_pool_put(&redis_stream_of(source)->pool, delivery);
}

void
stream_read_free(struct redis_stream *s)
{
	delivery_pool_put(&s->pool, &s->incoming);
	delivery_pool_empty(&s->pool);
	free(s->asked);
}

/* ---- request ---- */

static struct read_plan
make_plan(struct redis_stream *s, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes)
{
	struct read_lane *reads = arena_alloc(&s->incoming->arena, count * sizeof(*reads));
	struct read_limits limits = { .max_rows = max_rows,
		.max_bytes = max_bytes,
		.turn = s->turn,
		.count = s->count,
		.busy = s->busy };

	for (size_t i = 0; i < count; i++) {
		const struct stream_lane *state = stream_lane(lanes[i]);

		reads[i] = (struct read_lane){ state->entry_bytes, state->alone };
	}
	return read_plan(reads, count, &limits);
}

void
stream_remember_asked(struct redis_stream *s, struct lane **lanes, size_t count,
    const struct read_plan *plan)
{
	if (s->asked_max < plan->width) {
		s->asked = reallocarray(s->asked, plan->width, sizeof(*s->asked));
		CHECK(s->asked != NULL);
		s->asked_max = plan->width;
	}
	for (size_t i = 0; i < plan->width; i++) {
		struct lane *lane = lanes[(plan->first + i) % count];

		s->asked[i] = (struct asked){ lane, lane->cursor };
	}
	s->asked_count = plan->width;
	s->asked_each = plan->count;
	/* the next request begins with another lane, or with the first that this one leaves out */
	s->turn = plan->first + (plan->width < count ? plan->width : 1);
}

static void
queue_read(struct redis_stream *s, bool block, int block_ms)
{
	struct arena *a = &s->incoming->arena;
	struct str *words = arena_alloc(a, (6 + 2 * s->asked_count) * sizeof(*words));
	char id[POSITION_TEXT];
	int n = 0;

	words[n++] = STR("XREAD");
	words[n++] = STR("COUNT");
	words[n++] = str_of(arena_printf(a, "%u", s->asked_each));
	if (block && block_ms > 0) { /* 0 would be for ever */
		words[n++] = STR("BLOCK");
		words[n++] = str_of(arena_printf(a, "%d", block_ms));
	}
	words[n++] = STR("STREAMS");
	for (size_t i = 0; i < s->asked_count; i++)
		words[n++] = str_of(s->asked[i].lane->stream);
	for (size_t i = 0; i < s->asked_count; i++)
		words[n++] = str_of(arena_printf(a, "%s", position_text(s->asked[i].cursor, id)));
	redis_queue(s->read, n, words);
}

int
stream_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct read_plan plan;

	CHECK(!s->requested && count > 0);
	if (!redis_is_open(s->read))
		return err_set(err, ERR_RETRY, ENOTCONN, "redis: not connected");
	if (s->incoming == NULL)
		s->incoming = stream_delivery(s);
	arena_reset(&s->incoming->arena);
	plan = make_plan(s, lanes, count, max_rows, max_bytes);
	stream_remember_asked(s, lanes, count, &plan);
	queue_read(s, plan.block, block_ms);
	if (redis_flush(s->read, err) != 0) {
		stream_close(s);
		return -1;
	}
	s->requested = true;
	s->bytes_seen = 0;
	s->deadline_ms = clock_ms() + s->read_options.timeout_ms + (plan.block ? block_ms : 0);
	return 0;
}

/* ---- receive ---- */

bool
stream_asks_one(const struct redis_stream *s)
{
	return s->asked_count == 1 && s->asked_each == 1;
}

/* The lane still waits for what we asked for. */
static bool
is_wanted(const struct asked *asked)
{
	return asked->lane->state == LANE_OPEN &&
	    position_compare(asked->lane->cursor, asked->cursor) == 0;
}

static void
ask_alone(struct redis_stream *s)
{
	for (size_t i = 0; i < s->asked_count; i++)
		if (is_wanted(&s->asked[i]))
			stream_lane(s->asked[i].lane)->alone = true;
}

/*
 * An entry that can't be held is the next one of its lane.  While entries before it are still on
 * their way to the ledger the lane only waits: `lane skip` must not go past them.
 */
static void
refuse_entry(struct redis_stream *s, struct lane *lane, struct position id)
{
	char text[POSITION_TEXT];

	stream_lane(lane)->alone = true;
	if (position_compare(lane->position, lane->cursor) < 0) {
		lane_hold(lane, LANE_WHY_ENTRY_TOO_LARGE, clock_ms() + WRITE_WAIT_MS);
		return;
	}
	lane_halt(lane, LANE_WHY_ENTRY_TOO_LARGE);
	log_event(LOG_ERROR, "lane_halted", "worker", "%d", s->worker, "lane", "%s", lane->name,
	    "why", "%s", LANE_WHY_ENTRY_TOO_LARGE, "entry", "%s", position_text(id, text),
	    "entry_max", "%lld", (long long)s->config->entry_max_bytes, "next", "%s",
	    "waits for `sluice lane skip` with this entry, or a larger entry_max", NULL);
}

/*
 * An order skipped it before the keys of what stands before it were invalidated, so it is met again.
 * It is only passed: an entry of no fields stands for its place.
 */
static bool
is_skipped(const struct lane *lane, struct position id)
{
	return position_compare(id, lane->position) <= 0;
}

static struct entry *
place_of(struct arena *a, struct lane *lane, struct position id)
{
	struct entry *e = arena_zalloc(a, sizeof(*e));

	e->lane = lane;
	e->id = id;
	e->at_ms = (int64_t)id.major;
	e->bytes = ENTRY_OVERHEAD;
	return e;
}

/* reply[0][1][0][0]: the id of the first entry, which comes before its fields. */
static bool
first_id(const struct redis_reply *reply, struct position *id)
{
	static const size_t path[] = { 0, 1, 0, 0 };

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		if (reply == NULL || reply->type != REDIS_ARRAY || reply->count <= path[i])
			return false;
		reply = reply->element[path[i]];
	}
	return reply != NULL && reply->type == REDIS_STRING && position_parse(reply->text, id);
}

/* The reply under way is larger than we may hold: drop it with its connection. */
static int
read_overflow(struct redis_stream *s, struct err *err)
{
	size_t bytes;
	const struct redis_reply *partial = redis_partial(s->read, &bytes);
	struct position id = { 0, 0 };
	bool skipped = false;

	if (!stream_asks_one(s))
		ask_alone(s);
	else if (is_wanted(&s->asked[0])) {
		if (!first_id(partial, &id)) {
			stream_close(s);
			return err_set(err, ERR_RETRY, EPROTO,
			    "redis: an XREAD reply without an id");
		}
		skipped = is_skipped(s->asked[0].lane, id);
		if (!skipped)
			refuse_entry(s, s->asked[0].lane, id);
	}
	s->requested = false;
	s->count = READ_COUNT_MIN;
	redis_close(s->read);
	arena_reset(&s->incoming->arena);
	if (redis_open(s->read, err) != 0) {
		stream_close(s);
		return -1;
	}
	if (skipped) {
		s->incoming->first = place_of(&s->incoming->arena, s->asked[0].lane, id);
		s->incoming->count = 1;
	}
	return 1;
}

/* Past what we may hold?  An entry read alone may be as large as entry_max. */
static bool
is_overflowing(const struct redis_stream *s, size_t bytes)
{
	size_t held = arena_bytes(&s->incoming->arena), share = (size_t)s->config->memory_bytes / 3;
	size_t entry_max = (size_t)s->config->entry_max_bytes + READ_SLACK;

	if (!stream_asks_one(s))
		return bytes > share || held > share;
	return bytes > entry_max || held > (entry_max > share ? entry_max : share);
}

int
stream_read_error(struct redis_stream *s, const struct redis_reply *reply, struct err *err)
{
	redis_reply_error(reply, err);
	/* a deleted key unblocks its readers with an error, so does a server being demoted; ERR is
	 * about the command, which is right: it broke on its way */
	if (str_begins(reply->text, "NOGROUP") || str_begins(reply->text, "UNBLOCKED") ||
	    str_begins(reply->text, "ERR"))
		err->class = ERR_RETRY;
	if (err->class != ERR_RETRY)
		return 0;
	stream_close(s);
	return -1;
}

void
stream_hold_faulty(struct redis_stream *s, struct lane *lane, bool *faulty, const struct err *err)
{
	const char *why =
	    strstr(err->text, "WRONGTYPE") != NULL ? LANE_WHY_WRONG_TYPE : LANE_WHY_REFUSED;

	lane_hold(lane, why, clock_ms() + FAULT_HOLD_MS);
	if (!*faulty)
		log_event(LOG_ERROR, "lane_held", "worker", "%d", s->worker, "lane", "%s",
		    lane->name, "why", "%s", why, "error", "%s", err->text, "next", "%s",
		    "tried again every 5 s; the other lanes go on", NULL);
	*faulty = true;
}

static int
read_refused(struct redis_stream *s, const struct redis_reply *reply, struct err *err)
{
	struct lane *lane = s->asked[0].lane;

	if (stream_read_error(s, reply, err) != 0)
		return -1;
	ask_alone(s);
	if (s->asked_count > 1 || !is_wanted(&s->asked[0]))
		return 1; /* one of them; they are asked one by one now */
	stream_hold_faulty(s, lane, &stream_lane(lane)->faulty, err);
	return 1;
}

struct entry *
stream_entry(struct arena *a, struct lane *lane, const struct redis_reply *reply)
{
	const struct redis_reply *fields;
	struct entry *e = arena_zalloc(a, sizeof(*e));

	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    reply->element[0]->type != REDIS_STRING ||
	    !position_parse(reply->element[0]->text, &e->id))
		return NULL;
	fields = reply->element[1];
	if (fields->type != REDIS_ARRAY || fields->count % 2 != 0)
		return NULL;
	e->lane = lane;
	e->at_ms = (int64_t)e->id.major;
	e->bytes = ENTRY_OVERHEAD;
	e->raw_count = fields->count / 2;
	e->raw = arena_alloc(a, (e->raw_count + 1) * sizeof(*e->raw));
	for (size_t i = 0; i < fields->count; i += 2) {
		struct str name = fields->element[i]->text, value = fields->element[i + 1]->text;

		e->raw[i / 2] = (struct field){ name, { value, VALUE_TEXT } };
		e->bytes += name.len + value.len + 2 * STRING_OVERHEAD;
	}
	return e;
}

struct taking {
	struct entry **tail;
	size_t most; /* entries of the busiest lane */
};

static int
take_lane(struct redis_stream *s, const struct asked *asked, const struct redis_reply *entries,
    struct taking *taking)
{
	struct delivery *d = s->incoming;
	size_t largest = 0;

	for (size_t i = 0; i < entries->count; i++) {
		struct entry *e = stream_entry(&d->arena, asked->lane, entries->element[i]);

		if (e == NULL)
			return -1;
		if (e->bytes > largest)
			largest = e->bytes;
		if (e->bytes > (size_t)s->config->entry_max_bytes &&
		    is_skipped(asked->lane, e->id)) {
			e = place_of(&d->arena, asked->lane, e->id);
		} else if (e->bytes > (size_t)s->config->entry_max_bytes) {
			/* what stands before it goes first; then it comes again */
			if (i == 0)
				refuse_entry(s, asked->lane, e->id);
			break;
		}
		*taking->tail = e;
		taking->tail = &e->next;
		d->count++;
	}
	stream_lane(asked->lane)->entry_bytes =
	    read_entry_bytes(stream_lane(asked->lane)->entry_bytes, largest);
	if (entries->count > taking->most)
		taking->most = entries->count;
	return 0;
}

/* The reply names, in the order asked, the streams that have something. */
static int
take_reply(struct redis_stream *s, const struct redis_reply *reply)
{
	struct taking taking = { .tail = &s->incoming->first };
	size_t count = reply->type == REDIS_ARRAY ? reply->count : 0, next = 0;

	for (size_t i = 0; i < s->asked_count; i++) {
		const struct asked *asked = &s->asked[i];
		const struct redis_reply *one = next < count ? reply->element[next] : NULL;
		struct stream_lane *state;

		if (one != NULL &&
		    (one->type != REDIS_ARRAY || one->count != 2 ||
			one->element[1]->type != REDIS_ARRAY))
			return -1;
		if (one != NULL && str_equal(one->element[0]->text, str_of(asked->lane->stream)))
			next++;
		else
			one = NULL;
		if (!is_wanted(asked))
			continue;
		state = stream_lane(asked->lane);
		state->alone = state->faulty = false;
		if (one == NULL)
			state->entry_bytes = read_entry_bytes(state->entry_bytes, 0);
		else if (take_lane(s, asked, one->element[1], &taking) != 0)
			return -1;
	}
	s->busy = count;
	s->count = read_count_next(taking.most);
	return next == count ? 0 : -1;
}

enum stream_read_result
stream_read_on(struct redis_stream *s, const char *command, struct redis_reply **reply,
    struct err *err)
{
	size_t bytes;
	int status;

	for (;;) {
		status = redis_receive(s->read, &s->incoming->arena, 0, reply, err);
		if (status < 0)
			stream_close(s);
		if (status != 0)
			return status < 0 ? STREAM_READ_LOST : STREAM_READ_REPLY;
		redis_partial(s->read, &bytes);
		if (is_overflowing(s, bytes))
			return STREAM_READ_TOO_LARGE;
		if (bytes == s->bytes_seen)
			break;
		s->bytes_seen = bytes;
		s->deadline_ms = clock_ms() + s->read_options.timeout_ms;
	}
	if (clock_ms() < s->deadline_ms)
		return STREAM_READ_NOT_YET;
	stream_close(s);
	err_set(err, ERR_RETRY, ETIMEDOUT, "redis: no reply to %s within %d ms", command,
	    s->read_options.timeout_ms);
	return STREAM_READ_LOST;
}

/* What came in, if anything did. */
static void
hand_over(struct redis_stream *s, struct delivery **delivery)
{
	if (s->incoming == NULL || s->incoming->first == NULL)
		return;
	*delivery = s->incoming;
	s->incoming = NULL;
}

int
stream_receive(struct source *source, struct delivery **delivery, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct redis_reply *reply = NULL;

	CHECK(s->requested);
	*delivery = NULL;
	switch (stream_read_on(s, "XREAD", &reply, err)) {
	case STREAM_READ_LOST:
		return -1;
	case STREAM_READ_NOT_YET:
		return 0;
	case STREAM_READ_TOO_LARGE:
		if (read_overflow(s, err) < 0)
			return -1;
		hand_over(s, delivery);
		return 1;
	case STREAM_READ_REPLY:
		break;
	}
	s->requested = false;
	if (reply->type == REDIS_ERROR)
		return read_refused(s, reply, err);
	if (take_reply(s, reply) != 0) {
		stream_close(s);
		s->incoming->first = NULL;
		s->incoming->count = 0;
		return err_set(err, ERR_RETRY, EPROTO, "redis: an XREAD reply that makes no sense");
	}
	hand_over(s, delivery);
	return 1;
}
