#ifndef WORKER_OPERATE_VERIFY_PAGE_H
#define WORKER_OPERATE_VERIFY_PAGE_H

#include "worker/operate/json.h"
#include "worker/operate/snapshot.h"

/* The verifier's part of a snapshot, of /status and of the metrics (worker/cache/verify.h). */

void verify_page_take(struct snapshot *s, struct verify *verify);
void verify_page_status(const struct snapshot *s, struct json *j);
/* Without a verifier they are all 0: a board finds every series. */
void verify_page_metrics(const struct snapshot *s, struct buf *out);

/* So many of the checks were right, as a number of nines: 2 of 1,000 wrong are 2.7.  Where none was
 * wrong it is at least what one would make. */
double verify_nines(double checks, double wrong);
/* That a dropped invalidation is looked at: picked by the sample, and not dropped by us. */
double verify_chance(double sample, double picked, double dropped);

#endif
