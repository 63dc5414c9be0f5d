#ifndef WORKER_CACHE_UNTOUCHED_H
#define WORKER_CACHE_UNTOUCHED_H

#include "common/map.h"
#include "common/str.h"
#include "config/config.h"

#include <stdbool.h>

/*
 * Keys that no invalidation touches, whatever a template renders: our own ("sluice:…"), where the
 * cache is the source's server and database the lanes' streams, and the stream that announcements go
 * to.  Names are borrowed from the configuration.
 */
struct untouched {
	struct map names;
};

void untouched_init(struct untouched *u, const struct config *config);
void untouched_deinit(struct untouched *u);
bool untouched_holds(const struct untouched *u, struct str key);

#endif
