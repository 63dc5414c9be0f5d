#ifndef TESTS_INTEGRATION_RACE_PLAY_H
#define TESTS_INTEGRATION_RACE_PLAY_H

#include "common/random.h"
#include "common/redis.h"
#include "worker/batch.h"
#include "worker/cache/cache.h"

#include <stdio.h>

/*
 * Random interleavings of readers, writers, workers, refreshers, evictions, expiries, redeliveries and
 * failovers around one row and its cache key.  Real: the function library on a real server, whose clock
 * is ours (clock_shift.c), and the worker's invalidator.  In memory: the row, the log of its changes
 * and what each process is about to do.
 *
 * The oracle.  A change is told once the worker has the answer of its invalidation.  A cached value
 * that is read afterwards must be of that version or newer; once all changes up to its version are
 * told it must be what the row was then; one whose write was refused must be gone.
 */
enum { VERSIONS_MAX = 128, ACTORS = 4, ZOMBIES = 3, BATCH_MAX = 4, STEPS = 80 };
enum {
	LEASE_MS = 10000,
	TTL_MS = 100000,
	MARKER_MS = 60000,
	ABSENT_MS = 2000,
	QUARANTINE_MS = 5000
};

/* What a family of schedules is made of. */
struct family {
	const char *name, *text;
	enum config_mode mode;
	bool puts;	  /* the application puts values; others write past it */
	bool unversioned; /* the row's version says nothing */
	bool places;	  /* there is none: readers fill with the floor */
	bool deletes;
	bool evicts;
	bool sleeps;   /* of populate: workers that read a row and write it much later */
	int lag_ms;    /* loaders read a replica so far behind; 0: the primary */
	bool failover; /* the cache falls back to an older state, and what is lost is told again */
	bool bounded;  /* old values must show, within the bound that the text says */
};

struct row {
	unsigned version; /* 0: there never was one */
	bool there;
	unsigned a, b; /* the versions that set these columns */
};

/* One change, as the log has it. */
struct event {
	unsigned version, a, b; /* 0: that column stays */
	bool deleted, poison;
	unsigned server; /* whose log has it, at this place and time */
	uint64_t place, at_ms;
};

/* What a transaction read back of the row, and when. */
struct reading {
	bool there;
	struct row row;
	int64_t at_us; /* by the worker's clock */
};

enum { LANE_ASKED, LANE_OBSERVED, LOGS };
struct event_log {
	struct event events[VERSIONS_MAX];
	unsigned count, written, done;
	unsigned begun; /* some worker has told up to here, answered or not */
};

/* A loader between its look at the cache, its SELECT and its write. */
struct actor {
	enum { IDLE, HAS_LEASE, HAS_ROW } at;
	bool refresher;
	char token[32], stamp[32], floor[32];
	struct row row;
};

struct fate {
	struct row row; /* after it, where it was committed */
	int64_t at_ms;	/* of the commit */
	bool exists, committed, refused, told;
};

struct world {
	const struct family *family;
	bool plain, trace;
	uint64_t seed;
	struct random random;
	char key[64], number[32];
	int64_t now_ms; /* the server's, from our own shift */

	struct row row;
	struct fate fates[VERSIONS_MAX];
	unsigned last_version, told; /* the highest that was told */
	unsigned server;	     /* that has the row now, and how far its log is */
	unsigned servers;	     /* that had it before, as bits */
	uint64_t place;
	struct event_log logs[LOGS];
	struct actor actors[ACTORS];
	struct event zombies[ZOMBIES][BATCH_MAX]; /* batches of workers that sleep */
	struct reading zombie_read[ZOMBIES];
	unsigned zombie_count[ZOMBIES];
	struct row app; /* what the application is about to put a change of */
	char app_base[32];
	bool app_has;

	char snapshot[4096];
	size_t snapshot_len;
	int64_t snapshot_ttl, snapshot_ms;
	unsigned snapshot_done[LOGS], replay_to[LOGS];
	bool has_snapshot, lost;

	unsigned hits, stale, in_bound;
	char why[200];
};
extern struct world world;

unsigned below(unsigned n);
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- race_cache.c: the cache as an application sees it ---- */
struct redis_reply *ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
void clock_move(int64_t ms);
void cache_evict(void);
/* What a replica has; a failover goes back to that, until what was told since is told again. */
void cache_snapshot(void);
void cache_failover(void);
void cache_see_replayed(void);
/* file holds the shift of the server's clock. */
void cache_open(int port, const char *file);
void cache_close(void);

/* ---- race_play.c ---- */
/* One schedule, into `world`.  plain: DEL and SET instead of the functions. */
void play(const struct family *family, uint64_t seed, bool plain, bool traced);
void play_open(int port, const char *file);
void play_close(void);

/* ---- race_oracle.c ---- */
/* A value came from the cache; NULL: "no such row". */
void check_value(const char *payload);

/* ---- race_worker.c ---- */
void worker_open(int port);
void worker_close(void);
/* What the transaction of these changes reads now. */
struct reading worker_read(const struct event *events, unsigned count);
/* Invalidate what these changes made stale.  read: what their transaction read; NULL: they may have been
 * told before; not answered: the worker dies before it has the answers. */
void worker_tell(const struct event *events, unsigned count, const struct reading *read,
    bool answered);

#endif
