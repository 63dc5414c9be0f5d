#include "worker/operate/row_access.h"

#include "common/number.h"
#include "worker/lane.h"
#include "worker/store/literal.h"
#include "worker/store/resolve_key.h"
#include "worker/store/session.h"

#include <string.h>

enum { ARENA_KEEP = 64 * 1024, KEY_COLUMNS = 16 };

void
row_access_init(struct row_access *a, const struct config *config)
{
	memset(a, 0, sizeof(*a));
	a->config = config;
	access_mysql_init(&a->mysql, &config->mysql);
	a->sql = sql_new(&a->mysql.options);
	a->schema = schema_new(config);
	arena_init(&a->arena, ARENA_KEEP);
	resolver_init(&a->resolver);
}

void
row_access_deinit(struct row_access *a)
{
	resolver_deinit(&a->resolver);
	arena_deinit(&a->arena);
	schema_free(&a->schema);
	sql_free(&a->sql);
	access_mysql_deinit(&a->mysql);
}

int
row_access_open(struct row_access *a, struct err *err)
{
	struct session_facts facts;

	a->table = NULL;
	a->row = (struct change){ .key = NULL };
	if (sql_open(a->sql, err) != 0)
		return -1;
	if (session_prepare(a->sql, a->config->lock_wait_ms, &facts, err) != 0 ||
	    schema_load(a->schema, a->sql, err) != 0) {
		sql_close(a->sql);
		return -1;
	}
	return 0;
}

int
row_access_table(struct row_access *a, const char *name, struct err *err)
{
	a->table = schema_table(a->schema, str_of(name));
	if (a->table == NULL)
		return err_set(err, ERR_FATAL, 0, "there is no table %.64s under `tables`", name);
	if (a->table->problem != NULL)
		return err_set(err, ERR_FATAL, 0, "%.64s: %.300s", name, a->table->problem);
	return 0;
}

/* As an entry of the application would name it. */
static int
take_key(struct row_access *a, const struct value *given, struct err *err)
{
	struct config_source source = { .format = FORMAT_FIELDS, .write = true };
	struct lane lane = { .source = &source };
	struct entry entry = { .lane = &lane };

	arena_reset(&a->arena);
	resolver_start(&a->resolver, a->schema, &a->arena);
	a->row = (struct change){ .table = schema_table(a->schema, str_of(a->table->name)) };
	if (resolve_key(&a->resolver, &entry, &a->row, given) == 0) {
		a->row.entry = NULL;
		return 0;
	}
	err_set(err, ERR_FATAL, 0, "%s", entry.refusal.text);
	a->row.key = NULL;
	return -1;
}

int
row_access_words(struct row_access *a, const char *const *words, size_t count, struct err *err)
{
	struct value given[KEY_COLUMNS] = { { { NULL, 0 }, VALUE_NULL } };

	for (size_t i = 0; i < count; i++) {
		const char *equals = strchr(words[i], '=');
		const struct column *column = equals == NULL ?
		    NULL :
		    table_column(a->table, (struct str){ words[i], (size_t)(equals - words[i]) });

		if (column == NULL || column->key_part < 0)
			return err_set(err, ERR_FATAL, 0,
			    "%.*s: want COLUMN=VALUE, with a column of the primary key of %.64s",
			    equals != NULL ? (int)(equals - words[i]) : 64, words[i],
			    a->table->name);
		given[column->key_part] = (struct value){ str_of(equals + 1),
			column->kind == COLUMN_BINARY ? VALUE_BINARY : VALUE_TEXT };
	}
	for (unsigned i = 0; i < a->table->key_count; i++)
		if (given[i].kind == VALUE_NULL)
			return err_set(err, ERR_FATAL, 0,
			    "%.64s: the column %.64s of the primary key is missing", a->table->name,
			    table_key_column(a->table, i)->name);
	return take_key(a, given, err);
}

int
row_access_values(struct row_access *a, const struct str *values, struct err *err)
{
	struct value given[KEY_COLUMNS];

	for (unsigned i = 0; i < a->table->key_count; i++)
		given[i] = (struct value){ values[i],
			table_key_column(a->table, i)->kind == COLUMN_BINARY ? VALUE_BINARY :
									       VALUE_TEXT };
	return take_key(a, given, err);
}

int
row_access_now(struct row_access *a, struct row_now *now, struct err *err)
{
	struct sql_result result;
	struct buf select = { 0 };
	int64_t negative;

	*now = (struct row_now){ .there = false };
	buf_add_str(&select, "SELECT ");
	if (a->table->version_column >= 0)
		literal_add_name(&select, table_version_column(a->table)->name);
	else
		buf_add_str(&select, "NULL");
	buf_add_str(&select, " FROM ");
	literal_add_name(&select, a->table->name);
	for (unsigned i = 0; i < a->table->key_count; i++) {
		const struct column *column = table_key_column(a->table, i);

		buf_add_str(&select, i > 0 ? " AND " : " WHERE ");
		literal_add_name(&select, column->name);
		buf_add_str(&select, " = ");
		literal_add_key(&select, column, &a->row.key[i]);
	}
	if (session_send(a->sql, &select, &result, err) != 0)
		return session_end(a->sql, -1, err);
	if (result.rows > 0) {
		struct str cell = sql_cell(&result, 0, 0);

		now->there = true;
		now->has_version = cell.data != NULL &&
		    (number_u64(cell, &now->version) || number_i64(cell, &negative));
	}
	sql_result_free(&result);
	return session_end(a->sql, 0, err);
}

bool
row_access_is_of(const struct row_access *a, const struct change *change)
{
	return change->bucket.data != NULL && change->table != NULL &&
	    str_equal(change->bucket, a->row.bucket);
}
