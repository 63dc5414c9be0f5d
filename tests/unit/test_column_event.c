#include "tests/support/table_make.h"
#include "worker/store/column_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;
static struct config_source source;

static const struct made_column columns[] = { { "id", "bigint(20)", NULL, false, true, NULL },
	{ "i", "int(10) unsigned", "0", true, false, NULL },
	{ "u", "bigint(20) unsigned", "0", true, false, NULL },
	{ "d", "decimal(10,2)", "NULL", true, false, NULL },
	{ "d0", "decimal(20,0)", "NULL", true, false, NULL },
	{ "t", "varchar(64)", "NULL", true, false, NULL },
	{ "b", "varbinary(64)", "NULL", true, false, NULL },
	{ "day", "date", "NULL", true, false, NULL },
	{ "at", "datetime", "NULL", true, false, NULL },
	{ "at3", "datetime(3)", "NULL", true, false, NULL },
	{ "at6", "timestamp(6)", "NULL", true, false, NULL },
	{ "c", "time(6)", "NULL", true, false, NULL },
	{ "y", "year(4)", "NULL", true, false, NULL }, { "x", "bit(9)", "NULL", true, false, NULL },
	{ "s", "set('a','b')", "NULL", true, false, NULL },
	{ "j", "json", "NULL", true, false, NULL }, { "g", "point", "NULL", true, false, NULL },
	{ 0 } };

static const struct column *
column_named(const char *name)
{
	static const struct config_table config = { .name = "t" };
	static struct table table;
	const struct column *column;

	if (table.columns == NULL)
		table_make(&table, &config, columns);
	column = table_column(&table, str_of(name));
	assert_non_null(column);
	return column;
}

static bool
read_value(const char *column, enum change_origin origin, enum value_kind kind, const char *text,
    struct value *out, const char **why)
{
	struct value given = { str_of(text), kind };

	return column_event_value(column_named(column), &given, origin, &source, &arena, out, why);
}

static void
assert_read(const char *column, enum change_origin origin, enum value_kind kind, const char *text,
    enum value_kind kind_out, const char *text_out)
{
	const char *why = NULL;
	struct value out;

	if (!read_value(column, origin, kind, text, &out, &why))
		fail_msg("%s %s: %s", column, text, why);
	if (out.kind != kind_out || !str_equal(out.text, str_of(text_out)))
		fail_msg("%s %s: \"%.*s\" of kind %d", column, text, STR_ARGS(out.text), out.kind);
}

static void
assert_unreadable(const char *column, enum change_origin origin, enum value_kind kind,
    const char *text, const char *words)
{
	const char *why = NULL;
	struct value out;

	assert_false(read_value(column, origin, kind, text, &out, &why));
	if (strstr(why, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", why, words);
}

static void
without_types_the_column_decides(void **state)
{
	static const struct {
		const char *column;
		enum value_kind kind;
		const char *given;
		enum value_kind kind_out;
		const char *text;
	} table[] = {
		{ "id", VALUE_NUMBER, "18460", VALUE_NUMBER, "18460" },
		{ "t", VALUE_TEXT, "AQ==", VALUE_TEXT, "AQ==" },
		{ "b", VALUE_TEXT, "YWI=", VALUE_BINARY, "ab" },
		{ "u", VALUE_TEXT, "AQ==", VALUE_NUMBER, "1" },
		{ "u", VALUE_TEXT, "AP//////////", VALUE_NUMBER, "18446744073709551615" },
		{ "u", VALUE_NUMBER, "-1", VALUE_NUMBER, "18446744073709551615" },
		{ "u", VALUE_NUMBER, "-9223372036854775808", VALUE_NUMBER, "9223372036854775808" },
		{ "u", VALUE_NUMBER, "9007199254740993", VALUE_NUMBER, "9007199254740993" },
		{ "i", VALUE_NUMBER, "-1", VALUE_NUMBER, "-1" },
		{ "d", VALUE_TEXT, "EtaH", VALUE_NUMBER, "12345.67" },
		{ "d", VALUE_TEXT, "12345.67", VALUE_TEXT, "12345.67" },
		{ "d", VALUE_TEXT, "12345", VALUE_TEXT, "12345" },
		{ "d", VALUE_NUMBER, "12345.67", VALUE_NUMBER, "12345.67" },
		{ "d0", VALUE_TEXT, "AVo=", VALUE_NUMBER, "346" },
		{ "day", VALUE_NUMBER, "18460", VALUE_TEXT, "2020-07-17" },
		{ "day", VALUE_TEXT, "2020-07-17Z", VALUE_TEXT, "2020-07-17" },
		{ "at", VALUE_NUMBER, "1595008822000", VALUE_TEXT, "2020-07-17 18:00:22" },
		{ "at3", VALUE_NUMBER, "1595008822123", VALUE_TEXT, "2020-07-17 18:00:22.123" },
		{ "at6", VALUE_NUMBER, "1595008822123456", VALUE_TEXT,
		    "2020-07-17 18:00:22.123456" },
		{ "at6", VALUE_TEXT, "2020-07-17T18:00:22Z", VALUE_TEXT, "2020-07-17T18:00:22Z" },
		{ "c", VALUE_NUMBER, "-3020399000000", VALUE_TEXT, "-838:59:59" },
		{ "c", VALUE_TEXT, "18:00:22Z", VALUE_TEXT, "18:00:22" },
		{ "y", VALUE_NUMBER, "2021", VALUE_NUMBER, "2021" },
		{ "x", VALUE_TEXT, "/wE=", VALUE_NUMBER, "511" },
		{ "x", VALUE_BOOL, "true", VALUE_NUMBER, "1" },
		{ "i", VALUE_BOOL, "false", VALUE_NUMBER, "0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_read(table[i].column, ORIGIN_UNTYPED, table[i].kind, table[i].given,
		    table[i].kind_out, table[i].text);
}

static void
a_text_that_may_be_two_numbers_is_refused(void **state)
{
	(void)state;
	assert_unreadable("d", ORIGIN_UNTYPED, VALUE_TEXT, "1234", "may be a number or base64");
	assert_unreadable("d0", ORIGIN_UNTYPED, VALUE_TEXT, "12345678", "may be a number");
	assert_read("d0", ORIGIN_TYPED, VALUE_TEXT, "1234", VALUE_TEXT, "1234");
	assert_read("d0", ORIGIN_CANAL, VALUE_TEXT, "1234", VALUE_TEXT, "1234");
}

/* A number of a column without a scale: Oracle's NUMBER, PostgreSQL's NUMERIC. */
static void
a_number_with_its_own_scale_is_read_without_a_schema(void **state)
{
	(void)state;
	assert_read("id", ORIGIN_UNTYPED, VALUE_JSON, "{\"scale\":0,\"value\":\"B1vNFQ==\"}",
	    VALUE_NUMBER, "123456789");
	assert_read("d", ORIGIN_UNTYPED, VALUE_JSON, "{\"scale\":2,\"value\":\"/4U=\"}",
	    VALUE_NUMBER, "-1.23");
	assert_read("d", ORIGIN_UNTYPED, VALUE_JSON, "{\"scale\":\"2\"}", VALUE_JSON,
	    "{\"scale\":\"2\"}");
	assert_read("j", ORIGIN_UNTYPED, VALUE_JSON, "{\"scale\":2,\"value\":\"/4U=\"}", VALUE_JSON,
	    "{\"scale\":2,\"value\":\"/4U=\"}");
}

static void
times_follow_the_sources_precision_mode(void **state)
{
	(void)state;
	source.times = TIMES_CONNECT;
	assert_read("at6", ORIGIN_UNTYPED, VALUE_NUMBER, "1595008822123", VALUE_TEXT,
	    "2020-07-17 18:00:22.123");
	assert_read("c", ORIGIN_UNTYPED, VALUE_NUMBER, "1500", VALUE_TEXT, "00:00:01.5");
	source.times = TIMES_MICROSECONDS;
	assert_read("at", ORIGIN_UNTYPED, VALUE_NUMBER, "1595008822000000", VALUE_TEXT,
	    "2020-07-17 18:00:22");
	source.times = TIMES_NANOSECONDS;
	assert_read("at3", ORIGIN_UNTYPED, VALUE_NUMBER, "1595008822123000000", VALUE_TEXT,
	    "2020-07-17 18:00:22.123");
	source.times = TIMES_ADAPTIVE;
	assert_unreadable("at3", ORIGIN_UNTYPED, VALUE_NUMBER, "1595008822123456000",
	    "outside the range");
	assert_unreadable("day", ORIGIN_UNTYPED, VALUE_NUMBER, "1.5", "no count of days");
}

static void
binary_comes_in_all_encodings(void **state)
{
	(void)state;
	assert_read("b", ORIGIN_TYPED, VALUE_TEXT, "YWI=", VALUE_BINARY, "ab");
	assert_read("b", ORIGIN_MAXWELL, VALUE_TEXT, "YWI=", VALUE_BINARY, "ab");
	assert_read("b", ORIGIN_TYPED, VALUE_TEXT, "_-8", VALUE_BINARY, "\xff\xef");
	assert_read("b", ORIGIN_TYPED, VALUE_BINARY, "YWI=", VALUE_BINARY, "YWI=");
	assert_unreadable("b", ORIGIN_TYPED, VALUE_TEXT, "no base64", "base64");
	assert_unreadable("b", ORIGIN_DMS, VALUE_TEXT, "0x61Ff", "`binary: hex`");
	assert_read("b", ORIGIN_DMS, VALUE_TEXT, "0xyz", VALUE_BINARY, "\xd3\x1c\xb3");
	source.binary = BINARY_HEX;
	assert_read("b", ORIGIN_DMS, VALUE_TEXT, "0x61Ff", VALUE_BINARY, "a\xff");
	assert_read("b", ORIGIN_TYPED, VALUE_TEXT, "61Ff", VALUE_BINARY, "a\xff");
	assert_unreadable("b", ORIGIN_TYPED, VALUE_TEXT, "61f", "hexadecimal");
	source.binary = BINARY_BASE64;
	assert_read("b", ORIGIN_CANAL, VALUE_TEXT, "a\xc3\xbf\xc2\x80", VALUE_BINARY, "a\xff\x80");
	assert_unreadable("b", ORIGIN_CANAL, VALUE_TEXT, "\xe2\x82\xac", "no byte");
}

static void
a_geometry_is_its_id_and_bytes(void **state)
{
	const char *why;
	struct value out;

	(void)state;
	assert_true(read_value("g", ORIGIN_UNTYPED, VALUE_JSON,
	    "{\"x\":1.0,\"wkb\":\"AQ==\",\"srid\":4326}", &out, &why));
	assert_int_equal(out.kind, VALUE_BINARY);
	assert_int_equal(out.text.len, 5);
	assert_memory_equal(out.text.data, "\xe6\x10\0\0\x01", 5);
}

static void
a_set_and_a_json_text_of_maxwell_are_what_they_were(void **state)
{
	(void)state;
	assert_read("s", ORIGIN_MAXWELL, VALUE_JSON, "[\"a\",\"b\"]", VALUE_TEXT, "a,b");
	assert_read("s", ORIGIN_MAXWELL, VALUE_JSON, "[]", VALUE_TEXT, "");
	assert_read("s", ORIGIN_MAXWELL, VALUE_JSON, "[1]", VALUE_JSON, "[1]");
	assert_read("s", ORIGIN_MAXWELL, VALUE_JSON, "[1e400]", VALUE_JSON, "[1e400]");
	assert_read("s", ORIGIN_MAXWELL, VALUE_JSON, "{\"a\":1}", VALUE_JSON, "{\"a\":1}");
	assert_read("s", ORIGIN_MAXWELL, VALUE_TEXT, "a", VALUE_TEXT, "a");
	assert_read("t", ORIGIN_MAXWELL, VALUE_JSON, "[\"a\"]", VALUE_JSON, "[\"a\"]");
	assert_read("j", ORIGIN_MAXWELL, VALUE_JSON, "[\"a\"]", VALUE_JSON, "[\"a\"]");
	assert_read("j", ORIGIN_MAXWELL, VALUE_TEXT, "say \"a\"", VALUE_TEXT, "\"say \\\"a\\\"\"");
	assert_read("j", ORIGIN_MAXWELL, VALUE_TEXT, "{\"a\":1}", VALUE_TEXT, "{\"a\":1}");
	assert_read("j", ORIGIN_DMS, VALUE_TEXT, "a", VALUE_TEXT, "a");
}

static void
the_year_zero_is_not_2000(void **state)
{
	(void)state;
	assert_read("y", ORIGIN_MAXWELL, VALUE_NUMBER, "0", VALUE_TEXT, "0000");
	assert_read("y", ORIGIN_CANAL, VALUE_TEXT, "0000", VALUE_TEXT, "0000");
	assert_read("y", ORIGIN_DMS, VALUE_TEXT, "0", VALUE_TEXT, "0000");
	assert_read("y", ORIGIN_CANAL, VALUE_TEXT, "2001", VALUE_TEXT, "2001");
	assert_read("i", ORIGIN_MAXWELL, VALUE_NUMBER, "0", VALUE_NUMBER, "0");
	assert_read("y", ORIGIN_APP, VALUE_NUMBER, "0", VALUE_NUMBER, "0");
}

static void
an_applications_values_are_left_alone(void **state)
{
	(void)state;
	assert_read("b", ORIGIN_APP, VALUE_TEXT, "YWI=", VALUE_TEXT, "YWI=");
	assert_read("u", ORIGIN_APP, VALUE_NUMBER, "-1", VALUE_NUMBER, "-1");
	assert_read("day", ORIGIN_APP, VALUE_NUMBER, "18460", VALUE_NUMBER, "18460");
}

static int
open_arena(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 16);
	return 0;
}

static int
close_arena(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_with_its_own_scale_is_read_without_a_schema),
		cmocka_unit_test(without_types_the_column_decides),
		cmocka_unit_test(a_text_that_may_be_two_numbers_is_refused),
		cmocka_unit_test(times_follow_the_sources_precision_mode),
		cmocka_unit_test(binary_comes_in_all_encodings),
		cmocka_unit_test(a_geometry_is_its_id_and_bytes),
		cmocka_unit_test(a_set_and_a_json_text_of_maxwell_are_what_they_were),
		cmocka_unit_test(the_year_zero_is_not_2000),
		cmocka_unit_test(an_applications_values_are_left_alone),
	};

	return cmocka_run_group_tests(tests, open_arena, close_arena);
}
