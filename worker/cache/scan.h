#ifndef WORKER_CACHE_SCAN_H
#define WORKER_CACHE_SCAN_H

#include "common/redis.h"
#include "worker/cache/cache.h"
#include "worker/cache/untouched.h"

/*
 * Mode scan: keys found by a pattern, in passes over the whole key space, beside the rounds and on a
 * connection of its own, so that no batch waits for it.
 *
 * A pass takes all patterns that wait when it begins; one that comes meanwhile waits for the next,
 * since SCAN promises only what was there from its beginning to its end.  Passes are numbered; a
 * pattern is done with when the pass is that scan_add told.  A step is one SCAN of `scan.step` keys,
 * TYPE of those that match and UNLINK of what is no stream; steps are as far apart as
 * `scan.max_keys_per_second` says, over all workers.  After a lost connection the pass goes on where
 * it was if the server is the same process (run_id), else it begins anew.  Where patterns wait beyond
 * `scan.max_patterns` the worker stops reading lanes that have some.
 * Thread: its worker's.
 */
struct scan;

/* All is borrowed; the counters are cache->counters. */
struct scan *scan_new(struct cache *cache, const struct config *config,
    const struct redis_options *options, const struct untouched *untouched);
void scan_free(struct scan **scan);

/* Remember a pattern (copied); the number of the pass with whose end it is done. */
uint64_t scan_add(struct scan *scan, const struct config_table *table, struct str pattern);

/* Go on without waiting, at most one step.  Failures are logged and tried again. */
void scan_work(struct scan *scan);

/* Passes that are through, whether more patterns wait than may, what to poll and for how long. */
void scan_show(const struct scan *scan, struct cache_scan *out);

#endif
