#include "common/clock.h"
#include "worker/source/redis_stream.h"
#include "worker/source/stream_preflight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	HISTORY_EVERY_MS = 1000,
	PAGE_ENTRIES = 64, /* of those in question, in one transaction */
	CONFIRM_WAIT_MS =
	    1000, /* WAIT, or half of redis.timeout: no transaction is open meanwhile */
};

/* ---- the server's history ---- */

static int
take_history(struct redis_stream *s, const struct redis_reply *reply, struct err *err)
{
	char history[HISTORY_MAX + 1];

	if (reply->type != REDIS_STRING)
		return 0; /* preflight said so */
	info_history(reply->text, history);
	if (s->history[0] == '\0' || history[0] == '\0' || strcmp(history, s->history) == 0)
		return 0;
	stream_close(s);
	return err_set(err, ERR_RETRY, 0,
	    "redis: the server's replication id changed (its first replica joined, or it was one "
	    "itself); its streams are looked at again");
}

int
stream_history(struct redis_stream *s, struct err *err)
{
	struct redis_reply *reply;

	if (clock_ms() - s->history_ms < HISTORY_EVERY_MS)
		return 0;
	s->history_ms = clock_ms();
	redis_queuef(s->control, "INFO replication");
	if (control_send(s, 0, err) != 0 || control_receive(s, &reply, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	return take_history(s, reply, err);
}

/* ---- does it hold what was read? ---- */

/* UNKNOWN: too large to hold, or we may not ask */
enum stands { STANDS_NOTHING, STANDS_ENTRY, STANDS_UNKNOWN };

/* What stands at this place?  -1: can't be asked. */
static int
read_entry(struct redis_stream *s, struct lane *lane, struct position id, struct entry **entry,
    struct err *err)
{
	const struct redis_reply *reply;
	char text[POSITION_TEXT];
	bool cut;

	*entry = NULL;
	position_text(id, text);
	redis_queuef(s->control, "XRANGE %s %s %s", lane->stream, text, text);
	if (control_send(s, 0, err) != 0 || control_receive_entries(s, &reply, &cut, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	if (reply->type == REDIS_ERROR)
		control_warn(WARN_RANGE, lane, reply, "goes on without seeing forks");
	if (reply->type == REDIS_ARRAY && reply->count == 0)
		return STANDS_NOTHING;
	if (cut || reply->type != REDIS_ARRAY)
		return STANDS_UNKNOWN;
	*entry = stream_entry(&s->arena, lane, reply->element[0]);
	return *entry != NULL ? STANDS_ENTRY : STANDS_NOTHING;
}

/*
 * The newest checkpoint that the stream still has, as it was.  What was cut off in front proves
 * nothing, and nothing older is there either.
 */
static int
find_verified(struct redis_stream *s, struct lane *lane, const struct ledger_row *row,
    struct position first, struct source_look *look, bool *differs, struct err *err)
{
	const struct checkpoints *c = &row->checkpoints;

	for (unsigned i = 0; i < c->count; i++) {
		const struct checkpoint *at = &c->list[i];
		struct entry *entry;
		int stands;

		if (at->hash == 0 || position_compare(at->id, row->position) > 0)
			continue;
		if (position_compare(first, at->id) > 0)
			return 0;
		stands = read_entry(s, lane, at->id, &entry, err);
		if (stands < 0)
			return -1;
		if (stands == STANDS_UNKNOWN)
			continue; /* to compare */
		if (stands == STANDS_ENTRY && checkpoint_hash(entry) == at->hash) {
			look->verified = at->id;
			return 0;
		}
		*differs = true;
	}
	return 0;
}

static void
say_fork(const struct lane *lane, const struct ledger_row *row, struct source_look *look)
{
	char from[POSITION_TEXT], to[POSITION_TEXT];

	position_text(look->verified, from);
	position_text(row->position, to);
	if (look->result == LOOK_FORK)
		snprintf(look->text, sizeof(look->text),
		    "stream %s forked behind %s: it isn't the one that was read up to %s; its "
		    "entries "
		    "between them are dead letters, and what was added behind %s on the other side "
		    "and "
		    "not read is lost",
		    lane->stream, from, to, from);
	else if (look->result == LOOK_ROLLBACK) {
		size_t len = strlen(look->text);

		snprintf(look->text + len, sizeof(look->text) - len,
		    "; its entries between %s and %s are dead letters: whether they were applied "
		    "can't "
		    "be known",
		    from, to);
	}
}

static int
ask_range(struct redis_stream *s, struct lane *lane, struct position after, struct position to,
    int count, const struct redis_reply **reply, bool *cut, struct err *err)
{
	char from_text[POSITION_TEXT], to_text[POSITION_TEXT];

	if (++after.minor == 0)
		after.major++;
	control_begin(s);
	redis_queuef(s->control, "XRANGE %s %s %s COUNT %lld", lane->stream,
	    position_text(after, from_text), position_text(to, to_text), (long long)count);
	if (control_send(s, 0, err) != 0 || control_receive_entries(s, reply, cut, err) != 0)
		return -1;
	return control_refused(s, *reply, err) < 0 ? -1 : 0;
}

/*
 * Does the position's own entry, or what stands in front of a position without one, show another
 * stream?  Where an order put the lane nothing was applied behind the newest checkpoint: what is
 * there now may be new.
 */
static int
look_at_position(struct redis_stream *s, struct lane *lane, const struct ledger_row *row,
    struct position verified, bool *differs, struct err *err)
{
	uint64_t hash = checkpoints_hash_at(&row->checkpoints, row->position);
	const struct redis_reply *reply;
	struct entry *entry;
	bool cut;
	int stands;

	if (checkpoints_stand_on_entry(&row->checkpoints, row->position)) {
		if ((stands = read_entry(s, lane, row->position, &entry, err)) < 0)
			return -1;
		*differs = stands == STANDS_NOTHING ||
		    (stands == STANDS_ENTRY && hash != 0 && checkpoint_hash(entry) != hash);
	} else if (verified.major != 0 || verified.minor != 0) {
		if (ask_range(s, lane, verified, row->position, 1, &reply, &cut, err) != 0)
			return -1;
		*differs = cut || (reply->type == REDIS_ARRAY && reply->count > 0);
	}
	return 0;
}

int
stream_verify(struct redis_stream *s, struct lane *lane, const struct ledger_row *row,
    const struct stream_facts *facts, struct source_look *look, struct err *err)
{
	const struct stream_info *info = &facts->info;
	const char *before = row->checkpoints.history;
	bool other = before[0] != '\0' && s->history[0] != '\0' && strcmp(before, s->history) != 0;
	bool surely = look->result == LOOK_ROLLBACK || look->anew;
	bool differs = false;

	snprintf(look->history, sizeof(look->history), "%s", s->history);
	if (!row->found || (!other && !surely))
		return 0;
	if (!info->has_first || position_compare(info->first, row->position) > 0) {
		look->nothing_left |= info->known; /* that could be another's, or is still owed */
		return 0;
	}
	if (find_verified(s, lane, row, info->first, look, &differs, err) != 0)
		return -1;
	if (!surely && !differs &&
	    look_at_position(s, lane, row, look->verified, &differs, err) != 0)
		return -1;
	if (!surely && !differs)
		return 0;
	look->in_question = true;
	if (look->result == LOOK_OK || (look->result == LOOK_GAP && (!surely || other)))
		look->result = LOOK_FORK;
	say_fork(lane, row, look);
	return 0;
}

/* ---- what is in question ---- */

/* The reply's memory is the next operation's: copy. */
static void
add_entry(struct delivery *d, struct entry ***tail, struct lane *lane,
    const struct redis_reply *reply)
{
	struct entry *e = stream_entry(&d->arena, lane, reply);

	if (e == NULL)
		return;
	for (size_t i = 0; i < e->raw_count; i++) {
		e->raw[i].name = arena_str(&d->arena, e->raw[i].name.data, e->raw[i].name.len);
		e->raw[i].value.text =
		    arena_str(&d->arena, e->raw[i].value.text.data, e->raw[i].value.text.len);
	}
	**tail = e;
	*tail = &e->next;
	d->count++;
}

/* Too large to hold even alone: its place is all that can be kept of it. */
static void
add_place(struct delivery *d, struct lane *lane, const struct redis_reply *reply)
{
	const struct redis_reply *one =
	    reply->type == REDIS_ARRAY && reply->count > 0 ? reply->element[0] : NULL;
	struct entry *e = arena_zalloc(&d->arena, sizeof(*e));

	if (one == NULL || one->type != REDIS_ARRAY || one->count == 0 || one->element[0] == NULL ||
	    !position_parse(one->element[0]->text, &e->id))
		return;
	e->lane = lane;
	d->first = e;
	d->count = 1;
}

int
stream_range(struct source *source, struct lane *lane, struct position after, struct position to,
    struct delivery **page, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	const struct redis_reply *reply;
	struct delivery *d;
	struct entry **tail;
	bool cut;

	*page = NULL;
	if (ask_range(s, lane, after, to, PAGE_ENTRIES, &reply, &cut, err) != 0 ||
	    (cut && ask_range(s, lane, after, to, 1, &reply, &cut, err) != 0))
		return -1;
	if (reply->type == REDIS_ERROR)
		control_warn(WARN_RANGE, lane, reply,
		    "entries that a rollback puts in question are not kept as dead letters");
	if (reply->type != REDIS_ARRAY || reply->count == 0)
		return 0;
	d = stream_delivery(s);
	tail = &d->first;
	if (cut)
		add_place(d, lane, reply);
	for (size_t i = 0; i < reply->count && !cut; i++)
		add_entry(d, &tail, lane, reply->element[i]);
	if (d->first != NULL) {
		*page = d;
		return 0;
	}
	stream_recycle(source, &d);
	return err_set(err, ERR_RETRY, EPROTO, "redis: an XRANGE reply that makes no sense");
}

int
stream_lift_lane(struct source *source, struct lane *lane, bool *cannot, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	struct stream_question question = { 0 };
	struct stream_facts facts;

	*cannot = false;
	/* what became a dead letter just now is kept from now on */
	stream_keep_forget(&stream_lane(lane)->kept);
	control_begin(s);
	if (stream_facts_read(s, lane, &question, &facts, err) != 0)
		return -1;
	if (!stream_is_behind(&facts.info, lane->position))
		return 0;
	return stream_lift(s, lane, &facts.info, lane->position, cannot, err);
}

/* ---- wait_replicas ---- */

/*
 * WAIT speaks of this connection's own writes: one of ours, which stands behind everything that was
 * read, must have arrived.  Moving our group to where it is changes nothing.
 */
int
stream_confirm(struct source *source, struct lane *lane, int replicas, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);
	int wait_ms = s->control_options.timeout_ms / 2;
	struct redis_reply *moved, *reply;

	if (!redis_is_open(s->control))
		return err_set(err, ERR_RETRY, ENOTCONN, "redis: not connected");
	control_begin(s);
	if (wait_ms > CONFIRM_WAIT_MS)
		wait_ms = CONFIRM_WAIT_MS;
	stream_write_board(s, lane, &stream_lane(lane)->memory);
	redis_queuef(s->control, "WAIT %lld %lld", (long long)replicas, (long long)wait_ms);
	if (control_send(s, 0, err) != 0 || control_receive(s, &moved, err) != 0 ||
	    control_refused(s, moved, err) < 0 || control_receive(s, &reply, err) != 0 ||
	    control_refused(s, reply, err) < 0)
		return -1;
	if (moved->type == REDIS_ERROR || reply->type == REDIS_ERROR)
		return redis_reply_error(moved->type == REDIS_ERROR ? moved : reply, err);
	if (reply->integer >= replicas)
		return 0;
	return err_set(err, ERR_RETRY, 0,
	    "wait_replicas: %lld of %d replicas have what was read; the batch waits",
	    (long long)reply->integer, replicas);
}
