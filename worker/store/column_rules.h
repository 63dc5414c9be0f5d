#ifndef WORKER_STORE_COLUMN_RULES_H
#define WORKER_STORE_COLUMN_RULES_H

#include "worker/store/schema.h"
#include "worker/store/time_text.h"
#include "worker/store/value_text.h"

/* What a column can hold: the rules that values and keys share. */

/* Is its type named so (a prefix of column->type)? */
bool column_is_type(const struct column *column, const char *name);
/* COLUMN_INT */
bool column_has_number(const struct column *column, int128 n);
/* COLUMN_DECIMAL.  More fractional digits than the scale are rounded by the server: that must not
 * carry into a digit that isn't there. */
bool column_has_decimal(const struct column *column, const struct decimal *d);
/* COLUMN_DATETIME: within the range, rounding included. */
bool column_has_moment(const struct column *column, const struct moment *m);
/* Can its character set hold every character of this UTF-8, in as many bytes? */
bool column_has_text(const struct column *column, struct str s);

#endif
