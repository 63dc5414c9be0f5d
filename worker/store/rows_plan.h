#ifndef WORKER_STORE_ROWS_PLAN_H
#define WORKER_STORE_ROWS_PLAN_H

#include "common/arena.h"
#include "common/buf.h"
#include "worker/store/rows.h"
#include "worker/store/statement.h"

/*
 * The steps of a batch in the order they are written, and the first statements' text.  It is the
 * batch's `prepared`, so that a batch that has to be tried again needs neither sorting nor text
 * again.
 *
 * Rounds ascending; in a round first the deletions in tables without foreign keys, then upserts and
 * updates, parents before children, then the other deletions, children first.  In between by shape
 * and form, then by key: all our sessions take their row locks in one order.
 */
struct rows_slice {
	unsigned round, from, count; /* of order */
	enum statement_form form;
};

struct rows_text {
	unsigned from, count; /* of order */
	size_t offset, len;   /* of text */
};

struct rows_plan {
	struct arena arena; /* the sentences of refusals, as long as the batch may ask for them */
	struct step **order;
	struct step **scratch; /* the same length, for parts of order */
	unsigned count;
	struct rows_slice *slices;
	unsigned slice_count;
	struct rows_text *texts; /* ascending from */
	unsigned text_count;
	struct buf text;
	bool mariadb;
	unsigned changes; /* of the batch when this was made */
};

/* The batch's plan; made when there is none, or when the batch has grown since. */
struct rows_plan *rows_plan_of(struct batch *batch, bool mariadb);
/* The statement that begins with order + from and has at most count steps, if it was built; else
 * NULL. */
const struct rows_text *rows_plan_text(const struct rows_plan *plan, struct step *const *steps,
    unsigned count);

/* The order in which all our sessions lock the rows of a table; of two steps of one table. */
int rows_compare_keys(const struct step *a, const struct step *b);

/* How many steps may share a statement with the first of them. */
unsigned rows_plan_share(struct step *const *steps, unsigned count,
    const struct rows_limits *limits);

#endif
