/* number, random */
#include "common/number.h"
#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
integers_up_to_their_limits_are_read(void **state)
{
	int64_t i;
	uint64_t u;

	(void)state;
	assert_true(number_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
	assert_true(number_i64(STR("+9223372036854775807"), &i) && i == INT64_MAX);
	assert_true(number_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	assert_true(number_i64(STR("007"), &i) && i == 7);
}

static void
integers_beyond_their_limits_are_refused(void **state)
{
	int64_t i;
	uint64_t u;
	int128 w;

	(void)state;
	assert_false(number_i64(STR("9223372036854775808"), &i));
	assert_false(number_i64(STR("-9223372036854775809"), &i));
	assert_false(number_u64(STR("18446744073709551616"), &u));
	assert_false(number_u64(STR("-1"), &u));
	assert_true(number_i128(STR("-170141183460469231731687303715884105728"), &w));
	assert_true(number_i128(STR("170141183460469231731687303715884105727"), &w));
	assert_false(number_i128(STR("170141183460469231731687303715884105728"), &w));
}

static void
what_is_not_quite_an_integer_is_refused(void **state)
{
	const char *const texts[] = { "", "-", "+", "1e3", " 1", "1 ", "1.0", "--1", "0x1", "1a" };
	int64_t i;

	(void)state;
	for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++)
		assert_false(number_i64(str_of(texts[n]), &i));
}

static void
one_integer_has_one_canonical_text(void **state)
{
	const char *const pairs[][2] = { { "7", "7" }, { "007", "7" }, { "+7", "7" },
		{ "7.0", "7" }, { "7.", "7" }, { "-0", "0" }, { "-0.00", "0" }, { "000", "0" },
		{ "-012", "-12" },
		{ "123456789012345678901234567890123456789012",
		    "123456789012345678901234567890123456789012" } };
	char out[64];

	(void)state;
	for (size_t n = 0; n < sizeof(pairs) / sizeof(pairs[0]); n++) {
		assert_int_equal(number_canonical(str_of(pairs[n][0]), out), strlen(pairs[n][1]));
		assert_string_equal(out, pairs[n][1]);
	}
}

static void
what_is_no_integer_has_no_canonical_text(void **state)
{
	const char *const texts[] = { "", "-", ".", ".0", "1e3", "7.5", "7.01", "7.0 ", " 7",
		"7,0" };
	char out[64];

	(void)state;
	for (size_t n = 0; n < sizeof(texts) / sizeof(texts[0]); n++)
		assert_int_equal(number_canonical(str_of(texts[n]), out), 0);
}

static void
decimals_are_scaled_exactly(void **state)
{
	int128 n;

	(void)state;
	assert_true(number_scaled(STR("12.5"), 2, &n) && n == 1250);
	assert_true(number_scaled(STR("-0.05"), 2, &n) && n == -5);
	assert_true(number_scaled(STR("+3"), 0, &n) && n == 3);
	assert_true(number_scaled(STR("1.5000"), 1, &n) && n == 15);
	assert_true(number_scaled(STR("0000000000000000000000000000000000000000001"), 2, &n) &&
	    n == 100);
}

static void
decimals_that_would_lose_digits_are_refused(void **state)
{
	int128 n;

	(void)state;
	assert_false(number_scaled(STR("0.004"), 2, &n));
	assert_false(number_scaled(STR("123456789012345678901234567890123456789"), 0, &n));
	assert_false(number_scaled(STR("1234567890123456789012345678901234567.8"), 2, &n));
	assert_true(number_scaled(STR("12345678901234567890123456789012345678"), 0, &n));
}

static void
what_is_no_decimal_is_refused(void **state)
{
	const char *const texts[] = { "", ".", "5.", ".5", "1.2.3", "1e2", "1.-2", "- 1" };
	int128 n;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(number_scaled(str_of(texts[i]), 3, &n));
}

static void
a_scaled_number_reads_back_as_it_was_written(void **state)
{
	const char *const texts[] = { "0.00", "-0.05", "12.50",
		"-123456789012345678901234567890123456.78" };
	char out[48];
	int128 n;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_true(number_scaled(str_of(texts[i]), 2, &n));
		assert_int_equal(number_scaled_text(n, 2, out), strlen(texts[i]));
		assert_string_equal(out, texts[i]);
	}
	number_scaled_text(-42, 0, out);
	assert_string_equal(out, "-42");
	number_scaled_text((int128)((unsigned __int128)1 << 127), 38, out);
	assert_string_equal(out, "-1.70141183460469231731687303715884105728");
}

static void
a_sum_that_does_not_fit_is_refused(void **state)
{
	int128 max = (int128)(((unsigned __int128)1 << 127) - 1), sum;

	(void)state;
	assert_false(number_add(max, 1, &sum));
	assert_true(number_add(max, -1, &sum) && sum == max - 1);
}

static void
the_same_seed_gives_the_same_numbers(void **state)
{
	struct random a, b;

	(void)state;
	random_init(&a, 42);
	random_init(&b, 42);
	for (int i = 0; i < 100; i++)
		assert_true(random_u64(&a) == random_u64(&b));
	random_init(&b, 43);
	assert_true(random_u64(&a) != random_u64(&b));
}

static void
random_numbers_stay_in_their_ranges(void **state)
{
	struct random r;
	uint64_t hits[3] = { 0 };

	(void)state;
	random_init(&r, 0);
	for (int i = 0; i < 3000; i++) {
		double unit = random_unit(&r);
		int64_t wait = random_jitter(&r, 1000);

		hits[random_below(&r, 3)]++;
		assert_true(unit >= 0 && unit < 1);
		assert_true(wait >= 750 && wait <= 1250);
	}
	for (int i = 0; i < 3; i++)
		assert_true(hits[i] > 900);
	assert_int_equal(random_below(&r, 1), 0);
	assert_int_equal(random_jitter(&r, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_up_to_their_limits_are_read),
		cmocka_unit_test(integers_beyond_their_limits_are_refused),
		cmocka_unit_test(what_is_not_quite_an_integer_is_refused),
		cmocka_unit_test(one_integer_has_one_canonical_text),
		cmocka_unit_test(what_is_no_integer_has_no_canonical_text),
		cmocka_unit_test(decimals_are_scaled_exactly),
		cmocka_unit_test(decimals_that_would_lose_digits_are_refused),
		cmocka_unit_test(what_is_no_decimal_is_refused),
		cmocka_unit_test(a_scaled_number_reads_back_as_it_was_written),
		cmocka_unit_test(a_sum_that_does_not_fit_is_refused),
		cmocka_unit_test(the_same_seed_gives_the_same_numbers),
		cmocka_unit_test(random_numbers_stay_in_their_ranges),
	};

	return cmocka_run_group_tests_name("common number", tests, NULL, NULL);
}
