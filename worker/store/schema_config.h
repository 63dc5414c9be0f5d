#ifndef WORKER_STORE_SCHEMA_CONFIG_H
#define WORKER_STORE_SCHEMA_CONFIG_H

#include "worker/store/schema_load.h"

/*
 * A schema without MySQL, for lanes that only invalidate: the columns that the configuration names
 * (in `invalidate`, `when`, `version`, `types` and `key`) and no others; fields of others are nobody's
 * business.  The primary key is `key`, else what MySQL told some other worker (type_board.h), else the columns of a template with mode versioned, which
 * holds it whole; else it isn't known, and all columns are like any other.  A column of which `types`
 * says nothing, nor MySQL, is `untold`.
 */
void load_config_table(struct load *load, struct load_table *t);

/* What events call the columns of these tables; at most `max`, NULL: there are more. */
struct str *load_config_asked(const struct load *load, size_t max, size_t *count);

/* Each such table's problem, if it has one, as load_judge finds it. */
void load_judge_keys(struct load *load, struct load_table *t);

#endif
