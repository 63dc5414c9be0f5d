#ifndef WORKER_CACHE_FLUSH_H
#define WORKER_CACHE_FLUSH_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/redis.h"
#include "config/config.h"

/*
 * Emptying the cache (on_cache_lost: flush): FLUSHDB of the configured database, nothing else of the
 * server.  Whatever the configuration calls it, a database that holds a lane's stream, the key that
 * says we were there, or dead letters is never emptied: that is looked for first, on this very
 * connection.  Announced like a key, once, with reason `flushed` and neither table nor key.
 *
 * Nothing may be pending; waits as long as the connection's time-out for each answer.  Replies live in
 * *a.  0: it is empty.  -1: lost (the connection is closed), or refused and still open: not allowed, or
 * something of a lane is there.
 */
int flush_cache(struct redis *redis, struct arena *a, const struct config *config, int timeout_ms,
    struct buf *message, struct err *err);

#endif
