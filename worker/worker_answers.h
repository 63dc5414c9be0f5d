#ifndef WORKER_WORKER_ANSWERS_H
#define WORKER_WORKER_ANSWERS_H

#include "worker/worker.h"

/*
 * The cache has answered: how far the lanes are done with, and what still waits for a pass of its
 * scan (cache.h).  Thread: the worker's.
 */

/* For the breaker, and said where it is news. */
void worker_cache_failed(struct worker *w, const struct err *err);
void worker_cache_worked(struct worker *w);

/* Every key of the batch was answered: its lanes may be done up to there, unless an earlier batch's
 * invalidations are still owed. */
void worker_invalidated(struct worker *w);

/* Let the scan go on, without waiting, and the lanes with it whose passes are through. */
void worker_scan(struct worker *w);
/* Is the lane not to be read, since too many patterns wait and some are its own? */
bool worker_scan_holds(const struct worker *w, const struct lane *lane);

#endif
