#ifndef TESTS_SUPPORT_CACHE_RIG_H
#define TESTS_SUPPORT_CACHE_RIG_H

#include "common/random.h"
#include "worker/cache/cache.h"

#include <pthread.h>

/*
 * Against a server of our own that speaks enough of the protocol to record the keys of each UNLINK
 * and the words of each function's call, and to give a scripted answer.  Its clock stands at 7 s.
 */
struct cache_rig_server {
	char path[64];
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;	 /* held by the thread while it looks below */
	const char *answer;	 /* to UNLINK; NULL: the number of keys; "": none */
	const char *call_answer; /* to functions; NULL: NEW */
	unsigned commands, keys, most_keys;
	struct buf seen; /* keys, a newline behind each */
};

/* A table of one text key column with up to four templates, and a batch that touched its rows. */
struct cache_rig {
	struct cache_rig_server server;
	const char *streams[2];
	struct config_source source;
	struct config config;
	struct config_table config_table;
	struct config_template written[4];
	struct key_template templates[4];
	struct table table;
	struct batch batch;
	struct counters counters;
	struct random random;
	struct cache *cache;
};

void cache_rig_open(struct cache_rig *f, const char *answer, const char *const *templates,
    size_t count);
/* The same with all templates in this mode, as the defaults of the configuration have them. */
void cache_rig_open_mode(struct cache_rig *f, enum config_mode mode, const char *const *templates,
    size_t count);
void cache_rig_close(struct cache_rig *f);

/* Returns the row, which has no changes yet. */
struct touched *cache_rig_touch(struct cache_rig *f, const char *id);
void cache_rig_add(struct touched *row, struct change *change, struct entry *entry);

/* Connect, send the batch and wait for all answers; what poll says last, or -1. */
int cache_rig_round(struct cache_rig *f, struct err *err);

#endif
