#include "worker/store/schema_load.h"

#include "common/err.h"

#include <stdlib.h>
#include <strings.h>

int
load_query(struct load *load, struct sql_result *result, struct err *err, const char *format)
{
	struct buf statement;
	const char *hole;
	int status;

	buf_init(&statement);
	while ((hole = strstr(format, "%s")) != NULL) {
		buf_add(&statement, format, (size_t)(hole - format));
		buf_add_str(&statement, load->names);
		format = hole + 2;
	}
	buf_add_str(&statement, format);
	status = sql_query(load->sql, (struct str){ statement.data, statement.len }, result, err);
	buf_deinit(&statement);
	for (size_t row = 0; status == 0 && row < result->rows; row++) {
		for (size_t column = 0; column < result->columns; column++)
			load_note(load, sql_cell(result, row, column));
	}
	return status;
}

/* FNV-1a, and a byte that no text has behind each. */
void
load_note(struct load *load, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		load->hash = (load->hash ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
	load->hash = (load->hash ^ 0xff) * UINT64_C(1099511628211);
}

const char *
load_text(struct load *load, const struct sql_result *result, size_t row, size_t column)
{
	struct str cell = sql_cell(result, row, column);

	return cell.data != NULL ? arena_copy(load->arena, cell.data, cell.len) : NULL;
}

unsigned long
load_number(const struct sql_result *result, size_t row, size_t column)
{
	struct str cell = sql_cell(result, row, column);
	uint64_t n;

	return cell.data != NULL && number_u64(cell, &n) ? n : 0;
}

bool
load_is(const struct sql_result *result, size_t row, size_t column, const char *text)
{
	struct str cell = sql_cell(result, row, column);

	return cell.data != NULL && cell.len == strlen(text) &&
	    strncasecmp(cell.data, text, cell.len) == 0;
}

static bool
same_name(struct str a, const char *b, bool fold)
{
	if (a.data == NULL || a.len != strlen(b))
		return false;
	return fold ? strncasecmp(a.data, b, a.len) == 0 : memcmp(a.data, b, a.len) == 0;
}

struct load_table *
load_find(struct load *load, struct str name)
{
	for (size_t i = 0; i < load->count; i++) {
		if (same_name(name, load->tables[i].table->name, load->fold_names))
			return &load->tables[i];
	}
	return NULL;
}

struct column *
load_column(struct load_table *t, struct str name)
{
	for (unsigned i = 0; i < t->table->column_count; i++) {
		if (same_name(name, t->table->columns[i].name, true))
			return &t->table->columns[i];
	}
	return NULL;
}

int
load_tables(struct load *load, struct err *err)
{
	struct sql_result result;

	if (load_query(load, &result, err,
		"SELECT table_name, engine, table_type FROM information_schema.tables"
		" WHERE table_schema = DATABASE() AND table_name IN (%s) ORDER BY table_name") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));

		if (t == NULL)
			continue;
		t->is_there = true;
		t->engine = load_text(load, &result, row, 1);
		t->type = load_text(load, &result, row, 2);
	}
	sql_result_free(&result);
	return 0;
}

/* Rows of one table stand together. */
static size_t
rows_of_table(const struct sql_result *result, size_t row)
{
	size_t end = row;

	while (end < result->rows && str_equal(sql_cell(result, end, 0), sql_cell(result, row, 0)))
		end++;
	return end - row;
}

static bool
is_generated(const struct sql_result *result, size_t row)
{
	struct str extra = sql_cell(result, row, 12);

	return memmem(extra.data, extra.len, "VIRTUAL GENERATED", 17) != NULL ||
	    memmem(extra.data, extra.len, "STORED GENERATED", 16) != NULL;
}

/* The text a value of the column is made from, where that may name other columns. */
static const char *
expression_of(struct load *load, const struct sql_result *result, size_t row)
{
	struct str text = sql_cell(result, row, 3), extra = sql_cell(result, row, 12);

	if (is_generated(result, row))
		return load_text(load, result, row, 13);
	if (text.data == NULL || text.len == 0)
		return NULL;
	if (!load->mariadb)
		return memmem(extra.data, extra.len, "DEFAULT_GENERATED", 17) != NULL ?
		    load_text(load, result, row, 3) :
		    NULL;
	return text.data[0] != '\'' ? load_text(load, result, row, 3) : NULL;
}

static void
load_one_column(struct load *load, struct load_table *t, const struct sql_result *result,
    size_t row, unsigned place)
{
	struct column *column = &t->table->columns[place];
	struct column_facts facts = {
		.default_text = load_text(load, result, row, 3),
		.nullable = load_is(result, row, 4, "YES"),
		.data_type = load_text(load, result, row, 5),
		.column_type = load_text(load, result, row, 6),
		.length = load_number(result, row, 7),
		.precision = load_number(result, row, 8),
		.scale = load_number(result, row, 9),
		.charset = load_text(load, result, row, 10),
		.collation = load_text(load, result, row, 11),
		.extra = load_text(load, result, row, 12),
		.time_precision = load_number(result, row, 14),
		.generated = is_generated(result, row),
		.mariadb = load->mariadb,
	};

	column->name = load_text(load, result, row, 1);
	column_describe(column, &facts);
	t->expressions[place] = expression_of(load, result, row);
	if (column->generated)
		t->table->has_check = true;
}

int
load_columns(struct load *load, struct err *err)
{
	struct sql_result result;
	size_t count;

	if (load_query(load, &result, err,
		"SELECT table_name, column_name, ordinal_position, column_default, is_nullable,"
		" data_type, column_type, character_maximum_length, numeric_precision,"
		" numeric_scale, character_set_name, collation_name, extra,"
		" generation_expression, datetime_precision FROM information_schema.columns"
		" WHERE table_schema = DATABASE() AND table_name IN (%s)"
		" ORDER BY table_name, ordinal_position") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row += count) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));

		count = rows_of_table(&result, row);
		if (t == NULL)
			continue;
		t->table->column_count = (unsigned)count;
		t->table->columns = arena_zalloc(load->arena, count * sizeof(*t->table->columns));
		t->expressions = arena_zalloc(load->arena, count * sizeof(*t->expressions));
		for (unsigned i = 0; i < count; i++)
			load_one_column(load, t, &result, row + i, i);
	}
	sql_result_free(&result);
	return 0;
}

static void
load_key_part(struct load_table *t, struct column *column, bool is_prefix)
{
	struct table *table = t->table;

	t->key_parts++;
	if (column == NULL || table->key_count == sizeof(table->key) / sizeof(table->key[0]))
		return;
	column->key_part = (int)table->key_count;
	table->key[table->key_count++] = (unsigned)(column - table->columns);
	table->key_unsure |= is_prefix || column->kind == COLUMN_FLOAT ||
	    column->kind == COLUMN_BIT || column->kind == COLUMN_JSON ||
	    column->kind == COLUMN_ENUM || column->kind == COLUMN_OTHER;
}

/* An index over an expression (MySQL) has no column name, and refuses values as a CHECK does. */
static void
load_index_part(const struct load *load, struct load_table *t, const struct sql_result *result,
    size_t row)
{
	struct str name = sql_cell(result, row, 3);
	struct column *column = load_column(t, name);

	if (load_is(result, row, 1, "PRIMARY")) {
		load_key_part(t, column, sql_cell(result, row, 4).data != NULL);
		return;
	}
	if (name.data == NULL) {
		t->table->has_check = true;
		for (unsigned i = 0; i < t->table->column_count; i++)
			t->table->columns[i].guarded = true;
	}
	if (!load_is(result, row, 2, "0")) {
		/* InnoDB lets a foreign key reference any index, and whose it is may be hidden */
		if (column != NULL && !load->sees_database)
			column->guarded = true;
		return;
	}
	t->table->has_unique = true;
	if (column != NULL)
		column->guarded = true;
}

int
load_indexes(struct load *load, struct err *err)
{
	struct sql_result result;

	if (load_query(load, &result, err,
		"SELECT table_name, index_name, non_unique, column_name, sub_part"
		" FROM information_schema.statistics"
		" WHERE table_schema = DATABASE() AND table_name IN (%s)"
		" ORDER BY table_name, index_name, seq_in_index") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));

		if (t != NULL)
			load_index_part(load, t, &result, row);
	}
	sql_result_free(&result);
	return 0;
}
