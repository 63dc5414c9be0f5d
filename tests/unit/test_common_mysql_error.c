/* mysql_error, and the parts of mysql that need no server */
#include "common/mysql.h"
#include "common/mysql_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
expect_text(int code, const char *message, const char *expected)
{
	char out[512];

	sql_error_text(code, message, out, sizeof(out));
	assert_string_equal(out, expected);
}

static void
a_deadlock_is_retried_and_so_is_what_nobody_knows(void **state)
{
	const int codes[] = { 1205, 1213, 1040, 1290, 1836, 1317, 1927, 2002, 2006, 2013, 2055,
		3024, 0, 9999, -1 };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(sql_class(codes[i]), ERR_RETRY);
}

static void
a_data_error_is_poison(void **state)
{
	const int codes[] = { 1048, 1062, 1264, 1364, 1366, 1406, 1452, 3140, 3819, 4025 };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(sql_class(codes[i]), ERR_POISON);
}

static void
what_somebody_must_change_first_is_fatal(void **state)
{
	const int codes[] = { 1044, 1045, 1049, 1142, 1146, 1227 };

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(sql_class(codes[i]), ERR_FATAL);
}

static void
what_is_wrong_with_a_query_is_told_from_the_servers_state(void **state)
{
	/* columns, syntax, rights, subqueries, collations */
	const int own[] = { 1052, 1054, 1060, 1064, 1142, 1146, 1241, 1242, 1267, 1305, 1690 };
	/* full, locked, limits, time-outs, read-only, connection, what a proxy says */
	const int servers[] = { 1021, 1040, 1053, 1105, 1205, 1213, 1226, 1290, 1317, 1836, 1927,
		1969, 2006, 2013, 3024, 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		assert_true(sql_is_statements_fault(own[i]));
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		assert_false(sql_is_statements_fault(servers[i]));
}

static void
a_lost_connection_is_told_from_a_refused_statement(void **state)
{
	(void)state;
	assert_true(sql_error_is_connection(2013));
	assert_true(sql_error_is_connection(1927));
	assert_false(sql_error_is_connection(1213));
	assert_false(sql_error_is_connection(1062));
}

static void
a_message_loses_its_value_and_keeps_its_names(void **state)
{
	(void)state;
	expect_text(1062, "Duplicate entry 'bob@x' for key 'users.email'",
	    "Duplicate entry '...' for key 'users.email'");
	expect_text(1406, "Data too long for column 'name' at row 1",
	    "Data too long for column 'name' at row 1");
	expect_text(1366, "Incorrect integer value: 'abc' for column `d`.`t`.`n` at row 1",
	    "Incorrect integer value: '...' for column `d`.`t`.`n` at row 1");
	expect_text(1366, "Incorrect integer value: 'abc' for column 'n' at row 1",
	    "Incorrect integer value: '...' for column 'n' at row 1");
	expect_text(1054, "Unknown column 'nme' in 'field list'", "Unknown column 'nme' in '...'");
	expect_text(1364, "Field 'email' doesn't have a default value",
	    "Field 'email' doesn't have a default value");
	expect_text(1292, "Truncated incorrect DOUBLE value: 'x'",
	    "Truncated incorrect DOUBLE value: '...'");
	expect_text(1690, "BIGINT UNSIGNED value is out of range in '(`d`.`t`.`n` - 5)'",
	    "BIGINT UNSIGNED value is out of range in '...'");
	expect_text(3819, "Check constraint 'positive' is violated.",
	    "Check constraint 'positive' is violated.");
}

static void
a_value_full_of_quotes_does_not_leak(void **state)
{
	(void)state;
	expect_text(1062, "Duplicate entry 'a' for key 'secret' for key 'users.email'",
	    "Duplicate entry '...' for key 'users.email'");
	expect_text(1292, "Truncated incorrect DOUBLE value: 'a' for column 'secret'",
	    "Truncated incorrect DOUBLE value: '...'");
	expect_text(1300, "Invalid utf8mb4 character string: 'it's column 'secret''",
	    "Invalid utf8mb4 character string: '...'");
	expect_text(1064, "... near 'VALUES ('x','secret')' at line 1", "... near '...' at line 1");
}

static void
a_message_cut_inside_its_value_does_not_leak(void **state)
{
	char message[512] = "Incorrect string value: 'it's ", out[512];
	size_t len = strlen(message);

	(void)state;
	memset(message + len, 's', sizeof(message) - len - 1);
	message[sizeof(message) - 1] = '\0';
	sql_error_text(1366, message, out, sizeof(out));
	assert_string_equal(out, "Incorrect string value: '...'");
}

static void
an_odd_quote_is_survived(void **state)
{
	(void)state;
	expect_text(1105, "", "");
	expect_text(1105, "'", "'...'");
	expect_text(1105, "no key '", "no key '");
	expect_text(1105, "column 'x", "column 'x");
}

static void
who_was_denied_is_said(void **state)
{
	(void)state;
	expect_text(1045, "Access denied for user 'app'@'h' (using password: YES)",
	    "Access denied for user 'app'@'h' (using password: YES)");
	expect_text(2003, "Can't connect to server on 'db' (111)",
	    "Can't connect to server on 'db' (111)");
}

static void
a_trigger_s_own_number_is_a_refusal(void **state)
{
	(void)state;
	assert_int_equal(sql_error_code(31001, "45000"), 1644);
	assert_int_equal(sql_error_code(2013, "45000"), 1644);
	assert_int_equal(sql_error_code(1213, "45000"), 1644);
	assert_int_equal(sql_error_code(1213, "40001"), 1213);
	assert_int_equal(sql_error_code(2013, "HY000"), 2013);
	assert_int_equal(sql_class(1644), ERR_POISON);
}

static void
a_value_cannot_end_its_quotes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	sql_add_text(&b, (struct str){ "a'b\\c\"\0\n\r\x1a%", 11 });
	assert_string_equal(b.data, "'a\\'b\\\\c\"\\0\\n\\r\\Z%'");
	buf_reset(&b);
	sql_add_binary(&b, (struct str){ "\xff'", 2 });
	assert_string_equal(b.data, "_binary'\xff\\''");
	buf_reset(&b);
	sql_add_text(&b, (struct str){ NULL, 0 });
	assert_string_equal(b.data, "''");
	buf_reset(&b);
	sql_add_identifier(&b, STR("a`b"));
	assert_string_equal(b.data, "`a``b`");
	buf_deinit(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_deadlock_is_retried_and_so_is_what_nobody_knows),
		cmocka_unit_test(a_data_error_is_poison),
		cmocka_unit_test(what_somebody_must_change_first_is_fatal),
		cmocka_unit_test(what_is_wrong_with_a_query_is_told_from_the_servers_state),
		cmocka_unit_test(a_lost_connection_is_told_from_a_refused_statement),
		cmocka_unit_test(a_message_loses_its_value_and_keeps_its_names),
		cmocka_unit_test(a_value_full_of_quotes_does_not_leak),
		cmocka_unit_test(a_message_cut_inside_its_value_does_not_leak),
		cmocka_unit_test(an_odd_quote_is_survived),
		cmocka_unit_test(who_was_denied_is_said),
		cmocka_unit_test(a_trigger_s_own_number_is_a_refusal),
		cmocka_unit_test(a_value_cannot_end_its_quotes),
	};

	return cmocka_run_group_tests_name("common mysql error", tests, NULL, NULL);
}
