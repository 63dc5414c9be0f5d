#ifndef WORKER_STORE_ROWS_WRITER_H
#define WORKER_STORE_ROWS_WRITER_H

#include "worker/store/rows.h"
#include "worker/store/rows_plan.h"

/*
 * One rows_write in progress: what its parts (rows.c, rows_writer.c, rows_one_by_one.c,
 * rows_lanes.c) share.  Lives on the stack of rows_write; borrows all but `text`.
 */
struct writer {
	struct sql *sql;
	struct batch *batch;
	const struct rows_limits *limits;
	struct write_report *report;
	struct err *err; /* REFUSED: why */
	struct rows_plan *plan;
	struct buf text;	  /* of the statement being sent */
	struct step *const *sent; /* its steps */
	unsigned sent_count;
	bool seeking;		  /* only who is locked: a lock wait stops, and is in err */
	enum write_result result; /* STOPPED: what rows_write answers */
	struct step *refused, **refused_end; /* by next_written, in the order met */
	struct parked blocked;		     /* one by one: keys of what was refused so far */
	char index[160],
	    index_columns[256]; /* the last duplicate's, so that few questions are asked */
};

enum outcome {
	OUTCOME_WRITTEN,
	OUTCOME_REFUSED, /* a data error in w->err; the statement is undone */
	OUTCOME_STOPPED	 /* nothing more can be done; w->result */
};

void writer_init(struct writer *w, struct sql *sql, struct batch *batch,
    const struct rows_limits *limits, struct write_report *report, struct err *err);
void writer_deinit(struct writer *w);

/* A statement about the table of `step` failed, with w->err: what now? */
enum outcome writer_judge(struct writer *w, const struct step *step);
enum outcome writer_stop(struct writer *w, enum write_result result);

/* Write one step that shares nothing: REFUSED when the server refuses it. */
enum outcome writer_write_one(struct writer *w, struct step *step);
/*
 * Write steps of one slice, many to a statement; a refused statement is halved.  A step refused for
 * itself is put on w->refused and its bucket marked; where that would not be the law the answer is
 * STOPPED with WRITE_ONE_BY_ONE.
 */
enum outcome writer_write(struct writer *w, struct step **steps, unsigned count);

/* To be applied: not before the ledger's position, and not refused by decoding or resolving. */
static inline bool
entry_is_applied(const struct entry *entry)
{
	return !entry->done_before && (entry->refusal.reason == NULL || entry->refusal.of_write);
}

/* w->err becomes the entry's refusal. */
void writer_refuse_entry(struct writer *w, struct entry *entry, const struct table *table);

#endif
