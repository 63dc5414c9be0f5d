#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>

/* The fake MySQL behind store.h, but for write (write.c). */
enum {
	ER_LOCK_WAIT = 1205,
	ER_DEADLOCK = 1213,
	ER_GONE = 2006,
	TIMEOUT_MS = 5000,
	LINGER_US = 15000000
};

static struct fake_store *
fake_of(struct store *store)
{
	return (struct fake_store *)store;
}

/* ---- the connection ---- */

static int
store_cut(struct fake_store *s, struct err *err, const char *why)
{
	if (s->session >= 0) {
		struct session *session = &world.sessions[s->session];

		session->committing = false;
		if (below(2) == 0 && !session->in_doubt)
			session_kill(s->session);
		else
			session->dies_us = world.now_us + 1 + below(LINGER_US);
	}
	s->settled = s->session >= 0 ? s->session : s->settled;
	s->session = -1;
	trace("p%d store: connection lost: %s", s->process->index, why);
	return err_set(err, ERR_RETRY, ER_GONE, "gone away: %s", why);
}

bool
store_has(const struct fake_store *s, int session)
{
	const struct session *at = &world.sessions[session];

	return at->alive && at->owner == s->process->index && at->owner_life == s->process->life;
}

int
store_reach(struct fake_store *s, const char *what, struct err *err)
{
	call_begins(s->process, what);
	if (s->session < 0)
		return err_set(err, ERR_RETRY, ER_GONE, "not connected");
	if (is_down(world.store_down_us) || !store_has(s, s->session))
		return store_cut(s, err, "the server ended it");
	world.sessions[s->session].heard_us = world.now_us;
	if (chance(world.odds.cut))
		return store_cut(s, err, "on the way there");
	if (chance(world.odds.retry)) {
		session_roll_back(s->session);
		return err_set(err, ERR_RETRY, ER_DEADLOCK, "deadlock");
	}
	return 0;
}

int
store_still(struct fake_store *s, struct err *err)
{
	if (is_down(world.store_down_us) || !store_has(s, s->session))
		return store_cut(s, err, "the server ended it meanwhile");
	world.sessions[s->session].heard_us = world.now_us;
	return 0;
}

int
store_wait(struct fake_store *s, struct err *err)
{
	int64_t us = 100 + below(2000);
	int ready;

	if (chance(world.odds.slow))
		us = below(2 * TIMEOUT_MS) * INT64_C(1000);
	s->answer_us = world.now_us + us;
	s->waiting = true;
	ready = worker_wait(&s->process->worker, 100 + s->process->index, TIMEOUT_MS);
	s->waiting = false;
	if (ready != 1)
		return store_cut(s, err, "no answer in time");
	return store_still(s, err);
}

/* Nothing is written for a partition after its revoke was answered. */
static void
check_assigned(const struct fake_store *s)
{
	for (unsigned l = 0; l < world.lanes && world.kafka; l++)
		if (world.sessions[s->session].tx.moved[l] &&
		    (sim_kafka.may_write[s->process->index] & 1U << l) == 0)
			sim_fail("p%d writes for partition %u, which it has no more",
			    s->process->index, l);
}

int
store_commit(struct fake_store *s, struct err *err)
{
	struct session *session = &world.sessions[s->session];

	session->committing = true;
	check_assigned(s);
	call_begins(s->process, "COMMIT");
	if (is_down(world.store_down_us) || !store_has(s, s->session))
		return store_cut(s, err, "before COMMIT");
	if (chance(world.odds.cut_commit)) {
		switch (below(3)) {
		case 0:
			return store_cut(s, err, "COMMIT never arrived");
		case 1:
			session->in_doubt = true;
			return store_cut(s, err, "COMMIT arrived and nobody heard of it again");
		default:
			session_commit_now(s->session);
			return store_cut(s, err, "COMMIT was done, its answer lost");
		}
	}
	session_commit_now(s->session);
	session->committing = false;
	call_ends(s->process, "COMMIT");
	return 0;
}

/* The session before: what it was doing is settled before anything else is believed. */
static void
settle(struct fake_store *s)
{
	int session = s->settled;

	s->settled = -1;
	if (session < 0 || !store_has(s, session))
		return;
	if (world.sessions[session].in_doubt && below(2) == 0)
		session_commit_now(session);
	session_kill(session);
}

static int
reload(struct fake_store *s)
{
	const struct worker *w = &s->process->worker;
	bool is_broken = is_down(world.broken_us);

	/* what is prepared points to tables that are about to go */
	CHECK(w->filling->prepared == NULL && (w->writing == NULL || w->writing->prepared == NULL));
	sim_schema_free(&s->schema);
	s->altered = world.now_us >= world.alter_us;
	s->broken = is_broken;
	s->schema = sim_schema_new(&world.config, s->altered, is_broken ? world.broken_table : -1);
	return 0;
}

static int
fake_open(struct store *store, struct err *err)
{
	struct fake_store *s = fake_of(store);

	call_begins(s->process, "store.open");
	CHECK(s->session < 0);
	if (is_down(world.store_down_us) || chance(world.odds.cut))
		return err_set(err, ERR_RETRY, ER_GONE, "can't connect");
	settle(s);
	s->session = session_open(s->process);
	if (s->schema == NULL)
		reload(s);
	call_ends(s->process, "store.open");
	return 0;
}

static bool
fake_is_open(const struct store *store)
{
	return ((const struct fake_store *)store)->session >= 0;
}

static int
fake_ping(struct store *store, struct err *err)
{
	return store_reach(fake_of(store), "store.ping", err);
}

static struct schema *
fake_schema(struct store *store)
{
	struct fake_store *s = fake_of(store);

	return s->schema != NULL ? sim_schema_of(s->schema) : NULL;
}

static int
fake_load_schema(struct store *store, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.load_schema", err) != 0)
		return -1;
	return reload(s);
}

static int
fake_look_schema(struct store *store, bool *changed, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.look_schema", err) != 0)
		return -1;
	*changed =
	    s->altered != (world.now_us >= world.alter_us) || s->broken != is_down(world.broken_us);
	return 0;
}

/* ---- lanes ---- */

static int
fake_own(struct store *store, struct lane **lanes, size_t count, bool *owned, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.own", err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		int *lock = &world.lane_lock[lanes[i]->index];

		/* the group says who owns a partition */
		if (*lock < 0 && !world.kafka)
			*lock = s->session;
		owned[i] = world.kafka || *lock == s->session || chance(world.odds.two_owners);
		if (owned[i])
			trace("p%d owns lane %d", s->process->index, lanes[i]->index);
	}
	call_ends(s->process, "store.own");
	return 0;
}

static int
fake_disown(struct store *store, struct lane *lane, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (s->session < 0)
		return 0;
	if (store_reach(s, "store.disown", err) != 0)
		return -1;
	if (world.lane_lock[lane->index] == s->session)
		world.lane_lock[lane->index] = -1;
	return 0;
}

/* The lane's row under a lock, in a transaction of its own; NULL: it can't be had. */
static struct ledger *
lock_row(struct fake_store *s, const struct lane *lane, const char *what, struct err *err)
{
	if (store_reach(s, what, err) != 0)
		return NULL;
	if (!session_lock_lane(s->session, (unsigned)lane->index)) {
		session_roll_back(s->session);
		err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout on the ledger");
		return NULL;
	}
	return &world.sessions[s->session].tx.ledger[lane->index];
}

static void
show_row(const struct ledger *l, unsigned lane, struct ledger_row *row)
{
	*row = (struct ledger_row){ .found = l->found,
		.epoch = l->epoch,
		.position = l->position,
		.done = l->done,
		.lanes_of_source = l->lanes_of_source,
		.outbox = outbox_has(lane),
		.checkpoints = l->checkpoints };
	snprintf(row->identity, sizeof(row->identity), "%s", l->identity);
	snprintf(row->halted, sizeof(row->halted), "%s", l->halted != NULL ? l->halted : "");
	snprintf(row->alarm, sizeof(row->alarm), "%s%s", l->alarm != NULL ? l->alarm : "",
	    l->cache_lost ? ",cache_lost" : "");
}

static int
fake_load(struct store *store, struct lane *lane, bool raise, struct ledger_row *row,
    struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct ledger *l = lock_row(s, lane, raise ? "store.load raise" : "store.load", err);

	*row = (struct ledger_row){ 0 };
	if (l == NULL)
		return -1;
	if (l->found && raise)
		l->epoch++;
	show_row(l, (unsigned)lane->index, row);
	if (l->found && raise) {
		row->ours_before =
		    l->owner == s->process->index && l->owner_life == s->process->life;
		l->owner = s->process->index;
		l->owner_life = s->process->life;
	}
	if (!l->found || !raise) {
		session_roll_back(s->session);
		return 0;
	}
	return store_commit(s, err);
}

static int
fake_start(struct store *store, struct lane *lane, struct position start, const char *identity,
    struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct ledger *l = lock_row(s, lane, "store.start", err);

	if (l == NULL)
		return -1;
	if (!l->found) {
		l->found = true;
		l->position = l->done = start;
		l->lanes_of_source = lane->lanes_of_source;
		snprintf(l->identity, sizeof(l->identity), "%s", identity);
	}
	return store_commit(s, err);
}

static int
fake_orders(struct store *store, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.orders", err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct ledger *l;

		orders[i] = (struct lane_order){ .kind = ORDER_NONE };
		if (lanes[i] == NULL || world.ledger[lanes[i]->index].order.kind == ORDER_NONE ||
		    !session_lock_lane(s->session, (unsigned)lanes[i]->index))
			continue;
		l = &world.sessions[s->session].tx.ledger[lanes[i]->index];
		if (l->epoch != lanes[i]->epoch) {
			orders[i].kind = ORDER_NOT_OURS;
			continue;
		}
		orders[i] = l->order;
		l->order = (struct lane_order){ .kind = ORDER_NONE };
	}
	return store_commit(s, err);
}

bool
move_lane(int session, unsigned lane, uint64_t epoch, struct position from, struct position to,
    struct position done)
{
	struct ledger *l = &world.sessions[session].tx.ledger[lane];

	if (!l->found || l->epoch != epoch || position_compare(l->position, from) != 0)
		return false;
	l->position = to;
	l->done = done;
	if (position_compare(done, to) > 0)
		sim_fail("lane %u: done beyond position", lane);
	return true;
}

void
keep_checkpoints(int session, const struct lane *lane, struct checkpoint last)
{
	struct checkpoints *kept = &world.sessions[session].tx.ledger[lane->index].checkpoints;

	if (lane->checkpoints.changed || last.hash != 0)
		*kept = lane->checkpoints;
	if (last.hash != 0)
		kept->last = last;
	kept->changed = false;
}

static int
fake_move(struct store *store, struct lane *lane, struct position to, struct err *err)
{
	struct fake_store *s = fake_of(store);
	unsigned number = (unsigned)lane->index;
	struct position done = to;

	if (lock_row(s, lane, "store.move", err) == NULL)
		return -1;
	if (position_compare(lane->answered, lane->position) < 0 &&
	    position_compare(lane->answered, to) < 0)
		done = lane->answered;
	if (!move_lane(s->session, number, lane->epoch, lane->position, to, done)) {
		session_roll_back(s->session);
		return err_set(err, ERR_RETRY, 0, "the ledger row is not where we left it");
	}
	if (position_compare(to, lane->position) < 0 && !sim_kafka.logs[number].lost_end)
		sim_fail("lane %u: an order moves it back", number);
	keep_checkpoints(s->session, lane, (struct checkpoint){ 0 });
	outbox_trims(s->session, lane, done);
	world.sessions[s->session].tx.skipped_from[number] = lane->position;
	world.sessions[s->session].tx.skipped_to[number] = to;
	return store_commit(s, err);
}

static int
fake_mark(struct store *store, struct lane *lane, struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct ledger *l = lock_row(s, lane, "store.mark", err);

	if (l == NULL)
		return -1;
	if (!l->found || l->epoch != lane->epoch) {
		session_roll_back(s->session);
		return err_set(err, ERR_RETRY, 0, "the ledger row has another owner by now");
	}
	l->halted = lane->state == LANE_HALTED ? atomic_load(&lane->why) : NULL;
	l->alarm = atomic_load(&lane->alarm);
	l->cache_lost = lane->cache_lost;
	return store_commit(s, err);
}

static int
fake_identify(struct store *store, struct lane *lane, const char *identity, struct err *err)
{
	struct fake_store *s = fake_of(store);
	struct ledger *l = lock_row(s, lane, "store.identify", err);

	if (l == NULL)
		return -1;
	if (l->epoch == lane->epoch)
		snprintf(l->identity, sizeof(l->identity), "%s", identity);
	if (store_commit(s, err) != 0)
		return -1;
	log_claimed((unsigned)lane->index);
	return 0;
}

static enum write_result
fake_record(struct store *store, struct lane **lanes, size_t count, struct err *err)
{
	struct fake_store *s = fake_of(store);

	if (store_reach(s, "store.record", err) != 0)
		return WRITE_ERROR;
	for (size_t i = 0; i < count; i++) {
		const struct lane *lane = lanes[i];
		unsigned number;

		if (lane == NULL)
			continue;
		number = (unsigned)lane->index;
		if (!session_lock_lane(s->session, number)) {
			session_roll_back(s->session);
			err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout on the ledger");
			return WRITE_ERROR;
		}
		if (!move_lane(s->session, number, lane->epoch, lane->position, lane->position,
			lane->recording)) {
			session_roll_back(s->session);
			return WRITE_MISMATCH;
		}
		keep_checkpoints(s->session, lane, (struct checkpoint){ 0 });
		outbox_trims(s->session, lane, lane->recording);
	}
	return store_commit(s, err) == 0 ? WRITE_OK : WRITE_ERROR;
}

static int
fake_list(struct store *store, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err)
{
	struct fake_store *s = fake_of(store);

	*list = NULL;
	*count = 0;
	if (store_reach(s, "store.list", err) != 0)
		return -1;
	*list = calloc(world.lanes + 1, sizeof(**list));
	CHECK(*list != NULL);
	for (unsigned l = 0; l < world.lanes; l++) {
		const struct lane *lane = &s->process->lanes[l];
		struct ledger_place *place = &(*list)[*count];

		CHECK(strncmp(lane->name, prefix, strlen(prefix)) == 0);
		if (!world.ledger[l].found)
			continue;
		snprintf(place->name, sizeof(place->name), "%s", lane->name);
		place->position = world.ledger[l].position;
		place->done = world.ledger[l].done;
		place->lanes_of_source = world.ledger[l].lanes_of_source;
		++*count;
	}
	return 0;
}

/* No schedule has another number of lanes. */
static int
fake_recount(struct store *store, const struct ledger_place *places, size_t count, unsigned lanes,
    struct err *err)
{
	(void)places, (void)lanes, (void)err;
	sim_fail("p%d counts %zu lanes anew", fake_of(store)->process->index, count);
}

/* ---- batches ---- */

static void
fake_prepare(struct store *store, struct batch *batch)
{
	struct fake_store *s = fake_of(store);

	if (batch->prepared != NULL)
		return;
	batch->prepared = s;
	s->prepared++;
}

static void
fake_forget(struct store *store, struct batch *batch)
{
	if (batch->prepared != NULL)
		fake_of(store)->prepared--;
	batch->prepared = NULL;
}

/* With the process its connection goes; the server may notice late, and do what it was told. */
static void
fake_free(struct store **store)
{
	struct fake_store *s = fake_of(*store);

	*store = NULL;
	if (s->session >= 0 && store_has(s, s->session)) {
		struct session *session = &world.sessions[s->session];

		session->in_doubt = session->committing && below(2) == 0;
		session->dies_us = world.now_us + below(3) * INT64_C(5000000);
		if (!session->in_doubt && session->dies_us <= world.now_us)
			session_kill(s->session);
	}
	CHECK(s->prepared == 0);
	s->session = -1;
	sim_schema_free(&s->schema);
}

static const struct store_ops ops = {
	.open = fake_open,
	.is_open = fake_is_open,
	.ping = fake_ping,
	.schema = fake_schema,
	.load_schema = fake_load_schema,
	.look_schema = fake_look_schema,
	.join = fake_join,
	.leave = fake_leave,
	.members = fake_members,
	.sweep = fake_sweep,
	.unowned = fake_unowned,
	.own = fake_own,
	.disown = fake_disown,
	.load = fake_load,
	.start = fake_start,
	.parked_load = fake_parked_load,
	.letters_due = fake_letters_due,
	.letters_next = fake_letters_next,
	.letters_read = fake_letters_read,
	.letters_write = fake_letters_write,
	.letters_close = fake_letters_close,
	.letters_count = fake_letters_count,
	.orders = fake_orders,
	.move = fake_move,
	.identify = fake_identify,
	.mark = fake_mark,
	.record = fake_record,
	.list = fake_list,
	.recount = fake_recount,
	.prepare = fake_prepare,
	.forget = fake_forget,
	.recall = fake_recall,
	.outbox_count = fake_outbox_count,
	.write = fake_write,
	.letters = fake_letters,
	.free = fake_free,
};

void
fake_store_init(struct process *p)
{
	p->store =
	    (struct fake_store){ .store.ops = &ops, .process = p, .session = -1, .settled = -1 };
	p->worker.store = &p->store.store;
}
