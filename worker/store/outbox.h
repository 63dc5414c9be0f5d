#ifndef WORKER_STORE_OUTBOX_H
#define WORKER_STORE_OUTBOX_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/batch.h"
#include "worker/letter.h"
#include "worker/store/ledger.h"

/*
 * sluice_outbox: the cache keys (and versions) of a committed batch that could not be derived again
 * after a crash, since they come from rows as they were.  One row per lane and batch, written by the
 * batch's own transaction, and in several parts where it is larger than a packet takes; deleted by the
 * transaction that records a `done` at or behind it.  A row of letter 0 stands for the entries behind
 * the row before it up to its position; any other for the dead letters of one step, by the first.
 *
 * Nothing here ends the transaction it runs in, but for outbox_recall and outbox_count.
 */

/* The owed keys of each lane that the batch moves, or (list: letters that replay) of its one lane;
 * sets batch_lane.outboxed, or list->outbox. */
int outbox_write(struct sql *sql, struct batch *batch, struct letter_list *list, size_t bytes_max,
    struct err *err);

/* What the lanes of these steps no longer need.  Asks nothing where lane->outbox says that there is
 * none or `done` stays. */
int outbox_trim(struct sql *sql, const struct ledger_step *steps, size_t count, struct err *err);

/* See store.h.  Keys of tables or templates that the configuration no longer has are left alone. */
int outbox_recall(struct sql *sql, const struct config *config, struct batch *batch,
    struct letter_list *list, struct err *err);

/* The letters' keys are gone from the cache; asks nothing where list->outbox says there are none. */
int outbox_close(struct sql *sql, const struct letter_list *list, struct err *err);

/* Rows that wait for these lanes. */
int outbox_count(struct sql *sql, struct lane **lanes, size_t count, uint64_t *rows,
    struct err *err);

/* ---- its two columns ---- */

/* Append one key: to *keys its table, template and text, each with its length; to *versions what is
 * told of it, in a line. */
void outbox_add(struct buf *keys, struct buf *versions, const struct owed *owed);
/* All of them, added to *list.  False: somebody has edited it; what comes before was added. */
bool outbox_parse(const struct config *config, struct str keys, struct str versions,
    struct owed_list *list);

#endif
