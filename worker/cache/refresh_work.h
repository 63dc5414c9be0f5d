#ifndef WORKER_CACHE_REFRESH_WORK_H
#define WORKER_CACHE_REFRESH_WORK_H

#include "common/redis.h"
#include "worker/balance.h"
#include "worker/cache/library.h"
#include "worker/cache/refresh.h"
#include "worker/cache/refresh_pace.h"
#include "worker/cache/refresh_table.h"
#include "worker/operate/access.h"

#include <pthread.h>

/*
 * The refresher from inside: refresh.c runs the thread, refresh_reads.c learns what is read,
 * refresh_load.c loads and writes, refresh_share.c knows which keys are ours (refresh_members.c: and in a
 * pool without lanes that write, with whom).  Thread: the
 * refresher's, but for what is marked.
 */
enum { REFRESH_TICK_MS = 50, REFRESH_BATCH_MAX = 200, REFRESH_FLOOR_MS = 300 };

struct refresh_share {
	char self[MEMBER_PROCESS_MAX];
	char (*others)[MEMBER_PROCESS_MAX];
	size_t other_count;
	bool unknown; /* it couldn't be asked, which was told */
};

struct refresh_step;

struct refresh {
	/* set before start */
	const struct config *config;
	struct config own; /* the configuration, with less patience */
	struct refresh_table *tables;
	size_t table_count;
	struct refresh_ring **rings; /* one a worker */
	size_t ring_count;
	pthread_t thread;
	bool started, needs_library;
	bool members_in_cache; /* nobody of the pool is in sluice_worker */
	struct random random;

	struct access_redis access, listen_access;
	struct redis *redis, *listener;
	struct access_mysql mysql_access;
	struct sql *sql;
	struct library library;
	char script_sha[41], members_sha[41];
	char read_id[48]; /* where the read stream goes on */
	int64_t top_ms, share_ms, shown_ms, retry_ms, listen_ms;
	struct pace pace;
	size_t turns;
	double turn_us; /* what a turn takes, as load_us */
	struct refresh_share share;
	struct refresh_step *loading; /* the step whose SELECT is waited for */
	struct arena arena;	      /* of one step */
	struct arena partial;	      /* of the listener: a message may be half there */

	struct refresh_counters counters;
	/* shared */
	_Atomic int stop;
	int wake_fd;
	pthread_mutex_t mutex; /* of shown */
	struct refresh_key shown[REFRESH_KEYS_SHOWN];
	size_t shown_count;
};

/* ---- refresh.c ---- */
/* All but the thread, and what the thread does over and over: the simulation takes its place. */
struct refresh *refresh_make(const struct config *config, size_t workers);
void refresh_turn(struct refresh *r);
/* A failure of the cache: its connection is closed, and it is tried again later. */
void refresh_cache_failed(struct refresh *r, const struct err *err);
/* Open, and with what it needs; false: not now. */
bool refresh_cache_ready(struct refresh *r);
bool refresh_mysql_ready(struct refresh *r);
/* So many bytes of one answer of MySQL are held. */
size_t refresh_answer_max(const struct refresh *r);
void refresh_mysql_failed(struct refresh *r, const struct err *err);

/* The table's own breaker: what is wrong is the table's or its query's. */
void refresh_table_refused(struct refresh *r, const struct refresh_table *t, const struct err *err);
/* Its own query did not answer in time, or failed for a reason that may be MySQL's: if MySQL lets us in
 * again it was the query, and `failures` of those in a row open the table's breaker. */
void refresh_table_suspected(struct refresh *r, struct refresh_table *t, const struct err *err);
/* A SELECT of the table was answered. */
void refresh_table_worked(struct refresh *r, struct refresh_table *t);

/* ---- refresh_reads.c ---- */
/* Count what was read since the last call; bounded. */
void refresh_reads(struct refresh *r);
/* Ask `warm` where it is time to. */
void refresh_warm(struct refresh *r);
/* Take what the workers invalidated. */
void refresh_take_rings(struct refresh *r);

/* ---- refresh_load.c ---- */
/* Is it hot: read above the threshold, or in the warm list? */
bool refresh_is_hot(const struct refresh_table *t, const struct hot_keys *h,
    const struct hot_key *k, int64_t now_ms);
/* How long before its expiry a key of such a TTL is due at the latest. */
int64_t refresh_lead_least_ms(int64_t ttl_ms);
/* Load what is due of one table, and stretch what can't be loaded. */
void refresh_load(struct refresh *r, struct refresh_table *t);
/* The script for plain keys. */
extern const char refresh_plain_script[];

/* ---- refresh_wait.c ---- */
/* A sql_wait of ours: where a query takes so long that values would be over before it is answered (MySQL
 * may hang for as long as the time-out) they are kept for their readers meanwhile. */
int refresh_wait(void *refresh, int fd, int timeout_ms);
/* Keep what may be over before anything can be loaded; waits: for an answer, and looks again soon. */
void refresh_keep(struct refresh *r, bool waits);

/* ---- refresh_share.c ---- */
/* Ask who is there, where it is time to. */
void refresh_share_look(struct refresh *r);
/* These are the pool, ourselves among them or not. */
void refresh_share_set(struct refresh *r, const char (*processes)[MEMBER_PROCESS_MAX],
    size_t count);
void refresh_members_unknown(struct refresh *r, const struct err *err);
bool refresh_is_ours(const struct refresh_share *share, uint64_t key_hash);

/* ---- refresh_members.c: the members of a pool that writes no stream, in the cache ---- */
void refresh_members_look(struct refresh *r);
/* The others needn't wait until we are missed. */
void refresh_members_leave(struct refresh *r);
extern const char refresh_members_script[];

#endif
