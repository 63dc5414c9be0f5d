#include "worker/cache/payload.h"

#include <string.h>

static bool
is_json_number(struct str text)
{
	size_t i = text.len > 0 && text.data[0] == '-';

	/* ZEROFILL pads: such a number is text for JSON */
	if (i >= text.len ||
	    (text.data[i] == '0' && i + 1 < text.len && text.data[i + 1] >= '0' &&
		text.data[i + 1] <= '9'))
		return false;
	return strspn(text.data + i, "0123456789.eE+-") >= text.len - i;
}

static void
add_json_value(struct buf *out, struct str cell, enum sql_kind kind)
{
	if (cell.data == NULL) {
		buf_add_str(out, "null");
	} else if (kind == SQL_BYTES) {
		buf_add_char(out, '"');
		buf_add_base64(out, cell.data, cell.len);
		buf_add_char(out, '"');
	} else if (kind == SQL_JSON || (kind == SQL_NUMBER && is_json_number(cell))) {
		buf_add(out, cell.data, cell.len);
	} else {
		buf_add_json(out, cell.data, cell.len);
	}
}

void
payload_add_column(struct buf *out, const struct sql_result *result, size_t row, size_t column)
{
	const char *name = sql_column_name(result, column);

	buf_add_json(out, name, strlen(name));
	buf_add_char(out, ':');
	add_json_value(out, sql_cell(result, row, column), sql_column_kind(result, column));
}

void
payload_add_row(struct buf *out, const struct sql_result *result, size_t row, size_t first)
{
	buf_add_char(out, '{');
	for (size_t i = first; i < result->columns; i++) {
		buf_add_str(out, i > first ? "," : "");
		payload_add_column(out, result, row, i);
	}
	buf_add_char(out, '}');
}
