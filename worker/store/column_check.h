#ifndef WORKER_STORE_COLUMN_CHECK_H
#define WORKER_STORE_COLUMN_CHECK_H

#include "common/arena.h"
#include "worker/change.h"
#include "worker/store/schema.h"

/*
 * Values against their columns, before folding.  FINE is what strict MySQL and MariaDB both take,
 * and store with the meaning it has here, whatever else is in the row: only such values are folded
 * over, since a value that the server refuses would have been a dead letter of its own.
 *
 * ALONE is everything else: maybe fine, maybe not; the value goes out as it came, in a statement of
 * its own, and MySQL decides.  REFUSED is what MySQL must not even be asked, because it would take
 * it for something else.
 */
enum column_verdict { COLUMN_FINE, COLUMN_ALONE, COLUMN_REFUSED };

/*
 * Check and normalise a value to set.  base64: texts for binary columns are base64 (JSON entries).
 * With FINE and ALONE *out is a resolved value (TEXT, NUMBER, BINARY or NULL); it may borrow the
 * given bytes.  With REFUSED *why says what is wrong ("is not base64"), without the value.
 */
enum column_verdict column_check(const struct column *column, const struct value *given,
    bool base64, struct arena *arena, struct value *out, const char **why);

/*
 * Check an increment: FINE with the number in *out and *sum; ALONE with the number in *out only (an
 * inexact one); else REFUSED.
 */
enum column_verdict column_check_increment(const struct column *column, const struct value *given,
    struct arena *arena, struct value *out, struct sum *sum, const char **why);

/*
 * Check a part of a key, strictly: what isn't plainly a value of the column is REFUSED.  *out has
 * the one canonical spelling of the value, as the server would show it.  ALONE: the server's
 * equality for it isn't known, so its order against all others matters.
 */
enum column_verdict column_check_key(const struct column *column, const struct value *given,
    bool base64, struct arena *arena, struct value *out, const char **why);

#endif
