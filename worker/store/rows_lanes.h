#ifndef WORKER_STORE_ROWS_LANES_H
#define WORKER_STORE_ROWS_LANES_H

#include "worker/store/rows_writer.h"

/*
 * Lanes that must leave a batch so that the others can go on: each gets leave_why and, where it is
 * known, leave_at (worker/batch.h).
 */

/* Lanes with a change of this table leave at its first entry, for this error; 0: there is none. */
unsigned lanes_leave_table(struct batch *batch, const struct table *table, const struct err *err);

/*
 * A lock wait timed out: whose?  The lanes whose rows are locked leave; where none is, it was a lock
 * that no reading of our rows meets (another row's unique value, a parent, a gap, what a trigger
 * touches), and each lane's part of the statement is tried by itself.  WRITE_LEAVE, or WRITE_ERROR when
 * nothing is locked any more.  The transaction must be rolled back.
 */
enum write_result lanes_leave_locked(struct writer *w);
/* Is it the code of a lock that was waited for in vain, or not waited for (NOWAIT)? */
bool is_lock_wait(int code);
/* Look at the lanes with lane->probe (all == false) or at all lanes that write. */
enum write_result lanes_probe(struct writer *w, bool all);

#endif
