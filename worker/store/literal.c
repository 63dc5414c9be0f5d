#include "worker/store/literal.h"

#include "common/mysql.h"

#include <string.h>

bool
literal_range(const struct column *column, unsigned *scale, int128 *low, int128 *high)
{
	if (column->kind == COLUMN_INT) {
		*scale = 0;
		*low = column->low;
		*high = column->high;
		return true;
	}
	if (column->kind != COLUMN_DECIMAL || column->precision > 37)
		return false;
	*scale = column->scale;
	*high = 1;
	for (unsigned i = 0; i < column->precision; i++)
		*high *= 10;
	*high -= 1;
	*low = column->is_unsigned ? 0 : -*high;
	return true;
}

static bool
is_number(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((s.data[i] < '0' || s.data[i] > '9') && memchr("+-.eE", s.data[i], 5) == NULL)
			return false;
	}
	return s.len > 0;
}

enum literal_kind
literal_kind(const struct column *column, const struct value *value, bool add)
{
	switch (value->kind) {
	case VALUE_NULL:
		return LITERAL_NONE;
	case VALUE_NUMBER:
		return (add || column->kind == COLUMN_INT || column->kind == COLUMN_BIT) &&
			is_number(value->text) ?
		    LITERAL_NUMBER :
		    LITERAL_TEXT;
	case VALUE_BINARY:
		return LITERAL_BINARY;
	case VALUE_TEXT:
	case VALUE_BOOL:
	case VALUE_JSON:
		break;
	}
	return LITERAL_TEXT;
}

void
literal_add_value(struct buf *out, const struct column *column, const struct value *value)
{
	switch (literal_kind(column, value, false)) {
	case LITERAL_NONE:
		buf_add(out, "NULL", 4);
		return;
	case LITERAL_NUMBER:
		buf_add(out, value->text.data, value->text.len);
		return;
	case LITERAL_TEXT:
		sql_add_text(out, value->text);
		return;
	case LITERAL_BINARY:
		sql_add_binary(out, value->text);
		return;
	}
}

void
literal_add_increment(struct buf *out, const struct column *column, const struct value *value)
{
	bool exact = column->kind == COLUMN_INT || column->kind == COLUMN_DECIMAL;

	if (literal_kind(column, value, true) == LITERAL_NUMBER) {
		buf_add(out, value->text.data, value->text.len);
		return;
	}
	if (exact)
		buf_add_str(out, "CAST(");
	literal_add_value(out, column, value);
	if (exact)
		buf_add_str(out, " AS DECIMAL(65,30))");
}

void
literal_add_scaled(struct buf *out, int128 n, unsigned scale)
{
	char text[48];

	buf_add(out, text, number_scaled_text(n, scale, text));
}

static bool
has_type(const struct column *column, const char *start)
{
	return column->type != NULL && strncmp(column->type, start, strlen(start)) == 0;
}

void
literal_add_key(struct buf *out, const struct column *column, const struct value *value)
{
	struct value stored = *value;

	if (column->kind == COLUMN_TEXT && value->kind == VALUE_TEXT && has_type(column, "char(")) {
		while (stored.text.len > 0 && stored.text.data[stored.text.len - 1] == ' ')
			stored.text.len--;
	}
	literal_add_value(out, column, &stored);
	if (column->kind == COLUMN_BINARY && value->kind == VALUE_BINARY &&
	    has_type(column, "binary(") && value->text.len < column->length) {
		out->len--; /* the quote */
		for (size_t i = value->text.len; i < column->length; i++)
			buf_add(out, "\\0", 2);
		buf_add_char(out, '\'');
	}
}

void
literal_add_name(struct buf *out, const char *name)
{
	sql_add_identifier(out, str_of(name));
}

void
literal_add_column(struct buf *out, const char *table, const struct column *column)
{
	buf_add_str(out, table);
	buf_add_char(out, '.');
	literal_add_name(out, column->name);
}
