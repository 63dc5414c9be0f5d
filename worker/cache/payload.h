#ifndef WORKER_CACHE_PAYLOAD_H
#define WORKER_CACHE_PAYLOAD_H

#include "common/buf.h"
#include "common/mysql.h"

/*
 * A row as a cached value: one JSON object, numbers as written, JSON as it is, bytes in base64, the rest
 * text, NULL null.  The one form of what mode populate and the refresher write and verify compares.
 */

/* "name":value of a cell. */
void payload_add_column(struct buf *out, const struct sql_result *result, size_t row,
    size_t column);
/* The object of the result's columns from `first` on. */
void payload_add_row(struct buf *out, const struct sql_result *result, size_t row, size_t first);

#endif
