#ifndef TESTS_SIM_REFRESH_PLAY_H
#define TESTS_SIM_REFRESH_PLAY_H

#include "common/random.h"
#include "common/redis.h"
#include "config/config.h"
#include "worker/cache/refresh_work.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Refresh ahead in a simulation: the real refresher of up to three processes (refresh_make and
 * refresh_turn, without its thread) on a fake MySQL (mysql.c takes the place of common/mysql.c) and a
 * fake cache (redis.c that of common/redis.c; server.c has the rules of functions.lua and of the
 * refresher's scripts, and with --server a real one plays along and must answer the same).  One thread,
 * a fake clock, every choice drawn from one seed.
 *
 * Whatever waits lets time pass, in which readers read, rows are written and told, keys are evicted,
 * the cache falls back to an older state or loses everything, MySQL is slow, fails or hangs, processes
 * come and go, and the other refreshers take their turns: so between a look at an entry, the SELECT and
 * the write.  What must hold at every moment:
 *	a value is never older than what was told of its key, "no such row" included
 *	a plain key that is absent is not written
 *	no more keys a second are asked for than the limit, halved with each slow SELECT in a row
 *	so many failures in a row end all calls to MySQL for open_for
 *	no value is served for longer than stale_max over its time
 *	the lease of a load from nothing is not given back while its SELECT is waited for
 * Then all is well, and in the end:
 *	popular keys don't expire under their readers, those that nobody reads do and aren't loaded
 *	each key is loaded by one process, at most so often as its TTL asks for
 *	a key that is invalidated is loaded at once
 * In a schedule of the other kind (an outage) all is well but MySQL: popular values then stay up to
 * stale_max.
 */
enum {
	TABLES = 4,
	KEYS = 5,
	PLAYED_KEYS = TABLES * KEYS,
	VERSIONS = 256,
	PROCESSES = 3,
	ACTORS = 6
};
enum table_kind { VERSIONED, BY_QUERY, PLAIN, HASH };
enum { TTL_MS = 2000, STALE_MAX_MS = 4000, HALF_LIFE_MS = 2000, SLOW_LOAD_MS = 100 };
enum { OPEN_MS = 3000, FAILURES = 3, WARM_KEY = 2, COLD_KEY = 3 };

/* ---- the rows and what is known of their keys ---- */

struct fate {
	int64_t at_us;
	bool there;
};

struct played_key {
	enum table_kind table;
	unsigned id;
	char name[16];
	struct fate fates[VERSIONS];  /* by version; 0 is the beginning */
	unsigned last, told, lost_to; /* told again up to there before it counts */
	int64_t over_ms;	      /* when the last written value is over its time */
	bool read;
	int64_t next_read_us, silent_until_us;
	char seen_name[48], seen_payload[200]; /* of a plain value, by a real server */
	unsigned loads, loaders; /* since the count began: by which processes, as bits */
};

/* ---- the cache ---- */

enum entry_kind { NO_ENTRY, OURS, STRING, FIELDS };
struct entry {
	enum entry_kind kind;
	int64_t expire_ms; /* 0: never */
	/* OURS, as in functions.lua; 0 and "": not there */
	bool value, none;
	char r[22], m[22];
	int64_t w, e, s, t, l;
	bool stretched; /* instead of t */
	char payload[200];
};

struct actor {
	enum { IDLE, HAS_LEASE, HAS_ROW } at;
	struct played_key *key;
	char token[24], floor[24];
	unsigned version;
	bool there;
	int64_t next_us;
};

/* ---- processes ---- */

struct process {
	unsigned index, life;
	bool alive, running, dying;
	struct refresh *r;
	int64_t next_us, start_us;
	bool suspects;		 /* a query of a table's own did not answer in time */
	unsigned failures, slow; /* calls to MySQL that failed, SELECTs that were slow, in a row */
	int64_t closed_until_us; /* its breaker is open */
	int64_t asked_us;	 /* its last look at the cache before a load */
	struct {
		int64_t at_us;
		unsigned keys;
	} asked[256];
	unsigned asks;
	bool member;
};

enum weather { WELL, SLOW, FAILING, HANGING };

struct play {
	uint64_t seed, steps;
	bool trace, outage, calm, counting;
	struct random random;
	int64_t now_us, calm_us;
	struct config config;
	struct played_key keys[PLAYED_KEYS];
	struct entry entries[PLAYED_KEYS], snapshot[PLAYED_KEYS];
	unsigned snapshot_told[PLAYED_KEYS];
	bool has_snapshot, scripts, library;
	struct {
		char process[MEMBER_PROCESS_MAX];
		int64_t beat_ms;
	} members[16];
	struct actor actors[ACTORS];
	struct process processes[PROCESSES];
	unsigned process_count, depth, births;
	struct process *running;
	enum weather weather;
	unsigned hang; /* which outage it is */
	struct played_key
	    *loading;	  /* what happens, happens to it rather: its SELECT is waited for */
	bool query_hangs; /* that of BY_QUERY, alone */
	int64_t weather_until_us, lag_us, stall_us;
	bool evicts, members_in_cache;
	unsigned cut_odds; /* one in so many calls of the cache; 0: none */
	unsigned loads, told, stale, misses;
};
extern struct play play;

unsigned below(unsigned n);
/* Something of what goes wrong before all is well. */
bool one_in(unsigned n);
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- play.c ---- */
void play_run(uint64_t seed, bool traced);
/* Time passes, and with it everything else. */
void pass(int64_t us);
struct played_key *key_of(struct str name);

/* ---- app.c ---- */
/* The row as a SELECT finds it now: its version, 0 where there is none. */
unsigned select_version(const struct played_key *k);
void write_row(struct played_key *k, bool there);
/* The next change of the key that isn't told, or an older one again; all of them. */
void tell_some(struct played_key *k);
void tell_all(void);
/* Whoever is to read, or is about to load, does so now. */
void read_all(void);
void read_key(struct played_key *k);
void load_all(void);

/* ---- server.c ---- */
/* One command takes effect.  The reply lives in *a. */
struct redis_reply *server_execute(struct arena *a, int argc, const struct str *argv);
/* The key as it is now: what is over its time is gone. */
struct entry *entry_of(const struct played_key *k);
void entry_remove(struct played_key *k);
/* A reader's, or a worker's, call of a function or a script. */
struct redis_reply *server_ask(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The version of a value. */
unsigned version_in(const char *payload);

/* ---- mirror.c ---- */
void mirror_open(int port, const char *clock_file);
bool mirror_is_open(void);
/* The same command on the real server, whose answer must be the fake's. */
struct redis_reply *mirror_execute(struct arena *a, int argc, const struct str *argv,
    struct redis_reply *ours);
/* The key is there what it is here; nothing without a real server. */
void mirror_put(const struct played_key *k);

/* ---- redis.c ---- */
void redis_publish(const char *text);
/* The connections of one process, or of all. */
void redis_cut(const struct process *p);

/* ---- oracle.c ---- */
/* Somebody reads this value, or "no such row" (NULL), or the refresher writes it. */
void check_value(const struct played_key *k, const char *payload, const char *who);
/* It is served now, over its time or not. */
void check_age(const struct played_key *k);
/* A popular key has no value for its reader. */
void check_miss(const struct played_key *k);
/* The refresher gives the key's lease back. */
void check_release(const struct process *p, const struct played_key *k, struct str token);
void check_asked(struct process *p, unsigned keys);
void check_mysql_call(const struct process *p);
void mysql_call_failed(struct process *p);
void mysql_load_worked(struct process *p, int64_t took_us);
void check_end(void);

#endif
