#include "worker/source/event_row.h"

#include "worker/source/json_tree.h"

int
event_refuse(struct entry *entry, struct arena *arena, const char *sentence)
{
	return entry_refuse(entry, arena, REASON_BAD_EVENT, "%s", sentence);
}

yyjson_doc *
event_open(struct entry *entry, struct arena *arena, struct str value)
{
	yyjson_doc *doc = json_tree_open(entry, arena, value, "the event");

	if (doc == NULL || yyjson_is_obj(yyjson_doc_get_root(doc)))
		return doc;
	json_tree_close(doc);
	event_refuse(entry, arena, "the event is not an object");
	return NULL;
}

int
event_row(struct entry *entry, struct arena *arena, yyjson_val *row, enum change_origin origin,
    struct image *image)
{
	size_t i, count;
	yyjson_val *name, *given;

	if (!yyjson_is_obj(row))
		return event_refuse(entry, arena, "a row is not an object");
	*image = (struct image){ .there = true, .origin = origin };
	image->fields = arena_alloc(arena, yyjson_obj_size(row) * sizeof(*image->fields) + 1);
	yyjson_obj_foreach(row, i, count, name, given)
	{
		struct field *field = &image->fields[image->count++];

		field->name = json_tree_text(name);
		if (!json_tree_value(given, arena, &field->value))
			return entry_refuse(entry, arena, REASON_BAD_JSON,
			    "%s is nested deeper than %d", name_shown(arena, field->name),
			    JSON_NESTING_MAX);
	}
	return 0;
}

const struct field *
image_field(const struct image *image, struct str name)
{
	for (size_t i = 0; i < image->count; i++) {
		if (str_equal(image->fields[i].name, name))
			return &image->fields[i];
	}
	return NULL;
}

void
event_key(struct arena *arena, yyjson_val *names, const struct image *row, struct image *key)
{
	size_t i, count;
	yyjson_val *name;

	if (!yyjson_is_arr(names) || yyjson_arr_size(names) == 0)
		return;
	*key = (struct image){ .there = true, .origin = row->origin };
	key->fields = arena_alloc(arena, yyjson_arr_size(names) * sizeof(*key->fields));
	yyjson_arr_foreach(names, i, count, name)
	{
		const struct field *field =
		    yyjson_is_str(name) ? image_field(row, json_tree_text(name)) : NULL;

		if (field != NULL)
			key->fields[key->count++] = *field;
	}
}
