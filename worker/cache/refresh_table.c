#include "worker/cache/refresh_table.h"

#include "common/number.h"
#include "worker/cache/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COUNTERS_PER_KEY = 10, COUNTERS_MIN = 100, VERSION_DIGITS_MAX = 20 };
/* warm lists are told as they are: nothing is forgotten between two of them */
enum { WARM_HALF_LIFE_MS = 24 * 3600 * 1000 };

void
refresh_table_init(struct refresh_table *t, const struct config *config, size_t index)
{
	size_t counters;

	*t = (struct refresh_table){
		.config = config,
		.table = &config->tables[index],
		.index = index,
		.at_once = SIZE_MAX,
	};
	counters = (size_t)t->table->refresh.top * COUNTERS_PER_KEY;
	hot_keys_init(&t->read, counters > COUNTERS_MIN ? counters : COUNTERS_MIN,
	    config->refresh.half_life_ms);
	hot_keys_init(&t->warm, t->table->refresh.warm != NULL ? (size_t)t->table->refresh.top : 1,
	    WARM_HALF_LIFE_MS);
	t->top = calloc((size_t)t->table->refresh.top, sizeof(struct hot_key *));
	CHECK(t->top != NULL);
}

void
refresh_table_deinit(struct refresh_table *t)
{
	hot_keys_deinit(&t->read);
	hot_keys_deinit(&t->warm);
	key_template_deinit(&t->template);
	free(t->top);
	t->top = NULL;
}

bool
refresh_is_versioned(const struct config_table *table)
{
	enum config_mode mode = table->refresh.template->mode;

	return mode == MODE_VERSIONED || mode == MODE_POPULATE;
}

/* ---- what the table is ---- */

static int
read_key(struct refresh_table *t, struct sql *sql, struct err *err)
{
	struct sql_result result = { 0 };
	struct buf query = { 0 };
	int status;

	buf_add_str(&query,
	    "SELECT s.column_name, c.data_type FROM information_schema.statistics s JOIN"
	    " information_schema.columns c ON c.table_schema = s.table_schema AND c.table_name ="
	    " s.table_name AND c.column_name = s.column_name WHERE s.table_schema = DATABASE() AND"
	    " s.index_name = 'PRIMARY' AND s.table_name = ");
	sql_add_text(&query, str_of(t->table->name));
	buf_add_str(&query, " ORDER BY s.seq_in_index");
	status = sql_query(sql, (struct str){ query.data, query.len }, &result, err);
	buf_deinit(&query);
	if (status != 0)
		return -1;
	t->key_count = 0;
	for (size_t i = 0; i < result.rows && i < REFRESH_KEY_COLUMNS; i++) {
		struct str name = sql_cell(&result, i, 0), type = sql_cell(&result, i, 1);

		snprintf(t->key_names[i], sizeof(t->key_names[i]), "%.*s", STR_ARGS(name));
		t->key_is_integer[i] =
		    type.len >= 3 && strncasecmp(type.data + type.len - 3, "int", 3) == 0;
		t->key_count++;
	}
	sql_result_free(&result);
	return 0;
}

int
refresh_table_describe(struct refresh_table *t, struct sql *sql, struct err *err)
{
	const char *names[REFRESH_KEY_COLUMNS];

	t->ready = false;
	key_template_deinit(&t->template);
	if (read_key(t, sql, err) != 0)
		return -1;
	if (t->key_count == 0)
		return err_set(err, ERR_FATAL, 0,
		    "table %s is not there, has no primary key or may not be read by this account",
		    t->table->name);
	for (size_t i = 0; i < t->key_count; i++)
		names[i] = t->key_names[i];
	if (key_template_compile(&t->template, t->table->refresh.template, names, t->key_count,
		err) != 0)
		return -1;
	if (!t->template.one_row)
		return err_set(err, ERR_FATAL, 0,
		    "key %s of table %s doesn't hold the whole primary key",
		    t->table->refresh.template->written, t->table->name);
	t->ready = true;
	return 0;
}

bool
refresh_table_match(const struct refresh_table *t, struct str key, struct arena *arena,
    struct str values[REFRESH_KEY_COLUMNS])
{
	return t->ready && key_template_match(&t->template, key, arena, values);
}

/* ---- the SELECT ---- */

/* A number stands bare, so that a BIGINT is never compared as a double. */
static void
add_key_value(const struct refresh_table *t, size_t column, struct str value, struct buf *out)
{
	int64_t signed_number;
	uint64_t number;

	if (t->key_is_integer[column] && number_u64(value, &number))
		buf_add_u64(out, number);
	else if (t->key_is_integer[column] && number_i64(value, &signed_number))
		buf_add_i64(out, signed_number);
	else
		sql_add_text(out, value);
}

static void
add_keys(const struct refresh_table *t, const struct str (*values)[REFRESH_KEY_COLUMNS],
    size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		if (t->key_count > 1)
			buf_add_char(out, '(');
		for (size_t j = 0; j < t->key_count; j++) {
			if (j > 0)
				buf_add_char(out, ',');
			add_key_value(t, j, values[i][j], out);
		}
		if (t->key_count > 1)
			buf_add_char(out, ')');
	}
}

static bool
is_listed(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(list[i], name) == 0)
			return true;
	return false;
}

/* `value`, and what we need to know the row. */
static void
add_columns(const struct refresh_table *t, struct buf *out)
{
	const struct config_refresh *refresh = &t->table->refresh;

	if (refresh->value_count == 0) {
		buf_add_char(out, '*');
		return;
	}
	for (size_t i = 0; i < refresh->value_count; i++) {
		buf_add_str(out, i > 0 ? "," : "");
		sql_add_identifier(out, str_of(refresh->value[i]));
	}
	for (size_t i = 0; i < t->key_count; i++)
		if (!is_listed(t->key_names[i], refresh->value, refresh->value_count)) {
			buf_add_char(out, ',');
			sql_add_identifier(out, str_of(t->key_names[i]));
		}
	if (t->table->version_column != NULL &&
	    !is_listed(t->table->version_column, refresh->value, refresh->value_count)) {
		buf_add_char(out, ',');
		sql_add_identifier(out, str_of(t->table->version_column));
	}
}

void
refresh_table_select(const struct refresh_table *t, const struct str (*values)[REFRESH_KEY_COLUMNS],
    size_t count, struct buf *out)
{
	const char *load = t->table->refresh.load;

	if (load != NULL) {
		for (const char *hole; (hole = strstr(load, "(:keys)")) != NULL; load = hole + 7) {
			buf_add(out, load, (size_t)(hole - load) + 1);
			add_keys(t, values, count, out);
			buf_add_char(out, ')');
		}
		buf_add_str(out, load);
		return;
	}
	buf_add_str(out, "SELECT ");
	add_columns(t, out);
	buf_add_str(out, " FROM ");
	sql_add_identifier(out, str_of(t->table->name));
	buf_add_str(out, " WHERE ");
	buf_add_str(out, t->key_count > 1 ? "(" : "");
	for (size_t i = 0; i < t->key_count; i++) {
		buf_add_str(out, i > 0 ? "," : "");
		sql_add_identifier(out, str_of(t->key_names[i]));
	}
	buf_add_str(out, t->key_count > 1 ? ") IN (" : " IN (");
	add_keys(t, values, count, out);
	buf_add_char(out, ')');
}

/* ---- the rows ---- */

static int
find_column(const struct sql_result *result, const char *name)
{
	for (size_t i = 0; i < result->columns; i++)
		if (strcasecmp(sql_column_name(result, i), name) == 0)
			return (int)i;
	return -1;
}

int
refresh_table_columns(const struct refresh_table *t, const struct sql_result *result,
    struct refresh_columns *out, struct err *err)
{
	const struct config_refresh *refresh = &t->table->refresh;

	for (size_t i = 0; i < t->key_count; i++) {
		out->key[i] = find_column(result, t->key_names[i]);
		if (out->key[i] < 0)
			return err_set(err, ERR_FATAL, 0,
			    "tables.%s.refresh: load returns no column %s of the primary key",
			    t->table->name, t->key_names[i]);
	}
	for (size_t i = 0; i < refresh->value_count; i++)
		if (find_column(result, refresh->value[i]) < 0)
			return err_set(err, ERR_FATAL, 0,
			    "tables.%s.refresh: load returns no column %s of value", t->table->name,
			    refresh->value[i]);
	out->version =
	    t->table->version_column != NULL ? find_column(result, t->table->version_column) : -1;
	return 0;
}

/* As many digits as a version has, below 0 or not. */
static bool
is_whole(struct str text)
{
	size_t minus = text.len > 0 && text.data[0] == '-';

	if (text.len == minus || text.len - minus > VERSION_DIGITS_MAX)
		return false;
	for (size_t i = minus; i < text.len; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return true;
}

bool
refresh_table_row_version(const struct sql_result *result, size_t row,
    const struct refresh_columns *columns, struct str *version)
{
	if (columns->version < 0)
		return false;
	*version = sql_cell(result, row, (size_t)columns->version);
	return version->data != NULL && is_whole(*version) && version->data[0] != '-';
}

int
refresh_table_versions(const struct refresh_table *t, const struct sql_result *result,
    const struct refresh_columns *columns, struct err *err)
{
	for (size_t row = 0; columns->version >= 0 && row < result->rows; row++) {
		struct str cell = sql_cell(result, row, (size_t)columns->version);

		if (cell.data != NULL && !is_whole(cell))
			return err_set(err, ERR_FATAL, 0,
			    "tables.%s.refresh: load returns a %s that is no whole number",
			    t->table->name, t->table->version_column);
	}
	return 0;
}

bool
refresh_table_row_key(const struct refresh_table *t, const struct sql_result *result, size_t row,
    const struct refresh_columns *columns, struct buf *out)
{
	struct str values[REFRESH_KEY_COLUMNS];

	for (size_t i = 0; i < t->key_count; i++)
		values[i] = sql_cell(result, row, (size_t)columns->key[i]);
	return key_template_render(&t->template, values, out);
}

bool
refresh_table_has_value(const struct refresh_table *t, const char *column)
{
	const struct config_refresh *refresh = &t->table->refresh;

	return refresh->value_count == 0 || is_listed(column, refresh->value, refresh->value_count);
}

void
refresh_table_json(const struct refresh_table *t, const struct sql_result *result, size_t row,
    struct buf *out)
{
	bool first = true;

	buf_add_char(out, '{');
	for (size_t i = 0; i < result->columns; i++) {
		const char *name = sql_column_name(result, i);

		if (!refresh_table_has_value(t, name))
			continue;
		buf_add_str(out, first ? "" : ",");
		first = false;
		payload_add_column(out, result, row, i);
	}
	buf_add_char(out, '}');
}
