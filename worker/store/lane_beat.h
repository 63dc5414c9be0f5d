#ifndef WORKER_STORE_LANE_BEAT_H
#define WORKER_STORE_LANE_BEAT_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Ownership of lanes by heartbeat: the ledger's `owner` names the member, and that member has written
 * its heartbeat within the last LANE_BEAT_TTL_S seconds, by the server's clock.  `me` is our own name.
 */
#define LANE_BEAT_TTL_S 10

/* theirs[i]: the heartbeat of somebody else owns it (NULL: no).  Ends its transaction. */
int lane_beat_find(struct sql *sql, const char *me, struct lane **lanes, size_t count, bool *theirs,
    struct err *err);

/*
 * Write our name into the lane's row and raise its epoch, in one statement, unless the heartbeat of
 * somebody else owns it.  A lane without a row is nobody's: *owned too; who then makes the row and
 * raises its epoch last has it.
 */
int lane_beat_take(struct sql *sql, const char *me, const struct lane *lane, bool *owned,
    struct err *err);
int lane_beat_give(struct sql *sql, const char *me, const struct lane *lane, struct err *err);

#endif
