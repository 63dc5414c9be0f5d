#ifndef WORKER_CACHE_REFRESH_PACE_H
#define WORKER_CACHE_REFRESH_PACE_H

#include "common/random.h"

#include <stddef.h>
#include <stdint.h>

/*
 * When to load a key again, and how many may be loaded.  No input or output but the clock.
 *
 * The deadline is XFetch's (Vattani, Chierichetti and Lowenstein, Optimal Probabilistic Cache Stampede
 * Prevention, VLDB 2015): there each read, g before the expiry, loads with the probability e^(-g /
 * delta), delta being what a load takes.  With r reads a second the first of them to do so comes delta *
 * ln(r * delta / E) before the expiry, E exponentially distributed with mean 1.  That is drawn here
 * for the one who loads, so a key is loaded once and at a time that its readers would have chosen.
 *
 * In no second more is loaded than the rate.  A slow load halves it, any other lets it grow by a tenth
 * up to the limit.  Thread: the refresher's.
 */

/* How long before the expiry, in ms: at least `floor_ms` more than the load itself takes, at most half
 * of the TTL. */
int64_t xfetch_lead_ms(struct random *random, double load_ms, double reads_a_second,
    int64_t floor_ms, int64_t ttl_ms);

/* What something takes, smoothed: quick to learn that it became slow, slow to forget. */
double quick_to_rise(double known_us, int64_t took_us);

/* ttl ± 10 %, and the most that this comes to. */
int64_t ttl_jitter_ms(struct random *random, int64_t ttl_ms);
int64_t ttl_jitter_most_ms(int64_t ttl_ms);

enum { PACE_SLOT_MS = 10, PACE_SLOTS = 101 };
struct pace {
	double limit, rate;	  /* keys a second, at most and now */
	size_t taken[PACE_SLOTS]; /* of the last second, in a ring of slots of its time */
	int64_t slot;		  /* the newest */
	int64_t slow_us;
};
void pace_init(struct pace *p, double limit, int64_t slow_us);
/* So many of `wanted` may be loaded now. */
size_t pace_take(struct pace *p, size_t wanted);
/* Some of those just taken weren't loaded. */
void pace_give(struct pace *p, size_t count);
void pace_loaded(struct pace *p, int64_t took_us);

#endif
