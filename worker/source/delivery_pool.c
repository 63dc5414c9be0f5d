#include "worker/source/delivery_pool.h"

#include "common/err.h"

#include <stdlib.h>

struct delivery *
delivery_pool_take(struct delivery_pool *pool)
{
	struct delivery *d = pool->spare;

	if (d != NULL) {
		pool->spare = d->next;
		pool->spare_bytes -= d->held_bytes;
	} else {
		d = calloc(1, sizeof(*d));
		CHECK(d != NULL);
		arena_init(&d->arena, pool->spare_max);
	}
	d->first = NULL;
	d->count = 0;
	d->next = NULL;
	return d;
}

static void
delivery_free(struct delivery *d)
{
	arena_deinit(&d->arena);
	free(d);
}

void
delivery_pool_put(struct delivery_pool *pool, struct delivery **delivery)
{
	struct delivery *d = *delivery;

	if (d == NULL)
		return;
	*delivery = NULL;
	d->held_bytes = arena_bytes(&d->arena);
	if (pool->spare_bytes + d->held_bytes > pool->spare_max) {
		delivery_free(d);
		return;
	}
	arena_reset(&d->arena);
	d->next = pool->spare;
	pool->spare = d;
	pool->spare_bytes += d->held_bytes;
}

void
delivery_pool_empty(struct delivery_pool *pool)
{
	struct delivery *d;

	while ((d = pool->spare) != NULL) {
		pool->spare = d->next;
		delivery_free(d);
	}
	pool->spare_bytes = 0;
}
