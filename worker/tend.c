#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/census.h"

#include <stdio.h>
#include <string.h>

#define TEND_MS 1000
#define RELEASE_MS 1000
#define CENSUS_MS 30000
#define HOLD_MS_MIN 100
#define HOLD_MS_MAX 5000
#define MISMATCHES_MAX 3

static void
log_lane(struct worker *w, enum log_level level, const char *event, const struct lane *lane,
    const char *why, const char *next)
{
	char position[POSITION_TEXT];

	log_event(level, event, "worker", "%d", w->index, "lane", "%s", lane->name, "position",
	    "%s", position_text(lane->position, position), "why", "%s", why, "next", "%s", next,
	    NULL);
}

/* ---- states that outlive us ---- */

/* Best effort: when the store is away the mark is written with the next one. */
static void
mark(struct worker *w, struct lane *lane)
{
	struct err err = { 0 };

	if (!w->store->ops->is_open(w->store))
		return;
	if (w->store->ops->mark(w->store, lane, &err) == 0)
		lane->marked = lane->state == LANE_HALTED ? atomic_load(&lane->why) : NULL;
	else
		log_event(LOG_WARN, "mark_failed", "worker", "%d", w->index, "lane", "%s",
		    lane->name, "error", "%s", err.text, NULL);
}

void
tend_halt(struct worker *w, struct lane *lane, const char *why, const char *text)
{
	lane_halt(lane, why);
	mark(w, lane);
	log_event(LOG_ERROR, "lane_halted", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "why", "%s", why, "error", "%s", text, "next", "%s",
	    "waits for `sluice lane resume` or `skip`", NULL);
}

static void
alarm_lane(struct worker *w, struct lane *lane, const char *why, const char *text)
{
	if (atomic_load(&lane->alarm) == why)
		return;
	atomic_store(&lane->alarm, why);
	mark(w, lane);
	log_event(LOG_ERROR, "lane_alarm", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "why", "%s", why, "error", "%s", text, "next", "%s",
	    "goes on; `sluice lane ack` clears it", NULL);
}

/* ---- becoming the owner ---- */

static void
place_lane(struct lane *lane, const struct ledger_row *row)
{
	lane->epoch = row->epoch;
	lane->position = row->position;
	lane->done = lane->answered = lane->cursor = row->done;
	lane->unreleased_bytes = 0;
	snprintf(lane->identity, sizeof(lane->identity), "%s", row->identity);
	lane_show(lane);
}

static void
lose_lane(struct worker *w, struct lane *lane, const char *why)
{
	COUNT(w->counters.fenced, 1);
	log_lane(w, LOG_WARN, "lane_lost", lane, why, "another owner goes on with it");
	worker_drop_lane(w, lane); /* what is left of it must not meet the lane when it comes back */
	w->source->ops->close_lane(w->source, lane);
	lane_free(lane);
}

/*
 * Read a lane's row and go on from there.  With another epoch it has another owner by now: taking that
 * over would make two of one epoch.
 */
static int
read_place(struct worker *w, struct lane *lane, bool *ours, struct err *err)
{
	struct ledger_row row = { 0 };

	*ours = false;
	if (w->store->ops->load(w->store, lane, false, &row, err) != 0)
		return -1;
	if (!row.found)
		return 0;
	if (row.epoch == lane->epoch) {
		place_lane(lane, &row);
		*ours = true;
		return 0;
	}
	if (w->store->ops->disown(w->store, lane, err) != 0)
		return -1;
	lose_lane(w, lane, "its ledger row has another owner");
	return 0;
}

/* A lane that never had a row: insert it, then leave the traces that say so. */
static int
start_lane(struct worker *w, struct lane *lane, struct ledger_row *row,
    const struct source_look *look, struct err *err)
{
	char identity[64] = "";

	if (look->identity[0] != '\0')
		snprintf(identity, sizeof(identity), "%s", look->identity);
	else
		w->source->ops->new_identity(w->source, lane, identity);
	if (w->store->ops->start(w->store, lane, look->start, identity, err) != 0)
		return -1;
	return w->store->ops->load(w->store, lane, true, row, err);
}

/* What stood between done and position is gone with the keys that could be derived from it. */
static void
skip_lost(struct lane *lane, const struct source_look *look)
{
	if (!look->nothing_left || position_compare(lane->cursor, lane->answered) != 0 ||
	    position_compare(lane->cursor, lane->position) >= 0)
		return;
	lane->cursor = lane->answered = lane->position;
	lane->unreleased_bytes = 0;
}

/* What the look says about a lane of ours. */
static void
obey_look(struct worker *w, struct lane *lane, const struct source_look *look)
{
	switch (look->result) {
	case LOOK_OK:
	case LOOK_FRESH:
		return;
	case LOOK_LEDGER_LOST:
		tend_halt(w, lane, LANE_WHY_LEDGER_LOST, look->text);
		return;
	case LOOK_IDENTITY:
		tend_halt(w, lane, LANE_WHY_IDENTITY, look->text);
		return;
	case LOOK_WRONG_TYPE:
		lane_hold(lane, LANE_WHY_WRONG_TYPE, clock_ms() + HOLD_MS_MAX);
		log_lane(w, LOG_ERROR, "lane_held", lane, look->text, "looks again in 5 s");
		return;
	case LOOK_GAP:
		skip_lost(lane, look);
		if (look->cannot_lift || lane->source->on_gap == ON_GAP_HALT) {
			atomic_store(&lane->alarm, LANE_WHY_GAP);
			tend_halt(w, lane, LANE_WHY_GAP, look->text);
		} else {
			alarm_lane(w, lane, LANE_WHY_GAP, look->text);
		}
		return;
	}
}

/* The lock is ours: ledger row, then the source beside it, then read. */
static int
adopt_lane(struct worker *w, struct lane *lane, struct err *err)
{
	struct ledger_row row = { 0 };
	struct source_look look = { 0 };
	char text[400];
	int settled = census_settled(w, lane, text, sizeof(text), err);

	if (settled < 0)
		return -1;
	if (settled == 0) {
		atomic_store(&lane->why, LANE_WHY_LANES_CHANGED);
		return err_set(err, ERR_RETRY, 0, "lanes_changed: %s", text);
	}
	if (w->store->ops->load(w->store, lane, true, &row, err) != 0)
		return -1;
	place_lane(lane, &row);
	atomic_store(&lane->alarm, lane_why_of(row.alarm));
	lane_open(lane);
	if (w->source->ops->look(w->source, lane, &row, &look, err) != 0) {
		lane_free(lane);
		return -1;
	}
	if (look.result == LOOK_WRONG_TYPE && !row.found) {
		lane_free(lane);
		atomic_store(&lane->why, LANE_WHY_WRONG_TYPE);
		return err_set(err, ERR_RETRY, 0, "wrong_type: %s", look.text);
	}
	if (look.result == LOOK_FRESH) {
		if (start_lane(w, lane, &row, &look, err) != 0) {
			lane_free(lane);
			return -1;
		}
		place_lane(lane, &row);
	}
	if (row.halted[0] != '\0') {
		lane_halt(lane, lane_why_of(row.halted));
		lane->marked = atomic_load(&lane->why);
	} else {
		obey_look(w, lane, &look);
	}
	if (row.found &&
	    (look.result == LOOK_OK || look.result == LOOK_FRESH || look.result == LOOK_GAP) &&
	    w->source->ops->settle(w->source, lane, row.identity, err) != 0) {
		lane_free(lane);
		return -1;
	}
	log_lane(w, LOG_INFO, "lane_owned", lane, lane_state_name(lane->state), "reads from done");
	return 0;
}

static size_t
lanes_in(struct worker *w, enum lane_state state, struct lane **out)
{
	size_t i, count = 0;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state == state)
			out[count++] = w->lanes[i];
	return count;
}

static void
count_owned(struct worker *w)
{
	struct lane *lanes[1024];

	SHOW(w->counters.lanes_owned, (int)(w->lane_count - lanes_in(w, LANE_FREE, lanes)));
}

/* Take lanes that nobody owns. */
static int
take_free_lanes(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	bool owned[1024];
	size_t i, count = lanes_in(w, LANE_FREE, lanes);

	if (count == 0 || !w->source->ops->is_open(w->source) || SEE(*w->stop))
		return 0;
	if (w->store->ops->own(w->store, lanes, count, owned, err) != 0)
		return -1;
	for (i = 0; i < count; i++) {
		struct err look_err = { 0 };

		if (!owned[i])
			continue;
		if (adopt_lane(w, lanes[i], &look_err) == 0)
			continue;
		if (!w->store->ops->is_open(w->store)) {
			*err = look_err;
			return -1;
		}
		w->store->ops->disown(w->store, lanes[i], err);
		if (!w->source->ops->is_open(w->source)) {
			worker_source_failed(w, &look_err);
			return 0;
		}
		log_lane(w, LOG_WARN, "lane_not_adopted", lanes[i], look_err.text, "tries again");
	}
	count_owned(w);
	return 0;
}

/* ---- orders, holds, record, release ---- */

/* Start a halted lane from what the ledger says now, or behind the order's place. */
static int
resume_lane(struct worker *w, struct lane *lane, const struct lane_order *order, struct err *err)
{
	bool ours;

	worker_drop_lane(w, lane);
	if (read_place(w, lane, &ours, err) != 0)
		return -1;
	/* given twice, or late: going back would apply again what follows it */
	if (!ours || (order->kind == ORDER_SKIP &&
			 position_compare(order->position, lane->position) < 0))
		return 0;
	if (order->has_position && position_compare(order->position, lane->position) != 0 &&
	    (w->store->ops->move(w->store, lane, order->position, err) != 0 ||
		read_place(w, lane, &ours, err) != 0))
		return -1;
	if (!ours)
		return 0;
	memset(&lane->recent, 0, sizeof(lane->recent));
	lane_open(lane);
	mark(w, lane);
	log_lane(w, LOG_INFO, "lane_resumed", lane, "by order", "reads from done");
	return 0;
}

static int
obey_order(struct worker *w, struct lane *lane, const struct lane_order *order, struct err *err)
{
	switch (order->kind) {
	case ORDER_NONE:
		return 0;
	case ORDER_ACK:
		atomic_store(&lane->alarm, NULL);
		mark(w, lane);
		log_lane(w, LOG_INFO, "lane_acknowledged", lane, "by order", "");
		return 0;
	case ORDER_RESUME:
	case ORDER_SKIP:
		if (lane->state != LANE_HALTED && lane->state != LANE_HELD)
			return 0;
		return resume_lane(w, lane, order, err);
	}
	return 0;
}

static int
obey_orders(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	struct lane_order orders[1024];
	size_t i, count = 0;

	/* an order goes past what was read and not yet written: that comes first */
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE &&
		    (w->writing == NULL || batch_lane_find(w->writing, w->lanes[i]) == NULL))
			lanes[count++] = w->lanes[i];
	if (count == 0)
		return 0;
	memset(orders, 0, count * sizeof(*orders));
	if (w->store->ops->orders(w->store, lanes, count, orders, err) != 0)
		return -1;
	for (i = 0; i < count; i++)
		if (obey_order(w, lanes[i], &orders[i], err) != 0)
			return -1;
	return 0;
}

static void
wake_held(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state != LANE_HELD || clock_ms() < lane->hold_until_ms)
			continue;
		if (atomic_load(&lane->why) == lane_why_of(LANE_WHY_TABLE))
			w->schema_stale = true;
		lane_open(lane);
	}
}

/* Lanes that the source halted, or that halted while the store was away. */
static void
mark_halted(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state == LANE_HALTED &&
		    w->lanes[i]->marked != atomic_load(&w->lanes[i]->why))
			mark(w, w->lanes[i]);
}

int
tend_record(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	size_t i, count = 0;

	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE || position_compare(lane->answered, lane->done) <= 0)
			continue;
		lane->recording = lane->answered;
		lanes[count++] = lane;
	}
	if (count == 0)
		return 0;
	switch (w->store->ops->record(w->store, lanes, count, err)) {
	case WRITE_OK:
		break;
	case WRITE_MISMATCH:
		return tend_mismatch(w, err);
	case WRITE_LEAVE:
	case WRITE_ONE_BY_ONE:
	case WRITE_SCHEMA:
	case WRITE_ERROR:
		return -1;
	}
	for (i = 0; i < count; i++) {
		lanes[i]->done = lanes[i]->recording;
		lane_show(lanes[i]);
	}
	return 0;
}

static void
release_lanes(struct worker *w)
{
	size_t i;

	if (!w->source->ops->is_open(w->source))
		return;
	for (i = 0; i < w->lane_count; i++) {
		struct source_look look = { 0 };
		struct err err = { 0 };

		if (w->lanes[i]->state == LANE_FREE)
			continue;
		if (w->source->ops->release(w->source, w->lanes[i], &look, &err) != 0) {
			worker_source_failed(w, &err);
			return;
		}
		if (w->lanes[i]->state == LANE_OPEN)
			obey_look(w, w->lanes[i], &look);
	}
}

static void
show_memory(struct worker *w)
{
	const struct delivery *d;
	size_t bytes = 0;
	int i;

	for (i = 0; i < 3; i++) {
		bytes += arena_bytes(&w->batches[i].arena);
		for (d = w->batches[i].deliveries; d != NULL; d = d->next)
			bytes += arena_bytes(&d->arena);
	}
	SHOW(w->counters.memory_bytes, bytes);
}

static void
take_census(struct worker *w)
{
	struct err err = { 0 };

	if (w->index != 0 || !w->source->ops->is_open(w->source) ||
	    (w->census_ms != 0 && clock_ms() - w->census_ms < CENSUS_MS))
		return;
	w->census_ms = clock_ms();
	if (census_unread(w, &err) != 0 && !w->source->ops->is_open(w->source))
		worker_source_failed(w, &err);
}

void
tend_lanes(struct worker *w)
{
	struct err err = { 0 };

	wake_held(w);
	if (clock_ms() - w->tended_ms < TEND_MS && w->tended_ms != 0)
		return;
	w->tended_ms = clock_ms();
	if (take_free_lanes(w, &err) != 0 || obey_orders(w, &err) != 0 ||
	    tend_record(w, &err) != 0) {
		breaker_failed(&w->counters.mysql, err.text);
		log_event(LOG_WARN, "tend_failed", "worker", "%d", w->index, "error", "%s",
		    err.text, NULL);
		return;
	}
	if (breaker_worked(&w->counters.mysql))
		log_event(LOG_INFO, "store_connected", "worker", "%d", w->index, NULL);
	show_memory(w);
	mark_halted(w);
	release_lanes(w);
	take_census(w);
}

/* ---- after something broke ---- */

/* An outage is no time in which a parent row could have come. */
static void
wait_anew(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->parent_wait_ms == 0)
			continue;
		lane->parent_wait_ms = clock_ms();
		lane->parent_wait_id_ms =
		    (uint64_t)clock_wall_ms() + (uint64_t)w->config->foreign_key_wait_ms;
	}
}

/* Nothing we read counts any more: the lanes start again from the ledger. */
static int
start_over(struct worker *w, struct err *err)
{
	size_t i;
	bool ours;

	worker_drop_read(w);
	/* all of them first: when the store fails halfway, none may go on behind what was dropped */
	for (i = 0; i < w->lane_count; i++) {
		w->lanes[i]->cursor = w->lanes[i]->answered;
		w->lanes[i]->unreleased_bytes = 0;
	}
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE &&
		    read_place(w, w->lanes[i], &ours, err) != 0)
			return -1;
	count_owned(w);
	return 0;
}

int
tend_mismatch(struct worker *w, struct err *err)
{
	size_t i;

	COUNT(w->counters.mismatches, 1);
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];
		struct ledger_row row = { 0 };

		if (lane->state == LANE_FREE)
			continue;
		if (w->store->ops->load(w->store, lane, false, &row, err) != 0)
			return -1;
		if (row.found && row.epoch == lane->epoch &&
		    position_compare(row.position, lane->position) == 0)
			continue;
		lane->mismatches++;
		if (row.found && row.epoch == lane->epoch && lane->mismatches < MISMATCHES_MAX)
			continue;
		if (w->store->ops->disown(w->store, lane, err) != 0)
			return -1;
		lose_lane(w, lane,
		    row.found ? "the ledger moved under us" : "its ledger row is gone");
	}
	count_owned(w);
	return start_over(w, err);
}

/* Where the ledger has a lane. */
struct place {
	struct position position, done;
};

/* Where the ledger stands for the lanes of the batch being written: -1 before it, 1 behind it, 0
 * somewhere else or mixed. */
static int
where_is(const struct batch *b, struct lane *const *lanes, const struct place *places,
    size_t count)
{
	const struct batch_lane *bl;
	int where = 0;
	size_t i;

	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		int here;

		if (!bl->writes)
			continue;
		for (i = 0; i < count && lanes[i] != bl->lane; i++)
			;
		if (i == count)
			return 0;
		if (position_compare(places[i].position, bl->to) == 0)
			here = 1;
		else if (position_compare(places[i].position, bl->from) == 0)
			here = -1;
		else
			return 0;
		if (where != 0 && where != here)
			return 0;
		where = here;
	}
	return where != 0 ? where : -1; /* nothing to write: as good as before it */
}

/* What the ledger has as done may be further than we know: the reply to it was lost. */
static void
learn_done(struct lane *lane, struct position done)
{
	if (position_compare(done, lane->done) > 0)
		lane->done = done;
	if (position_compare(done, lane->answered) > 0)
		lane->answered = done;
}

/* Own the lanes we had, again; fills places for those that are still ours and packs them together. */
static int
own_again(struct worker *w, struct lane **lanes, struct place *places, size_t *count,
    struct err *err)
{
	bool owned[1024];
	size_t i, kept = 0;

	if (*count > 0 && w->store->ops->own(w->store, lanes, *count, owned, err) != 0)
		return -1;
	for (i = 0; i < *count; i++) {
		struct ledger_row row = { 0 };

		if (!owned[i]) {
			lose_lane(w, lanes[i], "another owner took it while the store was away");
			continue;
		}
		if (w->store->ops->load(w->store, lanes[i], true, &row, err) != 0)
			return -1;
		if (!row.found) {
			if (lanes[i]->state != LANE_HALTED)
				lose_lane(w, lanes[i], "its ledger row is gone");
			continue;
		}
		lanes[i]->epoch = row.epoch;
		lanes[kept] = lanes[i];
		places[kept++] = (struct place){ row.position, row.done };
	}
	*count = kept;
	return 0;
}

int
tend_recover(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	struct place places[1024];
	size_t i, count = 0, before;
	bool committed, stale = false;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE)
			lanes[count++] = w->lanes[i];
	before = count;
	wait_anew(w);
	if (own_again(w, lanes, places, &count, err) != 0)
		return -1;
	count_owned(w);
	committed = w->writing != NULL && w->writing->state == BATCH_SEALED && count == before &&
	    where_is(w->writing, lanes, places, count) == 1;
	if (committed)
		worker_committed(w);
	for (i = 0; i < count; i++) {
		if (position_compare(places[i].position, lanes[i]->position) == 0)
			learn_done(lanes[i], places[i].done);
		else
			stale = true;
	}
	if (committed || (!stale && count == before))
		return 0;
	COUNT(w->counters.mismatches, stale);
	return start_over(w, err);
}

int
tend_source_opened(struct worker *w, struct err *err)
{
	size_t i;

	wait_anew(w);
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];
		struct source_look look = { 0 };
		struct ledger_row row = { 0 };

		if (lane->state != LANE_OPEN)
			continue;
		row.found = true;
		row.epoch = lane->epoch;
		row.position = lane->position;
		row.done = lane->done;
		snprintf(row.identity, sizeof(row.identity), "%s", lane->identity);
		if (w->source->ops->look(w->source, lane, &row, &look, err) != 0)
			return -1;
		obey_look(w, lane, &look);
	}
	return 0;
}

/* ---- leaving ---- */

static int64_t
hold_for(struct worker *w, struct lane *lane, const struct batch_lane *bl)
{
	int64_t wait = HOLD_MS_MIN;
	int i;

	if (bl->leave_for_ms > 0)
		return bl->leave_for_ms;
	for (i = 0; i < lane->hold_tries && wait < HOLD_MS_MAX; i++)
		wait *= 2;
	lane->hold_tries++;
	return random_jitter(&w->random, wait < HOLD_MS_MAX ? wait : HOLD_MS_MAX);
}

/* Is something of the lane still to be written before the entry at which it leaves? */
static bool
has_more_before(const struct batch *b, const struct batch_lane *bl)
{
	const struct entry *e;

	for (e = b->first; e != NULL && bl->leave_at != NULL && e != bl->leave_at; e = e->next_kept)
		if (e->lane == bl->lane && !e->done_before)
			return true;
	return false;
}

static void
leave_lane(struct worker *w, const struct batch *b, const struct batch_lane *bl)
{
	struct lane *lane = bl->lane;
	int64_t wait;

	if (lane->state == LANE_HALTED)
		return;
	/* A halted lane stands before the entry that halts it: `lane skip` goes past nothing else.  So
	 * what comes before is written first, and then it meets that entry again. */
	if (bl->leave_halts && !has_more_before(b, bl)) {
		tend_halt(w, lane, bl->leave_why, "an entry it can't go past");
		return;
	}
	wait = hold_for(w, lane, bl);
	if (strcmp(bl->leave_why, LANE_WHY_ROW_LOCK) == 0)
		lane->probe = true;
	if (strcmp(bl->leave_why, LANE_WHY_FOREIGN_KEY) == 0 && lane->parent_wait_ms == 0) {
		lane->parent_wait_ms = clock_ms();
		lane->parent_wait_id_ms =
		    (uint64_t)clock_wall_ms() + (uint64_t)w->config->foreign_key_wait_ms;
	}
	lane_hold(lane, lane_why_of(bl->leave_why), clock_ms() + wait);
	log_event(LOG_WARN, "lane_held", "worker", "%d", w->index, "lane", "%s", lane->name, "why",
	    "%s", bl->leave_why, "wait_ms", "%lld", (long long)wait, "next", "%s",
	    "the other lanes go on", NULL);
}

void
tend_leaving(struct worker *w, struct batch *b)
{
	struct batch_lane *bl;

	w->store->ops->forget(w->store, b);
	w->store->ops->forget(w->store, w->filling);
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->leave_why == NULL)
			continue;
		batch_drop_lane(w->filling, bl->lane, NULL);
		leave_lane(w, b, bl);
	}
	batch_rebuild(b, b->schema);
	if (!batch_is_empty(b))
		return;
	worker_drop_writing(w);
}

void
tend_leave(struct worker *w)
{
	struct err err = { 0 };
	size_t i;

	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE)
			continue;
		if (w->store->ops->is_open(w->store))
			w->store->ops->disown(w->store, lane, &err);
	}
}
