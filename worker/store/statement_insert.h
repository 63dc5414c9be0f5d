#ifndef WORKER_STORE_STATEMENT_INSERT_H
#define WORKER_STORE_STATEMENT_INSERT_H

#include "worker/store/statement.h"

/* Microseconds since 1970 at the server, exact (the product of two decimals), one for a
 * statement. */
#define NOW_US "UNIX_TIMESTAMP(NOW(6))*1000000"

/* INSERT of as many steps as fit, with upsert … ON DUPLICATE KEY UPDATE.  As statement_add. */
unsigned statement_insert(struct buf *out, const struct statement *s, bool upsert);

#endif
