#include "worker/source/redis_stream.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/operate/counters.h"

#include <string.h>

enum {
	BYTES_EVERY_MS = 10000,	  /* MEMORY USAGE */
	BLOCKED_AFTER_MS = 60000, /* another group keeps us from trimming: when to say so */
	BLOCKED_EVERY_MS = 600000
};

/* ---- what the stream says ---- */

/* Lost entries, or another stream: true when the look has something to say. */
static int
check_loss(struct redis_stream *s, struct lane *lane, const struct stream_facts *facts,
    struct source_look *look, struct err *err)
{
	struct stream_lane *state = stream_lane(lane);
	struct ledger_row row = { .found = true, .position = lane->position, .done = lane->done };
	struct position read = lane->position;
	struct stream_facts seen = *facts;

	if (!state->identity_seen)
		seen.identity_trace = IDENTITY_UNKNOWN;
	memcpy(row.identity, lane->identity, sizeof(row.identity));
	row.checkpoints = lane->checkpoints;
	if (stream_decide(&seen, &state->memory, lane, &row, look, err) != 0)
		return -1;
	/* only an open lane's look is heard */
	if (look->result == LOOK_OK || look->result == LOOK_IDENTITY || lane->state != LANE_OPEN)
		return look->result != LOOK_OK;
	if (stream_verify(s, lane, &row, facts, look, err) != 0)
		return -1;
	/* what was read and is not yet written will be written */
	if (position_compare(lane->cursor, read) > 0)
		read = lane->cursor;
	if (look->result == LOOK_GAP && stream_is_behind(&facts->info, lane->position) &&
	    stream_lift(s, lane, &facts->info, read, &look->cannot_lift, err) != 0)
		return -1;
	state->memory = stream_remember(&facts->info, lane->done);
	if (facts->identity_trace == IDENTITY_ABSENT) {
		/* left again by the next release, when the alarm is in the ledger */
		state->owes_identity = true;
		state->identity_seen = false;
	}
	return 1;
}

/* ---- trim ---- */

static void
note_blocked(struct stream_lane *state, const struct lane *lane, const struct stream_groups *groups)
{
	int64_t now = clock_ms();
	char text[POSITION_TEXT];

	if (!groups->others || position_compare(groups->needed, lane->done) >= 0) {
		state->blocked_ms = 0;
		return;
	}
	if (state->blocked_ms == 0)
		state->blocked_ms = now;
	if (now - state->blocked_ms < BLOCKED_AFTER_MS ||
	    (state->blocked_logged_ms != 0 && now - state->blocked_logged_ms < BLOCKED_EVERY_MS))
		return;
	state->blocked_logged_ms = now;
	log_event(LOG_WARN, "trim_blocked", "lane", "%s", lane->name, "group", "%s", groups->holder,
	    "needs_from", "%s", position_text(groups->needed, text), "next", "%s",
	    "the stream grows until that group reads on or is destroyed", NULL);
}

/* Queues the trims of what is old enough and of what is too much: how many. */
static unsigned
queue_trims(struct redis_stream *s, const struct stream_facts *facts, struct lane *lane)
{
	const struct stream_info *info = &facts->info;
	struct stream_held held = { info->first, info->length, SEE(lane->stream_bytes) };
	struct position place, bound = lane->done;
	bool aged = stream_keep_place(&stream_lane(lane)->kept, lane->epoch, clock_ms(),
	    s->config->keep_ms, lane->done, &place);
	struct stream_trim trim;
	char text[POSITION_TEXT];

	if (!facts->groups.known || !info->has_first)
		return 0;
	if (facts->groups.others && position_compare(facts->groups.needed, bound) < 0)
		bound = facts->groups.needed;
	if (lane->again.on && position_compare(lane->again.at, bound) < 0)
		bound = lane->again.at; /* its keys come first */
	trim =
	    stream_keep_trim(&held, (uint64_t)s->config->keep_bytes, bound, aged ? &place : NULL);
	if (trim.excess > 0)
		redis_queuef(s->control, "XTRIM %s MINID ~ %s LIMIT %llu", lane->stream,
		    position_text(bound, text), (unsigned long long)trim.excess);
	if (trim.aged)
		redis_queuef(s->control, "XTRIM %s MINID %s", lane->stream,
		    position_text(trim.place, text));
	return (unsigned)(trim.excess > 0) + (unsigned)trim.aged;
}

/* When did the oldest pending change come?  Only where the stream's first entry isn't it. */
static bool
wants_oldest(const struct stream_lane *state, const struct lane *lane,
    const struct stream_info *info)
{
	if (!info->known || info->length == 0 ||
	    position_compare(lane->done, info->last_generated) >= 0 ||
	    (info->has_first && position_compare(info->first, lane->done) > 0))
		return false;
	return position_compare(state->oldest_of, lane->done) != 0 || state->oldest.major == 0;
}

static void
queue_oldest(struct redis_stream *s, const struct lane *lane)
{
	struct position behind = lane->done;
	char text[POSITION_TEXT];

	if (++behind.minor == 0)
		behind.major++;
	redis_queuef(s->control, "XRANGE %s %s + COUNT 1", lane->stream,
	    position_text(behind, text));
}

static int
receive_oldest(struct redis_stream *s, struct lane *lane, struct err *err)
{
	struct stream_lane *state = stream_lane(lane);
	const struct redis_reply *reply, *entry;
	bool cut;

	if (control_receive_entries(s, &reply, &cut, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	state->oldest_of = lane->done;
	state->oldest = (struct position){ 0, 0 };
	entry = reply->type == REDIS_ARRAY && reply->count > 0 ? reply->element[0] : NULL;
	if (entry != NULL && entry->type == REDIS_ARRAY && entry->count > 0 &&
	    entry->element[0] != NULL)
		position_parse(entry->element[0]->text, &state->oldest);
	return 0;
}

/* Trim, and see what is there afterwards; what is behind `done` is only countable then. */
static int
trim(struct redis_stream *s, struct lane *lane, struct stream_facts *facts, struct err *err)
{
	const struct stream_lane *state = stream_lane(lane);
	struct redis_reply *reply;
	const struct redis_reply *info;
	unsigned trims = queue_trims(s, facts, lane);
	bool cut = false;
	bool asks = wants_oldest(state, lane, &facts->info);

	if (trims > 0)
		redis_queuef(s->control, "XINFO STREAM %s", lane->stream);
	if (asks)
		queue_oldest(s, lane);
	if ((trims > 0 || asks) && control_send(s, 0, err) != 0)
		return -1;
	for (unsigned i = 0; i < trims; i++) {
		if (control_receive(s, &reply, err) != 0 || control_refused(s, reply, err) < 0)
			return -1;
		if (reply->type == REDIS_ERROR)
			control_warn(WARN_TRIM, lane, reply, "goes on without trimming");
	}
	if (trims > 0) {
		if (control_receive_entries(s, &info, &cut, err) != 0 ||
		    control_refused(s, info, err) < 0)
			return -1;
		stream_info_read(info, &facts->info);
	}
	if (asks && cut) {
		queue_oldest(s, lane);
		if (control_send(s, 0, err) != 0)
			return -1;
	}
	return asks ? receive_oldest(s, lane, err) : 0;
}

/* ---- the notice board ---- */

void
stream_write_board(struct redis_stream *s, const struct lane *lane,
    const struct stream_memory *memory)
{
	bool counted =
	    s->counts_reads && memory->counted && position_compare(memory->done, lane->done) == 0;
	char text[POSITION_TEXT];

	position_text(lane->done, text);
	if (counted)
		redis_queuef(s->control, "XGROUP SETID %s %s %s ENTRIESREAD %llu", lane->stream,
		    s->config->group, text, (unsigned long long)memory->count);
	else
		redis_queuef(s->control, "XGROUP SETID %s %s %s", lane->stream, s->config->group,
		    text);
}

static void
make_board(struct redis_stream *s, const struct lane *lane, const struct stream_memory *memory)
{
	char text[POSITION_TEXT];

	position_text(lane->done, text);
	if (s->counts_reads && memory->counted)
		redis_queuef(s->control, "XGROUP CREATE %s %s %s MKSTREAM ENTRIESREAD %llu",
		    lane->stream, s->config->group, text, (unsigned long long)memory->count);
	else
		redis_queuef(s->control, "XGROUP CREATE %s %s %s MKSTREAM", lane->stream,
		    s->config->group, text);
}

/* Nobody waits for the answers: whether it worked is seen at the next look. */
static int
move_group(struct redis_stream *s, const struct lane *lane, const struct stream_facts *facts,
    const struct stream_memory *memory, struct err *err)
{
	const struct stream_groups *groups = &facts->groups;
	bool counted = s->counts_reads && memory->counted;

	if (groups->ours && position_compare(groups->delivered, lane->done) == 0 &&
	    (!counted || (groups->counted && groups->read == memory->count)))
		return 0;
	if (groups->ours || !groups->known)
		stream_write_board(s, lane, memory);
	else
		make_board(s, lane, memory);
	return control_send(s, 1, err);
}

/* ---- pages ---- */

static void
show(struct lane *lane, const struct stream_info *info)
{
	const struct stream_lane *state = stream_lane(lane);
	const struct stream_memory *memory = &state->memory;
	struct position oldest = info->first;
	uint64_t beyond;

	if (!info->known || info->wrong_type)
		return;
	/* where the entries behind `done` can't be told apart: at most all */
	if (!stream_beyond(info, lane->done, &beyond)) {
		beyond = info->length;
		if ((memory->counted || memory->at_least) && info->has_added &&
		    info->added >= memory->count && info->added - memory->count < beyond)
			beyond = info->added - memory->count;
	}
	if (!info->has_first || position_compare(info->first, lane->done) <= 0)
		oldest = position_compare(state->oldest_of, lane->done) == 0 &&
			state->oldest.major != 0 ?
		    state->oldest :
		    lane->done;
	SHOW(lane->lag, beyond);
	SHOW(lane->stream_length, info->length);
	SHOW(lane->oldest_pending_ms, beyond > 0 ? (int64_t)oldest.major : 0);
}

static int
read_facts(struct redis_stream *s, struct lane *lane, struct stream_facts *facts, struct err *err)
{
	struct stream_lane *state = stream_lane(lane);
	uint64_t bytes = SEE(lane->stream_bytes);
	struct stream_question question = { .with_pending = true };

	if (state->bytes_asked_ms == 0 || s->config->keep_bytes > 0 ||
	    clock_ms() - state->bytes_asked_ms >= BYTES_EVERY_MS) {
		state->bytes_asked_ms = clock_ms();
		question.bytes = &bytes;
	}
	if (stream_facts_read(s, lane, &question, facts, err) != 0)
		return -1;
	SHOW(lane->stream_bytes, facts->info.known && !facts->info.exists ? 0 : bytes);
	return 0;
}

/* The worker counts what it passes; a second that it doesn't know the number of is begun anew. */
static void
remember(struct lane *lane, const struct stream_info *info)
{
	struct stream_lane *state = stream_lane(lane);
	struct stream_memory memory = stream_remember(info, lane->done);

	if (position_compare(lane->answered, lane->done) == 0) {
		stream_count_on(&memory, &state->memory, lane->passed_from, lane->passed);
		lane->passed_from = lane->done;
		lane->passed = 0;
	}
	state->memory = memory;
}

int
stream_release(struct source *source, struct lane *lane, struct source_look *look, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct stream_lane *state = stream_lane(lane);
	struct stream_facts facts;
	int loss;

	memset(look, 0, sizeof(*look));
	/* resumed by order: the ledger has a row now */
	if (!state->settled && lane->state == LANE_OPEN &&
	    stream_settle(source, lane, lane->identity, err) != 0)
		return -1;
	if (!state->settled)
		return 0; /* it may be somebody else's stream: touch nothing */
	control_begin(s);
	if (stream_history(s, err) != 0)
		return -1;
	if (state->owes_identity && lane->identity[0] != '\0' &&
	    stream_leave_identity(s, lane, lane->identity, err) != 0)
		return -1;
	if (read_facts(s, lane, &facts, err) != 0)
		return -1;
	loss = check_loss(s, lane, &facts, look, err);
	if (loss != 0) {
		show(lane, &facts.info);
		return loss < 0 ? -1 : 0;
	}
	note_blocked(state, lane, &facts.groups);
	if (trim(s, lane, &facts, err) != 0)
		return -1;
	remember(lane, &facts.info);
	show(lane, &facts.info);
	return move_group(s, lane, &facts, &state->memory, err);
}
