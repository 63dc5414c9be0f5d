#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/random.h"
#include "config/config.h"
#include "worker/batch.h"
#include "worker/cache/cache.h"
#include "worker/lane.h"
#include "worker/operate/counters.h"
#include "worker/source/source.h"
#include "worker/store/store.h"

/*
 * A worker: one thread, its lanes, and the data path from source to store to cache.  It shares
 * nothing with other workers but the immutable config, the stop flag, and atomic counters.
 *
 * worker_turn is the whole data path once through; worker_run repeats it until told to stop.  The
 * simulation calls worker_turn itself, with its own source, store and cache.
 */
/* A worker's part of its pool (tend_share.c); times are clock_ms, 0: never. */
struct share {
	unsigned quota; /* lanes that are its part */
	bool joined;	/* it means to be a member */
	bool standby;	/* no lanes, and none to be had */
	uint64_t members_hash;
	int64_t looked_ms;	      /* when it last looked */
	int64_t unread_ms;	      /* since when the source can't be read */
	int64_t dead_ms;	      /* since when rows of dead members are there */
	int64_t give_ms, patience_ms; /* gives nothing before; what was given came back */
};

struct worker {
	/* set before start */
	const struct config *config;
	int index;
	struct lane **lanes; /* that it may own */
	size_t lane_count;   /* with `table`: changes, and only the worker reads it */
	struct source *source;
	struct store *store;
	struct cache *cache;
	struct lane_table *table; /* its lanes are partitions that a group assigns; NULL: streams */
	struct breaker *source_breaker;
	bool invalidates;  /* its lanes only invalidate, and its store isn't MySQL */
	_Atomic int *stop; /* 1: finish and stop; 2: at once */
	int wake_fd;	   /* readable once *stop is set; -1: none */

	/* worker only */
	struct random random;
	struct share share;
	struct batch batches[3];
	struct batch *filling;	    /* OPEN, being filled */
	struct batch *writing;	    /* SEALED, until it is written or dropped; NULL: none */
	struct batch *invalidating; /* sent to the cache, not all answered; NULL: none */
	bool overlapping;	    /* the store executes: reading into `filling` is allowed */
	bool unsettled;		    /* the store was opened anew and tend_recover is not through */
	bool schema_stale;	    /* load it before the next write */
	int64_t schema_ms, written_ms; /* clock_ms of the last schema load, of the last COMMIT */
	int64_t schema_looked_ms;      /* of the last look whether it changed */
	int64_t tended_ms, pinged_ms, census_ms, letters_counted_ms, topics_ms;
	int64_t waiting_shown_ms; /* when the pages last saw what waits behind MySQL */
	int64_t confirm_ms;	  /* wait_replicas: not before this clock_ms again */
	double rate_credit;	  /* rows that max_rows_per_second still allows now */
	int64_t rate_ms;
	struct cache_scan scan; /* as last seen */
	bool rewind;		/* the cache was away: read again from done */
	struct {
		bool denied; /* not allowed: tried again at retry_ms */
		int64_t looked_ms, retry_ms;
	} notes; /* what the cache keeps (tend_notes.c) */
	struct {
		int64_t begun_us, due_us; /* of the last step; of the next where others wait */
	} again;			  /* what it lost (tend_again.c) */
	struct {
		bool owed;   /* more waited for the cache than may */
		bool denied; /* not allowed: tried again at retry_ms */
		int64_t retry_ms;
	} flush; /* on_cache_lost (tend_flush.c) */
	struct {
		struct lane *lanes
		    [WORKER_LANES_MAX]; /* assigned, but another worker of ours still has them */
		size_t count;
	} awaited;
	struct {
		struct letter_list list;
		bool busy;     /* its cache keys are on their way, in `invalidating` */
		bool answered; /* they are gone: its letters can be closed */
		uint64_t
		    pass; /* busy until this pass of the cache's scan is through; 0: for none */
	} replay;

	/* shared, atomic */
	struct counters counters;
};

void worker_init(struct worker *w, const struct config *config, int index, struct lane **lanes,
    size_t lane_count, _Atomic int *stop);
void worker_deinit(struct worker *w);

/* One turn: own and tend lanes, fill a batch, write it, invalidate, release.  Waits at most about
 * block_ms when there is nothing to do. */
void worker_turn(struct worker *w, int block_ms);

/* Until *stop; then finish what is read.  Returns true when nothing of ours is left undone. */
bool worker_run(struct worker *w);

/* Drop what was read and not yet written, and give its memory back.  The caller moves the cursors. */
void worker_drop_read(struct worker *w);
/* Drop what was read of one lane and not yet written. */
void worker_drop_lane(struct worker *w, struct lane *lane);
/* Drop what was read of one lane and isn't committed; the store must be settled. */
void worker_drop_unwritten(struct worker *w, struct lane *lane);
/* The keys that are being invalidated no longer count for the lane: its rows went back. */
void worker_forget_invalidating(struct worker *w, const struct lane *lane);
/* Drop only the batch being written; the caller moved the cursors. */
void worker_drop_writing(struct worker *w);
/* The batch being written turned out to be committed. */
void worker_committed(struct worker *w);
/* Wait for the answers of what is being invalidated: between two transactions, as long as the cache's
 * time-out at most.  Where it is lost meanwhile, `rewind` is set. */
void worker_await_answers(struct worker *w);
/* The source failed: close it, open the breaker, log. */
void worker_source_failed(struct worker *w, const struct err *err);

/* The store's wait: read the source and the cache while MySQL executes.  For mysql_store_new. */
int worker_wait(void *arg, int fd, int timeout_ms);

#endif
