#include "common/err.h"
#include "worker/cache/key_template.h"
#include "worker/lane.h"
#include "worker/store/column_check.h"
#include "worker/store/column_event.h"
#include "worker/store/column_untold.h"
#include "worker/store/resolve.h"
#include "worker/store/resolve_plan.h"

#include <strings.h>

/* The rows of one change, as its event gives them. */
struct rows {
	struct resolver *r;
	struct entry *entry;
	struct change *change;
};

/* What a column's field is called in the events. */
static const char *
field_name(const struct table *table, const struct column *column)
{
	for (size_t i = 0; i < table->config->column_count; i++) {
		if (strcasecmp(table->config->columns[i].value, column->name) == 0)
			return table->config->columns[i].name;
	}
	return column->name;
}

static const struct value *
find(const struct field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (fields[i].name.len == strlen(name) &&
		    strncasecmp(fields[i].name.data, name, fields[i].name.len) == 0)
			return &fields[i].value;
	}
	return NULL;
}

/* After (or, of a delete, before): what the event has. */
static const struct value *
value_after(const struct change *c, const struct column *column)
{
	return find(c->fields, c->field_count, field_name(c->table, column));
}

/* Before: a partial image has what changed, the rest is as it is after.  What DMS leaves out may have
 * been NULL, or be what its ColumnFilter doesn't tell. */
static const struct value *
value_before(const struct change *c, const struct column *column)
{
	const struct value *value = find(c->before, c->before_count, field_name(c->table, column));

	return value == NULL && c->before_is_partial && c->origin != ORIGIN_DMS ?
	    value_after(c, column) :
	    value;
}

/* Has a row anything but the key?  (DMS' ColumnFilter is pk-only unless it is set, and of a deleted row
 * some databases log no more.) */
static bool
has_columns(const struct change *c, const struct field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct column *column = resolve_field_column(c->table, fields[i].name);

		if (column == NULL || column->key_part < 0)
			return true;
	}
	return false;
}

/* A column that is missing: NULL, where NULLs are left out. */
static bool
is_left_out(const struct change *c, bool is_before)
{
	if (c->origin != ORIGIN_DMS)
		return false;
	if (is_before)
		return has_columns(c, c->before, c->before_count);
	return c->op != CHANGE_DELETE || has_columns(c, c->fields, c->field_count);
}

static int
refuse_missing(struct rows *rows, const struct column *column, const char *which)
{
	rows->r->unknown = true;
	return entry_refuse(rows->entry, rows->r->arena, REASON_MISSING_COLUMN,
	    "%s: a key under `invalidate` names column %s, which the row %s of the event doesn't "
	    "have",
	    rows->change->table->name, column->name, which);
}

static int
refuse_value(struct rows *rows, const struct column *column, const char *why)
{
	return entry_refuse(rows->entry, rows->r->arena, REASON_BAD_VALUE, "%s: column %s %s",
	    rows->change->table->name, column->name, why);
}

/* The value as one text, whatever the encoding it came in.  NULL makes no key. */
static int
take_text(struct rows *rows, const struct column *column, const struct value *given,
    struct str *out)
{
	struct arena *arena = rows->r->arena;
	struct value plain = { { NULL, 0 }, VALUE_NULL }, text = plain;
	const char *why = NULL;

	*out = (struct str){ NULL, 0 };
	if (given->kind == VALUE_NULL)
		return 0;
	if (column->untold) {
		rows->r->unknown |= !column_untold_value(given, rows->change->origin, &plain, &why);
		if (why != NULL)
			return refuse_value(rows, column, why);
		*out = plain.text;
		return 0;
	}
	if (!column_event_value(column, given, rows->change->origin, rows->entry->lane->source,
		arena, &plain, &why))
		return refuse_value(rows, column, why);
	if (column_check_key(column, &plain, false, arena, &text, &why) != COLUMN_REFUSED)
		plain = text;
	*out = plain.text;
	if (out->data == NULL)
		out->data = "";
	return 0;
}

/* What the configuration sets is in both rows. */
static bool
take_constant(const struct rows *rows, const struct column *column, struct str *out)
{
	const struct config_table *config = rows->change->table->config;

	for (size_t i = 0; i < config->set_count; i++) {
		if (strcasecmp(config->set[i].name, column->name) == 0) {
			*out = str_of(config->set[i].value);
			return true;
		}
	}
	return false;
}

/* One row by the templates' names. */
static int
take_row(struct rows *rows,
    const struct value *value_of(const struct change *, const struct column *), const char *which,
    const struct str **out)
{
	const struct table *table = rows->change->table;
	struct str *values =
	    arena_alloc(rows->r->arena, (table->key_count + table->image_count) * sizeof(*values));

	for (unsigned i = 0; i < table->key_count + table->image_count; i++) {
		const struct column *column =
		    &table->columns[i < table->key_count ? table->key[i] :
							   table->reads[i - table->key_count]];
		const struct value *given = value_of(rows->change, column);
		static const struct value null = { { NULL, 0 }, VALUE_NULL };

		if (take_constant(rows, column, &values[i]))
			continue;
		if (given == NULL && is_left_out(rows->change, value_of == value_before))
			given = &null;
		if (given == NULL)
			return refuse_missing(rows, column, which);
		if (take_text(rows, column, given, &values[i]) < 0)
			return -1;
	}
	*out = values;
	return 0;
}

static bool
may_differ(const struct change *c, const struct column *column)
{
	const struct value *before = value_before(c, column), *after = value_after(c, column);

	return before == NULL || after == NULL || before->kind != after->kind ||
	    !str_equal(before->text, after->text);
}

/* May the key of this template be stale? */
static bool
may_be_stale(const struct change *c, const struct key_template *template)
{
	const struct config_template *config = template->config;
	const struct table *table = c->table;

	for (size_t i = 0; i < config->when_count; i++) {
		const struct column *column = table_column(table, str_of(config->when[i]));

		if (column == NULL || may_differ(c, column))
			return true;
	}
	for (size_t i = 0; i < template->part_count && template->parts[i].column >= 0; i++) {
		unsigned name = (unsigned)template->parts[i].column;
		unsigned column = name < table->key_count ? table->key[name] :
							    table->reads[name - table->key_count];

		if (may_differ(c, &table->columns[column]))
			return true;
	}
	return config->when_count == 0;
}

static uint64_t
unchanged_templates(const struct change *c)
{
	uint64_t unchanged = 0;

	if (!c->table->has_when || !c->has_before || c->half_of_move)
		return 0;
	for (size_t i = 0; i < c->table->template_count && i < 64; i++) {
		if (!may_be_stale(c, &c->table->templates[i]))
			unchanged |= (uint64_t)1 << i;
	}
	return unchanged;
}

/* Did somebody write the row without a new version?  Then a value of this version may be stale. */
static bool
version_stands(const struct rows *rows)
{
	const struct change *c = rows->change;
	const struct config_source *source = rows->entry->lane->source;
	const struct column *column;
	const struct value *before;
	struct value plain = { { NULL, 0 }, VALUE_NULL };
	const char *why;
	uint64_t version;

	if (!c->table->has_versioned || !c->has_before || !c->has_version)
		return false;
	column = &c->table->columns[c->table->version_column];
	before = value_before(c, column);
	if (before == NULL)
		return source->format != FORMAT_DMS; /* it leaves NULL out */
	if (before->kind == VALUE_NULL)
		return false;
	return !column_event_value(column, before, c->origin, source, rows->r->arena, &plain,
		   &why) ||
	    !number_u64(plain.text, &version) || version >= c->version;
}

/* May this column have had another value in the row that an event without a row before replaced?  A
 * change of what the event names as its key comes as two events. */
static bool
may_have_moved(const struct change *c, const struct column *column)
{
	const char *name = field_name(c->table, column);

	return !c->table->keys_only || find(c->row_key, c->row_key_count, name) == NULL;
}

static int
refuse_no_before(struct rows *rows)
{
	const struct table *table = rows->change->table;

	for (unsigned i = 0; i < table->image_count; i++) {
		const struct column *column = &table->columns[table->reads[i]];

		if (may_have_moved(rows->change, column))
			return entry_refuse(rows->entry, rows->r->arena, REASON_MISSING_COLUMN,
			    "%s: a key under `invalidate` names column %s, and the event has no "
			    "row before%s",
			    table->name, column->name,
			    table->keys_only ? "; where it is of the primary key, say so under "
					       "`key` of the table" :
					       "");
	}
	return 0;
}

int
resolve_image(struct resolver *r, struct entry *entry, struct change *change)
{
	struct rows rows = { r, entry, change };
	const struct table *table = change->table;

	change->row_before = change->row_after = NULL;
	change->unchanged = 0;
	change->version_stands = version_stands(&rows);
	if ((change->origin == ORIGIN_APP && !table->keys_only) || change->whole_table ||
	    table->problem != NULL || table->template_count == 0 ||
	    (!table->config->has_images && !table->keys_only) ||
	    (table->image_count == 0 && !table->has_when))
		return 0;
	change->unchanged = unchanged_templates(change);
	if (take_row(&rows, value_after, change->op == CHANGE_DELETE ? "before" : "after",
		&change->row_after) < 0)
		return -1;
	if (change->has_before)
		return take_row(&rows, value_before, "before", &change->row_before);
	return change->replaces && table->image_count > 0 ? refuse_no_before(&rows) : 0;
}
