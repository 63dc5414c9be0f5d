#ifndef WORKER_OPERATE_ROW_ACCESS_H
#define WORKER_OPERATE_ROW_ACCESS_H

#include "common/arena.h"
#include "common/mysql.h"
#include "config/config.h"
#include "worker/change.h"
#include "worker/operate/access.h"
#include "worker/store/resolve.h"
#include "worker/store/schema.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One row for a command that asks about it: a connection to MySQL with the tables as they are there,
 * the row's key as COLUMN=VALUE words name it, and its version now.  Thread: its owner's, which has
 * called sql_thread_start.
 */
struct row_access {
	const struct config *config;
	struct access_mysql mysql;
	struct sql *sql;
	struct schema *schema;
	struct resolver resolver;
	struct arena arena; /* of the key, and what is resolved to find it elsewhere */
	const struct table *table;
	struct change row; /* with table, key, exact and bucket; key NULL: none was asked for */
};

/* The configuration is borrowed; MySQL must be configured. */
void row_access_init(struct row_access *a, const struct config *config);
void row_access_deinit(struct row_access *a);

/* Connect and read what the tables are.  Forgets table and row. */
int row_access_open(struct row_access *a, struct err *err);

/* The table of that name; -1: FATAL with a sentence. */
int row_access_table(struct row_access *a, const char *name, struct err *err);

/* The key from words that are COLUMN=VALUE each; all columns of the primary key are wanted, and others
 * refused.  -1: FATAL with a sentence. */
int row_access_words(struct row_access *a, const char *const *words, size_t count, struct err *err);
/* The same from the values in the order of the key. */
int row_access_values(struct row_access *a, const struct str *values, struct err *err);

/* What MySQL has now.  The transaction is ended. */
struct row_now {
	bool there;
	bool has_version; /* not NULL, and the table has such a column */
	uint64_t version; /* a negative one is 0 */
};
int row_access_now(struct row_access *a, struct row_now *now, struct err *err);

/* Is the change of that row, or of one that may be the same to MySQL? */
bool row_access_is_of(const struct row_access *a, const struct change *change);

#endif
