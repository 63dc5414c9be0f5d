#include "worker/cache/refresh_step.h"

#include "common/clock.h"

/*
 * A key is due some time before its value is over (refresh_lead_least_ms), and seen to be so with the next
 * turn: half of what is left then is for the load, half for keeping the value instead.
 */
static int64_t
patience_ms(const struct refresh *r)
{
	int64_t least_ms = r->config->refresh.slow_load_ms;

	for (size_t i = 0; i < r->table_count; i++) {
		int64_t ms =
		    (refresh_lead_least_ms(r->tables[i].table->refresh.ttl_ms) - REFRESH_TICK_MS) /
		    2;

		least_ms = ms < least_ms ? ms : least_ms;
	}
	return least_ms < PATIENCE_LEAST_MS ? PATIENCE_LEAST_MS : least_ms;
}

void
refresh_keep(struct refresh *r, bool waits)
{
	for (size_t i = 0; i < r->table_count && redis_is_open(r->redis); i++) {
		struct refresh_step s = { .r = r, .t = &r->tables[i], .waits = waits };

		s.versioned = refresh_is_versioned(s.t->table);
		if (s.t->ready)
			refresh_stretch(&s);
	}
}

int
refresh_wait(void *refresh, int fd, int timeout_ms)
{
	struct refresh *r = refresh;
	int64_t now_ms = clock_ms(), end_ms = now_ms + timeout_ms,
		keep_ms = now_ms + patience_ms(r);

	for (;;) {
		int64_t until_ms = keep_ms < end_ms ? keep_ms : end_ms;
		int ready = sql_wait_or_wake(&r->wake_fd, fd,
		    until_ms > now_ms ? (int)(until_ms - now_ms) : 0);

		if (ready != 0)
			return ready;
		if ((now_ms = clock_ms()) >= end_ms)
			return 0;
		if (now_ms < keep_ms)
			continue;
		/* between the leases and the values the cache owes no answer */
		refresh_keep(r, true);
		now_ms = clock_ms();
		keep_ms = now_ms + KEEP_EVERY_MS;
	}
}
