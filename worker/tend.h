#ifndef WORKER_TEND_H
#define WORKER_TEND_H

#include "worker/worker.h"

/*
 * Tending: everything a worker does about its lanes beside the data path.  Becoming their owner,
 * comparing ledger and source when it does, orders, alarms, the notice board, and what to believe
 * after a lost connection.
 */

/* Once a second: take free lanes, wake held ones, obey orders, record done, look and trim. */
void tend_lanes(struct worker *w);

/*
 * After the store was opened again: own every lane anew, read its row and settle what became of the
 * batch being written.  A batch whose COMMIT turns out to have happened is marked WRITTEN; one that
 * did not is kept for the next try; where another owner wrote meanwhile everything read is dropped
 * and the lanes start from the ledger.  -1: the store is gone again.
 */
int tend_recover(struct worker *w, struct err *err);

/* The compare-and-set found another place: read the rows, drop what was read, go on from there. */
int tend_mismatch(struct worker *w, struct err *err);

/* Look at every lane of ours after the source was opened again. */
int tend_source_opened(struct worker *w, struct err *err);

/* Record `answered` as done where it is ahead.  -1: the store failed. */
int tend_record(struct worker *w, struct err *err);

/* Let lanes go that are being left for good (shutdown). */
void tend_leave(struct worker *w);

/* Hold or halt the lanes that the store said must leave, and take them out of the batches. */
void tend_leaving(struct worker *w, struct batch *b);

/* Halt a lane, remember it in the ledger, log it. */
void tend_halt(struct worker *w, struct lane *lane, const char *why, const char *text);

#endif
