#include "tests/support/table_make.h"
#include "worker/lane.h"
#include "worker/source/source.h"
#include "worker/store/resolve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define FIELDS_MAX 64
enum { USERS, HANDLES, STOCK, BROKEN, TABLES };

static const struct config_pair mapping[] = { { "userName", "name" } };
static const struct config_pair constants[] = { { "origin", "app" } };
static const char *const ignored[] = { "trace" };
static const struct made_column users[] = { { "id", "bigint(20)", NULL, false, true, NULL },
	{ "name", "varchar(8)", NULL, false, false, NULL },
	{ "credits", "int(10) unsigned", "0", true, false, NULL },
	{ "balance", "decimal(10,2)", "NULL", true, false, NULL },
	{ "score", "double", "NULL", true, false, NULL },
	{ "avatar", "varbinary(64)", "NULL", true, false, NULL },
	{ "full", "int(11)", "NULL", true, false, NULL }, { 0 } };
static const struct made_column handles[] = { { "tenant", "int(11)", NULL, false, true, NULL },
	{ "handle", "varchar(20)", NULL, false, true, NULL },
	{ "body", "text", "NULL", true, false, NULL },
	{ "ver", "bigint(20)", "NULL", true, false, NULL }, { 0 } };
static const struct made_column stock[] = { { "id", "int(11)", NULL, false, true, NULL },
	{ "n", "int(11)", "0", false, false, NULL },
	{ "origin", "varchar(9)", NULL, false, false, NULL },
	{ "stamp", "bigint(20)", "0", true, false, NULL }, { 0 } };

static struct config_table tables_config[TABLES];
static struct table tables[TABLES];
static const char *table_names[] = { "users", "handles", "stock", "broken", "sluice_ledger",
	"unknown" };
static struct config_source source;
static struct lane lane;
static struct arena arena;
static struct schema *schema;
static struct resolver resolver;
static struct field raw[FIELDS_MAX];
static struct entry *entry;
static struct change *change;

static void
configure(void)
{
	memset(tables_config, 0, sizeof(tables_config));
	tables_config[USERS] = (struct config_table){ .name = "users", .fold = true };
	tables_config[HANDLES] = (struct config_table){
		.name = "handles", .fold = true, .version = VERSION_GIVEN, .version_column = "ver"
	};
	tables_config[STOCK] = (struct config_table){
		.name = "stock", .fold = true, .version = VERSION_COUNTER, .version_column = "stamp"
	};
	tables_config[BROKEN] = (struct config_table){ .name = "broken", .fold = true };
	source = (struct config_source){ .write = true,
		.format = FORMAT_FIELDS,
		.table = "users",
		.tables = table_names,
		.table_count = sizeof(table_names) / sizeof(table_names[0]),
		.operations = OPERATION_ALL };
	lane.source = &source;
}

static int
setup(void **state)
{
	(void)state;
	configure();
	table_make(&tables[USERS], &tables_config[USERS], users);
	table_make(&tables[HANDLES], &tables_config[HANDLES], handles);
	table_make(&tables[STOCK], &tables_config[STOCK], stock);
	table_make(&tables[BROKEN], &tables_config[BROKEN], stock);
	tables[USERS].columns[6].generated = true;
	tables[BROKEN].problem = "gone";
	schema = schema_of_tables(NULL, tables, TABLES);
	arena_init(&arena, 1 << 16);
	resolver_init(&resolver);
	resolver_start(&resolver, schema, &arena);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	resolver_deinit(&resolver);
	schema_free(&schema);
	arena_deinit(&arena);
	return 0;
}

/* An entry of names and values in turn, up to NULL, decoded and its first change resolved. */
static int
resolve(const char *first, ...)
{
	va_list ap;

	entry = arena_zalloc(&arena, sizeof(*entry));
	entry->lane = &lane;
	entry->raw = raw;
	va_start(ap, first);
	for (const char *name = first; name != NULL; name = va_arg(ap, const char *)) {
		struct str value = str_of(va_arg(ap, const char *));

		raw[entry->raw_count++] = (struct field){ str_of(name), { value, VALUE_TEXT } };
	}
	va_end(ap);
	assert_int_equal(format_decode(entry, &arena, NULL), 0);
	change = entry->changes;
	resolver.unknown = false;
	return resolve_change(&resolver, entry, change);
}

static void
assert_refused(int status, const char *reason, const char *words)
{
	assert_int_equal(status, -1);
	assert_string_equal(entry->refusal.reason, reason);
	if (strstr(entry->refusal.text, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", entry->refusal.text, words);
}

static void
assert_value(unsigned place, const char *column, enum value_kind kind, const char *text)
{
	assert_true(place < change->shape->count);
	assert_string_equal(change->table->columns[change->shape->columns[place].column].name,
	    column);
	assert_int_equal(change->values[place].kind, kind);
	assert_int_equal(change->values[place].text.len, strlen(text));
	assert_memory_equal(change->values[place].text.data, text, strlen(text));
}

static void
assert_same(struct str a, struct str b, bool same)
{
	assert_int_equal(str_equal(a, b), same);
}

static void
fields_become_columns_in_their_order(void **state)
{
	(void)state;
	assert_int_equal(resolve("balance", "1.50", "NAME", "Bob", "id", "7", NULL), 0);
	assert_ptr_equal(change->table, &tables[USERS]);
	assert_int_equal(change->shape->kind, SHAPE_UPSERT);
	assert_int_equal(change->shape->count, 2);
	assert_value(0, "name", VALUE_TEXT, "Bob");
	assert_value(1, "balance", VALUE_NUMBER, "1.5");
	assert_true(change->shape->covers_required);
	assert_false(change->alone);
	assert_false(change->barrier);
	assert_int_equal(change->key[0].kind, VALUE_NUMBER);
}

static void
equal_names_give_the_same_shape_and_other_orders_too(void **state)
{
	const struct shape *shape;

	(void)state;
	assert_int_equal(resolve("id", "7", "name", "Bob", "credits", "1", NULL), 0);
	shape = change->shape;
	assert_int_equal(resolve("id", "8", "name", "Ann", "credits", "2", NULL), 0);
	assert_ptr_equal(change->shape, shape);
	assert_value(0, "name", VALUE_TEXT, "Ann");
	assert_int_equal(resolve("credits", "3", "id", "8", "name", "Eve", NULL), 0);
	assert_ptr_equal(change->shape, shape);
	assert_value(1, "credits", VALUE_NUMBER, "3");
	assert_int_equal(resolve("_op", "update", "id", "8", "name", "Eve", "credits", "1", NULL),
	    0);
	assert_ptr_not_equal(change->shape, shape);
}

static void
more_lists_of_names_than_are_remembered_still_resolve(void **state)
{
	static const char *const names[] = { "name", "credits", "balance", "score", "avatar" };

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		const char *a = names[round % 5], *b = names[(round / 5) % 5];

		if (a == b)
			continue;
		assert_int_equal(resolve(a, "1", "id", "7", b, "2", NULL), 0);
		assert_int_equal(change->shape->count, 2);
		assert_int_equal(change->values[0].text.data[0],
		    strcmp(tables[USERS].columns[change->shape->columns[0].column].name, a) == 0 ?
			'1' :
			'2');
	}
}

static void
a_change_of_only_a_key_has_an_empty_shape(void **state)
{
	(void)state;
	assert_int_equal(resolve("id", "7", NULL), 0);
	assert_int_equal(change->shape->count, 0);
	assert_false(change->shape->covers_required);
	assert_int_equal(resolve("_op", "update", "id", "7", NULL), 0);
	assert_int_equal(change->shape->kind, SHAPE_UPDATE);
}

static void
mapping_ignoring_and_constants_are_followed(void **state)
{
	(void)state;
	tables_config[USERS].columns = (struct config_pair *)(uintptr_t)mapping;
	tables_config[USERS].column_count = 1;
	tables_config[USERS].ignore = (const char **)(uintptr_t)ignored;
	tables_config[USERS].ignore_count = 1;
	assert_int_equal(resolve("id", "7", "userName", "Bob", "trace", "x", NULL), 0);
	assert_int_equal(change->shape->count, 1);
	assert_value(0, "name", VALUE_TEXT, "Bob");
	assert_refused(resolve("id", "7", "userName", "Bob", "name", "x", NULL), REASON_BAD_ENTRY,
	    "name");

	tables_config[STOCK].set = (struct config_pair *)(uintptr_t)constants;
	tables_config[STOCK].set_count = 1;
	assert_int_equal(resolve("_table", "stock", "id", "7", "n", "1", "origin", "thief", NULL),
	    0);
	assert_value(1, "origin", VALUE_TEXT, "app");
	assert_int_equal(resolve("_table", "stock", "_op", "incr", "id", "7", "n", "1", NULL), 0);
	assert_true(change->shape->columns[0].add);
	assert_false(change->shape->columns[1].add);
	assert_int_equal(resolve("_table", "stock", "_op", "delete", "id", "7", NULL), 0);
	assert_int_equal(change->shape->count, 0);
}

static void
an_entry_touches_only_what_its_source_may(void **state)
{
	(void)state;
	assert_refused(resolve("_table", "accounts", "id", "7", NULL), REASON_TABLE_DENIED,
	    "accounts");
	assert_refused(resolve("_table", "sluice_ledger", "id", "7", NULL), REASON_TABLE_DENIED,
	    "own tables");
	assert_refused(resolve("_table", "SLUICE_x", "id", "7", NULL), REASON_TABLE_DENIED,
	    "own tables");
	assert_false(resolver.unknown);
	assert_refused(resolve("_table", "unknown", "id", "7", NULL), REASON_UNKNOWN_TABLE,
	    "unknown");
	assert_true(resolver.unknown);
	source.operations = OPERATION_UPSERT;
	assert_refused(resolve("_op", "delete", "id", "7", NULL), REASON_OPERATION_DENIED,
	    "delete");
	source.table = NULL;
	assert_refused(resolve("id", "7", NULL), REASON_UNKNOWN_TABLE, "_table");
}

static void
names_that_are_no_columns_are_refused(void **state)
{
	(void)state;
	assert_refused(resolve("id", "7", "nosuch", "secret", NULL), REASON_UNKNOWN_COLUMN,
	    "nosuch");
	assert_null(strstr(entry->refusal.text, "secret"));
	assert_true(resolver.unknown);
	assert_refused(resolve("id", "7", "full", "1", NULL), REASON_REFUSED, "full");
	assert_refused(resolve("_op", "delete", "id", "7", "nosuch", "1", NULL),
	    REASON_UNKNOWN_COLUMN, "nosuch");
	assert_int_equal(resolve("_op", "delete", "id", "7", "name", "1", NULL), 0);
	assert_int_equal(change->shape->count, 0);
	assert_int_equal(resolve("_op", "invalidate", "id", "7", "nosuch", "1", NULL), 0);
	assert_refused(resolve("id", "7", "name", "a", "NAME", "b", NULL), REASON_BAD_ENTRY,
	    "NAME");
}

/* Somebody may have made the column wider, or another one the key. */
static void
what_the_definition_refuses_may_be_known_to_a_newer_schema(void **state)
{
	(void)state;
	assert_refused(resolve("id", "9223372036854775808", NULL), REASON_BAD_KEY, "range");
	assert_true(resolver.unknown);
	assert_refused(resolve("name", "Bob", NULL), REASON_NO_KEY, "id");
	assert_true(resolver.unknown);
	assert_refused(resolve("_op", "incr", "id", "7", "name", "1", NULL), REASON_BAD_VALUE,
	    "name");
	assert_true(resolver.unknown);
	assert_refused(resolve("id", "7", "full", "1", NULL), REASON_REFUSED, "full");
	assert_true(resolver.unknown);
	assert_refused(resolve("name", "Bob", "_null", "id", NULL), REASON_NO_KEY, "NULL");
	assert_false(resolver.unknown);
}

static void
a_key_must_be_there_and_be_a_value_of_its_column(void **state)
{
	(void)state;
	assert_refused(resolve("name", "Bob", NULL), REASON_NO_KEY, "id");
	assert_refused(resolve("name", "Bob", "_null", "id", NULL), REASON_NO_KEY, "NULL");
	assert_refused(resolve("id", "abc", NULL), REASON_BAD_KEY, "whole number");
	assert_null(strstr(entry->refusal.text, "abc"));
	assert_refused(resolve("id", "9223372036854775808", NULL), REASON_BAD_KEY, "range");
	assert_refused(resolve("_table", "handles", "tenant", "1", "_version", "1", NULL),
	    REASON_NO_KEY, "handle");
}

static void
keys_are_canonical_and_a_ranged_source_must_spell_them_so(void **state)
{
	struct str seven;

	(void)state;
	assert_int_equal(resolve("id", "7", NULL), 0);
	seven = change->exact;
	assert_int_equal(resolve("id", "007", NULL), 0);
	assert_same(change->exact, seven, true);
	assert_same(change->bucket, seven, true);
	assert_int_equal(resolve("id", "70", NULL), 0);
	assert_same(change->bucket, seven, false);
	assert_int_equal(resolve("_table", "stock", "id", "7", "origin", "x", NULL), 0);
	assert_same(change->bucket, seven, false);
	source.ranged = true;
	assert_refused(resolve("id", "007", NULL), REASON_BAD_KEY, "canonical");
	assert_int_equal(resolve("id", "7", NULL), 0);
}

static int
resolve_handle(const char *tenant, const char *handle)
{
	return resolve("_table", "handles", "tenant", tenant, "handle", handle, "_version", "1",
	    NULL);
}

static void
spellings_of_one_text_key_share_a_bucket(void **state)
{
	struct str exact, bucket;

	(void)state;
	assert_int_equal(resolve_handle("1", "bob"), 0);
	exact = change->exact;
	bucket = change->bucket;
	assert_int_equal(resolve_handle("1", "Bob "), 0);
	assert_false(change->barrier);
	assert_same(change->exact, exact, false);
	assert_same(change->bucket, bucket, true);
	assert_int_equal(resolve_handle("1",
			     "b\xc3\xb6"
			     "b"),
	    0);
	assert_true(change->barrier);
	assert_int_equal(resolve_handle("11", "bob"), 0);
	assert_same(change->bucket, bucket, false);
	tables[HANDLES].columns[1].exact_collation = true;
	assert_int_equal(resolve_handle("1", "Bob"), 0);
	assert_same(change->bucket, bucket, false);
	assert_int_equal(resolve_handle("1", "bob  "), 0);
	assert_same(change->bucket, bucket, true);
}

static void
parts_of_a_key_do_not_run_into_each_other(void **state)
{
	struct str a;

	(void)state;
	tables[HANDLES].columns[0] = tables[HANDLES].columns[1];
	tables[HANDLES].columns[0].name = "tenant";
	tables[HANDLES].columns[0].key_part = 0;
	assert_int_equal(resolve_handle("a", "bc"), 0);
	a = change->exact;
	assert_int_equal(resolve_handle("ab", "c"), 0);
	assert_same(change->exact, a, false);
}

static void
ordered_tables_and_unsure_keys_make_barriers(void **state)
{
	(void)state;
	tables[USERS].ordered = true;
	assert_int_equal(resolve("id", "7", NULL), 0);
	assert_true(change->barrier);
	tables[USERS].ordered = false;
	tables[USERS].key_unsure = true;
	assert_int_equal(resolve("id", "7", NULL), 0);
	assert_true(change->barrier);
}

static void
a_value_that_mysql_must_judge_goes_alone(void **state)
{
	(void)state;
	assert_int_equal(resolve("id", "7", "credits", "-1", NULL), 0);
	assert_true(change->alone);
	assert_value(0, "credits", VALUE_TEXT, "-1");
	assert_int_equal(resolve("id", "7", "name", "far too long", NULL), 0);
	assert_true(change->alone);
	assert_int_equal(resolve("id", "7", "_null", "name", NULL), 0);
	assert_true(change->alone);
	assert_int_equal(resolve("id", "7", "_null", "credits", NULL), 0);
	assert_false(change->alone);
	assert_value(0, "credits", VALUE_NULL, "");
}

static void
increments_add_to_an_upsert(void **state)
{
	(void)state;
	assert_int_equal(resolve("_op", "incr", "id", "7", "credits", "-20", "balance", "1.5",
			     NULL),
	    0);
	assert_int_equal(change->shape->kind, SHAPE_UPSERT);
	assert_true(change->shape->adds);
	assert_true(change->shape->foldable);
	assert_value(0, "credits", VALUE_NUMBER, "-20");
	assert_true(change->sums[0].sum == -20 && change->sums[0].low == -20 &&
	    change->sums[0].high == 0);
	assert_true(change->sums[1].sum == 150 && change->sums[1].high == 150);
	assert_int_equal(resolve("_op", "incr", "id", "7", "score", "1.5", NULL), 0);
	assert_false(change->shape->foldable);
	assert_refused(resolve("_op", "incr", "id", "7", "name", "1", NULL), REASON_BAD_VALUE,
	    "name");
	assert_refused(resolve("_op", "incr", "id", "7", "credits", "many", NULL), REASON_BAD_VALUE,
	    "whole number");
	assert_refused(resolve("_op", "incr", "id", "7", "_null", "credits", NULL),
	    REASON_BAD_VALUE, "credits");
}

static void
versions_are_where_the_table_wants_them_and_nowhere_else(void **state)
{
	(void)state;
	assert_int_equal(resolve_handle("1", "a"), 0);
	assert_int_equal(change->version, 1);
	assert_refused(resolve("_table", "handles", "tenant", "1", "handle", "a", NULL),
	    REASON_BAD_VERSION, "_version");
	assert_refused(resolve("_table", "handles", "tenant", "1", "handle", "a", "_version",
			   "9223372036854775808", NULL),
	    REASON_BAD_VERSION, "2^63");
	tables[HANDLES].columns[3].is_unsigned = true;
	assert_int_equal(resolve("_table", "handles", "tenant", "1", "handle", "a", "_version",
			     "18446744073709551615", NULL),
	    0);
	assert_refused(resolve("_table", "handles", "tenant", "1", "handle", "a", "_version", "1",
			   "ver", "1", NULL),
	    REASON_BAD_VERSION, "ver");
	assert_int_equal(resolve("_table", "handles", "_op", "invalidate", "tenant", "1", "handle",
			     "a", NULL),
	    0);
	assert_refused(resolve("_table", "stock", "id", "1", "_version", "1", NULL),
	    REASON_BAD_VERSION, "stamps");
	assert_refused(resolve("id", "1", "_version", "1", NULL), REASON_BAD_VERSION,
	    "no version column");
}

static void
a_table_with_a_problem_refuses_nothing(void **state)
{
	(void)state;
	assert_int_equal(resolve("_table", "broken", "_op", "invalidate", "nosuch", "1", NULL), 0);
	assert_ptr_equal(change->table, &tables[BROKEN]);
	assert_int_equal(change->op, CHANGE_UPDATE);
	assert_int_equal(change->shape->count, 0);
	assert_int_equal(change->key[0].kind, VALUE_NULL);
	assert_true(resolver.unknown);
}

static void
json_brings_base64_for_binary_columns(void **state)
{
	(void)state;
	source.format = FORMAT_JSON;
	assert_int_equal(resolve("data", "{\"id\":7,\"avatar\":\"YWJj\",\"name\":\"x\"}", NULL), 0);
	assert_value(0, "name", VALUE_TEXT, "x");
	assert_value(1, "avatar", VALUE_BINARY, "abc");
	assert_refused(resolve("data", "{\"id\":7,\"avatar\":\"not base64\"}", NULL),
	    REASON_BAD_VALUE, "base64");
	assert_refused(resolve("data", "{\"id\":true}", NULL), REASON_BAD_KEY, "id");
	assert_refused(resolve("data", "{\"id\":7.5}", NULL), REASON_BAD_KEY, "id");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields_become_columns_in_their_order),
		TEST(equal_names_give_the_same_shape_and_other_orders_too),
		TEST(more_lists_of_names_than_are_remembered_still_resolve),
		TEST(a_change_of_only_a_key_has_an_empty_shape),
		TEST(mapping_ignoring_and_constants_are_followed),
		TEST(an_entry_touches_only_what_its_source_may),
		TEST(names_that_are_no_columns_are_refused),
		TEST(what_the_definition_refuses_may_be_known_to_a_newer_schema),
		TEST(a_key_must_be_there_and_be_a_value_of_its_column),
		TEST(keys_are_canonical_and_a_ranged_source_must_spell_them_so),
		TEST(spellings_of_one_text_key_share_a_bucket),
		TEST(parts_of_a_key_do_not_run_into_each_other),
		TEST(ordered_tables_and_unsure_keys_make_barriers),
		TEST(a_value_that_mysql_must_judge_goes_alone),
		TEST(increments_add_to_an_upsert),
		TEST(versions_are_where_the_table_wants_them_and_nowhere_else),
		TEST(a_table_with_a_problem_refuses_nothing),
		TEST(json_brings_base64_for_binary_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
