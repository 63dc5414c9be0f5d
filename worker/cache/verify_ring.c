#include "worker/cache/verify_ring.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/random.h"
#include "worker/operate/counters.h"

#include <stdlib.h>
#include <string.h>

struct verify_ring {
	/* set before start */
	uint64_t sample;
	/* writer only */
	struct random random;
	/* shared */
	struct {
		struct verify_told told;
		char key[VERIFY_KEY_MAX];
	} slots[VERIFY_RING_SLOTS];
	_Atomic unsigned head, tail; /* the writer's, the reader's */
	struct verify_ring_counts counts;
};

struct verify_ring *
verify_ring_new(int64_t sample)
{
	struct verify_ring *ring = calloc(1, sizeof(*ring));

	CHECK(ring != NULL && sample > 0);
	ring->sample = (uint64_t)sample;
	random_init(&ring->random, random_seed());
	return ring;
}

void
verify_ring_free(struct verify_ring **ring)
{
	free(*ring);
	*ring = NULL;
}

bool
verify_ring_picks(struct verify_ring *ring)
{
	COUNT(ring->counts.told, 1);
	if (ring->sample > 1 && random_below(&ring->random, ring->sample) != 0)
		return false;
	COUNT(ring->counts.picked, 1);
	return true;
}

void
verify_ring_put(struct verify_ring *ring, const struct verify_told *told)
{
	unsigned head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	unsigned at = head % VERIFY_RING_SLOTS;

	if (told->key.len > VERIFY_KEY_MAX || head - tail == VERIFY_RING_SLOTS) {
		COUNT(ring->counts.dropped, 1);
		return;
	}
	ring->slots[at].told = *told;
	ring->slots[at].told.at_ms = clock_ms();
	ring->slots[at].told.at_wall_ms = clock_wall_ms();
	memcpy(ring->slots[at].key, told->key.data, told->key.len);
	ring->slots[at].told.key.data = ring->slots[at].key;
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

bool
verify_ring_next(struct verify_ring *ring, struct verify_told *told)
{
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
		return false;
	*told = ring->slots[tail % VERIFY_RING_SLOTS].told;
	return true;
}

void
verify_ring_taken(struct verify_ring *ring)
{
	unsigned tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
}

struct verify_ring_counts *
verify_ring_counts(struct verify_ring *ring)
{
	return &ring->counts;
}
