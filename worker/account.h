#ifndef WORKER_ACCOUNT_H
#define WORKER_ACCOUNT_H

#include "worker/worker.h"

/* What a committed batch did, for counters, histograms and the log: dead letters by reason, changes,
 * folded and older ones by table, how late each entry was. */
void account_written(struct worker *w, struct batch *b, const struct write_report *report);
/* Dead letters that were in no batch (by next_kept). */
void account_letters(struct worker *w, const struct entry *first);

#endif
