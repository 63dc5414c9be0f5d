#ifndef WORKER_STORE_LANE_LOCK_H
#define WORKER_STORE_LANE_LOCK_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Ownership of lanes: a user lock (GET_LOCK) per lane, held by the worker's own session and gone
 * with it.  For efficiency only; safety is the ledger's compare-and-set.  User locks are one name
 * space for the whole server, so the name is a hash of schema and lane.  It must stay the same from
 * release to release: processes of two releases share the lanes during an upgrade.
 */
#define LANE_LOCK_MAX 64

/* "sluice:" and the FNV-1a hash, 128 bits, of database, a zero byte and the lane's name. */
void lane_lock_name(const char *database, const char *lane, char out[LANE_LOCK_MAX]);

/* Never waits.  A lane that is ours already is ours still (and is held once).  lanes[i] == NULL:
 * owned[i] is false. */
int lane_lock_take(struct sql *sql, const char *database, struct lane **lanes, size_t count,
    bool *owned, struct err *err);
/* is_free[i]: nobody else holds the lock of lanes[i] now; NULL: false. */
int lane_lock_find_free(struct sql *sql, const char *database, struct lane **lanes, size_t count,
    bool *is_free, struct err *err);
int lane_lock_give(struct sql *sql, const char *database, const struct lane *lane, struct err *err);

#endif
