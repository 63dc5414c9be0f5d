#include "tests/support/event_rig.h"
#include "worker/source/event_row.h"

#include <stdio.h>

#define NO_KEY NULL

/* What the tools write besides rows, and what is theirs in rows. */

static void
columns_named_like_an_envelope_are_a_flattened_row(void **state)
{
	(void)state;
	assert_int_equal(event_rig_take("debezium",
			     "{\"id\":1,\"op\":\"c\",\"source\":\"web\",\"before\":null}", NO_KEY),
	    0);
	assert_int_equal(event_rig_event()->kind, EVENT_ROW);
	assert_int_equal(event_rig_event()->after.count, 4);
}

/* add.headers instead of add.fields; Debezium Server's Redis sink writes their names in capitals. */
static void
headers_say_what_a_flattened_row_is(void **state)
{
	static const struct field headers[] = { { STR("__TABLE"), { STR("\"t\""), VALUE_TEXT } },
		{ STR("__source_db"), { STR("shop"), VALUE_TEXT } },
		{ STR("__op"), { STR("r"), VALUE_TEXT } } };

	(void)state;
	event_rig_start();
	event_rig.message.value = STR("{\"id\":1}");
	event_rig.message.headers = headers;
	event_rig.message.header_count = 3;
	assert_int_equal(event_rig_decode("debezium"), 0);
	assert_text(event_rig_event()->db, "shop");
	assert_text(event_rig_event()->table, "t");
	assert_int_equal(event_rig_event()->op, EVENT_READ);
	/* the row's own come first */
	event_rig.message.value = STR("{\"id\":1,\"__table\":\"u\",\"__op\":\"d\"}");
	assert_int_equal(event_rig_decode("debezium"), 0);
	assert_text(event_rig_event()->table, "u");
	assert_int_equal(event_rig_event()->op, EVENT_DELETE);
}

static void
a_value_that_the_log_does_not_repeat_is_missing(void **state)
{
#define GONE "__debezium_unavailable_value"
	static const char *const values[] = { "\"" GONE "\"",
		"\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"",
		"\"5f5f646562657a69756d5f756e617661696c61626c655f76616c7565\"", "[\"" GONE "\"]" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		snprintf(text, sizeof(text),
		    "{\"op\":\"u\",\"source\":{},\"after\":{\"a\":1,\"b\":%s,\"c\":\"x\"}}",
		    values[i]);
		assert_int_equal(event_rig_take("debezium", text, NO_KEY), 0);
		assert_int_equal(event_rig_event()->after.count, 2);
		assert_true(str_equal(event_rig_event()->after.fields[1].name, STR("c")));
	}
	assert_int_equal(
	    event_rig_take("debezium",
		"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"after\",\"fields\":[{"
		"\"field\":\"b\",\"type\":\"bytes\"}]}]},\"payload\":{\"op\":\"u\",\"source\":{},"
		"\"after\":{\"b\":\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"}}}",
		NO_KEY),
	    0);
	assert_int_equal(event_rig_event()->after.count, 0);
}

static void
what_a_router_adds_to_a_key_is_no_column(void **state)
{
	(void)state;
	assert_int_equal(event_rig_take("debezium", "default",
			     "{\"id\":7,\"__dbz__physicalTableIdentifier\":\"s.d.t_1\"}"),
	    0);
	assert_int_equal(event_rig_event()->key.count, 1);
}

static void
a_key_that_maxwell_did_not_write_harms_no_row(void **state)
{
	static const char *const keys[] = { "{oops", "7", "[\"a\",\"b\",[{\"id\":1}]]", "{}" };

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_int_equal(event_rig_take("maxwell",
				     "{\"database\":\"a\",\"table\":\"b\",\"type\":\"insert\","
				     "\"data\":{\"id\":1}}",
				     keys[i]),
		    0);
		assert_false(event_rig_event()->key.there);
	}
}

static void
a_byte_order_mark_is_ignored(void **state)
{
	static const char *const formats[] = { "debezium", "maxwell", "canal", "dms" };

	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		assert_int_equal(event_rig_take(formats[i], "\xef\xbb\xbf{}", NO_KEY), -1);
		assert_string_equal(event_rig.entry.refusal.reason, REASON_BAD_EVENT);
	}
	assert_int_equal(event_rig_take("debezium", "\xef\xbb\xbf{\"id\":1}", NO_KEY), 0);
	assert_int_equal(event_rig_event()->after.count, 1);
}

static void
definitions_drop_nothing_unless_they_say_so(void **state)
{
	static const struct {
		const char *format, *value;
		enum event_kind kind;
	} table[] = {
		/* a snapshot drops nothing */
		{ "debezium",
		    "{\"databaseName\":\"a\",\"ddl\":\"DROP TABLE IF EXISTS b\",\"tableChanges\":"
		    "[{\"type\":\"DROP\",\"id\":\"\\\"a\\\".\\\"b\\\"\"}],"
		    "\"source\":{\"table\":\"b\",\"snapshot\":\"true\"}}",
		    EVENT_SCHEMA },
		{ "debezium",
		    "{\"databaseName\":\"a\",\"ddl\":\"DROP DATABASE IF EXISTS "
		    "a\",\"tableChanges\":"
		    "[],\"source\":{\"table\":null,\"snapshot\":\"true\"}}",
		    EVENT_SCHEMA },
		{ "debezium",
		    "{\"databaseName\":\"a\",\"ddl\":\"TRUNCATE TABLE b\",\"tableChanges\":[{"
		    "\"type\":\"TRUNCATE\"}],\"source\":{\"table\":\"b\"}}",
		    EVENT_SCHEMA },
		{ "canal",
		    "{\"type\":\"QUERY\",\"isDdl\":true,\"database\":\"\",\"table\":\"\","
		    "\"sql\":\"GRANT …\"}",
		    EVENT_SCHEMA },
		{ "canal", "{\"type\":\"CINDEX\",\"isDdl\":true,\"database\":\"a\"}",
		    EVENT_SCHEMA },
		{ "canal",
		    "{\"type\":\"TIDB_WATERMARK\",\"isDdl\":false,\"database\":\"\","
		    "\"table\":\"\",\"_tidb\":{\"watermarkTs\":1}}",
		    EVENT_HEARTBEAT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (event_rig_take(table[i].format, table[i].value, NO_KEY) != 0)
			fail_msg("%s: %s", table[i].value, event_rig.entry.refusal.text);
		assert_int_equal(event_rig_event()->kind, table[i].kind);
	}
}

static void
assert_dropped(const char *format, const char *value, const char *db, const char *table)
{
	if (event_rig_take(format, value, NO_KEY) != 0)
		fail_msg("%s: %s", value, event_rig.entry.refusal.text);
	assert_int_equal(event_rig_event()->kind, EVENT_DROP);
	assert_true(str_equal(event_rig_event()->db, str_of(db)));
	assert_true(str_equal(event_rig_event()->table, str_of(table)));
}

static void
a_dropped_table_or_database_is_the_one_that_is_named(void **state)
{
#define DROPPED(ddl, changes)                                                                    \
	"{\"databaseName\":\"a\",\"ddl\":\"" ddl "\",\"tableChanges\":[" changes "],\"source\":" \
	"{\"db\":\"a\",\"table\":\"b,c\",\"snapshot\":\"false\"}}"
	(void)state;
	assert_dropped("debezium",
	    DROPPED("DROP TABLE b, c", "{\"type\":\"DROP\",\"id\":\"\\\"a\\\".\\\"c\\\"\"}"), "a",
	    "c");
	assert_dropped("debezium",
	    DROPPED("DROP TABLE b, c",
		"{\"type\":\"DROP\",\"id\":\"\\\"a.x\\\".\\\"q\\\"\\\"t\\\"\"}"),
	    "a.x", "q\"t");
	assert_dropped("debezium", DROPPED("drop  schema if exists a", ""), "a", "");
	assert_dropped("maxwell", "{\"type\":\"database-drop\",\"database\":\"a\",\"ts\":1}", "a",
	    "");
	assert_dropped("canal",
	    "{\"type\":\"QUERY\",\"isDdl\":true,\"database\":\"a\",\"table\":\"\",\"sql\":"
	    "\"drop database a\"}",
	    "a", "");
}

#define CANAL_TYPED(e, s, value)                                                                  \
	"{\"database\":\"a\",\"table\":\"b\",\"type\":\"UPDATE\",\"isDdl\":false,\"mysqlType\":{" \
	"\"id\":"                                                                                 \
	"\"int\",\"e\":\"" e "\",\"s\":\"" s "\"},\"data\":[{\"id\":\"1\"," value                 \
	"}],\"old\":[{" value "}]}"

/* The binlog has the place of an ENUM's member and the bits of a SET, and so has Canal. */
static void
canals_numbers_of_members_are_their_names(void **state)
{
	static const struct {
		const char *e, *s, *wanted_e, *wanted_s;
	} table[] = { { "1", "0", "0", "" }, { "3", "1", "it's", "x" }, { "2", "6", "1", "y,2" },
		{ "4", "8", "4", "8" }, { "0", "7", "", "x,y,2" }, { "it's", "x,2", "it's", "x,2" },
		{ "", "18446744073709551615", "", "18446744073709551615" },
		{ "-1", "1e1", "-1", "1e1" } };
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct event *event;

		snprintf(text, sizeof(text),
		    CANAL_TYPED("enum('0','1','it''s')", "SET('x','y','2')",
			"\"e\":\"%s\",\"s\":\"%s\""),
		    table[i].e, table[i].s, table[i].e, table[i].s);
		assert_int_equal(event_rig_take("canal", text, NO_KEY), 0);
		event = event_rig_event();
		assert_field(&event->after, "e", VALUE_TEXT, table[i].wanted_e);
		assert_field(&event->after, "s", VALUE_TEXT, table[i].wanted_s);
		assert_field(&event->before, "e", VALUE_TEXT, table[i].wanted_e);
		assert_field(&event->after, "id", VALUE_TEXT, "1");
	}
	/* what a backslash means there depends on the server */
	assert_int_equal(event_rig_take("canal",
			     CANAL_TYPED("enum('\\\\','b')", "set('x'", "\"e\":\"1\",\"s\":\"2\""),
			     NO_KEY),
	    0);
	assert_field(&event_rig_event()->after, "e", VALUE_TEXT, "1");
	assert_field(&event_rig_event()->after, "s", VALUE_TEXT, "2");
}

static void
dms_may_bring_the_row_before(void **state)
{
	(void)state;
	assert_int_equal(
	    event_rig_take("dms",
		"{\"data\":{\"id\":2},\"before-image\":{\"id\":1},\"metadata\":{\"record-"
		"type\":\"data\",\"operation\":\"update\",\"schema-name\":\"a\",\"table-"
		"name\":\"b\"}}",
		NO_KEY),
	    0);
	assert_field(&event_rig_event()->before, "id", VALUE_NUMBER, "1");
	assert_field(&event_rig_event()->after, "id", VALUE_NUMBER, "2");
}

static void
maxwells_old_holds_only_what_changed(void **state)
{
	const struct event *event;

	(void)state;
	assert_int_equal(
	    event_rig_take("maxwell",
		"{\"database\":\"a\",\"table\":\"b\",\"type\":\"update\",\"data\":{\"id\":2,"
		"\"n\":9007199254740993,\"d\":1.10},\"old\":{\"id\":1},\"primary_key_columns\":"
		"[\"id\"],\"position\":\"m.1:77\",\"xid\":5}",
		NO_KEY),
	    0);
	event = event_rig_event();
	assert_true(event->before_is_partial);
	assert_int_equal(event->before.count, 1);
	assert_field(&event->before, "id", VALUE_NUMBER, "1");
	assert_field(&event->after, "n", VALUE_NUMBER, "9007199254740993");
	assert_field(&event->after, "d", VALUE_NUMBER, "1.10");
	assert_field(&event->key, "id", VALUE_NUMBER, "2");
	assert_text(event->origin.file, "m.1");
	assert_int_equal(event->origin.pos, 77);
}

/* REPLICA IDENTITY DEFAULT: what isn't in PostgreSQL's log is filled in by the connector. */
static void
a_row_before_that_is_only_filled_in_is_none(void **state)
{
#define PG_DELETE(connector, row)                                              \
	"{\"before\":{\"id\":7," row                                           \
	"},\"after\":null,\"op\":\"d\",\"source\":{\"connector\":\"" connector \
	"\",\"db\":\"shop\",\"schema\":\"public\",\"table\":\"t\"}}"
	static const char *const bare[] = { PG_DELETE("postgresql", "\"name\":null"),
		PG_DELETE("postgresql",
		    "\"name\":\"\",\"n\":0,\"d\":\"AA==\",\"b\":false,\"at\":\"1970-01-01T00:00:"
		    "00Z\"") };
	static const char *const whole[] = { PG_DELETE("postgresql", "\"name\":\"\",\"n\":1"),
		PG_DELETE("mysql", "\"name\":null") };
	static const char typed[] =
	    "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"before\",\"type\":"
	    "\"struct\","
	    "\"fields\":[{\"field\":\"id\",\"type\":\"int32\"},{\"field\":\"name\",\"type\":"
	    "\"string\","
	    "\"default\":\"new\"}]}]},\"payload\":" PG_DELETE("postgresql", "\"name\":\"new\"") "}";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(event_rig_take("debezium", bare[i], "{\"id\":7}"), 0);
		assert_int_equal(event_rig_event()->op, EVENT_DELETE);
		assert_false(event_rig_event()->before.there);
		assert_field(&event_rig_event()->key, "id", VALUE_NUMBER, "7");
		/* nothing tells which columns are the key's */
		assert_int_equal(event_rig_take("debezium", bare[i], NO_KEY), 0);
		assert_true(event_rig_event()->before.there);
		assert_int_equal(event_rig_take("debezium", whole[i], "{\"id\":7}"), 0);
		assert_true(event_rig_event()->before.there);
	}
	assert_int_equal(event_rig_take("debezium", typed, "{\"id\":7}"), 0);
	assert_false(event_rig_event()->before.there);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_before_that_is_only_filled_in_is_none),
		cmocka_unit_test(columns_named_like_an_envelope_are_a_flattened_row),
		cmocka_unit_test(headers_say_what_a_flattened_row_is),
		cmocka_unit_test(a_value_that_the_log_does_not_repeat_is_missing),
		cmocka_unit_test(what_a_router_adds_to_a_key_is_no_column),
		cmocka_unit_test(a_key_that_maxwell_did_not_write_harms_no_row),
		cmocka_unit_test(a_byte_order_mark_is_ignored),
		cmocka_unit_test(definitions_drop_nothing_unless_they_say_so),
		cmocka_unit_test(a_dropped_table_or_database_is_the_one_that_is_named),
		cmocka_unit_test(canals_numbers_of_members_are_their_names),
		cmocka_unit_test(maxwells_old_holds_only_what_changed),
		cmocka_unit_test(dms_may_bring_the_row_before),
	};

	return cmocka_run_group_tests(tests, event_rig_open, event_rig_close);
}
