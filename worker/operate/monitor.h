#ifndef WORKER_OPERATE_MONITOR_H
#define WORKER_OPERATE_MONITOR_H

#include "common/err.h"
#include "worker/operate/breaker.h"
#include "worker/operate/cache_watch.h"
#include "worker/operate/watched.h"

#include <stdatomic.h>
#include <stdint.h>

/*
 * The monitor: one thread that looks once a second, so that nothing on the data path has to.  It
 * keeps the rates of the last ten seconds, looks after the cache (cache_watch.h), asks Redis now and
 * then how full it is and, while MySQL is away and no worker looks, how much waits in the streams.
 * It has connections of its own and is never waited for: when a server is away its last answer
 * stands, with the time it was given.  Each connection has a breaker of its own, so that an outage is
 * seen while no worker has anything to do there.
 */
enum rate { RATE_ENTRIES, RATE_CHANGES, RATE_ROWS, RATE_BATCHES, RATE_INVALIDATED, RATES };
const char *rate_name(enum rate rate);

struct monitor_view {
	_Atomic uint64_t rates_thousandths[RATES]; /* a second, in the last ten seconds */
	_Atomic uint64_t redis_used_bytes;
	_Atomic uint64_t redis_max_bytes;     /* maxmemory; 0: no limit, or not known */
	_Atomic uint64_t dead_stream_entries; /* in the stream or topic of `dead_letters` */
	struct cache_view cache_view;
	struct breaker redis, cache; /* as the probes see them */
};

struct monitor;

/* Start the thread; `watched` is borrowed until monitor_free. */
struct monitor *monitor_new(struct watched *watched, struct err *err);
/* End the thread; waits for it, at most about the time-out of one Redis call. */
void monitor_free(struct monitor **monitor);
struct monitor_view *monitor_view(struct monitor *monitor);

/* The rates' arithmetic by itself: one sample of the totals; answers what is a second since the
 * oldest sample kept (0 with one sample only). */
#define RATE_SAMPLES 11
struct rates {
	uint64_t totals[RATE_SAMPLES][RATES];
	int64_t at_ms[RATE_SAMPLES];
	unsigned count, next;
};
void rates_sample(struct rates *r, int64_t now_ms, const uint64_t totals[RATES],
    double a_second[RATES]);

#endif
