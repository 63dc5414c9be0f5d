#ifndef WORKER_STORE_ROW_READ_H
#define WORKER_STORE_ROW_READ_H

#include "worker/store/rows_writer.h"

/*
 * The rows of a batch as they are before and after it is written, for cache keys that need them
 * (key_template.from_row), inside its transaction.  Before: locked, all in the order of their primary
 * keys, so that what is read is what is changed.  After: what MySQL made of it, increments, defaults,
 * stamped versions and generated columns included.
 *
 * A batch of tables without such templates has none, and nothing is asked.
 *
 * Limit: a row that another session inserts between the two has no image before, since what isn't
 * there can't be locked.
 */
struct row_read {
	const struct touched *row;
	const struct str *before, *after; /* by the table's `reads`; NULL: there was none */
};

struct row_reads {
	struct row_read *rows;
	struct step *steps;   /* the same, as steps that only name a key */
	struct step **order;  /* those that name one, sorted by table and key */
	struct shape *shapes; /* by place in the schema's tables */
	unsigned count, ordered;
};

void row_reads_init(struct row_reads *reads, const struct batch *batch);
void row_reads_deinit(struct row_reads *reads);

/* WRITTEN or STOPPED. */
enum outcome row_reads_before(struct writer *w, struct row_reads *reads);
enum outcome row_reads_after(struct writer *w, struct row_reads *reads);

/* The table's `reads` in one row of what statement_add_read asked for. */
const struct str *row_read_values(struct arena *arena, const struct table *table,
    const struct sql_result *result, size_t row);

/* For steps that only name a row: qsort's order by table and key, and how many of those sorted so, from
 * the first on, may share a SELECT. */
int row_read_compare(const void *left, const void *right);
unsigned row_read_same_table(struct step *const *steps, unsigned count);

/* What it comes to, into batch->owed; after the last refusal is known. */
void row_reads_owe(const struct row_reads *reads, struct batch *batch);

#endif
