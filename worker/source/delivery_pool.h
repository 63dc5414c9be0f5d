#ifndef WORKER_SOURCE_DELIVERY_POOL_H
#define WORKER_SOURCE_DELIVERY_POOL_H

#include "worker/change.h"

/*
 * Deliveries that are used again: a steady source allocates nothing, and what a burst took is given
 * back, because all spare ones together hold at most spare_max bytes.
 * Thread: the source's worker.  Owns the spare deliveries, not those it gave out.
 */
struct delivery_pool {
	size_t spare_max; /* bytes */
	struct delivery *spare;
	size_t spare_bytes;
};

/* An empty delivery, the caller's until it is put back. */
struct delivery *delivery_pool_take(struct delivery_pool *pool);
/* Takes back *delivery, which may be NULL, and makes it NULL. */
void delivery_pool_put(struct delivery_pool *pool, struct delivery **delivery);
/* Free the spare ones. */
void delivery_pool_empty(struct delivery_pool *pool);

#endif
