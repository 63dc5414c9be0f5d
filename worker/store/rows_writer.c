#include "worker/store/rows_writer.h"

#include "worker/store/refusal.h"
#include "worker/store/rows_lanes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	PAIR_TRIES_MAX =
	    2 /* after a duplicate InnoDB keeps the other row locked: the second is sure */
};

/* Writes steps[0, *used); *used may come back smaller: so many did one statement hold. */
typedef enum outcome write_function(struct writer *w, struct step **steps, unsigned *used);

static write_function write_upserts, write_updates, write_deletes, write_missing;
static enum outcome write_halving(struct writer *w, write_function *write, struct step **steps,
    unsigned count);

void
writer_init(struct writer *w, struct sql *sql, struct batch *batch,
    const struct rows_limits *limits, struct write_report *report, struct err *err)
{
	*w = (struct writer){
		.sql = sql, .batch = batch, .limits = limits, .report = report, .err = err
	};
	w->plan = rows_plan_of(batch, sql_is_mariadb(sql));
	w->refused_end = &w->refused;
	arena_reset(&w->plan->arena);
	buf_init(&w->text);
}

void
writer_deinit(struct writer *w)
{
	buf_deinit(&w->text);
	parked_deinit(&w->blocked);
}

enum outcome
writer_stop(struct writer *w, enum write_result result)
{
	w->result = result;
	return OUTCOME_STOPPED;
}

enum outcome
writer_judge(struct writer *w, const struct step *step)
{
	if (!sql_is_open(w->sql))
		return writer_stop(w, WRITE_ERROR);
	if (w->seeking && w->err->class != ERR_POISON)
		return writer_stop(w, WRITE_ERROR);
	if (refusal_doubts_schema(step, w->err) && !w->batch->schema_tried && !w->seeking) {
		w->batch->schema_tried = true;
		return writer_stop(w, WRITE_SCHEMA);
	}
	if (refusal_is_of_key(w->err->code)) {
		if (step->shape->kind != SHAPE_UPSERT) /* there is no such row: nothing to do */
			return OUTCOME_WRITTEN;
		w->err->class = ERR_POISON;
	}
	switch (w->err->class) {
	case ERR_POISON:
		return OUTCOME_REFUSED;
	case ERR_FATAL:
		return writer_stop(w,
		    lanes_leave_table(w->batch, step->shape->table, w->err) > 0 ? WRITE_LEAVE :
										  WRITE_ERROR);
	case ERR_NONE:
	case ERR_RETRY:
		break;
	}
	if (is_lock_wait(w->err->code))
		return writer_stop(w, lanes_leave_locked(w));
	return writer_stop(w, WRITE_ERROR);
}

/* Send a statement about the table of `step`. */
static enum outcome
send_statement(struct writer *w, const struct step *step, struct str text,
    struct sql_result *result)
{
	w->report->statements++;
	if (sql_query(w->sql, text, result, w->err) == 0)
		return OUTCOME_WRITTEN;
	return writer_judge(w, step);
}

static enum outcome
refuse(struct writer *w, int code, const char *why)
{
	err_set(w->err, ERR_POISON, code, "%s", why);
	return OUTCOME_REFUSED;
}

static struct statement
statement_of(const struct writer *w, struct step **steps, unsigned count)
{
	return (struct statement){ .steps = steps,
		.count = count,
		.bytes_max = w->limits->bytes_max,
		.mariadb = w->plan->mariadb };
}

typedef unsigned add_function(struct buf *out, const struct statement *s);

static enum outcome
send_built(struct writer *w, add_function *add, struct step **steps, unsigned *used,
    struct sql_result *result)
{
	struct statement s = statement_of(w, steps, *used);

	buf_reset(&w->text);
	*used = add(&w->text, &s);
	if (*used == 0) {
		*used = 1;
		return refuse(w, REFUSAL_TOO_LARGE, "the row is larger than max_allowed_packet");
	}
	w->sent = steps;
	w->sent_count = *used;
	return send_statement(w, steps[0], (struct str){ w->text.data, w->text.len }, result);
}

static unsigned
add_first(struct buf *out, const struct statement *s)
{
	return statement_add(out, s, statement_form(s->steps[0]));
}

/* The first (mostly only) statement of these steps, out of the plan when it is there. */
static enum outcome
send_first(struct writer *w, struct step **steps, unsigned *used, struct sql_result *result)
{
	const struct rows_text *ready = rows_plan_text(w->plan, steps, *used);

	if (ready == NULL)
		return send_built(w, add_first, steps, used, result);
	*used = ready->count;
	w->sent = steps;
	w->sent_count = *used;
	return send_statement(w, steps[0],
	    (struct str){ w->plan->text.data + ready->offset, ready->len }, result);
}

/*
 * Which rows are missing?  Their steps come first in list[0, *missing), in order.  `list` may be
 * `steps` itself.
 */
static enum outcome
find_missing(struct writer *w, struct step **steps, unsigned count, struct step **list,
    unsigned *missing)
{
	struct sql_result result;
	unsigned from = 0, used;
	uint64_t i;

	*missing = 0;
	while (from < count) {
		enum outcome outcome;

		used = count - from;
		outcome = send_built(w, statement_add_missing, steps + from, &used, &result);
		if (outcome != OUTCOME_WRITTEN)
			return outcome;
		/* The answers come in v's order, so no step is overwritten before it is read. */
		for (size_t row = 0; row < result.rows; row++) {
			CHECK(number_u64(sql_cell(&result, row, 0), &i) && i < used);
			CHECK(from + i >= *missing);
			list[(*missing)++] = steps[from + i];
		}
		sql_result_free(&result);
		from += used;
	}
	return OUTCOME_WRITTEN;
}

static void
report_older(struct writer *w, const struct table *table, unsigned rows)
{
	w->report->older += rows;
	batch_table(w->batch, table)->refused_older += rows;
}

/* Given versions: of `count` rows some were not touched; those that exist are newer. */
static enum outcome
count_older(struct writer *w, struct step **steps, unsigned count, unsigned touched, bool deleted)
{
	const struct table *table = steps[0]->shape->table;
	struct step **list;
	enum outcome outcome;
	unsigned missing = 0;

	if (table->version != VERSION_GIVEN || touched >= count)
		return OUTCOME_WRITTEN;
	list = calloc(count, sizeof(*list));
	CHECK(list != NULL);
	outcome = find_missing(w, steps, count, list, &missing);
	free(list);
	if (outcome != OUTCOME_WRITTEN)
		return outcome;
	report_older(w, table, count - missing - (deleted ? 0 : touched));
	return OUTCOME_WRITTEN;
}

/* INSERT … ON DUPLICATE KEY UPDATE: an inserted row counts 1, a changed one 2, an equal one 0. */
static enum outcome
write_upserts(struct writer *w, struct step **steps, unsigned *used)
{
	struct sql_result result;
	enum outcome outcome = send_first(w, steps, used, &result);
	uint64_t changed, rows;

	if (outcome != OUTCOME_WRITTEN)
		return outcome;
	changed = result.duplicates;
	if (*used == 1) /* no info for a single row */
		changed = result.affected == 2;
	rows = result.affected - changed;
	w->report->rows += (unsigned)rows;
	if (steps[0]->shape->table->version == VERSION_GIVEN && rows < *used)
		report_older(w, steps[0]->shape->table, *used - (unsigned)rows);
	return OUTCOME_WRITTEN;
}

static enum outcome
write_deletes(struct writer *w, struct step **steps, unsigned *used)
{
	struct sql_result result;
	enum outcome outcome = send_first(w, steps, used, &result);

	if (outcome != OUTCOME_WRITTEN)
		return outcome;
	w->report->rows += (unsigned)result.affected;
	if (steps[0]->shape->kind == SHAPE_TRUNCATE)
		return OUTCOME_WRITTEN;
	return count_older(w, steps, *used, (unsigned)result.affected, true);
}

/* A single step whose UPDATE matched nothing.  *exists: because the row is newer, or nothing is
 * set. */
static enum outcome
insert_one(struct writer *w, struct step *step, bool *exists)
{
	struct step *steps[1] = { step };
	struct sql_result result;
	enum outcome outcome;
	unsigned missing, one = 1;

	*exists = false;
	if (step->shape->table->version == VERSION_GIVEN || statement_sets_nothing(step)) {
		struct step *list[1];

		outcome = find_missing(w, steps, 1, list, &missing);
		if (outcome != OUTCOME_WRITTEN)
			return outcome;
		*exists = missing == 0;
		if (*exists)
			return OUTCOME_WRITTEN;
	}
	if (step->changes > 1 && statement_sums_overflow(step))
		return refuse(w, REFUSAL_OUT_OF_RANGE, "an increment is out of its column's range");
	outcome = send_built(w, statement_add_insert, steps, &one, &result);
	if (outcome == OUTCOME_WRITTEN)
		w->report->rows++;
	return outcome;
}

/* Between the UPDATE and the INSERT somebody else may have created the row: UPDATE again. */
static enum outcome
write_pair(struct writer *w, struct step *step)
{
	struct step *steps[1] = { step };
	struct sql_result result = { 0 };
	enum outcome outcome = OUTCOME_WRITTEN;
	bool exists;

	for (int tries = 1;; tries++) {
		unsigned one = 1;

		if (!statement_sets_nothing(step))
			outcome = send_first(w, steps, &one, &result);
		if (outcome != OUTCOME_WRITTEN)
			return outcome;
		w->report->rows += (unsigned)result.affected;
		if (step->shape->kind == SHAPE_UPDATE)
			return count_older(w, steps, 1, (unsigned)result.matched, false);
		if (result.matched > 0)
			return OUTCOME_WRITTEN;
		outcome = insert_one(w, step, &exists);
		report_older(w, step->shape->table,
		    exists && step->shape->table->version == VERSION_GIVEN);
		if (outcome != OUTCOME_REFUSED || !refusal_is_primary(w->err) ||
		    tries == PAIR_TRIES_MAX)
			return outcome;
	}
}

/* Rows that an UPDATE did not find. */
static enum outcome
write_missing(struct writer *w, struct step **steps, unsigned *used)
{
	struct sql_result result;
	enum outcome outcome;
	unsigned fits = 0;

	while (fits < *used && !(steps[fits]->changes > 1 && statement_sums_overflow(steps[fits])))
		fits++;
	*used = fits > 0 ? fits : 1;
	if (fits == 0)
		return refuse(w, REFUSAL_OUT_OF_RANGE, "an increment is out of its column's range");
	outcome = send_built(w, statement_add_insert, steps, used, &result);
	if (outcome == OUTCOME_WRITTEN)
		w->report->rows += (unsigned)result.affected;
	if (outcome == OUTCOME_REFUSED && *used == 1 && refusal_is_primary(w->err))
		return write_pair(w, steps[0]);
	return outcome;
}

static enum outcome
write_updates(struct writer *w, struct step **steps, unsigned *used)
{
	const struct table *table = steps[0]->shape->table;
	struct step **list = steps;
	struct sql_result result = { 0 };
	enum outcome outcome = OUTCOME_WRITTEN;
	bool sets_nothing = statement_sets_nothing(steps[0]);
	unsigned matched, missing;

	if (sets_nothing && steps[0]->shape->kind == SHAPE_UPDATE)
		return OUTCOME_WRITTEN;
	if (*used == 1)
		return write_pair(w, steps[0]);
	if (!sets_nothing)
		outcome = send_first(w, steps, used, &result);
	if (outcome != OUTCOME_WRITTEN)
		return outcome;
	missing = *used;
	matched = (unsigned)result.matched;
	w->report->rows += (unsigned)result.affected;
	if (steps[0]->shape->kind == SHAPE_UPDATE)
		return count_older(w, steps, *used, matched, false);
	if (matched >= *used)
		return OUTCOME_WRITTEN;
	if (matched > 0 || sets_nothing || table->version == VERSION_GIVEN) {
		if (steps >= w->plan->order && steps < w->plan->order + w->plan->count)
			list = w->plan->scratch + (steps - w->plan->order);
		outcome = find_missing(w, steps, *used, list, &missing);
		if (outcome != OUTCOME_WRITTEN)
			return outcome == OUTCOME_REFUSED ? writer_stop(w, WRITE_ONE_BY_ONE) :
							    outcome;
	}
	if (table->version == VERSION_GIVEN)
		report_older(w, steps[0]->shape->table, *used - matched - missing);
	/* never REFUSED from here on: halving would do the UPDATE twice */
	return write_halving(w, write_missing, list, missing);
}

/* The step is refused; may its bucket be applied by itself, after all others? */
static enum outcome
refuse_step(struct writer *w, struct step *step)
{
	struct bucket *bucket = step->bucket;

	CHECK(!bucket->refused);
	if (!refusal_is_local(bucket->table, w->err->code) || bucket->has_list_entry ||
	    bucket->table->config->on_poison == ON_POISON_PARK /* what follows must follow it */ ||
	    batch_table(w->batch, bucket->table)->barrier > 0 /* may be of any row */)
		return writer_stop(w, WRITE_ONE_BY_ONE);
	bucket->refused = true;
	w->batch->refused++;
	if (step->changes == 1 && step->first_change->next_of_key == NULL &&
	    w->err->code != REFUSAL_TOO_LARGE) { /* it was alone: the answer is known */
		writer_refuse_entry(w, step->first_change->entry, bucket->table);
		return OUTCOME_WRITTEN;
	}
	step->next_written = NULL;
	*w->refused_end = step;
	w->refused_end = &step->next_written;
	return OUTCOME_WRITTEN;
}

/* A column without default is missing in all of them alike. */
static enum outcome
refuse_steps(struct writer *w, struct step **steps, unsigned count)
{
	enum outcome outcome = OUTCOME_WRITTEN;

	for (unsigned i = 0; i < count && outcome == OUTCOME_WRITTEN; i++)
		outcome = refuse_step(w, steps[i]);
	return outcome;
}

static enum outcome
write_halving(struct writer *w, write_function *write, struct step **steps, unsigned count)
{
	while (count > 0) {
		unsigned used = rows_plan_share(steps, count, w->limits), half;
		enum outcome outcome = write(w, steps, &used);

		if (outcome == OUTCOME_REFUSED &&
		    (used == 1 || (write == write_missing && w->err->code == REFUSAL_NO_DEFAULT)))
			outcome = refuse_steps(w, steps, used);
		else if (outcome == OUTCOME_REFUSED) {
			half = used / 2;
			outcome = write_halving(w, write, steps, half);
			if (outcome == OUTCOME_WRITTEN)
				outcome = write_halving(w, write, steps + half, used - half);
		}
		if (outcome != OUTCOME_WRITTEN)
			return outcome;
		steps += used;
		count -= used;
	}
	return OUTCOME_WRITTEN;
}

static write_function *
function_of(enum statement_form form)
{
	switch (form) {
	case STATEMENT_UPSERT:
		return write_upserts;
	case STATEMENT_UPDATE:
	case STATEMENT_UPDATE_GUARDED:
		return write_updates;
	case STATEMENT_DELETE:
		return write_deletes;
	}
	return NULL;
}

enum outcome
writer_write_one(struct writer *w, struct step *step)
{
	struct step *steps[1] = { step };
	unsigned one = 1;

	return function_of(statement_form(step))(w, steps, &one);
}

enum outcome
writer_write(struct writer *w, struct step **steps, unsigned count)
{
	return write_halving(w, function_of(statement_form(steps[0])), steps, count);
}

/* The columns of a unique index, asked once in a row. */
static const char *
columns_of_index(struct writer *w, const struct table *table, const char *index)
{
	char key[sizeof(w->index)];
	struct sql_result result;
	struct buf text;

	snprintf(key, sizeof(key), "%s.%s", table->name, index);
	if (strcmp(key, w->index) == 0)
		return w->index_columns;
	w->index_columns[0] = '\0';
	buf_init(&text);
	buf_add_str(&text,
	    "SELECT GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', ')"
	    " FROM information_schema.statistics WHERE table_schema=DATABASE() AND table_name=");
	sql_add_text(&text, str_of(table->name));
	buf_add_str(&text, " AND index_name=");
	sql_add_text(&text, str_of(index));
	if (sql_query(w->sql, (struct str){ text.data, text.len }, &result, NULL) == 0) {
		if (result.rows == 1 && sql_cell(&result, 0, 0).data != NULL)
			snprintf(w->index_columns, sizeof(w->index_columns), "%.*s",
			    STR_ARGS(sql_cell(&result, 0, 0)));
		sql_result_free(&result);
		snprintf(w->index, sizeof(w->index), "%s", key);
	}
	buf_deinit(&text);
	return w->index_columns;
}

void
writer_refuse_entry(struct writer *w, struct entry *entry, const struct table *table)
{
	const char *columns = NULL, *reason = refusal_reason(table, w->err->code);
	struct buf text;
	char index[80];

	refusal_index(w->err, index, sizeof(index));
	if (strcmp(reason, REASON_DUPLICATE) == 0 && index[0] != '\0')
		columns = columns_of_index(w, table, index);
	buf_init(&text);
	refusal_sentence(&text, table, w->err, columns);
	w->batch->refused++;
	entry->refusal = (struct refusal){ .reason = reason,
		.code = w->err->code,
		.of_write = true,
		.text = arena_copy(&w->plan->arena, text.data, text.len) };
	buf_deinit(&text);
}
