#ifndef WORKER_CACHE_VERIFY_WAIT_H
#define WORKER_CACHE_VERIFY_WAIT_H

#include "worker/cache/verify_ring.h"

#include <stddef.h>

/*
 * Keys that wait for their next look: VERIFY_LOOKS of them, so long after the invalidation, and a
 * second look where one was in doubt.  Memory is fixed: one that finds no room is refused.  A look that
 * comes too late proves nothing of its time and is left out; the later ones follow all the same.
 * Thread: its owner's.
 */
enum { VERIFY_LOOKS = 3 };
int64_t verify_look_ms(unsigned look);	     /* 1 s, 1 min, 5 min */
const char *verify_look_name(unsigned look); /* "1s" "1m" "5m" */

struct verify_item {
	struct verify_told told; /* its key is in key[] */
	char key[VERIFY_KEY_MAX];
	uint64_t serial; /* of the invalidation; 0: it is spare */
	unsigned look;	 /* the next one */
	bool confirms;	 /* ... is the second one, after `first` */
	struct verify_seen first;
	int64_t due_ms;
	struct verify_item *next;
};

struct verify_queue {
	struct verify_item *first, *last;
};

struct verify_wait {
	struct verify_item *items, *spare;
	size_t room, used, made; /* made: of items[], the rest was never touched */
	uint64_t serial;
	struct verify_queue queues[VERIFY_LOOKS + 1]; /* the last one: second looks */
};

void verify_wait_init(struct verify_wait *w, size_t room);
void verify_wait_deinit(struct verify_wait *w);

/* Copied.  False: there is no room. */
bool verify_wait_add(struct verify_wait *w, const struct verify_told *told);

/* Take out what is due, the longest due first, at most `max`; *late counts looks that were left out. */
size_t verify_wait_due(struct verify_wait *w, int64_t now_ms, struct verify_item **items,
    size_t max, uint64_t *late);

/* Of one that was taken out: its look is done, or is to be done a second time. */
void verify_wait_looked(struct verify_wait *w, struct verify_item *item);
void verify_wait_again(struct verify_wait *w, struct verify_item *item, int64_t now_ms);

/* The last invalidation of the item's key that is known: the item itself, or a later one that waits.
 * Goes through all of them. */
const struct verify_item *verify_wait_newest(const struct verify_wait *w,
    const struct verify_item *item);

#endif
