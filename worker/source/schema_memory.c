#include "worker/source/schema_memory.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN STR("{\"schema\":")
#define MIDDLE STR(",\"payload\":")

static bool
stands_at(struct str text, size_t at, struct str wanted)
{
	return text.len - at >= wanted.len && memcmp(text.data + at, wanted.data, wanted.len) == 0;
}

static const struct schema_slot *
known(struct schema_memory *memory, struct str text)
{
	for (unsigned i = 0; i < SCHEMAS_KEPT; i++) {
		unsigned at = (memory->recent + i) % SCHEMAS_KEPT;
		const struct schema_slot *slot = &memory->slots[at];

		if (slot->head == NULL ||
		    !stands_at(text, 0, (struct str){ slot->head, slot->head_len }))
			continue;
		memory->recent = at;
		return slot;
	}
	return NULL;
}

static void
forget(struct schema_slot *slot)
{
	free(slot->head);
	yyjson_doc_free(slot->schema);
	*slot = (struct schema_slot){ 0 };
}

/* NULL: it doesn't begin with a schema that is followed by a payload. */
static const struct schema_slot *
learn(struct schema_memory *memory, struct str text)
{
	size_t begin = BEGIN.len, len = text.len - begin;
	struct schema_slot *slot = &memory->slots[memory->oldest];
	char *from = (char *)(uintptr_t)text.data + begin; /* which is not written to */
	yyjson_doc *schema = yyjson_read_opts(from, len < SCHEMA_BYTES_MAX ? len : SCHEMA_BYTES_MAX,
	    YYJSON_READ_STOP_WHEN_DONE | YYJSON_READ_NUMBER_AS_RAW, NULL, NULL);
	size_t end = begin + yyjson_doc_get_read_size(schema);

	if (!yyjson_is_obj(yyjson_doc_get_root(schema)) || !stands_at(text, end, MIDDLE)) {
		yyjson_doc_free(schema);
		return NULL;
	}
	forget(slot);
	slot->schema = schema;
	slot->head_len = end + MIDDLE.len;
	slot->head = malloc(slot->head_len);
	CHECK(slot->head != NULL);
	memcpy(slot->head, text.data, slot->head_len);
	memory->recent = memory->oldest;
	memory->oldest = (memory->oldest + 1) % SCHEMAS_KEPT;
	return slot;
}

bool
schema_memory_split(struct schema_memory *memory, struct str text, yyjson_val **schema,
    struct str *payload)
{
	const struct schema_slot *slot;

	if (text.len <= BEGIN.len || text.data[text.len - 1] != '}' || !stands_at(text, 0, BEGIN))
		return false;
	slot = known(memory, text);
	if (slot == NULL)
		slot = learn(memory, text);
	if (slot == NULL || slot->head_len >= text.len)
		return false;
	*schema = yyjson_doc_get_root(slot->schema);
	*payload = (struct str){ text.data + slot->head_len, text.len - 1 - slot->head_len };
	return true;
}

void
schema_memory_deinit(struct schema_memory *memory)
{
	for (unsigned i = 0; i < SCHEMAS_KEPT; i++)
		forget(&memory->slots[i]);
}
