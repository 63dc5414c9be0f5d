#ifndef CONFIG_COLUMN_TYPE_H
#define CONFIG_COLUMN_TYPE_H

#include "common/str.h"

#include <stdbool.h>

/*
 * A column's type as people write it in `types`: "bigint unsigned", "varchar(64)", "decimal(10,2)".
 * The names are those of MySQL and MariaDB; its other names for the same (INTEGER, BOOL, NUMERIC) too.
 */
struct column_type {
	const char
	    *name; /* in small letters, as information_schema's DATA_TYPE; not ours to free */
	unsigned long numbers[2]; /* in the parentheses */
	int number_count;
	bool is_unsigned;
};

/* False: it is none, or has numbers that it can't have. */
bool column_type_parse(struct str text, struct column_type *type);

#endif
