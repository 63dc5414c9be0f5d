#include "worker/source/json_tree.h"

#include "common/err.h"

#include <stdlib.h>

/* The parser's tree is sixteen bytes a value: "[1,1,1…" is eight times its text. */
#define TREE_BYTES_MAX ((size_t)32 << 20)

/* Some producers begin a text with one; a reader may ignore it (RFC 8259, 8.1). */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* A thread's trees live one after the other: the usual one has its place here, which stays warm. */
static _Thread_local struct {
	_Alignas(16) char bytes[32 * 1024];
	bool taken;
} place;

static void *
tree_malloc(void *ctx, size_t size)
{
	(void)ctx;
	if (size <= sizeof(place.bytes) && !place.taken) {
		place.taken = true;
		return place.bytes;
	}
	return size <= TREE_BYTES_MAX ? malloc(size) : NULL;
}

static void
tree_free(void *ctx, void *old)
{
	(void)ctx;
	if (old == place.bytes)
		place.taken = false;
	else
		free(old);
}

static void *
tree_realloc(void *ctx, void *old, size_t old_size, size_t size)
{
	void *moved;

	if (size > TREE_BYTES_MAX)
		return NULL;
	if (old != place.bytes)
		return realloc(old, size);
	if (size <= sizeof(place.bytes))
		return old;
	moved = malloc(size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, old, old_size);
	tree_free(ctx, old);
	return moved;
}

static const yyjson_alc tree_memory = { tree_malloc, tree_realloc, tree_free, NULL };

yyjson_doc *
json_tree_open(struct entry *entry, struct arena *arena, struct str given, const char *what)
{
	char *text = arena_alloc(arena, given.len + YYJSON_PADDING_SIZE);
	yyjson_read_err problem;
	yyjson_doc *doc;

	if (str_begins(given, BYTE_ORDER_MARK)) {
		given.data += 3;
		given.len -= 3;
	}
	if (given.len > 0)
		memcpy(text, given.data, given.len);
	memset(text + given.len, 0, YYJSON_PADDING_SIZE);
	doc = yyjson_read_opts(text, given.len, YYJSON_READ_INSITU | YYJSON_READ_NUMBER_AS_RAW,
	    &tree_memory, &problem);
	if (doc != NULL)
		return doc;
	if (problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
		entry_refuse(entry, arena, REASON_BAD_JSON, "%s holds too many values", what);
	else
		entry_refuse(entry, arena, REASON_BAD_JSON, "not JSON: %s at byte %zu", problem.msg,
		    problem.pos);
	return NULL;
}

void
json_tree_close(yyjson_doc *doc)
{
	yyjson_doc_free(doc);
}

struct str
json_tree_text(yyjson_val *value)
{
	return (struct str){ unsafe_yyjson_get_raw(value), unsafe_yyjson_get_len(value) };
}

struct str
json_tree_as_text(yyjson_val *value)
{
	return yyjson_is_str(value) ? json_tree_text(value) : (struct str){ "", 0 };
}

uint64_t
json_tree_as_number(yyjson_val *value)
{
	uint64_t n;

	return yyjson_is_raw(value) && number_u64(json_tree_text(value), &n) ? n : 0;
}

struct str
json_tree_member(yyjson_val *object, const char *name)
{
	return json_tree_as_text(yyjson_obj_get(object, name));
}

uint64_t
json_tree_number(yyjson_val *object, const char *name)
{
	return json_tree_as_number(yyjson_obj_get(object, name));
}

bool
json_tree_is(yyjson_val *value, const char *text)
{
	return yyjson_is_str(value) && str_equal(json_tree_text(value), str_of(text));
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

/* A list or object becomes text again. */
static bool
container_value(yyjson_val *given, struct arena *arena, struct value *value)
{
	size_t len;
	char *text;

	if (is_deeper_than(given, JSON_NESTING_MAX))
		return false;
	text = yyjson_val_write_opts(given, YYJSON_WRITE_NOFLAG, NULL, &len, NULL);
	CHECK(text != NULL);
	*value = (struct value){ .text = arena_str(arena, text, len), .kind = VALUE_JSON };
	free(text);
	return true;
}

bool
json_tree_value(yyjson_val *given, struct arena *arena, struct value *value)
{
	switch (yyjson_get_type(given)) {
	case YYJSON_TYPE_NULL:
		*value = (struct value){ .kind = VALUE_NULL };
		return true;
	case YYJSON_TYPE_BOOL:
		*value =
		    (struct value){ .text = yyjson_get_bool(given) ? STR("true") : STR("false"),
			    .kind = VALUE_BOOL };
		return true;
	case YYJSON_TYPE_RAW:
		*value = (struct value){ .text = json_tree_text(given), .kind = VALUE_NUMBER };
		return true;
	case YYJSON_TYPE_STR:
		*value = (struct value){ .text = json_tree_text(given), .kind = VALUE_TEXT };
		return true;
	case YYJSON_TYPE_ARR:
	case YYJSON_TYPE_OBJ:
		return container_value(given, arena, value);
	default:
		CHECK(false);
		return false;
	}
}
