#include "worker/worker_batches.h"

#include "common/clock.h"

#include <string.h>

#define SCHEMA_MS 200 /* schema loads are at least so far apart */

void
worker_init(struct worker *w, const struct config *config, int index, struct lane **lanes,
    size_t lane_count, _Atomic int *stop)
{
	size_t i;

	memset(w, 0, sizeof(*w));
	w->config = config;
	w->index = index;
	w->lanes = lanes;
	w->lane_count = lane_count;
	w->stop = stop;
	w->wake_fd = -1;
	random_init(&w->random, random_seed());
	w->source_breaker = &w->counters.redis;
	counters_init(&w->counters, config->table_count, &w->random);
	for (i = 0; i < 3; i++) {
		batch_init(&w->batches[i]);
		batch_reset(&w->batches[i], NULL);
	}
	arena_init(&w->replay.list.arena, 256 * 1024);
	w->filling = &w->batches[0];
	w->rate_ms = clock_ms();
}

void
worker_empty(struct worker *w, struct batch *b)
{
	struct delivery *d, *next;

	if (w->store != NULL)
		w->store->ops->forget(w->store, b);
	for (d = b->deliveries; d != NULL; d = next) {
		next = d->next;
		w->source->ops->recycle(w->source, &d);
	}
	b->deliveries = NULL;
	batch_reset(b, w->store != NULL ? w->store->ops->schema(w->store) : NULL);
}

void
worker_deinit(struct worker *w)
{
	int i;

	for (i = 0; i < 3; i++) {
		worker_empty(w, &w->batches[i]);
		batch_deinit(&w->batches[i]);
	}
	for (size_t l = 0; l < w->lane_count; l++)
		parked_deinit(&w->lanes[l]->parked), parked_deinit(&w->lanes[l]->replay_blocked);
	if (w->cache != NULL)
		w->cache->ops->free(&w->cache);
	if (w->source != NULL)
		w->source->ops->free(&w->source);
	if (w->store != NULL)
		w->store->ops->free(&w->store);
	arena_deinit(&w->replay.list.arena);
	counters_deinit(&w->counters);
}

struct batch *
worker_spare(struct worker *w)
{
	int i;

	for (i = 0; i < 3; i++)
		if (&w->batches[i] != w->filling && &w->batches[i] != w->writing &&
		    &w->batches[i] != w->invalidating)
			return &w->batches[i];
	return NULL;
}

void
worker_drop_writing(struct worker *w)
{
	if (w->writing != NULL)
		worker_empty(w, w->writing);
	w->writing = NULL;
}

void
worker_drop_read(struct worker *w)
{
	worker_drop_writing(w);
	worker_empty(w, w->filling);
}

void
worker_drop_lane(struct worker *w, struct lane *lane)
{
	w->store->ops->forget(w->store, w->filling);
	batch_drop_lane(w->filling, lane, NULL);
	if (w->writing == NULL)
		return;
	w->store->ops->forget(w->store, w->writing);
	batch_drop_lane(w->writing, lane, NULL);
	if (batch_is_empty(w->writing))
		worker_drop_writing(w);
}

void
worker_drop_unwritten(struct worker *w, struct lane *lane)
{
	if (w->writing == NULL || w->writing->state == BATCH_SEALED) {
		worker_drop_lane(w, lane);
		return;
	}
	w->store->ops->forget(w->store, w->filling);
	batch_drop_lane(w->filling, lane, NULL);
}

void
worker_forget_invalidating(struct worker *w, const struct lane *lane)
{
	struct batch_lane *bl =
	    w->invalidating != NULL ? batch_lane_find(w->invalidating, lane) : NULL;

	/* what waits for a pass is of the same rows, and is read again with them */
	if (bl != NULL)
		bl->after = (struct position){ UINT64_MAX, UINT64_MAX };
}

void
worker_rebuild(struct worker *w, struct batch *b)
{
	w->store->ops->forget(w->store, b);
	batch_rebuild(b, w->store->ops->schema(w->store));
}

/* Did an earlier transaction write something of this batch whose keys may be in the outbox? */
static bool
has_outbox(const struct batch *b)
{
	for (const struct batch_lane *bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->lane->outbox && position_compare(bl->after, bl->lane->position) < 0)
			return true;
	}
	return b->replays && schema_reads_rows(b->schema);
}

bool
worker_recall(struct worker *w, struct batch *b, struct letter_list *list, struct err *err)
{
	return !has_outbox(b) || w->store->ops->recall(w->store, b, list, err) == 0;
}

int
worker_load_schema(struct worker *w, struct err *err)
{
	int64_t begun_ms;

	if (w->invalidating != NULL)
		w->invalidating->touched = NULL; /* they were rendered when they were sent */
	w->store->ops->forget(w->store, w->filling);
	if (w->writing != NULL)
		w->store->ops->forget(w->store, w->writing);
	begun_ms = clock_ms();
	if (w->store->ops->load_schema(w->store, err) != 0)
		return -1;
	w->schema_ms = begun_ms;
	worker_rebuild(w, w->filling);
	if (w->writing != NULL)
		worker_rebuild(w, w->writing);
	return 0;
}

bool
worker_look_again(struct worker *w, struct err *err)
{
	struct batch *b = w->writing;

	if (w->schema_stale) {
		if (worker_load_schema(w, err) != 0)
			return false;
		w->schema_stale = false;
		return true;
	}
	if (!b->wants_schema || b->schema_tried)
		return true;
	if ((clock_ms() - w->schema_ms >= SCHEMA_MS || w->schema_ms <= b->sealed_ms) &&
	    worker_load_schema(w, err) != 0)
		return false;
	b->schema_tried = true;
	return true;
}
