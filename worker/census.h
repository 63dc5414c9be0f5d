#ifndef WORKER_CENSUS_H
#define WORKER_CENSUS_H

#include "worker/worker.h"

/*
 * Lanes that the ledger knows and the config doesn't, or not any more.
 *
 * Another number of lanes sends a row's changes through another lane than before.  Until the old
 * lanes are written to their ends, a new one must not start: it could overtake them.
 */

/*
 * May the lane start?  1 yes: no lane of its source was written under another number of lanes, or all
 * that were hold nothing beyond their done (then the ledger is told the new number).  0 no: `text`
 * names one that does.  -1: a server could not be asked.
 */
int census_settled(struct worker *w, const struct lane *lane, char *text, size_t size,
    struct err *err);

/* An alarm for each lane of our pool that holds entries beyond its done and that nobody is configured
 * to read.  The first worker's, twice a minute. */
int census_unread(struct worker *w, struct err *err);

#endif
