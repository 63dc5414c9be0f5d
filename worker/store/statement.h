#ifndef WORKER_STORE_STATEMENT_H
#define WORKER_STORE_STATEMENT_H

#include "common/buf.h"
#include "worker/batch.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * SQL text from steps.  Nothing is sent here and nothing is decided but the form.
 *
 * Two ways lead a step into its table, because INSERT … ON DUPLICATE KEY UPDATE is refused even
 * when the row exists: for an omitted NOT NULL column, a CHECK, a negative increment on UNSIGNED;
 * and with a second UNIQUE index it would change a row of another key.
 *	UPSERT	INSERT … ON DUPLICATE KEY UPDATE, where none of that can be
 *	UPDATE	UPDATE … JOIN, then, for upserts, a plain INSERT of the rows that are missing
 * Several rows of an UPDATE, DELETE or SELECT are a derived table v of literals that drives the
 * join, so that each row is one look-up by primary key and no other row is ever locked.  A single
 * row is written with plain literals.
 *
 * Values never change on the way.  Only integers are bare literals in v (a column of v has one type
 * for all its rows; of integers it is exact), all else is quoted, and kinds never mix in a column:
 * a statement ends before the step that would.
 */
enum statement_form {
	STATEMENT_UPSERT,
	STATEMENT_UPDATE,
	STATEMENT_UPDATE_GUARDED, /* with the lowest and highest running sum */
	STATEMENT_DELETE
};

enum statement_form statement_form(const struct step *step);

/* An update or upsert of no column: a row that exists stays as it is, and no trigger wants to
 * know. */
bool statement_sets_nothing(const struct step *step);

/* Created from 0, would one of the step's running sums be out of its column's range? */
bool statement_sums_overflow(const struct step *step);

/* Steps of one shape and form, of different rows; borrowed. */
struct statement {
	struct step *const *steps;
	unsigned count;
	size_t bytes_max;
	bool mariadb;
};

/*
 * Each adds one statement to *out and returns how many of the steps are in it, from the first on;
 * 0 and nothing added: the first step alone would be longer than bytes_max.
 */
unsigned statement_add(struct buf *out, const struct statement *s, enum statement_form form);
/* Plain, for rows that are missing. */
unsigned statement_add_insert(struct buf *out, const struct statement *s);
/* The index in s->steps of each row that is missing. */
unsigned statement_add_missing(struct buf *out, const struct statement *s);
/* The index in s->steps of each row that is there, and the table's `reads` of it; locking where `lock`
 * says so.  Columns that are only compared (no template names them) may come as a hash. */
unsigned statement_add_read(struct buf *out, const struct statement *s, bool lock);
/* The index in s->steps of each row that is there, and all that SELECT * gives of it. */
unsigned statement_add_read_all(struct buf *out, const struct statement *s);
/* A locking read that does not wait.  Only table and key of the steps matter. */
unsigned statement_add_lock(struct buf *out, const struct statement *s);

#endif
