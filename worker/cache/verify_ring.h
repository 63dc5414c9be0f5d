#ifndef WORKER_CACHE_VERIFY_RING_H
#define WORKER_CACHE_VERIFY_RING_H

#include "common/str.h"
#include "worker/cache/verify_judge.h"
#include "worker/position.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Keys that a worker has just invalidated, on their way to the verifier: those that its sample picks.
 * One writer, one reader, no lock; a full ring drops what is put into it, and counts it.
 */
enum { VERIFY_KEY_MAX = 200, VERIFY_RING_SLOTS = 1024 };

struct lane;

/* An invalidation that was answered. */
struct verify_told {
	const struct config_table *table;
	const struct config_template *template;
	struct str key;
	struct verify_said said;
	const struct lane *lane; /* of the change that it tells of; NULL: not known */
	struct position change;	 /* its entry */
	bool up_to;		 /* that one, or one before it in its batch */
	int64_t at_ms, at_wall_ms;
};

struct verify_ring;
/* One key in `sample` is picked. */
struct verify_ring *verify_ring_new(int64_t sample);
void verify_ring_free(struct verify_ring **ring);

/* The writer's: is the next invalidation looked at again? */
bool verify_ring_picks(struct verify_ring *ring);
/* Copied, with the time of now. */
void verify_ring_put(struct verify_ring *ring, const struct verify_told *told);

/* The reader's: the oldest one, its key valid until it is taken; false: there is none. */
bool verify_ring_next(struct verify_ring *ring, struct verify_told *told);
void verify_ring_taken(struct verify_ring *ring);

/* So far: invalidations that could have been picked, those that were, and those of them that found no
 * room or had a key above VERIFY_KEY_MAX bytes. */
struct verify_ring_counts {
	_Atomic uint64_t told, picked, dropped;
};
struct verify_ring_counts *verify_ring_counts(struct verify_ring *ring);

#endif
