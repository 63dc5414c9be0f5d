#include "tests/support/event_rig.h"

struct event_rig event_rig;

int
event_rig_open(void **state)
{
	(void)state;
	arena_init(&event_rig.arena, 1 << 16);
	return 0;
}

int
event_rig_close(void **state)
{
	(void)state;
	schema_memory_deinit(&event_rig.schemas);
	arena_deinit(&event_rig.arena);
	return 0;
}

void
event_rig_start(void)
{
	arena_reset(&event_rig.arena);
	memset(&event_rig.entry, 0, sizeof(event_rig.entry));
	memset(&event_rig.message, 0, sizeof(event_rig.message));
	memset(&event_rig.events, 0, sizeof(event_rig.events));
}

int
event_rig_decode(const char *format)
{
	if (strstr(format, "maxwell") != NULL)
		return maxwell_decode(&event_rig.entry, &event_rig.arena, &event_rig.message,
		    &event_rig.events);
	if (strstr(format, "canal") != NULL)
		return canal_decode(&event_rig.entry, &event_rig.arena, &event_rig.message,
		    &event_rig.events);
	if (strstr(format, "dms") != NULL)
		return dms_decode(&event_rig.entry, &event_rig.arena, &event_rig.message,
		    &event_rig.events);
	event_rig.message.schemas = &event_rig.schemas;
	return debezium_decode(&event_rig.entry, &event_rig.arena, &event_rig.message,
	    &event_rig.events);
}

int
event_rig_take(const char *format, const char *value, const char *key)
{
	event_rig_start();
	event_rig.message.value = str_of(value);
	event_rig.message.key = str_of(key);
	return event_rig_decode(format);
}

const struct event *
event_rig_event(void)
{
	assert_int_equal(event_rig.events.count, 1);
	return event_rig.events.list;
}

void
assert_text(struct str found, const char *expected)
{
	if (!str_equal(found, str_of(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", STR_ARGS(found), expected);
}

void
assert_field(const struct image *image, const char *name, enum value_kind kind, const char *text)
{
	const struct field *field = image_field(image, str_of(name));

	assert_non_null(field);
	if (field->value.kind != kind)
		fail_msg("%s is of kind %d, not %d", name, field->value.kind, kind);
	assert_text(field->value.text, text);
}
