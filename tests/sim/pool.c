#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdio.h>

/* The members of the pool behind store.h: rows that outlive who wrote them. */

static struct fake_store *
fake_of(struct store *store)
{
	return (struct fake_store *)store;
}

static bool
is_of(const struct member_row *row, const struct process *p)
{
	return row->there && row->process == p->index && row->life == p->life;
}

static struct member_row *
find_row(const struct process *p)
{
	for (int i = 0; i < MEMBERS_MAX; i++) {
		if (is_of(&world.members[i], p))
			return &world.members[i];
	}
	return NULL;
}

/* All sessions of one life hold the same lock. */
static bool
lives(const struct member_row *row)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct session *s = &world.sessions[i];

		if (s->alive && s->owner == row->process && s->owner_life == row->life)
			return true;
	}
	return false;
}

static struct member_row *
new_row(const struct process *p)
{
	for (int i = 0; i < MEMBERS_MAX; i++) {
		struct member_row *row = &world.members[i];

		if (row->there)
			continue;
		*row = (struct member_row){ .there = true,
			.process = p->index,
			.life = p->life,
			.joined_us = (uint64_t)world.now_us };
		return row;
	}
	sim_fail("p%d finds no room among the members: nobody sweeps", p->index);
}

int
fake_join(struct store *store, unsigned lanes, struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct member_row *row = find_row(s->process);

	if (row != NULL && row->lanes == lanes)
		return 0;
	if (store_reach(s, "store.join", err) != 0)
		return -1;
	row = find_row(s->process);
	if (row == NULL)
		row = new_row(s->process);
	row->lanes = lanes;
	call_ends(s->process, "store.join");
	return 0;
}

int
fake_leave(struct store *store, struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct member_row *row;

	if (store_reach(s, "store.leave", err) != 0)
		return -1;
	row = find_row(s->process);
	if (row != NULL)
		row->there = false;
	call_ends(s->process, "store.leave");
	return 0;
}

int
fake_members(struct store *store, struct pool_view *view, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.members", err) != 0)
		return -1;
	*view = (struct pool_view){ .members = s->members };
	for (int i = 0; i < MEMBERS_MAX; i++) {
		const struct member_row *row = &world.members[i];
		struct member *m = &s->members[view->count];

		if (!row->there)
			continue;
		if (!lives(row)) {
			view->dead++;
			continue;
		}
		*m = (struct member){ .workers = 1,
			.joined_us = row->joined_us,
			.lanes = row->lanes,
			.mine = is_of(row, s->process) };
		snprintf(m->process, sizeof(m->process), "p%d/%u", row->process, row->life);
		view->count++;
	}
	call_ends(s->process, "store.members");
	return 0;
}

int
fake_sweep(struct store *store, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.sweep", err) != 0)
		return -1;
	for (int i = 0; i < MEMBERS_MAX; i++) {
		if (world.members[i].there && !lives(&world.members[i]))
			world.members[i].there = false;
	}
	return 0;
}

int
fake_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.unowned", err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		int lock = world.lane_lock[lanes[i]->index];

		unowned[i] = lock < 0 || lock == s->session || chance(world.odds.two_owners);
	}
	call_ends(s->process, "store.unowned");
	return 0;
}

bool
pool_is_balanced(void)
{
	unsigned least = world.lanes, most = 0, sum = 0;
	bool owned[LANES_MAX] = { false };

	for (unsigned i = 0; i < world.processes; i++) {
		const struct process *p = &world.process[i];
		unsigned lanes = 0;

		if (!p->alive)
			return false; /* it is about to start */
		for (unsigned l = 0; l < world.lanes; l++) {
			if (p->lanes[l].state == LANE_FREE)
				continue;
			if (owned[l])
				return false;
			owned[l] = true;
			lanes++;
		}
		least = lanes < least ? lanes : least;
		most = lanes > most ? lanes : most;
		sum += lanes;
	}
	return sum == world.lanes && most - least <= 1;
}
