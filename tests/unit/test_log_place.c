#include "tests/support/event_rig.h"
#include "worker/source/log_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Where a change stands in its server's log, as far as its event tells. */
static struct arena arena;

static struct event
event_at(const char *gtid, const char *file, uint64_t pos)
{
	return (struct event){ .kind = EVENT_ROW,
		.op = EVENT_UPDATE,
		.origin = { .gtid = str_of(gtid),
		    .file = str_of(file),
		    .pos = pos,
		    .server_id = 7,
		    .at_ms = 1000 } };
}

static void
assert_place(const struct event *event, const char *log, uint64_t number)
{
	struct log_place place;

	log_place_of(event, &arena, &place);
	if (!str_equal(place.log, str_of(log)))
		fail_msg("the log is \"%.*s\", not \"%s\"", STR_ARGS(place.log), log);
	if (place.log.len > 0) {
		assert_int_equal(place.number, number);
		assert_int_equal(place.at_ms, 1000);
	}
}

static void
a_gtid_says_log_and_place(void **state)
{
	struct event mysql = event_at("3e11fa47-71ca-11e1-9e33-c80aa9429562:57", "binlog.3", 9);
	struct event tagged = event_at("3e11fa47-71ca-11e1-9e33-c80aa9429562:blue:58", "", 0);
	struct event mariadb = event_at("0-7-18446744073709551615", "binlog.3", 9);

	(void)state;
	assert_place(&mysql, "7/3e11fa47-71ca-11e1-9e33-c80aa9429562", 57);
	assert_place(&tagged, "7/3e11fa47-71ca-11e1-9e33-c80aa9429562:blue", 58);
	assert_place(&mariadb, "7/0-7", UINT64_MAX);
}

static void
without_a_gtid_the_file_s_number_is_above_what_stands_in_it(void **state)
{
	struct event event = event_at("", "mysql-bin.000003", 4294967295U);
	struct event next = event_at("", "mysql-bin.000004", 4);
	struct event longer = event_at("", "mysql-bin.1000000", 4);

	(void)state;
	assert_place(&event, "7/mysql-bin", (uint64_t)4 * 4294967296 - 1);
	assert_place(&next, "7/mysql-bin", (uint64_t)4 * 4294967296 + 4);
	assert_place(&longer, "7/mysql-bin", (uint64_t)1000000 * 4294967296 + 4);
}

/* A place that may be another log's, or later than what it says, would hide a change. */
static void
what_is_not_told_in_full_has_no_place(void **state)
{
	struct event set = event_at("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-57", "binlog.3", 9);
	struct event sets = event_at("a:1,b:57", "binlog.3", 9);
	struct event no_position = event_at("", "binlog.000003", 0);
	struct event no_file = event_at("", "", 9), lsn = event_at("", "28973104", 0);
	struct event too_far = event_at("", "binlog.000003", (uint64_t)UINT32_MAX + 1);
	struct event no_server = event_at("", "binlog.000003", 9), no_time = no_server;
	struct event snapshot = no_server, read = no_server, tombstone = no_server,
		     of_another_unit = no_server;

	(void)state;
	no_server.origin.server_id = 0;
	no_time.origin.at_ms = 0;
	of_another_unit.origin.at_ms = UINT64_C(1000000000000000);
	snapshot.snapshot = true;
	read.op = EVENT_READ;
	tombstone.kind = EVENT_TOMBSTONE;
	assert_place(&set, "", 0);
	assert_place(&sets, "", 0);
	assert_place(&no_position, "", 0);
	assert_place(&no_file, "", 0);
	assert_place(&lsn, "", 0);
	assert_place(&too_far, "", 0);
	assert_place(&no_server, "", 0);
	assert_place(&no_time, "", 0);
	assert_place(&of_another_unit, "", 0);
	assert_place(&snapshot, "", 0);
	assert_place(&read, "", 0);
	assert_place(&tombstone, "", 0);
}

static void
every_tool_that_tells_it_is_understood(void **state)
{
	static const struct {
		const char *format, *message, *log;
		uint64_t number;
	} events[] = {
		{ "debezium",
		    "{\"before\":null,\"after\":{\"id\":1},\"op\":\"c\",\"source\":{\"db\":\"a\","
		    "\"table\":\"b\",\"snapshot\":\"false\",\"server_id\":7,\"gtid\":null,\"file\":"
		    "\"mysql-bin.000003\",\"pos\":154,\"row\":0,\"ts_ms\":1000},\"ts_ms\":5}",
		    "7/mysql-bin", ((uint64_t)3 << 32) + 154 },
		{ "debezium",
		    "{\"before\":{\"id\":1},\"after\":{\"id\":1},\"op\":\"u\",\"source\":{\"db\":"
		    "\"a\","
		    "\"table\":\"b\",\"server_id\":7,\"gtid\":\"0-7-42\",\"file\":\"binlog."
		    "000003\","
		    "\"pos\":154,\"ts_ms\":1000}}",
		    "7/0-7", 42 },
		{ "maxwell",
		    "{\"database\":\"a\",\"table\":\"b\",\"type\":\"update\",\"ts\":1,\"data\":{"
		    "\"id\":2},"
		    "\"old\":{\"id\":1},\"position\":\"master.000006:800911\",\"server_id\":7}",
		    "7/master", ((uint64_t)6 << 32) + 800911 },
		{ "debezium",
		    "{\"before\":null,\"after\":{\"id\":1},\"op\":\"r\",\"source\":{\"db\":\"a\","
		    "\"table\":\"b\",\"snapshot\":\"true\",\"server_id\":7,\"file\":\"mysql-bin."
		    "000003\","
		    "\"pos\":154,\"ts_ms\":1000}}",
		    "", 0 },
		{ "canal",
		    "{\"database\":\"a\",\"table\":\"b\",\"type\":\"INSERT\",\"isDdl\":false,"
		    "\"es\":1000,\"gtid\":\"\",\"pkNames\":[\"id\"],\"data\":[{\"id\":\"1\"}]}",
		    "", 0 },
		{ "dms",
		    "{\"data\":{\"id\":1},\"metadata\":{\"record-type\":\"data\",\"operation\":"
		    "\"update\","
		    "\"schema-name\":\"a\",\"table-name\":\"b\",\"stream-position\":"
		    "\"mysql-bin.000003:154:0\"}}",
		    "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		assert_int_equal(event_rig_take(events[i].format, events[i].message, NULL), 0);
		assert_place(event_rig_event(), events[i].log, events[i].number);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gtid_says_log_and_place),
		cmocka_unit_test(without_a_gtid_the_file_s_number_is_above_what_stands_in_it),
		cmocka_unit_test(what_is_not_told_in_full_has_no_place),
		cmocka_unit_test_setup_teardown(every_tool_that_tells_it_is_understood,
		    event_rig_open, event_rig_close),
	};

	int failed;

	arena_init(&arena, 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_deinit(&arena);
	return failed;
}
