#include "worker/store/rows.h"

#include "worker/store/row_now.h"
#include "worker/store/row_read.h"
#include "worker/store/rows_lanes.h"
#include "worker/store/rows_one_by_one.h"
#include "worker/store/rows_writer.h"

/* The slice's steps whose bucket is still written this way. */
static struct step **
unrefused(struct writer *w, const struct rows_slice *slice, unsigned *count)
{
	struct step **steps = w->plan->order + slice->from, **left = w->plan->scratch + slice->from;

	*count = slice->count;
	if (w->refused == NULL)
		return steps;
	*count = 0;
	for (unsigned i = 0; i < slice->count; i++) {
		if (!steps[i]->bucket->refused)
			left[(*count)++] = steps[i];
	}
	return left;
}

/* A refusal that may depend on other buckets' rows was answered with ONE_BY_ONE before: the refused
 * buckets are independent, whatever their order. */
static enum outcome
write_folded(struct writer *w)
{
	enum outcome outcome = OUTCOME_WRITTEN;

	for (unsigned i = 0; i < w->plan->slice_count && outcome == OUTCOME_WRITTEN; i++) {
		unsigned count;
		struct step **steps = unrefused(w, &w->plan->slices[i], &count);

		if (count > 0)
			outcome = writer_write(w, steps, count);
	}
	for (struct step *s = w->refused; s != NULL && outcome == OUTCOME_WRITTEN;
	    s = s->next_written)
		outcome = one_by_one_bucket(w, s);
	return outcome;
}

/*
 * A cascading foreign key changes rows of one table with those of another, and so may a trigger.  The
 * fold keeps the order within an ordered table, but not between two tables.
 */
static bool
is_entangled(const struct rows_plan *plan)
{
	const struct table *first = NULL, *cascading = NULL;
	bool several = false, writes_others = false;

	for (unsigned i = 0; i < plan->slice_count; i++) {
		const struct table *table = plan->order[plan->slices[i].from]->shape->table;

		if (first == NULL)
			first = table;
		several |= table != first;
		writes_others |= table->writes_others;
		if (!table->ordered || !table->has_foreign_key || table == cascading)
			continue;
		if (cascading != NULL)
			return true;
		cascading = table;
	}
	return several && writes_others;
}

static enum outcome
write_steps(struct writer *w)
{
	if (!w->batch->one_by_one && is_entangled(w->plan))
		return writer_stop(w, WRITE_ONE_BY_ONE);
	return w->batch->one_by_one ? one_by_one_batch(w) : write_folded(w);
}

typedef enum outcome write_function(struct writer *w);

/* With the rows before and after, where keys or their values want them. */
static enum write_result
write_between_reads(struct writer *w, write_function *write)
{
	struct row_reads reads;
	enum outcome outcome;

	row_reads_init(&reads, w->batch);
	outcome = row_reads_before(w, &reads);
	if (outcome == OUTCOME_WRITTEN)
		outcome = write(w);
	CHECK(outcome != OUTCOME_REFUSED);
	if (outcome == OUTCOME_WRITTEN)
		outcome = row_reads_after(w, &reads);
	if (outcome == OUTCOME_WRITTEN)
		outcome = row_now_read(w);
	if (outcome == OUTCOME_WRITTEN)
		row_reads_owe(&reads, w->batch);
	row_reads_deinit(&reads);
	writer_deinit(w);
	return outcome == OUTCOME_WRITTEN ? WRITE_OK : w->result;
}

enum write_result
rows_write(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct write_report *report, struct err *err)
{
	struct writer w;

	writer_init(&w, sql, batch, limits, report, err);
	return write_between_reads(&w, write_steps);
}

enum write_result
rows_probe(struct sql *sql, struct batch *batch, const struct rows_limits *limits, struct err *err)
{
	struct write_report report = { 0 };
	enum write_result result;
	struct writer w;

	writer_init(&w, sql, batch, limits, &report, err);
	result = lanes_probe(&w, false);
	writer_deinit(&w);
	return result;
}

enum write_result
rows_write_letters(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct write_report *report, struct err *err)
{
	struct writer w;

	writer_init(&w, sql, batch, limits, report, err);
	return write_between_reads(&w, one_by_one_letters);
}
