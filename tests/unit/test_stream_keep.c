#include "worker/source/stream_keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct position
at(uint64_t ms)
{
	return (struct position){ ms, 0 };
}

static void
without_keep_all_behind_done_may_go(void **state)
{
	struct stream_keep kept = { 0 };
	struct position place;

	(void)state;
	assert_true(stream_keep_place(&kept, 1, 1000, 0, at(7), &place));
	assert_int_equal(place.major, 7);
}

static void
what_done_passed_less_than_keep_ago_stays(void **state)
{
	struct stream_keep kept = { 0 };
	struct position place;

	(void)state;
	/* done is at 1000 + t at the time t; a look a second */
	for (int64_t now = 0; now < 60000; now += 1000)
		assert_false(stream_keep_place(&kept, 1, now, 60000, at((uint64_t)now + 1000),
		    &place));
	for (int64_t now = 60000; now < 300000; now += 1000) {
		assert_true(stream_keep_place(&kept, 1, now, 60000, at((uint64_t)now + 1000),
		    &place));
		assert_true((int64_t)place.major <= now - 60000 + 1000);
		assert_true((int64_t)place.major >= now - 60000 + 1000 - 60000 / KEEP_STEPS - 1000);
	}
}

static void
at_rest_only_the_witness_stays_once_keep_has_gone_by(void **state)
{
	struct stream_keep kept = { 0 };
	struct position place;

	(void)state;
	stream_keep_place(&kept, 1, 0, 1000, at(5), &place);
	stream_keep_place(&kept, 1, 500, 1000, at(9), &place);
	assert_false(stream_keep_place(&kept, 1, 900, 1000, at(9), &place));
	assert_true(stream_keep_place(&kept, 1, 1200, 1000, at(9), &place));
	assert_int_equal(place.major, 5);
	assert_true(stream_keep_place(&kept, 1, 1500, 1000, at(9), &place));
	assert_int_equal(place.major, 9);
}

static void
a_ledger_that_went_back_begins_anew(void **state)
{
	struct stream_keep kept = { 0 };
	struct position place;

	(void)state;
	stream_keep_place(&kept, 1, 0, 1000, at(50), &place);
	assert_true(stream_keep_place(&kept, 1, 1000, 1000, at(60), &place));
	assert_false(stream_keep_place(&kept, 1, 1100, 1000, at(20), &place));
	assert_false(stream_keep_place(&kept, 1, 1900, 1000, at(25), &place));
	assert_true(stream_keep_place(&kept, 1, 2100, 1000, at(25), &place));
	assert_int_equal(place.major, 20);
}

static void
too_many_bytes_let_the_oldest_go_by_their_number(void **state)
{
	(void)state;
	assert_int_equal(stream_keep_excess(1000, 100000, 100000), 0);
	assert_int_equal(stream_keep_excess(0, 100000, 1), 0);
	/* half of it, and a node of 4 KiB */
	assert_in_range(stream_keep_excess(1000, 200000, 100000), 520, 522);
	assert_in_range(stream_keep_excess(1000, 100001, 100000), 41, 42);
	assert_int_equal(stream_keep_excess(1000, 1 << 30, 1), 1000);
}

/* Another owner may have been there in between. */
static void
another_epoch_knows_nothing_of_before(void **state)
{
	struct stream_keep kept = { .count = 0 };
	struct position place;

	(void)state;
	stream_keep_place(&kept, 1, 0, 1000, at(50), &place);
	assert_true(stream_keep_place(&kept, 1, 1000, 1000, at(60), &place));
	assert_false(stream_keep_place(&kept, 2, 1500, 1000, at(60), &place));
	assert_true(stream_keep_place(&kept, 2, 2500, 1000, at(60), &place));
}

/* Under steady writes something grows old at every look. */
static void
what_is_too_much_goes_also_while_something_grows_old(void **state)
{
	struct stream_held held = { at(10), 1000, 200000 };
	struct position aged = at(20);
	struct stream_trim trim = stream_keep_trim(&held, 100000, at(500), &aged);

	(void)state;
	assert_true(trim.aged);
	assert_int_equal(trim.place.major, 20);
	assert_in_range(trim.excess, 520, 522);
	trim = stream_keep_trim(&held, 100000, at(500), NULL);
	assert_false(trim.aged);
	assert_in_range(trim.excess, 520, 522);
	trim = stream_keep_trim(&held, 300000, at(500), &aged);
	assert_true(trim.aged);
	assert_int_equal(trim.excess, 0);
}

static void
nothing_beyond_the_bound_goes(void **state)
{
	struct stream_held held = { at(10), 1000, 200000 };
	struct position aged = at(600);
	struct stream_trim trim = stream_keep_trim(&held, 100000, at(500), &aged);

	(void)state;
	assert_true(trim.aged);
	assert_int_equal(trim.place.major, 500);
	assert_int_equal(trim.excess, 0); /* all that may go goes by age */
	trim = stream_keep_trim(&held, 100000, at(10), &aged);
	assert_false(trim.aged);
	assert_int_equal(trim.excess, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_epoch_knows_nothing_of_before),
		cmocka_unit_test(without_keep_all_behind_done_may_go),
		cmocka_unit_test(what_done_passed_less_than_keep_ago_stays),
		cmocka_unit_test(at_rest_only_the_witness_stays_once_keep_has_gone_by),
		cmocka_unit_test(a_ledger_that_went_back_begins_anew),
		cmocka_unit_test(too_many_bytes_let_the_oldest_go_by_their_number),
		cmocka_unit_test(what_is_too_much_goes_also_while_something_grows_old),
		cmocka_unit_test(nothing_beyond_the_bound_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
