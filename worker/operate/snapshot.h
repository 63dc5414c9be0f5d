#ifndef WORKER_OPERATE_SNAPSHOT_H
#define WORKER_OPERATE_SNAPSHOT_H

#include "worker/cache/refresh.h"
#include "worker/cache/verify.h"
#include "worker/operate/monitor.h"
#include "worker/operate/watched.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One look at the running process.  Every page and metric is printed from a snapshot, so that
 * numbers on one page agree with each other and two pages mean the same by the same name. Strings
 * are borrowed from the configuration and the lanes.  Thread: the one that took it.
 */
struct snapshot_lane {
	const char *name, *stream;
	const struct config_source *source;
	int worker;
	enum lane_state state;
	const char *why, *alarm; /* a LANE_WHY or NULL */
	struct position position, done;
	uint64_t lag, stream_length, stream_bytes, entries, dead, parked_keys, again_entries;
	bool again;				    /* keys are invalidated again */
	uint64_t pending, claimed, pending_deleted; /* of lanes that only invalidate */
	double oldest_pending_seconds;		    /* 0: nothing pending */
};

struct snapshot_histogram {
	const double *bounds;
	uint64_t counts[HISTOGRAM_BUCKETS]; /* each bucket by itself */
	double sum;			    /* seconds, or rows */
};

/* mysql and mysql_read are two: what the workers write to, and what the refresher loads from. */
enum dependency {
	DEPENDENCY_MYSQL,
	DEPENDENCY_REDIS,
	DEPENDENCY_CACHE,
	DEPENDENCY_KAFKA,
	DEPENDENCY_MYSQL_READ,
	DEPENDENCIES
};
const char *dependency_name(enum dependency dependency);

/* A dependency as the workers, the refresher and the monitor see it together: the state is the worst of theirs (open before
 * half-open before closed), since and why are of the worker that has it. */
struct snapshot_breaker {
	bool used; /* some worker depends on it */
	enum breaker_state state;
	unsigned workers_in[BREAKER_HALF_OPEN + 1]; /* how many workers are in each state */
	int64_t since_wall_ms;
	unsigned failures; /* in a row, the most of any worker */
	uint64_t failures_total;
	bool worked_ever; /* for every worker */
	char why[256];
};

struct snapshot_table {
	const char *name;
	uint64_t changes, folded, older, dead, dead_open, invalidated;
	uint64_t sampled, found, loaded, hot, stretched, refused; /* of refresh */
	struct snapshot_breaker load; /* of its loads alone; used: it has refresh */
	/* of verify, by look and in all */
	uint64_t verified[VERIFY_LOOKS], found_wrong[VERIFY_LOOKS];
	uint64_t verified_all, found_wrong_all, verified_absent, not_comparable;
};

struct snapshot_worker {
	int index, lanes, lanes_owned;
	double beat_age_seconds;
	double mysql_waits_seconds; /* for the answer to one statement; 0: it isn't waiting */
	bool stuck;		    /* no turn of its loop for BEAT_AGE_MAX_MS */
};

struct snapshot_total {
	uint64_t batches, entries, changes, folded, rows, statements, retries, fenced, mismatches,
	    older;
	uint64_t dead_open, dead_open_by_reason[DEAD_REASONS], replayed, replays_refused;
	uint64_t dead, dead_by_reason[DEAD_REASONS], passed[PASSED_KINDS];
	uint64_t invalidated, invalidations_skipped, invalidations_repeated, invalidated_again;
	uint64_t one_by_one;
	uint64_t outbox_rows;
	uint64_t invalidations_refused, invalidation_answers[INVALIDATION_ANSWERS], announced,
	    populated, not_populated, markers_left_out;
	uint64_t scan_patterns, scan_patterns_waiting, scan_looked, scan_of, scan_passes, scan_keys,
	    scan_removed, scan_failures;
	int scan_full; /* workers */
	uint64_t memory_bytes, lag, stream_bytes;
	int pool_members; /* processes of the pool, the most that a worker saw */
	int lanes_share;  /* lanes that are this process's part of the pool */
	bool standby;	  /* it has no lanes and there are none to be had */
	int lanes_owned, lanes_in[LANE_HALTED + 1], alarms, workers_paused;
	int flushes_owed; /* workers */
	uint64_t cache_flushes;
	double oldest_pending_seconds, mysql_waits_seconds;
};

struct snapshot_cache {
	bool known;
	uint64_t used_bytes, max_bytes, evicted, expired, hits, misses;
	int hit_permille; /* -1: too few reads to tell */
	uint64_t replicas, without_ttl, large, largest_bytes, walks, keys_walked, restarts;
	double replica_lag_seconds, ping_seconds;
	bool persistence_failed;
	bool warns[CACHE_WARNINGS];
	char warnings[CACHE_WARNINGS][96];
};

struct snapshot_refresh {
	bool on;
	uint64_t selects, asked, loaded, reloaded, lost, older, duplicates, absent, stretches;
	uint64_t reads, reads_unknown, over_budget, rate_limit, members, hot, stretched;
	double last_load_seconds;
	struct refresh_key keys[REFRESH_KEYS_SHOWN];
	size_t key_count;
};

struct snapshot_verify {
	bool on;
	uint64_t told, picked, ring, full, late, waiting; /* ring, full, late: not looked at */
	uint64_t checks[VERIFY_LOOKS], wrong[VERIFY_LOOKS], unknown;
	enum breaker_state mysql, cache; /* of its own connections */
	struct verify_wrong keys[VERIFY_WRONG_KEPT];
	size_t key_count;
};

enum { BEAT_AGE_MAX_MS = 60000 };

struct snapshot {
	const struct config *config;
	int64_t taken_wall_ms, started_wall_ms;
	double uptime_seconds;
	bool stopping;

	struct snapshot_worker *workers;
	size_t worker_count;
	struct snapshot_lane *lanes;
	size_t lane_count;
	struct snapshot_table *tables;
	size_t table_count;
	struct snapshot_breaker breakers[DEPENDENCIES];
	struct snapshot_total total;
	struct snapshot_histogram batch_rows, batch_seconds, commit_lag_seconds;

	struct snapshot_cache cache;
	struct snapshot_refresh refresh;
	struct snapshot_verify verify;
	double rates[RATES];
	uint64_t redis_used_bytes, redis_max_bytes;
	uint64_t dead_stream_entries; /* dead letters of lanes that don't write */

	uint64_t resident_bytes, open_files;
	double cpu_seconds;
	unsigned long long log_lines_suppressed;
};

void snapshot_take(struct snapshot *s, const struct watched *watched);
void snapshot_deinit(struct snapshot *s);

#endif
