#include "common/buf.h"
#include "config/column_type.h"
#include "worker/store/column_untold.h"
#include "worker/store/schema.h"
#include "worker/store/type_board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* ---- types as people write them ---- */

static void
types_are_understood_as_create_table_has_them(void **state)
{
	struct column_type type;

	(void)state;
	assert_true(column_type_parse(STR("BIGINT(20) unsigned"), &type));
	assert_string_equal(type.name, "bigint");
	assert_true(type.is_unsigned);
	assert_true(column_type_parse(STR(" decimal( 10 , 2 ) "), &type));
	assert_int_equal(type.numbers[0], 10);
	assert_int_equal(type.numbers[1], 2);
	assert_true(column_type_parse(STR("enum('a)','b''c')"), &type));
	assert_true(column_type_parse(STR("boolean"), &type));
	assert_string_equal(type.name, "tinyint");
	assert_true(column_type_parse(STR("datetime(6)"), &type));
	assert_int_equal(type.numbers[0], 6);
}

static void
what_is_no_type_is_none(void **state)
{
	static const char *const wrong[] = { "", "bigint signedx", "varchar", "varchar(x)",
		"decimal(70,2)", "bit(65)", "int(1,2)", "enum", "enum(1)", "text)", "string",
		"date(1)", "int unsigned)" };
	struct column_type type;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (column_type_parse(str_of(wrong[i]), &type))
			fail_msg("%s is taken for a type", wrong[i]);
}

/* ---- values of columns whose type nobody told ---- */

static const char *
text_of(const char *text, enum value_kind kind, enum change_origin origin)
{
	struct value given = { str_of(text), kind }, out;
	const char *why = NULL;

	if (!column_untold_value(&given, origin, &out, &why)) {
		assert_non_null(strstr(why, "`types`"));
		return "?";
	}
	return out.text.data;
}

static void
what_has_one_meaning_only_is_taken_as_it_is(void **state)
{
	(void)state;
	assert_string_equal(text_of("bob1", VALUE_TEXT, ORIGIN_TYPED), "bob1");
	assert_string_equal(text_of("bob1", VALUE_TEXT, ORIGIN_APP), "bob1");
	assert_string_equal(text_of("7", VALUE_NUMBER, ORIGIN_MAXWELL), "7");
	assert_string_equal(text_of("-7", VALUE_NUMBER, ORIGIN_DMS), "-7");
	assert_string_equal(text_of("0", VALUE_NUMBER, ORIGIN_DMS), "0");
	assert_string_equal(text_of("bob1", VALUE_TEXT, ORIGIN_CANAL), "bob1");
	assert_string_equal(text_of("true", VALUE_BOOL, ORIGIN_UNTYPED), "1");
}

static void
what_may_mean_two_things_is_asked_for(void **state)
{
	(void)state;
	assert_string_equal(text_of("18460", VALUE_NUMBER, ORIGIN_UNTYPED), "?");
	assert_string_equal(text_of("AQ==", VALUE_TEXT, ORIGIN_UNTYPED), "?");
	assert_string_equal(text_of("bob1", VALUE_TEXT, ORIGIN_MAXWELL), "?");
	assert_string_equal(text_of("10.5", VALUE_NUMBER, ORIGIN_MAXWELL), "?");
	assert_string_equal(text_of("1e3", VALUE_NUMBER, ORIGIN_DMS), "?");
	assert_string_equal(text_of("Gr\xc3\xbc\xc3\x9f"
				    "e",
				VALUE_TEXT, ORIGIN_CANAL),
	    "?");
	assert_string_equal(text_of("{}", VALUE_JSON, ORIGIN_DMS), "?");
}

/* ---- the schema ---- */

static struct config config;
static struct schema *schema;

static const struct table *
schema_for(const char *mysql, const char *table)
{
	struct config_problems problems;
	char text[2048];

	snprintf(text, sizeof(text),
	    "redis: {}\n%ssources: [{ streams: s, format: debezium, write: false, tables: [t] "
	    "}%s]\n"
	    "tables: { t: { %s } }\n",
	    mysql, mysql[0] != '\0' ? ", { streams: w, table: t }" : "", table);
	if (config_parse(&config, "f", str_of(text), &problems) != 0)
		fail_msg("%s", problems.list[0].text);
	config_problems_deinit(&problems);
	schema = schema_new(&config);
	schema_load_config(schema);
	return schema_table(schema, STR("t"));
}

static void
done(void)
{
	schema_free(&schema);
	config_deinit(&config);
}

static void
a_table_has_the_columns_that_its_configuration_names(void **state)
{
	const struct table *t = schema_for("",
	    "version: ver, invalidate: [\"a:{id}:{team}\", { key: \"b:{id}\", when: [name] }], "
	    "types: { id: int, photo: blob }");

	(void)state;
	assert_null(t->problem);
	assert_true(t->keys_only);
	assert_int_equal(t->column_count, 5);
	assert_int_equal(t->key_count, 0);
	assert_int_equal(table_column(t, STR("id"))->kind, COLUMN_INT);
	assert_true(table_column(t, STR("team"))->untold);
	assert_true(table_column(t, STR("name"))->untold);
	assert_false(table_column(t, STR("ver"))->untold);
	assert_null(table_column(t, STR("other")));
	done();
}

static void
unsigned_is_so_however_it_is_written(void **state)
{
	static const char *const written[] = { "BIGINT UNSIGNED", "bigint(20) unsigned",
		"BigInt zerofill" };

	(void)state;
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		const struct column *id;
		char table[80];

		snprintf(table, sizeof(table), "invalidate: [\"a:{id}\"], types: { id: %s }",
		    written[i]);
		id = table_column(schema_for("", table), STR("id"));
		assert_true(id->is_unsigned);
		assert_true(id->low == 0 && id->high == UINT64_MAX);
		done();
	}
}

static void
the_key_is_the_one_told_or_that_of_a_template_of_one_row(void **state)
{
	const struct table *t = schema_for("",
	    "version: ver, invalidate: [\"x:{team}\", { key: \"v:{a}:{b}\", mode: versioned }]");

	(void)state;
	assert_null(t->problem);
	assert_int_equal(t->key_count, 2);
	assert_string_equal(t->columns[t->key[0]].name, "a");
	done();
	t = schema_for("",
	    "version: ver, invalidate: [{ key: \"p:{a}\", mode: populate, ttl: 1m }]");
	assert_null(t->problem);
	assert_int_equal(t->key_count, 1);
	done();
	t = schema_for("", "key: [b], version: ver, invalidate: [\"v:{b}\"]");
	assert_int_equal(t->key_count, 1);
	done();
	t = schema_for("",
	    "key: [id], version: ver, invalidate: [{ key: \"v:{a}\", mode: versioned }]");
	assert_non_null(t->problem);
	done();
}

static void
mysql_tells_what_the_configuration_does_not(void **state)
{
	struct column columns[] = {
		{ .name = "id", .type = "bigint(20) unsigned", .key_part = 0 },
		{ .name = "token", .type = "binary(16)", .key_part = -1 },
		{ .name = "team", .type = "int(11)", .key_part = -1 },
	};
	struct table posted = { .name = "t", .columns = columns, .column_count = 3 };
	const char *mysql = "mysql: { user: a, database: b }\n";
	const struct table *t;
	uint64_t version;

	(void)state;
	type_board_post(&posted, 1);
	version = type_board_version();
	type_board_post(&posted, 1);
	assert_int_equal(type_board_version(), version);
	t = schema_for(mysql, "invalidate: [\"k:{token}:{team}\"], types: { team: varchar(3) }");
	assert_int_equal(t->key_count, 1);
	assert_string_equal(t->columns[t->key[0]].name, "id");
	assert_int_equal(table_column(t, STR("token"))->kind, COLUMN_BINARY);
	assert_int_equal(table_column(t, STR("token"))->length, 16);
	assert_int_equal(table_column(t, STR("team"))->kind, COLUMN_TEXT);
	done();
	columns[1].type = "varchar(16)";
	type_board_post(&posted, 1);
	assert_int_not_equal(type_board_version(), version);
	t = schema_for("", "invalidate: [\"k:{token}\"]");
	assert_true(table_column(t, STR("token"))->untold);
	done();
}

static bool
is_asked(const char *name)
{
	size_t count;
	const struct str *asked = schema_asked(schema, &count);

	assert_non_null(asked);
	for (size_t i = 0; i < count; i++)
		if (str_equal(asked[i], str_of(name)))
			return true;
	return false;
}

static void
events_are_asked_for_what_the_configuration_names(void **state)
{
	(void)state;
	schema_for("",
	    "key: [id], version: ver, columns: { squad: team }, set: { zone: eu }, types: { id: "
	    "int }, "
	    "invalidate: [\"a:{id}:{team}\", { key: \"b:{id}\", when: [name] }]");
	assert_true(is_asked("id") && is_asked("ver") && is_asked("team") && is_asked("name"));
	assert_true(is_asked("squad"));
	assert_false(is_asked("email"));
	done();
}

static void
of_many_columns_all_are_taken(void **state)
{
	char text[1024] = "invalidate: [\"a:{c0}\"], types: { c0: int";
	size_t count;

	(void)state;
	for (int i = 1; i < 33; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", c%d: int", i);
	strcat(text, " }");
	schema_for("", text);
	assert_null(schema_asked(schema, &count));
	done();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_understood_as_create_table_has_them),
		cmocka_unit_test(unsigned_is_so_however_it_is_written),
		cmocka_unit_test(what_is_no_type_is_none),
		cmocka_unit_test(what_has_one_meaning_only_is_taken_as_it_is),
		cmocka_unit_test(what_may_mean_two_things_is_asked_for),
		cmocka_unit_test(a_table_has_the_columns_that_its_configuration_names),
		cmocka_unit_test(the_key_is_the_one_told_or_that_of_a_template_of_one_row),
		cmocka_unit_test(mysql_tells_what_the_configuration_does_not),
		cmocka_unit_test(events_are_asked_for_what_the_configuration_names),
		cmocka_unit_test(of_many_columns_all_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
