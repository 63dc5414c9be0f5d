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
 * What can't be had again is an alarm: entries trimmed already, keys named after columns that the
 * entry doesn't hold, and those of a table that is still gone or out of reach when it was waited for.
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

/* Said before the note goes on behind it: whoever owns the lane then doesn't learn of it. */
static void
lose(struct worker *w, struct lane *lane)
{
	lane->again.misses = true;
	tend_cache_lost(w, lane);
}

/* Is something at or before the place where it begins still there?  Then so is all behind that. */
static int
check(struct worker *w, struct lane *lane, struct err *err)
{
	struct delivery *page = NULL;

	if (lane->again.checked)
		return 0;
	if (!lane->again.whole &&
	    w->source->ops->history(w->source, lane, (struct position){ 0, 0 }, lane->again.at,
		&page, err) != 0)
		return -1;
	lane->again.checked = true;
	if (page == NULL)
		lose(w, lane);
	else
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
}

/* -1: the source failed. */
static int
read_pages(struct worker *w, struct batch *b, struct lane *lane, struct err *err)
{
	b->again_after = b->again_to = lane->again.at;
	for (int i = 0; i < PAGES && b->bytes < (size_t)w->config->batch_max_bytes; i++) {
		struct delivery *page = NULL;

		if (w->source->ops->history(w->source, lane, b->again_to, lane->again.to, &page,
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

/* Of a table that is gone or out of reach nobody knows which columns are its key. */
static bool
lacks_table(const struct batch *b)
{
	for (const struct entry *e = b->first; e != NULL && b->has_problem; e = e->next_kept) {
		for (size_t i = 0; i < e->change_count && e->refusal.reason == NULL; i++) {
			const struct table *table = e->changes[i].table;

			if (table->problem != NULL && table->config->template_count > 0)
				return true;
		}
	}
	return false;
}

/* Its table may come back, but isn't waited for longer than a parent row is: the lane isn't trimmed
 * meanwhile.  What was given up is not waited for in later steps. */
static bool
waits_for_table(struct worker *w, struct lane *lane, const struct batch *b)
{
	struct lane_again *again = &lane->again;

	if (!lacks_table(b)) {
		if (clock_ms() < again->give_up_ms)
			again->give_up_ms = 0;
		return false;
	}
	if (again->give_up_ms == 0) {
		again->give_up_ms = clock_ms() + w->config->foreign_key_wait_ms;
		log_event(LOG_WARN, "cache_not_invalidated_again", "worker", "%d", w->index, "lane",
		    "%s", lane->name, "why", "%s", "a table of its entries is gone or out of reach",
		    "give_up_ms", "%d", w->config->foreign_key_wait_ms, "next", "%s",
		    "tries each second, trims nothing behind that meanwhile, then passes them",
		    NULL);
	}
	if (clock_ms() >= again->give_up_ms) {
		lose(w, lane);
		return false;
	}
	again->not_before_ms = clock_ms() + REST_MS;
	return true;
}

/* Its changes stand there with an empty key. */
static void
pass_lacking(struct batch *b)
{
	struct touched **t = &b->touched;

	while (*t != NULL) {
		if ((*t)->table->problem != NULL)
			*t = (*t)->next;
		else
			t = &(*t)->next;
	}
}

/* -1: source or store failed. */
static int
take(struct worker *w, struct lane *lane, struct batch *b)
{
	struct err err = { 0 };

	if (w->schema_stale || clock_ms() < lane->again.give_up_ms) {
		if (worker_load_schema(w, &err) != 0) {
			lane->again.not_before_ms = clock_ms() + REST_MS;
			return -1;
		}
		w->schema_stale = false;
	}
	batch_reset(b, w->store->ops->schema(w->store));
	if (check(w, lane, &err) == 0 && read_pages(w, b, lane, &err) == 0)
		return 0;
	worker_source_failed(w, &err);
	return -1;
}

static bool
step(struct worker *w, struct lane *lane)
{
	struct batch *b = worker_spare(w);

	if (take(w, lane, b) != 0 || waits_for_table(w, lane, b)) {
		worker_empty(w, b);
		return false;
	}
	b->again = lane;
	pass_lacking(b);
	if (batch_misses_keys(b))
		lose(w, lane);
	if (tend_owes_flush(w)) { /* before the note goes on */
		worker_empty(w, b);
		return false;
	}
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

	if (tend_owes_flush(w)) {
		w->rewind = true;
		return false;
	}
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
