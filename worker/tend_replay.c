#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/worker_batches.h"

#include <string.h>

#define AGAIN_MS 1000
#define REST_MS_MAX 30000
#define COUNT_MS 10000
#define STEPS_ALONGSIDE 10

/*
 * Dead letters applied by the owner of their lane.
 *
 * A pass goes through the open letters of a lane once, by id, LETTERS_STEP at a time, each step a
 * transaction of its own.  `replay_blocked` holds the keys of the letters that stayed; what comes
 * behind them stays too.  While letters are applied the lane is not read, so that what follows a key
 * does not grow for ever; the other lanes go on.
 *
 * A step's cache keys go like a batch's.  Until they are gone its letters are `applied`, and whoever
 * finds such a letter invalidates it again.
 */

/* ---- when ---- */

/* What a new owner, or one who lost its connection, knows: there may be letters that only followed
 * and whose turn it is. */
static void
begin_anew(struct lane *lane)
{
	lane->replaying = false;
	lane->replay_due = lane->parked.count > 0;
	lane->replay_not_before_ms = 0;
	if (lane->state == LANE_HELD && SEE(lane->why) == lane_why_of(LANE_WHY_REPLAY))
		lane_open(lane);
}

int
tend_load_parked(struct worker *w, struct lane *lane, struct err *err)
{
	if (w->store->ops->parked_load(w->store, lane, err) != 0)
		return -1;
	begin_anew(lane);
	return 0;
}

static bool
cache_is_fine(struct worker *w)
{
	return w->cache->ops->is_open(w->cache) || breaker_ready(&w->counters.cache);
}

int
tend_find_marked(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	bool due[1024];
	size_t i, count = 0;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE && !w->lanes[i]->replaying)
			lanes[count++] = w->lanes[i];
	if (count == 0)
		return 0;
	if (w->store->ops->letters_due(w->store, lanes, count, !w->replay.busy && cache_is_fine(w),
		due, err) != 0)
		return -1;
	for (i = 0; i < count; i++)
		lanes[i]->replay_due |= due[i];
	return 0;
}

/* ---- how many ---- */

static void
show_counts(struct worker *w, const struct letter_count *counts, size_t count)
{
	struct counters *c = &w->counters;
	uint64_t by_reason[DEAD_REASONS] = { 0 };

	for (size_t i = 0; i < count; i++)
		by_reason[dead_reason_index(counts[i].reason)] += counts[i].count;
	for (int i = 0; i < DEAD_REASONS; i++)
		SHOW(c->dead_open_by_reason[i], by_reason[i]);
	for (size_t t = 0; t < c->table_count; t++) {
		uint64_t open = 0;

		for (size_t i = 0; i < count; i++)
			if (strcmp(counts[i].table, w->config->tables[t].name) == 0)
				open += counts[i].count;
		SHOW(c->tables[t].dead_open, open);
	}
}

int
tend_count_letters(struct worker *w, struct err *err)
{
	struct letter_count counts[LETTER_COUNTS_MAX];
	struct lane *lanes[1024];
	size_t i, count = 0, counted;

	if (w->letters_counted_ms != 0 && clock_ms() - w->letters_counted_ms < COUNT_MS)
		return 0;
	for (i = 0; i < w->lane_count; i++) {
		SHOW(w->lanes[i]->shown_parked, w->lanes[i]->parked.count);
		if (w->lanes[i]->state != LANE_FREE)
			lanes[count++] = w->lanes[i];
	}
	if (w->store->ops->letters_count(w->store, lanes, count, counts, &counted, err) != 0)
		return -1;
	show_counts(w, counts, counted);
	w->letters_counted_ms = clock_ms();
	return 0;
}

/* ---- the next pass ---- */

static bool
may_begin(const struct lane *lane)
{
	return lane->replay_due && (lane->state == LANE_OPEN || lane->state == LANE_HALTED) &&
	    clock_ms() >= lane->replay_not_before_ms;
}

/* The lane whose pass goes on, or the next one that is due. */
static struct lane *
next_lane(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->replaying)
			return w->lanes[i];
	for (i = 0; i < w->lane_count; i++)
		if (may_begin(w->lanes[i]))
			return w->lanes[i];
	return NULL;
}

static void
begin(struct lane *lane)
{
	lane->replaying = true;
	lane->replay_due = false;
	lane->replay_after = 0;
	lane->replay_begun_ms = clock_ms();
	lane->replay_steps = lane->replay_moved = 0;
	parked_clear(&lane->replay_blocked);
}

/* What follows a key must not grow while its letters are applied, nor for as long as we look. */
static void
hold(struct lane *lane)
{
	if (lane->state == LANE_OPEN &&
	    (lane->replay_moved > 0 || lane->replay_steps > STEPS_ALONGSIDE))
		lane_hold(lane, LANE_WHY_REPLAY, INT64_MAX);
}

/* A pass that was for nothing (what is marked waits behind what isn't) comes again, but not so that
 * it is all the lane does. */
static void
rest_after(struct lane *lane)
{
	int64_t now = clock_ms(), rest_ms = 10 * (now - lane->replay_begun_ms);

	if (lane->replay_due && rest_ms < AGAIN_MS) /* some wait for their table */
		rest_ms = AGAIN_MS;
	if (lane->replay_moved == 0 || lane->replay_due)
		lane->replay_not_before_ms = now + (rest_ms < REST_MS_MAX ? rest_ms : REST_MS_MAX);
}

static void
finish(struct lane *lane)
{
	lane->replaying = false;
	rest_after(lane);
	if (lane->state == LANE_HELD && SEE(lane->why) == lane_why_of(LANE_WHY_REPLAY))
		lane_open(lane);
}

/* ---- which ---- */

static void
block(struct lane *lane, const struct letter *l)
{
	for (unsigned i = 0; i < l->key_count; i++)
		parked_add(&lane->replay_blocked, &l->keys[i]);
}

static bool
is_blocked(const struct lane *lane, const struct letter *l)
{
	for (unsigned i = 0; i < l->key_count; i++) {
		if (parked_blocks(&lane->replay_blocked, &l->keys[i]))
			return true;
	}
	return false;
}

static enum letter_action
action_of(struct worker *w, const struct lane *lane, const struct letter *l)
{
	switch (l->state) {
	case LETTER_IS_PARKED:
		return l->follows && !is_blocked(lane, l) ? LETTER_APPLY : LETTER_STAYS;
	case LETTER_IS_REPLAY:
	case LETTER_IS_FORCE:
		return is_blocked(lane, l) ? LETTER_STAYS : LETTER_APPLY;
	case LETTER_IS_DROP:
		return LETTER_DROP_IT;
	case LETTER_IS_APPLIED:
		return cache_is_fine(w) ? LETTER_INVALIDATE : LETTER_STAYS;
	case LETTER_STATES:
		break;
	}
	return LETTER_STAYS;
}

/* What this step does, as far as memory allows; the rest is the next step's. */
static unsigned
choose(struct worker *w, struct lane *lane)
{
	uint64_t bytes = 0;
	unsigned taken = 0;

	for (struct letter *l = w->replay.list.first; l != NULL; l = l->next) {
		l->action = action_of(w, lane, l);
		if (l->action == LETTER_STAYS)
			block(lane, l);
		else if (l->action != LETTER_DROP_IT)
			bytes += l->bytes;
		if (bytes > (uint64_t)w->config->batch_max_bytes && taken > 0) {
			w->replay.list.last->next = NULL;
			return taken;
		}
		w->replay.list.last = l;
		taken += l->action != LETTER_STAYS;
	}
	return taken;
}

/* An event's image may have the version of the one before it, or none. */
static bool
is_versioned(const struct change *c)
{
	return c->table->version == VERSION_GIVEN && c->shape->fence == FENCE_OLDER;
}

/* Nothing waited for it: only a version, or that nothing came behind it, makes it right to apply. */
static const char *
why_not(const struct lane *lane, const struct letter *l)
{
	const struct entry *e = &l->entry;

	if (l->key_count > 0 || l->state != LETTER_IS_REPLAY || e->refusal.reason != NULL)
		return NULL;
	for (size_t i = 0; i < e->change_count; i++) {
		const struct change *c = &e->changes[i];

		if (c->op == CHANGE_INVALIDATE || is_versioned(c))
			continue;
		if (l->forked)
			return "not applied: nobody knows whether it was before its stream forked, "
			       "and no version of it tells; `dead replay --force` applies it "
			       "anyway";
		if (position_compare(l->place, lane->position) != 0 ||
		    parked_blocks_entry(&lane->parked, e))
			return "not applied: later changes of its key may have been, and no "
			       "version of it tells; `dead replay --force` applies it anyway";
	}
	return NULL;
}

/* Now that its changes are known. */
static void
judge(struct worker *w, struct lane *lane)
{
	for (struct letter *l = w->replay.list.first; l != NULL; l = l->next) {
		if (l->action != LETTER_APPLY)
			continue;
		l->denied = why_not(lane, l);
		if (l->denied != NULL)
			l->action = LETTER_DENY;
	}
}

/* ---- a step ---- */

static void
account(struct worker *w, struct lane *lane, const struct write_report *report)
{
	unsigned applied = 0, refused = 0, dropped = 0;

	for (struct letter *l = w->replay.list.first; l != NULL; l = l->next) {
		applied += l->action == LETTER_APPLY && !l->refused;
		refused += l->refused || l->action == LETTER_DENY;
		dropped += l->action == LETTER_DROP_IT;
		/* what waits behind one that stayed waits for it */
		if (l->action == LETTER_STAYS || l->refused)
			block(lane, l);
	}
	lane->replay_moved += applied + refused + dropped;
	COUNT(w->counters.replayed, applied);
	COUNT(w->counters.replays_refused, refused);
	COUNT(w->counters.rows, report->rows);
	COUNT(w->counters.older, report->older);
	COUNT(w->counters.statements, report->statements);
	w->letters_counted_ms = 0;
	if (applied + refused + dropped > 0)
		log_event(LOG_INFO, "dead_letters_replayed", "worker", "%d", w->index, "lane", "%s",
		    lane->name, "applied", "%u", applied, "refused", "%u", refused, "dropped", "%u",
		    dropped, "parked_keys", "%zu", lane->parked.count, NULL);
}

/* The step's batch goes the way of every batch that is written. */
static void
send_keys(struct worker *w, struct batch *b)
{
	batch_seal(b);
	batch_mark_written(b);
	w->replay.busy = true;
	w->invalidating = b;
}

/* It is tried again, and what is read meanwhile is not held up. */
static void
put_off(struct worker *w, struct lane *lane, const struct err *err)
{
	log_event(LOG_WARN, "replay_retry", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "code", "%d", err->code, "error", "%s", err->text, NULL);
	finish(lane);
	lane->replay_due = true;
	lane->replay_not_before_ms = clock_ms() + AGAIN_MS;
}

static bool
waits_for_table(const struct letter *l)
{
	for (size_t i = 0; i < l->entry.change_count && l->entry.refusal.reason == NULL; i++) {
		if (l->entry.changes[i].table->problem != NULL)
			return true;
	}
	return false;
}

static void
fill_batch(struct worker *w, struct batch *b)
{
	batch_reset(b, w->store->ops->schema(w->store));
	batch_take_letters(b, &w->replay.list);
}

/* -1: the store is gone.  What is wrong with letters alone is no reason to doubt the store. */
static int
failed(struct worker *w, struct lane *lane, const struct err *err)
{
	if (!w->store->ops->is_open(w->store))
		return -1;
	put_off(w, lane, err);
	return 0;
}

/* What waits for its table stays, and so does what is behind it, until another pass: no mark tells of
 * a letter that only follows. */
static void
leave_waiting(struct worker *w, struct lane *lane)
{
	for (struct letter *l = w->replay.list.first; l != NULL; l = l->next) {
		bool taken = l->action == LETTER_APPLY || l->action == LETTER_INVALIDATE;

		if (!taken || (!waits_for_table(l) && !is_blocked(lane, l)))
			continue;
		l->action = LETTER_STAYS;
		block(lane, l);
		lane->replay_due = true;
	}
}

/*
 * A name that we don't know may be what was repaired: once in a pass the tables are looked at.  A
 * letter whose table can't be written has nothing to do in a transaction.
 */
static int
take_letters(struct worker *w, struct lane *lane, struct batch *b, struct err *err)
{
	bool looked = w->schema_ms >= lane->replay_begun_ms;

	fill_batch(w, b);
	if (b->wants_schema && !looked) {
		worker_empty(w, b);
		if (worker_load_schema(w, err) != 0)
			return -1;
		looked = true;
		fill_batch(w, b);
	}
	if (b->has_problem) {
		leave_waiting(w, lane);
		worker_empty(w, b);
		fill_batch(w, b);
	}
	b->schema_tried = looked;
	return 0;
}

/* Returns what became of it; WRITE_OK: the batch is on its way to the cache. */
static enum write_result
write_step(struct worker *w, struct lane *lane, struct err *err)
{
	struct batch *b = worker_spare(w);
	struct write_report report = { 0 };
	enum write_result result;
	bool closes;

	if (take_letters(w, lane, b, err) != 0)
		return WRITE_ERROR;
	judge(w, lane);
	if (!worker_recall(w, b, &w->replay.list, err)) {
		worker_empty(w, b);
		return WRITE_ERROR;
	}
	closes = !batch_has_keys(b);
	result =
	    w->store->ops->letters_write(w->store, lane, &w->replay.list, b, closes, &report, err);
	w->pinged_ms = clock_ms();
	if (result == WRITE_OK) {
		account(w, lane, &report);
		send_keys(w, b);
	} else {
		worker_empty(w, b);
	}
	return result;
}

static int
step(struct worker *w, struct lane *lane, struct err *err)
{
	struct letter_list *list = &w->replay.list;
	enum write_result result = WRITE_OK;
	unsigned count;

	arena_reset(&list->arena);
	list->first = list->last = NULL;
	list->count = 0;
	list->outbox = false;
	if (w->store->ops->letters_next(w->store, lane, lane->replay_after, list, err) != 0)
		return failed(w, lane, err);
	count = list->count;
	if (count > 0 && choose(w, lane) > 0) {
		if (w->store->ops->letters_read(w->store, list, err) != 0)
			return failed(w, lane, err);
		result = write_step(w, lane, err);
	}
	switch (result) {
	case WRITE_OK:
		break;
	case WRITE_MISMATCH:
		return tend_mismatch(w, err);
	case WRITE_SCHEMA: /* and the same step once more */
		return worker_load_schema(w, err);
	case WRITE_LEAVE:
	case WRITE_ONE_BY_ONE:
	case WRITE_ERROR:
		return failed(w, lane, err);
	}
	if (count == 0) {
		finish(lane);
		return 0;
	}
	lane->replay_after = list->last->id;
	lane->replay_steps++;
	hold(lane);
	return 0;
}

bool
tend_is_replaying(const struct worker *w)
{
	for (size_t i = 0; i < w->lane_count; i++) {
		if (w->lanes[i]->replaying && w->lanes[i]->state == LANE_HELD)
			return true;
	}
	return false;
}

bool
tend_replay(struct worker *w)
{
	struct err err = { 0 };
	struct lane *lane;

	if (w->replay.answered) {
		if (w->store->ops->letters_close(w->store, &w->replay.list, &err) != 0)
			goto fail;
		w->replay.answered = false;
	}
	lane = w->writing == NULL ? next_lane(w) : NULL;
	if (lane == NULL || w->invalidating != NULL || w->replay.busy || SEE(*w->stop))
		return false;
	if (!lane->replaying)
		begin(lane);
	if (step(w, lane, &err) != 0)
		goto fail;
	return true;
fail:
	breaker_failed(&w->counters.mysql, err.text);
	log_event(LOG_WARN, "replay_failed", "worker", "%d", w->index, "error", "%s", err.text,
	    NULL);
	return false;
}
