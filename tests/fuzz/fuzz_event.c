#include "common/err.h"
#include "worker/source/event.h"
#include "worker/source/schema_memory.h"

#include <stdint.h>

/*
 * Any bytes as a change event: the first chooses the format, the key ends at the first zero byte (an
 * event may begin with one: then there is no key).
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int decoder(struct entry *, struct arena *, const struct message *, struct events *);

/* Whatever was accepted has what others rely on. */
static void
check_image(const struct image *image)
{
	CHECK(image->there || image->count == 0);
	for (size_t i = 0; i < image->count; i++) {
		const struct value *value = &image->fields[i].value;

		CHECK(value->kind != VALUE_NUMBER || value->text.len > 0);
		CHECK(value->kind == VALUE_BINARY || value->kind == VALUE_NULL ||
		    str_is_utf8(value->text, NULL));
	}
}

static void
check_event(const struct event *event)
{
	check_image(&event->before);
	check_image(&event->after);
	check_image(&event->key);
	if (event->kind != EVENT_ROW)
		return;
	CHECK(event->op != EVENT_NO_OP);
	CHECK(event->op == EVENT_DELETE || event->after.there);
	CHECK(event->op != EVENT_DELETE || event->before.there || event->key.there);
}

/* Decoded, or refused with this sentence, which is the caller's. */
static char *
decode(decoder *decode_event, const struct message *message)
{
	struct entry entry = { 0 };
	struct events events;
	struct arena arena;
	char *sentence = NULL;

	arena_init(&arena, 1 << 16);
	if (decode_event(&entry, &arena, message, &events) < 0) {
		CHECK(entry.refusal.reason != NULL && entry.refusal.text != NULL);
		sentence = strdup(entry.refusal.text);
	} else {
		CHECK(entry.refusal.reason == NULL && events.count > 0);
		for (size_t i = 0; i < events.count; i++)
			check_event(&events.list[i]);
	}
	arena_deinit(&arena);
	return sentence;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static decoder *const decoders[] = { debezium_decode, maxwell_decode, canal_decode,
		dms_decode };
	decoder *decode_event;
	const char *text = (const char *)data + 1, *zero;
	struct schema_memory schemas = { 0 };
	struct message message = { 0 };
	char *first;

	if (size == 0)
		return 0;
	decode_event = decoders[data[0] % 4];
	message.rows_alone = message.no_origin = data[0] % 8 >= 4;
	message.value = (struct str){ text, size - 1 };
	zero = memchr(text, '\0', size - 1);
	if (zero != NULL && zero > text) {
		message.key = (struct str){ text, (size_t)(zero - text) };
		message.value = (struct str){ zero + 1, size - 2 - message.key.len };
	}
	first = decode(decode_event, &message);
	/* with a memory of schemas that has none, then with one that has this one */
	message.schemas = &schemas;
	for (int i = 0; i < 2; i++) {
		char *again = decode(decode_event, &message);

		CHECK(first == NULL ? again == NULL : again != NULL && strcmp(first, again) == 0);
		free(again);
	}
	free(first);
	schema_memory_deinit(&schemas);
	return 0;
}
