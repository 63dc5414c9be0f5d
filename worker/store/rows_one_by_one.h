#ifndef WORKER_STORE_ROWS_ONE_BY_ONE_H
#define WORKER_STORE_ROWS_ONE_BY_ONE_H

#include "worker/store/rows_writer.h"

/*
 * Changes as they came, each a statement of its own: the law in batch.h needs no argument here.
 */

/* The changes of a refused step's bucket, from the step's first on; what is refused marks its
 * entry. STOPPED with WRITE_ONE_BY_ONE when a refusal turns out to depend on other rows. */
enum outcome one_by_one_bucket(struct writer *w, struct step *step);

/*
 * The whole batch, entry by entry in lane order, several changes of an entry all or nothing.
 * Entries refused because of other rows are tried again at the end, unless a later entry has
 * changed the same row.  A child whose parent row may come by another lane blocks its lane: STOPPED
 * with WRITE_LEAVE, until the lane's wait for parents (worker/lane.h) is over or all those lanes
 * are past it.
 */
enum outcome one_by_one_batch(struct writer *w);

/*
 * Dead letters in the order they were written, each by itself.  One refused again is marked
 * (letter->refused) and blocks its keys: letters behind it get LETTER_STAYS.  Nothing waits for a
 * parent row.
 */
enum outcome one_by_one_letters(struct writer *w);

/* May a row of a table that `table` references come by a lane other than this one? */
bool one_by_one_parent_may_come(const struct config *config, const struct table *table,
    const struct lane *lane);

#endif
