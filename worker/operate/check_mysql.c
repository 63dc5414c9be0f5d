#include "worker/operate/check_mysql.h"
#include "common/number.h"
#include "worker/cache/key_template.h"
#include "worker/operate/access.h"
#include "worker/store/template_names.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES_MAX = 200 }; /* a longer one is worth a warning */

/* Logging in is refused: the account or its password, the database, both unknown to the server. */
enum {
	REFUSED_DATABASE = 1044,
	REFUSED_ACCOUNT = 1045,
	NO_SUCH_DATABASE = 1049,
	REFUSED_LOGIN = 1698
};

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

/* The longest that a column can be in a key, in bytes. */
static uint64_t
longest(const struct column *column)
{
	switch (column->kind) {
	case COLUMN_TEXT:
		return column->length_in_bytes ? column->length : 4 * column->length;
	case COLUMN_BINARY:
		return column->length;
	case COLUMN_ENUM:
		return 4 * 255;
	case COLUMN_INT:
	case COLUMN_DECIMAL:
	case COLUMN_FLOAT:
	case COLUMN_DATE:
	case COLUMN_DATETIME:
	case COLUMN_TIME:
	case COLUMN_BIT:
	case COLUMN_JSON:
	case COLUMN_OTHER:
		break;
	}
	return 20;
}

static void
check_key_length(struct mysql_check *m, const struct table *table, const struct key_template *t,
    const unsigned *columns)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < t->part_count; i++) {
		bytes += t->parts[i].text.len;
		if (t->parts[i].column >= 0)
			bytes += longest(&table->columns[columns[t->parts[i].column]]);
	}
	if (bytes > KEY_BYTES_MAX)
		check_hint(m->check, t->config->line, t->config->column,
		    "table %s: keys of `invalidate` %s can be %llu bytes long, which costs that "
		    "much memory for each",
		    table->name, t->config->written, (unsigned long long)bytes);
}

static void
check_templates(struct mysql_check *m, const struct table *table)
{
	const struct config_table *config = table->config;
	const char **names = calloc(table->column_count + 1, sizeof(*names));
	unsigned *columns = calloc(table->column_count + 1, sizeof(*columns));
	size_t count;

	CHECK(names != NULL && columns != NULL);
	count = template_names(table, names, columns);
	for (size_t i = 0; i < config->template_count; i++) {
		const struct config_template *template = &config->templates[i];
		struct key_template compiled = { 0 };
		struct err err = { 0 };
		if (key_template_compile(&compiled, template, names, count, &err) == 0) {
			check_key_length(m, table, &compiled, columns);
			key_template_deinit(&compiled);
		} else if (table->problem == NULL ||
		    strstr(table->problem, template->written) == NULL)
			check_problem(m->check, template->line, template->column,
			    "table %s: `invalidate` %s: %s", config->name, template->written,
			    err.text);
	}
	free(names);
	free(columns);
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
	bool denied = rights_check_table(m, config, known ? table : NULL);

	/* information_schema hides what one may not see: a missing right looks like a missing table
	 * */
	if (table != NULL && table->problem != NULL && (known || !denied))
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

/* Who follows this server may be promoted in its place.  Each question needs another right; without any
 * nothing is said. */
static void
check_replicas(struct mysql_check *m)
{
	static const char *const questions[] = { "SHOW REPLICAS", "SHOW SLAVE HOSTS",
		"SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'" };
	bool any = false;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]) && !any; i++) {
		struct sql_result result;

		ask_one(m, &result, questions[i]);
		any = result.rows > 0;
		sql_result_free(&result);
	}
	if (any && m->check->config->keep_ms == 0)
		check_hint(m->check, 0, 0,
		    "mysql has replicas and `keep` is 0: the commits that a promoted one has not "
		    "received are lost; set keep above the time it may lag behind");
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
	check_replicas(m);
	for (size_t i = 0; i < config->table_count; i++)
		if (config->tables[i].written)
			check_table(m, &config->tables[i]);
	rights_check_sight(m);
	rights_check_own_tables(m);
	read_ledger(m);
	if (!sql_is_open(m->sql))
		return err_set(err, ERR_RETRY, 0, "the connection was lost while asking");
	return 0;
}

/* The server is there and says no: that is a mistake of the configuration or a missing right. */
static bool
report_refused(struct mysql_check *m, struct access_mysql *access, const struct err *refusal)
{
	struct err err = { 0 };

	if (refusal->code == REFUSED_ACCOUNT || refusal->code == REFUSED_LOGIN ||
	    refusal->code == NO_SUCH_DATABASE) {
		check_problem(m->check, 0, 0, "%s", refusal->text);
		return true;
	}
	if (refusal->code != REFUSED_DATABASE)
		return false;
	/* 1044 is also what a database that isn't there says to an account without rights */
	access->options.database = NULL;
	if (sql_open(m->sql, &err) != 0)
		return false;
	read_account(m);
	rights_report_all(m);
	return true;
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
	if (look_at_all(&m, &err) != 0 && !report_refused(&m, &access, &err))
		check_unreachable(c, "mysql", place.data, err.text);
	schema_free(&m.schema);
	sql_free(&m.sql);
	buf_deinit(&m.account);
	buf_deinit(&m.missing);
	buf_deinit(&place);
	access_mysql_deinit(&access);
}
