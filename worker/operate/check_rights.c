#include "worker/operate/check_mysql.h"

#include "worker/store/own_tables.h"

#include <string.h>

/* MySQL's words for "you may not": a database, a table, a column. */
enum { DENIED_DATABASE = 1044, DENIED_TABLE = 1142, DENIED_COLUMN = 1143, NO_SUCH_TABLE = 1146 };
#define ALL_RIGHTS "SELECT, INSERT, UPDATE, DELETE"

/* An error that says "you may not": a database, a table, a column. */
static bool
is_denied(int code)
{
	return code == DENIED_DATABASE || code == DENIED_TABLE || code == DENIED_COLUMN;
}

/* ---- trying ---- */

/* Try a statement of ours that touches no row; what else may be wrong with it is not our question.
 * */
static void
try_right(struct mysql_check *m, const char *privilege, const struct buf *statement)
{
	struct sql_result result = { 0 };
	struct err err = { 0 };

	if (!sql_is_open(m->sql) && sql_open(m->sql, &err) != 0)
		return;
	if (sql_query(m->sql, (struct str){ statement->data, statement->len }, &result, &err) ==
	    0) {
		sql_result_free(&result);
		return;
	}
	if (!is_denied(err.code))
		return;
	if (m->missing.len > 0)
		buf_add_str(&m->missing, ", ");
	buf_add_str(&m->missing, privilege);
}

/* A column that UPDATE may name: not generated, not of the key where there is another. */
static const char *
column_to_update(const struct table *table)
{
	const char *name = NULL;

	for (unsigned i = 0; i < table->column_count; i++) {
		if (table->columns[i].generated)
			continue;
		if (table->columns[i].key_part < 0)
			return table->columns[i].name;
		if (name == NULL)
			name = table->columns[i].name;
	}
	return name;
}

/* INSERT INTO t (key, …) SELECT NULL, … that finds no row, and reads no table: only INSERT is asked
 * for. */
static void
add_insert(const struct table *table, const struct buf *quoted, struct buf *out)
{
	unsigned count = table != NULL ? table->key_count : 0;

	buf_printf(out, "INSERT INTO %s (", quoted->data);
	for (unsigned i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		sql_add_identifier(out, str_of(table->columns[table->key[i]].name));
	}
	if (count == 0)
		buf_add_str(out, "lane");
	buf_add_str(out, ") SELECT NULL");
	for (unsigned i = 1; i < count; i++)
		buf_add_str(out, ",NULL");
	buf_add_str(out, " FROM DUAL WHERE 1=0");
}

/* All four, each by itself; a table of which only the name is known is one of ours, or not there. */
static void
try_rights(struct mysql_check *m, const char *name, const struct table *table)
{
	struct buf quoted = { 0 }, statement = { 0 };
	const char *column = table != NULL ? column_to_update(table) : NULL;

	buf_reset(&m->missing);
	sql_add_identifier(&quoted, str_of(name));
	buf_printf(&statement, "SELECT 1 FROM %s LIMIT 0", quoted.data);
	try_right(m, "SELECT", &statement);

	buf_reset(&statement);
	add_insert(table, &quoted, &statement);
	try_right(m, "INSERT", &statement);

	buf_reset(&statement);
	buf_printf(&statement, "UPDATE %s SET ", quoted.data);
	sql_add_identifier(&statement, str_of(column != NULL ? column : "lane"));
	buf_add_str(&statement, "=NULL WHERE 1=0");
	try_right(m, "UPDATE", &statement);

	buf_reset(&statement);
	buf_printf(&statement, "DELETE FROM %s WHERE 1=0", quoted.data);
	try_right(m, "DELETE", &statement);
	buf_deinit(&quoted);
	buf_deinit(&statement);
}

/* GRANT … ON `database`.`table` (or .*) TO account; */
static void
add_grant(const struct mysql_check *m, const char *privileges, const char *table, struct buf *out)
{
	buf_printf(out, "GRANT %s ON ", privileges);
	sql_add_identifier(out, str_of(m->check->config->mysql.database));
	buf_add_char(out, '.');
	if (table != NULL)
		sql_add_identifier(out, str_of(table));
	else
		buf_add_char(out, '*');
	buf_printf(out, " TO %s;", m->account.data);
}

static void
report(struct mysql_check *m, const char *privileges, const char *name, int line, int column)
{
	struct buf grant = { 0 };

	add_grant(m, privileges, name, &grant);
	check_problem(m->check, line, column, "table %s: a right is missing: %s", name, grant.data);
	buf_deinit(&grant);
}

bool
rights_check_table(struct mysql_check *m, const struct config_table *config,
    const struct table *table)
{
	try_rights(m, config->name, table);
	if (m->missing.len > 0)
		report(m, m->missing.data, config->name, config->line, config->column);
	return m->missing.len > 0;
}

/* ---- our own tables ---- */

enum own_table {
	OWN_TABLE_THERE,
	OWN_TABLE_MISSING,
	OWN_TABLE_DENIED /* there or not: who knows */
};

static enum own_table
own_table_look(struct mysql_check *m, const char *name)
{
	struct sql_result result = { 0 };
	struct err err = { 0 };

	if (sql_queryf(m->sql, &result, &err, "SELECT 1 FROM %s LIMIT 0", name) == 0) {
		sql_result_free(&result);
		return OWN_TABLE_THERE;
	}
	return err.code == NO_SUCH_TABLE ? OWN_TABLE_MISSING :
	    is_denied(err.code)		 ? OWN_TABLE_DENIED :
					   OWN_TABLE_THERE;
}

/* PREPARE looks at the right to create and creates nothing. */
static void
try_create(struct mysql_check *m, const char *name)
{
	struct buf statement = { 0 };

	buf_printf(&statement, "PREPARE sluice_check FROM 'CREATE TABLE %s (lane INT)'", name);
	try_right(m, "CREATE", &statement);
	sql_queryf(m->sql, NULL, NULL, "DEALLOCATE PREPARE sluice_check");
	buf_deinit(&statement);
}

void
rights_check_own_tables(struct mysql_check *m)
{
	bool create = m->check->config->create_tables;
	unsigned missing = 0;

	for (size_t i = 0; i < OWN_TABLES; i++) {
		enum own_table found = own_table_look(m, own_tables[i]);
		/* these are answered for a table that isn't there, too */
		try_rights(m, own_tables[i], NULL);
		if (found != OWN_TABLE_THERE && create)
			try_create(m, own_tables[i]);
		if (m->missing.len > 0)
			report(m, m->missing.data, own_tables[i], 0, 0);
		missing += found == OWN_TABLE_MISSING;
	}
	if (missing > 0 && !create)
		check_problem(m->check, 0, 0,
		    "%u of sluice's own tables are missing and create_tables is off: feed `sluice "
		    "schema` "
		    "to mysql",
		    missing);
}

void
rights_report_all(struct mysql_check *m)
{
	const struct config *config = m->check->config;

	for (size_t i = 0; i < config->table_count; i++)
		report(m, ALL_RIGHTS, config->tables[i].name, config->tables[i].line,
		    config->tables[i].column);
	for (size_t i = 0; i < OWN_TABLES; i++)
		report(m, config->create_tables ? ALL_RIGHTS ", CREATE" : ALL_RIGHTS, own_tables[i],
		    0, 0);
}

/* ---- sight ---- */

/* Without it the table is written, but one change at a time. */
void
rights_check_sight(struct mysql_check *m)
{
	const struct config *config = m->check->config;

	for (size_t i = 0; i < config->table_count; i++) {
		const struct config_table *t = &config->tables[i];
		const struct table *table = schema_table(m->schema, str_of(t->name));

		if (table == NULL || !t->fold || table->hidden_grant == NULL)
			continue;
		check_problem(m->check, t->line, t->column,
		    "table %s: a part of its definition is hidden from this account, so its "
		    "changes can't be folded: %s; (or fold: off)",
		    t->name, table->hidden_grant);
	}
}
