#include "worker/source/format.h"

#include "common/err.h"
#include "common/map.h"
#include "worker/source/source.h"

/* Up to here comparing each with each is quicker than a map. */
#define FEW_NAMES 16

enum control {
	CONTROL_OP,
	CONTROL_TABLE,
	CONTROL_VERSION,
	CONTROL_NULL,
	CONTROL_AT,
	CONTROL_COUNT
};

int
format_decode(struct entry *entry, struct arena *arena, const struct decode_aids *aids)
{
	switch (entry->lane->source->format) {
	case FORMAT_FIELDS:
		return format_fields_decode(entry, arena);
	case FORMAT_JSON:
		return format_json_decode(entry, arena);
	case FORMAT_DEBEZIUM:
	case FORMAT_MAXWELL:
	case FORMAT_CANAL:
	case FORMAT_DMS:
		return format_event_decode(entry, arena, aids);
	}
	CHECK(false);
	return -1;
}

void
controls_init(struct controls *controls)
{
	controls->seen = 0;
	controls->null_names = (struct value){ { NULL, 0 }, VALUE_NULL };
}

static enum control
control_of(struct str name)
{
	static const struct str names[CONTROL_COUNT] = {
		[CONTROL_OP] = { "_op", 3 },
		[CONTROL_TABLE] = { "_table", 6 },
		[CONTROL_VERSION] = { "_version", 8 },
		[CONTROL_NULL] = { "_null", 5 },
		[CONTROL_AT] = { "_at", 3 },
	};
	enum control control = CONTROL_OP;

	while (control < CONTROL_COUNT && !str_equal(names[control], name))
		control++;
	return control;
}

static int
take_op(struct entry *entry, struct arena *arena, struct change *change, const struct value *value)
{
	for (enum change_op op = CHANGE_UPSERT; op <= CHANGE_INVALIDATE; op++) {
		if (value->kind == VALUE_TEXT &&
		    str_equal(value->text, str_of(change_op_name(op)))) {
			change->op = op;
			return 0;
		}
	}
	return entry_refuse(entry, arena, REASON_BAD_OPERATION,
	    "_op is not one of upsert, update, delete, incr, invalidate");
}

static int
take_table(struct entry *entry, struct arena *arena, struct change *change,
    const struct value *value)
{
	if (value->kind != VALUE_TEXT || value->text.len == 0)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "_table is not the name of a table");
	change->table_name = value->text;
	return 0;
}

static int
take_version(struct entry *entry, struct arena *arena, struct change *change,
    const struct value *value)
{
	if ((value->kind != VALUE_TEXT && value->kind != VALUE_NUMBER) ||
	    !number_u64(value->text, &change->version))
		return entry_refuse(entry, arena, REASON_BAD_VERSION,
		    "_version is not a whole number from 0 to 2^64-1");
	change->has_version = true;
	return 0;
}

static int
take_at(struct entry *entry, struct arena *arena, const struct value *value)
{
	int64_t at_ms;

	if ((value->kind != VALUE_TEXT && value->kind != VALUE_NUMBER) ||
	    !number_i64(value->text, &at_ms) || at_ms < 0)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "_at is not a number of milliseconds since 1970");
	entry->at_ms = at_ms;
	return 0;
}

int
controls_take(struct controls *controls, struct entry *entry, struct arena *arena,
    struct change *change, const struct field *field)
{
	enum control control = control_of(field->name);

	if (control == CONTROL_COUNT)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "unknown field %s: names beginning with _ are reserved",
		    name_shown(arena, field->name));
	if (controls->seen & (1u << control))
		return entry_refuse(entry, arena, REASON_BAD_ENTRY, "%s is given twice",
		    name_shown(arena, field->name));
	controls->seen |= 1u << control;
	switch (control) {
	case CONTROL_OP:
		return take_op(entry, arena, change, &field->value);
	case CONTROL_TABLE:
		return take_table(entry, arena, change, &field->value);
	case CONTROL_VERSION:
		return take_version(entry, arena, change, &field->value);
	case CONTROL_AT:
		return take_at(entry, arena, &field->value);
	case CONTROL_NULL:
		controls->null_names = field->value;
		return 0;
	case CONTROL_COUNT:
		break;
	}
	CHECK(false);
	return -1;
}

size_t
format_null_count(struct str text)
{
	size_t count = text.len > 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.data[i] == ',';
	return count;
}

int
format_null_add_name(struct entry *entry, struct arena *arena, struct change *change,
    struct str name)
{
	if (name.len == 0)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY, "_null holds an empty name");
	if (format_is_control(name))
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "_null names %s: names beginning with _ are reserved", name_shown(arena, name));
	change->fields[change->field_count++] = (struct field){ name, { { NULL, 0 }, VALUE_NULL } };
	return 0;
}

static struct str
trimmed(struct str s)
{
	while (s.len > 0 && s.data[0] == ' ') {
		s.data++;
		s.len--;
	}
	while (s.len > 0 && s.data[s.len - 1] == ' ')
		s.len--;
	return s;
}

int
format_null_add(struct entry *entry, struct arena *arena, struct change *change, struct str text)
{
	while (text.len > 0) {
		const char *comma = memchr(text.data, ',', text.len);
		size_t len = comma != NULL ? (size_t)(comma - text.data) : text.len;

		if (format_null_add_name(entry, arena, change,
			trimmed((struct str){ text.data, len })) < 0)
			return -1;
		if (comma == NULL)
			break;
		text.data += len + 1;
		text.len -= len + 1;
		if (text.len == 0)
			return format_null_add_name(entry, arena, change, text);
	}
	return 0;
}

static const struct field *
twice_among_few(const struct field *fields, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (fields[i].name.len == fields[j].name.len &&
			    str_equal(fields[i].name, fields[j].name))
				return &fields[i];
		}
	}
	return NULL;
}

static const struct field *
twice_among_many(struct field *fields, size_t count)
{
	const struct field *twice = NULL;
	struct map names;

	map_init(&names);
	for (size_t i = 0; i < count && twice == NULL; i++) {
		void **place = map_at(&names, fields[i].name.data, fields[i].name.len);

		if (*place != NULL)
			twice = &fields[i];
		*place = &fields[i];
	}
	map_deinit(&names);
	return twice;
}

int
format_check_names(struct entry *entry, struct arena *arena, const struct change *change)
{
	const struct field *twice = change->field_count <= FEW_NAMES ?
	    twice_among_few(change->fields, change->field_count) :
	    twice_among_many(change->fields, change->field_count);

	if (twice == NULL)
		return 0;
	if (twice->value.kind == VALUE_NULL)
		return entry_refuse(entry, arena, REASON_BAD_ENTRY,
		    "%s is given twice, or also in _null", name_shown(arena, twice->name));
	return entry_refuse(entry, arena, REASON_BAD_ENTRY, "%s is given twice",
	    name_shown(arena, twice->name));
}
