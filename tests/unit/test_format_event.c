#include "common/err.h"
#include "tests/support/table_make.h"
#include "worker/lane.h"
#include "worker/source/source.h"
#include "worker/store/resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* Change events in entries: decoded, resolved against tables, moves split. */
static const struct made_column users[] = { { "id", "bigint(20)", NULL, false, true, NULL },
	{ "name", "varchar(32)", "NULL", true, false, NULL },
	{ "note", "varchar(32)", NULL, false, false, NULL },
	{ "made", "date", "NULL", true, false, NULL },
	{ "__v", "int(11)", "NULL", true, false, NULL }, { 0 } };
static const struct made_column items[] = { { "id", "bigint(20) unsigned", NULL, false, true,
						NULL },
	{ "n", "int(11)", "NULL", true, false, NULL },
	{ "ver", "bigint(20)", "NULL", true, false, NULL }, { 0 } };
static struct config_table configs[2];
static struct table tables[2];
static struct schema *schema;
static struct resolver resolver;
static struct arena arena;
static struct config_source source;
static struct lane lane;
static struct field raw[8];
static struct entry entry;

static int
open_all(void **state)
{
	(void)state;
	configs[0] = (struct config_table){ .name = "users", .fold = true };
	configs[1] = (struct config_table){
		.name = "items", .fold = true, .version = VERSION_GIVEN, .version_column = "ver"
	};
	table_make(&tables[0], &configs[0], users);
	table_make(&tables[1], &configs[1], items);
	schema = schema_of_tables(NULL, tables, 2);
	arena_init(&arena, 1 << 16);
	resolver_init(&resolver);
	return 0;
}

static int
close_all(void **state)
{
	(void)state;
	resolver_deinit(&resolver);
	arena_deinit(&arena);
	schema_free(&schema);
	return 0;
}

static int
start(void **state)
{
	static const char *names[] = { "users", "items" };

	(void)state;
	source = (struct config_source){ .write = true,
		.format = FORMAT_DEBEZIUM,
		.tables = names,
		.listed = names,
		.table_count = 2,
		.operations = OPERATION_ALL,
		.apply_snapshots = true };
	lane.source = &source;
	lane.stream = "shop.shop.users";
	return 0;
}

/* An entry of names and values in turn, up to NULL, decoded and resolved. */
static int
take(const char *first, ...)
{
	va_list ap;

	arena_reset(&arena);
	resolver_start(&resolver, schema, &arena);
	entry = (struct entry){ .lane = &lane, .raw = raw };
	va_start(ap, first);
	for (const char *name = first; name != NULL; name = va_arg(ap, const char *)) {
		raw[entry.raw_count].name = str_of(name);
		raw[entry.raw_count].value.text = str_of(va_arg(ap, const char *));
		raw[entry.raw_count++].value.kind = VALUE_TEXT;
	}
	va_end(ap);
	if (format_decode(&entry, &arena, NULL) < 0)
		return -1;
	for (size_t i = 0; i < entry.change_count; i++)
		if (resolve_change(&resolver, &entry, &entry.changes[i]) < 0)
			return -1;
	return resolve_moves(&resolver, &entry);
}

static const char *
envelope(const char *db, const char *table, const char *op, const char *before, const char *after)
{
	static char texts[4][512];
	static unsigned next;
	char *text = texts[next++ % 4];

	snprintf(text, sizeof(texts[0]),
	    "{\"op\":\"%s\",\"before\":%s,\"after\":%s,\"source\":{\"db\":\"%s\",\"table\":\"%s\"}"
	    "}",
	    op, before, after, db, table);
	return text;
}

static const struct change *
taken(size_t count, size_t i)
{
	if (entry.refusal.text != NULL)
		fail_msg("refused: %s", entry.refusal.text);
	assert_int_equal(entry.change_count, count);
	return &entry.changes[i];
}

static void
assert_change(const struct change *change, enum change_op op, const char *table, const char *key)
{
	assert_int_equal(change->op, op);
	assert_string_equal(change->table->name, table);
	assert_int_equal(change->key[0].text.len, strlen(key));
	assert_memory_equal(change->key[0].text.data, key, strlen(key));
}

static void
assert_value(const struct change *change, const char *column, enum value_kind kind,
    const char *text)
{
	for (unsigned i = 0; i < change->shape->count; i++) {
		if (strcmp(change->table->columns[change->shape->columns[i].column].name, column) !=
		    0)
			continue;
		assert_int_equal(change->values[i].kind, kind);
		assert_int_equal(change->values[i].text.len, strlen(text));
		assert_memory_equal(change->values[i].text.data, text, strlen(text));
		return;
	}
	fail_msg("%s is not set", column);
}

static void
assert_passed(const char *word)
{
	assert_null(entry.refusal.text);
	assert_int_equal(entry.change_count, 0);
	assert_non_null(entry.passed);
	assert_string_equal(entry.passed, word);
}

static void
assert_refused(int status, const char *reason, const char *words)
{
	assert_int_equal(status, -1);
	assert_string_equal(entry.refusal.reason, reason);
	if (strstr(entry.refusal.text, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", entry.refusal.text, words);
}

static void
each_layout_carries_an_event(void **state)
{
	static const char create[] =
	    "{\"op\":\"c\",\"after\":{\"id\":1,\"made\":18460},\"source\":{"
	    "\"db\":\"shop\",\"table\":\"users\"}}";

	(void)state;
	assert_int_equal(take("{\"id\":1}", create, NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	assert_value(taken(1, 0), "made", VALUE_TEXT, "2020-07-17");
	assert_int_equal(take("key", "{\"id\":1}", "value", create, "__DEBEZIUM.CONTEXT.TASK", "0",
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	assert_int_equal(take("default", create, NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	source.field = "body";
	assert_int_equal(take("x", "y", "body", create, NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	assert_refused(take("x", "y", NULL), REASON_BAD_EVENT, "no field body");
	source.field = NULL;
	assert_refused(take("id", "1", "name", "x", NULL), REASON_WRONG_FORMAT, "flat fields");
	source.format = FORMAT_MAXWELL;
	assert_int_equal(take("message",
			     "{\"database\":\"shop\",\"table\":\"users\",\"type\":\"delete\","
			     "\"data\":{"
			     "\"id\":7}}",
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_DELETE, "users", "7");
}

static void
an_event_goes_to_the_table_listed_as_db_and_table_else_as_table(void **state)
{
	static const char *listed[] = { "shop.users", "items" };

	(void)state;
	source.listed = listed;
	assert_int_equal(take("k", envelope("shop", "users", "c", "null", "{\"id\":1}"), NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	take("k", envelope("other", "users", "c", "null", "{\"id\":1}"), NULL);
	assert_passed(PASSED_UNLISTED);
	assert_int_equal(take("k", envelope("any", "items", "d", "{\"id\":1,\"ver\":1}", "null"),
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_DELETE, "items", "1");
	take("k", envelope("shop", "orders", "c", "null", "{\"id\":1}"), NULL);
	assert_passed(PASSED_UNLISTED);
	/* a flattened row names none: by its stream, or by `table` */
	assert_int_equal(take("{\"id\":1}", "{\"id\":1,\"name\":\"x\"}", NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	lane.stream = "elsewhere";
	take("{\"id\":1}", "{\"id\":1,\"name\":\"x\"}", NULL);
	assert_passed(PASSED_UNLISTED);
	source.table = "users";
	assert_int_equal(take("{\"id\":1}", "{\"id\":1,\"name\":\"x\"}", NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
}

/* Of databases whose tables are in schemas, too. */
static void
an_event_goes_to_the_table_listed_by_its_schema(void **state)
{
	static const char *listed[] = { "sales.users", "items" };

	(void)state;
#define IN_SCHEMA(op, before, after, schema, table)                                          \
	"{\"op\":\"" op "\",\"before\":" before ",\"after\":" after ",\"source\":"           \
	"{\"connector\":\"postgresql\",\"db\":\"shop\",\"schema\":\"" schema "\",\"table\":" \
	"\"" table "\"}}"
	source.listed = listed;
	assert_int_equal(take("k", IN_SCHEMA("c", "null", "{\"id\":1}", "sales", "users"), NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	take("k", IN_SCHEMA("c", "null", "{\"id\":1}", "public", "users"), NULL);
	assert_passed(PASSED_UNLISTED);
	assert_int_equal(take("k", "{\"id\":1,\"__schema\":\"sales\",\"__table\":\"users\"}", NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	/* a version that is only filled in keeps no delete from its row */
	assert_int_equal(take("{\"id\":1}",
			     IN_SCHEMA("d", "{\"id\":1,\"n\":null,\"ver\":0}", "null", "public",
				 "items"),
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_DELETE, "items", "1");
	assert_false(taken(1, 0)->has_version);
}

static void
what_is_no_change_is_passed_over(void **state)
{
	(void)state;
	take("{\"id\":1}", "default", NULL);
	assert_passed(PASSED_TOMBSTONE);
	take("k", "{\"ts_ms\":1}", NULL);
	assert_passed(PASSED_HEARTBEAT);
	take("k", "{\"status\":\"BEGIN\",\"id\":\"x\",\"data_collections\":null}", NULL);
	assert_passed(PASSED_TRANSACTION);
	take("k", "{\"databaseName\":\"a\",\"ddl\":\"x\",\"source\":{}}", NULL);
	assert_passed(PASSED_SCHEMA);
	assert_int_equal(take("k", envelope("shop", "users", "r", "null", "{\"id\":1}"), NULL), 0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	source.apply_snapshots = false;
	take("k", envelope("shop", "users", "r", "null", "{\"id\":1}"), NULL);
	assert_passed(PASSED_SNAPSHOT);
}

static void
a_truncate_is_refused_by_name(void **state)
{
	(void)state;
	assert_refused(take("k", "{\"op\":\"t\",\"source\":{\"db\":\"shop\",\"table\":\"users\"}}",
			   NULL),
	    REASON_TRUNCATE, "users was truncated");
	take("k", "{\"op\":\"t\",\"source\":{\"db\":\"shop\",\"table\":\"orders\"}}", NULL);
	assert_passed(PASSED_UNLISTED);
}

/* What the flattening adds is no column, unless the table has one of that name. */
static void
a_flattened_row_keeps_the_tables_columns(void **state)
{
	const struct change *change;

	(void)state;
	assert_int_equal(take("k", "{\"id\":1,\"name\":\"n\",\"__v\":7,\"__op\":\"u\",\"__lsn\":1}",
			     NULL),
	    0);
	change = taken(1, 0);
	assert_int_equal(change->shape->count, 2);
	assert_value(change, "__v", VALUE_NUMBER, "7");
	assert_refused(take("k",
			   envelope("shop", "users", "c", "null",
			       "{\"id\":1,\"name\":\"n\",\"__v\":7,\"__op\":\"u\",\"__lsn\":1}"),
			   NULL),
	    REASON_UNKNOWN_COLUMN, "__op");
}

static int
take_drop(const char *db)
{
	static char text[128];

	snprintf(text, sizeof(text), "{\"type\":\"database-drop\",\"database\":\"%s\"}", db);
	return take("message", text, NULL);
}

/* Nothing is deleted because of a database that may be any other. */
static void
a_dropped_database_is_one_of_the_tables_listed_in_it(void **state)
{
	static const char *listed[] = { "shop.users", "shop.items" };
	static const char *const others[] = { "scratch", "shops", "sho" };

	(void)state;
	source.format = FORMAT_MAXWELL;
	source.allow_truncate = true;
	source.table = "users";
	assert_refused(take_drop("scratch"), REASON_TRUNCATE, "database scratch was dropped");
	assert_int_equal(entry.change_count, 2);
	source.listed = listed;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(take_drop(others[i]), 0);
		assert_passed(PASSED_UNLISTED);
	}
	source.allow_truncate = false;
	assert_refused(take_drop("shop"), REASON_TRUNCATE, "`truncate: allow`");
	source.allow_truncate = true;
	configs[0].lanes = configs[1].lanes = 1;
	assert_int_equal(take_drop("shop"), 0);
	assert_true(taken(2, 0)->whole_table && taken(2, 1)->whole_table);
	assert_string_equal(taken(2, 0)->table->name, "users");
	assert_string_equal(taken(2, 1)->table->name, "items");
	configs[0].lanes = configs[1].lanes = 0;
}

static void
a_tombstone_deletes_where_it_is_the_only_sign(void **state)
{
	(void)state;
	source.delete_tombstones = true;
	assert_int_equal(take("{\"id\":7}", "default", NULL), 0);
	assert_change(taken(1, 0), CHANGE_DELETE, "users", "7");
	take("default", "default", NULL);
	assert_passed(PASSED_TOMBSTONE);
	assert_refused(take("7", "default", NULL), REASON_NO_KEY, "names no columns");
}

static void
a_change_of_the_key_deletes_the_row_before(void **state)
{
	(void)state;
	assert_int_equal(take("k",
			     envelope("shop", "users", "u", "{\"id\":1,\"name\":\"a\"}",
				 "{\"id\":2,\"name\":\"a\"}"),
			     NULL),
	    0);
	assert_change(taken(2, 0), CHANGE_DELETE, "users", "1");
	assert_change(taken(2, 1), CHANGE_UPSERT, "users", "2");
	assert_true(taken(2, 0)->barrier && taken(2, 1)->barrier);
	assert_int_equal(take("k",
			     envelope("shop", "users", "u", "{\"id\":1,\"name\":\"a\"}",
				 "{\"id\":1,\"name\":\"b\"}"),
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
	assert_false(taken(1, 0)->barrier);
	source.format = FORMAT_CANAL;
	assert_int_equal(
	    take("k",
		"{\"database\":\"s\",\"table\":\"users\",\"type\":\"UPDATE\",\"data\":[{\"id\":"
		"\"1\",\"name\":\"x\"},{\"id\":\"3\",\"name\":\"y\"}],\"old\":[{\"name\":\"w\"},{"
		"\"id\":\"2\"}]}",
		NULL),
	    0);
	assert_change(taken(3, 0), CHANGE_UPSERT, "users", "1");
	assert_change(taken(3, 1), CHANGE_DELETE, "users", "2");
	assert_change(taken(3, 2), CHANGE_UPSERT, "users", "3");
	/* another spelling is the same key */
	assert_int_equal(take("k",
			     "{\"database\":\"s\",\"table\":\"users\",\"type\":\"UPDATE\",\"data\":"
			     "[{\"id\":"
			     "\"1\"}],\"old\":[{\"id\":\"01\"}]}",
			     NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_UPSERT, "users", "1");
}

static void
the_halves_of_a_change_of_the_key_are_barriers(void **state)
{
	(void)state;
	assert_int_equal(take("key", "{\"id\":1}", "value",
			     envelope("shop", "users", "d", "{\"id\":1}", "null"),
			     "__DEBEZIUM.NEWKEY", "{\"id\":2}", NULL),
	    0);
	assert_change(taken(1, 0), CHANGE_DELETE, "users", "1");
	assert_true(taken(1, 0)->barrier);
}

static void
the_version_is_the_columns_value(void **state)
{
	const struct change *c;

	(void)state;
	take("k", envelope("s", "items", "c", "null", "{\"id\":-1,\"n\":5,\"ver\":9}"), NULL);
	c = taken(1, 0);
	assert_change(c, CHANGE_UPSERT, "items", "18446744073709551615");
	assert_true(c->has_version);
	assert_int_equal(c->version, 9);
	assert_int_equal(c->shape->fence, FENCE_EQUAL);
	assert_int_equal(c->shape->count, 1);
	take("k", envelope("s", "items", "d", "{\"id\":1,\"n\":5,\"ver\":9}", "null"), NULL);
	assert_int_equal(taken(1, 0)->version, 9);
	assert_int_equal(taken(1, 0)->shape->fence, FENCE_EQUAL);
	take("k", envelope("s", "items", "c", "null", "{\"id\":1,\"ver\":null}"), NULL);
	assert_int_equal(taken(1, 0)->shape->fence, FENCE_OFF);
	assert_refused(take("k", envelope("s", "items", "c", "null", "{\"id\":1}"), NULL),
	    REASON_BAD_VERSION, "no column ver");
	assert_refused(take("k", envelope("s", "items", "c", "null", "{\"id\":1,\"ver\":-4}"),
			   NULL),
	    REASON_BAD_VERSION, "not a whole number");
	/* the row before has its own */
	take("k", envelope("s", "items", "u", "{\"id\":1,\"ver\":3}", "{\"id\":2,\"ver\":4}"),
	    NULL);
	assert_int_equal(taken(2, 0)->version, 3);
	assert_int_equal(taken(2, 1)->version, 4);
}

static void
what_dms_leaves_out_is_null_or_empty(void **state)
{
	static const char insert[] =
	    "{\"data\":{\"id\":1},\"metadata\":{\"record-type\":\"data\","
	    "\"operation\":\"insert\",\"schema-name\":\"s\",\"table-name\":"
	    "\"users\"}}";

	(void)state;
	source.format = FORMAT_DMS;
	assert_int_equal(take("k", insert, NULL), 0);
	assert_value(taken(1, 0), "name", VALUE_NULL, "");
	assert_value(taken(1, 0), "note", VALUE_TEXT, "");
	configs[0].ignore = (const char *[]){ "name", "note", "__v" };
	configs[0].ignore_count = 3;
	assert_int_equal(take("k", insert, NULL), 0);
	assert_int_equal(taken(1, 0)->shape->count, 1);
	configs[0].ignore_count = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_layout_carries_an_event, start),
		cmocka_unit_test_setup(
		    an_event_goes_to_the_table_listed_as_db_and_table_else_as_table, start),
		cmocka_unit_test_setup(what_is_no_change_is_passed_over, start),
		cmocka_unit_test_setup(a_truncate_is_refused_by_name, start),
		cmocka_unit_test_setup(a_flattened_row_keeps_the_tables_columns, start),
		cmocka_unit_test_setup(an_event_goes_to_the_table_listed_by_its_schema, start),
		cmocka_unit_test_setup(a_dropped_database_is_one_of_the_tables_listed_in_it, start),
		cmocka_unit_test_setup(a_tombstone_deletes_where_it_is_the_only_sign, start),
		cmocka_unit_test_setup(a_change_of_the_key_deletes_the_row_before, start),
		cmocka_unit_test_setup(the_halves_of_a_change_of_the_key_are_barriers, start),
		cmocka_unit_test_setup(the_version_is_the_columns_value, start),
		cmocka_unit_test_setup(what_dms_leaves_out_is_null_or_empty, start),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
