#include "worker/source/redis_stream.h"

#include "common/log.h"
#include "common/random.h"

#include <stdio.h>
#include <string.h>

enum { PENDING_MAX = 16 }; /* other groups whose pending entries we look at */

/* ---- asking ---- */

static void
read_identity(struct stream_facts *facts, const struct redis_reply *reply)
{
	if (reply->type == REDIS_NIL)
		facts->identity_trace = IDENTITY_ABSENT;
	else if (reply->type == REDIS_STRING && reply->text.len < sizeof(facts->identity)) {
		facts->identity_trace = IDENTITY_FOUND;
		memcpy(facts->identity, reply->text.data, reply->text.len + 1);
	}
}

/* What other groups were given and have not acknowledged is theirs to ask for again. */
static int
read_pending(struct redis_stream *s, struct lane *lane, struct stream_groups *groups,
    const struct str *names, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		redis_queuef(s->control, "XPENDING %s %b", lane->stream, &names[i]);
	if (control_send(s, 0, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct position lowest = { 0, 0 };
		struct redis_reply *reply;
		int refused;

		if (control_receive(s, &reply, err) != 0)
			return -1;
		refused = control_refused(s, reply, err);
		if (refused < 0)
			return -1;
		if (refused > 0)
			control_warn(WARN_PENDING, lane, reply,
			    "streams with other groups are not trimmed");
		/* [count, lowest, highest, consumers]; where nothing is pending any more: nil */
		else if (reply->type == REDIS_ARRAY && reply->count > 1 &&
		    !(reply->element[1]->type == REDIS_STRING &&
			position_parse(reply->element[1]->text, &lowest)))
			continue;
		stream_groups_need(groups, names[i], lowest);
	}
	return 0;
}

/* XINFO STREAM comes last, because it may have to be cut. */
int
stream_facts_read(struct redis_stream *s, struct lane *lane, const struct stream_question *question,
    struct stream_facts *facts, struct err *err)
{
	const struct redis_reply *info;
	struct redis_reply *reply;
	struct str pending[PENDING_MAX];
	size_t pending_count;
	bool cut;

	memset(facts, 0, sizeof(*facts));
	redis_queuef(s->control, "GET " IDENTITY_KEY, s->config->pool, lane->stream);
	redis_queuef(s->control, "XINFO GROUPS %s", lane->stream);
	if (question->bytes != NULL)
		redis_queuef(s->control, "MEMORY USAGE %s", lane->stream);
	redis_queuef(s->control, "XINFO STREAM %s", lane->stream);
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	if (control_refused(s, reply, err) < 0)
		return -1;
	read_identity(facts, reply);
	if (control_receive(s, &reply, err) != 0)
		return -1;
	stream_groups_read(reply, s->config->group, &facts->groups, pending, PENDING_MAX,
	    &pending_count);
	if (question->bytes != NULL) {
		if (control_receive(s, &reply, err) != 0)
			return -1;
		if (reply->type == REDIS_INTEGER && reply->integer >= 0)
			*question->bytes = (uint64_t)reply->integer;
		else if (reply->type == REDIS_ERROR)
			control_warn(WARN_MEMORY, lane, reply,
			    "goes on without telling the memory of streams");
	}
	if (control_receive_entries(s, &info, &cut, err) != 0 || control_refused(s, info, err) < 0)
		return -1;
	stream_info_read(info, &facts->info);
	if (!facts->info.known && info->type == REDIS_ERROR)
		control_warn(WARN_XINFO, lane, info,
		    "goes on without looking for gaps, trimming and lag");
	if (!question->with_pending || pending_count == 0)
		return 0;
	return read_pending(s, lane, &facts->groups, pending, pending_count, err);
}

/* ---- the identity key ---- */

/* Could the key have been kept at all?  XX writes nothing where there is no key. */
static int
probe_identity(struct redis_stream *s, struct lane *lane, const char *identity,
    struct stream_facts *facts, struct err *err)
{
	struct redis_reply *reply;
	int refused;

	redis_queuef(s->control, "SET " IDENTITY_KEY " %s XX", s->config->pool, lane->stream,
	    identity);
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	refused = control_refused(s, reply, err);
	if (refused < 0)
		return -1;
	if (refused > 0) {
		facts->identity_trace = IDENTITY_UNKNOWN;
		control_warn(WARN_IDENTITY, lane, reply, "goes on without an identity key");
	}
	return 0;
}

int
stream_leave_identity(struct redis_stream *s, struct lane *lane, const char *identity,
    struct err *err)
{
	struct stream_lane *state = stream_lane(lane);
	struct redis_reply *reply;
	int refused;

	redis_queuef(s->control, "SET " IDENTITY_KEY " %s NX", s->config->pool, lane->stream,
	    identity);
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	refused = control_refused(s, reply, err);
	if (refused < 0)
		return -1;
	if (refused > 0)
		control_warn(WARN_IDENTITY, lane, reply, "goes on without an identity key");
	state->identity_seen = refused == 0;
	state->owes_identity = false;
	return 0;
}

void
stream_new_identity(struct source *source, struct lane *lane, char identity[64])
{
	(void)source;
	(void)lane;
	snprintf(identity, 64, "%016llx%016llx", (unsigned long long)random_seed(),
	    (unsigned long long)random_seed());
}

/* ---- look ---- */

/* XGROUP CREATE … MKSTREAM makes the stream, empty; XSETID then lifts it. */
int
stream_lift(struct redis_stream *s, struct lane *lane, const struct stream_info *info,
    struct position position, bool *cannot, struct err *err)
{
	struct redis_reply *reply;
	char text[POSITION_TEXT];
	size_t replies = 1;

	position_text(position, text);
	if (!info->exists) {
		redis_queuef(s->control, "XGROUP CREATE %s %s %s MKSTREAM", lane->stream,
		    s->config->group, text);
		replies++;
	}
	redis_queuef(s->control, "XSETID %s %s", lane->stream, text);
	if (control_send(s, 0, err) != 0)
		return -1;
	for (size_t i = 0; i < replies; i++) {
		if (control_receive(s, &reply, err) != 0 || control_refused(s, reply, err) < 0)
			return -1;
	}
	*cannot = reply->type == REDIS_ERROR;
	if (*cannot)
		log_event(LOG_ERROR, "stream_not_lifted", "lane", "%s", lane->name, "to", "%s",
		    text, "error", "%s", reply->text.data, "next", "%s",
		    "halts: new entries could hide below the ledger's place", NULL);
	else
		log_event(LOG_WARN, "stream_lifted", "lane", "%s", lane->name, "to", "%s", text,
		    NULL);
	return 0;
}

int
stream_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct stream_lane *state = stream_lane(lane);
	struct stream_question question = { 0 };
	struct stream_facts facts;
	struct stream_memory memory;

	memset(look, 0, sizeof(*look));
	control_begin(s);
	if (stream_facts_read(s, lane, &question, &facts, err) != 0)
		return -1;
	if (facts.identity_trace == IDENTITY_ABSENT && row->found && row->identity[0] != '\0' &&
	    probe_identity(s, lane, row->identity, &facts, err) != 0)
		return -1;
	/* a lane that was ours all the time: we know more than the notice board */
	memory = state->looked ? state->memory : stream_recall(&facts, row->done);
	if (stream_decide(&facts, &memory, lane, row, look, err) != 0)
		return -1;
	if (look->result != LOOK_IDENTITY && look->result != LOOK_WRONG_TYPE &&
	    stream_verify(s, lane, row, &facts, look, err) != 0)
		return -1;
	/* of a lane that stands still only good news is heard; what is lost is told when it goes on */
	if (lane->state != LANE_OPEN && look->result != LOOK_OK)
		return 0;
	if (look->result == LOOK_GAP && stream_is_behind(&facts.info, row->position) &&
	    stream_lift(s, lane, &facts.info, row->position, &look->cannot_lift, err) != 0)
		return -1;
	state->looked = true;
	state->identity_seen = facts.identity_trace == IDENTITY_FOUND;
	state->memory = memory;
	if (look->result == LOOK_FRESH)
		state->memory = stream_remember(&facts.info, look->start);
	else if (look->result == LOOK_GAP || look->result == LOOK_STORE_ROLLBACK ||
	    look->result == LOOK_ROLLBACK || look->result == LOOK_FORK) {
		state->memory = stream_remember(&facts.info, row->done);
		state->owes_identity = facts.identity_trace == IDENTITY_ABSENT;
	}
	return 0;
}

/* ---- settle ---- */

int
stream_settle(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct stream_lane *state = stream_lane(lane);
	const struct stream_memory *memory = &state->memory;
	struct redis_reply *reply;
	char text[POSITION_TEXT];

	control_begin(s);
	if (identity[0] != '\0' && stream_leave_identity(s, lane, identity, err) != 0)
		return -1;
	position_text(lane->done, text);
	if (s->counts_reads && memory->counted && position_compare(memory->done, lane->done) == 0)
		redis_queuef(s->control, "XGROUP CREATE %s %s %s MKSTREAM ENTRIESREAD %llu",
		    lane->stream, s->config->group, text, (unsigned long long)memory->count);
	else
		redis_queuef(s->control, "XGROUP CREATE %s %s %s MKSTREAM", lane->stream,
		    s->config->group, text);
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	if (reply->type == REDIS_ERROR && strncmp(reply->text.data, "BUSYGROUP", 9) != 0)
		control_warn(WARN_GROUP, lane, reply, "goes on without a group to show progress");
	state->settled = true;
	return 0;
}

/* The old key goes; settle leaves ours in its place. */
int
stream_claim(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct redis_reply *reply;

	control_begin(s);
	redis_queuef(s->control, "UNLINK " IDENTITY_KEY, s->config->pool, lane->stream);
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0)
		return -1;
	if (redis_reply_error(reply, err) != 0)
		return -1;
	return stream_settle(source, lane, identity, err);
}

/* ---- a stream that need not be a lane of ours ---- */

int
stream_newest(struct source *source, const char *stream, struct position *last, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	const struct redis_reply *reply;
	struct stream_info info = { 0 };
	bool cut;

	*last = (struct position){ 0, 0 };
	control_begin(s);
	redis_queuef(s->control, "XINFO STREAM %s", stream);
	if (control_send(s, 0, err) != 0 || control_receive_entries(s, &reply, &cut, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	stream_info_read(reply, &info);
	if (info.known && info.exists)
		*last = info.last_generated;
	return info.known ? 0 : 1;
}
