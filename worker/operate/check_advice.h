#ifndef WORKER_OPERATE_CHECK_ADVICE_H
#define WORKER_OPERATE_CHECK_ADVICE_H

#include "common/arena.h"
#include "common/redis.h"
#include "worker/operate/check.h"

/* Settings of the cache server that are worth to be changed, each as a hint with the line to add to
 * its configuration.  same: it holds streams too, which must not be evicted.  Nothing may be pending. */
void check_advice(struct check *c, struct redis *redis, struct arena *a, bool same);

#endif
