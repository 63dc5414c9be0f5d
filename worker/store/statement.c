#include "worker/store/statement.h"

#include "common/err.h"
#include "common/mysql.h"
#include "common/number.h"

#include <string.h>

/* Microseconds since 1970 at the server, exact: the product of two decimals. */
#define NOW_US "UNIX_TIMESTAMP(NOW(6))*1000000"

enum { TABLE_COLUMNS_MAX = 4096, KEY_PARTS_MAX = 16 };

/* What a column of v holds so far. */
enum kind { KIND_NONE, KIND_NUMBER, KIND_TEXT, KIND_BINARY };

/* The largest magnitudes of a column, as integers scaled by 10^scale; false where 128 bits or our
 * knowledge don't reach. */
static bool
column_range(const struct column *column, unsigned *scale, int128 *low, int128 *high)
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

static const struct column *
column_of(const struct shape *shape, unsigned i)
{
	return &shape->table->columns[shape->columns[i].column];
}

static const struct column *
key_column(const struct table *table, unsigned i)
{
	return &table->columns[table->key[i]];
}

bool
statement_sums_overflow(const struct step *step)
{
	const struct shape *shape = step->shape;
	int128 low, high;
	unsigned scale;

	if (!shape->adds || !shape->foldable || step->sums == NULL)
		return false;
	for (unsigned i = 0; i < shape->count; i++) {
		if (!shape->columns[i].add ||
		    !column_range(column_of(shape, i), &scale, &low, &high))
			continue;
		if (step->sums[i].low < low || step->sums[i].high > high)
			return true;
	}
	return false;
}

/* Does the sum alone not tell whether one of the increments would have been refused? */
static bool
needs_guard(const struct step *step)
{
	const struct shape *shape = step->shape;

	if (!shape->adds || !shape->foldable || step->changes < 2 || step->sums == NULL)
		return false;
	for (unsigned i = 0; i < shape->count; i++) {
		const struct sum *s = &step->sums[i];

		if (shape->columns[i].add &&
		    (s->low != (s->sum < 0 ? s->sum : 0) || s->high != (s->sum > 0 ? s->sum : 0)))
			return true;
	}
	return false;
}

enum statement_form
statement_form(const struct step *step)
{
	const struct shape *shape = step->shape;
	const struct table *table = shape->table;

	if (shape->kind == SHAPE_DELETE)
		return STATEMENT_DELETE;
	if (needs_guard(step))
		return STATEMENT_UPDATE_GUARDED;
	if (shape->kind == SHAPE_UPDATE || !shape->covers_required || step->alone)
		return STATEMENT_UPDATE;
	if (table->ordered || table->has_unique || table->has_check)
		return STATEMENT_UPDATE;
	/* VALUES(c) is a value of the column: the increment must be one too */
	if (shape->adds && (!shape->foldable || statement_sums_overflow(step)))
		return STATEMENT_UPDATE;
	return STATEMENT_UPSERT;
}

bool
statement_sets_nothing(const struct step *step)
{
	const struct shape *shape = step->shape;

	return shape->kind != SHAPE_DELETE && shape->count == 0 && shape->table->version == VERSION_NONE;
}

/* Values */

static bool
is_number(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((s.data[i] < '0' || s.data[i] > '9') && memchr("+-.eE", s.data[i], 5) == NULL)
			return false;
	}
	return s.len > 0;
}

static enum kind
kind_of(const struct column *column, const struct value *value, bool add)
{
	switch (value->kind) {
	case VALUE_NULL:
		return KIND_NONE;
	case VALUE_NUMBER:
		/* Decimals and floats as text: a literal is cut at 65 digits, a column of v sooner. */
		return (add || column->kind == COLUMN_INT || column->kind == COLUMN_BIT) &&
			is_number(value->text) ? KIND_NUMBER : KIND_TEXT;
	case VALUE_BINARY:
		return KIND_BINARY;
	case VALUE_TEXT:
	case VALUE_BOOL:
	case VALUE_JSON:
		break;
	}
	return KIND_TEXT;
}

static void
add_value(struct buf *out, const struct column *column, const struct value *value)
{
	switch (kind_of(column, value, false)) {
	case KIND_NONE:
		buf_add(out, "NULL", 4);
		return;
	case KIND_NUMBER:
		buf_add(out, value->text.data, value->text.len);
		return;
	case KIND_TEXT:
		sql_add_text(out, value->text);
		return;
	case KIND_BINARY:
		sql_add_binary(out, value->text);
		return;
	}
}

/* What is added to a column: never by way of a double where the column is exact. */
static void
add_increment(struct buf *out, const struct column *column, const struct value *value)
{
	bool exact = column->kind == COLUMN_INT || column->kind == COLUMN_DECIMAL;

	if (kind_of(column, value, true) == KIND_NUMBER) {
		buf_add(out, value->text.data, value->text.len);
		return;
	}
	if (exact)
		buf_add_str(out, "CAST(");
	add_value(out, column, value);
	if (exact)
		buf_add_str(out, " AS DECIMAL(65,30))");
}

static void
add_scaled(struct buf *out, int128 n, unsigned scale)
{
	char text[48];

	buf_add(out, text, number_scaled_text(n, scale, text));
}

static bool
has_type(const struct column *column, const char *start)
{
	return column->type != NULL && strncmp(column->type, start, strlen(start)) == 0;
}

/* A key as the server stores it, since that is what it is compared with: CHAR loses its trailing
 * blanks, BINARY is filled up with zeros. */
static void
add_key_value(struct buf *out, const struct column *column, const struct value *value)
{
	struct value stored = *value;

	if (column->kind == COLUMN_TEXT && value->kind == VALUE_TEXT && has_type(column, "char(")) {
		while (stored.text.len > 0 && stored.text.data[stored.text.len - 1] == ' ')
			stored.text.len--;
	}
	add_value(out, column, &stored);
	if (column->kind == COLUMN_BINARY && value->kind == VALUE_BINARY &&
	    has_type(column, "binary(") && value->text.len < column->length) {
		out->len--; /* the quote */
		for (size_t i = value->text.len; i < column->length; i++)
			buf_add(out, "\\0", 2);
		buf_add_char(out, '\'');
	}
}

/* Identifiers */

static void
add_name(struct buf *out, const char *name)
{
	sql_add_identifier(out, str_of(name));
}

static void
add_column(struct buf *out, const char *table, const struct column *column)
{
	buf_add_str(out, table);
	buf_add_char(out, '.');
	add_name(out, column->name);
}

/* A column of v: a letter and a number. */
static void
add_derived(struct buf *out, char letter, unsigned i)
{
	buf_add(out, "v.", 2);
	buf_add_char(out, letter);
	buf_add_u64(out, i);
}

static const struct column *
version_column(const struct table *table)
{
	CHECK(table->version != VERSION_NONE && table->version_column >= 0);
	return &table->columns[table->version_column];
}

/* Keys */

static bool
is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	}
	return true;
}

/* CONVERT … USING makes a question mark of what the column's character set lacks, and that could be
 * another row's key. */
static bool
converts_exactly(const struct column *column, struct str text)
{
	if (column->charset == NULL || column->collation == NULL)
		return false;
	return strcmp(column->charset, "utf8mb4") == 0 || is_ascii(text);
}

static bool
is_joinable_part(const struct column *column, const struct value *value)
{
	switch (column->kind) {
	case COLUMN_INT:
		return kind_of(column, value, false) == KIND_NUMBER;
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

/* May the step's key be a row of v? */
static bool
is_joinable(const struct step *step)
{
	const struct table *table = step->shape->table;

	for (unsigned i = 0; i < table->key_count; i++) {
		if (!is_joinable_part(key_column(table, i), &step->key[i]))
			return false;
	}
	return true;
}

/* What a key column is compared with, of the column's own type so that its index is used; a literal,
 * or with value == NULL the column of v. */
static void
add_key_operand(struct buf *out, const struct column *column, unsigned i, const struct value *value)
{
	bool convert = value == NULL && column->kind == COLUMN_TEXT &&
	    strcmp(column->charset, "utf8mb4") != 0;
	bool cast = column->kind == COLUMN_DATE || column->kind == COLUMN_DATETIME ||
	    column->kind == COLUMN_TIME || column->kind == COLUMN_DECIMAL;

	buf_add_str(out, convert ? "CONVERT(" : cast ? "CAST(" : "");
	if (value != NULL)
		add_key_value(out, column, value);
	else
		add_derived(out, 'k', i);
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

/* The row of the step, or with step == NULL of v. */
static void
add_match(struct buf *out, const struct table *table, const struct step *step)
{
	for (unsigned i = 0; i < table->key_count; i++) {
		if (i > 0)
			buf_add_str(out, " AND ");
		add_column(out, "t", key_column(table, i));
		buf_add_char(out, '=');
		add_key_operand(out, key_column(table, i), i, step != NULL ? &step->key[i] : NULL);
	}
}

/* Given versions: only over NULL or an older one. */
static void
add_fence(struct buf *out, const struct table *table, const struct step *step)
{
	if (table->version != VERSION_GIVEN)
		return;
	buf_add_str(out, step != NULL ? " AND (" : " WHERE ");
	add_column(out, "t", version_column(table));
	buf_add_str(out, " IS NULL OR ");
	add_column(out, "t", version_column(table));
	if (step != NULL) {
		buf_add_char(out, '<');
		buf_add_u64(out, step->version);
		buf_add_char(out, ')');
	} else
		buf_add_str(out, "<v.w");
}

/*
 * The derived table.  Its columns: i the row's index, k0 … the key, c0 … what is set or added, l0
 * and h0 … the lowest and highest running sum, w the given version or the number of changes.
 */
struct derived {
	bool index, values, guard, version;
};

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
		add_key_value(out, key_column(table, i), &step->key[i]);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; d->values && i < shape->count; i++) {
		const struct column *column = column_of(shape, i);

		if (shape->columns[i].add)
			add_increment(out, column, &step->values[i]);
		else
			add_value(out, column, &step->values[i]);
		buf_add_char(out, ',');
		if (d->guard && shape->columns[i].add) {
			unsigned scale = column->kind == COLUMN_DECIMAL ? column->scale : 0;

			add_scaled(out, step->sums[i].low, scale);
			buf_add_char(out, ',');
			add_scaled(out, step->sums[i].high, scale);
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
		enum kind kind = kind_of(column_of(shape, i), &step->values[i], shape->columns[i].add);

		if (kind == KIND_NONE)
			continue;
		if (kinds[i] != KIND_NONE && kinds[i] != kind)
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

		if (n > 0 && (!is_joinable(s->steps[n]) || !note_kinds(kinds, s->steps[n], d)))
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

/* head, the derived table, tail; as many steps as fit. */
static unsigned
add_joined(struct buf *out, const struct statement *s, const struct derived *d, const char *head,
    struct buf *tail)
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

/* A statement of one row was added from `start` on: is it short enough? */
static unsigned
keep_single(struct buf *out, size_t start, const struct statement *s)
{
	if (out->len - start <= s->bytes_max)
		return 1;
	out->len = start;
	return 0;
}

static bool
is_single(const struct statement *s)
{
	return s->count == 1 || !is_joinable(s->steps[0]);
}

/* UPDATE */

/* What is added, or its lowest ('l') or highest ('h') running sum; step == NULL: from v. */
static void
add_added(struct buf *out, const struct step *step, const struct shape *shape, unsigned i, char letter)
{
	const struct column *column = column_of(shape, i);
	unsigned scale = column->kind == COLUMN_DECIMAL ? column->scale : 0;

	buf_add_str(out, "COALESCE(");
	add_column(out, "t", column);
	buf_add_str(out, ",0)+");
	if (step == NULL)
		add_derived(out, letter, i);
	else if (letter == 'c')
		add_increment(out, column, &step->values[i]);
	else
		add_scaled(out, letter == 'l' ? step->sums[i].low : step->sums[i].high, scale);
}

/* Strict mode refuses the value out of range, and so the row, when a running sum would have been. */
static void
add_guarded(struct buf *out, const struct step *step, const struct shape *shape, unsigned i)
{
	int128 low, high;
	unsigned scale;

	CHECK(column_range(column_of(shape, i), &scale, &low, &high));
	buf_add_str(out, "IF(");
	add_added(out, step, shape, i, 'l');
	buf_add_char(out, '<');
	add_scaled(out, low, scale);
	buf_add_str(out, " OR ");
	add_added(out, step, shape, i, 'h');
	buf_add_char(out, '>');
	add_scaled(out, high, scale);
	buf_add_char(out, ',');
	add_scaled(out, high + 1, scale);
	buf_add_char(out, ',');
	add_added(out, step, shape, i, 'c');
	buf_add_char(out, ')');
}

static void
add_version_assignment(struct buf *out, const struct table *table, const struct step *step)
{
	add_column(out, "t", version_column(table));
	buf_add_char(out, '=');
	if (table->version == VERSION_GIVEN) {
		if (step != NULL)
			buf_add_u64(out, step->version);
		else
			buf_add_str(out, "v.w");
		return;
	}
	buf_add_str(out, table->version == VERSION_CLOCK ? "GREATEST(COALESCE(" : "COALESCE(");
	add_column(out, "t", version_column(table));
	if (table->version == VERSION_CLOCK)
		buf_add_str(out, ",0)+1," NOW_US ")");
	else if (step != NULL)
		buf_printf(out, ",0)+%u", step->changes);
	else
		buf_add_str(out, ",0)+v.w");
}

/* Everything behind SET, for one step or (NULL) from v. */
static void
add_assignments(struct buf *out, const struct shape *shape, const struct step *step, bool guard)
{
	const struct table *table = shape->table;

	for (unsigned i = 0; i < shape->count; i++) {
		const struct column *column = column_of(shape, i);

		add_column(out, "t", column);
		buf_add_char(out, '=');
		if (shape->columns[i].add && guard)
			add_guarded(out, step, shape, i);
		else if (shape->columns[i].add)
			add_added(out, step, shape, i, 'c');
		else if (step != NULL)
			add_value(out, column, &step->values[i]);
		else
			add_derived(out, 'c', i);
		buf_add_char(out, ',');
	}
	if (table->version != VERSION_NONE)
		add_version_assignment(out, table, step);
	else
		out->len--;
}

static unsigned
add_update(struct buf *out, const struct statement *s, bool guard)
{
	const struct shape *shape = s->steps[0]->shape;
	const struct table *table = shape->table;
	struct derived d = { .values = true, .guard = guard,
		.version = table->version == VERSION_GIVEN || table->version == VERSION_COUNTER };
	const struct step *one = is_single(s) ? s->steps[0] : NULL;
	size_t start = out->len;
	struct buf tail;

	CHECK(!statement_sets_nothing(s->steps[0]));
	if (one != NULL) {
		buf_add_str(out, "UPDATE ");
		add_name(out, table->name);
		buf_add_str(out, " t SET ");
		add_assignments(out, shape, one, guard);
		buf_add_str(out, " WHERE ");
		add_match(out, table, one);
		add_fence(out, table, one);
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	buf_add_str(&tail, " STRAIGHT_JOIN ");
	add_name(&tail, table->name);
	buf_add_str(&tail, " t ON ");
	add_match(&tail, table, NULL);
	buf_add_str(&tail, " SET ");
	add_assignments(&tail, shape, NULL, guard);
	add_fence(&tail, table, NULL);
	return add_joined(out, s, &d, "UPDATE ", &tail);
}

/* DELETE */

static unsigned
add_delete(struct buf *out, const struct statement *s)
{
	const struct table *table = s->steps[0]->shape->table;
	struct derived d = { .version = table->version == VERSION_GIVEN };
	size_t start = out->len;
	struct buf tail;

	if (is_single(s)) {
		buf_add_str(out, "DELETE t FROM ");
		add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		add_match(out, table, s->steps[0]);
		add_fence(out, table, s->steps[0]);
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	buf_add_str(&tail, " STRAIGHT_JOIN ");
	add_name(&tail, table->name);
	buf_add_str(&tail, " t ON ");
	add_match(&tail, table, NULL);
	add_fence(&tail, table, NULL);
	return add_joined(out, s, &d, "DELETE t FROM ", &tail);
}

/* INSERT */

static void
add_insert_names(struct buf *out, const struct shape *shape)
{
	const struct table *table = shape->table;

	buf_add_str(out, "INSERT INTO ");
	add_name(out, table->name);
	buf_add_str(out, " (");
	for (unsigned i = 0; i < table->key_count; i++) {
		add_name(out, key_column(table, i)->name);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; i < shape->count; i++) {
		add_name(out, column_of(shape, i)->name);
		buf_add_char(out, ',');
	}
	if (table->version != VERSION_NONE) {
		add_name(out, version_column(table)->name);
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
		add_key_value(out, key_column(table, i), &step->key[i]);
		buf_add_char(out, ',');
	}
	for (unsigned i = 0; i < shape->count; i++) {
		add_value(out, column_of(shape, i), &step->values[i]);
		buf_add_char(out, ',');
	}
	switch (table->version) {
	case VERSION_NONE:
		break;
	case VERSION_GIVEN:
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

/* The value of this row in the list. */
static void
add_new(struct buf *out, const struct column *column, bool mariadb)
{
	buf_add_str(out, mariadb ? "VALUES(" : "v.");
	add_name(out, column->name);
	if (mariadb)
		buf_add_char(out, ')');
}

/* table.column: behind a row alias a bare name would be ambiguous. */
static void
add_old(struct buf *out, const struct table *table, const struct column *column)
{
	add_name(out, table->name);
	buf_add_char(out, '.');
	add_name(out, column->name);
}

/* IF(the stored version is NULL or older, the new value, the old one) */
static void
add_new_if_newer(struct buf *out, const struct table *table, bool mariadb)
{
	const struct column *version = version_column(table);

	buf_add_str(out, "IF(");
	add_old(out, table, version);
	buf_add_str(out, " IS NULL OR ");
	add_old(out, table, version);
	buf_add_char(out, '<');
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
	const struct column *column = column_of(shape, i);
	bool given = table->version == VERSION_GIVEN;

	add_name(out, column->name);
	buf_add_char(out, '=');
	if (given)
		add_new_if_newer(out, table, mariadb);
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
add_upsert_version(struct buf *out, const struct table *table, bool mariadb)
{
	const struct column *version = version_column(table);

	add_name(out, version->name);
	buf_add_char(out, '=');
	switch (table->version) {
	case VERSION_NONE:
		break;
	case VERSION_GIVEN:
		add_new_if_newer(out, table, mariadb);
		add_new(out, version, mariadb);
		buf_add_char(out, ',');
		add_old(out, table, version);
		buf_add_char(out, ')');
		break;
	case VERSION_COUNTER: /* the new value is now + changes - 1, and now is one for a statement */
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

static void
add_upsert_tail(struct buf *out, const struct shape *shape, bool mariadb)
{
	const struct table *table = shape->table;

	buf_add_str(out, mariadb ? " ON DUPLICATE KEY UPDATE " : " AS v ON DUPLICATE KEY UPDATE ");
	for (unsigned i = 0; i < shape->count; i++) {
		add_upsert_assignment(out, shape, i, mariadb);
		buf_add_char(out, ',');
	}
	if (table->version != VERSION_NONE)
		add_upsert_version(out, table, mariadb);
	else if (shape->count > 0)
		out->len--;
	else {
		add_name(out, key_column(table, 0)->name);
		buf_add_char(out, '=');
		add_old(out, table, key_column(table, 0));
	}
}

static unsigned
add_insert(struct buf *out, const struct statement *s, bool upsert)
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

unsigned
statement_add(struct buf *out, const struct statement *s, enum statement_form form)
{
	switch (form) {
	case STATEMENT_UPSERT:
		return add_insert(out, s, true);
	case STATEMENT_UPDATE:
		return add_update(out, s, false);
	case STATEMENT_UPDATE_GUARDED:
		return add_update(out, s, true);
	case STATEMENT_DELETE:
		return add_delete(out, s);
	}
	return 0;
}

unsigned
statement_add_insert(struct buf *out, const struct statement *s)
{
	return add_insert(out, s, false);
}

/* SELECT */

unsigned
statement_add_missing(struct buf *out, const struct statement *s)
{
	const struct table *table = s->steps[0]->shape->table;
	struct derived d = { .index = true };
	size_t start = out->len;
	struct buf tail;

	if (is_single(s)) {
		buf_add_str(out, "SELECT 0 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM ");
		add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		add_match(out, table, s->steps[0]);
		buf_add_char(out, ')');
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	buf_add_str(&tail, " LEFT JOIN ");
	add_name(&tail, table->name);
	buf_add_str(&tail, " t ON ");
	add_match(&tail, table, NULL);
	buf_add_str(&tail, " WHERE ");
	add_column(&tail, "t", key_column(table, 0));
	buf_add_str(&tail, " IS NULL");
	return add_joined(out, s, &d, "SELECT v.i FROM ", &tail);
}

unsigned
statement_add_lock(struct buf *out, const struct statement *s)
{
	const struct table *table = s->steps[0]->shape->table;
	struct derived d = { .index = false };
	size_t start = out->len;
	struct buf tail;

	if (is_single(s)) {
		buf_add_str(out, "SELECT 1 FROM ");
		add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		add_match(out, table, s->steps[0]);
		buf_add_str(out, " FOR UPDATE NOWAIT");
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	buf_add_str(&tail, " STRAIGHT_JOIN ");
	add_name(&tail, table->name);
	buf_add_str(&tail, " t ON ");
	add_match(&tail, table, NULL);
	buf_add_str(&tail, " FOR UPDATE NOWAIT");
	return add_joined(out, s, &d, "SELECT 1 FROM ", &tail);
}
