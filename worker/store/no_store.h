#ifndef WORKER_STORE_NO_STORE_H
#define WORKER_STORE_NO_STORE_H

#include "worker/store/letter_home.h"
#include "worker/store/store.h"

/*
 * The store of a worker whose lanes only invalidate: no rows, no ledger, no MySQL.
 *
 * A batch is "written" when its dead letters are; what it leaves to do are its keys.  A lane's places
 * are kept in memory and are as good as the source's: where a lane begins that has no row here, the
 * source's look says (LOOK_FRESH and `start`), and how far it is answered, the source acknowledges by
 * itself (lane->answered, lane->done).  Every lane that is free is ours: who may read what is the
 * source's business, too; a lane that was disowned begins anew.
 *
 * The schema is made of the configuration and of what MySQL, where it is configured, told another worker
 * of this process; it is waited for at the start only, and for two seconds at most.  Letters, and the orders of `sluice
 * lane`, are kept by the home, which is taken.
 */
struct store *no_store_new(const struct config *config, struct letter_home **home);

#endif
