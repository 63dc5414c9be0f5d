#ifndef TESTS_SUPPORT_TABLE_MAKE_H
#define TESTS_SUPPORT_TABLE_MAKE_H

#include "worker/store/schema.h"

/*
 * Tables without a server, for tests: from types as information_schema writes them.  Memory is kept
 * until the process ends, but for the struct table itself.
 */
struct made_column {
	const char *name;
	const char *type;	  /* "bigint(20) unsigned", "varchar(64)", "decimal(10,2)" */
	const char *default_text; /* NULL: none, "NULL": NULL */
	bool nullable;
	bool is_key;	       /* in the order of the columns */
	const char *collation; /* NULL: utf8mb4_general_ci */
};

/* Columns of an empty name end the list.  The version column is the config's. */
void table_make(struct table *table, const struct config_table *config,
    const struct made_column *columns);

#endif
