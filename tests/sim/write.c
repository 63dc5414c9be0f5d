#include "tests/sim/sim.h"

#include "common/err.h"
#include "worker/store/refusal.h"

#include <stdlib.h>

/* The fake store's write: ledger, rows in rounds or one by one, dead letters, COMMIT. */
enum { ER_LOCK_WAIT = 1205 };

struct writing {
	struct fake_store *store;
	struct batch *batch;
	struct write_report *report;
	enum write_result result; /* what stopped it */
};

static bool
stop(struct writing *w, enum write_result result)
{
	w->result = result;
	return false;
}

/* ---- the ledger ---- */

/* Between from and to the batch has every entry of the stream, and of a lane that does not move none. */
static void
check_no_hole(const struct batch *b, const struct batch_lane *bl)
{
	const struct stream *s = &world.streams[bl->lane->index];
	unsigned there = 0, ours = 0;

	for (unsigned i = 0; i < s->added; i++) {
		if (position_compare(s->entries[i].id, bl->from) <= 0 ||
		    position_compare(s->entries[i].id, bl->to) > 0)
			continue;
		if (s->entries[i].lost)
			return; /* it may have been read before */
		there += !s->entries[i].other || world.forked;
	}
	for (const struct entry *e = b->first; e != NULL; e = e->next_kept)
		ours += e->lane == bl->lane && !e->done_before;
	if (there != ours)
		sim_fail("lane %d: the batch writes %u entries where the stream has %u",
		    bl->lane->index, ours, there);
}

static bool
advance(struct writing *w, struct err *err)
{
	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
		unsigned lane = (unsigned)bl->lane->index;

		if (!bl->writes)
			continue;
		if (!session_lock_lane(w->store->session, lane)) {
			err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout on the ledger");
			return stop(w, WRITE_ERROR);
		}
		if (!move_lane(w->store->session, lane, bl->lane->epoch, bl->from, bl->to,
			bl->done))
			return stop(w, WRITE_MISMATCH);
		keep_checkpoints(w->store->session, bl->lane,
		    (struct checkpoint){ bl->to, bl->last_hash });
		outbox_trims(w->store->session, bl->lane, bl->done);
	}
	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next)
		check_no_hole(w->batch, bl);
	return true;
}

/* ---- lanes that must leave ---- */

static void
leave(struct writing *w, const struct lane *lane, const char *why, struct entry *at, bool halts)
{
	struct batch_lane *bl = batch_lane_find(w->batch, lane);

	if (bl == NULL || bl->leave_why != NULL)
		return;
	bl->leave_why = why;
	bl->leave_at = at;
	bl->leave_halts = halts;
}

static bool
leave_problems(struct writing *w)
{
	bool any = false;

	for (struct entry *e = w->batch->first; e != NULL; e = e->next_kept) {
		for (size_t i = 0; i < e->change_count && !e->done_before; i++) {
			const struct table *table = e->changes[i].table;

			if (e->refusal.reason != NULL || table == NULL || table->problem == NULL)
				continue;
			leave(w, e->lane, LANE_WHY_TABLE, NULL, false);
			batch_lane_find(w->batch, e->lane)->leave_for_ms = 1000;
			any = true;
		}
	}
	return any;
}

static bool
halts(const struct entry *e)
{
	for (size_t i = 0; i < e->change_count; i++) {
		const struct table *table = e->changes[i].table;

		if (table != NULL && table->config->on_poison == ON_POISON_HALT)
			return true;
	}
	return false;
}

static bool
leave_poison(struct writing *w)
{
	bool any = false;

	for (struct entry *e = w->batch->first; e != NULL; e = e->next_kept) {
		if (e->refusal.reason == NULL || e->done_before || entry_is_parked(e) || !halts(e))
			continue;
		leave(w, e->lane, LANE_WHY_ON_POISON, e, true);
		any = true;
	}
	return any;
}

/* ---- rows ---- */

static bool
locked(struct writing *w, const struct bucket *k, const struct change *only)
{
	const struct change *c = only != NULL ? only : k->first_change;

	if (below(4) == 0)
		return stop(w, WRITE_ERROR);
	for (; c != NULL; c = only != NULL ? NULL : c->next_of_key)
		leave(w, c->entry->lane, LANE_WHY_ROW_LOCK, NULL, false);
	return stop(w, WRITE_LEAVE);
}

/* 1 applied (or nothing to do), 0 refused with *code, -1 somebody has the row locked. */
static int
apply_operation(struct writing *w, const struct operation *op, int *code)
{
	unsigned table = table_number(op->shape->table), number = key_row(op);
	struct transaction *tx = &world.sessions[w->store->session].tx;
	struct row *row = session_row(w->store->session, table, number), *log = NULL;
	int done;

	if (table == LOGGED)
		log = session_row(w->store->session, table, KEYS_MAX);
	if (row == NULL || (table == LOGGED && log == NULL))
		return -1;
	done = apply(op, row, log, code);
	if (done < 0)
		return 0;
	if (done > 0) {
		tx->changed[table][number] = true;
		tx->changed[table][KEYS_MAX] |= log != NULL;
		w->report->rows++;
	}
	return 1;
}

static int
apply_change(struct writing *w, const struct change *c, int *code)
{
	struct operation op = { .shape = c->shape,
		.values = c->values,
		.key = c->key,
		.sums = c->shape->adds ? c->sums : NULL,
		.version = c->version };

	return apply_operation(w, &op, code);
}

static void
refuse(struct batch *batch, struct entry *e, const struct table *table, int code)
{
	batch->refused++;
	e->refusal = (struct refusal){
		.reason = refusal_reason(table, code), .code = code, .of_write = true, .text = "no"
	};
}

static bool
apply_bucket(struct writing *w, struct step *from)
{
	for (struct change *c = from->first_change; c != NULL; c = c->next_of_key) {
		int code;

		switch (apply_change(w, c, &code)) {
		case -1:
			return locked(w, from->bucket, NULL);
		case 0:
			refuse(w->batch, c->entry, c->table, code);
			break;
		default:
			break;
		}
	}
	return true;
}

static bool
has_barrier(const struct change *c)
{
	for (; c != NULL; c = c->next_of_key) {
		if (c->barrier)
			return true;
	}
	return false;
}

/* All steps of a round in any order; those refused go to *refused. */
static bool
apply_round(struct writing *w, struct step **steps, unsigned round, struct step **refused)
{
	for (unsigned i = 0; i < w->batch->steps; i++) {
		struct step *s = steps[i];
		struct operation op = { .shape = s->shape,
			.values = s->values,
			.key = s->key,
			.sums = s->sums,
			.version = s->version };
		int code;

		if (s->round != round || s->bucket->refused)
			continue;
		switch (apply_operation(w, &op, &code)) {
		case -1:
			return locked(w, s->bucket, NULL);
		case 0:
			if (s->bucket->has_list_entry || has_barrier(s->first_change) ||
			    s->bucket->table->config->on_poison == ON_POISON_PARK ||
			    chance(world.odds.one_by_one))
				return stop(w, WRITE_ONE_BY_ONE);
			s->bucket->refused = true;
			s->next_written = *refused;
			*refused = s;
			break;
		default:
			break;
		}
	}
	return true;
}

static struct step **
steps_in_any_order(const struct batch *b)
{
	struct step **steps = calloc(b->steps + 1, sizeof(struct step *));
	unsigned count = 0;

	CHECK(steps != NULL);
	for (struct bucket *k = b->buckets; k != NULL; k = k->next) {
		k->refused = false;
		for (struct step *s = k->first; s != NULL; s = s->next)
			steps[count++] = s;
	}
	CHECK(count == b->steps);
	for (unsigned i = count; i > 1; i--) {
		unsigned j = below(i);
		struct step *s = steps[j];

		steps[j] = steps[i - 1];
		steps[i - 1] = s;
	}
	return steps;
}

static bool
apply_folded(struct writing *w)
{
	struct step **steps = steps_in_any_order(w->batch), *refused = NULL;
	bool fine = true;

	for (unsigned round = 0; round < w->batch->rounds && fine; round++)
		fine = apply_round(w, steps, round, &refused);
	for (; refused != NULL && fine; refused = refused->next_written)
		fine = apply_bucket(w, refused);
	free(steps);
	return fine;
}

/* An entry's changes, all or none. */
static bool
apply_entry(struct writing *w, struct entry *e)
{
	struct transaction *tx = &world.sessions[w->store->session].tx, before;

	if (e->change_count > 1)
		before = *tx;
	for (size_t i = 0; i < e->change_count; i++) {
		const struct change *c = &e->changes[i];
		int code;

		if (c->op == CHANGE_INVALIDATE)
			continue;
		switch (apply_change(w, c, &code)) {
		case -1:
			return locked(w, NULL, c);
		case 0:
			if (e->change_count > 1)
				*tx = before;
			refuse(w->batch, e, c->table, code);
			return true;
		default:
			break;
		}
	}
	return true;
}

int
write_alone(struct fake_store *s, struct batch *batch, struct entry *e, struct write_report *report)
{
	struct writing w = { .store = s, .batch = batch, .report = report };

	if (!apply_entry(&w, e))
		return -1;
	return e->refusal.reason == NULL;
}

/* What is behind a letter becomes one. */
static bool
apply_in_order(struct writing *w, struct entry *e, struct parked *blocked)
{
	if (parked_blocks_entry(blocked, e)) {
		w->batch->refused++;
		e->refusal = (struct refusal){
			.reason = REASON_PARKED, .of_write = true, .parks = true, .text = "behind"
		};
		parked_add_entry(blocked, e);
		return true;
	}
	if (!apply_entry(w, e))
		return false;
	if (e->refusal.reason != NULL && batch_parks(w->batch, e))
		parked_add_entry(blocked, e);
	return true;
}

static bool
apply_rows(struct writing *w)
{
	struct parked blocked = { .keys = NULL };
	bool fine = true;

	if (!w->batch->one_by_one)
		return apply_folded(w);
	for (struct entry *e = w->batch->first; e != NULL && fine; e = e->next_kept) {
		if (!e->done_before && e->refusal.reason == NULL)
			fine = apply_in_order(w, e, &blocked);
	}
	parked_deinit(&blocked);
	return fine;
}

/* ---- dead letters, and all of it ---- */

static void
add_letter(struct transaction *tx, const struct entry *e)
{
	struct stored_letter *l;
	struct park_key keys[PARK_KEYS];

	tx->letters = reallocarray(tx->letters, tx->letter_count + 1, sizeof(*tx->letters));
	CHECK(tx->letters != NULL);
	l = &tx->letters[tx->letter_count++];
	*l = (struct stored_letter){ .lane = (unsigned)e->lane->index,
		.entry = entry_index(e),
		.reason = e->refusal.reason,
		.state = e->refusal.parks ? STORED_PARKED : STORED_DEAD };
	for (size_t c = 0; c < e->change_count && e->refusal.parks; c++) {
		unsigned count = park_keys(&e->changes[c], keys);

		for (unsigned j = 0; j < count; j++) {
			CHECK(l->key_count < LETTER_KEYS_MAX);
			l->keys[l->key_count++] = keys[j];
		}
	}
}

static void
add_letters(struct writing *w)
{
	for (const struct entry *e = w->batch->first; e != NULL; e = e->next_kept) {
		if (e->done_before)
			continue;
		add_letter(&world.sessions[w->store->session].tx, e);
		w->report->dead += e->refusal.reason != NULL;
	}
}

static void
trace_lanes(const struct writing *w)
{
	for (const struct batch_lane *bl = w->batch->lanes; bl != NULL && world.trace;
	    bl = bl->next) {
		char from[POSITION_TEXT], to[POSITION_TEXT], done[POSITION_TEXT];

		trace("p%d  lane %d epoch %llu: %u entries, %s -> %s done %s",
		    w->store->process->index, bl->lane->index, (unsigned long long)bl->lane->epoch,
		    bl->entries, position_text(bl->from, from), position_text(bl->to, to),
		    position_text(bl->done, done));
	}
}

static bool
write_open(struct writing *w, struct err *err)
{
	const struct touched *held;

	trace_lanes(w);
	if (!advance(w, err))
		return false;
	if (store_wait(w->store, err) != 0)
		return stop(w, WRITE_ERROR);
	if (leave_problems(w))
		return stop(w, WRITE_LEAVE);
	if (chance(world.odds.schema))
		return stop(w, WRITE_SCHEMA);
	if (chance(world.odds.one_by_one) && !w->batch->one_by_one)
		return stop(w, WRITE_ONE_BY_ONE);
	if ((held = images_lock(w->store->session, w->batch)) != NULL)
		return locked(w, NULL, held->changes);
	if (!apply_rows(w))
		return false;
	images_owe(w->store->session, w->batch);
	populate_read_back(w->store->session, w->batch);
	call_begins(w->store->process, "store.write rows");
	if (store_still(w->store, err) != 0)
		return stop(w, WRITE_ERROR);
	if (leave_poison(w) || batch_check_poison(w->batch, world.config.poison_rate) ||
	    batch_check_parked(w->batch, world.config.max_parked))
		return stop(w, WRITE_LEAVE);
	add_letters(w);
	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next)
		bl->outboxed = bl->writes &&
		    outbox_put(w->store->session, w->batch, (unsigned)bl->lane->index, bl->to, 0);
	return store_commit(w->store, err) == 0 || stop(w, WRITE_ERROR);
}

enum write_result
fake_write(struct store *store, struct batch *batch, struct write_report *report, struct err *err)
{
	struct writing w = {
		.store = (struct fake_store *)store, .batch = batch, .report = report
	};

	*report = (struct write_report){ 0 };
	batch_forget_tries(batch);
	if (store_reach(w.store, "store.write", err) != 0)
		return WRITE_ERROR;
	if (leave_poison(&w))
		return WRITE_LEAVE;
	w.result = WRITE_OK;
	if (!write_open(&w, err)) {
		trace("p%d store.write: result %d %s", w.store->process->index, (int)w.result,
		    err->text);
		if (w.store->session >= 0)
			session_roll_back(w.store->session);
		if (w.result == WRITE_ERROR && err->class == ERR_NONE)
			err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout");
		return w.result;
	}
	trace("p%d store.write: committed %u entries, %u steps, %u rounds", w.store->process->index,
	    batch->entries, batch->steps, batch->rounds);
	call_ends(w.store->process, "store.write");
	return WRITE_OK;
}

/* Entries that nobody can say of whether they were applied. */
enum write_result
fake_letters(struct store *store, struct lane *lane, struct entry *first, const char *alarm,
    struct err *err)
{
	struct fake_store *s = (struct fake_store *)store;
	unsigned number = (unsigned)lane->index;
	char text[LANE_ALARM_MAX + 1];

	if (store_reach(s, "store.letters", err) != 0)
		return WRITE_ERROR;
	if (!session_lock_lane(s->session, number)) {
		session_roll_back(s->session);
		err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout on the ledger");
		return WRITE_ERROR;
	}
	if (!move_lane(s->session, number, lane->epoch, lane->position, lane->position,
		lane->done)) {
		session_roll_back(s->session);
		return WRITE_MISMATCH;
	}
	keep_checkpoints(s->session, lane, (struct checkpoint){ 0 });
	world.sessions[s->session].tx.ledger[number].cache_lost =
	    strchr(lane_alarm_text(lane, alarm, text), ',') != NULL;
	world.sessions[s->session].tx.ledger[number].alarm = alarm;
	for (const struct entry *e = first; e != NULL; e = e->next_kept)
		add_letter(&world.sessions[s->session].tx, e);
	return store_commit(s, err) == 0 ? WRITE_OK : WRITE_ERROR;
}
