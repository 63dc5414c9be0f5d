#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"
#include "worker/store/refusal.h"

#include <stdlib.h>

/*
 * The law: entries one by one, in the order of their lanes, dead letters when they were applied again.
 * What the database holds must be equal.
 */
struct model {
	struct row rows[TABLES][ROWS_MAX];
	struct sim_schema *schema;
	struct arena arena;
	struct resolver resolver;
	bool *open;	      /* by letter */
	struct parked parked; /* of the moment */
	struct position place[LANES_MAX];
};

static struct model model;

static int
apply_change(const struct change *c)
{
	struct operation op = {
		.shape = c->shape, .values = c->values, .key = c->key, .version = c->version
	};
	unsigned table = table_number(c->table);
	int code = 0;

	if (c->op == CHANGE_INVALIDATE)
		return 0;
	apply(&op, &model.rows[table][key_row(&op)],
	    table == LOGGED ? &model.rows[table][KEYS_MAX] : NULL, &code);
	return code;
}

/* The reason why it can't even be tried, or NULL. */
static const char *
resolve_entry(struct entry *e)
{
	if (format_decode(e, &model.arena, NULL) != 0)
		return e->refusal.reason;
	for (size_t i = 0; i < e->change_count; i++) {
		e->changes[i].entry = e;
		if (resolve_change(&model.resolver, e, &e->changes[i]) != 0)
			return e->refusal.reason;
	}
	return NULL;
}

/* The reason why it is a dead letter, or NULL. */
static const char *
apply_resolved(struct entry *e)
{
	static struct row before[TABLES][ROWS_MAX];

	if (e->change_count > 1)
		memcpy(before, model.rows, sizeof(before));
	for (size_t i = 0; i < e->change_count; i++) {
		int code = apply_change(&e->changes[i]);

		if (code == 0)
			continue;
		if (e->change_count > 1)
			memcpy(model.rows, before, sizeof(before));
		return refusal_reason(e->changes[i].table, code);
	}
	return NULL;
}

static const char *
apply_entry(struct entry *e)
{
	const char *reason = resolve_entry(e);

	return reason != NULL ? reason : apply_resolved(e);
}

/* What was found wrong with a list while a table was gone is not what is wrong with it now. */
static bool
is_vague(const struct stream_entry *s)
{
	return world.broken_us[1] > 0 && (world.kafka || s->raw_count == 1);
}

static void
compare_letter(unsigned lane, const struct stream_entry *e, const char *reason)
{
	char id[POSITION_TEXT];

	if (e->dead == NULL && reason == NULL)
		return;
	if (e->dead != NULL && strcmp(e->dead, REASON_FORK) == 0)
		return; /* nobody could know that it was applied */
	/* with two mistakes in a list, which one is named depends on a table that was gone then */
	if (e->dead != NULL && reason != NULL && is_vague(e))
		return;
	if (e->dead == NULL || reason == NULL || strcmp(e->dead, reason) != 0)
		sim_fail("lane %u: entry %s is a dead letter for %s, one by one for %s", lane,
		    position_text(e->id, id), e->dead != NULL ? e->dead : "nothing",
		    reason != NULL ? reason : "nothing");
}

/* What is not applied is gone with its server, never was on this one, or is a dead letter. */
static void
check_not_hidden(unsigned l, unsigned i)
{
	const struct stream *s = &world.streams[l];
	const struct stream_entry *e = &s->entries[i];
	char id[POSITION_TEXT];

	if (e->lost || e->dead != NULL || (e->other && !world.forked))
		return;
	sim_fail("lane %u: %s is hidden: neither applied nor a dead letter", l,
	    position_text(e->id, id));
}

static void
check_told(unsigned l)
{
	if (world.tell_rollback[l] && !world.told_rollback[l])
		sim_fail("lane %u: MySQL lost commits and no alarm says so", l);
	if (world.tell_fork[l] && !world.told_fork[l])
		sim_fail("lane %u: the stream forked and no alarm says so", l);
}

/* ---- letters ---- */

/* The keys of the lane's open letters, those before `letter` only; all of them with SIZE_MAX. */
static void
park(unsigned lane, size_t letter, struct parked *set)
{
	parked_clear(set);
	for (size_t i = 0; i < world.letter_count && i < letter; i++) {
		const struct stored_letter *l = &world.letters[i];

		for (unsigned j = 0; j < l->key_count && l->lane == lane && model.open[i]; j++)
			parked_add(set, &l->keys[j]);
	}
}

static bool
is_parked(const struct entry *e)
{
	park((unsigned)e->lane->index, SIZE_MAX, &model.parked);
	return parked_blocks_entry(&model.parked, e);
}

static size_t
letter_of(unsigned lane, unsigned entry)
{
	size_t i = 0;

	while (i < world.letter_count &&
	    (world.letters[i].lane != lane || world.letters[i].entry != entry ||
		world.letters[i].forked))
		i++;
	return i;
}

/* Nothing is left of the entry before: no plan and no shape is shared. */
static struct entry
fresh_entry(unsigned lane, const struct stream_entry *s)
{
	static struct lane lanes[LANES_MAX];

	lanes[lane] = world.process[0].lanes[lane];
	arena_reset(&model.arena);
	resolver_start(&model.resolver, sim_schema_of(model.schema), &model.arena);
	return (struct entry){
		.lane = &lanes[lane], .id = s->id, .raw = s->raw, .raw_count = s->raw_count
	};
}

/* Without --force a letter that nothing waited for is applied only where that can do no harm. */
static void
check_alone(const struct logged *log, const struct entry *e)
{
	const struct stored_letter *l = &world.letters[log->step.letter];

	for (size_t i = 0; i < e->change_count; i++) {
		if (e->changes[i].op == CHANGE_INVALIDATE ||
		    table_number(e->changes[i].table) == PROFILE)
			continue;
		/* places before the log lost its end say nothing of those after it */
		if (sim_kafka.logs[l->lane].lost_end)
			continue;
		if (l->forked || position_compare(model.place[l->lane], e->id) != 0)
			sim_fail("lane %u: letter %zu was applied behind later changes", l->lane,
			    log->step.letter + 1);
	}
}

/* The letter was applied when its turn was, or refused as it is one by one. */
static void
play_letter(const struct logged *log)
{
	const struct stored_letter *l = &world.letters[log->step.letter];
	const struct stream_entry *s = &world.streams[l->lane].entries[l->entry];
	bool applied = log->step.to == STORED_APPLIED || log->step.to == STORED_CLOSED;
	struct entry e = fresh_entry(l->lane, s);
	const char *reason;

	if (log->step.to == STORED_DROPPED) {
		model.open[log->step.letter] = false;
		return;
	}
	if (!applied && log->step.reason == NULL)
		return; /* not tried */
	park(l->lane, log->step.letter, &model.parked);
	for (unsigned i = 0; i < l->key_count; i++) {
		if (parked_blocks(&model.parked, &l->keys[i]))
			sim_fail("lane %u: letter %zu is tried before an earlier one of its key",
			    l->lane, log->step.letter + 1);
	}
	reason = apply_entry(&e);
	if (applied)
		model.open[log->step.letter] = false;
	if (is_vague(s) && !applied && reason != NULL)
		return;
	if (applied ? reason != NULL : reason == NULL || strcmp(reason, log->step.reason) != 0)
		sim_fail("lane %u: letter %zu is %s, one by one it is %s", l->lane,
		    log->step.letter + 1, applied ? "applied" : log->step.reason,
		    reason != NULL ? reason : "applied");
	if (applied && l->key_count == 0 && !log->forced)
		check_alone(log, &e);
}

/* ---- batches ---- */

static void
play_entry(unsigned lane, unsigned i)
{
	const struct stream_entry *s = &world.streams[lane].entries[i];
	struct entry e = fresh_entry(lane, s);
	size_t letter = letter_of(lane, i);
	const char *reason = resolve_entry(&e);

	if (reason == NULL && is_parked(&e))
		reason = REASON_PARKED;
	if (reason == NULL)
		reason = apply_resolved(&e);
	compare_letter(lane, s, reason);
	model.place[lane] = s->id;
	if (letter == world.letter_count)
		return;
	model.open[letter] = true;
	if (!is_vague(s) && world.letters[letter].key_count == 0 && e.change_count > 0 &&
	    strcmp(reason, REASON_PARKED) == 0)
		sim_fail("lane %u: letter %zu waits and parks nothing", lane, letter + 1);
}

/* What no batch wrote: skipped by order, or see check_not_hidden. */
static void
check_unwritten(unsigned l)
{
	const struct stream *s = &world.streams[l];

	for (unsigned i = 0; i < s->count; i++) {
		if (s->entries[i].skipped)
			compare_letter(l, &s->entries[i], NULL);
		else if (!s->entries[i].applied)
			check_not_hidden(l, i);
	}
}

static void
play_log(void)
{
	for (size_t i = 0; i < world.log_count; i++) {
		const struct logged *log = &world.log[i];

		if (log->is_letter)
			play_letter(log);
		else
			play_entry(log->lane, log->entry);
	}
	for (unsigned l = 0; l < world.lanes; l++)
		check_unwritten(l);
}

static void
compare_rows(void)
{
	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned r = 0; r < ROWS_MAX; r++) {
			const struct row *row = &world.rows[t][r];

			if (!row_equal(row, &model.rows[t][r]))
				sim_fail("%s %u: is [%s], one by one it is [%s]", table_names[t], r,
				    row_text(t, row), row_text(t, &model.rows[t][r]));
			if (r < KEYS_MAX && world.cached[t][r].there &&
			    !world.excused[lane_of(t, r)] && !notes_lose(t, r) &&
			    !row_equal(row, &world.cached[t][r].row))
				sim_fail("%s %u: the cache still holds [%s], the row is [%s]",
				    table_names[t], r, row_text(t, &world.cached[t][r].row),
				    row_text(t, row));
		}
	}
}

void
compare_with_model(void)
{
	memset(&model, 0, sizeof(model));
	arena_init(&model.arena, 64 * 1024);
	resolver_init(&model.resolver);
	model.schema = sim_schema_new(&world.config, true, -1);
	model.open = calloc(world.letter_count + 1, sizeof(bool));
	CHECK(model.open != NULL);
	for (unsigned l = 0; l < world.lanes; l++)
		check_told(l);
	if (world.kafka)
		logs_check_told();
	play_log();
	compare_rows();
	populate_check_rest();
	outbox_check_empty();
	free(model.open);
	parked_deinit(&model.parked);
	sim_schema_free(&model.schema);
	resolver_deinit(&model.resolver);
	arena_deinit(&model.arena);
}
