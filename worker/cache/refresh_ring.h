#ifndef WORKER_CACHE_REFRESH_RING_H
#define WORKER_CACHE_REFRESH_RING_H

#include "common/str.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Keys that a worker has just invalidated, on their way to the refresher.  One writer, one reader, no
 * lock; a full ring forgets what is put into it (the next reader loads that key).
 */
struct refresh_ring;
struct refresh_ring *refresh_ring_new(void);
void refresh_ring_free(struct refresh_ring **ring);

/* The writer's. */
void refresh_ring_put(struct refresh_ring *ring, const struct config_table *table, struct str key);
/* The reader's: the oldest one, valid until it is taken; false: there is none. */
bool refresh_ring_next(struct refresh_ring *ring, const struct config_table **table,
    struct str *key);
void refresh_ring_taken(struct refresh_ring *ring);

#endif
