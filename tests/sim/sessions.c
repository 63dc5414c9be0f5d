#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdlib.h>

/*
 * Sessions of the server: a transaction sees its own changes and what is committed, has locked what
 * it has touched, and is seen at once and whole when it commits.
 */
#define IDLE_US INT64_C(10000000)

int
session_open(const struct process *owner)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &world.sessions[i];

		if (s->alive)
			continue;
		CHECK(!s->tx.open && s->tx.letters == NULL);
		s->alive = true;
		s->in_doubt = s->committing = false;
		s->owner = owner->index;
		s->owner_life = owner->life;
		s->heard_us = world.now_us;
		s->dies_us = 0;
		return i;
	}
	sim_fail("more sessions than the server has room for");
}

void
session_roll_back(int session)
{
	struct transaction *tx = &world.sessions[session].tx;

	if (!tx->open)
		return;
	free(tx->letters);
	free(tx->steps);
	memset(tx, 0, sizeof(*tx));
}

void
session_kill(int session)
{
	struct session *s = &world.sessions[session];

	if (!s->alive)
		return;
	trace("session %d ends", session);
	session_roll_back(session);
	s->alive = s->in_doubt = s->committing = false;
	for (unsigned l = 0; l < world.lanes; l++) {
		if (world.lane_lock[l] == session)
			world.lane_lock[l] = -1;
	}
}

struct row *
session_row(int session, unsigned table, unsigned row)
{
	struct transaction *tx = &world.sessions[session].tx;

	CHECK(row < ROWS_MAX);
	if (tx->touched[table][row])
		return &tx->rows[table][row];
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (i != session && world.sessions[i].tx.open &&
		    world.sessions[i].tx.touched[table][row])
			return NULL;
	}
	if (row < KEYS_MAX && world.foreign_lock_us[table][row] > world.now_us)
		return NULL;
	tx->open = tx->touched[table][row] = true;
	tx->rows[table][row] = world.rows[table][row];
	return &tx->rows[table][row];
}

bool
session_lock_lane(int session, unsigned lane)
{
	struct transaction *tx = &world.sessions[session].tx;

	if (tx->moved[lane])
		return true;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (i != session && world.sessions[i].tx.open && world.sessions[i].tx.moved[lane])
			return false;
	}
	tx->open = tx->moved[lane] = true;
	tx->ledger[lane] = world.ledger[lane];
	return true;
}

static void
commit_rows(const struct transaction *tx)
{
	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned r = 0; r < ROWS_MAX; r++) {
			unsigned lane = lane_of(t, r);
			struct row before;

			if (!tx->changed[t][r])
				continue;
			before = world.rows[t][r];
			world.rows[t][r] = tx->rows[t][r];
			if (t == PROFILE && r < KEYS_MAX)
				populate_commit(r, tx->replays);
			if (r == KEYS_MAX || tx->replays)
				continue; /* a letter remembers its keys itself */
			if (t == STOCK)
				values_commit(tx, r, &before);
			world.changed_tick[t][r] = ++world.ticks;
			world.changed_at[t][r] = tx->ledger[lane].position;
		}
	}
}

static void
commit_skips(const struct transaction *tx, unsigned lane)
{
	struct stream *s = &world.streams[lane];

	/* an order goes past what was applied in a future that MySQL has lost */
	world.excused[lane] |= world.went_back;
	for (unsigned i = 0; i < s->added; i++) {
		struct stream_entry *e = &s->entries[i];

		if ((is_visible(s, i) || e->expired) &&
		    position_compare(e->id, tx->skipped_from[lane]) > 0 &&
		    position_compare(e->id, tx->skipped_to[lane]) <= 0)
			e->skipped = true;
	}
}

void
session_commit_now(int session)
{
	struct transaction *tx = &world.sessions[session].tx;

	if (!tx->open)
		return;
	commit_rows(tx);
	commit_letters(tx);
	outbox_commit(tx);
	for (unsigned l = 0; l < world.lanes; l++) {
		struct position before = world.ledger[l].done, after = tx->ledger[l].done;

		if (!tx->moved[l])
			continue;
		world.ledger[l] = tx->ledger[l];
		if (position_compare(tx->skipped_to[l], tx->skipped_from[l]) > 0)
			commit_skips(tx, l);
		if (position_compare(after, before) < 0 && !sim_kafka.logs[l].lost_end)
			sim_fail("lane %u: done goes back", l);
		else if (position_compare(after, before) > 0)
			check_done(l, after);
		outbox_check(l);
	}
	session_roll_back(session);
}

/* A COMMIT whose sender is gone happens, or not, sooner or later; who is silent is thrown out. */
void
sessions_age(void)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &world.sessions[i];

		if (!s->alive)
			continue;
		if (s->in_doubt && below(8) == 0) {
			trace("session %d: the COMMIT of one that is gone happens", i);
			session_commit_now(i);
			s->in_doubt = false;
		}
		if ((s->dies_us != 0 && world.now_us >= s->dies_us) ||
		    world.now_us - s->heard_us > IDLE_US)
			session_kill(i);
	}
}
