#include "worker/cache/refresh_ring.h"

#include "common/err.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RING_SLOTS = 256, RING_KEY_BYTES = 160 };

struct refresh_ring {
	struct {
		const struct config_table *table;
		size_t len;
		char key[RING_KEY_BYTES];
	} slots[RING_SLOTS];
	_Atomic unsigned head, tail; /* the writer's, the reader's */
};

struct refresh_ring *
refresh_ring_new(void)
{
	struct refresh_ring *ring = calloc(1, sizeof(*ring));

	CHECK(ring != NULL);
	return ring;
}

void
refresh_ring_free(struct refresh_ring **ring)
{
	free(*ring);
	*ring = NULL;
}

void
refresh_ring_put(struct refresh_ring *ring, const struct config_table *table, struct str key)
{
	unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (key.len > RING_KEY_BYTES || head - tail == RING_SLOTS)
		return;
	ring->slots[head % RING_SLOTS].table = table;
	ring->slots[head % RING_SLOTS].len = key.len;
	memcpy(ring->slots[head % RING_SLOTS].key, key.data, key.len);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

bool
refresh_ring_next(struct refresh_ring *ring, const struct config_table **table, struct str *key)
{
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
		return false;
	*table = ring->slots[tail % RING_SLOTS].table;
	*key =
	    (struct str){ ring->slots[tail % RING_SLOTS].key, ring->slots[tail % RING_SLOTS].len };
	return true;
}

void
refresh_ring_taken(struct refresh_ring *ring)
{
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}
