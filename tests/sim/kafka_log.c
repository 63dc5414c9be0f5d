#include "tests/sim/kafka.h"

#include <stdio.h>

/*
 * The logs.  Offsets have holes, where transactions and compaction leave them.  Retention takes their
 * beginnings away, a leader that missed their ends the ends, and the topic may be deleted and made
 * anew: its records then begin at 0 again.
 *
 * Where a log lost its end nothing new is added while somebody still stands beyond it: that new records
 * got the old offsets before anybody looked could not be known.  The ledger alone may stand there when
 * one of them will be at its very place, which is then known by its content.
 */

const char *
log_identity(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "sim t%u", sim_kafka.topic_life);
	return text;
}

/* The records that are still to come. */
static void
number(unsigned l, int64_t offset)
{
	struct stream *s = &world.streams[l];

	for (unsigned i = s->added; i < s->count; i++) {
		s->entries[i].id = position_of_offset(offset);
		offset += 1 + s->entries[i].gap;
	}
}

void
logs_number(void)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		struct kafka_log *log = &sim_kafka.logs[l];
		struct stream *s = &world.streams[l];

		for (unsigned i = 0; i < s->count; i++)
			s->entries[i].gap = below(4) == 0 ? 1 + below(3) : 0;
		log->start = log->end = below(3) == 0 ? below(1000) : 0;
		number(l, log->end + (below(4) == 0));
	}
}

const struct stream_entry *
log_next(unsigned partition, int64_t offset)
{
	const struct stream *s = &world.streams[partition];

	for (unsigned i = s->trimmed; i < s->added; i++)
		if (is_visible(s, i) && (int64_t)s->entries[i].id.major >= offset)
			return &s->entries[i];
	return NULL;
}

/* ---- records come ---- */

static bool
is_beyond(unsigned l, struct position place)
{
	return position_next_offset(place) > sim_kafka.logs[l].end;
}

/* What could not be asked then proves nothing. */
static bool
is_other_topic(const char *identity)
{
	return strchr(identity, ' ') != NULL &&
	    strcmp(strchr(identity, ' '), strchr(log_identity(), ' ')) != 0;
}

/* A lane that is halted may be moved by an order before that is looked at. */
static bool
will_stand_at(unsigned l, struct position place)
{
	const struct stream *s = &world.streams[l];

	for (unsigned i = s->added; i < s->count; i++)
		if (position_compare(s->entries[i].id, place) == 0)
			return world.ledger[l].halted == NULL;
	return false;
}

/* The log lost its end, or was made anew, and somebody stands where nothing is. */
static bool
log_is_held(unsigned l)
{
	const struct ledger *ledger = &world.ledger[l];

	if (!sim_kafka.logs[l].lost_end)
		return false;
	if (!world.invalidates && ledger->found &&
	    (is_other_topic(ledger->identity) ||
		(is_beyond(l, ledger->position) && !will_stand_at(l, ledger->position))))
		return true;
	for (unsigned i = 0; i < world.processes; i++) {
		const struct process *p = &world.process[i];

		if (p->alive && p->lanes[l].state != LANE_FREE &&
		    (is_beyond(l, p->lanes[l].cursor) || is_beyond(l, p->lanes[l].position)))
			return true;
	}
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *tx = &world.sessions[i].tx;

		if (tx->open && tx->moved[l] && is_beyond(l, tx->ledger[l].position))
			return true;
	}
	return world.invalidates && sim_kafka.logs[l].committed &&
	    sim_kafka.logs[l].offset > sim_kafka.logs[l].end;
}

void
logs_add_due(void)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		struct stream *s = &world.streams[l];

		while (l < sim_kafka.partitions && s->added < s->count &&
		    s->entries[s->added].at_us <= world.now_us && !log_is_held(l)) {
			struct stream_entry *e = &s->entries[s->added++];

			e->added_tick = ++world.ticks;
			sim_kafka.logs[l].end = position_next_offset(e->id) + e->gap;
		}
	}
}

/* ---- records go ---- */

static bool
is_settled(const struct stream_entry *e)
{
	return e->applied || e->dead != NULL || e->skipped ||
	    (world.invalidates && kafka_is_answered(e));
}

/* Was it, or will it be, somebody's to read? */
static bool
is_missed(unsigned l, const struct stream_entry *e)
{
	const struct kafka_log *log = &sim_kafka.logs[l];

	if (is_settled(e))
		return false;
	return world.invalidates ? log->committed && (int64_t)e->id.major >= log->offset :
				   world.ledger[l].found;
}

/* Its beginning is old.  What nobody had read of it is to be told of. */
static void
retain(unsigned l)
{
	struct stream *s = &world.streams[l];
	struct kafka_log *log = &sim_kafka.logs[l];
	unsigned to = s->trimmed + below(s->added - s->trimmed + 1);

	/* mostly what is done */
	for (unsigned i = s->trimmed; i < to && below(8) != 0; i++)
		if (!is_settled(&s->entries[i]))
			to = i;
	if (to == s->trimmed || s->entries[to - 1].lost)
		return;
	for (unsigned i = s->trimmed; i < to; i++) {
		struct stream_entry *e = &s->entries[i];

		/* its keys can't be derived any more */
		world.excused[l] |=
		    !world.ledger[l].found || position_compare(e->id, world.ledger[l].done) > 0;
		if (e->lost || (is_settled(e) && !world.invalidates))
			continue;
		e->expired = is_missed(l, e);
		e->lost = true;
	}
	s->trimmed = to;
	log->start = to < s->added ? (int64_t)s->entries[to].id.major : log->end;
	trace("partition %u begins at %lld", l, (long long)log->start);
}

/* MySQL and a log that both went back leave places that nobody can tell apart: never in one schedule. */
bool
logs_lose_ends(void)
{
	bool any = sim_kafka.anew_us != 0;

	for (unsigned l = 0; l < world.lanes; l++)
		any |= sim_kafka.logs[l].cut_us != 0;
	return any;
}

static void
lose(unsigned l, unsigned from)
{
	struct stream *s = &world.streams[l];

	for (unsigned i = from; i < s->added; i++)
		s->entries[i].lost = true;
	world.excused[l] = true;
	sim_kafka.logs[l].lost_end = true;
}

/* Its new leader had missed the last records. */
static void
lose_end(unsigned l)
{
	struct stream *s = &world.streams[l];
	struct kafka_log *log = &sim_kafka.logs[l];
	unsigned from = s->trimmed + below(s->added - s->trimmed + 1);

	log->cut_us = 0;
	while (from < s->added && s->entries[from].lost)
		from++;
	if (from == s->added)
		return;
	log->end = log->cut = (int64_t)s->entries[from].id.major;
	log->leader++;
	lose(l, from);
	number(l, log->end);
	trace("partition %u ends at %lld again", l, (long long)log->end);
}

static void
make_anew(void)
{
	sim_kafka.anew_us = 0;
	sim_kafka.topic_life++;
	for (unsigned l = 0; l < world.lanes; l++) {
		struct stream *s = &world.streams[l];
		struct kafka_log *log = &sim_kafka.logs[l];

		lose(l, 0);
		s->trimmed = s->added;
		log->start = log->end = log->cut = 0;
		log->leader = 0;
		number(l, 0);
		if (below(2) == 0) {
			log->committed = false;
			log->forgotten = true;
			s->board = (struct position){ 0, 0 };
		}
	}
	trace("the topic is deleted and made anew: %s", log_identity());
}

/* Whoever has read it before is to tell that keys may go elsewhere now. */
static void
grow(void)
{
	trace("the topic has %u partitions", world.lanes);
	for (unsigned l = 0; l < sim_kafka.partitions; l++)
		sim_kafka.tell_growth |= world.ledger[l].found;
	sim_kafka.partitions = world.lanes;
}

void
logs_tick(void)
{
	if (sim_kafka.partitions < world.lanes && world.now_us >= sim_kafka.grows_us)
		grow();
	if (world.ending || world.calm)
		return;
	if (sim_kafka.anew_us != 0 && world.now_us >= sim_kafka.anew_us)
		make_anew();
	for (unsigned l = 0; l < world.lanes; l++) {
		if (chance(sim_kafka.odds.retain))
			retain(l);
		if (sim_kafka.logs[l].cut_us != 0 && world.now_us >= sim_kafka.logs[l].cut_us)
			lose_end(l);
	}
}

void
logs_check_told(void)
{
	for (unsigned l = 0; l < world.lanes; l++)
		for (unsigned i = 0; i < world.streams[l].count; i++) {
			const struct stream_entry *e = &world.streams[l].entries[i];
			char id[POSITION_TEXT];

			if (e->expired && !is_settled(e) && !world.told_gap[l] &&
			    !world.told_rollback[l] && !sim_kafka.logs[l].lost_end)
				sim_fail("partition %u: %s expired before it was applied, and no "
					 "alarm says so",
				    l, position_text(e->id, id));
		}
}

/* ---- orders ---- */

/* Whoever compared the table with the log knows what of it was applied; keys are told again. */
static struct position
before_new(unsigned lane)
{
	const struct stream *s = &world.streams[lane];

	for (unsigned i = s->trimmed; i < s->added; i++)
		if (is_visible(s, i) && (world.invalidates || !is_settled(&s->entries[i])))
			return position_of_offset((int64_t)s->entries[i].id.major - 1);
	return position_of_offset(sim_kafka.logs[lane].end - 1);
}

bool
log_order_waits(unsigned lane)
{
	int64_t at_us = sim_kafka.logs[lane].ordered_us;

	return at_us != 0 && world.now_us - at_us < 3000000;
}

bool
log_order_place(unsigned lane, const char *why, struct position *place)
{
	if (why == NULL ||
	    (strcmp(why, LANE_WHY_IDENTITY) != 0 && strcmp(why, LANE_WHY_ROLLBACK) != 0))
		return false;
	*place = before_new(lane);
	sim_kafka.logs[lane].ordered_us = world.now_us;
	return true;
}

void
log_claimed(unsigned lane)
{
	struct stream *s = &world.streams[lane];

	for (unsigned i = s->trimmed; i < s->added; i++)
		if (is_visible(s, i) && !is_settled(&s->entries[i]) &&
		    position_compare(s->entries[i].id, world.ledger[lane].position) <= 0)
			s->entries[i].skipped = true;
}
