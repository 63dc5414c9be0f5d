#ifndef WORKER_READ_BACK_H
#define WORKER_READ_BACK_H

#include "worker/batch.h"

/*
 * Mode populate writes a row as it is, not as a change would have it: the rows of a batch are read by
 * its own transaction, after the last write and before COMMIT, so that value and version are of one
 * moment and nobody else's write is between them.  Here is what every store and every cache must agree on:
 * which rows are read, and what of them may be written into the cache.
 * Thread: the batch's.
 */
struct row_now {
	struct str value; /* of the batch's arena `now` */
	uint64_t version;
};

/* Nothing was read of any row: what an earlier try read may never have been committed. */
void read_back_forget(struct batch *batch);

/* Is the row to be read?  To be asked behind the last write, when its refusals are known. */
bool read_back_wants(const struct touched *row);

/* What was read of the row, if it may be written where this is told; NULL: the key is invalidated.  Not
 * for the unversioned form, not below the told version, not for a deletion that stands. */
const struct row_now *read_back_of(const struct touched *row, const struct told *told);

#endif
