#include "tests/sim/sim.h"

#include "common/err.h"
#include "worker/store/refusal.h"

#include <stdlib.h>

/* The law: entries one by one, in the order of their lanes.  What the database holds must be equal. */
struct model {
	struct row rows[TABLES][ROWS_MAX];
	struct sim_schema *schema;
	struct arena arena;
	struct resolver resolver;
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

/* The reason why it is a dead letter, or NULL. */
static const char *
apply_entry(struct entry *e)
{
	static struct row before[TABLES][ROWS_MAX];

	if (format_decode(e, &model.arena) != 0)
		return e->refusal.reason;
	for (size_t i = 0; i < e->change_count; i++) {
		e->changes[i].entry = e;
		if (resolve_change(&model.resolver, e, &e->changes[i]) != 0)
			return e->refusal.reason;
	}
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

static void
compare_letter(unsigned lane, const struct stream_entry *e, const char *reason)
{
	char id[POSITION_TEXT];

	if (e->dead == NULL && reason == NULL)
		return;
	if (e->dead != NULL && strcmp(e->dead, REASON_FORK) == 0)
		return; /* nobody could know that it was applied */
	/* with two mistakes in a list, which one is named depends on a table that was gone then */
	if (e->dead != NULL && reason != NULL && world.broken_us[1] > 0 && e->raw_count == 1)
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

static void
play_lane(unsigned l)
{
	static struct lane lane;
	const struct stream *stream = &world.streams[l];

	lane = world.process[0].lanes[l];
	for (unsigned i = 0; i < stream->count; i++) {
		const struct stream_entry *s = &stream->entries[i];
		struct entry e = {
			.lane = &lane, .id = s->id, .raw = s->raw, .raw_count = s->raw_count
		};

		if (s->skipped) {
			compare_letter(l, s, NULL);
			continue;
		}
		if (!s->applied) {
			check_not_hidden(l, i);
			continue;
		}
		/* nothing is left of the entry before: no plan and no shape is shared */
		arena_reset(&model.arena);
		resolver_start(&model.resolver, sim_schema_of(model.schema), &model.arena);
		compare_letter(l, s, apply_entry(&e));
	}
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
			    !world.excused[lane_of(t, r)] &&
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
	for (unsigned l = 0; l < world.lanes; l++) {
		check_told(l);
		play_lane(l);
	}
	compare_rows();
	sim_schema_free(&model.schema);
	resolver_deinit(&model.resolver);
	arena_deinit(&model.arena);
}
