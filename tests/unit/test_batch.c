#include "tests/support/batch_rig.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Cursors, limits, lanes that leave, and the way a batch goes. */

static struct rig rig;

static int
setup(void **state)
{
	(void)state;
	clock_fake(1000000);
	rig_start(&rig);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_end(&rig);
	clock_fake(-1);
	return 0;
}

static struct position
at(uint64_t n)
{
	return (struct position){ n, 0 };
}

static void
assert_at(struct position place, uint64_t n)
{
	assert_int_equal(place.major, n);
}

/* Entries 1 … n of lane 0, each of a row of its own. */
static void
add_rows(unsigned n)
{
	char fields[32];

	for (unsigned i = 1; i <= n; i++) {
		snprintf(fields, sizeof(fields), "id=%u a=1", i);
		rig_add(&rig, 0, fields);
	}
}

/* ---- taking ---- */

static void
the_cursor_follows_what_is_taken(void **state)
{
	(void)state;
	add_rows(3);
	assert_at(rig.lanes[0].cursor, 3);
	assert_at(rig.lanes[1].cursor, 0);
	assert_int_equal(rig.batch.entries, 3);
	assert_int_equal(rig.lanes[0].unreleased_bytes, 300);
}

static void
an_entry_behind_the_cursor_is_not_taken_again(void **state)
{
	struct delivery *d = rig_delivery(&rig, 0, "id=1 a=1");

	(void)state;
	rig.lanes[0].cursor = at(1);
	batch_take(&rig.batch, &d, 1000, SIZE_MAX);
	assert_true(batch_is_empty(&rig.batch));
	assert_null(d);
}

static void
an_entry_of_a_lane_that_is_not_open_is_left_out(void **state)
{
	(void)state;
	lane_hold(&rig.lanes[0], LANE_WHY_ROW_LOCK, 1);
	rig_add(&rig, 0, "id=1 a=1");
	rig_add(&rig, 1, "id=2 a=1");
	assert_int_equal(rig.batch.entries, 1);
	assert_at(rig.lanes[0].cursor, 0);
}

static void
an_entry_at_or_below_the_position_is_only_invalidated(void **state)
{
	(void)state;
	rig.lanes[0].position = at(2);
	add_rows(3);
	assert_int_equal(rig.batch.entries, 3);
	assert_int_equal(rig.batch.writes, 1);
	assert_int_equal(rig.batch.steps, 1);
	assert_non_null(rig.batch.touched->next->next);
}

static void
what_is_invalidated_again_moves_no_lane_and_writes_nothing(void **state)
{
	struct delivery *d = rig_delivery(&rig, 0, "id=1 a=1");

	(void)state;
	rig.lanes[0].position = rig.lanes[0].cursor = at(9);
	batch_take_again(&rig.batch, &rig.lanes[0], &d);
	assert_null(d);
	assert_ptr_equal(rig.batch.again, &rig.lanes[0]);
	assert_int_equal(rig.batch.entries, 1);
	assert_int_equal(rig.batch.writes, 0);
	assert_null(rig.batch.lanes);
	assert_true(batch_has_keys(&rig.batch));
	assert_false(batch_misses_keys(&rig.batch));
	rig.batch.touched->table->reads_row = true;
	assert_true(batch_misses_keys(&rig.batch));
	assert_at(rig.lanes[0].cursor, 9);
	assert_int_equal(rig.lanes[0].unreleased_bytes, 0);
}

static void
a_full_batch_leaves_the_rest_to_be_read_again(void **state)
{
	struct delivery *d = rig_delivery(&rig, 0, "id=1 a=1");
	struct delivery *more = rig_delivery(&rig, 0, "id=2 a=1");

	(void)state;
	rig_join(&rig, d, &more);
	batch_take(&rig.batch, &d, 1, SIZE_MAX);
	assert_int_equal(rig.batch.entries, 1);
	assert_true(rig.batch.full);
	assert_at(rig.lanes[0].cursor, 1);
}

static void
a_batch_is_full_when_the_next_entry_has_too_many_bytes(void **state)
{
	struct delivery *d = rig_delivery(&rig, 0, "id=2 a=1");

	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	/* the other one has the id before */
	d->first->id = at(3);
	batch_take(&rig.batch, &d, 1000, 199);
	assert_int_equal(rig.batch.entries, 1);
	assert_true(rig.batch.full);
}

static void
an_entry_larger_than_a_batch_goes_alone(void **state)
{
	struct delivery *d = rig_delivery(&rig, 0, "id=1 a=1");

	(void)state;
	batch_take(&rig.batch, &d, 1000, 10);
	assert_int_equal(rig.batch.entries, 1);
	assert_false(rig.batch.full);
}

static void
a_row_that_is_folded_takes_no_more_room(void **state)
{
	struct delivery *d;

	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	d = rig_delivery(&rig, 0, "id=1 a=2");
	batch_take(&rig.batch, &d, 2, SIZE_MAX);
	d = rig_delivery(&rig, 0, "id=1 a=3");
	batch_take(&rig.batch, &d, 2, SIZE_MAX);
	assert_int_equal(rig.batch.entries, 3);
	assert_int_equal(rig.batch.steps, 1);
}

/* ---- places ---- */

static void
a_lane_goes_from_its_position_to_its_last_entry(void **state)
{
	const struct batch_lane *bl;

	(void)state;
	rig.lanes[0].position = at(1);
	rig.lanes[0].answered = at(1);
	rig.lanes[0].cursor = at(1);
	add_rows(3);
	batch_place(&rig.batch);
	bl = batch_lane_find(&rig.batch, &rig.lanes[0]);
	assert_true(bl->writes);
	assert_at(bl->from, 1);
	assert_at(bl->to, 3);
	assert_at(bl->done, 1);
	assert_null(batch_lane_find(&rig.batch, &rig.lanes[1]));
}

static void
a_lane_that_is_only_invalidated_again_does_not_move(void **state)
{
	const struct batch_lane *bl;

	(void)state;
	rig.lanes[0].position = at(5);
	add_rows(3);
	batch_place(&rig.batch);
	bl = batch_lane_find(&rig.batch, &rig.lanes[0]);
	assert_false(bl->writes);
	assert_at(bl->from, 5);
	assert_at(bl->to, 5);
}

static void
what_was_answered_meanwhile_is_done(void **state)
{
	(void)state;
	rig.lanes[0].position = rig.lanes[0].cursor = at(2);
	add_rows(3);
	rig.lanes[0].answered = at(2);
	batch_place(&rig.batch);
	assert_at(batch_lane_find(&rig.batch, &rig.lanes[0])->done, 2);
}

/* ---- leaving ---- */

static void
a_lane_that_leaves_goes_back_to_where_it_was(void **state)
{
	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	rig_add(&rig, 1, "id=2 a=1");
	rig_add(&rig, 0, "id=3 a=1");
	batch_drop_lane(&rig.batch, &rig.lanes[0], NULL);
	assert_int_equal(rig.batch.entries, 1);
	assert_int_equal(rig.batch.steps, 1);
	assert_at(rig.lanes[0].cursor, 0);
	assert_at(rig.lanes[1].cursor, 2);
	assert_int_equal(rig.lanes[0].unreleased_bytes, 0);
	assert_null(batch_lane_find(&rig.batch, &rig.lanes[0]));
}

static void
a_lane_that_leaves_at_an_entry_keeps_what_stands_before_it(void **state)
{
	struct entry *second;

	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	second = rig_add(&rig, 0, "id=1 a=2");
	rig_add(&rig, 0, "id=1 a=3");
	batch_drop_lane(&rig.batch, &rig.lanes[0], second);
	assert_int_equal(rig.batch.entries, 1);
	assert_at(rig.lanes[0].cursor, 1);
	assert_string_equal(rig_value(rig_step(&rig, 0), "a"), "1");
	batch_place(&rig.batch);
	assert_at(batch_lane_find(&rig.batch, &rig.lanes[0])->to, 1);
}

static void
a_batch_without_the_lane_is_left_as_it_is(void **state)
{
	(void)state;
	add_rows(2);
	batch_drop_lane(&rig.batch, &rig.lanes[1], NULL);
	assert_int_equal(rig.batch.entries, 2);
}

static void
a_batch_may_become_empty(void **state)
{
	(void)state;
	add_rows(2);
	batch_drop_lane(&rig.batch, &rig.lanes[0], NULL);
	assert_true(batch_is_empty(&rig.batch));
	assert_int_equal(rig.batch.steps, 0);
	assert_null(rig.batch.touched);
}

static void
a_rebuilt_batch_is_the_same_batch(void **state)
{
	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	rig_add(&rig, 1, "id=2 nosuch=1");
	rig_add(&rig, 0, "id=1 _op=incr n=2");
	batch_seal(&rig.batch);
	batch_rebuild(&rig.batch, rig.schema);
	assert_int_equal(rig.batch.state, BATCH_SEALED);
	assert_int_equal(rig.batch.entries, 3);
	assert_int_equal(rig.batch.steps, 1);
	assert_int_equal(rig.batch.bytes, 300);
	assert_at(rig.lanes[0].cursor, 3);
	assert_at(batch_lane_find(&rig.batch, &rig.lanes[0])->after, 0);
}

static void
a_lane_of_a_table_that_is_gone_leaves_at_that_entry(void **state)
{
	struct entry *gone;

	(void)state;
	rig_add(&rig, 0, "id=1 a=1");
	gone = rig_add(&rig, 0, "_table=gone id=1");
	rig_add(&rig, 1, "id=2 a=1");
	batch_place(&rig.batch);
	assert_true(batch_check_tables(&rig.batch));
	assert_ptr_equal(batch_lane_find(&rig.batch, &rig.lanes[0])->leave_at, gone);
	assert_null(batch_lane_find(&rig.batch, &rig.lanes[1])->leave_why);
	assert_true(rig.batch.wants_schema);
}

static void
without_such_a_table_no_lane_leaves(void **state)
{
	(void)state;
	add_rows(2);
	batch_place(&rig.batch);
	assert_false(batch_check_tables(&rig.batch));
}

/* ---- too many dead letters ---- */

static void
a_lane_leaves_at_the_dead_letter_above_the_rate(void **state)
{
	const struct batch_lane *bl;
	struct entry *third;

	(void)state;
	rig_add(&rig, 0, "nokey=1");
	rig_add(&rig, 0, "id=1 a=1");
	rig_add(&rig, 0, "nokey=2");
	third = rig_add(&rig, 0, "nokey=3");
	batch_place(&rig.batch);
	assert_true(batch_check_poison(&rig.batch, 2));
	bl = batch_lane_find(&rig.batch, &rig.lanes[0]);
	assert_string_equal(bl->leave_why, LANE_WHY_POISON_RATE);
	assert_ptr_equal(bl->leave_at, third);
	assert_true(bl->leave_halts);
}

static void
dead_letters_up_to_the_rate_are_fine(void **state)
{
	(void)state;
	rig_add(&rig, 0, "nokey=1");
	rig_add(&rig, 0, "nokey=2");
	batch_place(&rig.batch);
	assert_false(batch_check_poison(&rig.batch, 2));
	assert_false(batch_check_poison(&rig.batch, 0)); /* never */
}

static void
dead_letters_of_earlier_batches_count(void **state)
{
	(void)state;
	lane_recent_add(&rig.lanes[0].recent, true);
	lane_recent_add(&rig.lanes[0].recent, true);
	rig_add(&rig, 0, "nokey=1");
	rig_add(&rig, 1, "nokey=1");
	batch_place(&rig.batch);
	assert_true(batch_check_poison(&rig.batch, 2));
	assert_null(batch_lane_find(&rig.batch, &rig.lanes[1])->leave_why);
	/* asking is not counting */
	assert_int_equal(rig.lanes[0].recent.dead, 2);
}

static void
dead_letters_written_before_do_not_count_again(void **state)
{
	(void)state;
	rig.lanes[0].position = at(2);
	rig_add(&rig, 0, "nokey=1");
	rig_add(&rig, 0, "nokey=2");
	batch_place(&rig.batch);
	assert_false(batch_check_poison(&rig.batch, 1));
}

/* ---- the way it goes ---- */

static void
a_written_batch_cannot_skip_invalidation(void **state)
{
	(void)state;
	batch_seal(&rig.batch);
	batch_mark_written(&rig.batch);
	assert_int_equal(rig.batch.state, BATCH_WRITTEN);
	batch_mark_invalidated(&rig.batch);
	assert_int_equal(rig.batch.state, BATCH_INVALIDATED);
	batch_reset(&rig.batch, rig.schema);
	assert_int_equal(rig.batch.state, BATCH_OPEN);
}

static void
an_older_schema_wants_a_newer_one_for_written_entries_too(void **state)
{
	(void)state;
	/* their keys may still be owed */
	rig.lanes[0].position = at(1);
	rig_add(&rig, 0, "id=1 nosuch=1");
	assert_true(rig.batch.wants_schema);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_cursor_follows_what_is_taken),
		TEST(an_entry_behind_the_cursor_is_not_taken_again),
		TEST(an_entry_of_a_lane_that_is_not_open_is_left_out),
		TEST(an_entry_at_or_below_the_position_is_only_invalidated),
		TEST(what_is_invalidated_again_moves_no_lane_and_writes_nothing),
		TEST(a_full_batch_leaves_the_rest_to_be_read_again),
		TEST(a_batch_is_full_when_the_next_entry_has_too_many_bytes),
		TEST(an_entry_larger_than_a_batch_goes_alone),
		TEST(a_row_that_is_folded_takes_no_more_room),
		TEST(a_lane_goes_from_its_position_to_its_last_entry),
		TEST(a_lane_that_is_only_invalidated_again_does_not_move),
		TEST(what_was_answered_meanwhile_is_done),
		TEST(a_lane_that_leaves_goes_back_to_where_it_was),
		TEST(a_lane_that_leaves_at_an_entry_keeps_what_stands_before_it),
		TEST(a_batch_without_the_lane_is_left_as_it_is),
		TEST(a_batch_may_become_empty),
		TEST(a_rebuilt_batch_is_the_same_batch),
		TEST(a_lane_of_a_table_that_is_gone_leaves_at_that_entry),
		TEST(without_such_a_table_no_lane_leaves),
		TEST(a_lane_leaves_at_the_dead_letter_above_the_rate),
		TEST(dead_letters_up_to_the_rate_are_fine),
		TEST(dead_letters_of_earlier_batches_count),
		TEST(dead_letters_written_before_do_not_count_again),
		TEST(a_written_batch_cannot_skip_invalidation),
		TEST(an_older_schema_wants_a_newer_one_for_written_entries_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
