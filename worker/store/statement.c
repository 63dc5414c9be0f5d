#include "worker/store/statement.h"

#include "common/err.h"
#include "worker/store/derived.h"
#include "worker/store/literal.h"
#include "worker/store/statement_insert.h"

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
		    !literal_range(shape_column_of(shape, i), &scale, &low, &high))
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

	if (shape->kind == SHAPE_DELETE || shape->kind == SHAPE_TRUNCATE)
		return STATEMENT_DELETE;
	if (needs_guard(step))
		return STATEMENT_UPDATE_GUARDED;
	if (shape->kind == SHAPE_UPDATE || !shape->covers_required || step->alone)
		return STATEMENT_UPDATE;
	if (table->ordered || table->has_unique || table->has_check || table->key_unsure)
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

	return shape->kind != SHAPE_DELETE && shape->kind != SHAPE_TRUNCATE && shape->count == 0 &&
	    shape->table->version == VERSION_NONE;
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
	return s->count == 1 || !derived_can_hold(s->steps[0]);
}

/* UPDATE */

/* What is added, or its lowest ('l') or highest ('h') running sum; step == NULL: from v. */
static void
add_added(struct buf *out, const struct step *step, const struct shape *shape, unsigned i,
    char letter)
{
	const struct column *column = shape_column_of(shape, i);
	unsigned scale = column->kind == COLUMN_DECIMAL ? column->scale : 0;

	buf_add_str(out, "COALESCE(");
	literal_add_column(out, "t", column);
	buf_add_str(out, ",0)+");
	if (step == NULL)
		derived_add_column(out, letter, i);
	else if (letter == 'c')
		literal_add_increment(out, column, &step->values[i]);
	else
		literal_add_scaled(out, letter == 'l' ? step->sums[i].low : step->sums[i].high,
		    scale);
}

/* Strict mode refuses the value out of range, and so the row, when a running sum would have
 * been. */
static void
add_guarded(struct buf *out, const struct step *step, const struct shape *shape, unsigned i)
{
	int128 low, high;
	unsigned scale;

	CHECK(literal_range(shape_column_of(shape, i), &scale, &low, &high));
	buf_add_str(out, "IF(");
	add_added(out, step, shape, i, 'l');
	buf_add_char(out, '<');
	literal_add_scaled(out, low, scale);
	buf_add_str(out, " OR ");
	add_added(out, step, shape, i, 'h');
	buf_add_char(out, '>');
	literal_add_scaled(out, high, scale);
	buf_add_char(out, ',');
	literal_add_scaled(out, high + 1, scale);
	buf_add_char(out, ',');
	add_added(out, step, shape, i, 'c');
	buf_add_char(out, ')');
}

static void
add_version_assignment(struct buf *out, const struct shape *shape, const struct step *step)
{
	const struct table *table = shape->table;

	literal_add_column(out, "t", table_version_column(table));
	buf_add_char(out, '=');
	if (table->version == VERSION_GIVEN) {
		if (shape->fence == FENCE_OFF)
			buf_add_str(out, "NULL");
		else if (step != NULL)
			buf_add_u64(out, step->version);
		else
			buf_add_str(out, "v.w");
		return;
	}
	buf_add_str(out, table->version == VERSION_CLOCK ? "GREATEST(COALESCE(" : "COALESCE(");
	literal_add_column(out, "t", table_version_column(table));
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
		const struct column *column = shape_column_of(shape, i);

		literal_add_column(out, "t", column);
		buf_add_char(out, '=');
		if (shape->columns[i].add && guard)
			add_guarded(out, step, shape, i);
		else if (shape->columns[i].add)
			add_added(out, step, shape, i, 'c');
		else if (step != NULL)
			literal_add_value(out, column, &step->values[i]);
		else
			derived_add_column(out, 'c', i);
		buf_add_char(out, ',');
	}
	if (table->version != VERSION_NONE)
		add_version_assignment(out, shape, step);
	else
		out->len--;
}

/* The table beside v, row by row through its primary key: with the statistics of an empty table
 * MariaDB would scan it, and lock rows of others. */
static void
add_by_key(struct buf *tail, const char *join, const struct table *table)
{
	buf_add_char(tail, ' ');
	buf_add_str(tail, join);
	buf_add_char(tail, ' ');
	literal_add_name(tail, table->name);
	buf_add_str(tail, " t FORCE INDEX (PRIMARY) ON ");
	derived_add_match(tail, table, NULL);
}

static unsigned
add_update(struct buf *out, const struct statement *s, bool guard)
{
	const struct shape *shape = s->steps[0]->shape;
	const struct table *table = shape->table;
	struct derived d = { .values = true,
		.guard = guard,
		.version = shape_is_fenced(shape) || table->version == VERSION_COUNTER };
	const struct step *one = is_single(s) ? s->steps[0] : NULL;
	size_t start = out->len;
	struct buf tail;

	CHECK(!statement_sets_nothing(s->steps[0]));
	if (one != NULL) {
		buf_add_str(out, "UPDATE ");
		literal_add_name(out, table->name);
		buf_add_str(out, " t SET ");
		add_assignments(out, shape, one, guard);
		buf_add_str(out, " WHERE ");
		derived_add_match(out, table, one);
		derived_add_fence(out, shape, one);
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	add_by_key(&tail, "STRAIGHT_JOIN", table);
	buf_add_str(&tail, " SET ");
	add_assignments(&tail, shape, NULL, guard);
	derived_add_fence(&tail, shape, NULL);
	return derived_add_joined(out, s, &d, "UPDATE ", &tail);
}

/* DELETE */

static unsigned
add_delete(struct buf *out, const struct statement *s)
{
	const struct shape *shape = s->steps[0]->shape;
	const struct table *table = shape->table;
	struct derived d = { .version = shape_is_fenced(shape) };
	size_t start = out->len;
	struct buf tail;

	if (shape->kind == SHAPE_TRUNCATE) {
		buf_add_str(out, "DELETE FROM ");
		literal_add_name(out, table->name);
		return 1;
	}
	if (is_single(s)) {
		buf_add_str(out, "DELETE t FROM ");
		literal_add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		derived_add_match(out, table, s->steps[0]);
		derived_add_fence(out, shape, s->steps[0]);
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	add_by_key(&tail, "STRAIGHT_JOIN", table);
	derived_add_fence(&tail, shape, NULL);
	return derived_add_joined(out, s, &d, "DELETE t FROM ", &tail);
}

unsigned
statement_add(struct buf *out, const struct statement *s, enum statement_form form)
{
	switch (form) {
	case STATEMENT_UPSERT:
		return statement_insert(out, s, true);
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
	return statement_insert(out, s, false);
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
		literal_add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		derived_add_match(out, table, s->steps[0]);
		buf_add_char(out, ')');
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	add_by_key(&tail, "LEFT JOIN", table);
	buf_add_str(&tail, " WHERE ");
	literal_add_column(&tail, "t", table_key_column(table, 0));
	buf_add_str(&tail, " IS NULL");
	return derived_add_joined(out, s, &d, "SELECT v.i FROM ", &tail);
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
		literal_add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		derived_add_match(out, table, s->steps[0]);
		buf_add_str(out, " FOR UPDATE NOWAIT");
		return keep_single(out, start, s);
	}
	buf_init(&tail);
	add_by_key(&tail, "STRAIGHT_JOIN", table);
	buf_add_str(&tail, " FOR UPDATE NOWAIT");
	return derived_add_joined(out, s, &d, "SELECT 1 FROM ", &tail);
}

/* Long texts are only compared. */
static bool
is_hashed(const struct table *table, unsigned i, const struct column *column)
{
	return i >= table->image_count && column->length > 64 &&
	    (column->kind == COLUMN_TEXT || column->kind == COLUMN_BINARY ||
		column->kind == COLUMN_JSON);
}

static void
add_reads(struct buf *out, const struct table *table)
{
	for (unsigned i = 0; i < table->read_count; i++) {
		const struct column *column = &table->columns[table->reads[i]];
		bool hashed = is_hashed(table, i, column);

		buf_add_str(out, hashed ? ",SHA2(" : ",");
		literal_add_column(out, "t", column);
		if (hashed)
			buf_add_str(out, ",256)");
		else if (column->kind == COLUMN_BIT)
			buf_add_str(out, "+0");
	}
}

/* wanted: what to add of the table t behind the index. */
static unsigned
add_read(struct buf *out, const struct statement *s, const struct buf *wanted, bool lock)
{
	const struct table *table = s->steps[0]->shape->table;
	struct derived d = { .index = true };
	size_t start = out->len;
	struct buf head, tail;
	unsigned used;

	if (is_single(s)) {
		buf_add_str(out, "SELECT 0");
		buf_add(out, wanted->data, wanted->len);
		buf_add_str(out, " FROM ");
		literal_add_name(out, table->name);
		buf_add_str(out, " t WHERE ");
		derived_add_match(out, table, s->steps[0]);
		buf_add_str(out, lock ? " FOR UPDATE" : "");
		return keep_single(out, start, s);
	}
	buf_init(&head);
	buf_init(&tail);
	buf_add_str(&head, "SELECT v.i");
	buf_add(&head, wanted->data, wanted->len);
	buf_add_str(&head, " FROM ");
	add_by_key(&tail, "STRAIGHT_JOIN", table);
	buf_add_str(&tail, lock ? " FOR UPDATE" : "");
	used = derived_add_joined(out, s, &d, head.data, &tail);
	buf_deinit(&head);
	return used;
}

unsigned
statement_add_read(struct buf *out, const struct statement *s, bool lock)
{
	struct buf wanted = { 0 };
	unsigned used;

	add_reads(&wanted, s->steps[0]->shape->table);
	used = add_read(out, s, &wanted, lock);
	buf_deinit(&wanted);
	return used;
}

unsigned
statement_add_read_all(struct buf *out, const struct statement *s)
{
	struct buf wanted = { 0 };
	unsigned used;

	buf_add_str(&wanted, ",t.*");
	used = add_read(out, s, &wanted, false);
	buf_deinit(&wanted);
	return used;
}
