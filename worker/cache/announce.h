#ifndef WORKER_CACHE_ANNOUNCE_H
#define WORKER_CACHE_ANNOUNCE_H

#include "common/buf.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What process-local caches are told of a key that was invalidated: one line of JSON, to a channel or
 * a capped stream (field `message`) of the cache's server.  Its members only grow, and always stand
 * in this order:
 *	table	text; null: of all tables
 *	key	text, as in Redis; null: all keys
 *	version	text of the row's version, since many readers keep numbers as doubles; null: none known
 *	reason	changed, deleted; unversioned (no version says how old a copy may be); tag, scan: a key
 *		found by its set or pattern; flushed: the cache was emptied, every copy is to go
 *	pool	text
 *	at	ms since 1970
 *	key_base64	only of a key that isn't UTF-8, which no JSON text can be
 */
enum { ANNOUNCE_WORDS = 8 };

struct announcement {
	const char *table, *reason;
	struct str key; /* no data, and no table: all of them */
	bool has_version;
	uint64_t version;
};

bool announce_is_on(const struct config *config);
/* The words of the command, whose message is made in *message.  Returns how many. */
int announce_command(const struct config *config, const struct announcement *a, struct buf *message,
    struct str *argv);

#endif
