#ifndef WORKER_CACHE_TAG_H
#define WORKER_CACHE_TAG_H

#include "worker/cache/round.h"

/*
 * Mode tag: the key is a set, its members are the keys to invalidate (all sessions of a user, all
 * pages with a product).  Page by page: each member in the unversioned form, a plain key by UNLINK;
 * when all of a page are answered its members leave the set, which itself is never deleted.
 *
 * A member that joins again between its invalidation and its leaving is protected by its quarantine,
 * within which it can't be filled.  So members may leave only in the first half of it, by the
 * server's own clock, and a reader has the other half between joining and sluice_get.
 */
/* Remember a tag of the round; its key is copied. */
void tag_add(struct round *r, const struct expected *expected, struct str key);
/* Ask for the next page of the first tag. */
int tag_ask(struct round *r, struct err *err);
int tag_answer(struct round *r, const struct expected *expected, const struct redis_reply *reply,
    bool wrong_type, struct err *err);

#endif
