#include "worker/source/untold.h"

#include "worker/source/connect_value.h"
#include "worker/source/event_row.h"
#include "worker/source/json_tree.h"

bool
untold_value(const struct value *value)
{
#define UNAVAILABLE "__debezium_unavailable_value"
	static const struct str texts[] = { { UNAVAILABLE, sizeof(UNAVAILABLE) - 1 },
		{ "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==", 40 },
		{ "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565", 56 },
		{ "[\"" UNAVAILABLE "\"]", sizeof(UNAVAILABLE) + 3 } };

	if (value->text.len < texts[0].len || value->text.len > texts[2].len)
		return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (str_equal(value->text, texts[i]))
			return true;
	}
	return false;
}

#define ZERO_BASE64 "AA=="

static bool
is_zero(struct str number)
{
	for (size_t i = 0; i < number.len; i++)
		if (number.data[i] != '0' && number.data[i] != '.')
			return false;
	return true;
}

/* What a type begins at, as JSON has it. */
static bool
is_blank(yyjson_val *given)
{
	struct str text;

	if (yyjson_is_null(given) || yyjson_is_false(given))
		return true;
	if (yyjson_is_ctn(given))
		return unsafe_yyjson_get_len(given) == 0;
	if (yyjson_is_raw(given))
		return is_zero(json_tree_text(given));
	if (!yyjson_is_str(given))
		return false;
	text = json_tree_text(given);
	return text.len == 0 || is_zero(text) || str_equal(text, STR(ZERO_BASE64)) ||
	    str_equal(text, STR("{}")) || str_begins(text, "1970-01-01");
}

bool
untold_row(yyjson_val *row, yyjson_val *schema, const struct image *key)
{
	struct connect_types types;
	bool others = false;
	size_t i, count;
	yyjson_val *name, *given;

	if (!yyjson_is_obj(row) || key->count == 0 || key->fields[0].name.len == 0)
		return false;
	connect_types_start(&types, schema);
	yyjson_obj_foreach(row, i, count, name, given)
	{
		yyjson_val *type = connect_types_find(&types, json_tree_text(name));

		if (image_field(key, json_tree_text(name)) != NULL)
			continue;
		others = true;
		if (!is_blank(given) && !yyjson_equals(given, yyjson_obj_get(type, "default")))
			return false;
	}
	return others;
}
