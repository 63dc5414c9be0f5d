#include "tests/sim/populate.h"

#include "tests/sim/sim.h"

#include "common/clock.h"
#include "common/err.h"
#include "worker/read_back.h"

#include <stdlib.h>

enum { VERSION_COLUMN = 4 };
#define QUARANTINE_US INT64_C(5000000)
#define ABSENT_US INT64_C(2000000)
#define MARKER_US INT64_C(60000000)

/* What the cache holds of a key. */
struct populated {
	bool there;
	uint64_t version, marker; /* 2 * version, + 1 of a deletion */
	int64_t quarantine_us;
	unsigned state; /* which commit the value is of */
};

/* A row after each of its commits. */
struct states {
	struct row *rows;
	unsigned count, told; /* told: those that `done` stands for */
};

static struct populated entries[KEYS_MAX];
static struct states states[KEYS_MAX];

void
populate_set_up(void)
{
	/* a quarter of the seeds, and none of tests/sim/seeds: these play what they always played */
	world.populates = !world.kafka && (world.seed * UINT64_C(0x91450C5DB8EE8047)) >> 62 == 0;
	if (!world.kafka && !world.populates)
		world.tables[PROFILE].template_count = 0;
	memset(entries, 0, sizeof(entries));
	for (unsigned r = 0; r < KEYS_MAX; r++) {
		free(states[r].rows);
		states[r] = (struct states){ .count = 0 };
		populate_commit(r, true);
	}
}

/* ---- MySQL ---- */

void
populate_read_back(int session, struct batch *batch)
{
	if (!world.populates)
		return;
	read_back_forget(batch);
	batch->now_us = clock_us();
	for (struct touched *t = batch->touched; t != NULL; t = t->next) {
		const struct transaction *tx = &world.sessions[session].tx;
		struct shape shape = { .table = t->table };
		struct operation op = { .shape = &shape, .key = t->key };
		struct row_now *now;
		const struct row *row;
		unsigned r;

		if (!read_back_wants(t))
			continue;
		r = key_row(&op);
		row = tx->touched[PROFILE][r] ? &tx->rows[PROFILE][r] : &world.rows[PROFILE][r];
		if (!row->there || row->cells[VERSION_COLUMN].null || below(16) == 0)
			continue;
		now = arena_alloc(&batch->now, sizeof(*now));
		*now = (struct row_now){ .value = { arena_copy(&batch->now, row, sizeof(*row)),
					     sizeof(*row) },
			.version = (uint64_t)row->cells[VERSION_COLUMN].n };
		t->now = now;
	}
}

void
populate_commit(unsigned row, bool replays)
{
	struct states *s = &states[row];

	if (!world.populates)
		return;
	s->rows = reallocarray(s->rows, s->count + 1, sizeof(*s->rows));
	CHECK(s->rows != NULL);
	s->rows[s->count] = world.rows[PROFILE][row];
	if (!replays)
		s->told = s->count;
	s->count++;
}

/* ---- the cache ---- */

void
populate_tell(struct populate_told *told, const struct batch *batch, const struct touched *touched)
{
	struct shape shape = { .table = touched->table };
	struct operation op = { .shape = &shape, .key = touched->key };
	const struct row_now *now;

	*told = (struct populate_told){ .row = key_row(&op), .told = told_of(touched, 0) };
	now = read_back_of(touched, &told->told);
	if (now == NULL)
		return;
	CHECK(now->value.len == sizeof(struct row) && now->value.len <= sizeof(told->now));
	told->has_now = true;
	told->version = now->version;
	told->read_us = batch->now_us;
	memcpy(told->now, now->value.data, now->value.len);
}

static void
invalidate(struct populated *e, uint64_t version, bool deleted)
{
	uint64_t marker = 2 * version + deleted;

	if (marker <= e->marker)
		return;
	e->marker = marker;
	e->there &= 2 * e->version >= marker;
}

static void
write_value(struct populated *e, const struct populate_told *t)
{
	struct row row;
	const struct states *s = &states[t->row];
	unsigned state = s->count;

	memcpy(&row, t->now, sizeof(row));
	while (state > 0 && !row_equal(&s->rows[state - 1], &row))
		state--;
	if (state == 0 && !world.went_back)
		sim_fail("profile %u: the cache gets [%s], which was never committed", t->row,
		    row_text(PROFILE, &row));
	trace("profile %u: the cache holds version %llu", t->row, (unsigned long long)t->version);
	*e = (struct populated){ .there = true,
		.version = t->version,
		.marker = 2 * t->version,
		.state = state > 0 ? state - 1 : 0 };
}

static void
populate(struct populated *e, const struct populate_told *t)
{
	int64_t lives_us = e->there || e->marker > 0 ? MARKER_US : ABSENT_US;

	if (e->quarantine_us > world.now_us || world.now_us - t->read_us > lives_us)
		invalidate(e, t->version, false);
	else if (2 * t->version >= e->marker)
		write_value(e, t);
}

void
populate_arrives(const struct populate_told *t)
{
	struct populated *e = &entries[t->row];

	if (!t->told.anything)
		return;
	world.gone_tick[PROFILE][t->row] = ++world.ticks;
	if (t->told.unversioned)
		*e = (struct populated){ .quarantine_us = world.now_us + QUARANTINE_US };
	else if (t->has_now)
		populate(e, t);
	else
		invalidate(e, t->told.version, t->told.deleted);
}

void
populate_flushed(void)
{
	memset(entries, 0, sizeof(entries));
}

/* ---- what must hold ---- */

void
populate_check_done(unsigned lane, struct position done)
{
	char text[POSITION_TEXT];

	for (unsigned r = 0; r < KEYS_MAX && world.populates && !world.went_back; r++) {
		const struct populated *e = &entries[r];

		if (lane_of(PROFILE, r) != lane || world.excused[lane] || !e->there ||
		    position_compare(world.changed_at[PROFILE][r], done) > 0 ||
		    e->state >= states[r].told)
			continue;
		sim_fail("lane %u: done up to %s, but profile %u holds version %llu of an older "
			 "commit",
		    lane, position_text(done, text), r, (unsigned long long)e->version);
	}
}

void
populate_check_rest(void)
{
	for (unsigned r = 0; r < KEYS_MAX && world.populates && !world.went_back; r++) {
		const struct states *s = &states[r];

		if (entries[r].there && !world.excused[lane_of(PROFILE, r)] &&
		    !row_equal(&s->rows[entries[r].state], &world.rows[PROFILE][r]))
			sim_fail("profile %u: the cache holds [%s], the row is [%s]", r,
			    row_text(PROFILE, &s->rows[entries[r].state]),
			    row_text(PROFILE, &world.rows[PROFILE][r]));
	}
}
