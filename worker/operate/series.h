#ifndef WORKER_OPERATE_SERIES_H
#define WORKER_OPERATE_SERIES_H

#include "common/buf.h"
#include "worker/operate/snapshot.h"

#include <stdint.h>

/* Pieces of the Prometheus text format: the head of a metric and its lines. */

/* # HELP and # TYPE; type is "counter", "gauge" or "histogram". */
void series_head(struct buf *out, const char *name, const char *type, const char *help);
/* A head and its only line. */
void series_counter(struct buf *out, const char *name, const char *help, uint64_t value);
void series_gauge(struct buf *out, const char *name, const char *help, double value);
/* One line with one label. */
void series_value(struct buf *out, const char *name, const char *label, const char *text,
    uint64_t value);
void series_real(struct buf *out, const char *name, const char *label, const char *text,
    double value);
/* A head, the cumulative buckets, sum and count. */
void series_histogram(struct buf *out, const char *name, const char *help,
    const struct snapshot_histogram *h);
/* A label's value, escaped; bytes that are not UTF-8 become U+FFFD, control bytes `?`. */
void series_add_label(struct buf *out, const char *text);

#endif
