#include "worker/store/lane_lock.h"
#include "worker/store/order.h"
#include "worker/store/own_tables.h"
#include "worker/store/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void
a_lock_name_is_the_same_in_every_release(void **state)
{
	char name[LANE_LOCK_MAX];

	(void)state;
	lane_lock_name("shop", "default/redis/wb:users:0", name);
	assert_string_equal(name, "sluice:ec15d59c815495f15cf449e8b6d4b6b8");
}

static void
the_longest_lane_has_a_lock_name_that_mysql_takes(void **state)
{
	char lane[LANE_NAME_MAX + 1], name[LANE_LOCK_MAX];

	(void)state;
	memset(lane, 'x', LANE_NAME_MAX);
	lane[LANE_NAME_MAX] = '\0';
	lane_lock_name("shop", lane, name);
	assert_int_equal(strlen(name), strlen("sluice:") + 32);
}

static void
schema_and_lane_do_not_run_into_each_other(void **state)
{
	char one[LANE_LOCK_MAX], two[LANE_LOCK_MAX];

	(void)state;
	lane_lock_name("shop", "a/b/c", one);
	lane_lock_name("shopa", "/b/c", two);
	assert_string_not_equal(one, two);
	lane_lock_name("shop", "a/b/d", two);
	assert_string_not_equal(one, two);
}

static void
two_sessions_have_locks_of_their_own(void **state)
{
	char one[SESSION_LOCK_MAX], two[SESSION_LOCK_MAX];

	(void)state;
	session_lock_name(one);
	session_lock_name(two);
	assert_string_not_equal(one, two);
	assert_int_equal(strlen(one), strlen("sluice-session:") + 32);
}

static void
expect_order(const char *text, enum order_kind kind, bool has_position, uint64_t major,
    uint64_t minor)
{
	struct lane_order order;
	char again[ORDER_TEXT];

	assert_true(order_parse(str_of(text), &order));
	assert_int_equal(order.kind, kind);
	assert_int_equal(order.has_position, has_position);
	assert_int_equal(order.position.major, major);
	assert_int_equal(order.position.minor, minor);
	assert_string_equal(order_text(&order, again), text);
}

static void
an_order_reads_back_as_it_was_written(void **state)
{
	(void)state;
	expect_order("resume", ORDER_RESUME, false, 0, 0);
	expect_order("resume 1-0", ORDER_RESUME, true, 1, 0);
	expect_order("skip 1735689600000-3", ORDER_SKIP, true, 1735689600000, 3);
	expect_order("resume 18446744073709551615-18446744073709551615", ORDER_RESUME, true,
	    UINT64_MAX, UINT64_MAX);
	expect_order("ack", ORDER_ACK, false, 0, 0);
}

static void
what_is_no_order_is_refused(void **state)
{
	static const char *const texts[] = { "", "resum", "resume ", "resume  1-0", "resumed",
		"resume x", "resume 1-0 2-0", "skip", "skip ", "skip -1", "ack 1-0", " ack",
		"RESUME", "stop" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct lane_order order = { .kind = ORDER_ACK, .has_position = true };

		assert_false(order_parse(str_of(texts[i]), &order));
		assert_int_equal(order.kind, ORDER_NONE);
	}
}

static void
the_tables_of_the_next_version_are_used_and_of_the_one_after_refused(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(own_tables_check_version(0, &err), 0);
	assert_int_equal(own_tables_check_version(OWN_TABLES_VERSION, &err), 0);
	assert_int_equal(own_tables_check_version(OWN_TABLES_VERSION + 1, &err), 0);
	assert_int_equal(own_tables_check_version(OWN_TABLES_VERSION + 2, &err), -1);
	assert_int_equal(err.class, ERR_FATAL);
	assert_non_null(strstr(err.text, "newer sluice"));
}

static void
the_printed_tables_are_innodb_and_never_dropped(void **state)
{
	static const char *const tables[] = { "sluice_ledger (", "sluice_outbox (",
		"sluice_dead_letter (", "sluice_worker (", "sluice_parked (", "sluice_schema (" };
	struct buf out;
	unsigned engines = 0;

	(void)state;
	buf_init(&out);
	own_tables_print(&out);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		assert_non_null(strstr(out.data, tables[i]));
	for (const char *at = strstr(out.data, "ENGINE=InnoDB"); at != NULL;
	    at = strstr(at + 1, "ENGINE=InnoDB"))
		engines++;
	assert_int_equal(engines, sizeof(tables) / sizeof(tables[0]));
	assert_null(strstr(out.data, "DROP TABLE"));
	buf_deinit(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_name_is_the_same_in_every_release),
		cmocka_unit_test(the_longest_lane_has_a_lock_name_that_mysql_takes),
		cmocka_unit_test(schema_and_lane_do_not_run_into_each_other),
		cmocka_unit_test(two_sessions_have_locks_of_their_own),
		cmocka_unit_test(an_order_reads_back_as_it_was_written),
		cmocka_unit_test(what_is_no_order_is_refused),
		cmocka_unit_test(
		    the_tables_of_the_next_version_are_used_and_of_the_one_after_refused),
		cmocka_unit_test(the_printed_tables_are_innodb_and_never_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
