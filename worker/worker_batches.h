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
/* Decode, resolve and fold its entries again: keys of its lanes were parked or freed. */
void worker_rebuild(struct worker *w, struct batch *b);
/*
 * Before a write: the keys of what was written before, as sluice_outbox has them, into b->owed.  list:
 * the letters of a batch that replays, else NULL.  False: the store failed.
 */
bool worker_recall(struct worker *w, struct batch *b, struct letter_list *list, struct err *err);
/* Tables are freed and made anew: everything that points to one is resolved again. */
int worker_load_schema(struct worker *w, struct err *err);
/* An entry of the batch being written was refused for a name we don't know: maybe the table changed.
 * Look again, at most every 200 ms; false: the store failed. */
bool worker_look_again(struct worker *w, struct err *err);

#endif
