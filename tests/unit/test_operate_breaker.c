#include "common/clock.h"
#include "worker/operate/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct random random_source;
static struct breaker breaker;
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
	random_init(&random_source, 7);
	breaker_init(&breaker, &random_source);
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

static void
a_new_breaker_is_closed_and_ready(void **state)
{
	(void)state;
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_true(breaker_ready(&breaker));
	assert_int_equal(breaker_wait_ms(&breaker), 0);
	assert_int_equal(breaker.worked_ever, 0);
}

static void
a_failure_opens_it_for_about_a_tenth_of_a_second(void **state)
{
	(void)state;
	assert_true(breaker_failed(&breaker, "connection refused"));
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_int_equal(breaker.since_wall_ms, now_ms);
	assert_in_range(breaker_wait_ms(&breaker), 75, 125);
	assert_false(breaker_ready(&breaker));
	move(74);
	assert_false(breaker_ready(&breaker));
	move(52);
	assert_true(breaker_ready(&breaker));
	assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
}

static void
the_back_off_doubles_up_to_five_seconds(void **state)
{
	int64_t expected_ms = 100;

	(void)state;
	for (int i = 0; i < 12; i++) {
		breaker_failed(&breaker, "away");
		int64_t wait_ms = breaker_wait_ms(&breaker);
		assert_in_range(wait_ms, expected_ms * 3 / 4, expected_ms * 5 / 4 + 1);
		move(wait_ms);
		assert_true(breaker_ready(&breaker));
		expected_ms = expected_ms * 2 > 5000 ? 5000 : expected_ms * 2;
	}
	assert_int_equal(breaker.failures, 12);
	assert_int_equal(breaker.failures_total, 12);
}

static void
a_failed_try_while_half_open_is_not_worth_another_log_line(void **state)
{
	(void)state;
	assert_true(breaker_failed(&breaker, "away"));
	int64_t since_ms = breaker.since_wall_ms;
	move(200);
	assert_true(breaker_ready(&breaker));
	assert_false(breaker_failed(&breaker, "still away"));
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_int_equal(breaker.since_wall_ms, since_ms);
}

static void
a_success_closes_it_and_starts_the_back_off_anew(void **state)
{
	char why[64];

	(void)state;
	for (int i = 0; i < 6; i++)
		breaker_failed(&breaker, "away");
	assert_true(breaker_worked(&breaker));
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_int_equal(breaker.failures, 0);
	assert_int_equal(breaker.failures_total, 6);
	breaker_why(&breaker, why, sizeof(why));
	assert_string_equal(why, "");
	assert_false(breaker_worked(&breaker));
	breaker_failed(&breaker, "away");
	assert_in_range(breaker_wait_ms(&breaker), 75, 125);
}

static void
the_first_success_counts_as_worked_without_a_log_line(void **state)
{
	(void)state;
	assert_false(breaker_worked(&breaker));
	assert_int_equal(breaker.worked_ever, 1);
	assert_int_equal(breaker.since_wall_ms, now_ms);
}

static void
why_is_the_last_failure_cut_to_the_readers_room(void **state)
{
	char why[8], all[512], sentence[512];

	(void)state;
	memset(sentence, 'x', sizeof(sentence));
	sentence[sizeof(sentence) - 1] = '\0';
	breaker_failed(&breaker, "first");
	breaker_failed(&breaker, "second reason");
	breaker_why(&breaker, why, sizeof(why));
	assert_string_equal(why, "second ");
	breaker_failed(&breaker, sentence);
	breaker_why(&breaker, all, sizeof(all));
	assert_int_equal(strlen(all), sizeof(breaker.why) - 1);
}

static void
a_counting_breaker_opens_with_the_fifth_failure_in_a_row(void **state)
{
	(void)state;
	breaker_init_counting(&breaker, &random_source, 5, 60000);
	for (int i = 0; i < 4; i++)
		assert_false(breaker_failed(&breaker, "x"));
	assert_int_equal(breaker.state, BREAKER_CLOSED);
	assert_false(breaker_worked(&breaker));
	assert_int_equal(breaker.failures, 0);
	for (int i = 0; i < 4; i++)
		assert_false(breaker_failed(&breaker, "x"));
	assert_true(breaker_ready(&breaker));
	assert_true(breaker_failed(&breaker, "x"));
	assert_int_equal(breaker.state, BREAKER_OPEN);
	assert_in_range(breaker_wait_ms(&breaker), 45000, 75000);
	assert_false(breaker_ready(&breaker));
}

static void
a_counting_breaker_tries_once_when_its_time_is_over(void **state)
{
	(void)state;
	breaker_init_counting(&breaker, &random_source, 1, 60000);
	assert_true(breaker_failed(&breaker, "x"));
	move(75001);
	assert_true(breaker_ready(&breaker));
	assert_int_equal(breaker.state, BREAKER_HALF_OPEN);
	assert_false(breaker_failed(&breaker, "y"));
	assert_false(breaker_ready(&breaker));
	assert_in_range(breaker_wait_ms(&breaker), 45000, 75000);
	move(75001);
	assert_true(breaker_ready(&breaker));
	assert_true(breaker_worked(&breaker));
	assert_int_equal(breaker.state, BREAKER_CLOSED);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_counting_breaker_opens_with_the_fifth_failure_in_a_row, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_counting_breaker_tries_once_when_its_time_is_over,
		    set_up, tear_down),
		CASE(a_new_breaker_is_closed_and_ready),
		CASE(a_failure_opens_it_for_about_a_tenth_of_a_second),
		CASE(the_back_off_doubles_up_to_five_seconds),
		CASE(a_failed_try_while_half_open_is_not_worth_another_log_line),
		CASE(a_success_closes_it_and_starts_the_back_off_anew),
		CASE(the_first_success_counts_as_worked_without_a_log_line),
		CASE(why_is_the_last_failure_cut_to_the_readers_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
