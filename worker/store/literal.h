#ifndef WORKER_STORE_LITERAL_H
#define WORKER_STORE_LITERAL_H

#include "common/buf.h"
#include "common/number.h"
#include "worker/change.h"
#include "worker/store/schema.h"

#include <stdbool.h>

/*
 * Values and names as SQL text.  A hostile value or name can never become SQL: values are quoted
 * and escaped, or numbers by every byte; names are quoted.
 */

/* The type a literal has for the server. */
enum literal_kind { LITERAL_NONE /* NULL */, LITERAL_NUMBER, LITERAL_TEXT, LITERAL_BINARY };

/* What a value is written as, set (add == false) or added to the column.  Only what is set to
 * integer columns is a bare number: a decimal literal is cut at 65 digits, in a column of v
 * sooner. */
enum literal_kind literal_kind(const struct column *column, const struct value *value, bool add);

void literal_add_value(struct buf *out, const struct column *column, const struct value *value);
/* What is added to a column: never by way of a double where the column is exact. */
void literal_add_increment(struct buf *out, const struct column *column, const struct value *value);
/* n / 10^scale */
void literal_add_scaled(struct buf *out, int128 n, unsigned scale);
/* A key as the server stores it, since that is what it is compared with: CHAR loses its trailing
 * blanks, BINARY is filled up with zeros. */
void literal_add_key(struct buf *out, const struct column *column, const struct value *value);

/* `name` */
void literal_add_name(struct buf *out, const char *name);
/* table.`column`; table may be an alias */
void literal_add_column(struct buf *out, const char *table, const struct column *column);

/* The lowest and highest value of an exact column as integers scaled by 10^scale; false where
 * 128 bits or our knowledge don't reach. */
bool literal_range(const struct column *column, unsigned *scale, int128 *low, int128 *high);

/* Are there rows that it must leave alone for their version? */
static inline bool
shape_is_fenced(const struct shape *shape)
{
	return shape->table->version == VERSION_GIVEN && shape->fence != FENCE_OFF;
}

static inline const struct column *
shape_column_of(const struct shape *shape, unsigned i)
{
	return &shape->table->columns[shape->columns[i].column];
}

static inline const struct column *
table_key_column(const struct table *table, unsigned i)
{
	return &table->columns[table->key[i]];
}

/* The table must have one. */
static inline const struct column *
table_version_column(const struct table *table)
{
	return &table->columns[table->version_column];
}

#endif
