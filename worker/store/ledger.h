#ifndef WORKER_STORE_LEDGER_H
#define WORKER_STORE_LEDGER_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"
#include "worker/store/store.h"

#include <stddef.h>

/*
 * The rows of sluice_ledger: how far each lane is written (position) and invalidated (done), who
 * writes it (epoch, owner), and why it stands still.  ledger_advance is the compare-and-set that
 * exactly-once rests on.
 *
 * Nothing here changes a struct lane.  The functions end their transaction, but for ledger_advance,
 * which is the first statement of its caller's.
 */

/* One lane's way through a compare-and-set: epoch and `from` as we believe them, then the new. */
struct ledger_step {
	const struct lane *lane;
	struct position from, to, done;
	struct checkpoint last; /* of the entry at `to`; hash 0: none */
};

/*
 * Move all of them or none: one UPDATE, rows in the order of the lanes' names (the order every
 * owner locks them in); sorts the steps.  WRITE_OK, WRITE_MISMATCH when a lane isn't where we
 * believed it, or WRITE_ERROR.  A lane that moves was accepted with the number of lanes its source
 * has now, so that is written too.
 */
enum write_result ledger_advance(struct sql *sql, struct ledger_step *steps, size_t count,
    struct err *err);

/*
 * Read a lane's row under a lock.  With an owner also raise the epoch and write the owner's name.
 * Another number of lanes of its source is evidence: it stays until the lane moves or is marked, so
 * that a crash before the answer to it doesn't lose it.
 */
int ledger_load(struct sql *sql, const struct lane *lane, const char *owner, struct ledger_row *row,
    struct err *err);

/* Insert the row of a lane that never had one, epoch 0; where one is nothing happens. */
int ledger_start(struct sql *sql, const struct lane *lane, struct position start,
    const char *identity, struct err *err);

/*
 * Write what halted the lane and what its alarm is ("" for nothing), and its number of lanes; only
 * where the epoch is ours.  A lane that is halted because it has no row (ledger_lost) gets one, at
 * 0-0 and halted, so that it can be listed and given an order.
 */
int ledger_mark(struct sql *sql, const struct lane *lane, struct err *err);

/* Another identity of its source; only where the epoch is ours. */
int ledger_identify(struct sql *sql, const struct lane *lane, const char *identity,
    struct err *err);

/* The alarm alone, in the caller's transaction, which has moved the lane. */
int ledger_set_alarm(struct sql *sql, const struct lane *lane, const char *alarm, struct err *err);

/* The rows whose name begins with prefix, by name; *list is the caller's to free(). */
int ledger_places(struct sql *sql, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err);

/* Another number of lanes for the rows of these names that still have the number in `places`. */
int ledger_recount(struct sql *sql, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err);

/* All rows, for `sluice lane list`, by name. */
struct ledger_listed {
	char name[LANE_NAME_MAX + 1];
	char position[POSITION_TEXT], done[POSITION_TEXT];
	char owner[191], halted[33], alarm[33], command[65];
	char updated_at[32]; /* UTC */
};
int ledger_list(struct sql *sql, struct ledger_listed **list, size_t *count, struct err *err);

#endif
