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

void
pace_init(struct pace *p, double limit, int64_t slow_us)
{
	*p = (struct pace){ .limit = limit,
		.rate = limit,
		.tokens = limit,
		.filled_ms = clock_ms(),
		.slow_us = slow_us };
}

size_t
pace_take(struct pace *p, size_t wanted)
{
	int64_t now_ms = clock_ms();

	p->tokens += p->rate * (double)(now_ms - p->filled_ms) / 1000;
	p->filled_ms = now_ms;
	if (p->tokens > p->rate)
		p->tokens = p->rate < 1 ? 1 : p->rate;
	size_t count = p->tokens >= (double)wanted ? wanted : (size_t)p->tokens;
	p->tokens -= (double)count;
	return count;
}

void
pace_give(struct pace *p, size_t count)
{
	p->tokens += (double)count;
}

void
pace_loaded(struct pace *p, int64_t took_us)
{
	if (took_us > p->slow_us)
		p->rate = p->rate / 2 < 1 ? 1 : p->rate / 2;
	else
		p->rate = p->rate * 1.1 > p->limit ? p->limit : p->rate * 1.1;
}
