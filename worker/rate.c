#include "worker/rate.h"

#include "common/clock.h"

static double
rate_of(const struct worker *w)
{
	size_t lanes = config_lane_count(w->config), workers = (size_t)w->config->workers;
	size_t sharers =
	    (workers < lanes ? workers : lanes) + (config_reads_topics(w->config) ? workers : 0);

	return (double)w->config->max_rows_per_second / (double)sharers;
}

unsigned
rate_rows_max(const struct worker *w)
{
	double rows = rate_of(w) / 4 + 1;

	if (w->config->max_rows_per_second == 0 || rows > (double)w->config->batch_max_rows)
		return (unsigned)w->config->batch_max_rows;
	return (unsigned)rows;
}

bool
rate_allows(struct worker *w)
{
	int64_t now = clock_ms();
	double rate = rate_of(w);

	if (w->config->max_rows_per_second == 0)
		return true;
	w->rate_credit += rate * (double)(now - w->rate_ms) / 1000.0;
	if (w->rate_credit > rate)
		w->rate_credit = rate;
	w->rate_ms = now;
	return w->rate_credit > 0;
}
