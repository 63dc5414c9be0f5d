#include "worker/store/resolve_plan.h"

#include "common/err.h"
#include "worker/lane.h"
#include "worker/store/column_check.h"

#include <strings.h>

static bool
is_plan_of(const struct resolver_plan *plan, const struct config_source *source,
    const struct change *change)
{
	if (plan->table == NULL || plan->source != source || plan->op != change->op ||
	    plan->flattened != change->flattened || plan->field_count != change->field_count ||
	    !str_equal(plan->table_name, change->table_name))
		return false;
	for (size_t i = 0; i < plan->field_count; i++) {
		if (!str_equal(plan->names[i], change->fields[i].name))
			return false;
	}
	return true;
}

static int
refuse_name(struct resolver *r, struct entry *entry, const char *reason, const struct table *table,
    const char *before, struct str name, const char *behind)
{
	return entry_refuse(entry, r->arena, reason, "%s: %s%s%s", table->name, before,
	    name_shown(r->arena, name), behind);
}

static bool
source_lists(const struct config_source *source, struct str name)
{
	for (size_t i = 0; i < source->table_count; i++) {
		if (str_equal(str_of(source->tables[i]), name))
			return true;
	}
	return false;
}

static unsigned
operation_bit(enum change_op op)
{
	switch (op) {
	case CHANGE_UPSERT:
		return OPERATION_UPSERT;
	case CHANGE_UPDATE:
		return OPERATION_UPDATE;
	case CHANGE_DELETE:
		return OPERATION_DELETE;
	case CHANGE_INCR:
		return OPERATION_INCR;
	case CHANGE_INVALIDATE:
		return OPERATION_INVALIDATE;
	}
	CHECK(false);
	return 0;
}

static struct table *
table_named(struct resolver *r, struct str name)
{
	if (r->recent == NULL || !str_equal(str_of(r->recent->name), name))
		r->recent = schema_table(r->schema, name);
	return r->recent;
}

/* Which table, and may this source touch it so? */
int
resolve_table(struct resolver *r, struct entry *entry, struct change *change)
{
	const struct config_source *source = entry->lane->source;
	struct str name = change->table_name;

	if (name.len == 0)
		name = str_of(source->table);
	if (name.len == 0)
		return entry_refuse(entry, r->arena, REASON_UNKNOWN_TABLE,
		    "the entry names no _table and the source has no `table`");
	if (name.len >= 7 && strncasecmp(name.data, "sluice_", 7) == 0)
		return entry_refuse(entry, r->arena, REASON_TABLE_DENIED,
		    "%s: sluice's own tables are not for entries", name_shown(r->arena, name));
	if (!source_lists(source, name))
		return entry_refuse(entry, r->arena, REASON_TABLE_DENIED,
		    "%s: not among the tables of this source", name_shown(r->arena, name));
	if ((source->operations & operation_bit(change->op)) == 0)
		return entry_refuse(entry, r->arena, REASON_OPERATION_DENIED,
		    "%s: %s is not among the operations of this source", name_shown(r->arena, name),
		    change_op_name(change->op));
	change->table = table_named(r, name);
	if (change->table != NULL)
		return 0;
	r->unknown = true;
	return entry_refuse(entry, r->arena, REASON_UNKNOWN_TABLE, "%s: no such table",
	    name_shown(r->arena, name));
}

static bool
is_ignored(const struct config_table *config, struct str field)
{
	for (size_t i = 0; i < config->ignore_count; i++) {
		if (str_equal(str_of(config->ignore[i]), field))
			return true;
	}
	return false;
}

static struct str
mapped_name(const struct config_table *config, struct str field)
{
	for (size_t i = 0; i < config->column_count; i++) {
		if (str_equal(str_of(config->columns[i].name), field))
			return str_of(config->columns[i].value);
	}
	return field;
}

/* Does the operation write columns beside the key? */
static bool
sets_columns(enum change_op op)
{
	return op != CHANGE_DELETE && op != CHANGE_INVALIDATE;
}

/* A plan in the making. */
enum { FROM_NOWHERE = -1, FROM_CONFIG = -2 };
struct making {
	struct resolver *r;
	struct entry *entry;
	const struct change *change;
	struct table *table;
	int *from;		 /* per column: the field it comes from, or one of the above */
	int *columns;		 /* per field: its column, or -1 */
	struct value *constants; /* per column, with FROM_CONFIG */
	bool events;		 /* the source has change events */
};

/* The constants come first: they win over what an entry says. */
static void
take_constants(struct making *m)
{
	const struct config_table *config = m->table->config;

	for (size_t i = 0; i < config->set_count; i++) {
		const struct column *column = table_column(m->table, str_of(config->set[i].name));

		if (column == NULL || (column->key_part < 0 && !sets_columns(m->change->op)))
			continue;
		m->from[column - m->table->columns] = FROM_CONFIG;
		m->constants[column - m->table->columns] =
		    (struct value){ str_of(config->set[i].value), VALUE_TEXT };
	}
}

static int
take_field(struct making *m, size_t i)
{
	const struct table *table = m->table;
	struct str name = m->change->fields[i].name;
	const struct column *column;
	int place;

	m->columns[i] = -1;
	if (is_ignored(table->config, name))
		return 0;
	column = table_column(table, mapped_name(table->config, name));
	if (column == NULL) {
		if (m->change->op == CHANGE_INVALIDATE ||
		    (m->change->flattened && name.len > 2 && str_begins(name, "__")))
			return 0;
		m->r->unknown = true;
		return refuse_name(m->r, m->entry, REASON_UNKNOWN_COLUMN, table,
		    "no column for field ", name, "");
	}
	place = (int)(column - table->columns);
	if (column->key_part < 0) {
		if (m->change->op == CHANGE_INVALIDATE)
			return 0;
		if (place == table->version_column && m->events) {
			m->from[place] = (int)i;
			m->columns[i] = place;
			return 0;
		}
		if (place == table->version_column)
			return refuse_name(m->r, m->entry, REASON_BAD_VERSION, table, "field ",
			    name, " is the version column, which only _version sets");
		if (m->change->op == CHANGE_DELETE)
			return 0;
		if (column->generated && m->events)
			return 0; /* an image has them; the target makes its own */
		if (column->generated) {
			m->r->unknown = true;
			return refuse_name(m->r, m->entry, REASON_REFUSED, table, "column ", name,
			    " is generated and can't be set");
		}
	}
	if (m->from[place] == FROM_CONFIG)
		return 0;
	if (m->from[place] != FROM_NOWHERE)
		return refuse_name(m->r, m->entry, REASON_BAD_ENTRY, table, "field ", name,
		    " is a column that another field has named already");
	m->from[place] = (int)i;
	m->columns[i] = place;
	return 0;
}

const struct column *
resolve_field_column(const struct table *table, struct str name)
{
	return is_ignored(table->config, name) ?
	    NULL :
	    table_column(table, mapped_name(table->config, name));
}

/* Does `ignore` name this column, or the field that would be written to it? */
static bool
is_column_ignored(const struct table *table, const struct column *column)
{
	const struct config_table *config = table->config;

	for (size_t i = 0; i < config->column_count; i++) {
		if (strcasecmp(config->columns[i].value, column->name) == 0 &&
		    is_ignored(config, str_of(config->columns[i].name)))
			return true;
	}
	return is_ignored(config, str_of(column->name));
}

/* AWS DMS leaves out columns that are NULL or empty. */
static void
take_omitted(struct making *m)
{
	const struct table *table = m->table;

	for (unsigned i = 0; i < table->column_count; i++) {
		const struct column *column = &table->columns[i];
		bool is_text = column->kind == COLUMN_TEXT || column->kind == COLUMN_BINARY;

		if (m->from[i] != FROM_NOWHERE || column->key_part >= 0 || column->generated ||
		    (int)i == table->version_column || (!column->nullable && !is_text) ||
		    is_column_ignored(table, column))
			continue;
		m->from[i] = FROM_CONFIG;
		m->constants[i] =
		    (struct value){ { "", 0 }, column->nullable ? VALUE_NULL : VALUE_TEXT };
	}
}

static int
check_key_is_there(struct making *m)
{
	const struct table *table = m->table;

	for (unsigned i = 0; i < table->key_count; i++) {
		if (m->from[table->key[i]] != FROM_NOWHERE)
			continue;
		m->r->unknown = true;
		return refuse_name(m->r, m->entry, REASON_NO_KEY, table, "no value for key column ",
		    str_of(table->columns[table->key[i]].name), "");
	}
	return 0;
}

static enum shape_kind
shape_kind_of(enum change_op op)
{
	switch (op) {
	case CHANGE_UPSERT:
	case CHANGE_INCR:
		return SHAPE_UPSERT;
	case CHANGE_UPDATE:
	case CHANGE_INVALIDATE:
		return SHAPE_UPDATE;
	case CHANGE_DELETE:
		return SHAPE_DELETE;
	}
	CHECK(false);
	return SHAPE_UPDATE;
}

/* The shape's columns ascending, and each field's place among them. */
static void
make_shape(struct making *m, struct resolver_plan *plan)
{
	struct arena *arena = m->r->arena;
	const struct table *table = m->table;
	struct shape_column *columns =
	    arena_alloc(arena, table->column_count * sizeof(*columns) + 1);
	int *places = arena_alloc(arena, table->column_count * sizeof(*places) + 1);
	int *targets = arena_alloc(arena, m->change->field_count * sizeof(*targets) + 1);
	unsigned count = 0;

	for (unsigned i = 0; i < table->column_count; i++) {
		if (m->from[i] == FROM_NOWHERE || table->columns[i].key_part >= 0 ||
		    (int)i == table->version_column)
			continue;
		places[i] = (int)count;
		columns[count++] = (struct shape_column){ (uint16_t)i,
			m->change->op == CHANGE_INCR && m->from[i] != FROM_CONFIG };
	}
	for (size_t i = 0; i < m->change->field_count; i++) {
		int column = m->columns[i];

		if (column < 0)
			targets[i] = TARGET_IGNORED;
		else if (table->columns[column].key_part >= 0)
			targets[i] = TARGET_KEY - table->columns[column].key_part;
		else if (column == table->version_column)
			targets[i] = TARGET_VERSION;
		else
			targets[i] = places[column];
	}
	plan->targets = targets;
	plan->shape = resolver_shape(m->r, m->table, shape_kind_of(m->change->op), columns, count);
	if (m->events && table->version == VERSION_GIVEN)
		plan->shape = resolver_fenced(m->r, plan->shape, FENCE_EQUAL);
}

/* Check the constants once.  They are texts of the config, not base64. */
static void
make_constants(struct making *m, struct resolver_plan *plan)
{
	const struct table *table = m->table;
	struct arena *arena = m->r->arena;
	struct constant *constants =
	    arena_alloc(arena, plan->shape->count * sizeof(*constants) + 1);
	struct value *keys = arena_zalloc(arena, table->key_count * sizeof(*keys));
	const char *why = NULL;

	for (unsigned i = 0; i < table->key_count; i++) {
		if (m->from[table->key[i]] == FROM_CONFIG)
			keys[i] = m->constants[table->key[i]];
	}
	for (unsigned i = 0; i < plan->shape->count; i++) {
		unsigned column = plan->shape->columns[i].column;
		struct constant *constant = &constants[plan->constant_count];

		if (m->from[column] != FROM_CONFIG)
			continue;
		constant->place = i;
		constant->alone = column_check(&table->columns[column], &m->constants[column],
				      false, arena, &constant->value, &why) != COLUMN_FINE;
		plan->constant_count++;
	}
	plan->constants = constants;
	plan->constant_keys = keys;
}

static void
copy_names(struct arena *arena, const struct change *change, struct resolver_plan *plan)
{
	struct str *names = arena_alloc(arena, change->field_count * sizeof(*names) + 1);

	for (size_t i = 0; i < change->field_count; i++) {
		struct str name = change->fields[i].name;

		names[i] = arena_str(arena, name.data, name.len);
	}
	plan->names = names;
	plan->field_count = change->field_count;
	plan->table_name = arena_str(arena, change->table_name.data, change->table_name.len);
}

static int
make_plan(struct resolver *r, struct entry *entry, struct change *change,
    struct resolver_plan *plan)
{
	struct table *table = change->table;
	struct arena *arena = r->arena;
	const struct config_source *source = entry->lane->source;
	struct making m = { .r = r,
		.entry = entry,
		.change = change,
		.table = table,
		.events = config_has_events(source) };

	m.from = arena_alloc(arena, table->column_count * sizeof(*m.from) + 1);
	for (unsigned i = 0; i < table->column_count; i++)
		m.from[i] = FROM_NOWHERE;
	m.columns = arena_alloc(arena, change->field_count * sizeof(*m.columns) + 1);
	m.constants = arena_alloc(arena, table->column_count * sizeof(*m.constants) + 1);
	take_constants(&m);
	for (size_t i = 0; i < change->field_count; i++) {
		if (take_field(&m, i) < 0)
			return -1;
	}
	if (check_key_is_there(&m) < 0)
		return -1;
	if (source->format == FORMAT_DMS && change->op == CHANGE_UPSERT)
		take_omitted(&m);
	*plan = (struct resolver_plan){
		.source = source, .op = change->op, .flattened = change->flattened, .table = table
	};
	copy_names(arena, change, plan);
	make_shape(&m, plan);
	make_constants(&m, plan);
	return 0;
}

static struct table *
table_of(struct resolver *r, const struct entry *entry, const struct change *change)
{
	const struct config_source *source = entry->lane->source;
	struct str name = change->table_name.len > 0 ? change->table_name : str_of(source->table);
	struct table *table =
	    name.len > 0 && source_lists(source, name) ? table_named(r, name) : NULL;

	return table != NULL && table->problem == NULL ? table : NULL;
}

bool
resolve_plan_keys(struct resolver *r, const struct entry *entry, struct change *change,
    struct value *keys)
{
	struct table *table = table_of(r, entry, change);
	const struct config_table *config;
	unsigned found[16] = { 0 };
	bool constant[16] = { false };

	if (table == NULL)
		return false;
	if (change->whole_table) {
		change->table = table;
		return false;
	}
	config = table->config;
	for (size_t i = 0; i < config->set_count; i++) {
		const struct column *column = table_column(table, str_of(config->set[i].name));

		if (column == NULL || column->key_part < 0)
			continue;
		keys[column->key_part] = (struct value){ str_of(config->set[i].value), VALUE_TEXT };
		constant[column->key_part] = true;
	}
	for (size_t i = 0; i < change->field_count; i++) {
		const struct field *field = &change->fields[i];
		const struct column *column = is_ignored(config, field->name) ?
		    NULL :
		    table_column(table, mapped_name(config, field->name));

		if (column == NULL || column->key_part < 0 || constant[column->key_part])
			continue;
		keys[column->key_part] = field->value;
		found[column->key_part]++;
	}
	for (unsigned i = 0; i < table->key_count; i++) {
		if (!constant[i] && found[i] != 1)
			return false;
	}
	change->table = table;
	return true;
}

const struct resolver_plan *
resolve_plan(struct resolver *r, struct entry *entry, struct change *change)
{
	const struct config_source *source = entry->lane->source;
	struct resolver_plan made;

	for (unsigned i = 0; i < PLANS_MAX; i++) {
		if (!is_plan_of(&r->plans[i], source, change))
			continue;
		if (i >
		    0) { /* a step towards the front, so that two in turn don't move each other */
			made = r->plans[i - 1];
			r->plans[i - 1] = r->plans[i];
			r->plans[i] = made;
			i--;
		}
		change->table = r->plans[i].table;
		return &r->plans[i];
	}
	if (resolve_table(r, entry, change) < 0 || change->table->problem != NULL ||
	    make_plan(r, entry, change, &made) < 0)
		return NULL;
	memmove(&r->plans[1], &r->plans[0], (PLANS_MAX - 1) * sizeof(r->plans[0]));
	r->plans[0] = made;
	return &r->plans[0];
}
