#include "worker/store/derived.h"

#include "common/err.h"
#include "worker/store/literal.h"

#include <string.h>

enum { TABLE_COLUMNS_MAX = 4096, KEY_PARTS_MAX = 16 };

void
derived_add_column(struct buf *out, char letter, unsigned i)
{
	buf_add(out, "v.", 2);
	buf_add_char(out, letter);
	buf_add_u64(out, i);
}

/* CONVERT … USING makes a question mark of what the column's character set lacks, and that could be
 * another row's key. */
static bool
converts_exactly(const struct column *column, struct str text)
{
	if (column->charset == NULL || column->collation == NULL)
		return false;
	return strcmp(column->charset, "utf8mb4") == 0 || str_is_ascii(text);
}

static bool
is_joinable_part(const struct column *column, const struct value *value)
{
	switch (column->kind) {
	case COLUMN_INT:
		return literal_kind(column, value, false) == LITERAL_NUMBER;
	case COLUMN_TEXT:
		return value->kind == VALUE_TEXT && converts_exactly(column, value->text);
	case COLUMN_BINARY:
		return value->kind == VALUE_BINARY;
	case COLUMN_DECIMAL:
	case COLUMN_DATE:
	case COLUMN_DATETIME:
	case COLUMN_TIME:
		return value->kind == VALUE_TEXT || value->kind == VALUE_NUMBER;
	case COLUMN_FLOAT:
	case COLUMN_ENUM:
	case COLUMN_BIT:
	case COLUMN_JSON:
	case COLUMN_OTHER:
		break;
	}
	return false;
}

bool
derived_can_hold(const struct step *step)
{
	const struct table *table = step->shape->table;

	for (unsigned i = 0; i < table->key_count; i++) {
		if (!is_joinable_part(table_key_column(table, i), &step->key[i]))
			return false;
	}
	return true;
}

/* What a key column is compared with, of the column's own type so that its index is used; a
 * literal, or with value == NULL the column of v. */
static void
add_key_operand(struct buf *out, const struct column *column, unsigned i, const struct value *value)
{
	bool convert =
	    value == NULL && column->kind == COLUMN_TEXT && strcmp(column->charset, "utf8mb4") != 0;
	bool cast = column->kind == COLUMN_DATE || column->kind == COLUMN_DATETIME ||
	    column->kind == COLUMN_TIME || column->kind == COLUMN_DECIMAL;

	buf_add_str(out, convert ? "CONVERT(" : cast ? "CAST(" : "");
	if (value != NULL)
		literal_add_key(out, column, value);
	else
		derived_add_column(out, 'k', i);
	if (convert)
		buf_printf(out, " USING %s)", column->charset);
	if (value == NULL && column->kind == COLUMN_TEXT)
		buf_printf(out, " COLLATE %s", column->collation);
	if (column->kind == COLUMN_DATE)
		buf_add_str(out, " AS DATE)");
	else if (column->kind == COLUMN_DECIMAL)
		buf_printf(out, " AS DECIMAL(%u,%u))", column->precision, column->scale);
	else if (cast)
		buf_printf(out, " AS %s(%u))", column->kind == COLUMN_TIME ? "TIME" : "DATETIME",
		    column->scale);
}

void
derived_add_match(struct buf *out, const struct table *table, const struct step *step)
{
	for (unsigned i = 0; i < table->key_count; i++) {
		if (i > 0)
			buf_add_str(out, " AND ");
		literal_add_column(out, "t", table_key_column(table, i));
		buf_add_char(out, '=');
		add_key_operand(out, table_key_column(table, i), i,
		    step != NULL ? &step->key[i] : NULL);
	}
}

void
derived_add_fence(struct buf *out, const struct shape *shape, const struct step *step)
{
	const struct table *table = shape->table;

	if (!shape_is_fenced(shape))
		return;
	buf_add_str(out, step != NULL ? " AND (" : " WHERE ");
	literal_add_column(out, "t", table_version_column(table));
	buf_add_str(out, " IS NULL OR ");
	literal_add_column(out, "t", table_version_column(table));
	buf_add_str(out, shape->fence == FENCE_EQUAL ? "<=" : "<");
	if (step != NULL) {
		buf_add_u64(out, step->version);
		buf_add_char(out, ')');
	} else
		buf_add_str(out, "v.w");
}

static void
add_derived_names(struct buf *out, const struct shape *shape, const struct derived *d)
{
	if (d->index)
		buf_add_str(out, "i,");
	for (unsigned i = 0; i < shape->table->key_count; i++)
		buf_printf(out, "k%u,", i);
	for (unsigned i = 0; d->values && i < shape->count; i++) {
		buf_printf(out, "c%u,", i);
		if (d->guard && shape->columns[i].add)
			buf_printf(out, "l%u,h%u,", i, i);
	}
	if (d->version)
		buf_add_str(out, "w,");
	out->len--;
}

static void
add_derived_row(struct buf *out, const struct step *step, const struct derived *d, unsigned index)
{
	const struct shape *shape = step->shape;
	const struct table *table = shape->table;

	if (d->index) {
		buf_add_u64(out, index);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; i < table->key_count; i++) {
		literal_add_key(out, table_key_column(table, i), &step->key[i]);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; d->values && i < shape->count; i++) {
		const struct column *column = shape_column_of(shape, i);

		if (shape->columns[i].add)
			literal_add_increment(out, column, &step->values[i]);
		else
			literal_add_value(out, column, &step->values[i]);
		buf_add_char(out, ',');
		if (d->guard && shape->columns[i].add) {
			unsigned scale = column->kind == COLUMN_DECIMAL ? column->scale : 0;

			literal_add_scaled(out, step->sums[i].low, scale);
			buf_add_char(out, ',');
			literal_add_scaled(out, step->sums[i].high, scale);
			buf_add_char(out, ',');
		}
	}
	if (d->version) {
		buf_add_u64(out, table->version == VERSION_GIVEN ? step->version : step->changes);
		buf_add_char(out, ',');
	}
	out->data[out->len - 1] = ')';
}

/* Note the kinds of the step's values; false: one doesn't go with those before it. */
static bool
note_kinds(unsigned char *kinds, const struct step *step, const struct derived *d)
{
	const struct shape *shape = step->shape;

	for (unsigned i = 0; d->values && i < shape->count; i++) {
		enum literal_kind kind = literal_kind(shape_column_of(shape, i), &step->values[i],
		    shape->columns[i].add);

		if (kind == LITERAL_NONE)
			continue;
		if (kinds[i] != LITERAL_NONE && kinds[i] != kind)
			return false;
		kinds[i] = (unsigned char)kind;
	}
	return true;
}

/* The derived table of as many steps as fit into `room` bytes; returns how many. */
static unsigned
add_derived_table(struct buf *out, const struct statement *s, const struct derived *d, size_t room)
{
	const struct shape *shape = s->steps[0]->shape;
	unsigned char kinds[TABLE_COLUMNS_MAX] = { 0 };
	size_t end = out->len + room, names;
	unsigned n;

	CHECK(shape->count <= TABLE_COLUMNS_MAX && shape->table->key_count <= KEY_PARTS_MAX);
	names = out->len;
	if (s->mariadb) {
		buf_add_str(out, "(WITH v(");
		add_derived_names(out, shape, d);
		buf_add_str(out, ") AS (VALUES ");
	} else
		buf_add_str(out, "(VALUES ");
	names = 2 * (out->len - names) + 64; /* at most what comes behind the rows */
	for (n = 0; n < s->count; n++) {
		size_t row = out->len;

		if (n > 0 && (!derived_can_hold(s->steps[n]) || !note_kinds(kinds, s->steps[n], d)))
			break;
		if (n == 0)
			note_kinds(kinds, s->steps[n], d);
		else
			buf_add_char(out, ',');
		buf_add_str(out, s->mariadb ? "(" : "ROW(");
		add_derived_row(out, s->steps[n], d, n);
		if (out->len + names > end) {
			out->len = row;
			break;
		}
	}
	if (s->mariadb)
		buf_add_str(out, ") SELECT * FROM v) v");
	else {
		buf_add_str(out, ") AS v(");
		add_derived_names(out, shape, d);
		buf_add_char(out, ')');
	}
	return n;
}

unsigned
derived_add_joined(struct buf *out, const struct statement *s, const struct derived *d,
    const char *head, struct buf *tail)
{
	size_t start = out->len;
	unsigned n = 0;

	buf_add_str(out, head);
	if (strlen(head) + tail->len < s->bytes_max)
		n = add_derived_table(out, s, d, s->bytes_max - strlen(head) - tail->len);
	if (n > 0)
		buf_add(out, tail->data, tail->len);
	else
		out->len = start;
	buf_deinit(tail);
	return n;
}
