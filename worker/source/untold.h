#ifndef WORKER_SOURCE_UNTOLD_H
#define WORKER_SOURCE_UNTOLD_H

#include "worker/source/event.h"

#include <yyjson.h>

/* What Debezium puts in place of values that a database's log doesn't hold. */

/* What stands for a large value that an update didn't change: plain, in base64, hexadecimal, a list.
 * The column is as good as missing. */
bool untold_value(const struct value *value);

/*
 * PostgreSQL logs of a deleted row no more than its REPLICA IDENTITY, by default the primary key.
 * Debezium fills the other columns in: NULL, or what their type begins at (0, '', 1970 …), or the column's
 * default where they may not be NULL.  Has the row nothing but such values beside its key?  schema (of
 * the row) may be NULL; false where the key isn't known.
 */
bool untold_row(yyjson_val *row, yyjson_val *schema, const struct image *key);

#endif
