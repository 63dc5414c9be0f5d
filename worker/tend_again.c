#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/worker_batches.h"

enum { PAGES = 8, REST_MS = 1000, SHARE = 5 };

/*
 * Invalidating again what a cache that went back has lost: the entries between the lane's note there and
 * the place up to which keys were answered, as far as the lane still holds them (`keep`), read beside
 * the data path.  They are written and answered: nothing of the lane, the ledger or the outbox moves.
 * An entry is decoded and its keys are derived as at a repeated delivery, so a version that it gives is
 * compared (OLD and SAME do no harm) and one that only MySQL knew takes the unversioned form.
 *
 * Where something waits to be written, its share is a fifth of the time: what a step took, until its last
 * answer, is followed by four times as long without one.  It needs a moment when nothing is being
 * invalidated, which a busy worker never has by itself: so it waits for the answers, as the next batch would.
 *
 * What can't be had again is an alarm: entries trimmed already, and keys named after columns that the
 * entry doesn't hold.
 */
static bool
is_through(const struct lane *lane)
{
	return position_compare(lane->again.at, lane->again.to) >= 0;
}

/* What waits for a pass of the cache's scan doesn't hold the others up. */
static struct lane *
next_lane(const struct worker *w)
{
	for (size_t i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->again.on && lane->state != LANE_FREE && !lane->look_again &&
		    clock_ms() >= lane->again.not_before_ms &&
		    (!is_through(lane) || lane->again.pass <= w->scan.passes))
			return lane;
	}
	return NULL;
}

/* Is something at or before the place where it begins still there?  Then so is all behind that. */
static int
check(struct worker *w, struct lane *lane, struct err *err)
{
	struct delivery *page = NULL;

	if (lane->again.checked)
		return 0;
	if (!lane->again.whole &&
	    w->source->ops->range(w->source, lane, (struct position){ 0, 0 }, lane->again.at, &page,
		err) != 0)
		return -1;
	lane->again.misses = page == NULL;
	lane->again.checked = true;
	if (page != NULL)
		w->source->ops->recycle(w->source, &page);
	return 0;
}

static void
finish(struct worker *w, struct lane *lane)
{
	char to[POSITION_TEXT];
	bool misses = lane->again.misses;

	log_event(misses ? LOG_WARN : LOG_INFO, "cache_invalidated_again", "worker", "%d", w->index,
	    "lane", "%s", lane->name, "to", "%s", position_text(lane->again.to, to), "entries",
	    "%llu", (unsigned long long)lane->again.entries, "all", "%s", misses ? "no" : "yes",
	    NULL);
	lane_end_again(lane);
	if (!misses)
		return;
	if (SEE(lane->alarm) == NULL)
		tend_alarm(w, lane, LANE_WHY_CACHE_LOST,
		    "the cache went back, and not all that it lost could be invalidated again "
		    "(entries that were trimmed, or keys that only rows tell): what it holds of "
		    "them is old until its TTL");
}

/* -1: the source failed. */
static int
read_pages(struct worker *w, struct batch *b, struct lane *lane, struct err *err)
{
	b->again_after = b->again_to = lane->again.at;
	for (int i = 0; i < PAGES && b->bytes < (size_t)w->config->batch_max_bytes; i++) {
		struct delivery *page = NULL;

		if (w->source->ops->range(w->source, lane, b->again_to, lane->again.to, &page,
			err) != 0)
			return -1;
		if (page == NULL) {
			b->again_to = lane->again.to;
			return 0;
		}
		batch_take_again(b, lane, &page);
		b->again_to = b->last->id;
	}
	return 0;
}

static bool
step(struct worker *w, struct lane *lane)
{
	struct batch *b = worker_spare(w);
	struct err err = { 0 };

	batch_reset(b, w->store->ops->schema(w->store));
	if (check(w, lane, &err) != 0 || read_pages(w, b, lane, &err) != 0) {
		worker_empty(w, b);
		worker_source_failed(w, &err);
		return false;
	}
	if (b->has_problem) { /* its table is gone or out of reach: the keys are derived when it is back */
		worker_empty(w, b);
		if (lane->again.not_before_ms == 0)
			log_event(LOG_WARN, "cache_not_invalidated_again", "worker", "%d", w->index,
			    "lane", "%s", lane->name, "why", "%s",
			    "a table of its entries is gone or out of reach", "next", "%s",
			    "tries each second, and trims nothing behind that meanwhile", NULL);
		lane->again.not_before_ms = clock_ms() + REST_MS;
		return false;
	}
	b->again = lane;
	lane->again.misses |= batch_misses_keys(b);
	batch_seal(b);
	batch_mark_written(b);
	w->invalidating = b;
	return true;
}

static void
rest(struct worker *w)
{
	int64_t now = clock_us();

	w->again.due_us = now + (SHARE - 1) * (now - w->again.begun_us);
}

static bool
is_due(const struct worker *w)
{
	if (w->invalidating != NULL && w->invalidating->again != NULL)
		return false;
	return (w->invalidating == NULL && batch_is_empty(w->filling)) ||
	    clock_us() >= w->again.due_us;
}

static bool
is_possible(struct worker *w)
{
	return w->writing == NULL && !SEE(*w->stop) && !w->scan.full &&
	    w->source->ops->is_open(w->source) &&
	    (w->cache->ops->is_open(w->cache) || breaker_ready(&w->counters.cache));
}

bool
tend_again(struct worker *w)
{
	struct lane *lane = next_lane(w);

	if (lane == NULL || !is_possible(w) || !is_due(w))
		return false;
	if (is_through(lane)) {
		finish(w, lane);
		return false;
	}
	w->again.begun_us = clock_us();
	worker_await_answers(w);
	if (w->invalidating == NULL && is_possible(w) && step(w, lane))
		return true;
	rest(w);
	return false;
}

void
tend_again_answered(struct worker *w, const struct batch *b)
{
	struct lane *lane = b->again;

	rest(w);
	if (!lane->again.on || position_compare(b->again_after, lane->again.at) != 0)
		return;
	lane->again.at = b->again_to;
	lane->again.pass = w->scan.last;
	lane->again.entries += b->entries;
	COUNT(lane->again_entries, b->entries);
	COUNT(w->counters.invalidated_again, b->entries);
}
