#include "worker/worker_answers.h"

#include "common/log.h"
#include "worker/tend.h"
#include "worker/worker_batches.h"

void
worker_cache_failed(struct worker *w, const struct err *err)
{
	if (breaker_failed(&w->counters.cache, err->text))
		log_event(LOG_WARN, "cache_unreachable", "worker", "%d", w->index, "error", "%s",
		    err->text, NULL);
}

void
worker_cache_worked(struct worker *w)
{
	if (breaker_worked(&w->counters.cache))
		log_event(LOG_INFO, "cache_works", "worker", "%d", w->index, NULL);
}

static void
answer(struct worker *w, struct lane *lane, const struct batch_lane *bl)
{
	struct lane_wait place = lane_reached(lane);

	if (position_compare(bl->last, place.at) <= 0)
		return;
	if (position_compare(bl->after, place.at) == 0) {
		place.passed += bl->entries;
	} else {
		place.passed_from = bl->last;
		place.passed = 0;
	}
	place.at = bl->last;
	place.hash = checkpoint_hash(bl->last_entry);
	lane_answer(lane, &place, bl->scan_pass > w->scan.passes ? bl->scan_pass : 0);
}

/* Letters are closed when what they name is gone, found by a pattern or not. */
static void
replay_answered(struct worker *w)
{
	if (!w->replay.busy || w->replay.pass > w->scan.passes)
		return;
	w->replay.answered = true;
	w->replay.busy = false;
	w->replay.pass = 0;
}

void
worker_invalidated(struct worker *w)
{
	struct batch *b = w->invalidating;
	struct batch_lane *bl;

	batch_mark_invalidated(b);
	COUNT(w->counters.invalidations_repeated, b->entries - b->writes);
	worker_scan(w); /* the patterns of the batch are in it now */
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		struct lane *lane = bl->lane;

		if (lane->state == LANE_FREE ||
		    position_compare(bl->after, lane_reached(lane).at) > 0)
			continue;
		answer(w, lane, bl);
		lane->unreleased_bytes -= (int64_t)bl->bytes < lane->unreleased_bytes ?
		    (int64_t)bl->bytes :
		    lane->unreleased_bytes;
	}
	if (b->again != NULL)
		tend_again_answered(w, b);
	if (b->replays) {
		w->replay.pass = w->scan.last;
		replay_answered(w);
	}
	worker_empty(w, b);
	w->invalidating = NULL;
}

void
worker_scan(struct worker *w)
{
	uint64_t passes = w->scan.passes;

	if (w->cache->ops->scan == NULL) {
		w->scan = (struct cache_scan){ .fd = -1, .wait_ms = INT32_MAX };
		return;
	}
	w->cache->ops->scan(w->cache, &w->scan);
	SHOW(w->counters.scan_full, w->scan.full);
	/* a lane waits for passes that are still to come */
	for (size_t i = 0; i < w->lane_count && w->scan.passes != passes; i++)
		lane_passed(w->lanes[i], w->scan.passes);
	if (w->invalidating == NULL || !w->invalidating->replays)
		replay_answered(w);
}

bool
worker_scan_holds(const struct worker *w, const struct lane *lane)
{
	return w->scan.full && lane->wait_count > 0;
}
