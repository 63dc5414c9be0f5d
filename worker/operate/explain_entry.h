#ifndef WORKER_OPERATE_EXPLAIN_ENTRY_H
#define WORKER_OPERATE_EXPLAIN_ENTRY_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/redis.h"

/*
 * What the cache holds under a key, for people: its form, versions, marker, lease, pending write, TTL and
 * size, never the payload, the token or a member.  What the account may not ask is said to be denied.
 * -1: the connection is gone.
 */
int explain_entry(struct redis *redis, struct str key, struct arena *arena, struct buf *out,
    struct err *err);

/* "57", "57, deleted" or "none", of the 21 digits that functions speak. */
void explain_version(struct str digits, struct buf *out);

#endif
