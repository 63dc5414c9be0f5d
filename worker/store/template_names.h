#ifndef WORKER_STORE_TEMPLATE_NAMES_H
#define WORKER_STORE_TEMPLATE_NAMES_H

#include "worker/store/schema.h"

/*
 * The names that a table's key templates are compiled with: its key's columns, then every other column
 * that one of them names.  names and columns have room for
 * column_count; columns are indices in table->columns.  Returns how many.
 */
size_t template_names(const struct table *table, const char **names, unsigned *columns);

#endif
