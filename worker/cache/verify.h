#ifndef WORKER_CACHE_VERIFY_H
#define WORKER_CACHE_VERIFY_H

#include "common/err.h"
#include "worker/cache/verify_wait.h"
#include "worker/operate/breaker.h"

#include <stddef.h>

/*
 * Proof of consistency while the worker runs: one thread that looks again at a sample of the keys that
 * were invalidated, 1 s, 1 min and 5 min after the answer, and compares what the cache holds with the
 * row (verify_judge.h).  It repairs nothing.
 *
 * It has its own connections; a worker only puts a key into a ring, which never makes it wait.  Looks
 * are limited by `verify.rate`, waiting keys by `verify.waiting`; what finds no room and looks that
 * come too late are counted, since what wasn't looked at proves nothing.
 */
struct verify;

/* Start the thread, for so many workers; NULL with err.  The config is borrowed. */
struct verify *verify_new(const struct config *config, size_t workers, struct err *err);
/* End it: at once, whatever it waits for. */
void verify_free(struct verify **verify);

/* Where that worker tells what it invalidated. */
struct verify_ring *verify_ring(struct verify *verify, size_t worker);

/* By look: those that found the key right (absent ones among them) or wrong; not those that could not
 * compare. */
struct verify_table_counters {
	_Atomic uint64_t checks[VERIFY_LOOKS], wrong[VERIFY_LOOKS];
	_Atomic uint64_t absent, unknown; /* of all looks */
};
struct verify_counters {
	struct verify_table_counters *tables; /* by place in config->tables */
	_Atomic uint64_t full;		      /* picked, and there was no room to wait */
	_Atomic uint64_t late;		      /* looks left out because their time was over */
	_Atomic uint64_t waiting;	      /* keys, now */
	_Atomic uint64_t found, absent;	      /* keys read from the cache that were there, or not */
	struct breaker mysql, cache;
};
struct verify_counters *verify_counters(struct verify *verify);
/* Of all rings. */
void verify_told_counts(const struct verify *verify, uint64_t *told, uint64_t *picked,
    uint64_t *dropped);

/* A wrong key, as people see it: no value of the row. */
struct verify_wrong {
	uint64_t serial; /* of the key's last invalidation that is known; it stands there once */
	const struct config_table *table;
	const struct config_template *template;
	char key[VERIFY_KEY_MAX + 1]; /* a hash of it unless show_keys */
	unsigned look;		      /* the last one that found it wrong */
	const char *what;	      /* verify_what */
	struct verify_said said;
	struct verify_seen seen;
	const char *lane; /* NULL: not known */
	struct position change;
	bool up_to;
	int64_t told_wall_ms, seen_wall_ms;
};
enum { VERIFY_WRONG_KEPT = 20 };
/* A copy of the last ones, the newest found first. */
size_t verify_wrong_keys(struct verify *verify, struct verify_wrong out[VERIFY_WRONG_KEPT]);

#endif
