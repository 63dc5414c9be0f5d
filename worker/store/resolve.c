#include "worker/store/resolve.h"

#include "common/err.h"
#include "worker/lane.h"
#include "worker/store/column_check.h"
#include "worker/store/column_event.h"
#include "worker/store/resolve_key.h"
#include "worker/store/resolve_plan.h"

#include <stdlib.h>

#define KEEP_SHAPES 1024
/* Sums of decimals are kept in 128 bits. */
#define SUM_DIGITS_MAX 36

void
resolver_init(struct resolver *r)
{
	memset(r, 0, sizeof(*r));
	map_init(&r->shapes);
	r->plans = calloc(PLANS_MAX, sizeof(*r->plans));
	CHECK(r->plans != NULL);
}

void
resolver_deinit(struct resolver *r)
{
	map_deinit(&r->shapes);
	free(r->plans);
	r->plans = NULL;
}

void
resolver_start(struct resolver *r, struct schema *schema, struct arena *arena)
{
	r->schema = schema;
	r->arena = arena;
	r->recent = NULL;
	r->no_columns = NULL;
	r->shape_count = 0;
	r->unknown = false;
	map_reset(&r->shapes, KEEP_SHAPES);
	memset(r->plans, 0, PLANS_MAX * sizeof(*r->plans));
}

/* Can increments of it be added up exactly?  (YEAR reads 1 … 99 as 1970 … 2069.) */
static bool
adds_exactly(const struct column *column)
{
	return (column->kind == COLUMN_INT && strncmp(column->type, "year", 4) != 0) ||
	    (column->kind == COLUMN_DECIMAL && column->precision <= SUM_DIGITS_MAX);
}

static bool
covers_required(const struct shape *shape)
{
	const struct table *table = shape->table;
	unsigned at = 0;

	for (unsigned i = 0; i < table->column_count; i++) {
		if (at < shape->count && shape->columns[at].column == i) {
			at++;
			continue;
		}
		if (table->columns[i].required && table->columns[i].key_part < 0 &&
		    (int)i != table->version_column)
			return false;
	}
	return true;
}

static struct shape *
shape_new(struct resolver *r, struct table *table, enum shape_kind kind, enum shape_fence fence,
    const struct shape_column *columns, unsigned count)
{
	struct shape *shape = arena_zalloc(r->arena, sizeof(*shape));
	struct shape_column *own = arena_alloc(r->arena, count * sizeof(*own) + 1);

	if (count > 0)
		memcpy(own, columns, count * sizeof(*own));
	shape->table = table;
	shape->kind = kind;
	shape->fence = fence;
	shape->id = r->shape_count++;
	shape->count = (uint16_t)count;
	shape->columns = own;
	shape->covers_required = covers_required(shape);
	shape->foldable = true;
	for (unsigned i = 0; i < count; i++) {
		const struct column *column = &table->columns[columns[i].column];

		shape->guarded |= column->guarded;
		shape->adds |= columns[i].add;
		shape->foldable &= !columns[i].add || adds_exactly(column);
		shape->sets_on_update |= column->on_update;
	}
	return shape;
}

static bool
is_no_columns(const struct shape *shape, const struct table *table, enum shape_kind kind,
    enum shape_fence fence)
{
	return shape != NULL && shape->table == table && shape->kind == kind &&
	    shape->fence == fence;
}

static const struct shape *
shape_of(struct resolver *r, struct table *table, enum shape_kind kind, enum shape_fence fence,
    const struct shape_column *columns, unsigned count)
{
	if (count == 0 && is_no_columns(r->no_columns, table, kind, fence))
		return r->no_columns;

	uint32_t of = resolve_place(r, table);
	size_t len = sizeof(of) + 2 + count * 3;
	char *key = arena_alloc(r->arena, len);
	char *at = key;
	void **place;

	CHECK(count <= table->column_count);
	memcpy(at, &of, sizeof(of));
	at += sizeof(of);
	*at++ = (char)kind;
	*at++ = (char)fence;
	for (unsigned i = 0; i < count; i++) {
		memcpy(at, &columns[i].column, 2);
		at[2] = (char)columns[i].add;
		at += 3;
	}
	place = map_at(&r->shapes, key, len);
	if (*place == NULL)
		*place = shape_new(r, table, kind, fence, columns, count);
	if (count == 0)
		r->no_columns = *place;
	return *place;
}

const struct shape *
resolver_shape(struct resolver *r, struct table *table, enum shape_kind kind,
    const struct shape_column *columns, unsigned count)
{
	return shape_of(r, table, kind, FENCE_OLDER, columns, count);
}

const struct shape *
resolver_fenced(struct resolver *r, const struct shape *shape, enum shape_fence fence)
{
	return shape_of(r, shape->table, shape->kind, fence, shape->columns, shape->count);
}

/* Of no row, in order against all other changes of its table. */
static void
take_no_key(struct resolver *r, struct change *change)
{
	struct table *table = change->table;
	uint32_t place = resolve_place(r, table);

	change->values = NULL;
	change->sums = NULL;
	change->key = arena_zalloc(r->arena, table->key_count * sizeof(*change->key) + 1);
	change->exact.data = arena_copy(r->arena, &place, sizeof(place));
	change->exact.len = sizeof(place);
	change->bucket = change->exact;
	change->barrier = true;
}

/* The lane must wait for its table: the change carries that to the store and nothing else. */
static int
resolve_waiting(struct resolver *r, struct change *change)
{
	change->op = CHANGE_UPDATE;
	change->shape = resolver_shape(r, change->table, SHAPE_UPDATE, NULL, 0);
	take_no_key(r, change);
	r->unknown = true;
	return 0;
}

/*
 * Every row goes, in order against all other changes of the table.  What comes by another lane has no
 * place in that order.
 */
static int
resolve_truncate(struct resolver *r, struct entry *entry, struct change *change)
{
	const struct config_source *source = entry->lane->source;
	struct table *table;
	size_t lanes;

	if (resolve_table(r, entry, change) < 0)
		return -1;
	table = change->table;
	if (table->problem != NULL)
		return resolve_waiting(r, change);
	lanes = table->config->lanes;
	if (lanes == 1 && config_has_topics(source))
		lanes = entry->lane->lanes_of_source;
	if (lanes != 1 || !source->allow_truncate)
		return entry_refuse(entry, r->arena, REASON_TRUNCATE,
		    "%s: it was truncated or dropped, and its changes may come by %zu lanes: which "
		    "of them were before can't be known; a topic or stream that alone brings them "
		    "wants a source of its own",
		    table->name, lanes);
	take_no_key(r, change);
	change->op = CHANGE_DELETE;
	change->shape = shape_of(r, table, SHAPE_TRUNCATE, FENCE_OFF, NULL, 0);
	return 0;
}

static int
check_version(struct resolver *r, struct entry *entry, const struct change *change)
{
	const struct table *table = change->table;

	if (change->op == CHANGE_INVALIDATE || config_has_events(entry->lane->source))
		return 0;
	switch (table->version) {
	case VERSION_GIVEN:
		if (!change->has_version)
			return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
			    "%s: every change of this table carries a _version", table->name);
		if (change->version > INT64_MAX &&
		    !table->columns[table->version_column].is_unsigned) {
			r->unknown = true;
			return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
			    "%s: _version is above 2^63-1 and column %s is signed", table->name,
			    table->columns[table->version_column].name);
		}
		return 0;
	case VERSION_COUNTER:
	case VERSION_CLOCK:
		if (change->has_version)
			return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
			    "%s: sluice itself stamps the versions of this table", table->name);
		return 0;
	case VERSION_NONE:
		if (change->has_version)
			return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
			    "%s: the table has no version column", table->name);
		return 0;
	}
	CHECK(false);
	return -1;
}

/* One value into its place in the shape. */
static int
take_value(struct resolver *r, struct entry *entry, struct change *change, unsigned place,
    const struct value *given)
{
	const struct table *table = change->table;
	const struct shape_column *shape_column = &change->shape->columns[place];
	const struct column *column = &table->columns[shape_column->column];
	bool base64 = entry->lane->source->format == FORMAT_JSON;
	enum column_verdict verdict;
	struct value plain = { { NULL, 0 }, VALUE_NULL };
	const char *why = NULL;

	if (!column_event_value(column, given, change->origin, entry->lane->source, r->arena,
		&plain, &why))
		verdict = COLUMN_REFUSED;
	else if (shape_column->add)
		verdict = column_check_increment(column, &plain, r->arena, &change->values[place],
		    &change->sums[place], &why);
	else
		verdict =
		    column_check(column, &plain, base64, r->arena, &change->values[place], &why);
	if (verdict == COLUMN_REFUSED) {
		r->unknown = true;
		return entry_refuse(entry, r->arena, REASON_BAD_VALUE, "%s: column %s %s",
		    table->name, column->name, why);
	}
	change->alone |= verdict == COLUMN_ALONE;
	return 0;
}

/* What isn't a version is none: the unversioned form is always right. */
static void
take_known_version(struct resolver *r, const struct entry *entry, struct change *change)
{
	const struct table *table = change->table;
	const struct config_source *source = entry->lane->source;
	const struct column *column;
	struct value plain = { { NULL, 0 }, VALUE_NULL };
	const char *why;

	if (table->version != VERSION_GIVEN || !config_has_events(source))
		return;
	column = &table->columns[table->version_column];
	change->has_version = false;
	for (size_t i = 0; i < change->field_count && !change->has_version; i++)
		change->has_version =
		    resolve_field_column(table, change->fields[i].name) == column &&
		    change->fields[i].value.kind != VALUE_NULL &&
		    column_event_value(column, &change->fields[i].value, change->origin, source,
			r->arena, &plain, &why) &&
		    number_u64(plain.text, &change->version);
}

/* Some keys of the table can't be named: every row's. */
static int
keys_of_whole_table(struct resolver *r, struct entry *entry, struct change *change)
{
	const struct table *table = change->table;
	uint32_t place = resolve_place(r, table);

	change->key = arena_zalloc(r->arena, sizeof(*change->key));
	change->exact =
	    (struct str){ arena_copy(r->arena, &place, sizeof(place)), sizeof(place) + 1 };
	change->bucket = change->exact;
	for (size_t i = 0; i < table->template_count; i++) {
		const struct key_template *template = &table->templates[i];

		if (template->config->mode != MODE_NONE && template->part_count > 1)
			return entry_refuse(entry, r->arena, REASON_TRUNCATE,
			    "%s: the whole table was truncated or dropped, and which keys %s has "
			    "can't be told; only keys without a {column} were invalidated",
			    table->name, template->config->written);
	}
	return 0;
}

/* Of a schema without MySQL: the key, as far as it is known, and the version; no columns. */
static int
resolve_keys_only(struct resolver *r, struct entry *entry, struct change *change)
{
	struct value keys[16];

	change->shape = resolver_shape(r, change->table, SHAPE_UPDATE, NULL, 0);
	change->values = NULL;
	change->sums = NULL;
	if (change->whole_table)
		return keys_of_whole_table(r, entry, change);
	if (!resolve_plan_keys(r, entry, change, keys))
		return entry_refuse(entry, r->arena, REASON_NO_KEY,
		    "%s: a column of the primary key is missing, or there twice",
		    change->table->name);
	take_known_version(r, entry, change);
	return resolve_key(r, entry, change, keys);
}

/* An event's version is the value that the version column has in its image; NULL is none. */
static int
take_image_version(struct resolver *r, struct entry *entry, struct change *change,
    const struct value *given)
{
	const struct table *table = change->table;
	const struct column *column = &table->columns[table->version_column];
	struct value plain = { { NULL, 0 }, VALUE_NULL };
	const char *why;

	change->has_version = false;
	if (given->kind == VALUE_NULL)
		return 0;
	if (!column_event_value(column, given, change->origin, entry->lane->source, r->arena,
		&plain, &why) ||
	    !number_u64(plain.text, &change->version) ||
	    (change->version > INT64_MAX && !column->is_unsigned))
		return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
		    "%s: version column %s is not a whole number from 0 to 2^63-1 (2^64-1 if "
		    "UNSIGNED)",
		    table->name, column->name);
	change->has_version = true;
	return 0;
}

/* What is known of the version says which rows an event's change applies to. */
static int
fence_event(struct resolver *r, struct entry *entry, struct change *change, bool version_there)
{
	const struct table *table = change->table;

	if (table->version != VERSION_GIVEN || change->has_version)
		return 0;
	if (!version_there && change->op != CHANGE_DELETE &&
	    entry->lane->source->format != FORMAT_DMS) {
		r->unknown = true;
		return entry_refuse(entry, r->arena, REASON_BAD_VERSION,
		    "%s: the event has no column %s, which is the table's version", table->name,
		    table->columns[table->version_column].name);
	}
	change->shape = resolver_fenced(r, change->shape, FENCE_OFF);
	return 0;
}

static void
take_constants(struct change *change, const struct resolver_plan *plan)
{
	for (unsigned i = 0; i < plan->constant_count; i++) {
		change->values[plan->constants[i].place] = plan->constants[i].value;
		change->alone |= plan->constants[i].alone;
	}
}

/* All values: the key's parts as given to keys, the others checked into the shape. */
static int
take_values(struct resolver *r, struct entry *entry, struct change *change,
    const struct resolver_plan *plan, struct value *keys)
{
	bool version_there = false;

	for (size_t i = 0; i < plan->field_count; i++) {
		const struct value *given = &change->fields[i].value;
		int target = plan->targets[i];

		if (target == TARGET_VERSION) {
			if (take_image_version(r, entry, change, given) < 0)
				return -1;
			version_there = true;
		} else if (target <= TARGET_KEY)
			keys[TARGET_KEY - target] = *given;
		else if (target != TARGET_IGNORED &&
		    take_value(r, entry, change, (unsigned)target, given) < 0)
			return -1;
	}
	return config_has_events(entry->lane->source) ?
	    fence_event(r, entry, change, version_there) :
	    0;
}

int
resolve_change(struct resolver *r, struct entry *entry, struct change *change)
{
	const struct resolver_plan *plan;
	struct value keys[16];

	change->alone = change->barrier = false;
	if (schema_keys_only(r->schema)) {
		if (resolve_table(r, entry, change) < 0)
			return -1;
		return change->table->problem != NULL ? resolve_waiting(r, change) :
							resolve_keys_only(r, entry, change);
	}
	if (change->whole_table)
		return resolve_truncate(r, entry, change);
	plan = resolve_plan(r, entry, change);
	if (plan == NULL)
		return entry->refusal.reason != NULL ? -1 : resolve_waiting(r, change);
	if (check_version(r, entry, change) < 0)
		return -1;
	change->shape = plan->shape;
	change->values = arena_alloc(r->arena, plan->shape->count * sizeof(*change->values) + 1);
	change->sums = !plan->shape->adds ?
	    NULL :
	    arena_zalloc(r->arena, plan->shape->count * sizeof(*change->sums));
	memcpy(keys, plan->constant_keys, plan->table->key_count * sizeof(*keys));
	take_constants(change, plan);
	if (take_values(r, entry, change, plan, keys) < 0)
		return -1;
	return resolve_key(r, entry, change, keys);
}

void
resolve_refused_key(struct resolver *r, struct entry *entry, struct change *change)
{
	bool unknown = r->unknown;
	struct value keys[16];

	CHECK(entry->refusal.reason != NULL);
	change->bucket = (struct str){ NULL, 0 };
	if (resolve_plan_keys(r, entry, change, keys) && resolve_key(r, entry, change, keys) < 0)
		change->bucket = (struct str){ NULL, 0 };
	r->unknown = unknown;
}
