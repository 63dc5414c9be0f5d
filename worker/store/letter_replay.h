#ifndef WORKER_STORE_LETTER_REPLAY_H
#define WORKER_STORE_LETTER_REPLAY_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"

/* The lane's rows of sluice_parked as lane->parked; in the caller's transaction. */
int letter_parked_read(struct sql *sql, const char *lane, struct parked *parked, struct err *err);

#endif
