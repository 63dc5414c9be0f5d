#include "worker/lane.h"
#include "worker/source/format.h"
#include "worker/source/json_tree.h"
#include "worker/source/source.h"

/*
 * One JSON object is a change; a list of them commits together.
 */

/* A list is one transaction, whole: it must fit a batch. */
#define CHANGES_MAX 10000

/* The field that holds the JSON. */
static const struct field *
json_field(struct entry *entry, struct arena *arena)
{
	const char *wanted = entry->lane->is_partition ? "value" : entry->lane->source->field;
	const struct field *found = NULL;

	if (wanted == NULL) {
		if (entry->raw_count == 1)
			return &entry->raw[0];
		entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "the entry has %zu fields: the source's `field` must say which one is the JSON",
		    entry->raw_count);
		return NULL;
	}
	for (size_t i = 0; i < entry->raw_count; i++) {
		if (!str_equal(entry->raw[i].name, str_of(wanted)))
			continue;
		if (found != NULL) {
			entry_refuse(entry, arena, REASON_BAD_ENTRY, "%s is given twice",
			    name_shown(arena, str_of(wanted)));
			return NULL;
		}
		found = &entry->raw[i];
	}
	if (found == NULL)
		entry_refuse(entry, arena, REASON_BAD_ENTRY, "the entry has no field %s",
		    name_shown(arena, str_of(wanted)));
	return found;
}

/* _null is a list of names or a text of them. */
static size_t
count_nulls(yyjson_val *nulls)
{
	if (yyjson_is_arr(nulls))
		return yyjson_arr_size(nulls);
	return yyjson_is_str(nulls) ? format_null_count(json_tree_text(nulls)) : 0;
}

static int
add_nulls(struct entry *entry, struct arena *arena, struct change *change, yyjson_val *nulls)
{
	size_t i, count;
	yyjson_val *name;

	if (nulls == NULL || yyjson_is_null(nulls))
		return 0;
	if (yyjson_is_str(nulls))
		return format_null_add(entry, arena, change, json_tree_text(nulls));
	if (!yyjson_is_arr(nulls))
		return entry_refuse(entry, arena, REASON_BAD_ENTRY, "_null is not a list of names");
	yyjson_arr_foreach(nulls, i, count, name)
	{
		if (!yyjson_is_str(name))
			return entry_refuse(entry, arena, REASON_BAD_ENTRY,
			    "_null is not a list of names");
		if (format_null_add_name(entry, arena, change, json_tree_text(name)) < 0)
			return -1;
	}
	return 0;
}

static int
decode_object(struct entry *entry, struct arena *arena, yyjson_val *object, struct change *change)
{
	yyjson_val *nulls = yyjson_obj_getn(object, "_null", 5);
	struct controls controls;
	size_t i, count;
	yyjson_val *name, *given;

	controls_init(&controls);
	change->entry = entry;
	change->fields = arena_alloc(arena,
	    (yyjson_obj_size(object) + count_nulls(nulls)) * sizeof(*change->fields));
	yyjson_obj_foreach(object, i, count, name, given)
	{
		struct field field = { json_tree_text(name), { { NULL, 0 }, VALUE_NULL } };

		if (!json_tree_value(given, arena, &field.value))
			return entry_refuse(entry, arena, REASON_BAD_JSON,
			    "%s is nested deeper than %d", name_shown(arena, field.name),
			    JSON_NESTING_MAX);
		if (!format_is_control(field.name))
			change->fields[change->field_count++] = field;
		else if (controls_take(&controls, entry, arena, change, &field) < 0)
			return -1;
	}
	if (add_nulls(entry, arena, change, nulls) < 0)
		return -1;
	return format_check_names(entry, arena, change);
}

static int
decode_list(struct entry *entry, struct arena *arena, yyjson_val *list)
{
	size_t i, count = yyjson_arr_size(list);
	struct change *changes;
	yyjson_val *object;

	if (count > CHANGES_MAX)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "the list has %zu changes; at most %d commit together", count, CHANGES_MAX);
	changes = arena_zalloc(arena, count * sizeof(*changes));
	yyjson_arr_foreach(list, i, count, object)
	{
		if (!yyjson_is_obj(object))
			return entry_refuse(entry, arena, REASON_BAD_JSON,
			    "element %zu of the list is not an object", i + 1);
		if (decode_object(entry, arena, object, &changes[i]) < 0)
			return -1;
	}
	entry->changes = changes;
	entry->change_count = count;
	return 0;
}

static int
decode_root(struct entry *entry, struct arena *arena, yyjson_val *root)
{
	struct change *change;

	if (yyjson_is_arr(root))
		return decode_list(entry, arena, root);
	if (!yyjson_is_obj(root))
		return entry_refuse(entry, arena, REASON_BAD_JSON,
		    "the JSON is neither an object nor a list of objects");
	change = arena_zalloc(arena, sizeof(*change));
	if (decode_object(entry, arena, root, change) < 0)
		return -1;
	entry->changes = change;
	entry->change_count = 1;
	return 0;
}

/* A message without a value, which only compacted topics need. */
static bool
is_tombstone(const struct entry *entry)
{
	for (size_t i = 0; i < entry->raw_count; i++)
		if (str_equal(entry->raw[i].name, STR("value")))
			return false;
	return true;
}

int
format_json_decode(struct entry *entry, struct arena *arena)
{
	const struct field *field;
	yyjson_doc *doc;
	int result;

	entry->passed = entry->lane->is_partition && is_tombstone(entry) ? PASSED_TOMBSTONE : NULL;
	if (entry->passed != NULL)
		return 0;
	field = json_field(entry, arena);
	if (field == NULL)
		return -1;
	doc = json_tree_open(entry, arena, field->value.text, "the JSON");
	if (doc == NULL)
		return -1;
	result = decode_root(entry, arena, yyjson_doc_get_root(doc));
	json_tree_close(doc);
	return result;
}
