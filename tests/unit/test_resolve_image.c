#include "common/err.h"
#include "tests/support/table_make.h"
#include "worker/lane.h"
#include "worker/source/source.h"
#include "worker/store/resolve.h"
#include "worker/store/template_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Cache keys from the images of change events. */
static const struct made_column columns[] = { { "id", "bigint(20)", NULL, false, true, NULL },
	{ "team", "varchar(32)", "NULL", true, false, NULL },
	{ "u", "bigint(20) unsigned", "NULL", true, false, NULL },
	{ "day", "date", "NULL", true, false, NULL },
	{ "name", "varchar(32)", "NULL", true, false, NULL }, { 0 } };
static const char *when_name[] = { "name" };
static struct config_template templates[] = { { .written = "user:{id}" },
	{ .written = "team:{team}" },
	{ .written = "name:{id}", .when = when_name, .when_count = 1 },
	{ .written = "u:{u}:{day}" } };
static struct config_table config = { .name = "users",
	.fold = true,
	.templates = templates,
	.template_count = 4,
	.has_images = true };
static struct table table;
static struct schema *schema;
static struct resolver resolver;
static struct arena arena;
static struct config_source source;
static struct lane lane;
static struct field raw[1];
static struct entry entry;

static int
open_all(void **state)
{
	static const char *listed[] = { "users" };
	static const char *names[8];
	static unsigned found[8];
	struct err err;
	size_t count;

	(void)state;
	table_make(&table, &config, columns);
	count = template_names(&table, names, found);
	table.reads = found + table.key_count;
	table.image_count = table.read_count = (unsigned)(count - table.key_count);
	table.has_when = true;
	table.templates = calloc(4, sizeof(*table.templates));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(key_template_compile(&table.templates[i], &templates[i], names,
				     count, &err),
		    0);
	table.template_count = 4;
	schema = schema_of_tables(NULL, &table, 1);
	arena_init(&arena, 1 << 16);
	resolver_init(&resolver);
	source = (struct config_source){ .write = true,
		.tables = listed,
		.listed = listed,
		.table_count = 1,
		.operations = OPERATION_ALL,
		.apply_snapshots = true };
	lane.source = &source;
	lane.stream = "s.shop.users";
	return 0;
}

static int
close_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		key_template_deinit(&table.templates[i]);
	free(table.templates);
	resolver_deinit(&resolver);
	arena_deinit(&arena);
	schema_free(&schema);
	return 0;
}

static int
take(enum config_format format, const char *value)
{
	arena_reset(&arena);
	resolver_start(&resolver, schema, &arena);
	source.format = format;
	raw[0] = (struct field){ STR("value"), { str_of(value), VALUE_TEXT } };
	entry = (struct entry){ .lane = &lane, .raw = raw, .raw_count = 1 };
	if (format_decode(&entry, &arena, NULL) < 0)
		return -1;
	for (size_t i = 0; i < entry.change_count; i++)
		if (resolve_change(&resolver, &entry, &entry.changes[i]) < 0)
			return -1;
	if (resolve_moves(&resolver, &entry) < 0)
		return -1;
	for (size_t i = 0; i < entry.change_count; i++)
		if (resolve_image(&resolver, &entry, &entry.changes[i]) < 0)
			return -1;
	return 0;
}

static void
add_keys(const struct change *c, const struct str *row, struct buf *out)
{
	for (size_t i = 0; i < table.template_count && row != NULL; i++) {
		struct buf key;

		if (c->unchanged >> i & 1)
			continue;
		buf_init(&key);
		if (key_template_render(&table.templates[i], row, &key)) {
			buf_add(out, key.data, key.len);
			buf_add_char(out, ' ');
		}
		buf_deinit(&key);
	}
}

/* All keys of the entry: of each change before, then after. */
static void
assert_keys(int status, const char *expected)
{
	struct buf keys;

	if (status != 0)
		fail_msg("refused: %s", entry.refusal.text);
	buf_init(&keys);
	for (size_t i = 0; i < entry.change_count; i++) {
		add_keys(&entry.changes[i], entry.changes[i].row_before, &keys);
		add_keys(&entry.changes[i], entry.changes[i].row_after, &keys);
	}
	buf_add_char(&keys, '\0');
	assert_string_equal(keys.data, expected);
	buf_deinit(&keys);
}

static void
assert_missing(int status, const char *words)
{
	assert_int_equal(status, -1);
	assert_string_equal(entry.refusal.reason, REASON_MISSING_COLUMN);
	if (strstr(entry.refusal.text, words) == NULL)
		fail_msg("\"%s\" doesn't say \"%s\"", entry.refusal.text, words);
}

#define SOURCE "\"source\":{\"db\":\"shop\",\"table\":\"users\"}}"
#define ROW(team, name) "{\"id\":1,\"team\":" team ",\"u\":-1,\"day\":18460,\"name\":" name "}"

static void
keys_come_from_both_images(void **state)
{
	(void)state;
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"u\",\"before\":" ROW("\"a\"", "\"x\"") ",\"after\":" ROW("\"b\"",
			    "\"y\"") "," SOURCE),
	    "user:1 team:a name:1 u:18446744073709551615:2020-07-17 "
	    "user:1 team:b name:1 u:18446744073709551615:2020-07-17 ");
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"d\",\"before\":" ROW("\"a\"", "\"x\"") "," SOURCE),
	    "user:1 team:a name:1 u:18446744073709551615:2020-07-17 ");
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"c\",\"after\":" ROW("null", "\"x\"") "," SOURCE),
	    "user:1 name:1 u:18446744073709551615:2020-07-17 ");
	/* what Maxwell's old doesn't have is as it is after; its encoding is another, the keys aren't */
	assert_keys(
	    take(FORMAT_MAXWELL,
		"{\"database\":\"s\",\"table\":\"users\",\"type\":\"update\",\"data\":{\"id\":1,"
		"\"team\":\"b\",\"u\":18446744073709551615,\"day\":\"2020-07-17\",\"name\":\"y\"},"
		"\"old\":{\"team\":\"a\",\"name\":\"x\"}}"),
	    "user:1 team:a name:1 u:18446744073709551615:2020-07-17 "
	    "user:1 team:b name:1 u:18446744073709551615:2020-07-17 ");
}

static void
when_restricts_a_key_to_changes_of_its_columns(void **state)
{
	(void)state;
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"u\",\"before\":" ROW("\"a\"", "\"x\"") ",\"after\":" ROW("\"b\"",
			    "\"x\"") "," SOURCE),
	    "user:1 team:a u:18446744073709551615:2020-07-17 "
	    "user:1 team:b u:18446744073709551615:2020-07-17 ");
	assert_keys(take(FORMAT_CANAL,
			"{\"database\":\"s\",\"table\":\"users\",\"type\":\"UPDATE\",\"data\":[{"
			"\"id\":\"1\","
			"\"team\":\"b\",\"u\":\"5\",\"day\":\"2020-07-17\",\"name\":\"y\"}],"
			"\"old\":[{\"team\":"
			"\"a\"}]}"),
	    "user:1 team:a u:5:2020-07-17 user:1 team:b u:5:2020-07-17 ");
}

static void
a_change_of_the_key_touches_all_keys_of_both_rows(void **state)
{
	(void)state;
	assert_keys(take(FORMAT_MAXWELL,
			"{\"database\":\"s\",\"table\":\"users\",\"type\":\"update\",\"data\":{"
			"\"id\":2,"
			"\"team\":\"b\",\"u\":5,\"day\":null,\"name\":\"y\"},\"old\":{\"id\":1}}"),
	    "user:1 team:b name:1 user:1 team:b name:1 user:2 team:b name:2 ");
}

static void
a_column_that_is_missing_is_refused_by_name(void **state)
{
	(void)state;
	assert_missing(take(FORMAT_DEBEZIUM, "{\"op\":\"c\",\"after\":{\"id\":1}," SOURCE),
	    "names column team, which the row after");
	assert_missing(take(FORMAT_DEBEZIUM, "{\"op\":\"d\",\"before\":{\"id\":1}," SOURCE),
	    "names column team, which the row before");
	assert_missing(take(FORMAT_DEBEZIUM,
			   "{\"op\":\"u\",\"before\":{\"id\":1},\"after\":" ROW("\"b\"",
			       "\"x\"") "," SOURCE),
	    "names column team, which the row before");
	assert_missing(take(FORMAT_DEBEZIUM,
			   "{\"op\":\"u\",\"before\":null,\"after\":" ROW("\"b\"",
			       "\"x\"") "," SOURCE),
	    "has no row before");
	assert_missing(take(FORMAT_DEBEZIUM, ROW("\"b\"", "\"x\"")), "has no row before");
}

/* DMS' ColumnFilter is pk-only unless it is set, and NULLs are left out unless that is. */
static void
what_dms_leaves_out_of_the_row_before_may_have_changed(void **state)
{
#define DMS_UPDATE(before)                                                                   \
	"{\"data\":{\"id\":1,\"team\":\"b\",\"u\":7,\"day\":\"2020-07-17\",\"name\":\"x\"}," \
	"\"before-image\":{\"id\":1" before "},\"metadata\":{\"record-type\":\"data\","      \
	"\"operation\":\"update\",\"schema-name\":\"shop\",\"table-name\":\"users\"}}"
	(void)state;
	assert_missing(take(FORMAT_DMS, DMS_UPDATE("")), "names column team, which the row before");
	assert_keys(take(FORMAT_DMS, DMS_UPDATE(",\"u\":7")),
	    "user:1 name:1 user:1 team:b name:1 u:7:2020-07-17 ");
	assert_keys(take(FORMAT_DMS,
			DMS_UPDATE(",\"u\":7,\"team\":\"b\",\"name\":\"x\",\"day\":\"2020-07-"
				   "17\"")),
	    "user:1 team:b u:7:2020-07-17 user:1 team:b u:7:2020-07-17 ");
}

/* Of a database that logs only the key of a deleted row. */
static void
a_deleted_row_of_which_dms_has_only_the_key_is_refused(void **state)
{
#define DMS_DELETE(more)                                                       \
	"{\"data\":{\"id\":1" more "},\"metadata\":{\"record-type\":\"data\"," \
	"\"operation\":\"delete\",\"schema-name\":\"shop\",\"table-name\":\"users\"}}"
	(void)state;
	assert_missing(take(FORMAT_DMS, DMS_DELETE("")), "names column team, which the row before");
	assert_keys(take(FORMAT_DMS, DMS_DELETE(",\"team\":\"b\"")), "user:1 team:b name:1 ");
	assert_keys(take(FORMAT_DMS,
			DMS_DELETE("},\"before-image\":{\"id\":1,\"team\":\"c\",\"u\":7,\"day\":"
				   "\"2020-07-17\"")),
	    "user:1 team:c name:1 u:7:2020-07-17 ");
}

static void
without_a_row_before_when_restricts_nothing(void **state)
{
	(void)state;
	table.image_count = 0;
	table.template_count = 1;
	table.templates[0].config = &templates[2];
	assert_keys(take(FORMAT_DEBEZIUM, ROW("\"b\"", "\"x\"")), "user:1 ");
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"u\",\"before\":{\"id\":1,\"team\":\"a\"},\"after\":{\"id\":1,"
			"\"team\":"
			"\"b\"}," SOURCE),
	    "user:1 user:1 ");
	assert_keys(take(FORMAT_DEBEZIUM,
			"{\"op\":\"u\",\"before\":" ROW("\"a\"", "\"x\"") ",\"after\":" ROW("\"b\"",
			    "\"x\"") "," SOURCE),
	    "");
	table.image_count = 3;
	table.template_count = 4;
	table.templates[0].config = &templates[0];
}

#define VERSIONS(before, after)                                                                \
	"{\"op\":\"u\",\"before\":{\"id\":1,\"team\":\"a\",\"name\":\"x\",\"day\":null" before \
	"},\"after\":{\"id\":1,\"team\":\"a\",\"name\":\"y\",\"day\":null,\"u\":" after        \
	"}," SOURCE

static bool
stands(enum config_format format, const char *value)
{
	if (take(format, value) != 0)
		fail_msg("refused: %s", entry.refusal.text);
	return entry.changes[0].version_stands;
}

static void
an_update_that_raised_no_version_is_known_by_its_row_before(void **state)
{
	(void)state;
	table.version = VERSION_GIVEN;
	table.version_column = 2;
	table.has_versioned = true;
	assert_false(stands(FORMAT_DEBEZIUM, VERSIONS(",\"u\":5", "6")));
	assert_false(stands(FORMAT_DEBEZIUM, VERSIONS(",\"u\":null", "6")));
	assert_true(stands(FORMAT_DEBEZIUM, VERSIONS(",\"u\":6", "6")));
	assert_true(stands(FORMAT_DEBEZIUM, VERSIONS(",\"u\":\"AMgAAAAAAAAA\"", "6")));
	assert_true(stands(FORMAT_MAXWELL,
	    "{\"database\":\"shop\",\"table\":\"users\",\"type\":\"update\",\"data\":{\"id\":1,"
	    "\"team\":\"a\",\"name\":\"y\",\"day\":null,\"u\":6},\"old\":{\"name\":\"x\"}}"));
	table.version = VERSION_NONE;
	table.version_column = -1;
	table.has_versioned = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_from_both_images),
		cmocka_unit_test(when_restricts_a_key_to_changes_of_its_columns),
		cmocka_unit_test(a_change_of_the_key_touches_all_keys_of_both_rows),
		cmocka_unit_test(a_column_that_is_missing_is_refused_by_name),
		cmocka_unit_test(what_dms_leaves_out_of_the_row_before_may_have_changed),
		cmocka_unit_test(a_deleted_row_of_which_dms_has_only_the_key_is_refused),
		cmocka_unit_test(without_a_row_before_when_restricts_nothing),
		cmocka_unit_test(an_update_that_raised_no_version_is_known_by_its_row_before),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
