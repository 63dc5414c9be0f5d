#ifndef WORKER_STORE_LETTER_REPLAY_H
#define WORKER_STORE_LETTER_REPLAY_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"
#include "worker/letter.h"
#include "worker/store/rows.h"

#include <stdbool.h>

/*
 * The SQL behind the store's letters_* (worker/store/store.h): dead letters as the owner of their lane
 * has them in hand.  The functions end their transaction, but for letter_parked_read.
 *
 * States move so, each step in the transaction that does what it says:
 *	dead, parked -> replay | replay_force | drop	by `sluice dead`
 *	replay, replay_force -> applied -> closed	applied; its cache keys are gone
 *	replay, replay_force -> dead | parked		refused again
 *	parked -> applied -> closed			it only followed, and nothing is before it
 *	drop -> (deleted)
 */

/* The words of sluice_dead_letter.state for those that an owner handles. */
extern const char *const letter_states[LETTER_STATES];

int letters_due(struct sql *sql, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err);
int letters_next(struct sql *sql, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err);
int letters_read(struct sql *sql, struct letter_list *list, struct err *err);
int letters_close(struct sql *sql, const struct letter_list *list, struct err *err);
int letters_count(struct sql *sql, struct lane **lanes, size_t count, struct letter_count *counts,
    size_t *counted, struct err *err);

/* The store's letters_write, all of it. */
enum write_result letters_write(struct sql *sql, struct lane *lane, struct letter_list *list,
    struct batch *batch, const struct rows_limits *limits, bool closes, struct write_report *report,
    struct err *err);

/* " WHERE column IN (…)" with the ids of those that are wanted; how many. */
typedef bool letter_wanted(const struct letter *l);
unsigned letters_add_ids(struct buf *b, const struct letter_list *list, const char *column,
    letter_wanted *wanted);

/* The lane's rows of sluice_parked; in the caller's transaction. */
int letter_parked_read(struct sql *sql, const char *lane, struct parked *parked, struct err *err);

#endif
