#ifndef WORKER_WAITING_H
#define WORKER_WAITING_H

#include "worker/worker.h"

/*
 * What people see while the worker waits for MySQL.  A server that hangs answers nothing until
 * mysql.timeout, and until then the lanes are not tended: so the wait itself shows since when it lasts
 * and, once a second, what has come into the streams meanwhile.  Thread: the worker's.
 */
void waiting_begin(struct worker *w);
void waiting_end(struct worker *w);

/* Called now and then during the wait. */
void waiting_show(struct worker *w);

#endif
