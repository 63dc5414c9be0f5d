#ifndef WORKER_WORKER_BATCHES_H
#define WORKER_WORKER_BATCHES_H

#include "worker/worker.h"

/*
 * The three batches of a worker (filling, writing, invalidating): set up, emptied, resolved again.
 * Thread: the worker's.
 */

/* A batch that is neither being filled, written nor invalidated; NULL: none. */
struct batch *worker_spare(struct worker *w);
/* Give back what a batch holds and empty it. */
void worker_empty(struct worker *w, struct batch *b);
/* May a batch be written now?  max_rows_per_second is of the process; each worker has its share. */
bool worker_rate_allows(struct worker *w);
/* All keys of this lane's entries are answered, and of what stands before them. */
void worker_answer(struct lane *lane, const struct batch_lane *bl);
/* Tables are freed and made anew: everything that points to one is resolved again. */
int worker_load_schema(struct worker *w, struct err *err);

#endif
