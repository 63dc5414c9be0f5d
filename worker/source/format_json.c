#include "common/err.h"
#include "worker/lane.h"
#include "worker/source/format.h"
#include "worker/source/source.h"

#include <stdlib.h>
#include <yyjson.h>

/*
 * One JSON object is a change; a list of them commits together.
 *
 * Numbers are kept as written.  The text is copied once into the arena and parsed in place, so that
 * names and values point into the copy; the parser's own tree is freed before we return.
 */

/* A list is one transaction, whole: it must fit a batch. */
#define CHANGES_MAX 10000
/* MySQL's own limit for JSON. */
#define DEPTH_MAX 100
/* The parser's tree is sixteen bytes a value: "[1,1,1…" is eight times its text. */
#define TREE_BYTES_MAX ((size_t)32 << 20)

static void *
tree_malloc(void *ctx, size_t size)
{
	(void)ctx;
	return size <= TREE_BYTES_MAX ? malloc(size) : NULL;
}

static void *
tree_realloc(void *ctx, void *old, size_t old_size, size_t size)
{
	(void)ctx;
	(void)old_size;
	return size <= TREE_BYTES_MAX ? realloc(old, size) : NULL;
}

static void
tree_free(void *ctx, void *old)
{
	(void)ctx;
	free(old);
}

static const yyjson_alc tree_memory = { tree_malloc, tree_realloc, tree_free, NULL };

/* The field that holds the JSON. */
static const struct field *
json_field(struct entry *entry, struct arena *arena)
{
	const char *wanted = entry->lane->source->field;
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

static bool
is_deeper_than(yyjson_val *value, unsigned depth)
{
	size_t i, count;
	yyjson_val *name, *element;

	if (!yyjson_is_ctn(value))
		return false;
	if (depth == 0)
		return true;
	if (yyjson_is_arr(value)) {
		yyjson_arr_foreach(value, i, count, element)
		{
			if (is_deeper_than(element, depth - 1))
				return true;
		}
		return false;
	}
	yyjson_obj_foreach(value, i, count, name, element)
	{
		if (is_deeper_than(element, depth - 1))
			return true;
	}
	return false;
}

static struct str
json_text(yyjson_val *value)
{
	return (struct str){ unsafe_yyjson_get_raw(value), unsafe_yyjson_get_len(value) };
}

/* A list or object inside a change becomes text again.  False: nested too deeply. */
static bool
take_container(yyjson_val *given, struct arena *arena, struct value *value)
{
	size_t len;
	char *text;

	if (is_deeper_than(given, DEPTH_MAX))
		return false;
	text = yyjson_val_write_opts(given, YYJSON_WRITE_NOFLAG, NULL, &len, NULL);
	CHECK(text != NULL);
	value->text = (struct str){ arena_copy(arena, text, len), len };
	value->kind = VALUE_JSON;
	free(text);
	return true;
}

static bool
take_value(yyjson_val *given, struct arena *arena, struct value *value)
{
	switch (yyjson_get_type(given)) {
	case YYJSON_TYPE_NULL:
		*value = (struct value){ { NULL, 0 }, VALUE_NULL };
		return true;
	case YYJSON_TYPE_BOOL:
		*value = (struct value){ yyjson_get_bool(given) ? STR("true") : STR("false"),
			VALUE_BOOL };
		return true;
	case YYJSON_TYPE_RAW:
		*value = (struct value){ json_text(given), VALUE_NUMBER };
		return true;
	case YYJSON_TYPE_STR:
		*value = (struct value){ json_text(given), VALUE_TEXT };
		return true;
	case YYJSON_TYPE_ARR:
	case YYJSON_TYPE_OBJ:
		return take_container(given, arena, value);
	default:
		CHECK(false);
		return false;
	}
}

/* _null is a list of names or a text of them. */
static size_t
count_nulls(yyjson_val *nulls)
{
	if (yyjson_is_arr(nulls))
		return yyjson_arr_size(nulls);
	return yyjson_is_str(nulls) ? format_null_count(json_text(nulls)) : 0;
}

static int
add_nulls(struct entry *entry, struct arena *arena, struct change *change, yyjson_val *nulls)
{
	size_t i, count;
	yyjson_val *name;

	if (nulls == NULL || yyjson_is_null(nulls))
		return 0;
	if (yyjson_is_str(nulls))
		return format_null_add(entry, arena, change, json_text(nulls));
	if (!yyjson_is_arr(nulls))
		return entry_refuse(entry, arena, REASON_BAD_ENTRY, "_null is not a list of names");
	yyjson_arr_foreach(nulls, i, count, name)
	{
		if (!yyjson_is_str(name))
			return entry_refuse(entry, arena, REASON_BAD_ENTRY,
			    "_null is not a list of names");
		if (format_null_add_name(entry, arena, change, json_text(name)) < 0)
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
		struct field field = { json_text(name), { { NULL, 0 }, VALUE_NULL } };

		if (!take_value(given, arena, &field.value))
			return entry_refuse(entry, arena, REASON_BAD_JSON,
			    "%s is nested deeper than %d", name_shown(arena, field.name),
			    DEPTH_MAX);
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

int
format_json_decode(struct entry *entry, struct arena *arena)
{
	const struct field *field = json_field(entry, arena);
	yyjson_read_err problem;
	yyjson_doc *doc;
	char *text;
	size_t len;
	int result;

	if (field == NULL)
		return -1;
	len = field->value.text.len;
	text = arena_alloc(arena, len + YYJSON_PADDING_SIZE);
	if (len > 0)
		memcpy(text, field->value.text.data, len);
	memset(text + len, 0, YYJSON_PADDING_SIZE);
	doc = yyjson_read_opts(text, len, YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW,
	    &tree_memory, &problem);
	if (doc == NULL && problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		return entry_refuse(entry, arena, REASON_BAD_JSON,
		    "the JSON holds too many values");
	if (doc == NULL)
		return entry_refuse(entry, arena, REASON_BAD_JSON, "not JSON: %s at byte %zu",
		    problem.msg, problem.pos);
	result = decode_root(entry, arena, yyjson_doc_get_root(doc));
	yyjson_doc_free(doc);
	return result;
}
