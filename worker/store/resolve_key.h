#ifndef WORKER_STORE_RESOLVE_KEY_H
#define WORKER_STORE_RESOLVE_KEY_H

#include "worker/store/resolve.h"

/*
 * A change's key: checked and canonical in change->key, as bytes in change->exact, and coarser in
 * change->bucket; change->barrier when even the bucket doesn't hold all that may be the same row.
 *
 * exact is the table's place in the schema and each part with its length before it.  In bucket a
 * text part has no trailing blanks (PAD SPACE), and no upper case unless its collation is binary.
 *
 * given: one value per key column, as decoded.  A ranged source must spell keys canonically, since
 * its producers choose the lane by the spelling.
 */
int resolve_key(struct resolver *r, struct entry *entry, struct change *change,
    const struct value *given);

/* The table's place in the schema. */
uint32_t resolve_place(const struct resolver *r, const struct table *table);

#endif
