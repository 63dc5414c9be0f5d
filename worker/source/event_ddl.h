#ifndef WORKER_SOURCE_EVENT_DDL_H
#define WORKER_SOURCE_EVENT_DDL_H

#include "common/arena.h"
#include "common/str.h"

#include <stdbool.h>

/*
 * What is read of definitions: which table a change of them is about, and whether it takes a whole
 * database away, which the tools tell by the statement alone.
 */

/* DROP DATABASE or DROP SCHEMA. */
bool ddl_drops_database(struct str statement);

/* Debezium's `"db"."table"`, a quote in a name doubled, into its two parts.  False: it is none. */
bool ddl_table_id(struct str id, struct arena *arena, struct str *db, struct str *table);

#endif
