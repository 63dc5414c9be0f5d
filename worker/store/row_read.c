#include "worker/store/row_read.h"

#include "worker/store/column_check.h"
#include "worker/store/refusal.h"
#include "worker/store/row_keys.h"

#include <stdlib.h>

enum { READ_ROWS_MAX = 1000 };

static bool
is_written(const struct touched *row)
{
	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		if (!c->entry->done_before &&
		    (c->entry->refusal.reason == NULL || c->entry->refusal.of_write))
			return true;
	}
	return false;
}

int
row_read_compare(const void *left, const void *right)
{
	const struct step *a = *(struct step *const *)left, *b = *(struct step *const *)right;

	if (a->shape != b->shape)
		return a->shape < b->shape ? -1 : 1;
	return rows_compare_keys(a, b);
}

static void
add_row(struct row_reads *reads, const struct batch *batch, const struct touched *row)
{
	size_t tables;
	struct shape *shape = &reads->shapes[row->table - schema_tables(batch->schema, &tables)];
	struct step *step = &reads->steps[reads->count];

	*shape = (struct shape){ .table = row->table, .kind = SHAPE_UPDATE };
	*step = (struct step){ .shape = shape, .key = row->changes->key };
	reads->rows[reads->count++] = (struct row_read){ .row = row };
	if (!row->changes->whole_table)
		reads->order[reads->ordered++] = step;
}

void
row_reads_init(struct row_reads *reads, const struct batch *batch)
{
	size_t rows = 0, tables;

	*reads = (struct row_reads){ .count = 0 };
	if (!batch_reads_rows(batch))
		return;
	for (const struct touched *t = batch->touched; t != NULL; t = t->next)
		rows += t->table->reads_row;
	schema_tables(batch->schema, &tables);
	reads->rows = calloc(rows + 1, sizeof(*reads->rows));
	reads->steps = calloc(rows + 1, sizeof(*reads->steps));
	reads->order = calloc(rows + 1, sizeof(struct step *));
	reads->shapes = calloc(tables + 1, sizeof(*reads->shapes));
	CHECK(reads->rows != NULL && reads->steps != NULL && reads->order != NULL &&
	    reads->shapes != NULL);
	for (const struct touched *t = batch->touched; t != NULL; t = t->next) {
		if (t->table->reads_row && is_written(t))
			add_row(reads, batch, t);
	}
	qsort(reads->order, reads->ordered, sizeof(*reads->order), row_read_compare);
}

void
row_reads_deinit(struct row_reads *reads)
{
	free(reads->rows);
	free(reads->steps);
	free(reads->order);
	free(reads->shapes);
}

/* One text, as a change event of the row would have it.  SQL NULL stays NULL. */
static struct str
take_text(struct arena *arena, const struct column *column, struct str cell)
{
	struct value plain = { { NULL, 0 },
		column->kind == COLUMN_BINARY ? VALUE_BINARY : VALUE_TEXT },
		     text;
	const char *why;

	if (cell.data == NULL)
		return cell;
	plain.text = arena_str(arena, cell.data, cell.len);
	return column_check_key(column, &plain, false, arena, &text, &why) != COLUMN_REFUSED &&
		text.text.data != NULL ?
	    text.text :
	    plain.text;
}

const struct str *
row_read_values(struct arena *arena, const struct table *table, const struct sql_result *result,
    size_t row)
{
	struct str *values = arena_alloc(arena, (table->read_count + 1) * sizeof(*values));

	for (unsigned i = 0; i < table->read_count; i++)
		values[i] = take_text(arena, &table->columns[table->reads[i]],
		    sql_cell(result, row, i + 1));
	return values;
}

static void
take_rows(struct writer *w, struct row_reads *reads, struct step *const *steps, unsigned used,
    bool before, const struct sql_result *result)
{
	uint64_t at;

	for (size_t i = 0; i < result->rows; i++) {
		struct row_read *row;
		const struct str *values;

		CHECK(number_u64(sql_cell(result, i, 0), &at) && at < used);
		row = &reads->rows[steps[at] - reads->steps];
		values = row_read_values(&w->plan->arena, row->row->table, result, i);
		if (before)
			row->before = values;
		else
			row->after = values;
	}
}

unsigned
row_read_same_table(struct step *const *steps, unsigned count)
{
	unsigned n = 1;

	while (n < count && n < READ_ROWS_MAX && steps[n]->shape == steps[0]->shape)
		n++;
	return n;
}

/* A key that the server can't even compare names no row; which one it is the halves find out. */
static enum outcome
read_some(struct writer *w, struct row_reads *reads, struct step *const *steps, unsigned count,
    bool before, unsigned *used)
{
	struct statement s = { .steps = steps,
		.count = count,
		.bytes_max = w->limits->bytes_max,
		.mariadb = w->plan->mariadb };
	struct sql_result result;

	buf_reset(&w->text);
	*used = statement_add_read(&w->text, &s, before);
	if (*used == 0) {
		*used = 1;
		return OUTCOME_WRITTEN;
	}
	w->sent = steps;
	w->sent_count = 0; /* none that could be written to find out who waits */
	w->report->statements++;
	if (sql_query(w->sql, (struct str){ w->text.data, w->text.len }, &result, w->err) == 0) {
		take_rows(w, reads, steps, *used, before, &result);
		sql_result_free(&result);
		return OUTCOME_WRITTEN;
	}
	if (!sql_is_open(w->sql) ||
	    (w->err->class != ERR_POISON && !refusal_is_of_key(w->err->code)))
		return writer_judge(w, steps[0]);
	if (*used == 1)
		return OUTCOME_WRITTEN;
	return read_some(w, reads, steps, *used / 2, before, used);
}

static enum outcome
read_all(struct writer *w, struct row_reads *reads, bool before)
{
	enum outcome outcome = OUTCOME_WRITTEN;
	unsigned used;

	for (unsigned from = 0; from < reads->ordered && outcome == OUTCOME_WRITTEN; from += used) {
		struct step *const *steps = reads->order + from;

		outcome = read_some(w, reads, steps,
		    row_read_same_table(steps, reads->ordered - from), before, &used);
		if (outcome == OUTCOME_REFUSED)
			outcome = writer_stop(w, WRITE_ERROR);
	}
	return outcome;
}

enum outcome
row_reads_before(struct writer *w, struct row_reads *reads)
{
	return read_all(w, reads, true);
}

enum outcome
row_reads_after(struct writer *w, struct row_reads *reads)
{
	return read_all(w, reads, false);
}

void
row_reads_owe(const struct row_reads *reads, struct batch *batch)
{
	for (unsigned i = 0; i < reads->count; i++)
		row_keys_owe(&batch->owed, reads->rows[i].row, reads->rows[i].before,
		    reads->rows[i].after);
}
