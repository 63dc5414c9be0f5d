#include "worker/store/row_now.h"

#include "common/clock.h"
#include "worker/cache/payload.h"
#include "worker/read_back.h"
#include "worker/store/literal.h"
#include "worker/store/row_read.h"

#include <stdlib.h>
#include <strings.h>

struct reading {
	struct writer *w;
	struct touched **rows;
	struct step *steps;   /* of rows, by the same place; they only name a key */
	struct step **order;  /* sorted by table and key */
	struct shape *shapes; /* by place in the schema's tables */
	unsigned count;
	struct buf value;
	/* of one SELECT */
	struct step *const *asked;
	unsigned used;
	size_t version; /* the column; past the last: the row has none any more */
};

/* ---- what is read ---- */

static unsigned
count_rows(struct batch *batch)
{
	unsigned wanted = 0;

	if (!schema_populates(batch->schema))
		return 0;
	for (struct touched *t = batch->touched; t != NULL; t = t->next)
		wanted += read_back_wants(t);
	return wanted;
}

static void
list_rows(struct reading *r, unsigned wanted)
{
	const struct batch *batch = r->w->batch;
	size_t tables;
	const struct table *first = schema_tables(batch->schema, &tables);

	r->rows = calloc(wanted, sizeof(struct touched *));
	r->steps = calloc(wanted, sizeof(*r->steps));
	r->order = calloc(wanted, sizeof(struct step *));
	r->shapes = calloc(tables + 1, sizeof(*r->shapes));
	CHECK(r->rows != NULL && r->steps != NULL && r->order != NULL && r->shapes != NULL);
	for (struct touched *t = batch->touched; t != NULL; t = t->next) {
		struct shape *shape = &r->shapes[t->table - first];

		if (!read_back_wants(t))
			continue;
		*shape = (struct shape){ .table = t->table, .kind = SHAPE_UPDATE };
		r->steps[r->count] = (struct step){ .shape = shape, .key = t->changes->key };
		r->order[r->count] = &r->steps[r->count];
		r->rows[r->count++] = t;
	}
	qsort(r->order, r->count, sizeof(*r->order), row_read_compare);
}

/* ---- one SELECT ---- */

static void
find_version(struct reading *r, const struct sql_result *result)
{
	const struct table *table = r->asked[0]->shape->table;

	for (r->version = 1; r->version < result->columns; r->version++) {
		if (strcasecmp(sql_column_name(result, r->version),
			table_version_column(table)->name) == 0)
			return;
	}
}

static size_t
row_bytes(const struct sql_result *result)
{
	size_t bytes = 0;

	for (size_t i = 1; i < result->columns; i++)
		bytes += sql_cell(result, result->rows - 1, i).len;
	return bytes;
}

/* Its value is kept where there is room. */
static void
keep(struct reading *r, struct touched *row, const struct sql_result *result, uint64_t version)
{
	struct arena *arena = &r->w->batch->now;
	size_t left = r->w->limits->now_bytes_max;
	struct row_now *now;

	left -= arena_bytes(arena) < left ? arena_bytes(arena) : left;
	buf_reset(&r->value);
	if (row_bytes(result) <= left)
		payload_add_row(&r->value, result, result->rows - 1, 1);
	if (r->value.len == 0 || r->value.len + sizeof(*now) > left) {
		r->w->report->not_read++;
		return;
	}
	now = arena_alloc(arena, sizeof(*now));
	*now = (struct row_now){ .value = { arena_copy(arena, r->value.data, r->value.len),
				     r->value.len },
		.version = version };
	row->now = now;
}

static void
take_row(void *arg, const struct sql_result *result)
{
	struct reading *r = arg;
	size_t row = result->rows - 1;
	uint64_t at, version;

	if (row == 0)
		find_version(r, result);
	CHECK(number_u64(sql_cell(result, row, 0), &at) && at < r->used);
	if (r->version < result->columns && sql_cell(result, row, r->version).data != NULL &&
	    number_u64(sql_cell(result, row, r->version), &version))
		keep(r, r->rows[r->asked[at] - r->steps], result, version);
}

/*
 * What the server refuses for a key's sake its halves find out; for any other reason these rows go
 * without.  A row that the client library can't hold costs the connection each time.
 */
static enum outcome
read_some(struct reading *r, struct step *const *steps, unsigned count, unsigned *used)
{
	struct writer *w = r->w;
	struct statement s = { .steps = steps,
		.count = count,
		.bytes_max = w->limits->bytes_max,
		.mariadb = w->plan->mariadb };

	buf_reset(&w->text);
	*used = r->used = statement_add_read_all(&w->text, &s);
	if (*used == 0) {
		*used = 1;
		w->report->not_read++;
		return OUTCOME_WRITTEN;
	}
	w->sent = r->asked = steps;
	w->sent_count = 0; /* none that could be written to find out who waits */
	w->report->statements++;
	if (sql_query_each(w->sql, (struct str){ w->text.data, w->text.len }, take_row, r,
		w->err) == 0)
		return OUTCOME_WRITTEN;
	if (!sql_is_open(w->sql) || w->err->class == ERR_RETRY) {
		w->batch->reads_no_rows = true;
		return writer_judge(w, steps[0]);
	}
	if (*used > 1)
		return read_some(r, steps, *used / 2, used);
	w->report->not_read++;
	return OUTCOME_WRITTEN;
}

enum outcome
row_now_read(struct writer *w)
{
	struct reading r = { .w = w };
	unsigned wanted = count_rows(w->batch), used;
	enum outcome outcome = OUTCOME_WRITTEN;

	read_back_forget(w->batch);
	w->batch->now_us = clock_us();
	if (w->batch->reads_no_rows)
		w->report->not_read += wanted;
	if (wanted == 0 || w->batch->reads_no_rows)
		return OUTCOME_WRITTEN;
	list_rows(&r, wanted);
	for (unsigned from = 0; from < r.count && outcome == OUTCOME_WRITTEN; from += used) {
		struct step *const *steps = r.order + from;

		outcome = read_some(&r, steps, row_read_same_table(steps, r.count - from), &used);
		if (outcome == OUTCOME_REFUSED)
			outcome = writer_stop(w, WRITE_ERROR);
	}
	buf_deinit(&r.value);
	free(r.rows);
	free(r.steps);
	free(r.order);
	free(r.shapes);
	return outcome;
}
