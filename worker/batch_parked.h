#ifndef WORKER_BATCH_PARKED_H
#define WORKER_BATCH_PARKED_H

#include "worker/batch.h"

/*
 * Between batch.c and batch_parked.c: what parked keys do to entries while they are folded.  An
 * entry of a parked key is refused as `parked`, and so is every later one that shares a key with
 * it; an entry never splits.
 */

bool batch_any_parks(struct schema *schema);
/* The entry was refused while its change `from` was resolved: find the keys that are not known yet,
 * and block them where the entry parks. */
void batch_park_refused(struct batch *b, struct entry *entry, size_t from);
/* Refuse the entry where one of its keys is parked or blocked; true when it was. */
bool batch_park_behind(struct batch *b, struct entry *entry);

#endif
