#ifndef WORKER_CACHE_CACHE_H
#define WORKER_CACHE_CACHE_H

#include "common/err.h"
#include "worker/batch.h"
#include "worker/operate/counters.h"

/*
 * An invalidator: makes the cache forget what a committed batch made stale.  The real one deletes
 * keys in Redis (invalidate.c); the simulation has its own.  One per worker, its thread only.
 *
 * start renders the keys of the batch's touched rows and sends them in a pipeline; poll collects the
 * answers.  Only when all are answered may `done` follow.  Nothing is remembered over a failure: the
 * worker reads the lanes again from `done` and starts anew.
 */
struct cache;

/* How far the patterns of mode scan are (scan.h): beside the rounds, a batch_lane's `done` waits. */
struct cache_scan {
	uint64_t passes; /* that are through, numbered from 1 */
	uint64_t last;	 /* the last pass that some pattern waits for */
	bool full;	 /* more patterns wait than may: lanes that have some are not to be read */
	int fd;		 /* to be polled, -1: none */
	int wait_ms;	 /* when to call again at the latest */
};

/* What the cache says of what is noted there (notes.h). */
enum cache_notes {
	NOTES_THERE,
	NOTES_ABSENT, /* new, flushed or evicted: no old value came back */
	NOTES_LOST    /* another server, with data from before they were written */
};

struct cache_ops {
	int (*open)(struct cache *cache, struct err *err);
	bool (*is_open)(const struct cache *cache);
	void (*close)(struct cache *cache);
	/* Send the invalidations of a WRITTEN batch.  Nothing may be under way.  Sets scan_pass of the
	 * batch's lanes that have patterns. */
	int (*start)(struct cache *cache, const struct batch *batch, struct err *err);
	/* 1 all answered, 0 not yet (waits at most timeout_ms), -1 lost. */
	int (*poll)(struct cache *cache, int timeout_ms, struct err *err);
	int (*fd)(const struct cache *cache); /* -1: nothing under way */
	/* Go on with the patterns, without waiting.  NULL: there never are any. */
	void (*scan)(struct cache *cache, struct cache_scan *now);
	/* Up to where each lane's keys are answered, as the cache itself has it (0-0: of that lane
	 * nothing).  Nothing may be under way.  -1: lost, or refused and still
	 * open: RETRY where there was no room, else not allowed.  NULL: it keeps none. */
	int (*noted)(struct cache *cache, struct lane *const *lanes, size_t count,
	    struct position *at, enum cache_notes *found, struct err *err);
	/* Leave it there. */
	int (*note)(struct cache *cache, struct lane *const *lanes, size_t count,
	    const struct position *at, struct err *err);
	/* Empty it, with nothing under way (flush.h).  -1: lost, or refused and still open.  NULL: never. */
	int (*flush)(struct cache *cache, struct err *err);
	void (*free)(struct cache **cache);
};

struct cache {
	const struct cache_ops *ops;
	struct counters
	    *counters; /* of the worker, set by it: of invalidations; NULL: not counted */
	struct refresh_ring *reloads; /* where invalidated keys are told; NULL: nobody asks */
	struct verify_ring *checks;   /* and those that are looked at again; NULL: none */
};

/*
 * The real one; round.h says what it sends.  open loads the function library where a template needs
 * it.  An error reply closes the connection like any other failure, so that a library that was lost
 * is loaded again: the whole round is sent again.
 */
struct cache *invalidate_new(const struct config *config, int worker);

#endif
