#ifndef WORKER_CACHE_PAYLOAD_H
#define WORKER_CACHE_PAYLOAD_H

#include "common/buf.h"
#include "worker/change.h"

#include <stdbool.h>

/*
 * The row that a change leaves behind, as mode populate writes it: a JSON object of the table's columns
 * in their order, integers bare, the rest text, NULL null.  False (and nothing appended) where the
 * change doesn't hold the whole row, or a trigger may have changed it: then nobody knows it without
 * reading it.
 */
bool payload_of(const struct change *change, struct buf *out);

#endif
