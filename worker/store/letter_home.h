#ifndef WORKER_STORE_LETTER_HOME_H
#define WORKER_STORE_LETTER_HOME_H

#include "common/err.h"
#include "worker/change.h"
#include "worker/lane.h"

#include <stddef.h>

struct config;
struct lane_order;

/*
 * Where lanes that don't write keep their dead letters: a stream of Redis (letter_stream.c), a topic of
 * Kafka (letter_topic.c), or what the simulation has.  One home per worker, used by that worker's thread only.
 */
struct letter_home;

struct letter_home_ops {
	/* Keep these entries (by next_kept from `first`: those refused and not done_before), whole,
	 * with their reasons.  0: all of them are kept; *written counts them.  -1: nothing is known: the
	 * same ones come again, and then a letter may be there twice. */
	int (*write)(struct letter_home *home, const struct entry *first, unsigned *written,
	    struct err *err);
	/* What people ordered for these lanes since the last call, each order once; orders[i].kind is
	 * ORDER_NONE where there is none. */
	int (*orders)(struct letter_home *home, struct lane **lanes, size_t count,
	    struct lane_order *orders, struct err *err);
	void (*free)(struct letter_home **home);
};

struct letter_home {
	const struct letter_home_ops *ops;
};

/* The stream that `dead_letters` names, and the orders beside it. */
struct letter_home *letter_stream_new(const struct config *config, int worker);
/* The topic that it names instead. */
struct letter_home *letter_topic_new(const struct config *config, int worker);
/* The one of the two that the configuration has. */
struct letter_home *letter_home_new(const struct config *config, int worker);

#endif
