#ifndef WORKER_CACHE_SERVER_CLOCK_H
#define WORKER_CACHE_SERVER_CLOCK_H

#include "common/err.h"
#include "common/redis.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What the cache's clock showed when ours showed something, never later than it did: whatever is late on the
 * way of an answer makes a moment seem longer ago.  Thread: its owner's.
 */
struct server_clock {
	bool known;
	int64_t ahead_us; /* of ours */
};

/* Ask and wait; nothing else may be pending. */
int server_clock_ask(struct server_clock *clock, struct redis *redis, struct arena *a,
    struct err *err);
/* An answer to TIME has just come. */
int server_clock_take(struct server_clock *clock, const struct redis_reply *reply, struct err *err);
/* In ms; 0: not known. */
uint64_t server_clock_at_ms(const struct server_clock *clock, int64_t our_us);

#endif
