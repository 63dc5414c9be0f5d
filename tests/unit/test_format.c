#include "worker/lane.h"
#include "worker/source/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FIELDS_MAX 64

static struct arena arena;
static struct config_source source;
static struct lane lane;
static struct field raw[FIELDS_MAX];
static struct entry entry;

/* An entry of names and values in turn, up to NULL, decoded. */
static int
decode(const char *first, ...)
{
	va_list ap;

	arena_reset(&arena);
	memset(&entry, 0, sizeof(entry));
	entry.lane = &lane;
	entry.raw = raw;
	lane.source = &source;
	va_start(ap, first);
	for (const char *name = first; name != NULL; name = va_arg(ap, const char *)) {
		raw[entry.raw_count].name = str_of(name);
		raw[entry.raw_count].value.text = str_of(va_arg(ap, const char *));
		raw[entry.raw_count++].value.kind = VALUE_TEXT;
	}
	va_end(ap);
	return format_decode(&entry, &arena, NULL);
}

static int
decode_json(const char *text)
{
	source.format = FORMAT_JSON;
	return decode("data", text, NULL);
}

static void
assert_text(struct str s, const char *text)
{
	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.data, text, s.len);
}

static void
assert_field(const struct change *change, size_t i, const char *name, enum value_kind kind,
    const char *text)
{
	assert_true(i < change->field_count);
	assert_text(change->fields[i].name, name);
	assert_int_equal(change->fields[i].value.kind, kind);
	assert_text(change->fields[i].value.text, text);
}

static void
assert_refused(int status, const char *reason, const char *words)
{
	assert_int_equal(status, -1);
	assert_string_equal(entry.refusal.reason, reason);
	if (strstr(entry.refusal.text, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", entry.refusal.text, words);
}

static int
setup(void **state)
{
	(void)state;
	memset(&source, 0, sizeof(source));
	source.format = FORMAT_FIELDS;
	arena_init(&arena, 1 << 16);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

static void
fields_are_an_upsert_of_what_they_name(void **state)
{
	(void)state;
	assert_int_equal(decode("id", "7", "name", "Bob", NULL), 0);
	assert_int_equal(entry.change_count, 1);
	assert_int_equal(entry.changes->op, CHANGE_UPSERT);
	assert_int_equal(entry.changes->field_count, 2);
	assert_field(entry.changes, 0, "id", VALUE_TEXT, "7");
	assert_field(entry.changes, 1, "name", VALUE_TEXT, "Bob");
}

static void
our_fields_are_taken_out_of_the_columns(void **state)
{
	(void)state;
	assert_int_equal(decode("_op", "incr", "id", "7", "_version", "18446744073709551615",
			     "_table", "users", "_at", "1732000000000", "n", "1", NULL),
	    0);
	assert_int_equal(entry.changes->op, CHANGE_INCR);
	assert_text(entry.changes->table_name, "users");
	assert_true(entry.changes->has_version);
	assert_true(entry.changes->version == UINT64_MAX);
	assert_int_equal(entry.at_ms, 1732000000000);
	assert_int_equal(entry.changes->field_count, 2);
	assert_field(entry.changes, 1, "n", VALUE_TEXT, "1");
	assert_int_equal(entry.raw_count, 6);
}

static void
null_names_become_null_columns(void **state)
{
	(void)state;
	assert_int_equal(decode("id", "7", "_null", "email, phone", NULL), 0);
	assert_field(entry.changes, 1, "email", VALUE_NULL, "");
	assert_field(entry.changes, 2, "phone", VALUE_NULL, "");
	assert_int_equal(decode("id", "7", "_null", "", NULL), 0);
	assert_int_equal(entry.changes->field_count, 1);
}

static void
odd_names_of_ours_are_refused_by_name(void **state)
{
	(void)state;
	assert_refused(decode("id", "7", "_verson", "secret", NULL), REASON_BAD_ENTRY, "_verson");
	assert_null(strstr(entry.refusal.text, "secret"));
	assert_refused(decode("_op", "upsert", "_op", "delete", NULL), REASON_BAD_ENTRY,
	    "_op is given twice");
	assert_refused(decode("_op", "explode", "id", "7", NULL), REASON_BAD_OPERATION, "_op");
	assert_refused(decode("_version", "-1", NULL), REASON_BAD_VERSION, "_version");
	assert_refused(decode("_version", "18446744073709551616", NULL), REASON_BAD_VERSION,
	    "_version");
	assert_refused(decode("_version", "1.5", NULL), REASON_BAD_VERSION, "_version");
	assert_refused(decode("_at", "noon", NULL), REASON_BAD_ENTRY, "_at");
	assert_refused(decode("_table", "", NULL), REASON_BAD_ENTRY, "_table");
}

static void
a_hostile_name_is_escaped_and_cut(void **state)
{
	char name[301];

	(void)state;
	memset(name, '\n', 300);
	name[0] = '_';
	name[300] = '\0';
	assert_refused(decode(name, "x", NULL), REASON_BAD_ENTRY, "_\\x0a\\x0a");
	assert_null(strchr(entry.refusal.text, '\n'));
	assert_true(strlen(entry.refusal.text) < 400);
}

static void
a_column_is_named_once(void **state)
{
	(void)state;
	assert_refused(decode("id", "7", "a", "1", "a", "2", NULL), REASON_BAD_ENTRY,
	    "a is given twice");
	assert_refused(decode("id", "7", "a", "1", "_null", "a", NULL), REASON_BAD_ENTRY, "_null");
	assert_refused(decode("id", "7", "_null", "b,b", NULL), REASON_BAD_ENTRY,
	    "b is given twice");
	assert_refused(decode("id", "7", "_null", "b,,c", NULL), REASON_BAD_ENTRY, "empty name");
	assert_refused(decode("id", "7", "_null", "b,", NULL), REASON_BAD_ENTRY, "empty name");
	assert_refused(decode("id", "7", "_null", "_op", NULL), REASON_BAD_ENTRY, "_op");
}

static void
among_thousands_of_fields_one_that_comes_twice_is_found(void **state)
{
	enum { COUNT = 5000 };
	struct field *fields = calloc(COUNT, sizeof(*fields));
	static char names[COUNT][8];

	(void)state;
	assert_int_equal(decode("id", "7", NULL), 0);
	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "f%d", i);
		fields[i] = (struct field){ str_of(names[i]), { STR("x"), VALUE_TEXT } };
	}
	entry.raw = fields;
	entry.raw_count = COUNT;
	assert_int_equal(format_decode(&entry, &arena, NULL), 0);
	fields[COUNT - 1].name = str_of(names[17]);
	assert_refused(format_decode(&entry, &arena, NULL), REASON_BAD_ENTRY, "f17 is given twice");
	free(fields);
}

static void
json_values_keep_their_kind_and_every_digit(void **state)
{
	const struct change *change;

	(void)state;
	assert_int_equal(
	    decode_json("{\"id\":18446744073709551615,\"d\":1.10000000000000000000000000001,"
			"\"t\":\"x\",\"b\":true,\"n\":null,\"o\":{\"a\":[1.0,\"y\"]}}"),
	    0);
	change = entry.changes;
	assert_field(change, 0, "id", VALUE_NUMBER, "18446744073709551615");
	assert_field(change, 1, "d", VALUE_NUMBER, "1.10000000000000000000000000001");
	assert_field(change, 2, "t", VALUE_TEXT, "x");
	assert_field(change, 3, "b", VALUE_BOOL, "true");
	assert_field(change, 4, "n", VALUE_NULL, "");
	assert_field(change, 5, "o", VALUE_JSON, "{\"a\":[1.0,\"y\"]}");
}

static void
json_texts_may_hold_a_zero_byte(void **state)
{
	(void)state;
	assert_int_equal(decode_json("{\"t\":\"a\\u0000b\"}"), 0);
	assert_int_equal(entry.changes->fields[0].value.text.len, 3);
	assert_memory_equal(entry.changes->fields[0].value.text.data, "a\0b", 3);
}

static void
a_json_list_is_one_entry_of_several_changes(void **state)
{
	(void)state;
	assert_int_equal(decode_json("[{\"id\":1,\"_table\":\"a\"},{\"id\":2,\"_op\":\"delete\",\"_"
				     "version\":9}]"),
	    0);
	assert_int_equal(entry.change_count, 2);
	assert_text(entry.changes[0].table_name, "a");
	assert_int_equal(entry.changes[1].op, CHANGE_DELETE);
	assert_int_equal(entry.changes[1].version, 9);
	assert_int_equal(decode_json("[]"), 0);
	assert_int_equal(entry.change_count, 0);
}

static void
json_null_names_come_as_a_list_or_a_text(void **state)
{
	(void)state;
	assert_int_equal(decode_json("{\"id\":1,\"_null\":[\"a\",\"b\"]}"), 0);
	assert_field(entry.changes, 2, "b", VALUE_NULL, "");
	assert_int_equal(decode_json("{\"id\":1,\"_null\":\"a,b\",\"_at\":\"5\"}"), 0);
	assert_field(entry.changes, 2, "b", VALUE_NULL, "");
	assert_refused(decode_json("{\"id\":1,\"_null\":7}"), REASON_BAD_ENTRY, "_null");
	assert_refused(decode_json("{\"id\":1,\"_null\":[7]}"), REASON_BAD_ENTRY, "_null");
	assert_refused(decode_json("{\"a\":1,\"_null\":[\"a\"]}"), REASON_BAD_ENTRY,
	    "a is given twice");
}

static void
bad_json_is_refused_without_its_values(void **state)
{
	(void)state;
	assert_refused(decode_json("{\"id\":1"), REASON_BAD_JSON, "byte 7");
	assert_refused(decode_json(""), REASON_BAD_JSON, "not JSON");
	assert_refused(decode_json("{\"t\":\"\xff\"}"), REASON_BAD_JSON, "not JSON");
	assert_refused(decode_json("\"secret\""), REASON_BAD_JSON, "neither an object nor a list");
	assert_null(strstr(entry.refusal.text, "secret"));
	assert_refused(decode_json("[1]"), REASON_BAD_JSON, "element 1");
	assert_refused(decode_json("{\"a\":1,\"a\":2}"), REASON_BAD_ENTRY, "a is given twice");
	assert_refused(decode_json("{\"_version\":1.5}"), REASON_BAD_VERSION, "_version");
	assert_refused(decode_json("{\"_op\":1}"), REASON_BAD_OPERATION, "_op");
	assert_refused(decode_json("{\"_up\":1}"), REASON_BAD_ENTRY, "_up");
}

static void
deep_nesting_is_refused_and_harms_nobody(void **state)
{
	enum { DEPTH = 200000 };
	char *text = malloc(2 * DEPTH + 16);
	size_t len = (size_t)sprintf(text, "{\"a\":");

	(void)state;
	memset(text + len, '[', DEPTH);
	memset(text + len + DEPTH, ']', DEPTH);
	memcpy(text + len + 2 * DEPTH, "}", 2);
	assert_refused(decode_json(text), REASON_BAD_JSON, "nested deeper");
	free(text);
}

static void
json_stands_in_the_only_field_or_in_the_named_one(void **state)
{
	(void)state;
	source.format = FORMAT_JSON;
	assert_refused(decode("a", "{}", "b", "{}", NULL), REASON_BAD_ENTRY, "2 fields");
	source.field = "b";
	assert_int_equal(decode("a", "no json", "b", "{\"id\":1}", NULL), 0);
	assert_field(entry.changes, 0, "id", VALUE_NUMBER, "1");
	assert_refused(decode("a", "{}", NULL), REASON_BAD_ENTRY, "no field b");
	assert_refused(decode("b", "{}", "b", "{}", NULL), REASON_BAD_ENTRY, "b is given twice");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields_are_an_upsert_of_what_they_name),
		TEST(our_fields_are_taken_out_of_the_columns),
		TEST(null_names_become_null_columns),
		TEST(odd_names_of_ours_are_refused_by_name),
		TEST(a_hostile_name_is_escaped_and_cut),
		TEST(a_column_is_named_once),
		TEST(among_thousands_of_fields_one_that_comes_twice_is_found),
		TEST(json_values_keep_their_kind_and_every_digit),
		TEST(json_texts_may_hold_a_zero_byte),
		TEST(a_json_list_is_one_entry_of_several_changes),
		TEST(json_null_names_come_as_a_list_or_a_text),
		TEST(bad_json_is_refused_without_its_values),
		TEST(deep_nesting_is_refused_and_harms_nobody),
		TEST(json_stands_in_the_only_field_or_in_the_named_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
