#ifndef WORKER_STORE_LANE_BEAT_H
#define WORKER_STORE_LANE_BEAT_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Ownership of lanes by heartbeat: the ledger's `owner` names the member, and that member lives.
 * Who lives is the caller's to know: `others` is a list of SQL texts, "'a','b'", of the members that
 * live by their heartbeat and aren't us; "" when there are none.
 */

/* theirs[i]: one of the others owns it (NULL: no).  Ends its transaction. */
int lane_beat_find(struct sql *sql, const char *others, struct lane **lanes, size_t count,
    bool *theirs, struct err *err);

/*
 * Write our name into the lane's row and raise its epoch, in one statement, unless one of the others
 * owns it.  A lane without a row is nobody's: *owned too; the one whose row it will be raises the
 * epoch once more.
 */
int lane_beat_take(struct sql *sql, const char *others, const char *me, const struct lane *lane,
    bool *owned, struct err *err);
int lane_beat_give(struct sql *sql, const char *me, const struct lane *lane, struct err *err);

#endif
