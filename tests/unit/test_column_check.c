#include "tests/support/table_make.h"
#include "worker/store/column_check.h"
#include "worker/store/schema_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena arena;

/* A column of a table of one. */
static struct column
column_of(const char *type, const char *collation)
{
	static const struct config_table config = { .name = "t" };
	struct made_column columns[] = { { "c", type, NULL, false, false, collation }, { 0 } };
	struct table table;

	table_make(&table, &config, columns);
	return table.columns[0];
}

/* What a value becomes: its text behind a letter for the kind, "alone …" or "refused". */
static const char *
shown(enum column_verdict verdict, const struct value *value)
{
	static const char letters[] = { [VALUE_NULL] = '-',
		[VALUE_TEXT] = 't',
		[VALUE_NUMBER] = 'n',
		[VALUE_BOOL] = '?',
		[VALUE_JSON] = '?',
		[VALUE_BINARY] = 'b' };

	if (verdict == COLUMN_REFUSED)
		return "refused";
	return arena_printf(&arena, "%s%c %.*s", verdict == COLUMN_ALONE ? "alone " : "",
	    letters[value->kind], STR_ARGS(value->text));
}

static const char *
check(const char *type, enum value_kind kind, const char *text)
{
	struct column column = column_of(type, NULL);
	struct value given = { str_of(text), kind }, out;
	const char *why = NULL;

	return shown(column_check(&column, &given, false, &arena, &out, &why), &out);
}

static const char *
check_key(const char *type, const char *collation, const char *text)
{
	struct column column = column_of(type, collation);
	struct value given = { str_of(text), VALUE_TEXT }, out;
	const char *why = NULL;
	enum column_verdict verdict = column_check_key(&column, &given, false, &arena, &out, &why);

	assert_true(verdict != COLUMN_REFUSED || why != NULL);
	return shown(verdict, &out);
}

#define IS(type, text, becomes) assert_string_equal(check(type, VALUE_TEXT, text), becomes)
#define KEY(type, text, becomes) assert_string_equal(check_key(type, NULL, text), becomes)

static int
setup(void **state)
{
	(void)state;
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
integers_are_canonical_and_in_range_or_left_to_the_server(void **state)
{
	(void)state;
	IS("int(11)", "7", "n 7");
	IS("int(11)", "-7", "n -7");
	IS("int(11)", "+007", "n 7");
	IS("int(11)", "-0", "n 0");
	IS("int(11)", "7.00", "n 7");
	IS("int(11)", "true", "n 1");
	IS("int(11)", "2147483647", "n 2147483647");
	IS("int(11)", "2147483648", "alone t 2147483648");
	IS("tinyint(3) unsigned", "-1", "alone t -1");
	IS("bigint(20) unsigned", "18446744073709551615", "n 18446744073709551615");
	IS("bigint(20)", "-9223372036854775808", "n -9223372036854775808");
	IS("int(11)", "", "alone t ");
	IS("int(11)", "-", "alone t -");
	IS("int(11)", "7.5", "alone t 7.5");
	IS("int(11)", "1e3", "alone t 1e3");
	IS("int(11)", " 7", "alone t  7");
	IS("int(11)", "abc", "alone t abc");
	IS("int(11)", "\xff", "alone b \xff");
	IS("year(4)", "70", "alone t 70");
	assert_string_equal(check("int(11)", VALUE_BOOL, "false"), "n 0");
	assert_string_equal(check("int(11)", VALUE_NULL, NULL), "alone - ");
}

static void
decimals_fit_their_digits_exactly_or_round_within_them(void **state)
{
	(void)state;
	IS("decimal(6,2)", "1234.56", "n 1234.56");
	IS("decimal(6,2)", "-01234.560", "n -1234.56");
	IS("decimal(6,2)", "-0.00", "n 0");
	IS("decimal(6,2)", "12345", "alone t 12345");
	IS("decimal(6,2)", "999.999", "n 999.999");
	IS("decimal(6,2)", "9999.999", "alone t 9999.999");
	IS("decimal(6,2) unsigned", "-1", "alone t -1");
	IS("decimal(6,2)", "1e2", "alone t 1e2");
	IS("decimal(6,2)", "1.", "alone t 1.");
	IS("decimal(6,2)", ".5", "alone t .5");
	IS("decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567891",
	    "n 12345678901234567890123456789012345.123456789012345678901234567891");
}

static void
floats_are_numbers_within_the_type(void **state)
{
	(void)state;
	IS("double", "-1.5e300", "n -1.5e300");
	IS("float", "+1.5", "n 1.5");
	IS("float", "1e39", "alone t 1e39");
	IS("double", "1e309", "alone t 1e309");
	IS("double", "nan", "alone t nan");
	IS("double", "0x10", "alone t 0x10");
	IS("double unsigned", "-1", "alone t -1");
	IS("float(7,2)", "1.5", "alone t 1.5");
}

static void
texts_are_utf8_of_at_most_the_length(void **state)
{
	struct column latin = column_of("varchar(3)", "latin1_swedish_ci");
	struct value given = { STR("\xc3\xa9"), VALUE_TEXT }, out;
	const char *why;

	(void)state;
	IS("varchar(3)", "\xe2\x98\x83\xe2\x98\x83\xe2\x98\x83",
	    "t \xe2\x98\x83\xe2\x98\x83\xe2\x98\x83");
	IS("varchar(3)", "four", "alone t four");
	IS("varchar(3)", "\xff", "refused");
	IS("text", "a\xc3", "refused");
	IS("enum('a','b')", "\xc3", "refused");
	IS("set('a','b')", "\xc3", "refused");
	assert_string_equal(check("varchar(3)", VALUE_NUMBER, "1.0"), "t 1.0");
	assert_string_equal(check("varchar(9)", VALUE_JSON, "{\"a\":1}"), "t {\"a\":1}");
	assert_int_equal(column_check(&latin, &given, false, &arena, &out, &why), COLUMN_ALONE);
	given.text = STR("abc");
	assert_int_equal(column_check(&latin, &given, false, &arena, &out, &why), COLUMN_FINE);
}

static void
times_are_plain_or_rfc_3339_and_end_in_utc(void **state)
{
	(void)state;
	IS("datetime", "2025-08-01 12:34:56", "t 2025-08-01 12:34:56");
	IS("datetime", "2025-08-01T12:34:56Z", "t 2025-08-01 12:34:56");
	IS("datetime(6)", "2025-08-01t12:34:56.1234567z", "t 2025-08-01 12:34:56.123456");
	IS("datetime", "2025-01-01T00:30:00+01:00", "t 2024-12-31 23:30:00");
	IS("date", "2024-02-28T23:30:00-01:00", "t 2024-02-29");
	IS("date", "2024-02-29", "t 2024-02-29");
	IS("date", "2023-02-29", "alone t 2023-02-29");
	IS("date", "0000-00-00", "alone t 0000-00-00");
	IS("date", "2024-1-2", "alone t 2024-1-2");
	IS("date", "20240102", "alone t 20240102");
	IS("date", "2024-01-02 10:00:00", "alone t 2024-01-02 10:00:00");
	IS("datetime", "2024-01-02", "t 2024-01-02 00:00:00");
	IS("datetime", "2024-01-02 24:00:00", "alone t 2024-01-02 24:00:00");
	IS("datetime", "2024-01-02 10:00", "alone t 2024-01-02 10:00");
	IS("datetime", "9999-12-31 23:59:59.9", "alone t 9999-12-31 23:59:59.9");
	IS("timestamp", "1970-01-01 00:00:00", "alone t 1970-01-01 00:00:00");
	IS("timestamp", "2038-01-19T03:14:06Z", "t 2038-01-19 03:14:06");
	IS("timestamp", "2040-01-01 00:00:00", "alone t 2040-01-01 00:00:00");
	IS("timestamp", "2038-01-19T03:14:07Z", "alone t 2038-01-19 03:14:07");
	IS("datetime(6)", "0999-12-31T23:59:59.5+01:00", "alone t 0999-12-31 22:59:59.5");
	IS("time", "-837:59:59.5", "t -837:59:59.5");
	IS("time", "839:00:00", "alone t 839:00:00");
	IS("time", "12:61:00", "alone t 12:61:00");
	assert_string_equal(check("datetime", VALUE_NUMBER, "20240102"), "alone t 20240102");
}

static void
enums_sets_bits_and_uuids_are_taken_where_plain(void **state)
{
	(void)state;
	IS("enum('a','b''c')", "b'c", "t b'c");
	IS("enum('a','b''c')", "A", "alone t A");
	IS("enum('a','b''c')", "1", "alone t 1");
	IS("enum('a','b''c')", "", "alone t ");
	IS("set('x','y')", "y", "t y");
	IS("set('x','y')", "x,y", "alone t x,y");
	IS("bit(9)", "511", "n 511");
	IS("bit(9)", "512", "alone t 512");
	IS("bit(1)", "true", "n 1");
	IS("uuid", "01234567-89ab-4DEF-8123-456789abcdef",
	    "t 01234567-89ab-4DEF-8123-456789abcdef");
	IS("uuid", "01234567-89ab-cdef-0123-456789abcdef",
	    "alone t 01234567-89ab-cdef-0123-456789abcdef");
	IS("uuid", "0123456789abCDEF0123456789abcdef", "alone t 0123456789abCDEF0123456789abcdef");
	IS("inet6", "::1", "alone t ::1");
}

static void
json_columns_want_json(void **state)
{
	(void)state;
	IS("json", "{\"a\":[1,2]}", "t {\"a\":[1,2]}");
	IS("json", "{a:1}", "alone t {a:1}");
	IS("json", "", "alone t ");
	IS("json", "1e999", "alone t 1e999");
	IS("json", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	    "alone t [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	assert_string_equal(check("json", VALUE_NUMBER, "12345678901234567890"),
	    "t 12345678901234567890");
}

static const char *
check_base64(const char *text)
{
	struct column column = column_of("varbinary(4)", NULL);
	struct value given = { str_of(text), VALUE_TEXT }, out;
	const char *why = NULL;

	return shown(column_check(&column, &given, true, &arena, &out, &why), &out);
}

static void
binary_is_base64_in_json_and_bytes_in_fields(void **state)
{
	(void)state;
	IS("varbinary(4)", "YWJj", "b YWJj");
	IS("varbinary(3)", "YWJj", "alone b YWJj");
	assert_string_equal(check_base64("YWJj"), "b abc");
	assert_string_equal(check_base64("YWI="), "b ab");
	assert_string_equal(check_base64("YQ=="), "b a");
	assert_string_equal(check_base64(""), "b ");
	assert_string_equal(check_base64("YWJjYWJj"), "alone b abcabc");
	assert_string_equal(check_base64("YWJ"), "refused");
	assert_string_equal(check_base64("YWI"), "refused");
	assert_string_equal(check_base64("YR=="), "refused");
	assert_string_equal(check_base64("YW-_"), "refused");
	assert_string_equal(check_base64("===="), "refused");
}

static const char *
increment(const char *type, const char *text, long long sum)
{
	struct column column = column_of(type, NULL);
	struct value given = { str_of(text), VALUE_TEXT }, out;
	const char *why = NULL;
	struct sum got;
	enum column_verdict verdict =
	    column_check_increment(&column, &given, &arena, &out, &got, &why);

	if (verdict != COLUMN_REFUSED) {
		assert_true(got.sum == sum);
		assert_true(got.low == (sum < 0 ? sum : 0));
		assert_true(got.high == (sum > 0 ? sum : 0));
	}
	return shown(verdict, &out);
}

static void
increments_are_numbers_of_the_columns_kind(void **state)
{
	(void)state;
	assert_string_equal(increment("int(11)", "+5", 5), "n 5");
	assert_string_equal(increment("int(11) unsigned", "-20", -20), "n -20");
	assert_string_equal(increment("int(11)", "1.5", 0), "refused");
	assert_string_equal(increment("int(11)", "", 0), "refused");
	assert_string_equal(increment("int(11)", "true", 0), "refused");
	assert_string_equal(increment("decimal(6,2)", "-1.5", -150), "n -1.5");
	assert_string_equal(increment("decimal(6,2)", "0.004", 0), "alone n 0.004");
	assert_string_equal(increment("decimal(6,2)", "1e2", 0), "refused");
	assert_string_equal(increment("decimal(40,2)", "1", 0), "alone n 1");
	assert_string_equal(increment("double", "1e2", 0), "n 1e2");
	assert_string_equal(increment("double", "x", 0), "refused");
	assert_string_equal(increment("varchar(9)", "1", 0), "refused");
	assert_string_equal(increment("bit(9)", "1", 0), "refused");
}

static void
keys_are_plainly_values_of_their_column(void **state)
{
	(void)state;
	KEY("int(11)", "007", "n 7");
	KEY("int(11)", "7.0", "n 7");
	KEY("int(11)", "abc", "refused");
	KEY("int(11)", "", "refused");
	KEY("int(11)", "7.5", "refused");
	KEY("int(11)", "true", "refused");
	KEY("int(11)", "2147483648", "refused");
	KEY("int(11) unsigned", "-1", "refused");
	KEY("decimal(6,2)", "7.5", "n 7.50");
	KEY("decimal(6,2)", "-0.000", "n 0.00");
	KEY("decimal(6,2)", "7.555", "refused");
	KEY("varchar(3)", "abc", "t abc");
	KEY("varchar(3)", "abcd", "refused");
	KEY("varchar(3)", "\xff", "refused");
	KEY("varbinary(3)", "\xff", "b \xff");
	KEY("varbinary(3)", "abcd", "refused");
	KEY("date", "2024-02-29", "t 2024-02-29");
	KEY("date", "2024-02-29T00:00:00Z", "refused");
	KEY("datetime(3)", "2024-02-29T00:00:00Z", "t 2024-02-29 00:00:00.000");
	KEY("datetime", "2024-02-29 00:00:00.5", "refused");
	KEY("time", "01:02:03", "t 01:02:03");
	KEY("double", "x", "refused");
	KEY("double", "1.5", "alone n 1.5");
	KEY("enum('a')", "b", "refused");
	KEY("enum('a')", "a", "alone t a");
}

static void
a_binary_key_of_fixed_length_is_padded(void **state)
{
	struct column column = column_of("binary(4)", NULL);
	struct value given = { STR("ab"), VALUE_TEXT }, out;
	const char *why;

	(void)state;
	assert_int_equal(column_check_key(&column, &given, false, &arena, &out, &why), COLUMN_FINE);
	assert_int_equal(out.text.len, 4);
	assert_memory_equal(out.text.data, "ab\0\0", 4);
}

static void
a_text_key_is_sure_only_where_its_collation_is_known(void **state)
{
	(void)state;
	assert_string_equal(check_key("varchar(9)", "utf8mb4_bin", "\xc3\xa9"), "t \xc3\xa9");
	assert_string_equal(check_key("varchar(9)", "utf8mb4_general_ci", "Bob"), "t Bob");
	assert_string_equal(check_key("varchar(9)", "utf8mb4_general_ci", "\xc3\xa9"),
	    "alone t \xc3\xa9");
	assert_string_equal(check_key("varchar(9)", "utf8mb4_general_ci", "a\tb"), "alone t a\tb");
	assert_string_equal(check_key("varchar(9)", "utf8mb4_danish_ci", "aa"), "alone t aa");
	assert_string_equal(check_key("varchar(9)", "latin1_bin", "\xc3\xa9"), "alone t \xc3\xa9");
}

static void
only_root_collations_are_plain(void **state)
{
	(void)state;
	assert_true(collation_is_plain("utf8mb4_0900_ai_ci"));
	assert_true(collation_is_plain("utf8mb4_uca1400_ai_ci"));
	assert_true(collation_is_plain("latin1_swedish_ci"));
	assert_false(collation_is_plain("utf8mb4_spanish2_ci"));
	assert_false(collation_is_plain("utf8mb4_da_0900_ai_ci"));
	assert_false(collation_is_plain("latin1_german2_ci"));
	assert_false(collation_is_plain("utf16_general_ci"));
}

static void
a_default_of_zero_and_a_missing_default_are_told_apart(void **state)
{
	static const struct config_table config = { .name = "t" };
	static const struct made_column columns[] = { { "a", "int(11)", "0", false, false, NULL },
		{ "b", "int(11)", "NULL", true, false, NULL },
		{ "c", "int(11)", NULL, false, false, NULL },
		{ "d", "int(11)", "5", false, false, NULL },
		{ "e", "decimal(4,2)", "'0.00'", true, false, NULL },
		{ "f", "enum('a')", NULL, false, false, NULL }, { 0 } };
	struct table table;

	(void)state;
	table_make(&table, &config, columns);
	assert_true(table.columns[0].default_zero);
	assert_true(table.columns[1].default_zero);
	assert_false(table.columns[2].default_zero);
	assert_true(table.columns[2].required);
	assert_false(table.columns[3].default_zero);
	assert_false(table.columns[3].required);
	assert_true(table.columns[4].default_zero);
	assert_false(table.columns[5].required);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_canonical_and_in_range_or_left_to_the_server),
		cmocka_unit_test(decimals_fit_their_digits_exactly_or_round_within_them),
		cmocka_unit_test(floats_are_numbers_within_the_type),
		cmocka_unit_test(texts_are_utf8_of_at_most_the_length),
		cmocka_unit_test(times_are_plain_or_rfc_3339_and_end_in_utc),
		cmocka_unit_test(enums_sets_bits_and_uuids_are_taken_where_plain),
		cmocka_unit_test(json_columns_want_json),
		cmocka_unit_test(binary_is_base64_in_json_and_bytes_in_fields),
		cmocka_unit_test(increments_are_numbers_of_the_columns_kind),
		cmocka_unit_test(keys_are_plainly_values_of_their_column),
		cmocka_unit_test(a_binary_key_of_fixed_length_is_padded),
		cmocka_unit_test(a_text_key_is_sure_only_where_its_collation_is_known),
		cmocka_unit_test(only_root_collations_are_plain),
		cmocka_unit_test(a_default_of_zero_and_a_missing_default_are_told_apart),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
