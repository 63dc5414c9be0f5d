#ifndef WORKER_STORE_DERIVED_H
#define WORKER_STORE_DERIVED_H

#include "common/buf.h"
#include "worker/store/statement.h"

#include <stdbool.h>

/*
 * The derived table v of literals that drives a join with the table t.  Its columns: i the row's
 * index, k0 … the key, c0 … what is set or added, l0 and h0 … the lowest and highest running sum, w
 * the given version or the number of changes.
 */
struct derived {
	bool index, values, guard, version;
};

/* May the step's key be a row of v, compared with its column by index and without loss? */
bool derived_can_hold(const struct step *step);

/* head, v with as many steps as fit, tail; deinits tail.  Returns how many steps: 0 and nothing
 * added when not even the first fits. */
unsigned derived_add_joined(struct buf *out, const struct statement *s, const struct derived *d,
    const char *head, struct buf *tail);

/* v.<letter><i> */
void derived_add_column(struct buf *out, char letter, unsigned i);
/* t's row is the step's, or with step == NULL v's. */
void derived_add_match(struct buf *out, const struct table *table, const struct step *step);
/* Given versions: only over NULL or an older one, as the shape's fence says. */
void derived_add_fence(struct buf *out, const struct shape *shape, const struct step *step);

#endif
