#include "worker/source/group_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct position
at(uint64_t ordinal)
{
	return (struct position){ ordinal, 0 };
}

static struct position
id(uint64_t n)
{
	return (struct position){ 1000 + n, 7 };
}

static void
entries_get_ordinals_in_the_order_they_came(void **state)
{
	struct group_log log = { .items = NULL };
	struct position place;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++)
		assert_int_equal(group_log_add(&log, id(2000 - i)).major, i);
	assert_int_equal(group_log_next(&log, at(0), &place)->id.major, id(1999).major);
	assert_int_equal(place.major, 1);
	assert_int_equal(group_log_at(&log, at(1000))->id.major, id(1000).major);
	assert_null(group_log_at(&log, at(1001)));
	assert_null(group_log_next(&log, at(1000), &place));
	group_log_deinit(&log);
}

static void
what_is_answered_leaves_in_front_and_nothing_else(void **state)
{
	struct group_log log = { .items = NULL };
	struct position place;

	(void)state;
	for (uint64_t i = 1; i <= 600; i++)
		group_log_add(&log, id(i));
	for (uint64_t i = 1; i <= 500; i++)
		assert_int_equal(group_log_take(&log, at(500))->id.major, id(i).major);
	assert_null(group_log_take(&log, at(500)));
	assert_null(group_log_at(&log, at(500)));
	assert_int_equal(group_log_next(&log, at(3), &place)->id.major, id(501).major);
	assert_int_equal(place.major, 501);
	assert_int_equal(group_log_add(&log, id(601)).major, 601);
	group_log_deinit(&log);
}

static void
only_ids_that_are_not_held_are_added(void **state)
{
	struct group_log log = { .items = NULL };
	struct position ids[] = { id(2), id(5), id(1), id(6) };

	(void)state;
	for (uint64_t i = 1; i <= 3; i++)
		group_log_add(&log, id(i));
	assert_int_equal(group_log_add_unknown(&log, ids, 4), 2);
	assert_int_equal(group_log_at(&log, at(4))->id.major, id(5).major);
	assert_int_equal(group_log_at(&log, at(5))->id.major, id(6).major);
	assert_int_equal(group_log_add_unknown(&log, ids, 4), 0);
	assert_int_equal(group_log_add_unknown(&log, ids, 0), 0);
	group_log_deinit(&log);
}

static void
what_is_left_out_is_passed_over_and_what_is_gone_leaves_unanswered(void **state)
{
	struct group_log log = { .items = NULL };
	struct position place;

	(void)state;
	for (uint64_t i = 1; i <= 4; i++)
		group_log_add(&log, id(i));
	group_log_at(&log, at(1))->left_out = group_log_at(&log, at(1))->gone = true;
	group_log_at(&log, at(2))->left_out = true;
	assert_int_equal(group_log_next(&log, at(0), &place)->id.major, id(3).major);
	assert_int_equal(place.major, 3);
	assert_true(group_log_take(&log, at(0))->gone);
	assert_null(group_log_take(&log, at(0)));
	assert_true(group_log_take(&log, at(3))->left_out);
	group_log_deinit(&log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_get_ordinals_in_the_order_they_came),
		cmocka_unit_test(what_is_answered_leaves_in_front_and_nothing_else),
		cmocka_unit_test(only_ids_that_are_not_held_are_added),
		cmocka_unit_test(
		    what_is_left_out_is_passed_over_and_what_is_gone_leaves_unanswered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
