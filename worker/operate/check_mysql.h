#ifndef WORKER_OPERATE_CHECK_MYSQL_H
#define WORKER_OPERATE_CHECK_MYSQL_H

#include "common/mysql.h"
#include "worker/operate/check.h"
#include "worker/store/schema.h"

#include <stdbool.h>

/* What `check --connect` asks MySQL about rights; behind check_mysql. */
struct mysql_check {
	struct check *check;
	struct sql *sql;
	struct schema *schema;
	struct buf account; /* `'user'@'host'`, as GRANT wants it */
	struct buf missing; /* the privileges of one table */
};

/* Report the GRANT of what is missing on a table.  table: its definition, or NULL where only the name
 * is known.  Returns whether something is missing. */
bool rights_check_table(struct mysql_check *m, const struct config_table *config,
    const struct table *table);

/* The same for our own tables, with CREATE where they have to be made. */
void rights_check_own_tables(struct mysql_check *m);

/* The account may not even USE the database: name all it needs there. */
void rights_report_all(struct mysql_check *m);

/* What the account can't see, and would have to for a right fold: constraints and triggers. */
void rights_check_sight(struct mysql_check *m);

#endif
