#include "worker/worker_batches.h"

#include "common/clock.h"

#include <string.h>

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
	random_init(&w->random, random_seed());
	counters_init(&w->counters, config->table_count, &w->random);
	for (i = 0; i < 3; i++) {
		batch_init(&w->batches[i]);
		batch_reset(&w->batches[i], NULL);
	}
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
	if (w->cache != NULL)
		w->cache->ops->free(&w->cache);
	if (w->source != NULL)
		w->source->ops->free(&w->source);
	if (w->store != NULL)
		w->store->ops->free(&w->store);
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

bool
worker_rate_allows(struct worker *w)
{
	int64_t now = clock_ms();
	size_t lanes = config_lane_count(w->config), workers = (size_t)w->config->workers;
	double rate =
	    (double)w->config->max_rows_per_second / (double)(workers < lanes ? workers : lanes);

	if (w->config->max_rows_per_second == 0)
		return true;
	w->rate_credit += rate * (double)(now - w->rate_ms) / 1000.0;
	if (w->rate_credit > rate)
		w->rate_credit = rate;
	w->rate_ms = now;
	return w->rate_credit > 0;
}

void
worker_answer(struct lane *lane, const struct batch_lane *bl)
{
	if (position_compare(bl->after, lane->answered) == 0) {
		lane->passed += bl->entries;
	} else {
		lane->passed_from = bl->last;
		lane->passed = 0;
	}
	lane->answered = bl->last;
	lane->answered_hash = checkpoint_hash(bl->last_entry);
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

	if (bl != NULL)
		bl->after = (struct position){ UINT64_MAX, UINT64_MAX };
}

static void
rebuild(struct worker *w, struct batch *b)
{
	w->store->ops->forget(w->store, b);
	batch_rebuild(b, w->store->ops->schema(w->store));
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
	rebuild(w, w->filling);
	if (w->writing != NULL)
		rebuild(w, w->writing);
	return 0;
}
