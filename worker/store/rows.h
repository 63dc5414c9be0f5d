#ifndef WORKER_STORE_ROWS_H
#define WORKER_STORE_ROWS_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/batch.h"
#include "worker/store/store.h"

/*
 * The rows of a batch inside an open transaction: folded, in rounds, many to a statement; or one by
 * one in lane order where the server refused something.
 *
 * The fast way: per round, the steps grouped by shape, sorted by key, cut by rows, bytes and
 * placeholders.  A refused statement (data error) is halved until the refused step stands alone;
 * its bucket's changes from step->first_change on are then applied one by one behind savepoints,
 * and what is refused marks its entry (entry->refusal).  Where one row's refusal can depend on
 * another's row, or an entry holds several changes, the answer is WRITE_ONE_BY_ONE: the caller
 * rolls back and everything is applied entry by entry in lane order, which is the law itself.
 *
 * After WRITE_OK each refused entry has its refusal, batch->owed the keys that need the rows
 * (row_read.h), and touched->now what mode populate writes (row_now.h); the caller writes the dead letters and the outbox.
 */
struct rows_limits {
	unsigned rows_max;    /* a statement */
	size_t bytes_max;     /* a statement; from max_allowed_packet */
	size_t now_bytes_max; /* of a batch, what is kept of the rows that are read back */
	int lock_wait_ms;
	int foreign_key_wait_ms;
	size_t table_count;
	const struct config *config; /* which lanes may bring a parent row; NULL: any may */
};

/* Statements of round 0 built ahead; owned by the batch until rows_forget. */
void rows_prepare(struct batch *batch, const struct rows_limits *limits, bool mariadb);
void rows_forget(struct batch *batch);

enum write_result rows_write(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct write_report *report, struct err *err);

/* The same for the letters of a batch that replays, one by one: those refused again are marked, and
 * those behind them in one of their keys stay. */
enum write_result rows_write_letters(struct sql *sql, struct batch *batch,
    const struct rows_limits *limits, struct write_report *report, struct err *err);

/* A locking read with NOWAIT over the rows of each lane whose lane->probe is set: lanes whose rows
 * are locked get leave_why LANE_WHY_ROW_LOCK (then WRITE_LEAVE). */
enum write_result rows_probe(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct err *err);

#endif
