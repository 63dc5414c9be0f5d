#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store/schema.h"

enum { DENIED_MS = 60000 };

/*
 * on_cache_lost: flush.  Where keys may be old and nothing tells any more which, the cache is emptied:
 *	a lane's `cache_lost`	what the cache or MySQL lost can't be invalidated again.  The ledger row
 *				remembers it, so a crash in between only empties the cache once more
 *	w->flush.owed		more than invalidate_lag_max waited for the cache, and rows went on.  It
 *				can be forgotten: `done` is where it was, all behind it is sent again
 * It is a step of the way back to the cache (rewind_lanes), before anything is read again: every key of
 * what is written by then is gone with it, so all lanes of ours are answered up to `position`.  The note
 * is left at once (worker/cache/notes.h): a server that lost the flush holds an older one.  Till it is,
 * the flush counts as not done.
 *
 * A server that doesn't let us, or a database that holds our lanes, is said, and tried again each minute;
 * meanwhile all is as with on_cache_lost: alarm.
 */
static bool
is_denied(const struct worker *w)
{
	return w->flush.denied && clock_ms() < w->flush.retry_ms;
}

bool
tend_flushes(const struct worker *w)
{
	return w->config->on_cache_lost == ON_CACHE_LOST_FLUSH && w->cache != NULL &&
	    w->cache->ops->flush != NULL && !is_denied(w);
}

static bool
is_lost(const struct lane *lane)
{
	return lane->state != LANE_FREE &&
	    (lane->cache_lost || SEE(lane->alarm) == lane_why_of(LANE_WHY_CACHE_LOST));
}

bool
tend_owes_flush(const struct worker *w)
{
	if (!tend_flushes(w))
		return false;
	for (size_t i = 0; i < w->lane_count; i++)
		if (is_lost(w->lanes[i]))
			return true;
	return w->flush.owed;
}

void
tend_lag_flushes(struct worker *w)
{
	if (w->flush.owed)
		return;
	w->flush.owed = true;
	SHOW(w->counters.flush_owed, 1);
	log_event(LOG_WARN, "cache_flush_owed", "worker", "%d", w->index, "why", "%s",
	    "more than invalidate_lag_max waits for the cache", "next", "%s",
	    "rows go on; the cache is emptied when it is back", NULL);
}

static void
forget_owed(struct worker *w)
{
	w->flush.owed = false;
	SHOW(w->counters.flush_owed, 0);
}

static void
refused(struct worker *w, const struct err *err)
{
	bool news = !w->flush.denied;

	w->flush.denied = true;
	w->flush.retry_ms = clock_ms() + DENIED_MS;
	forget_owed(w);
	if (news)
		log_event(LOG_ERROR, "cache_flush_denied", "worker", "%d", w->index, "error", "%s",
		    err->text, "next", "%s",
		    "goes on as with on_cache_lost: alarm, tried each minute; grant +flushdb "
		    "+exists, or empty it and `sluice lane ack`",
		    NULL);
}

/* The alarm goes with what it told of. */
static void
settle(struct worker *w, struct lane *lane)
{
	if (!is_lost(lane))
		return;
	lane->cache_lost = false;
	if (SEE(lane->alarm) == lane_why_of(LANE_WHY_CACHE_LOST))
		SHOW(lane->alarm, NULL);
	tend_mark(w, lane);
}

static unsigned
count_lost(const struct worker *w)
{
	unsigned lost = 0;

	for (size_t i = 0; i < w->lane_count; i++)
		lost += is_lost(w->lanes[i]);
	return lost;
}

int
tend_flush(struct worker *w, struct err *err)
{
	unsigned lost = count_lost(w);

	if (!tend_owes_flush(w))
		return 0;
	if (w->cache->ops->flush(w->cache, err) != 0) {
		if (!w->cache->ops->is_open(w->cache))
			return -1;
		refused(w, err);
		return 0;
	}
	for (size_t i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE)
			lane_flushed(w->lanes[i]);
	if (tend_note_answered(w, err) != 0)
		return -1;
	COUNT(w->counters.cache_flushes, 1);
	log_event(LOG_WARN, "cache_flushed", "worker", "%d", w->index, "lanes_lost", "%u", lost,
	    "lag", "%s", w->flush.owed ? "yes" : "no", "next", "%s",
	    "the cache fills anew; `done` follows what is written", NULL);
	for (size_t i = 0; i < w->lane_count; i++)
		settle(w, w->lanes[i]);
	w->flush.denied = false;
	forget_owed(w);
	return 0;
}

void
tend_lost_commits(struct worker *w, struct lane *lane, const struct source_look *look)
{
	/* of a lost outbox nobody knows what it held */
	if (tend_flushes(w) && (look->loses || schema_reads_rows(w->store->ops->schema(w->store))))
		tend_cache_lost(w, lane);
}
