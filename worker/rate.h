#ifndef WORKER_RATE_H
#define WORKER_RATE_H

#include "worker/worker.h"

/* max_rows_per_second: of the process, so each worker has its share.  Thread: the worker's. */

/* The most rows of one batch: under a limit what a quarter of a second allows, not seconds' worth. */
unsigned rate_rows_max(const struct worker *w);
/* May a batch be written now? */
bool rate_allows(struct worker *w);

#endif
