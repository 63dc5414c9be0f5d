/* SQL text from steps */
#include "worker/store/statement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define INT_COLUMN(n)               \
	{ .name = n,                \
		.kind = COLUMN_INT, \
		.type = "int(11)",  \
		.low = INT32_MIN,   \
		.high = INT32_MAX,  \
		.nullable = true,   \
		.key_part = -1 }

enum { ID, NAME, COUNT, PRICE, VERSION, COLUMNS };

/* The row that ON DUPLICATE KEY met must be the one of the key. */
#define SAME_ROW "`id`=IF(`t`.`id`=VALUES(`id`),`t`.`id`,99999999999999999999)"
#define SAME_ROW_NEW "`id`=IF(`t`.`id`=sluice_new.`id`,`t`.`id`,99999999999999999999)"

static const struct column usual[COLUMNS] = {
	[ID] = INT_COLUMN("id"),
	[NAME] = { .name = "na`me",
	    .kind = COLUMN_TEXT,
	    .type = "varchar(9)",
	    .length = 9,
	    .charset = "utf8mb4",
	    .collation = "utf8mb4_bin",
	    .key_part = -1 },
	[COUNT] = { .name = "n",
	    .kind = COLUMN_INT,
	    .type = "tinyint(3) unsigned",
	    .high = 255,
	    .is_unsigned = true,
	    .key_part = -1 },
	[PRICE] = { .name = "p",
	    .kind = COLUMN_DECIMAL,
	    .type = "decimal(4,2)",
	    .precision = 4,
	    .scale = 2,
	    .key_part = -1 },
	[VERSION] = { .name = "v", .kind = COLUMN_INT, .type = "bigint(20)", .key_part = -1 },
};

/* A table, a shape and up to four steps of it. */
struct fixture {
	struct column columns[COLUMNS];
	struct table table;
	struct shape_column shape_columns[COLUMNS];
	struct shape shape;
	struct value keys[4], values[4][COLUMNS];
	struct sum sums[4][COLUMNS];
	struct step steps[4], *list[4];
	struct statement statement;
	struct buf out;
};

static struct value
number(const char *text)
{
	return (struct value){ str_of(text), VALUE_NUMBER };
}

static struct value
text(const char *value)
{
	return (struct value){ str_of(value), VALUE_TEXT };
}

static void
start(struct fixture *f, enum shape_kind kind, bool mariadb)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->columns, usual, sizeof(usual));
	f->table = (struct table){ .name = "t",
		.columns = f->columns,
		.column_count = COLUMNS,
		.key = { ID },
		.key_count = 1,
		.version_column = -1 };
	f->shape = (struct shape){ .table = &f->table,
		.kind = kind,
		.columns = f->shape_columns,
		.covers_required = true,
		.foldable = true };
	for (unsigned i = 0; i < 4; i++) {
		f->steps[i] = (struct step){ .shape = &f->shape,
			.key = &f->keys[i],
			.values = f->values[i],
			.sums = f->sums[i],
			.changes = 1,
			.version = 7 + i };
		f->list[i] = &f->steps[i];
		f->keys[i] = number(i == 0 ? "1" : i == 1 ? "2" : i == 2 ? "3" : "4");
	}
	f->statement = (struct statement){
		.steps = f->list, .count = 2, .bytes_max = 1 << 20, .mariadb = mariadb
	};
	buf_init(&f->out);
}

static void
with_column(struct fixture *f, uint16_t column, bool add, struct value a, struct value b)
{
	unsigned i = f->shape.count++;

	f->shape_columns[i] = (struct shape_column){ column, add };
	f->shape.adds |= add;
	f->values[0][i] = a;
	f->values[1][i] = b;
	f->values[2][i] = a;
	f->values[3][i] = b;
}

static void
with_version(struct fixture *f, enum config_version version)
{
	f->table.version = version;
	f->table.version_column = VERSION;
}

static void
expect(struct fixture *f, enum statement_form form, unsigned steps, const char *sql)
{
	buf_reset(&f->out);
	assert_int_equal(statement_add(&f->out, &f->statement, form), steps);
	assert_string_equal(f->out.data != NULL ? f->out.data : "", sql);
}

static void
a_complete_upsert_is_one_statement(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	with_column(&f, NAME, false, text("it's"), (struct value){ .kind = VALUE_NULL });
	with_column(&f, PRICE, false, number("1.5"), number("2"));
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPSERT);
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t` (`id`,`na``me`,`p`) VALUES (1,'it\\'s','1.5'),"
	    "(2,NULL,'2') ON DUPLICATE KEY UPDATE " SAME_ROW ","
	    "`na``me`=VALUES(`na``me`),`p`=VALUES(`p`)");
	f.statement.mariadb = false;
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t` (`id`,`na``me`,`p`) VALUES (1,'it\\'s','1.5'),"
	    "(2,NULL,'2') AS sluice_new ON DUPLICATE KEY UPDATE " SAME_ROW_NEW ","
	    "`na``me`=sluice_new.`na``me`,`p`=sluice_new.`p`");
	buf_deinit(&f.out);
}

static void
a_given_version_is_assigned_last_and_over_null(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	with_version(&f, VERSION_GIVEN);
	with_column(&f, COUNT, false, number("1"), number("2"));
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t` (`id`,`n`,`v`) VALUES (1,1,7),(2,2,8)"
	    " ON DUPLICATE KEY UPDATE " SAME_ROW ","
	    "`n`=IF(`t`.`v` IS NULL OR `t`.`v`<VALUES(`v`),VALUES(`n`),`t`.`n`),"
	    "`v`=IF(`t`.`v` IS NULL OR `t`.`v`<VALUES(`v`),VALUES(`v`),`t`.`v`)");
	buf_deinit(&f.out);
}

static void
a_counter_rises_by_the_changes_folded(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, false);
	with_version(&f, VERSION_COUNTER);
	with_column(&f, COUNT, true, number("1"), number("2"));
	f.steps[1].changes = 3;
	f.sums[1][0] = (struct sum){ 2, 0, 2 };
	f.sums[0][0] = (struct sum){ 1, 0, 1 };
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t` (`id`,`n`,`v`) VALUES"
	    " (1,1,UNIX_TIMESTAMP(NOW(6))*1000000+0),(2,2,UNIX_TIMESTAMP(NOW(6))*1000000+2)"
	    " AS sluice_new ON DUPLICATE KEY UPDATE " SAME_ROW_NEW ","
	    "`n`=COALESCE(`t`.`n`,0)+sluice_new.`n`,"
	    "`v`=COALESCE(`t`.`v`,0)+sluice_new.`v`-UNIX_TIMESTAMP(NOW(6))*1000000+1");
	f.statement.count = 1;
	expect(&f, STATEMENT_UPDATE, 1,
	    "UPDATE `t` t SET t.`n`=COALESCE(t.`n`,0)+1,"
	    "t.`v`=COALESCE(t.`v`,0)+1 WHERE t.`id`=1");
	buf_deinit(&f.out);
}

static void
a_partial_upsert_looks_each_row_up_by_key(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	f.shape.covers_required = false;
	with_version(&f, VERSION_GIVEN);
	with_column(&f, NAME, false, text("a"), text("b"));
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE);
	expect(&f, STATEMENT_UPDATE, 2,
	    "UPDATE (WITH v(k0,c0,w) AS (VALUES (1,'a',7),(2,'b',8))"
	    " SELECT * FROM v) v STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`id`=v.k0 SET "
	    "t.`na``me`=v.c0,t.`v`=v.w"
	    " WHERE t.`v` IS NULL OR t.`v`<v.w");
	f.statement.mariadb = false;
	expect(&f, STATEMENT_UPDATE, 2,
	    "UPDATE (VALUES ROW(1,'a',7),ROW(2,'b',8)) AS v(k0,c0,w)"
	    " STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`id`=v.k0 SET "
	    "t.`na``me`=v.c0,t.`v`=v.w"
	    " WHERE t.`v` IS NULL OR t.`v`<v.w");
	f.statement.count = 1;
	expect(&f, STATEMENT_UPDATE, 1,
	    "UPDATE `t` t SET t.`na``me`='a',t.`v`=7 WHERE t.`id`=1"
	    " AND (t.`v` IS NULL OR t.`v`<7)");
	buf_deinit(&f.out);
}

static void
a_sum_that_hides_a_refusal_is_guarded(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	with_column(&f, COUNT, true, number("1"), number("1"));
	f.sums[0][0] = (struct sum){ 1, 0, 1 };
	f.steps[0].changes = 2;
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPSERT);
	f.sums[0][0] = (struct sum){ 1, -4, 1 };
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE_GUARDED);
	f.statement.count = 1;
	expect(&f, STATEMENT_UPDATE_GUARDED, 1,
	    "UPDATE `t` t SET t.`n`=IF(COALESCE(t.`n`,0)+-4<0 OR"
	    " COALESCE(t.`n`,0)+1>255,256,COALESCE(t.`n`,0)+1) WHERE t.`id`=1");
	assert_true(statement_sums_overflow(f.list[0]));
	buf_deinit(&f.out);
}

static void
a_decimal_sum_is_guarded_at_its_scale(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPDATE, true);
	with_column(&f, PRICE, true, number("0.50"), number("0.50"));
	f.sums[0][0] = (struct sum){ 50, -25, 75 };
	f.steps[0].changes = 2;
	f.statement.count = 1;
	expect(&f, STATEMENT_UPDATE_GUARDED, 1,
	    "UPDATE `t` t SET t.`p`=IF(COALESCE(t.`p`,0)+-0.25<-99.99 OR"
	    " COALESCE(t.`p`,0)+0.75>99.99,100.00,COALESCE(t.`p`,0)+0.50) WHERE t.`id`=1");
	buf_deinit(&f.out);
}

static void
an_upsert_that_the_server_could_misread_takes_the_other_form(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	with_column(&f, COUNT, true, number("-1"), number("1"));
	f.sums[0][0] = (struct sum){ -1, -1, 0 };
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE); /* negative on UNSIGNED */
	f.sums[0][0] = (struct sum){ 1, 0, 1 };
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPSERT);
	f.table.has_unique = true;
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE);
	f.table.has_unique = false;
	f.table.has_check = true;
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE);
	f.table.has_check = false;
	f.table.ordered = true;
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE);
	f.table.ordered = false;
	f.steps[0].alone = true;
	assert_int_equal(statement_form(f.list[0]), STATEMENT_UPDATE);
	buf_deinit(&f.out);
}

static void
a_deletion_spares_newer_rows(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_DELETE, true);
	expect(&f, STATEMENT_DELETE, 2,
	    "DELETE t FROM (WITH v(k0) AS (VALUES (1),(2)) SELECT * FROM v) v"
	    " STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`id`=v.k0");
	with_version(&f, VERSION_GIVEN);
	f.statement.count = 1;
	expect(&f, STATEMENT_DELETE, 1,
	    "DELETE t FROM `t` t WHERE t.`id`=1 AND"
	    " (t.`v` IS NULL OR t.`v`<7)");
	buf_deinit(&f.out);
}

static void
a_hostile_value_or_name_stays_a_value_or_name(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	f.table.name = "t` SET x=1; --";
	with_column(&f, COUNT, false, number("1),(2"), text("');DROP TABLE t;--\\"));
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t`` SET x=1; --` (`id`,`n`) VALUES"
	    " (1,'1),(2'),(2,'\\');DROP TABLE t;--\\\\') ON DUPLICATE KEY UPDATE "
	    "`id`=IF(`t`` SET x=1; --`.`id`=VALUES(`id`),`t`` SET x=1; --`.`id`,"
	    "99999999999999999999),`n`=VALUES(`n`)");
	buf_deinit(&f.out);
}

static void
a_statement_ends_at_its_byte_limit(void **state)
{
	struct fixture f;
	size_t whole, two;

	(void)state;
	start(&f, SHAPE_UPDATE, true);
	with_column(&f, NAME, false, text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	    text("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"));
	f.statement.count = 4;
	assert_int_equal(statement_add(&f.out, &f.statement, STATEMENT_UPDATE), 4);
	whole = f.out.len;
	f.statement.bytes_max = whole - 1;
	buf_reset(&f.out);
	two = statement_add(&f.out, &f.statement, STATEMENT_UPDATE);
	assert_in_range(two, 1, 3);
	assert_true(f.out.len <= f.statement.bytes_max);
	f.statement.bytes_max = 40;
	buf_reset(&f.out);
	assert_int_equal(statement_add(&f.out, &f.statement, STATEMENT_UPDATE), 0);
	assert_int_equal(f.out.len, 0);
	assert_int_equal(statement_add_insert(&f.out, &f.statement), 0);
	assert_int_equal(f.out.len, 0);
	buf_deinit(&f.out);
}

static void
kinds_never_mix_in_a_column(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPDATE, true);
	with_column(&f, COUNT, false, number("1"), text("x"));
	f.statement.count = 4;
	assert_int_equal(statement_add(&f.out, &f.statement, STATEMENT_UPDATE), 1);
	f.values[1][0] = (struct value){ .kind = VALUE_NULL };
	f.values[2][0] = (struct value){ STR("\xff"), VALUE_BINARY };
	buf_reset(&f.out);
	assert_int_equal(statement_add(&f.out, &f.statement, STATEMENT_UPDATE), 2);
	buf_deinit(&f.out);
}

static void
a_text_key_is_compared_in_its_own_collation(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_DELETE, true);
	f.table.key[0] = NAME;
	f.keys[0] = text("a");
	f.keys[1] = text("b");
	expect(&f, STATEMENT_DELETE, 2,
	    "DELETE t FROM (WITH v(k0) AS (VALUES ('a'),('b')) SELECT * FROM v) v"
	    " STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`na``me`=v.k0 COLLATE utf8mb4_bin");
	f.columns[NAME].charset = "latin1";
	f.columns[NAME].collation = "latin1_bin";
	expect(&f, STATEMENT_DELETE, 2,
	    "DELETE t FROM (WITH v(k0) AS (VALUES ('a'),('b')) SELECT * FROM v) v"
	    " STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`na``me`=CONVERT(v.k0 USING latin1) "
	    "COLLATE latin1_bin");
	/* CONVERT would make it a question mark, another row's key */
	f.keys[1] = text("\xe6\x97\xa5");
	assert_int_equal(statement_add(&f.out, &f.statement, STATEMENT_DELETE), 1);
	buf_deinit(&f.out);
}

static void
a_key_is_written_as_the_server_stores_it(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_DELETE, true);
	f.statement.count = 1;
	f.table.key[0] = NAME;
	f.columns[NAME].type = "char(9)";
	f.keys[0] = text("a  ");
	expect(&f, STATEMENT_DELETE, 1, "DELETE t FROM `t` t WHERE t.`na``me`='a'");
	f.columns[NAME].kind = COLUMN_BINARY;
	f.columns[NAME].type = "binary(3)";
	f.columns[NAME].length = 3;
	f.keys[0] = (struct value){ STR("a"), VALUE_BINARY };
	expect(&f, STATEMENT_DELETE, 1, "DELETE t FROM `t` t WHERE t.`na``me`=_binary'a\\0\\0'");
	buf_deinit(&f.out);
}

static void
missing_rows_are_asked_for_by_index(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, false);
	assert_int_equal(statement_add_missing(&f.out, &f.statement), 2);
	assert_string_equal(f.out.data,
	    "SELECT v.i FROM (VALUES ROW(0,1),ROW(1,2)) AS v(i,k0)"
	    " LEFT JOIN `t` t FORCE INDEX (PRIMARY) ON t.`id`=v.k0 WHERE t.`id` IS NULL");
	buf_reset(&f.out);
	assert_int_equal(statement_add_lock(&f.out, &f.statement), 2);
	assert_string_equal(f.out.data,
	    "SELECT 1 FROM (VALUES ROW(1),ROW(2)) AS v(k0)"
	    " STRAIGHT_JOIN `t` t FORCE INDEX (PRIMARY) ON t.`id`=v.k0 FOR UPDATE NOWAIT");
	buf_deinit(&f.out);
}

static void
an_upsert_of_a_key_alone_changes_no_row(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, SHAPE_UPSERT, true);
	assert_true(statement_sets_nothing(f.list[0]));
	expect(&f, STATEMENT_UPSERT, 2,
	    "INSERT INTO `t` (`id`) VALUES (1),(2)"
	    " ON DUPLICATE KEY UPDATE " SAME_ROW);
	with_version(&f, VERSION_CLOCK);
	assert_false(statement_sets_nothing(f.list[0]));
	buf_deinit(&f.out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_complete_upsert_is_one_statement),
		cmocka_unit_test(a_given_version_is_assigned_last_and_over_null),
		cmocka_unit_test(a_counter_rises_by_the_changes_folded),
		cmocka_unit_test(a_partial_upsert_looks_each_row_up_by_key),
		cmocka_unit_test(a_sum_that_hides_a_refusal_is_guarded),
		cmocka_unit_test(a_decimal_sum_is_guarded_at_its_scale),
		cmocka_unit_test(an_upsert_that_the_server_could_misread_takes_the_other_form),
		cmocka_unit_test(a_deletion_spares_newer_rows),
		cmocka_unit_test(a_hostile_value_or_name_stays_a_value_or_name),
		cmocka_unit_test(a_statement_ends_at_its_byte_limit),
		cmocka_unit_test(kinds_never_mix_in_a_column),
		cmocka_unit_test(a_text_key_is_compared_in_its_own_collation),
		cmocka_unit_test(a_key_is_written_as_the_server_stores_it),
		cmocka_unit_test(missing_rows_are_asked_for_by_index),
		cmocka_unit_test(an_upsert_of_a_key_alone_changes_no_row),
	};

	return cmocka_run_group_tests_name("statement", tests, NULL, NULL);
}
