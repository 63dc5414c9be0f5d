#ifndef WORKER_OPERATE_COUNTERS_H
#define WORKER_OPERATE_COUNTERS_H

#include "worker/operate/breaker.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a worker counts.  Written by its worker with relaxed atomics, read by pages and metrics.
 * Histograms have fixed bounds; the last bucket is +Inf.
 */
#define HISTOGRAM_BUCKETS 16
struct histogram {
	const double *bounds; /* HISTOGRAM_BUCKETS - 1 of them, ascending */
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_us; /* or rows, for sizes */
};
void histogram_init_seconds(struct histogram *h); /* 0.5 ms … 30 s; add µs */
void histogram_init_sizes(struct histogram *h);	  /* 1 … 100,000; add rows */
void histogram_add(struct histogram *h, uint64_t value);
/* What a value is divided by to compare with the bounds: 1e6 for seconds, 1 for sizes. */
double histogram_scale(const struct histogram *h);

/* Per configured table. */
struct table_counters {
	_Atomic uint64_t changes; /* read, for this table */
	_Atomic uint64_t folded;  /* merged into another of their batch */
	_Atomic uint64_t older;	  /* refused by version */
	_Atomic uint64_t dead;
	_Atomic uint64_t dead_open;   /* letters now, on lanes of ours, as last counted */
	_Atomic uint64_t invalidated; /* keys */
};

#define DEAD_REASONS 25
#define INVALIDATION_ANSWERS 4
#define PASSED_KINDS 8

struct counters {
	struct table_counters *tables; /* by place in config->tables */
	size_t table_count;
	_Atomic uint64_t batches, entries, changes, folded, rows, statements;
	_Atomic uint64_t retries, fenced, mismatches, older;
	_Atomic uint64_t dead_by_reason[DEAD_REASONS];	    /* by dead_reason_index */
	_Atomic uint64_t dead_open_by_reason[DEAD_REASONS]; /* the same as of tables */
	_Atomic uint64_t passed[PASSED_KINDS];		    /* events, by passed_index */
	_Atomic uint64_t invalidated, invalidations_skipped, invalidations_repeated;
	_Atomic uint64_t invalidated_again;	/* entries, after the cache went back */
	_Atomic uint64_t invalidations_refused; /* the key holds something else */
	_Atomic uint64_t
	    invalidation_answers[INVALIDATION_ANSWERS]; /* by invalidation_answer_name */
	_Atomic uint64_t announced, populated, not_populated, markers_left_out;
	_Atomic uint64_t scan_patterns, scan_patterns_waiting; /* of the pass that runs, the next */
	_Atomic uint64_t scan_looked,
	    scan_of; /* keys of this pass, of the whole server; 0: not known */
	_Atomic uint64_t scan_passes, scan_keys, scan_removed, scan_failures;
	_Atomic int scan_full; /* lanes with patterns are not read: max_patterns wait */
	_Atomic uint64_t replayed, replays_refused; /* dead letters applied, refused again */
	_Atomic uint64_t one_by_one;		    /* batches written entry by entry */
	_Atomic uint64_t beat_ms;		    /* clock_ms of the last turn of the loop */
	_Atomic uint64_t store_waits_since_ms; /* clock_ms when it began to wait for MySQL; 0: no */
	_Atomic uint64_t memory_bytes;	       /* held in batches and replies */
	_Atomic int lanes_owned;
	_Atomic int pool_members; /* processes, as last seen */
	_Atomic int lanes_share;  /* lanes that are the worker's part of the pool */
	_Atomic int standby;	  /* it has none, and none are to be had */
	_Atomic int lanes_unread; /* in the ledger with entries left, in no source of the config */
	_Atomic uint64_t outbox_rows; /* of our lanes in sluice_outbox, as last counted */
	_Atomic int paused_for_cache; /* rows stopped: invalidate_lag_max reached */
	_Atomic int flush_owed;	      /* they went on: the cache is emptied when it is back */
	_Atomic uint64_t cache_flushes;
	struct histogram batch_rows, batch_seconds, commit_lag_seconds; /* added -> committed */
	struct breaker mysql, redis, cache, kafka;
};

int counters_init(struct counters *c, size_t table_count, struct random *random);
void counters_deinit(struct counters *c);

/* The reasons of change.h by number, for labels, in an unbroken row; NULL behind the last.  An
 * unknown reason counts as `refused`. */
int dead_reason_index(const char *reason);
const char *dead_reason_name(int index);
/* The PASSED_ words of change.h by number, in the same way. */
int passed_index(const char *word);
const char *passed_name(int index);

/* What a versioned invalidation may answer, by number: NEW KEPT SAME OLD; NULL behind the last. */
const char *invalidation_answer_name(int index);

/* One thread writes each, so adding needs no locked instruction. */
#define COUNT(field, n) SHOW(field, SEE(field) + (n))
#define SHOW(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define SEE(field) atomic_load_explicit(&(field), memory_order_relaxed)

#endif
