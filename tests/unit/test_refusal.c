/* What a server's data error means, and the order rows are written in */
#include "worker/store/refusal.h"
#include "worker/store/rows_one_by_one.h"
#include "worker/store/rows_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct err
refused(int code, const char *text)
{
	struct err err = { 0 };

	err_set(&err, ERR_POISON, code, "mysql: %s", text);
	return err;
}

static void
a_duplicate_of_the_primary_key_is_told_from_one_of_an_index(void **state)
{
	struct err mysql = refused(1062, "Duplicate entry '...' for key 't.PRIMARY'");
	struct err mariadb = refused(1062, "Duplicate entry '...' for key 'PRIMARY'");
	struct err other = refused(1062, "Duplicate entry '...' for key 't.mail'");
	struct err code = refused(1406, "Data too long for key 'PRIMARY'");
	char index[80];

	(void)state;
	assert_true(refusal_is_primary(&mysql));
	assert_true(refusal_is_primary(&mariadb));
	assert_false(refusal_is_primary(&other));
	assert_false(refusal_is_primary(&code));
	refusal_index(&other, index, sizeof(index));
	assert_string_equal(index, "mail");
}

static void
a_refusal_that_other_rows_cause_is_not_local(void **state)
{
	struct table table = { .name = "t" };

	(void)state;
	assert_true(refusal_is_local(&table, 1406));
	assert_true(refusal_is_local(&table, 1264));
	assert_true(refusal_is_local(&table, REFUSAL_TOO_LARGE));
	assert_false(refusal_is_local(&table, 1062));
	assert_false(refusal_is_local(&table, 1452));
	assert_false(refusal_is_local(&table, 1644));
	assert_false(refusal_is_local(&table, 9999));
	table.has_unique = true;
	assert_false(refusal_is_local(&table, 1406));
}

static void
the_sentence_names_table_column_and_code(void **state)
{
	struct table table = { .name = "users" };
	struct err err = refused(1406, "Data too long for column 'name' at row 1");
	struct buf b;

	(void)state;
	buf_init(&b);
	refusal_sentence(&b, &table, &err, NULL);
	assert_string_equal(b.data, "table users: Data too long for column 'name' [1406]");
	err = refused(1062, "Duplicate entry '...' for key 'mail'");
	buf_reset(&b);
	refusal_sentence(&b, &table, &err, "host, mail");
	assert_string_equal(b.data,
	    "table users: Duplicate entry '...' for key 'mail' (columns host, mail) [1062]");
	buf_deinit(&b);
}

static void
what_could_not_happen_means_that_the_table_has_changed(void **state)
{
	struct table table = { .name = "t", .has_unique = true };
	struct shape shape = { .table = &table, .covers_required = true };
	struct step step = { .shape = &shape };
	struct err err = refused(1364, "Field 'x' doesn't have a default value");

	(void)state;
	assert_true(refusal_doubts_schema(&step, &err));
	shape.covers_required = false;
	assert_false(refusal_doubts_schema(&step, &err));
	err = refused(1406, "Data too long for column 'x'");
	assert_true(refusal_doubts_schema(&step, &err));
	step.alone = true;
	assert_false(refusal_doubts_schema(&step, &err));
	err = refused(1062, "Duplicate entry '...' for key 'mail'");
	assert_false(refusal_doubts_schema(&step, &err));
	err = refused(1452, "a foreign key constraint fails");
	assert_true(refusal_doubts_schema(&step, &err));
}

/* Our own check lets no such value of a key pass; see statement_insert.c. */
static void
an_impossible_key_means_a_unique_index_that_we_do_not_know(void **state)
{
	struct column columns[] = { { .name = "id" }, { .name = "n", .key_part = -1 } };
	struct table table = { .name = "t", .columns = columns, .column_count = 2, .key_count = 1 };
	struct shape shape = { .table = &table, .covers_required = true, .adds = true };
	struct step step = { .shape = &shape };
	struct err err = refused(1264, "Out of range value for column 'n' at row 3");

	(void)state;
	assert_false(refusal_doubts_schema(&step, &err));
	err = refused(1264, "Out of range value for column 'id' at row 3");
	assert_true(refusal_doubts_schema(&step, &err));
	err = refused(1048, "Column 'id' cannot be null");
	assert_true(refusal_doubts_schema(&step, &err));
	err = refused(1292, "Incorrect datetime value: '...' for column `shop`.`t`.`id` at row 1");
	assert_true(refusal_doubts_schema(&step, &err));
	err = refused(1292, "Incorrect datetime value: '...' for column `id`.`t`.`n` at row 1");
	assert_false(refusal_doubts_schema(&step, &err));
	err = refused(1264, "Out of range value for column 'i");
	assert_false(refusal_doubts_schema(&step, &err));
}

static void
a_parent_may_come_by_any_other_stream_that_lists_it(void **state)
{
	const char *streams[] = { "s:0", "s:1" }, *one[] = { "s:0" },
		   *names[] = { "parent", "child" };
	struct table parent = { .name = "parent" }, child = { .name = "child" };
	const struct table *parents[] = { &parent };
	struct config_source source = {
		.streams = streams, .stream_count = 2, .tables = names, .table_count = 2
	};
	struct config config = { .sources = &source, .source_count = 1 };
	struct lane lane = { .stream = "s:0", .source = &source };

	(void)state;
	child.parents = parents;
	child.parent_count = 1;
	assert_true(one_by_one_parent_may_come(&config, &child, &lane));
	assert_false(one_by_one_parent_may_come(&config, &parent, &lane));
	source.streams = one;
	source.stream_count = 1;
	assert_false(one_by_one_parent_may_come(&config, &child, &lane));
}

/* Steps of one table each, in the order given; the plan must bring `expected`. */
struct fixture {
	struct column column;
	struct table tables[3];
	struct shape shapes[3];
	struct bucket buckets[6];
	struct step steps[6];
	struct value keys[6];
	struct batch batch;
};

static void
add_step(struct fixture *f, unsigned shape, const char *key, unsigned round)
{
	unsigned i = f->batch.steps++;

	f->keys[i] = (struct value){ str_of(key), VALUE_NUMBER };
	f->steps[i] = (struct step){ .shape = &f->shapes[shape],
		.key = &f->keys[i],
		.round = round,
		.changes = 1,
		.bucket = &f->buckets[i] };
	f->buckets[i] = (struct bucket){ .table = f->shapes[shape].table,
		.first = &f->steps[i],
		.last = &f->steps[i],
		.next = f->batch.buckets };
	f->batch.buckets = &f->buckets[i];
}

static void
start(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->column = (struct column){ .name = "id", .kind = COLUMN_INT, .type = "int(11)" };
	for (unsigned i = 0; i < 3; i++) {
		f->tables[i] = (struct table){ .name = "t",
			.columns = &f->column,
			.key_count = 1,
			.rank = i,
			.has_foreign_key = i > 0,
			.version_column = -1 };
		f->shapes[i] = (struct shape){ .table = &f->tables[i],
			.id = 9 - i,
			.kind = SHAPE_UPSERT,
			.covers_required = true };
	}
}

static void
expect_order(struct fixture *f, const char *const *keys)
{
	struct rows_plan *plan = rows_plan_of(&f->batch, true);

	assert_int_equal(plan->count, f->batch.steps);
	for (unsigned i = 0; i < plan->count; i++)
		assert_string_equal(plan->order[i]->key[0].text.data, keys[i]);
	rows_forget(&f->batch);
	assert_null(f->batch.prepared);
}

static void
integer_keys_are_written_in_numeric_order(void **state)
{
	const char *keys[] = { "-20", "-3", "0", "9", "10" };
	struct fixture f;

	(void)state;
	start(&f);
	add_step(&f, 0, "10", 0);
	add_step(&f, 0, "9", 0);
	add_step(&f, 0, "-3", 0);
	add_step(&f, 0, "-20", 0);
	add_step(&f, 0, "0", 0);
	expect_order(&f, keys);
}

static void
parents_come_before_children_and_a_later_round_after_all(void **state)
{
	const char *keys[] = { "5", "4", "3", "1" };
	struct fixture f;

	(void)state;
	start(&f);
	add_step(&f, 0, "1", 1);
	add_step(&f, 2, "3", 0);
	add_step(&f, 1, "4", 0);
	add_step(&f, 0, "5", 0);
	expect_order(&f, keys);
}

static void
children_are_deleted_before_their_parents_and_after_the_upserts(void **state)
{
	const char *keys[] = { "7", "6", "2", "1" };
	struct fixture f;

	(void)state;
	start(&f);
	f.shapes[0].kind = f.shapes[1].kind = f.shapes[2].kind = SHAPE_DELETE;
	f.tables[1].rank = 0; /* the parent of table 2 */
	add_step(&f, 1, "1", 0);
	add_step(&f, 2, "2", 0);
	add_step(&f, 0, "7", 0);
	add_step(&f, 0, "6", 0);
	/* an upsert of the parent's table */
	struct shape upsert = f.shapes[1];
	upsert.kind = SHAPE_UPSERT;
	f.steps[3].shape = &upsert;
	expect_order(&f, keys);
}

static void
text_is_built_ahead_and_found_by_its_first_step(void **state)
{
	struct rows_limits limits = { .rows_max = 2, .bytes_max = 4096 };
	const struct rows_text *text;
	struct rows_plan *plan;
	struct fixture f;

	(void)state;
	start(&f);
	add_step(&f, 0, "1", 0);
	add_step(&f, 0, "2", 0);
	add_step(&f, 0, "3", 0);
	rows_prepare(&f.batch, &limits, true);
	plan = f.batch.prepared;
	assert_int_equal(plan->text_count, 2);
	text = rows_plan_text(plan, plan->order, 3);
	assert_non_null(text);
	assert_int_equal(text->count, 2);
	assert_null(rows_plan_text(plan, plan->order, 1)); /* after halving it says too much */
	assert_null(rows_plan_text(plan, plan->order + 1, 2));
	assert_non_null(rows_plan_text(plan, plan->order + 2, 1));
	rows_forget(&f.batch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_duplicate_of_the_primary_key_is_told_from_one_of_an_index),
		cmocka_unit_test(a_refusal_that_other_rows_cause_is_not_local),
		cmocka_unit_test(the_sentence_names_table_column_and_code),
		cmocka_unit_test(what_could_not_happen_means_that_the_table_has_changed),
		cmocka_unit_test(an_impossible_key_means_a_unique_index_that_we_do_not_know),
		cmocka_unit_test(a_parent_may_come_by_any_other_stream_that_lists_it),
		cmocka_unit_test(integer_keys_are_written_in_numeric_order),
		cmocka_unit_test(parents_come_before_children_and_a_later_round_after_all),
		cmocka_unit_test(children_are_deleted_before_their_parents_and_after_the_upserts),
		cmocka_unit_test(text_is_built_ahead_and_found_by_its_first_step),
	};

	return cmocka_run_group_tests_name("refusal and plan", tests, NULL, NULL);
}
