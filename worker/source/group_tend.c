#include "worker/source/redis_group.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/operate/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	PAGE = 1000,		/* ids of one XPENDING, of one XAUTOCLAIM */
	CLAIM_ROUNDS = 20,	/* XAUTOCLAIMs of one look */
	CONSUMERS_MS = 30000,	/* between two looks for dead consumers */
	DEAD_AFTER = 10,	/* times claim_after: so long a consumer said nothing */
	BYTES_EVERY_MS = 10000, /* MEMORY USAGE */
};

/* A consumer's name leaves only where it holds nothing, in one step: what it is given meanwhile would
 * be lost with it. */
#define LEAVE_SCRIPT                                                                   \
	"if redis.replicate_commands then redis.replicate_commands() end "             \
	"if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then " \
	"return 0 end "                                                                \
	"redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) return 1"

/* ---- what we were given and did not see ---- */

/* After a lost connection some replies never came.  All ids that our consumer holds, page by page. */
static int
find_own(struct redis_group *g, struct lane *lane, struct err *err)
{
	struct group_lane *state = group_lane(lane);
	struct position ids[PAGE];
	char from[POSITION_TEXT + 1] = "-", text[POSITION_TEXT];
	size_t count;

	do {
		struct redis_reply *reply;

		redis_queuef(g->stream.control, "XPENDING %s %s %s + %lld %s", lane->stream,
		    g->stream.config->group, from, (long long)PAGE, g->consumer);
		if (control_send(&g->stream, 0, err) != 0 ||
		    control_receive(&g->stream, &reply, err) != 0 ||
		    redis_reply_error(reply, err) != 0)
			return -1;
		count = 0;
		for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
			const struct redis_reply *one = reply->element[i];

			if (one->type == REDIS_ARRAY && one->count > 0 && count < PAGE &&
			    position_parse(one->element[0]->text, &ids[count]))
				count++;
		}
		group_log_add_unknown(&state->log, ids, count);
		if (count > 0)
			lane_took(lane, ids[count - 1]);
		if (count > 0)
			snprintf(from, sizeof(from), "(%s", position_text(ids[count - 1], text));
	} while (count == PAGE);
	return 0;
}

/* ---- the group ---- */

/* Made where it is missing.  1: it was made; 0: it was there. */
static int
make_group(struct redis_group *g, struct lane *lane, const char *start, struct source_look *look,
    struct err *err)
{
	struct redis_reply *reply;

	redis_queuef(g->stream.control, "XGROUP CREATE %s %s %s MKSTREAM", lane->stream,
	    g->stream.config->group, start);
	if (control_send(&g->stream, 0, err) != 0 ||
	    control_receive(&g->stream, &reply, err) != 0 ||
	    control_refused(&g->stream, reply, err) < 0)
		return -1;
	if (reply->type != REDIS_ERROR)
		return 1;
	if (strncmp(reply->text.data, "BUSYGROUP", 9) == 0)
		return 0;
	if (strncmp(reply->text.data, "WRONGTYPE", 9) != 0)
		return redis_reply_error(reply, err);
	look->result = LOOK_WRONG_TYPE;
	snprintf(look->text, sizeof(look->text), "the key %s is not a stream", lane->stream);
	return 0;
}

/* Where a group begins that never was: 0, $ or an id. */
static const char *
start_of(const struct config_source *source)
{
	if (strcmp(source->start, "beginning") == 0)
		return "0";
	return strcmp(source->start, "end") == 0 ? "$" : source->start;
}

int
group_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err)
{
	struct redis_group *g = redis_group_of(source);
	struct group_lane *state = group_lane(lane);
	int made;

	memset(look, 0, sizeof(*look));
	look->result = row->found ? LOOK_OK : LOOK_FRESH;
	look->start = (struct position){ state->log.taken, 0 };
	control_begin(&g->stream);
	made = make_group(g, lane, state->joined ? "0" : start_of(lane->source), look, err);
	if (made < 0)
		return -1;
	if (look->result == LOOK_WRONG_TYPE)
		return 0;
	state->gone |= made > 0 && state->joined;
	state->joined = true;
	return find_own(g, lane, err);
}

/* ---- what others hold ---- */

/* The ids of a reply to XAUTOCLAIM … JUSTID; those gone from the stream are told by Redis 7. */
static size_t
read_claimed(struct redis_group *g, struct lane *lane, const struct redis_reply *reply,
    struct position ids[PAGE])
{
	const struct redis_reply *list = reply->element[1];
	size_t count = 0;

	for (size_t i = 0; list->type == REDIS_ARRAY && i < list->count && count < PAGE; i++)
		if (list->element[i]->type == REDIS_STRING &&
		    position_parse(list->element[i]->text, &ids[count]))
			count++;
	list = reply->count > 2 ? reply->element[2] : NULL;
	for (size_t i = 0; list != NULL && list->type == REDIS_ARRAY && i < list->count; i++) {
		COUNT(lane->pending_deleted, 1);
		log_event(LOG_ERROR, "pending_deleted", "worker", "%d", g->stream.worker, "lane",
		    "%s", lane->name, "entry", "%s", list->element[i]->text.data, "next", "%s",
		    "it was deleted before it was acknowledged: its keys may be stale", NULL);
	}
	return count;
}

/* 1: there is more to take over. */
static int
claim_page(struct redis_group *g, struct lane *lane, struct err *err)
{
	struct group_lane *state = group_lane(lane);
	struct redis_reply *reply;
	struct position ids[PAGE];
	size_t added, count;

	control_begin(&g->stream);
	redis_queuef(g->stream.control, "XAUTOCLAIM %s %s %s %lld %s COUNT %lld JUSTID",
	    lane->stream, g->stream.config->group, g->consumer,
	    (long long)lane->source->claim_after_ms, state->cursor, (long long)PAGE);
	if (control_send(&g->stream, 0, err) != 0 ||
	    control_receive(&g->stream, &reply, err) != 0 ||
	    control_refused(&g->stream, reply, err) < 0)
		return -1;
	if (reply->type == REDIS_ERROR && strncmp(reply->text.data, "NOGROUP", 7) == 0)
		return 0; /* reading finds that out, and then it is made anew */
	if (reply->type == REDIS_ERROR) {
		control_warn(WARN_CLAIM, lane, reply, "what dead processes held stays with them");
		return 0;
	}
	if (reply->type != REDIS_ARRAY || reply->count < 2 ||
	    reply->element[0]->type != REDIS_STRING)
		return 0;
	snprintf(state->cursor, sizeof(state->cursor), "%s", reply->element[0]->text.data);
	count = read_claimed(g, lane, reply, ids);
	added = group_log_add_unknown(&state->log, ids, count);
	if (count > 0)
		lane_took(lane, ids[count - 1]);
	COUNT(lane->claimed, added);
	return strcmp(state->cursor, "0-0") != 0;
}

/* As much as a few batches take; the rest at the next look. */
static int
claim(struct redis_group *g, struct lane *lane, struct err *err)
{
	struct group_lane *state = group_lane(lane);
	size_t most = 4 * (size_t)g->stream.config->batch_max_rows + PAGE;
	int more = 1;

	for (int i = 0; i < CLAIM_ROUNDS && more > 0 && state->log.count < most; i++)
		more = claim_page(g, lane, err);
	return more < 0 ? -1 : 0;
}

static void
queue_leave(struct redis_group *g, const struct lane *lane, struct str consumer)
{
	struct str words[] = { STR("EVAL"), STR(LEAVE_SCRIPT), STR("1"), str_of(lane->stream),
		str_of(g->stream.config->group), consumer };

	redis_queue(g->stream.control, 6, words);
}

static bool
is_dead(const struct redis_group *g, const struct lane *lane, const struct redis_reply *one)
{
	const struct redis_reply *name = redis_pair(one, "name"),
				 *pending = redis_pair(one, "pending"),
				 *idle = redis_pair(one, "idle");

	return name != NULL && pending != NULL && idle != NULL && pending->integer == 0 &&
	    idle->integer / DEAD_AFTER > lane->source->claim_after_ms &&
	    !str_equal(name->text, str_of(g->consumer));
}

/* Names of processes that are no more; each process has its own. */
static int
bury_consumers(struct redis_group *g, struct lane *lane, struct err *err)
{
	struct group_lane *state = group_lane(lane);
	struct redis_reply *list, *reply;
	size_t sent = 0;

	if (state->consumers_ms != 0 && clock_ms() - state->consumers_ms < CONSUMERS_MS)
		return 0;
	state->consumers_ms = clock_ms();
	control_begin(&g->stream);
	redis_queuef(g->stream.control, "XINFO CONSUMERS %s %s", lane->stream,
	    g->stream.config->group);
	if (control_send(&g->stream, 0, err) != 0 || control_receive(&g->stream, &list, err) != 0 ||
	    control_refused(&g->stream, list, err) < 0)
		return -1;
	for (size_t i = 0; list->type == REDIS_ARRAY && i < list->count; i++) {
		if (!is_dead(g, lane, list->element[i]))
			continue;
		queue_leave(g, lane, redis_pair(list->element[i], "name")->text);
		sent++;
	}
	if (control_send(&g->stream, 0, err) != 0)
		return -1;
	for (; sent > 0; sent--) {
		if (control_receive(&g->stream, &reply, err) != 0 ||
		    control_refused(&g->stream, reply, err) < 0)
			return -1;
		if (reply->type == REDIS_ERROR)
			control_warn(WARN_CONSUMERS, lane, reply,
			    "names of dead consumers stay in the group");
	}
	return 0;
}

void
group_leave(struct redis_group *g, struct lane *lane)
{
	struct redis_stream *s = &g->stream;
	struct redis_reply *reply;
	size_t replies;

	if (!redis_is_open(s->control) || !group_lane(lane)->joined)
		return;
	/* a read that still waits would be given what nobody hears of */
	redis_close(s->read);
	s->requested = false;
	g->acks = 0;
	control_begin(s);
	replies = group_queue_acks(g, lane, s->control, &s->arena) + 1;
	queue_leave(g, lane, str_of(g->consumer));
	if (control_send(s, 0, NULL) != 0)
		return;
	while (replies-- > 0 && control_receive(s, &reply, NULL) == 0)
		;
}

/* ---- what the group says ---- */

struct view {
	struct stream_facts facts;
	uint64_t pending;
	struct position lowest; /* pending, of any consumer */
};

static int
read_view(struct redis_group *g, struct lane *lane, struct view *view, struct err *err)
{
	struct group_lane *state = group_lane(lane);
	struct stream_question question = { .with_pending = true };
	uint64_t bytes = SEE(lane->stream_bytes);
	struct redis_reply *reply;

	if (state->bytes_ms == 0 || clock_ms() - state->bytes_ms >= BYTES_EVERY_MS) {
		state->bytes_ms = clock_ms();
		question.bytes = &bytes;
	}
	control_begin(&g->stream);
	if (stream_facts_read(&g->stream, lane, &question, &view->facts, err) != 0)
		return -1;
	SHOW(lane->stream_bytes, bytes);
	redis_queuef(g->stream.control, "XPENDING %s %s", lane->stream, g->stream.config->group);
	if (control_send(&g->stream, 0, err) != 0 ||
	    control_receive(&g->stream, &reply, err) != 0 ||
	    control_refused(&g->stream, reply, err) < 0)
		return -1;
	if (reply->type != REDIS_ARRAY || reply->count < 2 ||
	    reply->element[0]->type != REDIS_INTEGER)
		return 0;
	view->pending = (uint64_t)reply->element[0]->integer;
	if (view->pending > 0 && reply->element[1]->type == REDIS_STRING)
		position_parse(reply->element[1]->text, &view->lowest);
	return 0;
}

/* Entries that no consumer was given and that are no more there. */
static bool
has_lost(struct lane *lane, const struct view *view, struct source_look *look)
{
	struct group_lane *state = group_lane(lane);
	const struct stream_info *info = &view->facts.info;
	const struct stream_groups *groups = &view->facts.groups;
	char behind[POSITION_TEXT];
	uint64_t lost;

	if (!info->known || !info->has_added || !groups->ours || !groups->counted ||
	    (info->has_first && position_compare(info->first, groups->delivered) <= 0) ||
	    info->added < info->length + groups->read)
		return false;
	lost = info->added - info->length - groups->read;
	if (lost == 0 || position_compare(state->lost_behind, groups->delivered) == 0)
		return false;
	state->lost_behind = groups->delivered;
	snprintf(look->text, sizeof(look->text),
	    "stream %s: %" PRIu64
	    " entries behind %s are gone that nobody had read (trimmed or deleted by another "
	    "client): their keys may be stale",
	    lane->stream, lost, position_text(groups->delivered, behind));
	return true;
}

/* One thing at a time; what is not told now is told by the next look. */
static void
judge(struct lane *lane, const struct view *view, struct source_look *look)
{
	struct group_lane *state = group_lane(lane);

	if (state->gone) {
		state->gone = false;
		look->result = LOOK_GAP;
		snprintf(look->text, sizeof(look->text),
		    "stream %s or its group was deleted (a flush, or a server that lost data): "
		    "what "
		    "was added and not read is lost, and its keys may be stale; the group was made "
		    "anew",
		    lane->stream);
	} else if (has_lost(lane, view, look)) {
		look->result = LOOK_GAP;
	}
}

static void
show(struct lane *lane, const struct view *view)
{
	const struct stream_info *info = &view->facts.info;
	struct position delivered = view->facts.groups.delivered, oldest = info->first;
	uint64_t beyond;

	SHOW(lane->pending, view->pending);
	if (!info->known || info->wrong_type)
		return;
	if (!stream_beyond(info, delivered, &beyond)) {
		beyond = info->length;
		if (view->facts.groups.counted && info->has_added &&
		    info->added >= view->facts.groups.read &&
		    info->added - view->facts.groups.read < beyond)
			beyond = info->added - view->facts.groups.read;
	}
	if (view->pending > 0)
		oldest = view->lowest;
	else if (!info->has_first || position_compare(info->first, delivered) <= 0)
		oldest = delivered;
	SHOW(lane->lag, beyond + view->pending);
	SHOW(lane->stream_length, info->length);
	SHOW(lane->oldest_pending_ms, beyond + view->pending > 0 ? (int64_t)oldest.major : 0);
}

/* Up to where all is acknowledged.  Asked in this order: what is given out in between is behind it. */
static void
learn_settled(struct lane *lane, const struct view *view)
{
	struct position at = view->facts.groups.delivered;

	if (!view->facts.groups.ours)
		return;
	if (view->pending > 0) {
		at = view->lowest;
		at.major -= at.minor == 0;
		at.minor--;
	}
	if (position_compare(at, lane->settled) > 0)
		lane->settled = at;
}

/* trim: acked.  Behind what every group has read and acknowledged; the entry there stays. */
static int
trim(struct redis_group *g, struct lane *lane, const struct view *view, struct err *err)
{
	const struct stream_info *info = &view->facts.info;
	const struct stream_groups *groups = &view->facts.groups;
	struct position place = view->pending > 0 ? view->lowest : groups->delivered;
	struct redis_reply *reply;
	char text[POSITION_TEXT];

	if (!lane->source->trim_acked || !groups->ours || !info->has_first)
		return 0;
	if (groups->others && position_compare(groups->needed, place) < 0)
		place = groups->needed;
	if (position_compare(info->first, place) >= 0)
		return 0;
	redis_queuef(g->stream.control, "XTRIM %s MINID %s", lane->stream,
	    position_text(place, text));
	if (control_send(&g->stream, 0, err) != 0 ||
	    control_receive(&g->stream, &reply, err) != 0 ||
	    control_refused(&g->stream, reply, err) < 0)
		return -1;
	if (reply->type == REDIS_ERROR)
		control_warn(WARN_TRIM, lane, reply, "goes on without trimming");
	return 0;
}

static int
acknowledge(struct redis_group *g, struct lane *lane, struct err *err)
{
	size_t replies;

	control_begin(&g->stream);
	replies = group_queue_acks(g, lane, g->stream.control, &g->stream.arena);
	return replies > 0 ? control_send(&g->stream, replies, err) : 0;
}

int
group_release(struct source *source, struct lane *lane, struct source_look *look, struct err *err)
{
	struct redis_group *g = redis_group_of(source);
	struct view view = { .pending = 0 };

	memset(look, 0, sizeof(*look));
	if (!group_lane(lane)->joined)
		return 0;
	if (acknowledge(g, lane, err) != 0 || claim(g, lane, err) != 0 ||
	    bury_consumers(g, lane, err) != 0 || read_view(g, lane, &view, err) != 0)
		return -1;
	judge(lane, &view, look);
	show(lane, &view);
	learn_settled(lane, &view);
	return trim(g, lane, &view, err);
}
