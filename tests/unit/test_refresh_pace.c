#include "common/clock.h"
#include "worker/cache/refresh_pace.h"
#include "worker/operate/breaker.h"

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
	assert_in_range(taken, 900, 1000);
	move(3600000);
	assert_int_equal(pace_take(&p, 1000), 100);
	pace_give(&p, 40);
	assert_int_equal(pace_take(&p, 1000), 40);
}

/* Loads that are quick, slow or fail at random, as the refresher makes them: the breaker and the pace
 * together, minute by minute for hours. */
enum { TURNS = 40000, LIMIT = 200, FAILURES = 5, OPEN_MS = 60000 };

static struct {
	int64_t at_ms;
	size_t count;
} loads[TURNS];

static size_t
loads_of_the_last_second(int last)
{
	size_t sum = 0;

	for (int i = last; i >= 0 && loads[i].at_ms > now_ms - 1000; i--)
		sum += loads[i].count;
	return sum;
}

static void
no_order_of_failures_passes_the_cap_or_the_breaker(void **state)
{
	unsigned in_a_row = 0, opened = 0, closed = 0, probes = 0, mood = 0;
	int64_t opened_ms = 0;
	struct random random;
	struct breaker b;
	struct pace p;

	(void)state;
	random_init(&random, 4711);
	breaker_init_counting(&b, &random, FAILURES, OPEN_MS);
	pace_init(&p, LIMIT, 200000);
	for (int i = 0; i < TURNS; i++) {
		bool was_open = b.state == BREAKER_OPEN;

		move((int64_t)random_below(&random, 100) + 1);
		if (random_below(&random, 400) == 0)
			mood = (unsigned)random_below(&random, 3); /* well, slow, away */
		loads[i].at_ms = now_ms;
		if (!breaker_ready(&b)) {
			assert_true(was_open && now_ms - opened_ms <= OPEN_MS * 5 / 4);
			continue;
		}
		assert_true(!was_open || now_ms - opened_ms >= OPEN_MS * 3 / 4);
		probes += was_open;
		if (mood == 2 && random_below(&random, 4) != 0) {
			bool news = breaker_failed(&b, "away");

			assert_int_equal(news, ++in_a_row == FAILURES);
			assert_int_equal(b.state == BREAKER_OPEN, in_a_row >= FAILURES);
			opened += news;
			opened_ms = now_ms;
			continue;
		}
		loads[i].count = pace_take(&p, random_below(&random, 300));
		assert_true(loads_of_the_last_second(i) <= LIMIT);
		pace_loaded(&p, mood == 1 ? 500000 : 5000);
		assert_true(p.rate >= 1 && p.rate <= (double)LIMIT);
		assert_int_equal(breaker_worked(&b), in_a_row >= FAILURES);
		closed += in_a_row >= FAILURES;
		assert_int_equal(b.state, BREAKER_CLOSED);
		in_a_row = 0;
	}
	assert_true(opened > 3 && probes > opened && closed >= opened - 1);
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
		cmocka_unit_test_setup_teardown(no_order_of_failures_passes_the_cap_or_the_breaker,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(slow_loads_halve_and_quick_ones_bring_it_back,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
