#include "worker/checkpoint.h"

#include "worker/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct position
at(uint64_t ms)
{
	return (struct position){ ms, 0 };
}

static void
a_hash_tells_names_values_and_where_they_end_apart(void **state)
{
	struct field ab_c[] = { { STR("ab"), { STR("c"), VALUE_TEXT } } };
	struct field a_bc[] = { { STR("a"), { STR("bc"), VALUE_TEXT } } };
	struct field more[] = { ab_c[0], a_bc[0] };
	struct entry one = { .raw = ab_c, .raw_count = 1 }, two = { .raw = a_bc, .raw_count = 1 };
	struct entry both = { .raw = more, .raw_count = 2 };

	(void)state;
	assert_int_equal(checkpoint_hash(&one), checkpoint_hash(&one));
	assert_int_not_equal(checkpoint_hash(&one), checkpoint_hash(&two));
	assert_int_not_equal(checkpoint_hash(&one), checkpoint_hash(&both));
}

static void
within_a_second_the_newer_takes_the_place_of_the_older(void **state)
{
	struct checkpoints c = { 0 };

	(void)state;
	checkpoints_add(&c, at(1000), 1);
	for (uint64_t ms = 1100; ms < 2000; ms += 100)
		checkpoints_add(&c, at(ms), ms);
	assert_int_equal(c.count, 2);
	assert_int_equal(c.list[0].id.major, 1900);
	assert_int_equal(c.list[1].id.major, 1000);
	assert_true(c.changed);
}

static void
they_are_thinned_so_that_a_fork_is_at_most_four_times_younger_than_the_last_one_before_it(void *
	*state)
{
	struct checkpoints c = { 0 };
	const uint64_t end = 100000;

	(void)state;
	for (uint64_t second = 1; second <= end; second++)
		checkpoints_add(&c, at(second * 1000), second);
	assert_int_equal(c.count, CHECKPOINTS_MAX);
	for (unsigned i = 2; i + 1 < c.count; i++) {
		uint64_t age = end * 1000 - c.list[i].id.major;

		assert_true(end * 1000 - c.list[i + 1].id.major <= 4 * age + 2000);
	}
	assert_true(end * 1000 - c.list[c.count - 1].id.major > 3600 * 1000);
}

static void
a_place_that_goes_back_drops_what_is_behind_it(void **state)
{
	struct checkpoints c = { 0 };

	(void)state;
	for (uint64_t second = 1; second <= 5; second++)
		checkpoints_add(&c, at(second * 1000), second);
	checkpoints_add(&c, at(3000), 9);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.list[0].hash, 9);
	assert_int_equal(c.list[1].id.major, 2000);
}

static void
a_lane_that_an_order_moved_need_not_stand_on_an_entry(void **state)
{
	struct checkpoints c = { 0 };

	(void)state;
	assert_false(checkpoints_stand_on_entry(&c, at(0)));
	assert_true(checkpoints_stand_on_entry(&c, at(5)));
	checkpoints_add(&c, at(5), 0);
	assert_false(checkpoints_stand_on_entry(&c, at(5)));
	assert_true(checkpoints_stand_on_entry(&c, at(6)));
	/* and the entry that it left stays known */
	checkpoints_add(&c, at(6000), 6);
	checkpoints_add(&c, at(6001), 0);
	assert_int_equal(c.list[0].hash, 0);
	assert_int_equal(c.list[1].hash, 6);
}

static void
the_last_batch_s_hash_counts_only_where_the_ledger_is(void **state)
{
	struct checkpoints c = { .last = { { 7, 1 }, 77 } };

	(void)state;
	assert_int_equal(checkpoints_hash_at(&c, (struct position){ 7, 1 }), 77);
	assert_int_equal(checkpoints_hash_at(&c, at(7)), 0);
	checkpoints_add(&c, at(9), 99);
	assert_int_equal(checkpoints_hash_at(&c, at(9)), 99);
}

static void
the_text_holds_all_of_it(void **state)
{
	struct checkpoints c = { .last = { { UINT64_MAX, UINT64_MAX }, UINT64_MAX } }, back;
	char text[CHECKPOINTS_TEXT], again[CHECKPOINTS_TEXT];

	(void)state;
	checkpoints_set_history(&c, "0123456789abcdef0123456789abcdef01234567");
	for (unsigned i = 0; i < CHECKPOINTS_MAX; i++)
		c.list[i] =
		    (struct checkpoint){ { UINT64_MAX - i, UINT64_MAX }, i == 3 ? 0 : UINT64_MAX };
	c.count = CHECKPOINTS_MAX;
	checkpoints_text(&c, text);
	assert_true(strlen(text) < CHECKPOINTS_TEXT - 1);
	checkpoints_parse(str_of(text), &back);
	assert_int_equal(back.count, CHECKPOINTS_MAX);
	assert_int_equal(back.list[3].hash, 0);
	assert_int_equal(back.last.hash, UINT64_MAX);
	assert_string_equal(checkpoints_text(&back, again), text);
	assert_false(back.changed);
}

static void
text_that_is_not_ours_gives_none(void **state)
{
	static const char *const texts[] = { "", "-", "- ", "- x", "- 1-1", "- 1-1:", "- 1-1:xyz",
		"- =", "- =1-1", "- 1-1:00112233445566778", " 1-1:1",
		"0123456789012345678901234567890123456789012 1-1:1" };
	struct checkpoints c;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		checkpoints_parse(str_of(texts[i]), &c);
		if (i != 10)
			assert_int_equal(c.count, 0);
		assert_string_equal(c.history, "");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_tells_names_values_and_where_they_end_apart),
		cmocka_unit_test(within_a_second_the_newer_takes_the_place_of_the_older),
		cmocka_unit_test(
		    they_are_thinned_so_that_a_fork_is_at_most_four_times_younger_than_the_last_one_before_it),
		cmocka_unit_test(a_place_that_goes_back_drops_what_is_behind_it),
		cmocka_unit_test(a_lane_that_an_order_moved_need_not_stand_on_an_entry),
		cmocka_unit_test(the_last_batch_s_hash_counts_only_where_the_ledger_is),
		cmocka_unit_test(the_text_holds_all_of_it),
		cmocka_unit_test(text_that_is_not_ours_gives_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
