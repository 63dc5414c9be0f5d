#include "worker/operate/breaker.h"

#include "common/clock.h"
#include "common/err.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_MS_MIN = 100, WAIT_MS_MAX = 5000 };

const char *
breaker_state_name(enum breaker_state state)
{
	switch (state) {
	case BREAKER_CLOSED:
		return "closed";
	case BREAKER_OPEN:
		return "open";
	case BREAKER_HALF_OPEN:
		return "half_open";
	}
	return "?";
}

void
breaker_init(struct breaker *b, struct random *random)
{
	memset(b, 0, sizeof(*b));
	b->random = random;
	atomic_init(&b->state, BREAKER_CLOSED);
	atomic_init(&b->lock, 0);
}

void
breaker_init_counting(struct breaker *b, struct random *random, unsigned failures_max,
    int64_t open_ms)
{
	CHECK(failures_max > 0 && open_ms > 0);
	breaker_init(b, random);
	b->failures_max = failures_max;
	b->open_ms = open_ms;
}

static void
why_lock(struct breaker *b)
{
	/* held for one copy of a sentence: a page never waits for more than that */
	while (atomic_exchange_explicit(&b->lock, 1, memory_order_acquire) != 0)
		sched_yield();
}

static void
why_unlock(struct breaker *b)
{
	atomic_store_explicit(&b->lock, 0, memory_order_release);
}

static void
why_set(struct breaker *b, const char *why)
{
	why_lock(b);
	snprintf(b->why, sizeof(b->why), "%s", why);
	why_unlock(b);
}

void
breaker_why(struct breaker *b, char *out, int size)
{
	CHECK(size > 0);
	why_lock(b);
	snprintf(out, (size_t)size, "%s", b->why);
	why_unlock(b);
}

bool
breaker_ready(struct breaker *b)
{
	if (atomic_load(&b->state) != BREAKER_OPEN)
		return true;
	if (clock_ms() < b->until_ms)
		return false;
	atomic_store(&b->state, BREAKER_HALF_OPEN);
	return true;
}

int64_t
breaker_wait_ms(const struct breaker *b)
{
	if (atomic_load(&b->state) != BREAKER_OPEN)
		return 0;
	int64_t left = b->until_ms - clock_ms();
	return left > 0 ? left : 0;
}

bool
breaker_failed(struct breaker *b, const char *why)
{
	bool was_closed = atomic_load(&b->state) == BREAKER_CLOSED;

	if (b->failures_max > 0) {
		b->wait_ms = b->open_ms;
	} else {
		b->wait_ms = b->wait_ms == 0 ? WAIT_MS_MIN : b->wait_ms * 2;
		if (b->wait_ms > WAIT_MS_MAX)
			b->wait_ms = WAIT_MS_MAX;
	}
	b->until_ms =
	    clock_ms() + (b->random != NULL ? random_jitter(b->random, b->wait_ms) : b->wait_ms);
	why_set(b, why);
	unsigned failures = atomic_fetch_add(&b->failures, 1) + 1;
	atomic_fetch_add(&b->failures_total, 1);
	if (was_closed && failures < b->failures_max)
		return false;
	if (was_closed)
		atomic_store(&b->since_wall_ms, clock_wall_ms());
	atomic_store(&b->state, BREAKER_OPEN);
	return was_closed;
}

bool
breaker_worked(struct breaker *b)
{
	/* asked on every batch: the usual case touches nothing */
	if (atomic_load(&b->state) == BREAKER_CLOSED && atomic_load(&b->worked_ever) &&
	    atomic_load(&b->failures) == 0)
		return false;

	bool was_closed = atomic_load(&b->state) == BREAKER_CLOSED;
	b->wait_ms = 0;
	why_set(b, "");
	atomic_store(&b->failures, 0);
	if (!was_closed || !atomic_load(&b->worked_ever))
		atomic_store(&b->since_wall_ms, clock_wall_ms());
	atomic_store(&b->worked_ever, 1);
	atomic_store(&b->state, BREAKER_CLOSED);
	return !was_closed;
}
