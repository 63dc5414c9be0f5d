#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include <stdio.h>

/*
 * Servers that lose what they had.  MySQL: all that was committed after some moment is undone, as when
 * a replica is promoted that lags behind.  Redis: the streams lose their ends and get other entries in
 * their place, as when a replica is promoted that has missed entries, or after a split brain.
 */

/* ---- what the streams hold ---- */

bool
is_visible(const struct stream *s, unsigned i)
{
	const struct stream_entry *e = &s->entries[i];

	return i >= s->trimmed && i < s->added && !e->lost && (!e->other || world.forked);
}

static bool
is_same(const struct stream_entry *s, const struct entry *e)
{
	if (position_compare(s->id, e->id) != 0 || s->raw_count != e->raw_count)
		return false;
	for (size_t i = 0; i < e->raw_count; i++)
		if (!str_equal(s->raw[i].name, e->raw[i].name) ||
		    !str_equal(s->raw[i].value.text, e->raw[i].value.text))
			return false;
	return true;
}

/* Both sides of a fork may have one of the same place. */
unsigned
entry_index(const struct entry *e)
{
	const struct stream *s = &world.streams[e->lane->index];

	for (unsigned i = 0; i < s->added; i++)
		if (is_visible(s, i) && is_same(&s->entries[i], e))
			return i;
	for (unsigned i = 0; i < s->added; i++)
		if (is_same(&s->entries[i], e))
			return i;
	sim_fail("lane %d: an entry that never was", e->lane->index);
}

const char *
history(void)
{
	return world.forked ? "two" : "one";
}

struct position
last_place(const struct stream *s)
{
	struct position last = last_entry(s);

	return position_compare(s->lifted, last) > 0 ? s->lifted : last;
}

struct position
last_entry(const struct stream *s)
{
	struct position last = { 0, 0 };

	for (unsigned i = 0; i < s->added; i++)
		if (!s->entries[i].lost && (!s->entries[i].other || world.forked) &&
		    position_compare(s->entries[i].id, last) > 0)
			last = s->entries[i].id;
	return last;
}

/* ---- what a seed decides ---- */

static bool
is_like(const struct stream_entry *a, const struct stream_entry *b)
{
	struct entry e = { .id = a->id, .raw = b->raw, .raw_count = b->raw_count };

	return is_same(a, &e);
}

/* Entries that only the other side has, among those that it lacks; now and then with the same id.  With
 * the same contents, too, nobody could tell them apart. */
static void
add_others(struct stream *s)
{
	unsigned added = 0;

	for (unsigned i = 0; i < s->count && added < OTHERS_MAX; i++) {
		struct stream_entry *e = &s->entries[i], *other = e + 1, like;

		if (i == 0 || e->at_us <= world.cut_us || e->at_us > world.fork_us || below(3) != 0)
			continue;
		like = s->entries[below(i)];
		if (is_like(e, &like))
			continue;
		memmove(other + 1, other, (s->count - i - 1) * sizeof(*other));
		*other = like;
		other->id = e->id;
		other->at_us = e->at_us;
		other->other = true;
		s->count++;
		added++;
		i++;
	}
}

void
choose_histories(void)
{
	int64_t span_us = world.calm_us - world.now_us;

	if (below(3) == 0 && !world.invalidates && !logs_lose_ends()) {
		world.config.keep_ms = (int)below(8000);
		world.snap_us = world.now_us + below((unsigned)span_us);
		world.back_us = world.snap_us + below(5000000);
	}
	world.config.wait_replicas = below(8) == 0;
	if (below(4) != 0 || world.kafka)
		return;
	world.fork_us = world.now_us + below((unsigned)span_us);
	world.cut_us = world.fork_us - below(3000000);
	for (unsigned l = 0; l < world.lanes; l++)
		add_others(&world.streams[l]);
}

/* ---- MySQL goes back ---- */

static void
take_snapshot(void)
{
	struct snapshot *snap = &world.snapshot;

	world.snap_us = 0;
	for (unsigned l = 0; l < world.lanes; l++)
		if (!world.ledger[l].found)
			return; /* a row that never was is another story */
	snap->taken = true;
	snap->at_us = world.now_us;
	memcpy(snap->rows, world.rows, sizeof(snap->rows));
	memcpy(snap->ledger, world.ledger, sizeof(snap->ledger));
	for (unsigned l = 0; l < world.lanes; l++) {
		for (unsigned i = 0; i < world.streams[l].count; i++) {
			const struct stream_entry *e = &world.streams[l].entries[i];

			snap->dead[l][i] = e->dead;
			snap->skipped[l][i] = e->skipped;
			snap->applied[l][i] = e->applied;
		}
	}
	letters_remember(snap);
	outbox_remember(snap);
	trace("MySQL is copied");
}

/* Kept entries are still there; what was trimmed and is no longer applied is lost. */
static bool
lose_trimmed(unsigned l)
{
	struct stream *s = &world.streams[l];
	bool any = false;

	for (unsigned i = 0; i < s->trimmed; i++) {
		struct stream_entry *e = &s->entries[i];

		if (e->applied || e->dead != NULL || e->skipped || e->lost ||
		    (e->other && !world.forked))
			continue;
		e->lost = any = true;
	}
	return any;
}

static void
rows_go_back(unsigned l)
{
	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned r = 0; r < KEYS_MAX; r++) {
			if (lane_of(t, r) != l)
				continue;
			/* what readers have filled in since then must go again */
			if (!row_equal(&world.rows[t][r], &world.snapshot.rows[t][r]))
				world.changed_tick[t][r] = ++world.ticks;
		}
	}
}

static void
go_back(void)
{
	struct snapshot *snap = &world.snapshot;
	bool kept = !world.kafka &&
	    world.now_us - snap->at_us + 2000 < world.config.keep_ms * INT64_C(1000);

	world.went_back = true;
	for (int i = 0; i < SESSIONS_MAX; i++)
		session_kill(i);
	for (unsigned l = 0; l < world.lanes; l++) {
		struct stream *s = &world.streams[l];
		struct position before = world.ledger[l].position;
		bool loses;

		for (unsigned i = 0; i < s->count; i++) {
			s->entries[i].dead = snap->dead[l][i];
			s->entries[i].skipped = snap->skipped[l][i];
			s->entries[i].applied = snap->applied[l][i];
		}
		world.ledger[l] = snap->ledger[l];
		loses = lose_trimmed(l);
		if (loses && kept)
			sim_fail("lane %u: keep did not keep what MySQL lost", l);
		world.excused[l] |= loses;
		rows_go_back(l);
		world.tell_fork[l] = false; /* what it was about is undone */
		world.tell_rollback[l] = position_compare(s->board, world.ledger[l].position) > 0;
		if (position_compare(before, world.ledger[l].position) > 0)
			trace("lane %u goes back%s", l, loses ? ", and loses entries" : "");
	}
	memcpy(world.rows, snap->rows, sizeof(world.rows));
	letters_go_back(snap);
	outbox_goes_back(snap);
	snap->taken = false;
}

/* ---- Redis forks ---- */

static void
fork_lane(unsigned l)
{
	struct stream *s = &world.streams[l];
	const struct ledger *ledger = &world.ledger[l];
	bool position_lost = false;
	unsigned cut = 0;

	while (cut < s->added && (s->entries[cut].at_us <= world.cut_us))
		cut++;
	for (unsigned i = cut; i < s->added; i++) {
		struct stream_entry *e = &s->entries[i];

		if (e->other || e->lost)
			continue;
		e->lost = true;
		world.excused[l] = true;
		position_lost |= position_compare(e->id, ledger->position) == 0;
	}
	/* what the other side has trimmed is older, too */
	if (s->trimmed > cut)
		s->trimmed = cut;
	if (s->trimmed > 0 && s->trimmed + 3 > cut)
		s->trimmed = s->trimmed > 3 ? s->trimmed - 3 : 0;
	world.tell_fork[l] = position_lost && cut > s->trimmed &&
	    ledger->checkpoints.history[0] != '\0' &&
	    checkpoints_stand_on_entry(&ledger->checkpoints, ledger->position);
	trace("lane %u forks at entry %u%s", l, cut, position_lost ? ", its position is lost" : "");
}

static void
fork_streams(void)
{
	for (unsigned l = 0; l < world.lanes; l++)
		fork_lane(l);
	world.forked = true;
	for (unsigned i = 0; i < world.processes; i++)
		world.process[i].source.open = world.process[i].source.requested = false;
}

void
histories_pass(void)
{
	if (world.ending)
		return;
	if (world.snap_us != 0 && world.now_us >= world.snap_us)
		take_snapshot();
	if (world.snapshot.taken && world.now_us >= world.back_us)
		go_back();
	if (world.fork_us != 0 && !world.forked && world.now_us >= world.fork_us)
		fork_streams();
}

void
hear_alarms(const struct process *p)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		const char *alarm = p->alive ? atomic_load(&p->lanes[l].alarm) : NULL;

		if (alarm == NULL)
			continue;
		world.told_rollback[l] |= strcmp(alarm, LANE_WHY_STORE_ROLLBACK) == 0;
		world.told_fork[l] |=
		    strcmp(alarm, LANE_WHY_FORK) == 0 || strcmp(alarm, LANE_WHY_ROLLBACK) == 0;
		world.told_gap[l] |= strcmp(alarm, LANE_WHY_GAP) == 0;
		world.told_cache_lost[l] |= strcmp(alarm, LANE_WHY_CACHE_LOST) == 0;
		sim_kafka.told_growth |= strcmp(alarm, LANE_WHY_PARTITIONS) == 0;
	}
}

/* ---- as stream_verify ---- */

static const struct stream_entry *
visible_at(const struct stream *s, struct position id)
{
	for (unsigned i = s->trimmed; i < s->added; i++)
		if (is_visible(s, i) && position_compare(s->entries[i].id, id) == 0)
			return &s->entries[i];
	return NULL;
}

static bool
first_place(const struct stream *s, struct position *first)
{
	for (unsigned i = s->trimmed; i < s->added; i++) {
		if (!is_visible(s, i))
			continue;
		*first = s->entries[i].id;
		return true;
	}
	return false;
}

static bool
is_ours(const struct stream_entry *found, uint64_t hash)
{
	struct entry e;

	if (found == NULL)
		return false;
	e = (struct entry){ .raw = found->raw, .raw_count = found->raw_count };
	return hash == 0 || checkpoint_hash(&e) == hash;
}

static bool
find_verified(const struct stream *s, const struct ledger_row *row, struct position first,
    struct position *verified)
{
	const struct checkpoints *c = &row->checkpoints;
	bool differs = false;

	for (unsigned i = 0; i < c->count; i++) {
		if (c->list[i].hash == 0 || position_compare(c->list[i].id, row->position) > 0)
			continue;
		if (position_compare(first, c->list[i].id) > 0)
			break;
		if (is_ours(visible_at(s, c->list[i].id), c->list[i].hash)) {
			*verified = c->list[i].id;
			break;
		}
		differs = true;
	}
	return differs;
}

static bool
stands_between(const struct stream *s, struct position after, struct position to)
{
	for (unsigned i = s->trimmed; i < s->added; i++) {
		if (is_visible(s, i) && position_compare(s->entries[i].id, after) > 0 &&
		    position_compare(s->entries[i].id, to) <= 0)
			return true;
	}
	return false;
}

void
fake_verify(const struct lane *lane, const struct ledger_row *row, struct source_look *look)
{
	const struct stream *s = &world.streams[lane->index];
	const char *before = row->checkpoints.history;
	bool other = before[0] != '\0' && strcmp(before, history()) != 0, differs;
	bool surely = look->result == LOOK_ROLLBACK;
	struct position first;

	snprintf(look->history, sizeof(look->history), "%s", history());
	look->nothing_left = look->result != LOOK_OK && look->result != LOOK_FRESH &&
	    (!first_place(s, &first) || position_compare(first, row->position) > 0);
	if (!row->found || (!other && !surely))
		return;
	if (!first_place(s, &first) || position_compare(first, row->position) > 0) {
		look->nothing_left = true;
		return;
	}
	differs = find_verified(s, row, first, &look->verified);
	if (!surely && !differs && checkpoints_stand_on_entry(&row->checkpoints, row->position))
		differs = !is_ours(visible_at(s, row->position),
		    checkpoints_hash_at(&row->checkpoints, row->position));
	else if (!surely && !differs && (look->verified.major != 0 || look->verified.minor != 0))
		differs = stands_between(s, look->verified, row->position);
	if (!surely && !differs)
		return;
	look->in_question = true;
	if (look->result == LOOK_OK)
		look->result = LOOK_FORK;
}
