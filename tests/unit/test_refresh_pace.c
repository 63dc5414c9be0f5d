#include "common/clock.h"
#include "worker/cache/refresh_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int64_t now_ms;

static void
move(int64_t ms)
{
	now_ms += ms;
	clock_fake(now_ms * 1000);
}

static int
set_up(void **state)
{
	(void)state;
	now_ms = 1000000;
	move(0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_fake(-1);
	return 0;
}

static double
mean_lead(double load_ms, double reads_a_second)
{
	struct random random;
	double sum = 0;

	random_init(&random, 1);
	for (int i = 0; i < 20000; i++)
		sum += (double)xfetch_lead_ms(&random, load_ms, reads_a_second, 0, 3600000);
	return sum / 20000;
}

static void
a_slower_load_and_a_hotter_key_begin_earlier(void **state)
{
	(void)state;
	assert_true(mean_lead(100, 100) > 1.5 * mean_lead(100, 10));
	assert_true(mean_lead(200, 100) > 2 * mean_lead(100, 100));
	/* the mean of delta * ln(r * delta / E) is delta * (ln(r * delta) + 0.577) */
	assert_in_range((int64_t)mean_lead(100, 1000), 500, 536);
}

static void
a_lead_covers_the_load_and_never_half_of_the_ttl(void **state)
{
	struct random random;

	(void)state;
	random_init(&random, 2);
	for (int i = 0; i < 1000; i++) {
		assert_in_range(xfetch_lead_ms(&random, 20, 0.001, 300, 10000), 320, 320);
		assert_in_range(xfetch_lead_ms(&random, 4000, 1000, 300, 10000), 4300, 5000);
		assert_in_range(ttl_jitter_ms(&random, 10000), 9000, 11000);
	}
}

static void
no_more_is_loaded_than_the_limit(void **state)
{
	struct pace p;
	size_t taken = 0;

	(void)state;
	pace_init(&p, 100, 200000);
	assert_int_equal(pace_take(&p, 1000), 100);
	for (int i = 0; i < 1000; i++) {
		move(10);
		taken += pace_take(&p, 50);
	}
	assert_in_range(taken, 990, 1000);
	move(3600000);
	assert_int_equal(pace_take(&p, 1000), 100);
}

static void
slow_loads_halve_and_quick_ones_bring_it_back(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, 1000, 200000);
	pace_loaded(&p, 500000);
	assert_true(p.rate == 500);
	for (int i = 0; i < 20; i++)
		pace_loaded(&p, 500000);
	assert_true(p.rate == 1);
	for (int i = 0; i < 80; i++)
		pace_loaded(&p, 1000);
	assert_true(p.rate == 1000);
}

static void
what_became_slow_is_known_at_once_and_forgotten_slowly(void **state)
{
	double known_us = quick_to_rise(0, 1000);

	(void)state;
	assert_true(known_us == 1000);
	known_us = quick_to_rise(known_us, 500000);
	assert_true(known_us == 500000);
	known_us = quick_to_rise(known_us, 1000);
	assert_true(known_us > 400000 && known_us < 401000);
	for (int i = 0; i < 40; i++)
		known_us = quick_to_rise(known_us, 1000);
	assert_true(known_us < 1100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_became_slow_is_known_at_once_and_forgotten_slowly),
		cmocka_unit_test_setup_teardown(a_slower_load_and_a_hotter_key_begin_earlier,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lead_covers_the_load_and_never_half_of_the_ttl,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_more_is_loaded_than_the_limit, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(slow_loads_halve_and_quick_ones_bring_it_back,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
