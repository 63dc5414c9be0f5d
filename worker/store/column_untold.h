#ifndef WORKER_STORE_COLUMN_UNTOLD_H
#define WORKER_STORE_COLUMN_UNTOLD_H

#include "worker/change.h"

/*
 * A value of a column whose type nobody told: neither the event, nor the configuration, nor MySQL.
 *
 * What the application itself wrote, and what came with a schema block, is a text already.  Of the
 * others a whole number is itself, but for Debezium without types, where it may be a day or an
 * instant; of a text nobody knows whether it is base64, but for Canal's in ASCII.  NULL is NULL.
 *
 * False with *why ("may be base64 …") where the same row would have another text in another
 * encoding: then the type must be told.
 */
bool column_untold_value(const struct value *given, enum change_origin origin, struct value *out,
    const char **why);

#endif
