#ifndef WORKER_OPERATE_VERIFY_WALK_H
#define WORKER_OPERATE_VERIFY_WALK_H

#include "config/config.h"

#include <stdint.h>

/*
 * `sluice verify --once`: a walk over the keys that are in the cache now (SCAN), those of modes versioned
 * and populate compared with their rows, at a bounded rate.  What is in doubt is looked at again when the rest of its page is done and VERIFY_CONFIRM_MS are over.  Nothing is known of the changes that
 * should have fixed a wrong key.
 */
struct verify_walk_options {
	const struct config_table *table; /* NULL: all */
	int64_t sample;			  /* one key in so many */
	int64_t rate;			  /* keys looked at in a second */
	int64_t for_ms;			  /* how long at most; 0: to the end */
};

/* Prints the report; returns an exit code. */
int verify_walk(const struct config *config, const struct verify_walk_options *options);

#endif
