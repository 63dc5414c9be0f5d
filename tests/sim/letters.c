#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdlib.h>

/* Dead letters of the fake MySQL: what the real ones' SQL does, and an operator who marks them. */
enum { ER_LOCK_WAIT = 1205 };

static bool
is_open(const struct stored_letter *l)
{
	return l->state != STORED_APPLIED && l->state != STORED_CLOSED &&
	    l->state != STORED_DROPPED;
}

static void
add_parked(struct parked *set, const struct stored_letter *l)
{
	for (unsigned i = 0; i < l->key_count; i++)
		parked_add(set, &l->keys[i]);
}

static bool
is_behind(const struct parked *set, const struct stored_letter *l)
{
	for (unsigned i = 0; i < l->key_count; i++) {
		if (parked_blocks(set, &l->keys[i]))
			return true;
	}
	return false;
}

static void
parked_of(unsigned lane, struct parked *set)
{
	for (size_t i = 0; i < world.letter_count; i++) {
		const struct stored_letter *l = &world.letters[i];

		if (l->lane == lane && is_open(l))
			add_parked(set, l);
	}
}

/* ---- reading ---- */

int
fake_parked_load(struct store *store, struct lane *lane, struct err *err)
{
	struct parked set = { .keys = NULL };

	if (store_reach((struct fake_store *)store, "store.parked_load", err) != 0)
		return -1;
	parked_of((unsigned)lane->index, &set);
	parked_replace(&lane->parked, set.keys, set.count);
	parked_deinit(&set);
	return 0;
}

int
fake_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err)
{
	memset(due, 0, count * sizeof(*due));
	if (store_reach((struct fake_store *)store, "store.letters_due", err) != 0)
		return -1;
	for (size_t i = 0; i < world.letter_count; i++) {
		const struct stored_letter *l = &world.letters[i];

		for (size_t j = 0; j < count; j++)
			due[j] |= (unsigned)lanes[j]->index == l->lane &&
			    (l->state == STORED_REPLAY || l->state == STORED_FORCE ||
				l->state == STORED_DROP || (applied && l->state == STORED_APPLIED));
	}
	return 0;
}

static enum letter_state
state_of(const struct stored_letter *l)
{
	switch (l->state) {
	case STORED_PARKED:
		return LETTER_IS_PARKED;
	case STORED_REPLAY:
		return LETTER_IS_REPLAY;
	case STORED_FORCE:
		return LETTER_IS_FORCE;
	case STORED_DROP:
		return LETTER_IS_DROP;
	case STORED_APPLIED:
		return LETTER_IS_APPLIED;
	case STORED_DEAD:
	case STORED_CLOSED:
	case STORED_DROPPED:
		break;
	}
	return LETTER_STATES;
}

static void
add_letter(struct lane *lane, size_t i, struct letter_list *list)
{
	const struct stored_letter *from = &world.letters[i];
	const struct stream_entry *e = &world.streams[from->lane].entries[from->entry];
	struct letter *l = arena_zalloc(&list->arena, sizeof(*l));

	l->id = i + 1;
	l->place = l->entry.id = e->id;
	l->state = state_of(from);
	l->follows = strcmp(from->reason, REASON_PARKED) == 0;
	l->forked = from->forked;
	l->key_count = from->state == STORED_APPLIED ? 0 : from->key_count;
	l->keys = arena_alloc(&list->arena, sizeof(from->keys));
	memcpy(l->keys, from->keys, sizeof(from->keys));
	l->chunks = 1;
	l->bytes = e->bytes;
	l->entry.letter = l;
	l->entry.lane = lane;
	if (list->last != NULL)
		list->last->next = l;
	else
		list->first = l;
	list->last = l;
	list->count++;
}

/* Few at a time, so that a pass has many steps. */
int
fake_letters_next(struct store *store, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err)
{
	unsigned most = 1 + below(12);

	if (store_reach((struct fake_store *)store, "store.letters_next", err) != 0)
		return -1;
	for (size_t i = after; i < world.letter_count && list->count < most; i++) {
		if (world.letters[i].lane == (unsigned)lane->index &&
		    state_of(&world.letters[i]) != LETTER_STATES)
			add_letter(lane, i, list);
	}
	return 0;
}

int
fake_letters_read(struct store *store, struct letter_list *list, struct err *err)
{
	if (store_reach((struct fake_store *)store, "store.letters_read", err) != 0)
		return -1;
	for (struct letter *l = list->first; l != NULL; l = l->next) {
		const struct stored_letter *from = &world.letters[l->id - 1];
		const struct stream_entry *e = &world.streams[from->lane].entries[from->entry];

		if (l->action != LETTER_APPLY && l->action != LETTER_INVALIDATE)
			continue;
		l->entry.raw = e->raw;
		l->entry.raw_count = e->raw_count;
	}
	return 0;
}

/* ---- the transaction ---- */

static struct letter_step *
add_step(struct transaction *tx, const struct letter *l, enum stored_state to)
{
	struct letter_step *step;

	tx->steps = reallocarray(tx->steps, tx->step_count + 1, sizeof(*tx->steps));
	CHECK(tx->steps != NULL);
	step = &tx->steps[tx->step_count++];
	*step = (struct letter_step){ .letter = (size_t)l->id - 1, .to = to };
	return step;
}

static void
add_rows(struct letter_step *step, const struct entry *e)
{
	for (size_t i = 0; i < e->change_count; i++) {
		const struct change *c = &e->changes[i];
		struct operation op = { .shape = c->shape, .key = c->key };

		if (c->op == CHANGE_INVALIDATE)
			continue;
		CHECK(step->rows < LETTER_ROWS_MAX);
		step->table[step->rows] = table_number(c->table);
		step->row[step->rows++] = key_row(&op);
	}
}

static void
add_applied(struct fake_store *s, const struct letter *l, bool closes)
{
	struct letter_step *step =
	    add_step(&world.sessions[s->session].tx, l, closes ? STORED_CLOSED : STORED_APPLIED);

	add_rows(step, &l->entry);
	values_of_letter(s->session, step);
}

static void
put_back(struct transaction *tx, const struct letter *l)
{
	add_step(tx, l, l->key_count > 0 ? STORED_PARKED : STORED_DEAD)->reason =
	    l->refused ? l->entry.refusal.reason : NULL;
}

/* 1, or -1: a row is locked. */
static int
apply_letter(struct fake_store *s, struct batch *batch, struct letter *l, struct parked *blocked,
    struct write_report *report)
{
	int done = 0;

	for (unsigned i = 0; i < l->key_count && l->action == LETTER_APPLY; i++) {
		if (parked_blocks(blocked, &l->keys[i]))
			l->action = LETTER_STAYS;
	}
	if (l->action == LETTER_APPLY && l->entry.refusal.reason == NULL)
		done = write_alone(s, batch, &l->entry, report);
	if (done != 0)
		return done;
	l->refused = l->action == LETTER_APPLY;
	for (unsigned i = 0; i < l->key_count; i++)
		parked_add(blocked, &l->keys[i]);
	return 1;
}

static int
apply_letters(struct fake_store *s, struct letter_list *list, struct batch *batch, bool closes,
    struct write_report *report)
{
	struct transaction *tx = &world.sessions[s->session].tx;
	struct parked blocked = { .keys = NULL };
	int done = 1;

	for (struct letter *l = list->first; l != NULL && done > 0; l = l->next) {
		if (l->action != LETTER_STAYS && state_of(&world.letters[l->id - 1]) != l->state)
			l->action = LETTER_STAYS;
	}
	for (struct entry *e = batch->first; e != NULL && done > 0; e = e->next_kept) {
		if (e->letter->action != LETTER_INVALIDATE)
			done = apply_letter(s, batch, e->letter, &blocked, report);
	}
	for (struct letter *l = list->first; l != NULL && done > 0; l = l->next) {
		if (l->action == LETTER_DROP_IT)
			add_step(tx, l, STORED_DROPPED);
		else if (l->refused || l->action == LETTER_DENY)
			put_back(tx, l);
		else if (l->action == LETTER_APPLY)
			add_applied(s, l, closes);
	}
	parked_deinit(&blocked);
	return done;
}

static enum write_result
failed(struct fake_store *s, struct err *err, enum write_result result)
{
	if (s->session >= 0)
		session_roll_back(s->session);
	if (result == WRITE_ERROR && err->class == ERR_NONE)
		err_set(err, ERR_RETRY, ER_LOCK_WAIT, "lock wait timeout");
	return result;
}

static bool
put_outbox(struct fake_store *s, const struct batch *batch, const struct lane *lane,
    const struct letter_list *list)
{
	for (const struct letter *l = list->first; l != NULL; l = l->next)
		if (l->action == LETTER_APPLY && !l->refused)
			return outbox_put(s->session, batch, (unsigned)lane->index, lane->position,
			    l->id);
	return false;
}

enum write_result
fake_letters_write(struct store *store, struct lane *lane, struct letter_list *list,
    struct batch *batch, bool closes, struct write_report *report, struct err *err)
{
	struct fake_store *s = (struct fake_store *)store;
	unsigned number = (unsigned)lane->index;
	struct parked after = { .keys = NULL };

	if (store_reach(s, "store.letters_write", err) != 0)
		return WRITE_ERROR;
	if (!session_lock_lane(s->session, number))
		return failed(s, err, WRITE_ERROR);
	if (!move_lane(s->session, number, lane->epoch, lane->position, lane->position, lane->done))
		return failed(s, err, WRITE_MISMATCH);
	if (store_wait(s, err) != 0)
		return failed(s, err, WRITE_ERROR);
	if (chance(world.odds.schema))
		return failed(s, err, WRITE_SCHEMA);
	world.sessions[s->session].tx.replays = true;
	if (images_lock(s->session, batch) != NULL ||
	    apply_letters(s, list, batch, closes, report) < 0)
		return failed(s, err, WRITE_ERROR);
	images_owe(s->session, batch);
	populate_read_back(s->session, batch);
	list->outbox |= put_outbox(s, batch, lane, list);
	call_begins(s->process, "store.letters_write rows");
	if (store_still(s, err) != 0 || store_commit(s, err) != 0)
		return WRITE_ERROR;
	parked_of(number, &after);
	parked_replace(&lane->parked, after.keys, after.count);
	parked_deinit(&after);
	return WRITE_OK;
}

/* What is closed has left the cache since it was applied. */
static void
check_gone(const struct stored_letter *l)
{
	for (unsigned i = 0; i < l->rows; i++) {
		if (world.config.tables[l->table[i]].template_count > 0 &&
		    world.gone_tick[l->table[i]][l->row[i]] < l->applied_tick)
			sim_fail("lane %u: a letter is closed and %s %u was not invalidated",
			    l->lane, table_names[l->table[i]], l->row[i]);
	}
	values_check_letter(l);
}

int
fake_letters_close(struct store *store, const struct letter_list *list, struct err *err)
{
	struct fake_store *s = (struct fake_store *)store;

	if (store_reach(s, "store.letters_close", err) != 0)
		return -1;
	for (const struct letter *l = list->first; l != NULL; l = l->next) {
		struct stored_letter *stored;

		if (l->action != LETTER_APPLY && l->action != LETTER_INVALIDATE)
			continue;
		if (l->id > world.letter_count)
			sim_fail("letter %llu is to be closed and never was",
			    (unsigned long long)l->id);
		stored = &world.letters[l->id - 1];
		if (stored->state != STORED_APPLIED)
			continue;
		check_gone(stored);
		stored->state = STORED_CLOSED;
	}
	outbox_close_letters(list);
	call_ends(s->process, "store.letters_close");
	return 0;
}

int
fake_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err)
{
	(void)lanes, (void)count, (void)counts;
	*counted = 0;
	return store_reach((struct fake_store *)store, "store.letters_count", err);
}

static struct logged *
add_log(void)
{
	world.log = reallocarray(world.log, world.log_count + 1, sizeof(*world.log));
	CHECK(world.log != NULL);
	world.log[world.log_count] = (struct logged){ .lane = 0 };
	return &world.log[world.log_count++];
}

static void
commit_step(const struct letter_step *step)
{
	struct stored_letter *l = &world.letters[step->letter];
	struct logged *log = add_log();

	*log = (struct logged){ .lane = l->lane,
		.is_letter = true,
		.step = *step,
		.forced = l->state == STORED_FORCE };
	l->state = step->to;
	l->reason = step->reason != NULL ? step->reason : l->reason;
	l->rows = step->rows;
	memcpy(l->table, step->table, sizeof(l->table));
	memcpy(l->row, step->row, sizeof(l->row));
	l->value_count = step->value_count;
	memcpy(l->values, step->values, sizeof(l->values));
	l->applied_tick = ++world.ticks;
	if (step->to == STORED_CLOSED)
		check_gone(l);
}

/* Each entry once: applied, or a dead letter.  One that forked may have been either before. */
static void
commit_entry(const struct stored_letter *l)
{
	struct stream_entry *e = &world.streams[l->lane].entries[l->entry];
	bool forks = l->reason != NULL && strcmp(l->reason, REASON_FORK) == 0;
	char id[POSITION_TEXT];

	position_text(e->id, id);
	if (!forks && e->applied)
		sim_fail("lane %u: %s is applied twice", l->lane, id);
	if (e->dead != NULL && (!forks || strcmp(e->dead, REASON_FORK) == 0))
		sim_fail("lane %u: %s is a dead letter twice", l->lane, id);
	if (!forks) {
		e->applied = true;
		*add_log() = (struct logged){ .lane = l->lane, .entry = l->entry };
	}
	if (e->dead == NULL)
		e->dead = l->reason;
}

static void
commit_letter(const struct stored_letter *l)
{
	const struct stream_entry *e = &world.streams[l->lane].entries[l->entry];
	char id[POSITION_TEXT];

	trace("letter %zu of lane %u: entry %s, %s, %u keys", world.letter_count + 1, l->lane,
	    position_text(e->id, id), l->reason, l->key_count);
	for (size_t f = 0; f < e->raw_count; f++)
		trace("  %.*s = %.*s", STR_ARGS(e->raw[f].name), STR_ARGS(e->raw[f].value.text));
	world.letters = reallocarray(world.letters, world.letter_count + 1, sizeof(*world.letters));
	CHECK(world.letters != NULL);
	world.letters[world.letter_count] = *l;
	world.letters[world.letter_count++].forked = strcmp(l->reason, REASON_FORK) == 0;
}

void
commit_letters(struct transaction *tx)
{
	for (size_t i = 0; i < tx->step_count; i++)
		commit_step(&tx->steps[i]);
	for (size_t i = 0; i < tx->letter_count; i++) {
		commit_entry(&tx->letters[i]);
		if (tx->letters[i].reason != NULL)
			commit_letter(&tx->letters[i]);
	}
}

/* ---- MySQL goes back ---- */

void
letters_remember(struct snapshot *snap)
{
	snap->letter_count = world.letter_count;
	snap->log_count = world.log_count;
	snap->letters = calloc(world.letter_count + 1, sizeof(*snap->letters));
	CHECK(snap->letters != NULL);
	if (world.letter_count > 0)
		memcpy(snap->letters, world.letters, world.letter_count * sizeof(*snap->letters));
}

void
letters_forget(struct snapshot *snap)
{
	free(snap->letters);
	snap->letters = NULL;
}

/* The marks of that time are gone with it, and so is what would tell the keys of what was applied. */
void
letters_go_back(struct snapshot *snap)
{
	for (size_t i = snap->log_count; i < world.log_count; i++)
		world.excused[world.log[i].lane] |= world.log[i].is_letter;
	if (snap->letter_count > 0)
		memcpy(world.letters, snap->letters, snap->letter_count * sizeof(*world.letters));
	world.letter_count = snap->letter_count;
	world.log_count = snap->log_count;
	world.last_marks_us = 0;
	letters_forget(snap);
}

/* ---- who marks them ---- */

/* Somebody who holds its row makes whoever marks it wait. */
static bool
is_held(size_t letter)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		const struct transaction *tx = &world.sessions[i].tx;

		for (size_t j = 0; j < tx->step_count; j++) {
			if (tx->steps[j].letter == letter)
				return true;
		}
	}
	return false;
}

static void
mark(size_t i, unsigned what)
{
	static const enum stored_state marks[] = { STORED_REPLAY, STORED_REPLAY, STORED_FORCE,
		STORED_DROP };
	struct stored_letter *l = &world.letters[i];
	enum stored_state to = marks[what];

	if ((l->state != STORED_DEAD && l->state != STORED_PARKED) || is_held(i))
		return;
	if (strcmp(l->reason, REASON_PARKED) == 0 && to != STORED_DROP)
		return;
	/* as `sluice dead drop`: what nothing waits for goes at once */
	if (to == STORED_DROP && l->state == STORED_DEAD)
		to = STORED_DROPPED;
	trace("operator: letter %zu of lane %u from %d to %d", i + 1, l->lane, (int)l->state,
	    (int)to);
	l->state = to;
}

/* Once all is calm whatever is open is tried again, and then, where a lane has too many, dropped. */
static void
mark_at_the_end(void)
{
	bool halted = false;

	for (unsigned i = 0; i < world.processes; i++) {
		for (unsigned l = 0; l < world.lanes; l++) {
			const char *why = atomic_load(&world.process[i].lanes[l].why);

			halted |= world.process[i].alive && why != NULL &&
			    strcmp(why, LANE_WHY_MAX_PARKED) == 0;
		}
	}
	if (world.last_marks_us != 0 &&
	    (!halted || world.now_us - world.last_marks_us < INT64_C(5000000)))
		return;
	for (size_t i = 0; i < world.letter_count; i++)
		mark(i, world.last_marks_us == 0 ? below(2) : 3);
	world.last_marks_us = world.now_us;
}

void
mark_letters(void)
{
	if (world.calm) {
		mark_at_the_end();
		return;
	}
	while (world.letter_count > 0 && chance(world.odds.mark))
		mark(below((unsigned)world.letter_count), below(4));
}

bool
letters_rest(void)
{
	struct parked before[LANES_MAX] = { { .keys = NULL } };
	bool rest = true;

	for (size_t i = 0; i < world.letter_count && rest; i++) {
		const struct stored_letter *l = &world.letters[i];
		bool marked = l->state == STORED_REPLAY || l->state == STORED_FORCE;

		rest = l->state != STORED_DROP && l->state != STORED_APPLIED;
		if (rest && is_open(l) && !is_behind(&before[l->lane], l))
			rest = !marked &&
			    !(l->state == STORED_PARKED && strcmp(l->reason, REASON_PARKED) == 0);
		if (is_open(l))
			add_parked(&before[l->lane], l);
	}
	for (unsigned l = 0; l < LANES_MAX; l++)
		parked_deinit(&before[l]);
	return rest && world.last_marks_us != 0;
}
