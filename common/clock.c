#include "common/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t fake_us = -1;

static int64_t
now_us(clockid_t clock)
{
	int64_t fake = atomic_load_explicit(&fake_us, memory_order_relaxed);
	struct timespec now;

	if (fake >= 0)
		return fake;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
clock_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

int64_t
clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

void
clock_fake(int64_t us)
{
	atomic_store_explicit(&fake_us, us < 0 ? -1 : us, memory_order_relaxed);
}
