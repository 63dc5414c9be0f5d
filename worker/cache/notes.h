#ifndef WORKER_CACHE_NOTES_H
#define WORKER_CACHE_NOTES_H

#include "common/arena.h"
#include "common/err.h"
#include "common/redis.h"
#include "worker/cache/cache.h"

/*
 * How far each lane's keys are answered, kept by the cache itself: the hash `sluice:POOL:answered`, a
 * field a lane with its place.  It is written behind the answers, on a server that applies, saves and
 * replicates in order, so that whatever state the cache goes back to also says which invalidations that
 * state lacks: those behind the place it holds.
 *
 * Of streams that a consumer group reads no process owns a field: each worker has a hash of its own there,
 * `sluice:POOL:answered:NAME`, which goes NOTES_LIVE_MS after it was last written.
 *
 * A key that is gone proves nothing by itself.  FLUSHALL took the stale values along with it, and a
 * cache that evicts may have evicted it; neither leaves an old value behind.  Only on a server that is
 * another one than at the last look, and that loaded data when it started, is it lost (NOTES_LOST): those
 * data are older than our first note.
 *
 * Thread: its worker's.  No I/O waits longer than the connection's time-out.
 */
enum { NOTES_LIVE_MS = 3600000, NOTES_NAME = 17 };

struct notes {
	/* set before start; borrowed */
	struct redis *redis;
	const char *pool;
	char name[NOTES_NAME]; /* of the worker */
	int timeout_ms;

	char run_id[48], replication_id[48]; /* of the server that is connected; "": denied */
	char fine_run_id[48], fine_replication_id[48]; /* at the last look that found the key */
	bool loaded;				       /* it holds data of before its start */
};

/* After each connect: who is it?  Nothing is known where INFO is denied. */
void notes_connected(struct notes *n, struct arena *a);
/* What an INFO reply says of that; for the unit test. */
void notes_info(struct notes *n, struct str info);
/* As cache_ops.noted and cache_ops.note; replies live in *a. */
int notes_read(struct notes *n, struct arena *a, struct lane *const *lanes, size_t count,
    struct position *at, enum cache_notes *found, struct err *err);
int notes_write(struct notes *n, struct arena *a, struct lane *const *lanes, size_t count,
    const struct position *at, struct err *err);

#endif
