#include "tests/support/event_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <yyjson.h>

/*
 * Real change events, beside the project: each decodes to what its line of index.jsonl expects.  The
 * folder is $SLUICE_SHARED/cdc or ../shared/cdc; where it isn't, the test is skipped and says so.
 */
static char folder[512];

/* The file's bytes and a NUL; NULL: it can't be read. */
static char *
read_file(const char *name, size_t *len)
{
	char path[1024];
	char *bytes = NULL;
	size_t got;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL)
		return NULL;
	*len = 0;
	do {
		bytes = realloc(bytes, *len + 65537);
		assert_non_null(bytes);
		got = fread(bytes + *len, 1, 65536, file);
		*len += got;
	} while (got > 0);
	bytes[*len] = '\0';
	fclose(file);
	return bytes;
}

static const char *
text_of(yyjson_val *object, const char *name)
{
	return yyjson_get_str(yyjson_obj_get(object, name));
}

static void
assert_str(const char *file, const char *what, struct str found, const char *expected)
{
	if (!str_equal(found, str_of(expected != NULL ? expected : "")))
		fail_msg("%s: %s is \"%.*s\", expected \"%s\"", file, what, STR_ARGS(found),
		    expected != NULL ? expected : "");
}

/* A key of the index against one decoded: names and exact texts.  A nameless key is one bare value. */
static void
assert_key(const char *file, const struct image *key, yyjson_val *expected)
{
	size_t i, count;
	yyjson_val *name, *value;

	if (yyjson_obj_size(expected) != key->count)
		fail_msg("%s: the key has %zu columns, expected %zu", file, key->count,
		    yyjson_obj_size(expected));
	yyjson_obj_foreach(expected, i, count, name, value)
	{
		const struct field *field = &key->fields[i];
		char number[32];

		if (field->name.len > 0)
			assert_str(file, "a key column", field->name, yyjson_get_str(name));
		snprintf(number, sizeof(number), "%lld", (long long)yyjson_get_sint(value));
		assert_str(file, "a key's value", field->value.text,
		    yyjson_is_str(value) ? yyjson_get_str(value) : number);
	}
}

static void
assert_position(const char *file, const struct origin *origin, yyjson_val *expected)
{
	if (expected == NULL)
		return;
	assert_str(file, "the file", origin->file, yyjson_get_str(yyjson_arr_get(expected, 0)));
	assert_int_equal(origin->pos, yyjson_get_uint(yyjson_arr_get(expected, 1)));
	if (yyjson_arr_size(expected) > 2)
		assert_int_equal(origin->row, yyjson_get_uint(yyjson_arr_get(expected, 2)));
}

/* Which columns of before and after differ, in order. */
static void
assert_changed(const char *file, const struct event *event, yyjson_val *expected)
{
	size_t at = 0;

	for (size_t i = 0; expected != NULL && i < event->after.count; i++) {
		const struct field *after = &event->after.fields[i];
		const struct field *before = image_field(&event->before, after->name);

		if (before == NULL || str_equal(before->value.text, after->value.text))
			continue;
		assert_str(file, "a changed column", after->name,
		    yyjson_get_str(yyjson_arr_get(expected, at++)));
	}
	assert_int_equal(at, yyjson_arr_size(expected));
}

static void
assert_row(const char *file, const struct event *event, yyjson_val *expect, bool has_key)
{
	static const char ops[] = {
		[EVENT_READ] = 'r', [EVENT_CREATE] = 'c', [EVENT_UPDATE] = 'u', [EVENT_DELETE] = 'd'
	};
	yyjson_val *pk = yyjson_obj_get(expect, "pk");

	if (event->kind != EVENT_ROW || ops[event->op] != text_of(expect, "op")[0])
		fail_msg("%s: kind %d, op %d", file, event->kind, event->op);
	assert_str(file, "db", event->db, text_of(expect, "db"));
	assert_str(file, "table", event->table, text_of(expect, "table"));
	assert_int_equal(event->snapshot, event->op == EVENT_READ);
	assert_true(event->op == EVENT_DELETE ? event->before.there : event->after.there);
	if (yyjson_is_obj(pk))
		assert_key(file, &event->key, pk);
	else if (!has_key)
		assert_int_equal(event->key.count, 0);
	assert_position(file, &event->origin, yyjson_obj_get(expect, "pos"));
	if (text_of(expect, "stream_position") != NULL)
		assert_str(file, "the position", event->origin.file,
		    text_of(expect, "stream_position"));
	if (yyjson_obj_get(expect, "xid") != NULL)
		assert_int_equal(event->origin.xid, yyjson_get_uint(yyjson_obj_get(expect, "xid")));
	assert_changed(file, event, yyjson_obj_get(expect, "changed"));
}

static void
assert_other(const char *file, const struct event *event, yyjson_val *expect, const char *kind)
{
	static const struct {
		const char *kind;
		enum event_kind is;
		const char *detail; /* the name in the index */
	} kinds[] = { { "tombstone", EVENT_TOMBSTONE, NULL }, { "truncate", EVENT_TRUNCATE, NULL },
		{ "tx", EVENT_TRANSACTION, "status" }, { "ddl", EVENT_SCHEMA, "ddl_type" },
		{ "bootstrap-marker", EVENT_MARKER, NULL },
		{ "control", EVENT_CONTROL, "operation" } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i].kind) != 0)
			continue;
		assert_int_equal(event->kind, kinds[i].is);
		if (yyjson_is_obj(yyjson_obj_get(expect, "pk")))
			assert_key(file, &event->key, yyjson_obj_get(expect, "pk"));
		if (text_of(expect, "db") != NULL) {
			assert_str(file, "db", event->db, text_of(expect, "db"));
			assert_str(file, "table", event->table, text_of(expect, "table"));
		}
		/* Maxwell says table-alter */
		if (kinds[i].detail != NULL &&
		    !(kinds[i].is == EVENT_SCHEMA && strchr(event->detail.data, '-') != NULL))
			assert_str(file, "what was done", event->detail,
			    text_of(expect, kinds[i].detail));
		return;
	}
	fail_msg("%s: unknown kind %s", file, kind);
}

static void
assert_rows(const char *file, yyjson_val *expect)
{
	yyjson_val *pks = yyjson_obj_get(expect, "pks");

	if (yyjson_is_arr(pks))
		assert_int_equal(event_rig.events.count, yyjson_arr_size(pks));
	for (size_t i = 0; i < event_rig.events.count; i++) {
		assert_row(file, &event_rig.events.list[i], expect, false || yyjson_is_arr(pks));
		if (yyjson_is_arr(pks))
			assert_key(file, &event_rig.events.list[i].key, yyjson_arr_get(pks, i));
	}
}

static void
assert_decoded(const char *file, int status, yyjson_val *expect, bool has_key)
{
	const char *kind = text_of(expect, "kind");
	const struct event *event = event_rig.events.list;

	if (strcmp(kind, "malformed") == 0) {
		assert_int_equal(status, -1);
		assert_non_null(event_rig.entry.refusal.text);
		return;
	}
	if (status != 0)
		fail_msg("%s: refused: %s", file, event_rig.entry.refusal.text);
	if (strcmp(kind, "rows") == 0) {
		assert_rows(file, expect);
		return;
	}
	assert_int_equal(event_rig.events.count, 1);
	if (strcmp(kind, "row") == 0)
		assert_row(file, event, expect, has_key);
	else
		assert_other(file, event, expect, kind);
	if (yyjson_obj_get(expect, "new_pk") != NULL)
		assert_key(file, &event->new_key, yyjson_obj_get(expect, "new_pk"));
	if (yyjson_obj_get(expect, "old_pk") != NULL)
		assert_key(file, &event->old_key, yyjson_obj_get(expect, "old_pk"));
}

/* {"stream","id","fields"}: Debezium Server's extended layout, fields key and value. */
static void
unpack_redis(yyjson_doc **doc, const char *bytes, size_t len)
{
	yyjson_val *fields;
	size_t i, count;
	yyjson_val *part;
	const char *name = NULL;

	*doc = yyjson_read(bytes, len, 0);
	fields = yyjson_obj_get(yyjson_doc_get_root(*doc), "fields");
	yyjson_arr_foreach(fields, i, count, part)
	{
		if (i % 2 == 0)
			name = yyjson_get_str(part);
		else if (strcmp(name, "key") == 0)
			event_rig.message.key = str_of(yyjson_get_str(part));
		else
			event_rig.message.value = str_of(yyjson_get_str(part));
	}
}

static void
check_sample(yyjson_val *line)
{
	const char *file = text_of(line, "file"), *format = text_of(line, "format");
	yyjson_val *headers = yyjson_obj_get(line, "headers"), *name, *value;
	struct field fields[8];
	yyjson_doc *doc = NULL;
	size_t len, i, count;
	char *bytes = read_file(file, &len);

	assert_non_null(bytes);
	event_rig_start();
	event_rig.message.value = (struct str){ len > 0 ? bytes : NULL, len };
	event_rig.message.key = str_of(text_of(line, "key"));
	yyjson_obj_foreach(headers, i, count, name, value) fields[i] =
	    (struct field){ str_of(yyjson_get_str(name)),
		    { str_of(yyjson_get_str(value)), VALUE_TEXT } };
	event_rig.message.headers = fields;
	event_rig.message.header_count = yyjson_obj_size(headers);
	if (strstr(format, "redis") != NULL)
		unpack_redis(&doc, bytes, len);
	assert_decoded(file, event_rig_decode(format), yyjson_obj_get(line, "expect"),
	    event_rig.message.key.data != NULL);
	yyjson_doc_free(doc);
	free(bytes);
}

static void
every_sample_decodes_to_what_its_index_expects(void **state)
{
	const char *shared = getenv("SLUICE_SHARED");
	size_t len, samples = 0;
	char *index;

	(void)state;
	snprintf(folder, sizeof(folder), "%s/cdc", shared != NULL ? shared : "../shared");
	index = read_file("index.jsonl", &len);
	if (index == NULL) {
		fprintf(stderr,
		    "SKIPPED: no real change events in %s (set SLUICE_SHARED to the folder that "
		    "holds cdc/)\n",
		    folder);
		skip();
	}
	for (char *line = index, *end; *line != '\0'; line = end) {
		yyjson_doc *doc;

		end = strchr(line, '\n');
		end = end != NULL ? end + 1 : line + strlen(line);
		doc = yyjson_read(line, (size_t)(end - line), YYJSON_READ_ALLOW_TRAILING_COMMAS);
		assert_non_null(doc);
		check_sample(yyjson_doc_get_root(doc));
		yyjson_doc_free(doc);
		samples++;
	}
	assert_true(samples > 30);
	free(index);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_decodes_to_what_its_index_expects)
	};

	return cmocka_run_group_tests(tests, event_rig_open, event_rig_close);
}
