#ifndef WORKER_STORE_REFUSAL_H
#define WORKER_STORE_REFUSAL_H

#include "common/err.h"
#include "worker/batch.h"

#include <stdbool.h>

/*
 * What a data error of the server means for the change that met it.  Codes are those of MySQL and
 * MariaDB; REFUSAL_TOO_LARGE and REFUSAL_OUT_OF_RANGE are also used where we know the answer
 * without asking.
 */
enum { REFUSAL_TOO_LARGE = 1153, REFUSAL_OUT_OF_RANGE = 1264, REFUSAL_NO_DEFAULT = 1364 };

/* One of the REASON_ words. */
const char *refusal_reason(const struct table *table, int code);

/* Does it depend on the refused row and its change alone?  (Not so: other rows, triggers, and what
 * we don't know.) */
bool refusal_is_local(const struct table *table, int code);

/* A row with this primary key exists. */
bool refusal_is_primary(const struct err *err);
/* The key has a character that its column's character set lacks.  (For sql_class these are
 * errors of a statement, not of a datum.) */
bool refusal_is_of_key(int code);
/* A child whose parent is missing. */
bool refusal_is_orphan(int code);
/* May the same change be accepted once other rows have changed? */
bool refusal_may_heal(int code);

/* By what we know of the table this could not have happened: its definition has changed. */
bool refusal_doubts_schema(const struct step *step, const struct err *err);

/* The sentence: table, the server's message without values, code.  `columns` (or NULL) are those of
 * the unique index. */
void refusal_sentence(struct buf *out, const struct table *table, const struct err *err,
    const char *columns);

/* The index of a duplicate, out of the message; "" when it can't be found. */
void refusal_index(const struct err *err, char *out, size_t out_bytes);

#endif
