#include "common/clock.h"
#include "common/number.h"
#include "worker/cache/key_template.h"
#include "worker/operate/access.h"
#include "worker/operate/check.h"
#include "worker/store/schema.h"

#include <stdlib.h>
#include <string.h>

/* MySQL's words for "you may not": a database, a table, a column, a routine. */
enum { DENIED_DATABASE = 1044, DENIED_TABLE = 1142, DENIED_COLUMN = 1143, NO_SUCH_TABLE = 1146 };

struct mysql_check {
	struct check *check;
	struct sql *sql;
	struct schema *schema;
	struct buf account; /* `'user'@'host'`, as GRANT wants it */
	struct buf missing; /* the privileges of one table */
};

static const char *const own_tables[] = { "sluice_ledger", "sluice_outbox", "sluice_dead_letter",
	"sluice_worker", "sluice_schema" };

/* ---- rights ---- */

static bool
is_denied(int code)
{
	return code == DENIED_DATABASE || code == DENIED_TABLE || code == DENIED_COLUMN;
}

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

static void
add_key_columns(const struct table *table, struct buf *out)
{
	for (unsigned i = 0; i < table->key_count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		sql_add_identifier(out, str_of(table->columns[table->key[i]].name));
	}
}

/* All four, each by itself.  table: its definition, or NULL where only the name is known. */
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
	buf_printf(&statement, "INSERT INTO %s", quoted.data);
	if (table != NULL && table->key_count > 0) {
		buf_add_str(&statement, " (");
		add_key_columns(table, &statement);
		buf_add_str(&statement, ") SELECT ");
		add_key_columns(table, &statement);
	} else {
		buf_add_str(&statement, " SELECT *");
	}
	buf_printf(&statement, " FROM %s WHERE 1=0", quoted.data);
	/* the INSERT also reads: without SELECT its answer says nothing about INSERT, so both are
	 * named */
	try_right(m, "INSERT", &statement);

	buf_reset(&statement);
	buf_printf(&statement, "UPDATE %s SET ", quoted.data);
	sql_add_identifier(&statement, str_of(column != NULL ? column : "lane"));
	buf_add_char(&statement, '=');
	sql_add_identifier(&statement, str_of(column != NULL ? column : "lane"));
	buf_add_str(&statement, " WHERE 1=0");
	try_right(m, "UPDATE", &statement);

	buf_reset(&statement);
	buf_printf(&statement, "DELETE FROM %s WHERE 1=0", quoted.data);
	try_right(m, "DELETE", &statement);
	buf_deinit(&quoted);
	buf_deinit(&statement);
}

static void
report_missing(struct mysql_check *m, const char *name, int line, int column)
{
	struct buf grant = { 0 };

	if (m->missing.len == 0)
		return;
	buf_printf(&grant, "GRANT %s ON ", m->missing.data);
	sql_add_identifier(&grant, str_of(m->check->config->mysql.database));
	buf_add_char(&grant, '.');
	sql_add_identifier(&grant, str_of(name));
	buf_printf(&grant, " TO %s;", m->account.data);
	check_problem(m->check, line, column, "table %s: a right is missing: %s", name, grant.data);
	buf_deinit(&grant);
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

static void
check_own_tables(struct mysql_check *m)
{
	bool create = m->check->config->create_tables;
	unsigned missing = 0;

	for (size_t i = 0; i < sizeof(own_tables) / sizeof(*own_tables); i++) {
		enum own_table found = own_table_look(m, own_tables[i]);
		/* these are answered for a table that isn't there, too */
		try_rights(m, own_tables[i], NULL);
		if (found != OWN_TABLE_THERE && create)
			try_create(m, own_tables[i]);
		report_missing(m, own_tables[i], 0, 0);
		missing += found == OWN_TABLE_MISSING;
	}
	if (missing > 0 && !create)
		check_problem(m->check, 0, 0,
		    "%u of sluice's own tables are missing and create_tables is off: feed `sluice "
		    "schema` "
		    "to mysql",
		    missing);
}

/* ---- tables ---- */

/* The sources of {a..b} streams that write this table. */
static const struct config_source *
ranged_source_of(const struct config *config, const char *table)
{
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; config->sources[i].ranged && j < config->sources[i].table_count;
		    j++)
			if (strcmp(config->sources[i].tables[j], table) == 0)
				return &config->sources[i];
	return NULL;
}

static void
check_key_spelling(struct mysql_check *m, const struct table *table,
    const struct config_table *config)
{
	const struct config_source *source = ranged_source_of(m->check->config, config->name);

	if (source == NULL)
		return;
	for (unsigned i = 0; i < table->key_count; i++) {
		const struct column *column = &table->columns[table->key[i]];
		if (column->kind == COLUMN_TEXT && !column->exact_collation)
			check_hint(m->check, config->line, config->column,
			    "table %s: the key column %s has the collation %s, to which several "
			    "spellings "
			    "are one row; the producers of %s must agree on one, or the row's "
			    "changes come by "
			    "several lanes and lose their order",
			    config->name, column->name, column->collation, source->written);
	}
}

/* schema_load stops at a table's first problem; people want all of them. */
static void
check_name(struct mysql_check *m, const struct table *table, const char *option, const char *name)
{
	const struct config_table *config = table->config;
	const char *nearest = NULL;
	unsigned best = 3;

	if (table_column(table, str_of(name)) != NULL)
		return;
	if (table->problem != NULL && strstr(table->problem, name) != NULL)
		return; /* that was the first */
	for (unsigned i = 0; i < table->column_count; i++) {
		unsigned distance = str_distance(str_of(name), str_of(table->columns[i].name));
		if (distance < best) {
			best = distance;
			nearest = table->columns[i].name;
		}
	}
	check_problem(m->check, config->line, config->column,
	    "table %s: `%s` names column %s, which isn't there%s%s%s", config->name, option, name,
	    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
	    nearest != NULL ? "?" : "");
}

static void
check_templates(struct mysql_check *m, const struct table *table)
{
	const char *names[sizeof(table->key) / sizeof(table->key[0])];
	const struct config_table *config = table->config;

	for (unsigned i = 0; i < table->key_count; i++)
		names[i] = table->columns[table->key[i]].name;
	for (size_t i = 0; i < config->template_count; i++) {
		const struct config_template *template = &config->templates[i];
		struct key_template compiled = { 0 };
		struct err err = { 0 };
		if (key_template_compile(&compiled, template, names, table->key_count, &err) == 0)
			key_template_deinit(&compiled);
		else if (table->problem == NULL ||
		    strstr(table->problem, template->written) == NULL)
			check_problem(m->check, template->line, template->column,
			    "table %s: `invalidate` %s: %s", config->name, template->written,
			    err.text);
	}
}

static void
check_names(struct mysql_check *m, const struct table *table)
{
	const struct config_table *config = table->config;

	if (config->version != VERSION_NONE)
		check_name(m, table, "version", config->version_column);
	for (size_t i = 0; i < config->column_count; i++)
		check_name(m, table, "columns", config->columns[i].value);
	for (size_t i = 0; i < config->set_count; i++)
		check_name(m, table, "set", config->set[i].name);
	check_templates(m, table);
}

static void
check_table(struct mysql_check *m, const struct config_table *config)
{
	const struct table *table = schema_table(m->schema, str_of(config->name));
	bool known = table != NULL && table->column_count > 0;

	try_rights(m, config->name, known ? table : NULL);
	report_missing(m, config->name, config->line, config->column);
	/* information_schema hides what one may not see: a missing right looks like a missing table
	 * */
	if (table != NULL && table->problem != NULL && (known || m->missing.len == 0))
		check_problem(m->check, config->line, config->column, "%s", table->problem);
	if (!known)
		return;
	check_names(m, table);
	check_key_spelling(m, table, config);
}

/* ---- the server ---- */

static struct str
ask_one(struct mysql_check *m, struct sql_result *result, const char *question)
{
	struct err err = { 0 };

	memset(result, 0, sizeof(*result));
	if (sql_query(m->sql, str_of(question), result, &err) != 0 || result->rows == 0)
		return (struct str){ NULL, 0 };
	return sql_cell(result, 0, 0);
}

static void
read_account(struct mysql_check *m)
{
	struct sql_result result;
	struct str account = ask_one(m, &result, "SELECT CURRENT_USER()");
	size_t at = account.len;

	while (at > 0 && account.data[at - 1] != '@')
		at--;
	if (at == 0) {
		buf_add_str(&m->account, "CURRENT_USER()");
	} else {
		sql_add_text(&m->account, (struct str){ account.data, at - 1 });
		buf_add_char(&m->account, '@');
		sql_add_text(&m->account, (struct str){ account.data + at, account.len - at });
	}
	sql_result_free(&result);
}

static void
check_server(struct mysql_check *m)
{
	struct sql_result result;
	uint64_t number;

	if (number_u64(ask_one(m, &result, "SELECT @@global.read_only"), &number) && number != 0)
		check_hint(m->check, 0, 0,
		    "mysql is read-only now: rows wait until it takes writes");
	sql_result_free(&result);
	if (number_u64(ask_one(m, &result,
			   "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)"),
		&number))
		check_clock(m->check, "mysql", (int64_t)number);
	sql_result_free(&result);
}

static void
read_ledger(struct mysql_check *m)
{
	struct err err = { 0 };

	if (!sql_is_open(m->sql) && sql_open(m->sql, &err) != 0)
		return;
	ledger_list(m->sql, &m->check->ledger, &m->check->ledger_count, &err);
	for (size_t i = 0; i < m->check->ledger_count; i++) {
		const struct ledger_listed *row = &m->check->ledger[i];
		if (row->halted[0] != '\0')
			check_hint(m->check, 0, 0, "lane %s is halted: %s", row->name, row->halted);
		if (row->alarm[0] != '\0')
			check_hint(m->check, 0, 0, "lane %s has an alarm: %s", row->name,
			    row->alarm);
	}
}

static int
look_at_all(struct mysql_check *m, struct err *err)
{
	const struct config *config = m->check->config;

	if (sql_open(m->sql, err) != 0 || schema_load(m->schema, m->sql, err) != 0)
		return -1;
	read_account(m);
	check_server(m);
	for (size_t i = 0; i < config->table_count; i++)
		check_table(m, &config->tables[i]);
	check_own_tables(m);
	read_ledger(m);
	if (!sql_is_open(m->sql))
		return err_set(err, ERR_RETRY, 0, "the connection was lost while asking");
	return 0;
}

void
check_mysql(struct check *c)
{
	struct mysql_check m = { .check = c };
	struct access_mysql access;
	struct buf place = { 0 };
	struct err err = { 0 };

	access_mysql_init(&access, &c->config->mysql);
	access_add_mysql(&c->config->mysql, &place);
	m.sql = sql_new(&access.options);
	m.schema = schema_new(c->config);
	if (look_at_all(&m, &err) != 0)
		check_unreachable(c, "mysql", place.data, err.text);
	schema_free(&m.schema);
	sql_free(&m.sql);
	buf_deinit(&m.account);
	buf_deinit(&m.missing);
	buf_deinit(&place);
	access_mysql_deinit(&access);
}
