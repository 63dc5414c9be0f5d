#include "worker/store/rows_one_by_one.h"

#include "common/clock.h"
#include "worker/store/refusal.h"

#include <stdio.h>
#include <string.h>

/* Each repetition settles at least one entry; chains longer than this are rare and wait. */
enum { REPEATS_MAX = 16 };

static enum outcome
apply_change(struct writer *w, struct change *c)
{
	struct step step = { .shape = c->shape,
		.values = c->values,
		.key = c->key,
		.sums = c->shape->adds ? c->sums : NULL,
		.version = c->version,
		.changes = 1,
		.alone = c->alone,
		.first_change = c };

	return writer_write_one(w, &step);
}

enum outcome
one_by_one_bucket(struct writer *w, struct step *step)
{
	for (struct change *c = step->first_change; c != NULL; c = c->next_of_key) {
		enum outcome outcome = apply_change(w, c);

		if (outcome == OUTCOME_STOPPED)
			return outcome;
		if (outcome == OUTCOME_WRITTEN)
			continue;
		if (!refusal_is_local(c->table, w->err->code))
			return writer_stop(w, WRITE_ONE_BY_ONE);
		writer_refuse_entry(w, c->entry, c->table);
	}
	return OUTCOME_WRITTEN;
}

static enum outcome
send_plain(struct writer *w, struct str statement)
{
	w->report->statements++;
	if (sql_query(w->sql, statement, NULL, w->err) != 0)
		return writer_stop(w, WRITE_ERROR);
	return OUTCOME_WRITTEN;
}

/* All changes of an entry or none.  REFUSED: *at is the change that was refused. */
static enum outcome
apply_entry(struct writer *w, struct entry *entry, struct change **at)
{
	struct write_report before = *w->report;
	bool several = entry->change_count > 1;
	enum outcome outcome = OUTCOME_WRITTEN;
	struct err refused;

	if (several)
		outcome = send_plain(w, STR("SAVEPOINT sluice_entry"));
	for (size_t i = 0; i < entry->change_count && outcome == OUTCOME_WRITTEN; i++) {
		*at = &entry->changes[i];
		if ((*at)->op != CHANGE_INVALIDATE)
			outcome = apply_change(w, *at);
	}
	if (outcome != OUTCOME_REFUSED || !several)
		return outcome;
	refused = *w->err;
	before.statements = w->report->statements;
	*w->report = before;
	if (send_plain(w, STR("ROLLBACK TO SAVEPOINT sluice_entry")) != OUTCOME_WRITTEN)
		return OUTCOME_STOPPED;
	*w->err = refused;
	return OUTCOME_REFUSED;
}

/* Parents from other lanes */

static bool
is_stream_of(const struct lane *lane, const char *stream)
{
	return strcmp(lane->stream, stream) == 0;
}

bool
one_by_one_parent_may_come(const struct config *config, const struct table *table,
    const struct lane *lane)
{
	if (config == NULL)
		return table->parent_count > 0;
	for (size_t s = 0; s < config->source_count; s++) {
		const struct config_source *source = &config->sources[s];

		if (!table_parent_comes_by(table, source))
			continue;
		for (size_t i = 0; i < source->stream_count; i++) {
			if (!is_stream_of(lane, source->streams[i]))
				return true;
		}
	}
	return false;
}

/* Add the other lanes that may bring a parent, as a list of SQL texts; returns how many, or 0
 * when one of them is itself blocked in this batch. */
static size_t
add_parent_lanes(struct writer *w, const struct table *table, const struct lane *lane,
    struct buf *out)
{
	const struct config *config = w->limits->config;
	size_t count = 0;

	for (size_t s = 0; s < config->source_count; s++) {
		const struct config_source *source = &config->sources[s];

		for (size_t i = 0; i < source->stream_count && table_parent_comes_by(table, source);
		    i++) {
			char name[LANE_NAME_MAX + 1];

			if (is_stream_of(lane, source->streams[i]))
				continue;
			snprintf(name, sizeof(name), "%s/%s/%s", config->pool, config->redis.name,
			    source->streams[i]);
			for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
				if (strcmp(bl->lane->name, name) == 0 && bl->leave_at != NULL)
					return 0;
			}
			if (count++ > 0)
				buf_add_char(out, ',');
			sql_add_text(out, str_of(name));
		}
	}
	return count;
}

/* Are all lanes that may bring the parent written past the child's time?  (An idle lane's position is
 * old: that it is empty the worker finds out, and says so by parents_past.) */
static enum outcome
are_parents_past(struct writer *w, const struct entry *entry, const struct table *table, bool *past)
{
	struct sql_result result;
	struct buf lanes;
	struct position at;
	size_t count;

	*past = position_compare(entry->id, entry->lane->parents_past) <= 0;
	if (*past || w->limits->config == NULL)
		return OUTCOME_WRITTEN;
	buf_reset(&w->text);
	buf_add_str(&w->text, "SELECT position FROM sluice_ledger WHERE lane IN (");
	buf_init(&lanes);
	count = add_parent_lanes(w, table, entry->lane, &lanes);
	buf_add(&w->text, lanes.data, lanes.len);
	buf_add_char(&w->text, ')');
	buf_deinit(&lanes);
	if (count == 0)
		return OUTCOME_WRITTEN;
	w->report->statements++;
	if (sql_query(w->sql, (struct str){ w->text.data, w->text.len }, &result, w->err) != 0)
		return writer_stop(w, WRITE_ERROR);
	*past = result.rows == count;
	for (size_t i = 0; i < result.rows; i++) {
		if (!position_parse(sql_cell(&result, i, 0), &at) || at.major <= entry->id.major)
			*past = false;
	}
	sql_result_free(&result);
	return OUTCOME_WRITTEN;
}

/* The lane's shared wait: entries added before parent_wait_id_ms are in it. */
static bool
is_wait_over(const struct writer *w, const struct entry *entry)
{
	const struct lane *lane = entry->lane;

	return lane->parent_wait_ms != 0 && entry->id.major < lane->parent_wait_id_ms &&
	    clock_ms() - lane->parent_wait_ms >= w->limits->foreign_key_wait_ms;
}

/*
 * The batch.  While it is applied, leave_at of a lane is the entry that blocks it; leave_why is set
 * only at the end.
 */

/* Something before it was refused that shares a key with it. */
static void
refuse_behind(struct writer *w, struct entry *entry)
{
	w->batch->refused++;
	entry->refusal = (struct refusal){ .reason = REASON_PARKED,
		.of_write = true,
		.parks = true,
		.text = "an earlier change of its key is a dead letter" };
	parked_add_entry(&w->blocked, entry);
}

/* It stays refused: what comes behind it must follow it where it parks. */
static void
block_keys(struct writer *w, struct entry *entry)
{
	if (batch_parks(w->batch, entry))
		parked_add_entry(&w->blocked, entry);
}

static enum outcome
try_entry(struct writer *w, struct batch_lane *bl, struct entry *entry)
{
	struct change *at = NULL;
	enum outcome outcome;

	if (parked_blocks_entry(&w->blocked, entry)) {
		refuse_behind(w, entry);
		return OUTCOME_WRITTEN;
	}
	outcome = apply_entry(w, entry, &at);
	if (outcome == OUTCOME_WRITTEN)
		entry->refusal = (struct refusal){ .reason = NULL };
	if (outcome != OUTCOME_REFUSED)
		return outcome;
	CHECK(at != NULL);
	writer_refuse_entry(w, entry, at->table);
	if (refusal_is_orphan(entry->refusal.code) &&
	    one_by_one_parent_may_come(w->limits->config, at->table, entry->lane))
		bl->leave_at = entry;
	else
		block_keys(w, entry);
	return OUTCOME_WRITTEN;
}

/* The lane's entries from `entry` on, until one blocks it. */
static enum outcome
go_on(struct writer *w, struct batch_lane *bl, struct entry *entry)
{
	enum outcome outcome = OUTCOME_WRITTEN;

	bl->leave_at = NULL;
	for (; entry != NULL && bl->leave_at == NULL && outcome == OUTCOME_WRITTEN;
	    entry = entry->next_kept) {
		if (entry->lane == bl->lane && entry_is_applied(entry))
			outcome = try_entry(w, bl, entry);
	}
	return outcome;
}

static enum outcome
retry_blocked(struct writer *w, bool *progress)
{
	enum outcome outcome = OUTCOME_WRITTEN;

	for (struct batch_lane *bl = w->batch->lanes; bl != NULL && outcome == OUTCOME_WRITTEN;
	    bl = bl->next) {
		struct entry *at = bl->leave_at;

		if (at == NULL)
			continue;
		outcome = go_on(w, bl, at);
		*progress |= bl->leave_at != at;
	}
	return outcome;
}

/* No later entry has changed a row of this one, so that trying it again keeps each row's order. */
static bool
is_last_of_its_rows(const struct entry *entry)
{
	for (size_t i = 0; i < entry->change_count; i++) {
		const struct change *c = &entry->changes[i];

		if (c->barrier)
			return false;
		for (c = c->next_of_key; c != NULL; c = c->next_of_key) {
			if (c->entry != entry)
				return false;
		}
	}
	return true;
}

/* Refused because of other rows: they may have changed since. */
static enum outcome
retry_refused(struct writer *w, bool *progress)
{
	for (struct entry *entry = w->batch->first; entry != NULL; entry = entry->next_kept) {
		struct change *at = NULL;
		enum outcome outcome;

		if (entry->done_before || entry->refusal.reason == NULL ||
		    !refusal_may_heal(entry->refusal.code) || !is_last_of_its_rows(entry))
			continue;
		outcome = apply_entry(w, entry, &at);
		if (outcome == OUTCOME_STOPPED)
			return outcome;
		if (outcome == OUTCOME_WRITTEN) {
			entry->refusal = (struct refusal){ .reason = NULL };
			*progress = true;
		}
	}
	return OUTCOME_WRITTEN;
}

typedef enum outcome retry_function(struct writer *w, bool *progress);

/* As long as it helps. */
static enum outcome
repeat(struct writer *w, retry_function *retry)
{
	enum outcome outcome = OUTCOME_WRITTEN;
	bool progress = true;

	for (int i = 0; i < REPEATS_MAX && progress && outcome == OUTCOME_WRITTEN; i++) {
		progress = false;
		outcome = retry(w, &progress);
	}
	return outcome;
}

static const struct table *
child_of(const struct entry *entry)
{
	for (size_t i = 0; i < entry->change_count; i++) {
		if (entry->changes[i].table->parent_count > 0)
			return entry->changes[i].table;
	}
	return entry->changes[0].table;
}

/* Blocked entries that have waited long enough stay refused, and their lanes go on. */
static enum outcome
give_up_waits(struct writer *w, bool *gave_up)
{
	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
		struct entry *at = bl->leave_at;
		enum outcome outcome;
		bool over;

		if (at == NULL)
			continue;
		over = is_wait_over(w, at);
		if (!over) {
			outcome = are_parents_past(w, at, child_of(at), &over);
			if (outcome != OUTCOME_WRITTEN)
				return outcome;
		}
		if (!over)
			continue;
		*gave_up = true;
		block_keys(w, at);
		outcome = go_on(w, bl, at->next_kept);
		if (outcome != OUTCOME_WRITTEN)
			return outcome;
	}
	return OUTCOME_WRITTEN;
}

static enum outcome
apply_first(struct writer *w)
{
	enum outcome outcome = OUTCOME_WRITTEN;

	for (struct entry *entry = w->batch->first; entry != NULL && outcome == OUTCOME_WRITTEN;
	    entry = entry->next_kept) {
		struct batch_lane *bl;

		if (!entry_is_applied(entry))
			continue;
		bl = batch_lane_find(w->batch, entry->lane);
		CHECK(bl != NULL);
		if (bl->leave_at == NULL)
			outcome = try_entry(w, bl, entry);
	}
	return outcome;
}

/* Set leave_why of the lanes that are still blocked, or forget that lanes were. */
static unsigned
mark_blocked(struct writer *w, bool leave)
{
	unsigned blocked = 0;

	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
		if (bl->leave_at == NULL || bl->leave_why != NULL)
			continue;
		if (leave)
			bl->leave_why = LANE_WHY_FOREIGN_KEY;
		else
			bl->leave_at = NULL;
		blocked++;
	}
	return blocked;
}

enum outcome
one_by_one_batch(struct writer *w)
{
	enum outcome outcome = apply_first(w);
	bool gave_up = true;

	while (gave_up && outcome == OUTCOME_WRITTEN) {
		gave_up = false;
		outcome = repeat(w, retry_blocked);
		if (outcome == OUTCOME_WRITTEN)
			outcome = give_up_waits(w, &gave_up);
	}
	if (mark_blocked(w, outcome == OUTCOME_WRITTEN) > 0 && outcome == OUTCOME_WRITTEN)
		return writer_stop(w, WRITE_LEAVE);
	/* only now: a row healed earlier could stand in the way of an entry not yet tried */
	return outcome == OUTCOME_WRITTEN ? repeat(w, retry_refused) : outcome;
}

/* ---- letters ---- */

static bool
is_letter_blocked(const struct writer *w, const struct letter *letter)
{
	for (unsigned i = 0; i < letter->key_count; i++) {
		if (parked_blocks(&w->blocked, &letter->keys[i]))
			return true;
	}
	return false;
}

enum outcome
one_by_one_letters(struct writer *w)
{
	for (struct entry *entry = w->batch->first; entry != NULL; entry = entry->next_kept) {
		struct letter *letter = entry->letter;
		enum outcome outcome = OUTCOME_REFUSED;
		struct change *at = NULL;

		if (letter->action == LETTER_APPLY && is_letter_blocked(w, letter))
			letter->action = LETTER_STAYS;
		if (letter->action == LETTER_APPLY && entry->refusal.reason == NULL)
			outcome = apply_entry(w, entry, &at);
		if (outcome == OUTCOME_STOPPED)
			return outcome;
		if (outcome == OUTCOME_WRITTEN || letter->action == LETTER_INVALIDATE)
			continue;
		if (at != NULL)
			writer_refuse_entry(w, entry, at->table);
		letter->refused = letter->action == LETTER_APPLY;
		for (unsigned i = 0; i < letter->key_count; i++)
			parked_add(&w->blocked, &letter->keys[i]);
	}
	return OUTCOME_WRITTEN;
}
