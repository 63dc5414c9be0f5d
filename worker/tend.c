#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/census.h"

#include <stdio.h>
#include <string.h>

#define TEND_MS 1000
#define CENSUS_MS 30000
#define SCHEMA_LOOK_MS 20000

/* Whoever lets a lane with another identity go on says that the stream is the right one. */
static bool
claim_lane(struct worker *w, struct lane *lane)
{
	struct err err = { 0 };

	if (w->source->ops->is_open(w->source) &&
	    w->source->ops->claim(w->source, lane, lane->identity, &err) == 0 &&
	    (!lane->is_partition ||
		w->store->ops->identify(w->store, lane, lane->identity, &err) == 0))
		return true;
	tend_log(w, LOG_WARN, "lane_not_resumed", lane, err.text, "give the order again");
	return false;
}

/* Of the entry that stands there, to know the stream by it again; 0: none, or it can't be asked, or
 * the stream may be another already. */
static uint64_t
hash_standing_at(struct worker *w, struct lane *lane, struct position at)
{
	struct position before = at;
	struct delivery *page = NULL;
	struct err err = { 0 };
	uint64_t hash = 0;

	before.major -= before.minor == 0;
	before.minor--;
	if (position_is_none(at) || lane->look_again || !w->source->ops->is_open(w->source) ||
	    w->source->ops->range(w->source, lane, before, at, &page, &err) != 0 || page == NULL)
		return 0;
	if (page->first != NULL && page->first->raw_count > 0)
		hash = checkpoint_hash(page->first);
	w->source->ops->recycle(w->source, &page);
	return hash;
}

/* By order: no entry need stand there. */
static int
move_lane(struct worker *w, struct lane *lane, struct position to, struct err *err)
{
	struct checkpoints before = lane->checkpoints;

	/* where one stands at the place already, it is of what was found there later */
	if (checkpoints_hash_at(&before, lane->position) != 0 &&
	    (before.count == 0 || position_compare(before.list[0].id, lane->position) < 0))
		checkpoints_add(&lane->checkpoints, lane->position,
		    checkpoints_hash_at(&before, lane->position));
	checkpoints_add(&lane->checkpoints, to, hash_standing_at(w, lane, to));
	lane->checkpoints.last.hash = 0;
	if (w->store->ops->move(w->store, lane, to, err) == 0) {
		lane->note_anew = true;
		return 0;
	}
	lane->checkpoints = before;
	return -1;
}

/* The ledger's place means nothing in a topic that was made anew; and a log that ended before it may have
 * grown past it by now.  What stands before that place would be passed over: whoever lets such a partition
 * go on says where. */
static bool
wants_place(struct worker *w, struct lane *lane, const struct lane_order *order)
{
	const char *why = atomic_load(&lane->why);

	if (!lane->is_partition || order->has_position ||
	    (why != lane_why_of(LANE_WHY_ROLLBACK) && why != lane_why_of(LANE_WHY_IDENTITY)))
		return false;
	tend_log(w, LOG_WARN, "lane_not_resumed", lane,
	    "its position is another log's, and nobody knows where new records begin",
	    "give the order again with --start OFFSET");
	return true;
}

/* Start a halted lane from what the ledger says now, or behind the order's place. */
static int
resume_lane(struct worker *w, struct lane *lane, const struct lane_order *order, struct err *err)
{
	bool ours, other = atomic_load(&lane->why) == lane_why_of(LANE_WHY_IDENTITY);

	if (wants_place(w, lane, order))
		return 0;
	worker_drop_lane(w, lane);
	if (tend_read_place(w, lane, &ours, err) != 0)
		return -1;
	/* given twice, or late: going back would apply again what follows it */
	if (ours) /* what is on its way to the cache was read from another place */
		worker_forget_invalidating(w, lane);
	if (!ours ||
	    (order->kind == ORDER_SKIP && position_compare(order->position, lane->position) < 0))
		return 0;
	/* where a partition stays, other records may stand now */
	if (order->has_position &&
	    (lane->is_partition || position_compare(order->position, lane->position) != 0) &&
	    (move_lane(w, lane, order->position, err) != 0 ||
		tend_read_place(w, lane, &ours, err) != 0))
		return -1;
	if (!ours)
		return 0;
	if (other && !claim_lane(w, lane))
		return 0;
	memset(&lane->recent, 0, sizeof(lane->recent));
	lane_open(lane);
	tend_mark(w, lane);
	tend_log(w, LOG_INFO, "lane_resumed", lane, "by order", "reads from done");
	return 0;
}

static int
obey_order(struct worker *w, struct lane *lane, const struct lane_order *order, struct err *err)
{
	bool ours;

	switch (order->kind) {
	case ORDER_NONE:
		return 0;
	case ORDER_NOT_OURS: /* an idle lane might not learn it otherwise */
		return tend_read_place(w, lane, &ours, err);
	case ORDER_ACK:
		tend_acknowledge(w, lane);
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

	/* an order goes past what was read and not yet written: that comes first, and so does a look
	 * that is due */
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE && !w->lanes[i]->recall &&
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
			tend_mark(w, w->lanes[i]);
}

/* Before the record that makes it `done`, and so before anything is trimmed up to it. */
static void
take_checkpoint(struct lane *lane)
{
	const struct checkpoints *c = &lane->checkpoints;

	if (lane->answered_hash != 0 && !lane->look_again &&
	    (c->count == 0 || position_compare(c->list[0].id, lane->answered) < 0))
		checkpoints_add(&lane->checkpoints, lane->answered, lane->answered_hash);
}

int
tend_record(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	size_t i, count = 0;

	tend_notes(w); /* first: whoever comes after us takes `done` for what the cache knew */
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE)
			continue;
		take_checkpoint(lane);
		lane->recording = lane_recordable(lane);
		if (position_compare(lane->recording, lane->done) <= 0 &&
		    !lane->checkpoints.changed)
			continue;
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
		lanes[i]->outbox &= position_compare(lanes[i]->done, lanes[i]->position) < 0;
		lanes[i]->checkpoints.changed = false;
		lane_show(lanes[i]);
	}
	return 0;
}

/* Nothing is asked where no lane ever had such keys. */
static int
count_outbox(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	size_t i, count = 0;
	uint64_t rows = 0;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE && w->lanes[i]->outbox)
			lanes[count++] = w->lanes[i];
	if (count > 0 && w->store->ops->outbox_count(w->store, lanes, count, &rows, err) != 0)
		return -1;
	SHOW(w->counters.outbox_rows, rows);
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

		/* what wasn't looked at may be another stream: nothing of it is trimmed */
		if (w->lanes[i]->state == LANE_FREE || w->lanes[i]->look_again)
			continue;
		if (w->source->ops->release(w->source, w->lanes[i], &look, &err) != 0) {
			worker_source_failed(w, &err);
			return;
		}
		if (w->lanes[i]->state != LANE_OPEN ||
		    tend_obey_look(w, w->lanes[i], &look, &err) == 0)
			continue;
		w->lanes[i]->look_again = true;
		if (!w->source->ops->is_open(w->source)) {
			worker_source_failed(w, &err);
			return;
		}
		tend_log(w, LOG_WARN, "look_failed", w->lanes[i], err.text, "looks again");
	}
}

static void
show_memory(struct worker *w)
{
	const struct delivery *d;
	size_t bytes = 0;
	int i;

	for (i = 0; i < 3; i++) {
		bytes += arena_bytes(&w->batches[i].arena) + arena_bytes(&w->batches[i].owed.arena);
		for (d = w->batches[i].deliveries; d != NULL; d = d->next)
			bytes += arena_bytes(&d->arena);
	}
	bytes += arena_bytes(&w->replay.list.arena);
	SHOW(w->counters.memory_bytes, bytes);
}

static void
take_census(struct worker *w)
{
	struct err err = { 0 };

	if (w->index != 0 || w->table != NULL || w->share.standby ||
	    !w->source->ops->is_open(w->source) ||
	    (w->census_ms != 0 && clock_ms() - w->census_ms < CENSUS_MS))
		return;
	w->census_ms = clock_ms();
	if (census_unread(w, &err) != 0 && !w->source->ops->is_open(w->source))
		worker_source_failed(w, &err);
}

/*
 * A new trigger, CHECK or index refuses nothing by itself: the fold would break its law unnoticed.  So
 * we look, which is a handful of questions, and load the schema before the next batch.
 */
static int
look_at_schema(struct worker *w, struct err *err)
{
	int64_t now = clock_ms();
	bool changed = false;

	if (w->schema_stale || now - w->schema_ms < SCHEMA_LOOK_MS ||
	    now - w->schema_looked_ms < SCHEMA_LOOK_MS)
		return 0;
	w->schema_looked_ms = now;
	if (w->store->ops->look_schema(w->store, &changed, err) != 0)
		return w->store->ops->is_open(w->store) ? 0 : -1;
	if (!changed)
		return 0;
	w->schema_stale = true;
	log_event(LOG_INFO, "schema_changed", "worker", "%d", w->index, "next", "%s",
	    "loaded before the next batch", NULL);
	return 0;
}

static void
tend_failed(struct worker *w, const struct err *err)
{
	breaker_failed(&w->counters.mysql, err->text);
	log_event(LOG_WARN, "tend_failed", "worker", "%d", w->index, "error", "%s", err->text,
	    NULL);
}

/* Where the source is gone the store's work goes on. */
static void
look_again(struct worker *w)
{
	struct err err = { 0 };

	if (tend_look_again(w, &err) != 0)
		worker_source_failed(w, &err);
}

void
tend_lanes(struct worker *w)
{
	struct err err = { 0 };
	bool failed;

	wake_held(w);
	if ((w->table != NULL ? tend_assigned(w, &err) : tend_share(w, &err)) != 0) {
		tend_failed(w, &err);
		return;
	}
	if (clock_ms() - w->tended_ms < TEND_MS && w->tended_ms != 0)
		return;
	w->tended_ms = clock_ms();
	/* done first: an order must not go over what is written and not yet known as invalidated */
	failed = tend_record(w, &err) != 0;
	if (!failed)
		look_again(w);
	if (failed || obey_orders(w, &err) != 0 || tend_find_marked(w, &err) != 0 ||
	    tend_count_letters(w, &err) != 0 || count_outbox(w, &err) != 0 ||
	    look_at_schema(w, &err) != 0) {
		tend_failed(w, &err);
		return;
	}
	/* a batch that fails again and again keeps its own back-off */
	if (w->writing == NULL && breaker_worked(&w->counters.mysql))
		log_event(LOG_INFO, "store_connected", "worker", "%d", w->index, NULL);
	show_memory(w);
	mark_halted(w);
	release_lanes(w);
	take_census(w);
}
