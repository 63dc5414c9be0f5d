#ifndef WORKER_OPERATE_CACHE_WATCH_H
#define WORKER_OPERATE_CACHE_WATCH_H

#include "common/redis.h"
#include "common/str.h"
#include "config/config.h"
#include "worker/operate/watched.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How the cache is, as far as it can be told cheaply: one INFO and one PING each ten seconds, and a
 * slow walk over the key space, CACHE_KEYS_PER_TICK keys a second at most, that finds large keys and
 * keys of ours without a TTL.  Never KEYS, never MONITOR.
 *
 * The hit rate is INFO's keyspace_hits and _misses of the last ten seconds, without our own reads: the
 * refresher's and the verifier's looks, this walk's, and where the streams are on that server each XREAD
 * for its lanes.
 *
 * Another run id or replication id than at the look before: the cache restarted, failed over or was
 * replaced, and may hold what had been invalidated since its last save (without an append-only file),
 * or since that look.  That is logged, counted, and a warning for an hour.
 * What is denied is done without, and said once.  Thread: the monitor's; the view is read by all.
 */
enum { CACHE_KEYS_PER_TICK = 50 };

struct cache_view {
	_Atomic int64_t seen_wall_ms; /* 0: never */
	_Atomic uint64_t used_bytes, max_bytes;
	_Atomic uint64_t evicted, expired;	   /* since the server's start */
	_Atomic uint64_t hits, misses;		   /* since the server's start, by others */
	_Atomic int hit_permille;		   /* of the last look; -1: too few reads to tell */
	_Atomic uint64_t replicas, replica_lag_ms; /* the one furthest behind */
	_Atomic uint64_t min_replicas, good_replicas;
	_Atomic int persistence_failed; /* the last save or rewrite */
	_Atomic uint64_t ping_us;
	_Atomic uint64_t keys_walked, walks; /* in this walk over all keys; whole walks */
	_Atomic uint64_t without_ttl;	     /* of our prefixes, in the last whole walk */
	_Atomic uint64_t largest_bytes;	     /* of any key, in the last whole walk */
	_Atomic uint64_t large;		     /* keys above LARGE_BYTES in it */
	_Atomic uint64_t restarts;	     /* seen: other run ids and replication ids */
	_Atomic int64_t restart_wall_ms, lost_from_wall_ms; /* the last of them, and its window */
};

enum cache_warning {
	CACHE_WARN_HIT_RATE,	 /* below 80 % */
	CACHE_WARN_MEMORY,	 /* above 80 % of maxmemory */
	CACHE_WARN_REPLICA_LAG,	 /* above 10 s */
	CACHE_WARN_MIN_REPLICAS, /* fewer than min-replicas-to-write */
	CACHE_WARN_PERSISTENCE,	 /* the last save failed */
	CACHE_WARN_SLOW,	 /* a PING above 100 ms */
	CACHE_WARN_LARGE_KEYS,	 /* above 1 MiB */
	CACHE_WARN_WITHOUT_TTL,	 /* keys under our prefixes that never expire */
	CACHE_WARN_RESTARTED,	 /* within the last hour; invalidations may be lost */
	CACHE_WARNINGS
};
const char *cache_warning_name(enum cache_warning warning);
/* Does it hold?  The sentence goes to out (of size bytes) when it does. */
bool cache_warning(const struct cache_view *view, enum cache_warning warning, char *out, int size);

struct cache_watch {
	const struct watched *watched;
	const struct config *config;
	struct cache_view *view;
	int64_t asked_ms;
	/* of the look before */
	char run_id[48], replication_id[48];
	int64_t seen_wall_ms, saved_wall_ms;
	bool appends;
	uint64_t hits_before, misses_before, own_before, own_reads, stream_reads;
	uint64_t own_misses_before;
	bool counted;
	/* the walk */
	char cursor[24];
	uint64_t large, largest, without_ttl, walked;
	int64_t begun_ms;
	bool denied;
};
void cache_watch_init(struct cache_watch *w, const struct watched *watched,
    struct cache_view *view);
/* Once a second, on an open connection with nothing pending. */
void cache_watch_turn(struct cache_watch *w, struct redis *redis);
/* An INFO reply: for the unit test. */
void cache_watch_info(struct cache_watch *w, struct str info);
/* Is the key rendered by a template that should expire (delete, versioned)? */
bool cache_watch_is_ours(const struct config *config, struct str key);

#endif
