#include "worker/store/statement_insert.h"

#include "worker/store/literal.h"

static void
add_insert_names(struct buf *out, const struct shape *shape)
{
	const struct table *table = shape->table;

	buf_add_str(out, "INSERT INTO ");
	literal_add_name(out, table->name);
	buf_add_str(out, " (");
	for (unsigned i = 0; i < table->key_count; i++) {
		literal_add_name(out, table_key_column(table, i)->name);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; i < shape->count; i++) {
		literal_add_name(out, shape_column_of(shape, i)->name);
		buf_add_char(out, ',');
	}
	if (table->version != VERSION_NONE) {
		literal_add_name(out, table_version_column(table)->name);
		buf_add_char(out, ',');
	}
	out->len--;
	buf_add_str(out, ") VALUES ");
}

static void
add_insert_row(struct buf *out, const struct step *step)
{
	const struct shape *shape = step->shape;
	const struct table *table = shape->table;

	buf_add_char(out, '(');
	for (unsigned i = 0; i < table->key_count; i++) {
		literal_add_key(out, table_key_column(table, i), &step->key[i]);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; i < shape->count; i++) {
		literal_add_value(out, shape_column_of(shape, i), &step->values[i]);
		buf_add_char(out, ',');
	}
	switch (table->version) {
	case VERSION_NONE:
		break;
	case VERSION_GIVEN:
		if (shape->fence == FENCE_OFF)
			buf_add_str(out, "NULL");
		else
			buf_add_u64(out, step->version);
		buf_add_char(out, ',');
		break;
	case VERSION_COUNTER:
		buf_add_str(out, NOW_US "+");
		buf_add_u64(out, step->changes - 1);
		buf_add_char(out, ',');
		break;
	case VERSION_CLOCK:
		buf_add_str(out, NOW_US ",");
		break;
	}
	out->data[out->len - 1] = ')';
}

/* The value of this row in the list.  MySQL's name for the row can't be a table's, and no table of
 * ours to write begins so. */
static void
add_new(struct buf *out, const struct column *column, bool mariadb)
{
	buf_add_str(out, mariadb ? "VALUES(" : "sluice_new.");
	literal_add_name(out, column->name);
	if (mariadb)
		buf_add_char(out, ')');
}

/* table.column: behind a row alias a bare name would be ambiguous. */
static void
add_old(struct buf *out, const struct table *table, const struct column *column)
{
	literal_add_name(out, table->name);
	buf_add_char(out, '.');
	literal_add_name(out, column->name);
}

/* IF(the stored version is NULL or older, the new value, the old one) */
static void
add_new_if_newer(struct buf *out, const struct shape *shape, bool mariadb)
{
	const struct table *table = shape->table;
	const struct column *version = table_version_column(table);

	buf_add_str(out, "IF(");
	add_old(out, table, version);
	buf_add_str(out, " IS NULL OR ");
	add_old(out, table, version);
	buf_add_str(out, shape->fence == FENCE_EQUAL ? "<=" : "<");
	add_new(out, version, mariadb);
	buf_add_char(out, ',');
}

static void
add_sum(struct buf *out, const struct table *table, const struct column *column, bool mariadb)
{
	buf_add_str(out, "COALESCE(");
	add_old(out, table, column);
	buf_add_str(out, ",0)+");
	add_new(out, column, mariadb);
}

static void
add_upsert_assignment(struct buf *out, const struct shape *shape, unsigned i, bool mariadb)
{
	const struct table *table = shape->table;
	const struct column *column = shape_column_of(shape, i);
	bool given = shape_is_fenced(shape);

	literal_add_name(out, column->name);
	buf_add_char(out, '=');
	if (given)
		add_new_if_newer(out, shape, mariadb);
	if (shape->columns[i].add)
		add_sum(out, table, column, mariadb);
	else
		add_new(out, column, mariadb);
	if (given) {
		buf_add_char(out, ',');
		add_old(out, table, column);
		buf_add_char(out, ')');
	}
}

/* Last of all: the assignments before it compare with the version as it was. */
static void
add_upsert_version(struct buf *out, const struct shape *shape, bool mariadb)
{
	const struct table *table = shape->table;
	const struct column *version = table_version_column(table);

	literal_add_name(out, version->name);
	buf_add_char(out, '=');
	switch (table->version) {
	case VERSION_NONE:
		break;
	case VERSION_GIVEN:
		if (shape->fence == FENCE_OFF) {
			buf_add_str(out, "NULL");
			break;
		}
		add_new_if_newer(out, shape, mariadb);
		add_new(out, version, mariadb);
		buf_add_char(out, ',');
		add_old(out, table, version);
		buf_add_char(out, ')');
		break;
	case VERSION_COUNTER: /* the new value is now + changes - 1 */
		add_sum(out, table, version, mariadb);
		buf_add_str(out, "-" NOW_US "+1");
		break;
	case VERSION_CLOCK:
		buf_add_str(out, "GREATEST(COALESCE(");
		add_old(out, table, version);
		buf_add_str(out, ",0)+1,");
		add_new(out, version, mariadb);
		buf_add_char(out, ')');
		break;
	}
}

/* What a key column can't be.  NULL is 0 to an AUTO_INCREMENT column and now to a TIMESTAMP. */
static const char *
impossible(const struct column *column)
{
	if (column->kind == COLUMN_INT)
		return "99999999999999999999";
	return column->kind == COLUMN_DATETIME ? "'-'" : "NULL";
}

/*
 * ON DUPLICATE KEY fires on any unique index, one that was added since the schema was read too, and
 * would then change another row.  Nothing but an error stops that.
 */
static void
add_same_row(struct buf *out, const struct table *table, bool mariadb)
{
	literal_add_name(out, table_key_column(table, 0)->name);
	buf_add_str(out, "=IF(");
	for (unsigned i = 0; i < table->key_count; i++) {
		buf_add_str(out, i > 0 ? " AND " : "");
		add_old(out, table, table_key_column(table, i));
		buf_add_char(out, '=');
		add_new(out, table_key_column(table, i), mariadb);
	}
	buf_add_char(out, ',');
	add_old(out, table, table_key_column(table, 0));
	buf_add_char(out, ',');
	buf_add_str(out, impossible(table_key_column(table, 0)));
	buf_add_char(out, ')');
}

static void
add_upsert_tail(struct buf *out, const struct shape *shape, bool mariadb)
{
	const struct table *table = shape->table;

	buf_add_str(out,
	    mariadb ? " ON DUPLICATE KEY UPDATE " : " AS sluice_new ON DUPLICATE KEY UPDATE ");
	add_same_row(out, table, mariadb);
	for (unsigned i = 0; i < shape->count; i++) {
		buf_add_char(out, ',');
		add_upsert_assignment(out, shape, i, mariadb);
	}
	if (table->version == VERSION_NONE)
		return;
	buf_add_char(out, ',');
	add_upsert_version(out, shape, mariadb);
}

unsigned
statement_insert(struct buf *out, const struct statement *s, bool upsert)
{
	const struct shape *shape = s->steps[0]->shape;
	size_t start = out->len;
	struct buf tail;
	unsigned n;

	buf_init(&tail);
	if (upsert)
		add_upsert_tail(&tail, shape, s->mariadb);
	add_insert_names(out, shape);
	for (n = 0; n < s->count; n++) {
		size_t row = out->len;

		if (n > 0)
			buf_add_char(out, ',');
		add_insert_row(out, s->steps[n]);
		if (out->len - start + tail.len > s->bytes_max) {
			out->len = row;
			break;
		}
	}
	if (n > 0)
		buf_add(out, tail.data, tail.len);
	else
		out->len = start;
	buf_deinit(&tail);
	return n;
}
