#include "tests/support/event_rig.h"
#include "worker/source/json_tree.h"

#include <stdio.h>
#include <stdlib.h>

#define NO_KEY NULL
/* 10^65 - 1 and its negative, big-endian two's complement in base64 */
#define NINES "APMWJxx/w5CKi+9GTjlF73olNgn//////////w=="
#define MINUS_NINES "/wzp2OOAPG91dBC5sca6EIXayfYAAAAAAAAAAQ=="

static void
assert_refused(int status, const char *reason, const char *words)
{
	assert_int_equal(status, -1);
	assert_string_equal(event_rig.entry.refusal.reason, reason);
	if (strstr(event_rig.entry.refusal.text, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", event_rig.entry.refusal.text, words);
}

/* A create with one column `v` of this schema (without braces) and value. */
static int
typed(const char *type, const char *value)
{
	char text[8192];

	snprintf(text, sizeof(text),
	    "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"struct\",\"fields\":["
	    "{\"field\":\"id\",\"type\":\"int32\"},{\"field\":\"v\",%s}],\"field\":\"after\"}]},"
	    "\"payload\":{\"op\":\"c\",\"after\":{\"id\":1,\"v\":%s},"
	    "\"source\":{\"db\":\"shop\",\"table\":\"t\"}}}",
	    type, value);
	return event_rig_take("debezium", text, NO_KEY);
}

#define DECIMAL(scale)                                                                           \
	"\"type\":\"bytes\",\"name\":\"org.apache.kafka.connect.data.Decimal\",\"parameters\":{" \
	"\"scale\":\"" scale "\"}"
#define TIME(type, name) "\"type\":\"" type "\",\"name\":\"" name "\""
static const struct {
	const char *type, *given;
	enum value_kind kind;
	const char *text;
} typed_table[] = {
	{ DECIMAL("2"), "\"EtaH\"", VALUE_NUMBER, "12345.67" },
	{ DECIMAL("4"), "\"EtaH\"", VALUE_NUMBER, "123.4567" },
	{ DECIMAL("0"), "\"AP//////////\"", VALUE_NUMBER, "18446744073709551615" },
	{ DECIMAL("0"), "\"AQAAAAAAAAAA\"", VALUE_NUMBER, "18446744073709551616" },
	{ DECIMAL("0"), "\"AIAAAAAAAAAA\"", VALUE_NUMBER, "9223372036854775808" },
	{ DECIMAL("0"), "\"ACAAAAAAAAE=\"", VALUE_NUMBER, "9007199254740993" },
	{ DECIMAL("2"), "\"/w==\"", VALUE_NUMBER, "-0.01" },
	{ DECIMAL("2"), "\"AA==\"", VALUE_NUMBER, "0.00" },
	{ DECIMAL("-2"), "\"AQ==\"", VALUE_NUMBER, "100" },
	{ DECIMAL("65"), "\"FJqkSQ==\"", VALUE_NUMBER,
	    "0.00000000000000000000000000000000000000000000000000000000345678921" },
	{ DECIMAL("2"), "18446744073709551615.10", VALUE_NUMBER, "18446744073709551615.10" },
	{ "\"type\":\"struct\",\"name\":\"io.debezium.data.VariableScaleDecimal\"",
	    "{\"scale\":3,\"value\":\"MDk=\"}", VALUE_NUMBER, "12.345" },
	{ "\"type\":\"int64\"", "9223372036854775807", VALUE_NUMBER, "9223372036854775807" },
	{ "\"type\":\"int64\"", "9007199254740991", VALUE_NUMBER, "9007199254740991" },
	{ "\"type\":\"int64\"", "9007199254740993", VALUE_NUMBER, "9007199254740993" },
	{ "\"type\":\"double\"", "1.0E10", VALUE_NUMBER, "1.0E10" },
	{ "\"type\":\"boolean\"", "true", VALUE_BOOL, "true" },
	{ "\"type\":\"bytes\"", "\"AP8QAA==\"", VALUE_BINARY, NULL },
	{ "\"type\":\"bytes\"", "\"\"", VALUE_BINARY, "" },
	{ "\"type\":\"bytes\",\"name\":\"io.debezium.data.Bits\"", "\"BAQEBAQEBAQ=\"", VALUE_NUMBER,
	    "289360691352306692" },
	{ "\"type\":\"bytes\",\"name\":\"io.debezium.data.Bits\"", "\"//////////8=\"", VALUE_NUMBER,
	    "18446744073709551615" },
	{ TIME("int32", "io.debezium.time.Date"), "18460", VALUE_TEXT, "2020-07-17" },
	{ TIME("int32", "io.debezium.time.Date"), "-1", VALUE_TEXT, "1969-12-31" },
	{ TIME("int32", "org.apache.kafka.connect.data.Date"), "-354285", VALUE_TEXT,
	    "1000-01-01" },
	{ TIME("int32", "io.debezium.time.Date"), "2932896", VALUE_TEXT, "9999-12-31" },
	{ TIME("int64", "io.debezium.time.MicroTime"), "64822000000", VALUE_TEXT, "18:00:22" },
	{ TIME("int64", "io.debezium.time.MicroTime"), "-3020399000001", VALUE_TEXT,
	    "-838:59:59.000001" },
	{ TIME("int64", "io.debezium.time.MicroTime"), "3020399000000", VALUE_TEXT, "838:59:59" },
	{ TIME("int64", "io.debezium.time.MicroTime"), "-500000", VALUE_TEXT, "-00:00:00.5" },
	{ TIME("int32", "io.debezium.time.Time"), "1500", VALUE_TEXT, "00:00:01.5" },
	{ TIME("int32", "org.apache.kafka.connect.data.Time"), "86399000", VALUE_TEXT, "23:59:59" },
	{ TIME("int64", "io.debezium.time.Timestamp"), "1595008822123", VALUE_TEXT,
	    "2020-07-17 18:00:22.123" },
	{ TIME("int64", "io.debezium.time.MicroTimestamp"), "1595008822123456", VALUE_TEXT,
	    "2020-07-17 18:00:22.123456" },
	{ TIME("int64", "io.debezium.time.MicroTimestamp"), "-1", VALUE_TEXT,
	    "1969-12-31 23:59:59.999999" },
	{ TIME("int64", "io.debezium.time.NanoTimestamp"), "1595008822123456000", VALUE_TEXT,
	    "2020-07-17 18:00:22.123456" },
	{ TIME("int64", "io.debezium.time.MicroTimestamp"), "253402300799999999", VALUE_TEXT,
	    "9999-12-31 23:59:59.999999" },
	{ TIME("string", "io.debezium.time.ZonedTimestamp"), "\"2020-07-17T18:00:22Z\"", VALUE_TEXT,
	    "2020-07-17T18:00:22Z" },
	{ TIME("string", "io.debezium.time.IsoTime"), "\"10:00:00Z\"", VALUE_TEXT, "10:00:00" },
	{ TIME("string", "io.debezium.time.IsoDate"), "\"2020-07-17Z\"", VALUE_TEXT, "2020-07-17" },
	{ TIME("int32", "io.debezium.time.Year"), "2021", VALUE_NUMBER, "2021" },
	{ TIME("string", "io.debezium.data.Enum"), "\"red\"", VALUE_TEXT, "red" },
	{ TIME("string", "io.debezium.data.EnumSet"), "\"a,b\"", VALUE_TEXT, "a,b" },
	{ TIME("string", "io.debezium.data.Json"), "\"{\\\"k\\\":1}\"", VALUE_TEXT, "{\"k\":1}" },
	{ "\"type\":\"string\"", "\"\\ud83d\\ude00\"", VALUE_TEXT, "\xf0\x9f\x98\x80" },
	{ "\"type\":\"string\"", "null", VALUE_NULL, "" },
};

static void
typed_values_become_what_mysql_reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(typed_table) / sizeof(typed_table[0]); i++) {
		if (typed(typed_table[i].type, typed_table[i].given) != 0)
			fail_msg("%s: %s", typed_table[i].given, event_rig.entry.refusal.text);
		assert_int_equal(event_rig_event()->after.origin, ORIGIN_TYPED);
		if (typed_table[i].text != NULL)
			assert_field(&event_rig_event()->after, "v", typed_table[i].kind,
			    typed_table[i].text);
	}
}

static void
a_decimal_of_65_digits_is_exact(void **state)
{
	(void)state;
	assert_int_equal(typed(DECIMAL("30"), "\"" NINES "\""), 0);
	assert_field(&event_rig_event()->after, "v", VALUE_NUMBER,
	    "99999999999999999999999999999999999.999999999999999999999999999999");
	assert_int_equal(typed(DECIMAL("0"), "\"" MINUS_NINES "\""), 0);
	assert_field(&event_rig_event()->after, "v", VALUE_NUMBER,
	    "-99999999999999999999999999999999999999999999999999999999999999999");
}

static void
typed_bytes_are_exact(void **state)
{
	const struct field *field;

	(void)state;
	assert_int_equal(typed("\"type\":\"bytes\"", "\"AP8QAA==\""), 0);
	field = image_field(&event_rig_event()->after, STR("v"));
	assert_int_equal(field->value.text.len, 4);
	assert_memory_equal(field->value.text.data, "\0\xff\x10\0", 4);
	assert_int_equal(typed("\"type\":\"struct\",\"name\":\"io.debezium.data.geometry.Point\"",
			     "{\"x\":1.0,\"y\":1.0,\"wkb\":\"AQ==\",\"srid\":4326}"),
	    0);
	field = image_field(&event_rig_event()->after, STR("v"));
	assert_int_equal(field->value.text.len, 5);
	assert_memory_equal(field->value.text.data, "\xe6\x10\0\0\x01", 5);
}

static void
a_value_that_contradicts_its_schema_leaves_the_types_to_the_columns(void **state)
{
	static const char *const contradictions[][2] = { { "\"type\":\"int32\"", "\"AQ==\"" },
		{ "\"type\":\"string\"", "1" }, { "\"type\":\"bytes\"", "\"no base64\"" },
		{ TIME("int32", "io.debezium.time.Date"), "\"2020-07-17\"" },
		{ DECIMAL("2"), "\"x\"" } };

	(void)state;
	for (size_t i = 0; i < sizeof(contradictions) / sizeof(contradictions[0]); i++) {
		assert_int_equal(typed(contradictions[i][0], contradictions[i][1]), 0);
		assert_int_equal(event_rig_event()->after.origin, ORIGIN_UNTYPED);
		assert_int_equal(event_rig_event()->after.count, 2);
	}
}

/* Read as the column's unit it would be another time. */
static void
a_time_outside_its_types_range_is_refused(void **state)
{
	static const char *const times[][2] = { { TIME("int64", "io.debezium.time.Timestamp"),
						    "253402300800000" },
		{ TIME("int64", "io.debezium.time.MicroTimestamp"), "9223372036854775807" },
		{ TIME("int32", "io.debezium.time.Time"), "3100000000" },
		{ TIME("int32", "io.debezium.time.Date"), "2932897" } };

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_refused(typed(times[i][0], times[i][1]), REASON_BAD_VALUE,
		    "outside the range");
}

static void
rows_flattened_are_rows(void **state)
{
	const struct event *event;

	(void)state;
	assert_int_equal(event_rig_take("debezium",
			     "{\"id\":1,\"n\":\"x\",\"__deleted\":\"false\",\"__op\":\"u\",\"__"
			     "table\":"
			     "\"t\",\"__source_db\":\"shop\"}",
			     "{\"id\":1}"),
	    0);
	event = event_rig_event();
	assert_int_equal(event->kind, EVENT_ROW);
	assert_int_equal(event->op, EVENT_UPDATE);
	assert_text(event->db, "shop");
	assert_text(event->table, "t");
	/* whether the others are columns is the table's to say */
	assert_int_equal(event->after.count, 5);
	assert_true(event->after.flattened);
	assert_int_equal(event_rig_take("debezium", "{\"id\":1,\"__deleted\":true}", NO_KEY), 0);
	assert_int_equal(event_rig_event()->op, EVENT_DELETE);
	assert_true(event_rig_event()->before.there);
	assert_int_equal(event_rig_take("debezium", "{\"id\":1,\"__op\":\"d\"}", NO_KEY), 0);
	assert_int_equal(event_rig_event()->op, EVENT_DELETE);
	assert_int_equal(event_rig_take("debezium", "{\"id\":1}", NO_KEY), 0);
	assert_int_equal(event_rig_event()->op, EVENT_UPDATE);
	/* with a schema block its columns are the schema's own */
	assert_int_equal(
	    event_rig_take("debezium",
		"{\"schema\":{\"type\":\"struct\",\"fields\":[{\"field\":\"d\",\"type\":"
		"\"int32\",\"name\":\"io.debezium.time.Date\"}]},\"payload\":{\"d\":0}}",
		NO_KEY),
	    0);
	assert_field(&event_rig_event()->after, "d", VALUE_TEXT, "1970-01-01");
}

static void
a_tombstone_has_many_spellings(void **state)
{
	static const char *const spellings[] = { NULL, "", "default", "null",
		"{\"schema\":null,\"payload\":null}", " null " };

	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		assert_int_equal(event_rig_take("debezium", spellings[i], "{\"id\":7}"), 0);
		assert_int_equal(event_rig_event()->kind, EVENT_TOMBSTONE);
		assert_field(&event_rig_event()->key, "id", VALUE_NUMBER, "7");
	}
	assert_int_equal(event_rig_take("debezium", "default", "default"), 0);
	assert_int_equal(event_rig_event()->kind, EVENT_TOMBSTONE);
	assert_false(event_rig_event()->key.there);
	assert_int_equal(event_rig_take("maxwell", "", NO_KEY), 0);
	assert_int_equal(event_rig_event()->kind, EVENT_TOMBSTONE);
}

static void
what_is_no_row_is_recognised(void **state)
{
	static const struct {
		const char *format, *value;
		enum event_kind kind;
	} table[] = {
		{ "debezium", "{\"ts_ms\":1,\"ts_us\":1000,\"ts_ns\":1000000}", EVENT_HEARTBEAT },
		{ "debezium", "{\"schema\":{\"type\":\"struct\"},\"payload\":{\"ts_ms\":1}}",
		    EVENT_HEARTBEAT },
		{ "debezium", "{\"op\":\"m\",\"source\":{},\"message\":{}}", EVENT_CONTROL },
		{ "debezium", "{\"op\":\"t\",\"source\":{\"db\":\"a\",\"table\":\"b\"}}",
		    EVENT_TRUNCATE },
		{ "debezium",
		    "{\"databaseName\":\"a\",\"ddl\":\"DROP TABLE b\",\"tableChanges\":[{\"type\":"
		    "\"DROP\"}],\"source\":{\"table\":\"b\"}}",
		    EVENT_DROP },
		{ "maxwell",
		    "{\"type\":\"table-drop\",\"database\":\"a\",\"table\":\"b\",\"ts\":1}",
		    EVENT_DROP },
		{ "maxwell",
		    "{\"type\":\"table-create\",\"database\":\"a\",\"table\":\"b\",\"def\":{}}",
		    EVENT_SCHEMA },
		{ "maxwell",
		    "{\"type\":\"bootstrap-complete\",\"database\":\"a\",\"table\":\"b\",\"data\":{"
		    "}}",
		    EVENT_MARKER },
		{ "canal",
		    "{\"type\":\"TRUNCATE\",\"isDdl\":true,\"database\":\"a\",\"table\":\"b\","
		    "\"data\":null}",
		    EVENT_TRUNCATE },
		{ "canal",
		    "{\"type\":\"ERASE\",\"isDdl\":true,\"database\":\"a\",\"table\":\"b\","
		    "\"data\":"
		    "null}",
		    EVENT_DROP },
		{ "dms",
		    "{\"control\":{},\"metadata\":{\"record-type\":\"control\",\"operation\":"
		    "\"drop-"
		    "table\",\"schema-name\":\"a\",\"table-name\":\"b\"}}",
		    EVENT_DROP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (event_rig_take(table[i].format, table[i].value, NO_KEY) != 0)
			fail_msg("%s: %s", table[i].value, event_rig.entry.refusal.text);
		assert_int_equal(event_rig_event()->kind, table[i].kind);
	}
}

static void
an_incremental_snapshot_is_a_snapshot(void **state)
{
	(void)state;
	assert_int_equal(event_rig_take("debezium",
			     "{\"op\":\"r\",\"after\":{\"id\":1},\"source\":{\"db\":\"a\","
			     "\"table\":\"b\","
			     "\"snapshot\":\"incremental\"}}",
			     NO_KEY),
	    0);
	assert_true(event_rig_event()->snapshot);
	assert_int_equal(
	    event_rig_take("debezium",
		"{\"op\":\"u\",\"after\":{\"id\":1},\"source\":{\"snapshot\":\"false\"}}", NO_KEY),
	    0);
	assert_false(event_rig_event()->snapshot);
	/* an update or deletion is none, whatever mark it carries */
	assert_int_equal(
	    event_rig_take("debezium",
		"{\"op\":\"u\",\"after\":{\"id\":1},\"source\":{\"snapshot\":\"last\"}}", NO_KEY),
	    0);
	assert_false(event_rig_event()->snapshot);
	assert_int_equal(event_rig_take("debezium",
			     "{\"op\":\"c\",\"after\":{\"id\":1},\"source\":{\"snapshot\":true}}",
			     NO_KEY),
	    0);
	assert_true(event_rig_event()->snapshot);
}

static void
a_wrong_format_is_named(void **state)
{
#define MAXWELL "{\"database\":\"a\",\"table\":\"b\",\"type\":\"insert\",\"data\":{\"id\":1}}"
#define CANAL \
	"{\"database\":\"a\",\"table\":\"b\",\"type\":\"INSERT\",\"isDdl\":false,\"data\":[{}]}"
#define DEBEZIUM "{\"op\":\"c\",\"after\":{\"id\":1},\"source\":{\"db\":\"a\",\"table\":\"b\"}}"
#define DMS "{\"data\":{\"id\":1},\"metadata\":{\"record-type\":\"data\",\"operation\":\"insert\"}}"
	static const struct {
		const char *format, *value, *words;
	} table[] = {
		{ "debezium", MAXWELL, "set the source's format to maxwell" },
		{ "debezium", CANAL, "set the source's format to canal" },
		{ "debezium", DMS, "set the source's format to dms" },
		{ "maxwell", DEBEZIUM, "set the source's format to debezium" },
		{ "maxwell", "{\"schema\":null,\"payload\":{\"op\":\"c\"}}",
		    "set the source's format to debezium" },
		{ "maxwell", CANAL, "set the source's format to canal" },
		{ "canal", MAXWELL, "set the source's format to maxwell" },
		{ "canal", DMS, "set the source's format to dms" },
		{ "dms", DEBEZIUM, "set the source's format to debezium" },
		{ "debezium", "{\"_op\":\"delete\",\"id\":1}", "set the source's format to json" },
		{ "debezium", "{\"specversion\":\"1.0\",\"data\":{}}", "CloudEvents" },
		{ "debezium", "Struct{id=1}", "JsonConverter" },
		{ "canal", "\x08\x01\x10", "canal.mq.flatMessage" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_refused(event_rig_take(table[i].format, table[i].value, NO_KEY),
		    REASON_WRONG_FORMAT, table[i].words);
	event_rig_start();
	event_rig.message.value = (struct str){ "\0\0\0\0\x01x", 6 };
	assert_refused(event_rig_decode("debezium"), REASON_WRONG_FORMAT, "Avro or Protobuf");
}

static void
a_broken_event_is_refused_without_its_values(void **state)
{
	static const char *const table[][3] = {
		{ "debezium", "{\"op\":\"c\",\"source\":{}}", "no row after" },
		{ "debezium", "{\"op\":\"d\",\"source\":{}}", "neither a row before nor a key" },
		{ "debezium", "{\"op\":\"secret\",\"source\":{}}", "op is not one of" },
		{ "debezium", "{\"op\":\"c\",\"after\":[],\"source\":{}}", "not an object" },
		{ "debezium", "{\"op\":\"c\",\"after\":\"{}\",\"source\":{}}", "MongoDB" },
		{ "debezium", "[1]", "not an object" },
		{ "debezium", "\"secret\"", "not an object" },
		{ "debezium", "{}", "without columns" },
		{ "maxwell", "{\"database\":\"a\",\"table\":\"b\",\"type\":\"insert\"}", "no row" },
		{ "maxwell", "{\"table\":\"b\",\"type\":\"insert\",\"data\":{\"id\":1}}",
		    "database or table" },
		{ "maxwell", "{\"database\":\"a\",\"table\":\"b\",\"type\":\"secret\",\"data\":{}}",
		    "type is none" },
		{ "maxwell",
		    "{\"database\":\"a\",\"table\":\"b\",\"type\":\"insert\",\"encrypted\":{"
		    "\"bytes\":\"secret\"}}",
		    "is encrypted" },
		{ "maxwell", "{\"encrypted\":{\"bytes\":\"secret\"}}", "is encrypted" },
		{ "canal",
		    "{\"database\":\"a\",\"table\":\"b\",\"type\":\"insert\",\"data\":[{"
		    "\"id\":\"1\"}]}",
		    "type is none that Canal writes" },
		{ "canal", "{\"database\":\"a\",\"type\":\"ERASE\",\"isDdl\":true}",
		    "database or table" },
		{ "canal", "{\"database\":\"a\",\"type\":\"INSERT\",\"data\":[{}]}",
		    "database or table" },
		{ "canal", "{\"database\":\"a\",\"table\":\"b\",\"type\":\"INSERT\",\"data\":null}",
		    "not a list" },
		{ "canal", "{\"database\":\"a\",\"table\":\"b\",\"type\":\"INSERT\",\"data\":[1]}",
		    "not an object" },
		{ "dms", "{\"data\":{\"id\":1}}", "metadata is missing" },
		{ "dms",
		    "{\"data\":{\"id\":1},\"metadata\":{\"record-type\":\"data\",\"operation\":"
		    "\"secret\"}}",
		    "operation is not one of" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_refused(event_rig_take(table[i][0], table[i][1], NO_KEY), REASON_BAD_EVENT,
		    table[i][2]);
		assert_null(strstr(event_rig.entry.refusal.text, "secret"));
	}
}

static void
hostile_json_is_refused(void **state)
{
	enum { DEEP = 10000 };
	char *text = malloc(2 * DEEP + 200);
	size_t len;

	(void)state;
	assert_non_null(text);
	len = (size_t)sprintf(text, "{\"op\":\"c\",\"source\":{},\"after\":{\"id\":1,\"v\":");
	memset(text + len, '[', DEEP);
	memset(text + len + DEEP, ']', DEEP);
	memcpy(text + len + 2 * DEEP, "}}", 3);
	assert_refused(event_rig_take("debezium", text, NO_KEY), REASON_BAD_JSON, "nested deeper");
	memset(text, '[', DEEP);
	text[DEEP] = '\0';
	assert_refused(event_rig_take("canal", text, NO_KEY), REASON_BAD_JSON, "not JSON");
	free(text);
	assert_refused(event_rig_take("debezium", "{\"id\":\"\xff\"}", NO_KEY), REASON_BAD_JSON,
	    "not JSON");
	assert_refused(event_rig_take("debezium", "{\"id\":\"\\ud83d\"}", NO_KEY), REASON_BAD_JSON,
	    "not JSON");
	assert_refused(event_rig_take("maxwell", "{\"id\":1,}", NO_KEY), REASON_BAD_JSON,
	    "not JSON");
}

static void
a_blob_of_a_megabyte_is_exact(void **state)
{
	enum { BYTES = 1 << 20 };
	static const char head[] = "{\"op\":\"c\",\"source\":{},\"after\":{\"v\":\"";
	char *text = malloc(BYTES + 100);

	(void)state;
	assert_non_null(text);
	memcpy(text, head, sizeof(head) - 1);
	memset(text + sizeof(head) - 1, 'A', BYTES);
	memcpy(text + sizeof(head) - 1 + BYTES, "\"}}", 4);
	assert_int_equal(event_rig_take("debezium", text, NO_KEY), 0);
	assert_int_equal(event_rig_event()->after.fields[0].value.text.len, BYTES);
	assert_memory_equal(event_rig_event()->after.fields[0].value.text.data,
	    text + sizeof(head) - 1, BYTES);
	free(text);
}

/* The parser's tree of the list outgrows what it was begun in, and the event behind finds that free. */
static void
a_list_of_many_values_is_exact(void **state)
{
	enum { VALUES = 3000 };
	char *list = malloc(2 * VALUES + 2), *value = malloc(2 * VALUES + 100);

	(void)state;
	assert_true(list != NULL && value != NULL);
	for (size_t i = 0; i < VALUES; i++)
		memcpy(list + 2 * i, i == 0 ? "[1" : ",1", 2);
	memcpy(list + 2 * VALUES, "]", 2);
	for (int i = 0; i < 3; i++) {
		snprintf(value, 2 * VALUES + 100,
		    "{\"op\":\"c\",\"source\":{},\"after\":{\"a\":%s}}", list);
		assert_int_equal(event_rig_take("debezium", value, "{\"id\":1}"), 0);
		assert_field(&event_rig_event()->after, "a", VALUE_JSON, list);
		assert_int_equal(event_rig_take("debezium",
				     "{\"op\":\"c\",\"source\":{},\"after\":{\"a\":7}}", NO_KEY),
		    0);
		assert_field(&event_rig_event()->after, "a", VALUE_NUMBER, "7");
	}
	free(value);
	free(list);
}

static int
take_alone(const char *value, const char *key)
{
	event_rig_start();
	event_rig.message.value = str_of(value);
	event_rig.message.key = str_of(key);
	event_rig.message.rows_alone = true;
	event_rig.message.no_origin = true;
	return event_rig_decode("debezium");
}

static void
a_key_is_taken_where_the_rows_do_not_say_it(void **state)
{
	static const struct {
		const char *value;
		bool taken;
	} table[] = {
		{ "{\"op\":\"c\",\"source\":{},\"before\":null,\"after\":{\"id\":7}}", false },
		{ "{\"op\":\"r\",\"source\":{},\"before\":null,\"after\":{\"id\":7}}", false },
		{ "{\"op\":\"u\",\"source\":{},\"before\":{\"id\":7},\"after\":{\"id\":7}}",
		    false },
		{ "{\"op\":\"u\",\"source\":{},\"before\":null,\"after\":{\"id\":7}}", true },
		{ "{\"op\":\"d\",\"source\":{},\"before\":{\"id\":7},\"after\":null}", false },
		{ "{\"op\":\"d\",\"source\":{},\"before\":null,\"after\":null}", true },
		{ "{\"id\":7,\"a\":1}", true },
		{ "null", true },
		{ "", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(take_alone(table[i].value, "{\"id\":7}"), 0);
		assert_int_equal(event_rig_event()->key.there, table[i].taken);
	}
	assert_refused(take_alone(table[5].value, ""), REASON_BAD_EVENT, "nor a key");
}

static void
halves_of_a_move_are_known_though_their_rows_are_there(void **state)
{
	struct field header = { STR("__debezium.newkey"), { STR("{\"id\":8}"), VALUE_TEXT } };

	(void)state;
	event_rig_start();
	event_rig.message.value =
	    STR("{\"op\":\"d\",\"source\":{},\"before\":{\"id\":7},\"after\":null}");
	event_rig.message.key = STR("{\"id\":7}");
	event_rig.message.rows_alone = true;
	event_rig.message.headers = &header;
	event_rig.message.header_count = 1;
	assert_int_equal(event_rig_decode("debezium"), 0);
	assert_false(event_rig_event()->key.there);
	assert_field(&event_rig_event()->new_key, "id", VALUE_NUMBER, "8");
}

static void
an_origin_that_nobody_asks_for_leaves_table_and_snapshot(void **state)
{
	static const char value[] =
	    "{\"op\":\"c\",\"after\":{\"id\":7},\"source\":{\"db\":\"shop\",\"table\":\"t\","
	    "\"snapshot\":\"true\",\"file\":\"b.1\",\"pos\":77,\"server_id\":5,\"ts_ms\":9}}";

	(void)state;
	assert_int_equal(event_rig_take("debezium", value, NO_KEY), 0);
	assert_text(event_rig_event()->origin.file, "b.1");
	assert_int_equal(event_rig_event()->origin.pos, 77);
	assert_int_equal(event_rig_event()->origin.at_ms, 9);
	assert_int_equal(take_alone(value, NO_KEY), 0);
	assert_text(event_rig_event()->db, "shop");
	assert_text(event_rig_event()->table, "t");
	assert_true(event_rig_event()->snapshot);
	assert_int_equal(event_rig_event()->origin.file.len, 0);
	assert_int_equal(event_rig_event()->origin.pos, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typed_values_become_what_mysql_reads),
		cmocka_unit_test(a_decimal_of_65_digits_is_exact),
		cmocka_unit_test(typed_bytes_are_exact),
		cmocka_unit_test(
		    a_value_that_contradicts_its_schema_leaves_the_types_to_the_columns),
		cmocka_unit_test(a_time_outside_its_types_range_is_refused),
		cmocka_unit_test(rows_flattened_are_rows),
		cmocka_unit_test(a_tombstone_has_many_spellings),
		cmocka_unit_test(what_is_no_row_is_recognised),
		cmocka_unit_test(an_incremental_snapshot_is_a_snapshot),
		cmocka_unit_test(a_wrong_format_is_named),
		cmocka_unit_test(a_broken_event_is_refused_without_its_values),
		cmocka_unit_test(hostile_json_is_refused),
		cmocka_unit_test(a_blob_of_a_megabyte_is_exact),
		cmocka_unit_test(a_list_of_many_values_is_exact),
		cmocka_unit_test(a_key_is_taken_where_the_rows_do_not_say_it),
		cmocka_unit_test(halves_of_a_move_are_known_though_their_rows_are_there),
		cmocka_unit_test(an_origin_that_nobody_asks_for_leaves_table_and_snapshot),
	};

	return cmocka_run_group_tests(tests, event_rig_open, event_rig_close);
}
