#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"
#include "worker/store/row_keys.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Keys that only MySQL knows: stock's second template, stockn:{n}, over a column that increments change
 * and entries mostly lack.  The fake MySQL reads it before and after, and has an outbox; the world knows
 * when each of these keys became stale by which lane, and when it went.
 */
enum { N_COLUMN = 1, N_LOW = -128 };
#define PREFIX "stockn:"

void
images_set_up(void)
{
	/* half of the seeds, so that the others play what they always played */
	world.images = (world.seed * UINT64_C(0x9E3779B97F4A7C15)) >> 63 != 0;
	if (!world.images)
		world.tables[STOCK].template_count = 1;
}

static unsigned
value_of(const struct row *row)
{
	return (unsigned)((int)row->cells[N_COLUMN].n - N_LOW);
}

unsigned
value_of_key(struct str key)
{
	char digits[8];

	CHECK(key.len > strlen(PREFIX) && key.len < strlen(PREFIX) + sizeof(digits) &&
	    memcmp(key.data, PREFIX, strlen(PREFIX)) == 0);
	snprintf(digits, sizeof(digits), "%.*s", (int)(key.len - strlen(PREFIX)),
	    key.data + strlen(PREFIX));
	return (unsigned)(atoi(digits) - N_LOW);
}

/* ---- the transaction ---- */

/* The row's own number among the touched ones. */
static unsigned
row_number(const struct touched *t)
{
	struct shape shape = { .table = t->table };
	struct operation op = { .shape = &shape, .key = t->key };

	return key_row(&op);
}

static bool
is_read(const struct touched *t)
{
	if (!t->table->reads_row)
		return false;
	for (const struct change *c = t->changes; c != NULL; c = c->next_of_touched)
		if (!c->entry->done_before && c->entry->refusal.reason == NULL)
			return true;
	return false;
}

const struct touched *
images_lock(int session, const struct batch *batch)
{
	for (const struct touched *t = batch->touched; t != NULL && world.images; t = t->next)
		if (is_read(t) && session_row(session, STOCK, row_number(t)) == NULL)
			return t;
	return NULL;
}

static const struct str *
texts_of(const struct row *row, struct str *text, char digits[8])
{
	if (!row->there)
		return NULL;
	*text =
	    (struct str){ digits, (size_t)snprintf(digits, 8, "%d", (int)row->cells[N_COLUMN].n) };
	return text;
}

void
images_owe(int session, struct batch *batch)
{
	for (const struct touched *t = batch->touched; t != NULL && world.images; t = t->next) {
		char digits[2][8];
		struct str texts[2];
		unsigned r;

		if (!is_read(t))
			continue;
		r = row_number(t);
		/* nobody else could change it since it was locked */
		row_keys_owe(&batch->owed, t, texts_of(&world.rows[STOCK][r], &texts[0], digits[0]),
		    texts_of(&world.sessions[session].tx.rows[STOCK][r], &texts[1], digits[1]));
	}
}

/* Is the key owed for a change of this lane that is written now? */
static bool
is_of_lane(const struct owed *owed, unsigned lane)
{
	for (const struct change *c = owed->row->changes; c != NULL; c = c->next_of_touched)
		if ((unsigned)c->entry->lane->index == lane && !c->entry->done_before &&
		    c->entry->refusal.reason == NULL)
			return true;
	return false;
}

bool
outbox_put(int session, const struct batch *batch, unsigned lane, struct position position,
    uint64_t letter)
{
	struct outbox_row *row = &world.sessions[session].tx.outbox[lane];

	*row = (struct outbox_row){ .position = position, .letter = letter };
	for (const struct owed *owed = batch->owed.first; owed != NULL; owed = owed->next) {
		if (owed->row == NULL || !is_of_lane(owed, lane))
			continue;
		row->value[value_of_key(owed->key)] = true;
		row->there = true;
	}
	return row->there;
}

void
outbox_trims(int session, const struct lane *lane, struct position done)
{
	world.sessions[session].tx.trims[lane->index] |=
	    lane->outbox && position_compare(done, lane->done) > 0;
}

/* ---- the table ---- */

static void
outbox_insert(unsigned lane, const struct outbox_row *new)
{
	for (unsigned i = 0; i < OUTBOX_MAX; i++) {
		if (world.outbox[i].there)
			continue;
		world.outbox[i] = *new;
		world.outbox[i].lane = lane;
		return;
	}
	sim_fail("the outbox is never emptied");
}

void
outbox_commit(const struct transaction *tx)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		for (unsigned i = 0; i < OUTBOX_MAX && tx->trims[l]; i++) {
			struct outbox_row *row = &world.outbox[i];

			row->there &= row->lane != l || row->letter != 0 ||
			    position_compare(row->position, tx->ledger[l].done) > 0;
		}
		if (tx->outbox[l].there)
			outbox_insert(l, &tx->outbox[l]);
	}
}

/* Nothing stays behind `done`, at any moment. */
void
outbox_check(unsigned lane)
{
	char text[POSITION_TEXT];

	for (unsigned i = 0; i < OUTBOX_MAX; i++) {
		const struct outbox_row *row = &world.outbox[i];

		/* places of a log that lost its end are behind no other's */
		if (row->there && row->lane == lane && row->letter == 0 &&
		    !sim_kafka.logs[lane].lost_end &&
		    position_compare(row->position, world.ledger[lane].done) <= 0)
			sim_fail("lane %u: the outbox still has %s, behind done", lane,
			    position_text(row->position, text));
	}
}

bool
outbox_has(unsigned lane)
{
	for (unsigned i = 0; i < OUTBOX_MAX; i++) {
		if (world.outbox[i].there && world.outbox[i].lane == lane)
			return true;
	}
	return false;
}

/* With all letters closed and everything done nothing waits. */
void
outbox_check_empty(void)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		if (outbox_has(l) && !world.went_back && !sim_kafka.logs[l].lost_end)
			sim_fail("lane %u: the outbox is not empty at rest", l);
	}
}

static void
owe_row(struct owed_list *list, const struct outbox_row *row)
{
	const struct config_table *table = &world.config.tables[STOCK];

	for (unsigned v = 0; v < VALUES; v++) {
		char key[32];

		if (!row->value[v])
			continue;
		snprintf(key, sizeof(key), PREFIX "%d", (int)v + N_LOW);
		owed_add(list,
		    &(struct owed){
			.table = table, .template = &table->templates[1], .key = str_of(key) });
	}
}

static struct position
last_row(unsigned lane, struct position last)
{
	struct position at = { UINT64_MAX, 0 };

	for (unsigned i = 0; i < OUTBOX_MAX; i++) {
		const struct outbox_row *row = &world.outbox[i];

		if (row->there && row->lane == lane && row->letter == 0 &&
		    position_compare(row->position, last) >= 0 &&
		    position_compare(row->position, at) < 0)
			at = row->position;
	}
	return at;
}

static void
recall_lane(struct batch *batch, const struct batch_lane *bl)
{
	unsigned lane = (unsigned)bl->lane->index;
	struct position to = last_row(lane, bl->last);

	for (unsigned i = 0; i < OUTBOX_MAX; i++) {
		const struct outbox_row *row = &world.outbox[i];

		if (row->there && row->lane == lane && row->letter == 0 &&
		    position_compare(row->position, bl->after) > 0 &&
		    position_compare(row->position, to) <= 0)
			owe_row(&batch->owed, row);
	}
}

static bool
is_of_letters(const struct outbox_row *row, const struct letter_list *list)
{
	return row->there && list->last != NULL && row->letter > 0 &&
	    row->letter <= list->last->id && row->lane == (unsigned)list->first->entry.lane->index;
}

int
fake_recall(struct store *store, struct batch *batch, struct letter_list *list, struct err *err)
{
	struct fake_store *s = (struct fake_store *)store;

	if (store_reach(s, "store.recall", err) != 0)
		return -1;
	for (const struct batch_lane *bl = batch->lanes; bl != NULL; bl = bl->next)
		if (bl->lane->outbox && position_compare(bl->after, bl->lane->position) < 0)
			recall_lane(batch, bl);
	for (unsigned i = 0; i < OUTBOX_MAX && list != NULL; i++) {
		if (!is_of_letters(&world.outbox[i], list))
			continue;
		owe_row(&batch->owed, &world.outbox[i]);
		list->outbox = true;
	}
	call_ends(s->process, "store.recall");
	return 0;
}

/* Only shown: it must not change what else a seed plays. */
int
fake_outbox_count(struct store *store, struct lane **lanes, size_t count, uint64_t *rows,
    struct err *err)
{
	(void)store, (void)lanes, (void)err;
	*rows = count;
	return 0;
}

void
outbox_close_letters(const struct letter_list *list)
{
	for (unsigned i = 0; i < OUTBOX_MAX && list->outbox; i++)
		if (is_of_letters(&world.outbox[i], list))
			world.outbox[i].there = false;
}

/* ---- what became stale, and what went ---- */

static void
value_changes(unsigned lane, const struct row *row, struct position at)
{
	unsigned v = value_of(row);

	if (!row->there)
		return;
	world.value_tick[lane][v] = ++world.ticks;
	world.value_at[lane][v] = at;
}

void
values_commit(const struct transaction *tx, unsigned row, const struct row *before)
{
	unsigned lane = lane_of(STOCK, row);

	if (!world.images)
		return;
	value_changes(lane, before, tx->ledger[lane].position);
	value_changes(lane, &tx->rows[STOCK][row], tx->ledger[lane].position);
}

void
value_goes(unsigned value)
{
	world.value_gone[value] = ++world.ticks;
}

void
values_check_done(unsigned lane, struct position done)
{
	char text[POSITION_TEXT], at[POSITION_TEXT];

	for (unsigned v = 0; v < VALUES && world.images && !world.excused[lane]; v++) {
		if (world.value_tick[lane][v] == 0 ||
		    position_compare(world.value_at[lane][v], done) > 0 ||
		    world.value_tick[lane][v] <= world.value_gone[v])
			continue;
		sim_fail("lane %u: done up to %s, but " PREFIX
			 "%d became stale with %s and was not "
			 "invalidated since",
		    lane, position_text(done, text), (int)v + N_LOW,
		    position_text(world.value_at[lane][v], at));
	}
}

/* Of a letter that is applied: the keys of its rows. */
void
values_of_letter(int session, struct letter_step *step)
{
	const struct transaction *tx = &world.sessions[session].tx;

	for (unsigned i = 0; i < step->rows && world.images; i++) {
		const struct row *rows[2] = { &world.rows[STOCK][step->row[i]],
			&tx->rows[STOCK][step->row[i]] };

		for (unsigned j = 0; j < 2 && step->table[i] == STOCK; j++)
			if (rows[j]->there)
				step->values[step->value_count++] = value_of(rows[j]);
	}
}

void
values_check_letter(const struct stored_letter *l)
{
	for (unsigned i = 0; i < l->value_count; i++)
		if (world.value_gone[l->values[i]] < l->applied_tick)
			sim_fail("lane %u: a letter is closed and " PREFIX "%d was not invalidated",
			    l->lane, (int)l->values[i] + N_LOW);
}

/* ---- MySQL goes back ---- */

void
outbox_remember(struct snapshot *snap)
{
	memcpy(snap->outbox, world.outbox, sizeof(snap->outbox));
}

/* What only a lost commit had is in no row and in no outbox any more. */
void
outbox_goes_back(const struct snapshot *snap)
{
	memcpy(world.outbox, snap->outbox, sizeof(world.outbox));
	for (unsigned l = 0; l < world.lanes; l++) {
		for (unsigned v = 0; v < VALUES; v++) {
			if (position_compare(world.value_at[l][v], snap->ledger[l].position) > 0)
				world.value_tick[l][v] = 0;
		}
	}
}
