#include "worker/cache/refresh_pace.h"

#include "common/clock.h"

#include <math.h>

int64_t
xfetch_lead_ms(struct random *random, double load_ms, double reads_a_second, int64_t floor_ms,
    int64_t ttl_ms)
{
	double exponential = -log(1 - random_unit(random));
	double reads = reads_a_second * load_ms / 1000;
	double lead_ms = 0, least_ms = load_ms + (double)floor_ms, most_ms = (double)ttl_ms / 2;

	if (reads > 0 && exponential > 0)
		lead_ms = load_ms * log(reads / exponential);
	if (!(lead_ms > least_ms))
		lead_ms = least_ms;
	if (lead_ms > most_ms)
		lead_ms = most_ms;
	return (int64_t)lead_ms;
}

double
quick_to_rise(double known_us, int64_t took_us)
{
	return (double)took_us > known_us ? (double)took_us :
					    0.8 * known_us + 0.2 * (double)took_us;
}

int64_t
ttl_jitter_ms(struct random *random, int64_t ttl_ms)
{
	return (int64_t)((double)ttl_ms * (0.9 + 0.2 * random_unit(random)));
}

int64_t
ttl_jitter_most_ms(int64_t ttl_ms)
{
	return ttl_ms + ttl_ms / 10;
}

void
pace_init(struct pace *p, double limit, int64_t slow_us)
{
	*p = (struct pace){
		.limit = limit, .rate = limit, .slot = clock_ms() / PACE_SLOT_MS, .slow_us = slow_us
	};
}

size_t
pace_take(struct pace *p, size_t wanted)
{
	int64_t slot = clock_ms() / PACE_SLOT_MS, ahead = slot - p->slot;
	size_t most = p->rate < 1 ? 1 : (size_t)p->rate, taken = 0, count;

	for (int64_t i = 1; i <= ahead && i <= PACE_SLOTS; i++)
		p->taken[(p->slot + i) % PACE_SLOTS] = 0;
	p->slot = ahead > 0 ? slot : p->slot;
	for (size_t i = 0; i < PACE_SLOTS; i++)
		taken += p->taken[i];
	count = taken >= most ? 0 : most - taken;
	count = count < wanted ? count : wanted;
	p->taken[p->slot % PACE_SLOTS] += count;
	return count;
}

void
pace_give(struct pace *p, size_t count)
{
	size_t *taken = &p->taken[p->slot % PACE_SLOTS];

	*taken -= *taken < count ? *taken : count;
}

void
pace_loaded(struct pace *p, int64_t took_us)
{
	if (took_us > p->slow_us)
		p->rate = p->rate / 2 < 1 ? 1 : p->rate / 2;
	else
		p->rate = p->rate * 1.1 > p->limit ? p->limit : p->rate * 1.1;
}
