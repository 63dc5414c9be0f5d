#include "worker/cache/payload.h"

#include "worker/store/schema.h"

/* The value that the change gives the column; NULL: none. */
static const struct value *
value_of(const struct change *c, unsigned column)
{
	if (c->table->columns[column].key_part >= 0)
		return &c->key[c->table->columns[column].key_part];
	for (unsigned i = 0; i < c->shape->count; i++)
		if (c->shape->columns[i].column == column)
			return &c->values[i];
	return NULL;
}

static bool
add_value(struct buf *out, const struct column *column, const struct value *value)
{
	if (value->kind == VALUE_NULL)
		buf_add_str(out, "null");
	else if (value->kind == VALUE_BINARY)
		return false;
	else if (column->kind == COLUMN_INT)
		buf_add(out, value->text.data, value->text.len);
	else
		buf_add_json(out, value->text.data, value->text.len);
	return true;
}

/* Would the text be a JSON number?  What our check refuses MySQL may take for another one. */
static bool
is_whole(const struct value *value)
{
	size_t i = value->text.len > 1 && value->text.data[0] == '-';

	if (value->text.len == i || (value->text.data[i] == '0' && value->text.len > i + 1))
		return value->kind == VALUE_NULL;
	for (; i < value->text.len; i++)
		if (value->text.data[i] < '0' || value->text.data[i] > '9')
			return false;
	return true;
}

static bool
add_column(const struct change *c, unsigned i, struct buf *out)
{
	const struct column *column = &c->table->columns[i];
	const struct value *value = value_of(c, i);

	buf_add_json(out, column->name, strlen(column->name));
	buf_add_char(out, ':');
	if ((int)i == c->table->version_column) {
		buf_add_u64(out, c->version);
		return true;
	}
	return value != NULL && (column->kind != COLUMN_INT || is_whole(value)) &&
	    add_value(out, column, value);
}

bool
payload_of(const struct change *c, struct buf *out)
{
	size_t start = out->len;

	if (c->op != CHANGE_UPSERT || c->alone || c->table->ordered || !c->has_version ||
	    c->shape == NULL || c->shape->kind != SHAPE_UPSERT || c->shape->adds)
		return false;
	buf_add_char(out, '{');
	for (unsigned i = 0; i < c->table->column_count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		if (!add_column(c, i, out)) {
			out->len = start;
			return false;
		}
	}
	buf_add_char(out, '}');
	return true;
}
