#include "worker/store/letter_payload.h"

#include "worker/store/value_text.h"

#include <yyjson.h>

/* A text, or {"base64": text}. */
static bool
read_bytes(yyjson_val *value, struct arena *arena, struct str *out)
{
	yyjson_val *base64 = yyjson_obj_get(value, "base64");

	if (yyjson_is_str(value)) {
		*out = arena_str(arena, yyjson_get_str(value), yyjson_get_len(value));
		return true;
	}
	return yyjson_is_str(base64) &&
	    text_base64_decode((struct str){ yyjson_get_str(base64), yyjson_get_len(base64) },
		arena, out);
}

static bool
read_fields(yyjson_val *list, struct arena *arena, struct field *fields)
{
	size_t i, count;
	yyjson_val *pair;

	yyjson_arr_foreach(list, i, count, pair)
	{
		if (!yyjson_is_arr(pair) || yyjson_arr_size(pair) != 2 ||
		    !read_bytes(yyjson_arr_get(pair, 0), arena, &fields[i].name) ||
		    !read_bytes(yyjson_arr_get(pair, 1), arena, &fields[i].value.text))
			return false;
		fields[i].value.kind = VALUE_TEXT;
	}
	return true;
}

bool
letter_payload_read(struct str payload, struct arena *arena, struct field **fields, size_t *count)
{
	yyjson_doc *doc = yyjson_read(payload.data, payload.len, YYJSON_READ_NOFLAG);
	yyjson_val *list = yyjson_doc_get_root(doc);
	bool fine = yyjson_is_arr(list);

	*fields = NULL;
	*count = 0;
	if (fine) {
		*count = yyjson_arr_size(list);
		*fields = arena_zalloc(arena, (*count + 1) * sizeof(**fields));
		fine = read_fields(list, arena, *fields);
	}
	yyjson_doc_free(doc);
	return fine;
}
