#include "tests/support/batch_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One change after another into a batch: which become one, and which must not. */

static struct rig rig;

static int
setup(void **state)
{
	(void)state;
	rig_start(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_end(&rig);
	return 0;
}

static void
add(const char *fields)
{
	assert_null(rig_add(&rig, 0, fields)->refusal.reason);
}

static void
assert_value(unsigned step, const char *column, const char *text)
{
	assert_non_null(rig_step(&rig, step));
	assert_string_equal(rig_value(rig_step(&rig, step), column), text);
}

static void
assert_rounds(unsigned steps, unsigned rounds)
{
	assert_int_equal(rig.batch.steps, steps);
	assert_int_equal(rig.batch.rounds, rounds);
}

/* ---- sets ---- */

static void
the_newest_value_wins_column_by_column(void **state)
{
	(void)state;
	add("id=1 a=1 b=1");
	add("id=1 b=2 n=3");
	assert_rounds(1, 1);
	assert_value(0, "a", "1");
	assert_value(0, "b", "2");
	assert_value(0, "n", "3");
	assert_int_equal(rig.batch.folded, 1);
}

static void
changes_of_different_rows_share_a_round(void **state)
{
	(void)state;
	add("id=1 a=1");
	add("id=2 a=1");
	add("id=3 _op=delete");
	assert_rounds(3, 1);
}

static void
a_null_set_after_a_value_stays_null(void **state)
{
	(void)state;
	add("id=1 a=1");
	add("id=1 _null=a");
	assert_rounds(1, 1);
	assert_value(0, "a", "NULL");
}

static void
an_upsert_that_lacks_a_required_column_takes_over_nothing_new(void **state)
{
	(void)state;
	/* strict: whether the row is made must not depend on the second */
	add("_table=strict id=1 a=1");
	add("_table=strict id=1 name=x");
	assert_rounds(2, 2);
}

static void
an_upsert_that_lacks_a_required_column_is_folded_over_by_its_own_columns(void **state)
{
	(void)state;
	add("_table=strict id=1 a=1");
	add("_table=strict id=1 a=2");
	assert_rounds(1, 1);
	assert_value(0, "a", "2");
}

static void
a_complete_upsert_takes_over_other_columns(void **state)
{
	(void)state;
	add("_table=strict id=1 name=x");
	add("_table=strict id=1 a=2");
	assert_rounds(1, 1);
	assert_value(0, "name", "x");
	assert_value(0, "a", "2");
}

/* ---- updates and deletions ---- */

static void
an_update_then_an_upsert_keeps_two_rounds(void **state)
{
	(void)state;
	add("id=1 _op=update a=1");
	add("id=1 b=2");
	assert_rounds(2, 2);
}

static void
an_upsert_then_an_update_becomes_one_upsert(void **state)
{
	(void)state;
	add("id=1 a=1");
	add("id=1 _op=update b=2");
	assert_rounds(1, 1);
	assert_int_equal(rig_step(&rig, 0)->shape->kind, SHAPE_UPSERT);
	assert_value(0, "b", "2");
}

static void
two_updates_become_one(void **state)
{
	(void)state;
	add("id=1 _op=update a=1");
	add("id=1 _op=update b=2");
	assert_rounds(1, 1);
	assert_int_equal(rig_step(&rig, 0)->shape->kind, SHAPE_UPDATE);
}

static void
an_upsert_then_a_delete_becomes_a_delete(void **state)
{
	(void)state;
	add("id=1 a=1");
	add("id=1 _op=delete");
	assert_rounds(1, 1);
	assert_int_equal(rig_step(&rig, 0)->shape->kind, SHAPE_DELETE);
}

static void
a_delete_does_not_hide_an_upsert_that_could_be_refused(void **state)
{
	(void)state;
	/* without its required column the first is a dead letter where no row is */
	add("_table=strict id=1 a=1");
	add("_table=strict id=1 _op=delete");
	assert_rounds(2, 2);
}

static void
a_delete_does_not_hide_an_increment_that_could_overflow(void **state)
{
	(void)state;
	add("id=1 _op=incr u=200");
	add("id=1 _op=delete");
	assert_rounds(2, 2);
}

static void
a_delete_then_an_upsert_is_a_replacement_in_two_rounds(void **state)
{
	(void)state;
	add("id=1 _op=delete");
	add("id=1 a=1");
	assert_rounds(2, 2);
	assert_int_equal(rig_step(&rig, 0)->shape->kind, SHAPE_DELETE);
	assert_int_equal(rig_step(&rig, 1)->shape->kind, SHAPE_UPSERT);
}

static void
an_update_of_a_deleted_row_is_nothing(void **state)
{
	(void)state;
	add("id=1 _op=delete");
	add("id=1 _op=update a=1");
	assert_rounds(1, 1);
	assert_int_equal(rig_step(&rig, 0)->shape->kind, SHAPE_DELETE);
}

/* ---- increments ---- */

static void
increments_add_up(void **state)
{
	(void)state;
	add("id=1 _op=incr n=2");
	add("id=1 _op=incr n=-7");
	assert_rounds(1, 1);
	assert_value(0, "n", "+-5");
}

static void
a_sum_keeps_its_lowest_and_highest_on_the_way(void **state)
{
	const struct step *step;

	(void)state;
	add("id=1 _op=incr n=10");
	add("id=1 _op=incr n=-30");
	add("id=1 _op=incr n=25");
	step = rig_step(&rig, 0);
	assert_rounds(1, 1);
	assert_int_equal((int)step->sums[0].sum, 5);
	assert_int_equal((int)step->sums[0].low, -20);
	assert_int_equal((int)step->sums[0].high, 10);
}

static void
an_increment_after_a_set_becomes_a_set(void **state)
{
	(void)state;
	add("id=1 n=40");
	add("id=1 _op=incr n=2");
	assert_rounds(1, 1);
	assert_value(0, "n", "42");
}

static void
an_increment_after_a_null_counts_from_0(void **state)
{
	(void)state;
	add("id=1 _null=a");
	add("id=1 _op=incr a=2");
	assert_rounds(1, 1);
	assert_value(0, "a", "2");
}

static void
an_increment_that_would_leave_the_range_is_not_folded_into_a_set(void **state)
{
	(void)state;
	add("id=1 u=250");
	add("id=1 _op=incr u=6");
	assert_rounds(2, 2);
}

static void
a_set_does_not_hide_an_increment(void **state)
{
	(void)state;
	add("id=1 _op=incr u=200");
	add("id=1 u=1");
	assert_rounds(2, 2);
}

static void
an_increment_of_a_column_whose_default_is_not_0_waits_for_the_row(void **state)
{
	(void)state;
	/* the row that the first one makes has d = 5, so d is 6 and not 1 */
	add("id=1 a=1");
	add("id=1 _op=incr d=1");
	assert_rounds(2, 2);
}

static void
increments_of_a_double_are_not_added_up(void **state)
{
	(void)state;
	add("id=1 _op=incr f=0.1");
	add("id=1 _op=incr f=0.2");
	assert_rounds(2, 2);
}

/* ---- what is never folded ---- */

static void
a_value_that_mysql_may_refuse_stands_alone(void **state)
{
	(void)state;
	add("id=1 u=300");
	add("id=1 u=3");
	assert_rounds(2, 2);
	assert_true(rig_step(&rig, 0)->alone);
	assert_false(rig_step(&rig, 1)->alone);
}

static void
a_guarded_column_is_not_folded_over(void **state)
{
	(void)state;
	add("id=1 g=1");
	add("id=1 g=2");
	assert_rounds(2, 2);
}

static void
an_unguarded_change_folds_into_a_guarded_one(void **state)
{
	(void)state;
	add("id=1 g=1");
	add("id=1 a=2");
	assert_rounds(1, 1);
}

static void
two_spellings_of_a_key_keep_their_order(void **state)
{
	(void)state;
	add("_table=words id=Bob a=1");
	add("_table=words id=bob a=2");
	assert_rounds(2, 2);
	assert_ptr_equal(rig_step(&rig, 0)->bucket, rig_step(&rig, 1)->bucket);
}

static void
an_ordered_table_keeps_the_order_of_all_its_changes(void **state)
{
	(void)state;
	add("_table=logged id=1 a=1");
	add("_table=logged id=2 a=1");
	add("_table=logged id=1 a=2");
	assert_rounds(3, 3);
	assert_int_equal(rig.batch.folded, 0);
}

/* ---- given versions ---- */

static void
a_newer_version_that_sets_the_same_columns_is_folded(void **state)
{
	(void)state;
	add("_table=versioned id=1 a=1 _version=5");
	add("_table=versioned id=1 a=2 b=2 _version=7");
	assert_rounds(1, 1);
	assert_value(0, "a", "2");
	assert_int_equal(rig_step(&rig, 0)->version, 7);
}

static void
a_newer_version_that_sets_fewer_columns_is_not_folded(void **state)
{
	(void)state;
	/* on a row of version 6 the first is nothing */
	add("_table=versioned id=1 a=1 _version=5");
	add("_table=versioned id=1 b=1 _version=7");
	assert_rounds(2, 2);
}

static void
an_older_version_is_dropped_and_stays_in_the_list(void **state)
{
	(void)state;
	add("_table=versioned id=1 a=1 _version=7");
	add("_table=versioned id=1 a=2 _version=5");
	add("_table=versioned id=1 a=3 _version=7");
	assert_rounds(1, 1);
	assert_int_equal(rig.batch.older, 2);
	assert_value(0, "a", "1");
	/* to be tried again when the first is refused */
	assert_non_null(rig_step(&rig, 0)->first_change->next_of_key->next_of_key);
}

static void
an_older_version_behind_a_deletion_is_tried(void **state)
{
	(void)state;
	/* a row that is gone has no version */
	add("_table=versioned id=1 _op=delete _version=7");
	add("_table=versioned id=1 a=2 _version=5");
	assert_rounds(2, 2);
	assert_int_equal(rig.batch.older, 0);
}

static void
an_older_version_behind_one_that_may_be_refused_is_tried(void **state)
{
	(void)state;
	add("_table=versioned id=1 a=abc _version=7");
	add("_table=versioned id=1 a=2 _version=5");
	assert_rounds(2, 2);
	assert_int_equal(rig.batch.older, 0);
}

static void
versioned_increments_are_not_added_up(void **state)
{
	(void)state;
	add("_table=versioned id=1 _op=incr a=1 _version=5");
	add("_table=versioned id=1 _op=incr a=1 _version=6");
	assert_rounds(2, 2);
}

/* ---- keys ---- */

static void
a_key_is_touched_once_however_often_it_changes(void **state)
{
	(void)state;
	add("id=1 a=1");
	add("id=1 a=2");
	add("id=2 _op=invalidate");
	assert_non_null(rig.batch.touched);
	assert_non_null(rig.batch.touched->next);
	assert_null(rig.batch.touched->next->next);
	assert_int_equal(rig.batch.steps, 1);
}

static void
a_refused_entry_changes_and_touches_nothing(void **state)
{
	const struct entry *e = rig_add(&rig, 0, "id=1 nosuch=1");

	(void)state;
	assert_string_equal(e->refusal.reason, REASON_UNKNOWN_COLUMN);
	assert_null(rig.batch.touched);
	assert_int_equal(rig.batch.steps, 0);
	assert_true(rig.batch.wants_schema);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_newest_value_wins_column_by_column),
		TEST(changes_of_different_rows_share_a_round),
		TEST(a_null_set_after_a_value_stays_null),
		TEST(an_upsert_that_lacks_a_required_column_takes_over_nothing_new),
		TEST(an_upsert_that_lacks_a_required_column_is_folded_over_by_its_own_columns),
		TEST(a_complete_upsert_takes_over_other_columns),
		TEST(an_update_then_an_upsert_keeps_two_rounds),
		TEST(an_upsert_then_an_update_becomes_one_upsert),
		TEST(two_updates_become_one),
		TEST(an_upsert_then_a_delete_becomes_a_delete),
		TEST(a_delete_does_not_hide_an_upsert_that_could_be_refused),
		TEST(a_delete_does_not_hide_an_increment_that_could_overflow),
		TEST(a_delete_then_an_upsert_is_a_replacement_in_two_rounds),
		TEST(an_update_of_a_deleted_row_is_nothing),
		TEST(increments_add_up),
		TEST(a_sum_keeps_its_lowest_and_highest_on_the_way),
		TEST(an_increment_after_a_set_becomes_a_set),
		TEST(an_increment_after_a_null_counts_from_0),
		TEST(an_increment_that_would_leave_the_range_is_not_folded_into_a_set),
		TEST(a_set_does_not_hide_an_increment),
		TEST(an_increment_of_a_column_whose_default_is_not_0_waits_for_the_row),
		TEST(increments_of_a_double_are_not_added_up),
		TEST(a_value_that_mysql_may_refuse_stands_alone),
		TEST(a_guarded_column_is_not_folded_over),
		TEST(an_unguarded_change_folds_into_a_guarded_one),
		TEST(two_spellings_of_a_key_keep_their_order),
		TEST(an_ordered_table_keeps_the_order_of_all_its_changes),
		TEST(a_newer_version_that_sets_the_same_columns_is_folded),
		TEST(a_newer_version_that_sets_fewer_columns_is_not_folded),
		TEST(an_older_version_is_dropped_and_stays_in_the_list),
		TEST(an_older_version_behind_a_deletion_is_tried),
		TEST(an_older_version_behind_one_that_may_be_refused_is_tried),
		TEST(versioned_increments_are_not_added_up),
		TEST(a_key_is_touched_once_however_often_it_changes),
		TEST(a_refused_entry_changes_and_touches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
