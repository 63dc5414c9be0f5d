#ifndef WORKER_CACHE_REFRESH_H
#define WORKER_CACHE_REFRESH_H

#include "common/err.h"
#include "config/config.h"
#include "worker/cache/refresh_ring.h"
#include "worker/operate/breaker.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Refresh ahead: one thread that loads the most read keys again before they expire, so that no reader
 * has to.  It has its own connections to MySQL and to the cache and its own budget; the workers never
 * wait for it, and it never waits for them.
 *
 * Which keys: what the read stream, sluice_get's reports and the `warm` query name, counted in a
 * sketch a table (hot_keys.h).  Of the processes of a pool each loads the keys that rendezvous hashing
 * gives it (Thaler and Ravishankar, 1998) among the members in sluice_worker, or, in a pool that writes
 * no stream, in a key of the cache; while that changes two may load one key, which is harmless and
 * counted.
 *
 * How: a lease on the entry (or, of a plain key, what it holds), one SELECT for many keys, then the
 * values, each only where nothing else came in between.  What an invalidation overtook is thrown away
 * and counted.  While MySQL can't be read, or is too slow for all, values of popular keys are
 * stretched up to `stale_max`: versioned ones are then answered as STALE.
 */
struct refresh;

/* Start the thread, for so many workers; NULL with err.  The config is borrowed. */
struct refresh *refresh_new(const struct config *config, size_t workers, struct err *err);
/* End it: at once, whatever it waits for. */
void refresh_free(struct refresh **refresh);

/* What it counts, relaxed; by table where `tables` is. */
struct refresh_table_counters {
	_Atomic uint64_t reads,
	    found;		    /* of sluice_get's reports: all, and those that found a value */
	_Atomic uint64_t loaded;    /* keys written */
	_Atomic uint64_t hot;	    /* keys above the threshold now */
	_Atomic uint64_t stretched; /* of those, over their time now */
	_Atomic int on;		    /* the table has refresh */
	/* Its own, for what only the operator can mend: its key won't do, or MySQL refuses its query.
	 * While it isn't closed the table's keys expire as without refresh, and the other tables'
	 * are loaded. */
	struct breaker load;
};
struct refresh_counters {
	struct refresh_table_counters *tables; /* by place in config->tables */
	_Atomic uint64_t selects, asked;       /* statements, and keys asked for */
	_Atomic uint64_t loaded, reloaded;     /* written; those of them for an invalidation */
	_Atomic uint64_t lost, older;	       /* thrown away: an invalidation, a newer version */
	_Atomic uint64_t duplicates;	       /* thrown away: somebody else had loaded it */
	_Atomic uint64_t absent;	       /* there is no such row */
	_Atomic uint64_t stretches;	       /* values kept over their time, each time */
	_Atomic uint64_t reads;		       /* reads counted, weights included */
	_Atomic uint64_t reads_unknown;	       /* of keys that no table refreshes */
	_Atomic uint64_t over_budget; /* due, and not loaded for want of budget, each time */
	_Atomic uint64_t rate_limit;  /* keys a second that may be loaded now */
	_Atomic uint64_t last_load_us;
	_Atomic uint64_t looks;	  /* keys looked at in the cache */
	_Atomic uint64_t members; /* processes that share the keys */
	_Atomic uint64_t beat_ms;
	struct breaker mysql_read, cache;
};
struct refresh_counters *refresh_counters(struct refresh *refresh);

/* The hottest keys, for people: a copy of what was seen within the last second. */
struct refresh_key {
	const struct config_table *table;
	char key[64];	/* cut; a hash of it unless show_keys */
	double rate;	/* reads a second */
	int64_t ttl_ms; /* left; negative: over its time; INT64_MIN: not known */
	int64_t loaded_wall_ms, load_us;
	bool stretched, ours;
};
enum { REFRESH_KEYS_SHOWN = 50 };
size_t refresh_keys(struct refresh *refresh, struct refresh_key out[REFRESH_KEYS_SHOWN]);

/* Where that worker tells what it invalidated. */
struct refresh_ring *refresh_ring(struct refresh *refresh, size_t worker);

#endif
