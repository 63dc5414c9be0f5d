#ifndef WORKER_WORKER_CONFIRM_H
#define WORKER_WORKER_CONFIRM_H

#include "worker/worker.h"

/*
 * wait_replicas: what was read must have arrived at so many replicas of Redis before it is written, so
 * that the promotion of one forgets nothing that MySQL has.  Asked before the transaction begins: no row
 * is locked meanwhile.  False: not now; the batch is tried again at w->confirm_ms, with the back-off of
 * the breaker, and the source is opened where it was lost.
 */
bool worker_confirmed(struct worker *w, const struct batch *b);

#endif
