#ifndef WORKER_OPERATE_METRICS_H
#define WORKER_OPERATE_METRICS_H

#include "common/buf.h"
#include "worker/operate/snapshot.h"

/*
 * A snapshot in the Prometheus text format 0.0.4.
 *
 * Every series is there from the first scrape on, at 0: an alert on a counter sees its first step.
 * Labels are bounded by the configuration: at most METRIC_LANES_MAX lanes (with more of them a
 * series is a source instead, and with more sources than that there is one series `all`), at most
 * METRIC_TABLES_MAX tables (the rest together are `other`), and fixed words.
 */
enum { METRIC_LANES_MAX = 200, METRIC_TABLES_MAX = 200 };

void metrics_print(const struct snapshot *s, struct buf *out);

#endif
