#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/worker_answers.h"

#include <string.h>

enum { LOOK_MS = 2000, DENIED_MS = 60000 };

/*
 * The cache's own note of how far a lane's keys are answered (worker/cache/notes.h).
 *
 * It is written before the ledger learns of `done`, so at every moment, whoever owns the lane,
 *	done <= what the cache has noted <= answered
 * and a note below `done`, or below what we left there, says that the cache went back: to a state that
 * lacks the invalidations of the entries behind it.  While those are repeated the note stays at the last
 * of them that was, so that another owner goes on from there; `done` needs no such patience.
 *
 * A note is up to a second old.  What was answered since then is lost unseen when the cache goes back to
 * a state of this second, as a replica's promotion does; so whenever the connection was lost the lane is
 * read again from its note (lane_rewind), which needs no `keep`: `done` has not passed it.
 *
 * The cache is asked between two transactions, never while one of ours is open: one that hangs would
 * hold row locks for as long as its time-out.
 *
 * Of a stream that a consumer group reads the group says how far all is acknowledged (lane->settled), and
 * each worker keeps a note of its own of that, since none of them owns the lane.  Whoever sees its note
 * gone back reads the stream beside the group; `done` and acknowledging don't wait for notes.
 *
 * One owner writes a lane's field; an earlier one, stopped between its last word with MySQL and its note,
 * can at worst set it back, which is seen and costs a repetition.
 */
static bool
has_note(const struct worker *w, const struct lane *lane)
{
	return lane->source->has_keys && w->cache != NULL && w->cache->ops->note != NULL;
}

bool
tend_is_noted(const struct worker *w, const struct lane *lane)
{
	return has_note(w, lane) && !w->notes.denied;
}

/* Where the note is to stand. */
static struct position
target(const struct worker *w, const struct lane *lane)
{
	if (!lane->again.on)
		return lane->by_group ? lane->settled : lane->answered;
	return lane->again.pass > w->scan.passes ? lane->noted : lane->again.at;
}

static size_t
noted_lanes(struct worker *w, struct lane **lanes, bool *news)
{
	size_t count = 0;

	for (size_t i = 0; i < w->lane_count && count < WORKER_LANES_MAX; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE || !has_note(w, lane))
			continue;
		*news |= position_compare(target(w, lane), lane->noted) != 0;
		lanes[count++] = lane;
	}
	return count;
}

/* ---- what the cache says ---- */

/* `done` says what the note was at least; of what we left there ourselves we know it exactly.  An
 * order moves `done` beyond it, and so may others where that is a committed offset. */
static bool
went_back(const struct worker *w, const struct lane *lane, struct position at,
    enum cache_notes found)
{
	bool tells = !w->invalidates && !lane->note_anew;
	struct position least = position_is_none(lane->noted) && tells ? lane->done : lane->noted;

	if (!lane->noting || position_is_none(least))
		return false;
	switch (found) {
	case NOTES_ABSENT:
		return false;
	case NOTES_LOST:
		return true;
	case NOTES_THERE:
		/* others' notes may be older than ours */
		return position_is_none(at) ? !position_is_none(lane->noted) :
					      position_compare(at, least) < 0;
	}
	return false;
}

/* A topic isn't read beside its consumer: that goes back itself, and what is at or below `position` is
 * only invalidated.  Records that have expired are its alarm. */
static void
begin_again(struct worker *w, struct lane *lane, struct position at, enum cache_notes found)
{
	char from[POSITION_TEXT], to[POSITION_TEXT];

	log_event(LOG_ERROR, "cache_went_back", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "found", "%s", found == NOTES_LOST ? "older_data" : "older_note", "from", "%s",
	    position_text(at, from), "to", "%s", position_text(lane_touched(lane), to), "next",
	    "%s", "what the lane still holds of that is invalidated again", NULL);
	lane_end_again(lane);
	lane->noted = at;
	if (lane->is_partition) {
		lane_forget_waits(lane);
		lane_answered_at(lane, at);
		w->rewind = true;
		return;
	}
	lane->again.on = true;
	lane->again.at = at;
	lane->again.to = lane_touched(lane);
	lane->again.whole = position_is_none(at);
	SHOW(lane->shown_again, 1);
}

static void
judge(struct worker *w, struct lane **lanes, const struct position *at, size_t count,
    enum cache_notes found)
{
	for (size_t i = 0; i < count; i++)
		if (went_back(w, lanes[i], at[i], found))
			begin_again(w, lanes[i], at[i], found);
}

/* ---- asking it ---- */

/* Rights may be granted without a restart of ours; without room the next try may find some.  Till then
 * `done` follows the answers alone, and what stands there says nothing. */
static void
refused(struct worker *w, struct lane **lanes, size_t count, const struct err *err)
{
	for (size_t i = 0; i < count; i++)
		lanes[i]->noting = false;
	if (err->class == ERR_RETRY)
		return;
	w->notes.retry_ms = clock_ms() + DENIED_MS;
	if (w->notes.denied)
		return;
	w->notes.denied = true;
	log_event(LOG_WARN, "cache_notes_denied", "worker", "%d", w->index, "error", "%s",
	    err->text, "next", "%s",
	    "that the cache went back to an older state is not seen; grant +hmget +hset ~sluice:*, "
	    "tried each minute",
	    NULL);
}

static void
allowed(struct worker *w)
{
	w->notes.looked_ms = clock_ms();
	if (w->notes.denied)
		log_event(LOG_INFO, "cache_notes_allowed", "worker", "%d", w->index, NULL);
	w->notes.denied = false;
}

static void
failed(struct worker *w, struct lane **lanes, size_t count, const struct err *err)
{
	if (w->cache->ops->is_open(w->cache)) {
		refused(w, lanes, count, err);
		return;
	}
	w->rewind = true;
	worker_cache_failed(w, err);
}

static void
stands(struct lane *lane, struct position at)
{
	lane->noting = true;
	lane->noted = at;
	lane->note_anew = false;
}

static int
leave(struct worker *w, struct lane **lanes, size_t count, const struct position *at,
    struct err *err)
{
	if (count > 0 && w->cache->ops->note(w->cache, lanes, count, at, err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		stands(lanes[i], at[i]);
	return 0;
}

/* What stands there already isn't written again: a cache at rest has nothing to save or replicate. */
static int
look_and_note(struct worker *w, struct lane **lanes, size_t count, struct err *err)
{
	struct position at[WORKER_LANES_MAX];
	struct lane *behind[WORKER_LANES_MAX];
	enum cache_notes found;
	size_t stale = 0;

	if (w->cache->ops->noted(w->cache, lanes, count, at, &found, err) != 0)
		return -1;
	judge(w, lanes, at, count, found);
	for (size_t i = 0; i < count; i++) {
		struct position to = target(w, lanes[i]);

		if (position_is_none(to) && position_is_none(at[i]))
			continue;
		if (position_compare(to, at[i]) == 0) {
			stands(lanes[i], to);
			continue;
		}
		behind[stale] = lanes[i];
		at[stale++] = to;
	}
	return leave(w, behind, stale, at, err);
}

static bool
is_reached(struct worker *w, struct err *err)
{
	if (w->cache->ops->is_open(w->cache))
		return true;
	return breaker_ready(&w->counters.cache) && w->cache->ops->open(w->cache, err) == 0;
}

void
tend_notes(struct worker *w)
{
	struct lane *lanes[WORKER_LANES_MAX];
	struct err err = { 0 };
	bool news = false;
	size_t count = noted_lanes(w, lanes, &news);

	if (w->rewind || count == 0 || (!news && clock_ms() - w->notes.looked_ms < LOOK_MS) ||
	    (w->notes.denied && clock_ms() < w->notes.retry_ms))
		return;
	if (!w->cache->ops->is_open(w->cache) && !breaker_ready(&w->counters.cache))
		return;
	worker_await_answers(w);
	if (w->invalidating != NULL || w->rewind)
		return;
	if (!is_reached(w, &err) || look_and_note(w, lanes, count, &err) != 0) {
		failed(w, lanes, count, &err);
		return;
	}
	allowed(w);
	worker_cache_worked(w);
}

int
tend_note_answered(struct worker *w, struct err *err)
{
	struct lane *lanes[WORKER_LANES_MAX];
	struct position at[WORKER_LANES_MAX];
	bool news = false;
	size_t count = noted_lanes(w, lanes, &news), known = 0;

	if (w->notes.denied)
		return 0;
	for (size_t i = 0; i < count; i++) {
		at[known] = target(w, lanes[i]);
		if (!position_is_none(at[known]))
			lanes[known++] = lanes[i];
	}
	if (leave(w, lanes, known, at, err) == 0)
		return 0;
	if (!w->cache->ops->is_open(w->cache))
		return -1;
	refused(w, lanes, known, err);
	return 0;
}
