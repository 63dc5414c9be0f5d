#include "common/random.h"
#include "worker/cache/hot_keys.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNTERS = 1000, TOP = 100, KEYS = 100000, READS = 1000000, HALF_LIFE_MS = 60000 };

static struct str
key_of(unsigned id, char text[32])
{
	return (struct str){ text, (size_t)snprintf(text, 32, "user:%u", id) };
}

static unsigned
id_of(const struct hot_key *key)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", STR_ARGS(hot_key_text(key)));
	return (unsigned)atoi(text + 5);
}

/* Zipf with exponent 1: key i is read as often as 1 / (i + 1). */
static double *
zipf_sums(void)
{
	double *sums = calloc(KEYS, sizeof(*sums)), sum = 0;

	for (unsigned i = 0; i < KEYS; i++)
		sums[i] = sum += 1.0 / (i + 1);
	return sums;
}

static unsigned
zipf_draw(const double *sums, struct random *random)
{
	double at = random_unit(random) * sums[KEYS - 1];
	unsigned low = 0, high = KEYS - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (sums[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int
descending(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static void
the_top_hundred_of_a_zipf_load_are_found_with_a_thousand_counters(void **state)
{
	unsigned *exact = calloc(KEYS, sizeof(*exact)), *sorted = calloc(KEYS, sizeof(*sorted));
	double *sums = zipf_sums();
	struct hot_key *top[TOP];
	struct hot_keys h;
	struct random random;
	unsigned found = 0;
	char text[32];

	(void)state;
	random_init(&random, 1);
	hot_keys_init(&h, COUNTERS,
	    (int64_t)1 << 40); /* as good as no decay: exact counts compare */
	for (unsigned i = 0; i < READS; i++) {
		unsigned id = zipf_draw(sums, &random);
		exact[id]++;
		assert_non_null(hot_keys_add(&h, key_of(id, text), 1, 1000));
	}
	memcpy(sorted, exact, KEYS * sizeof(*exact));
	qsort(sorted, KEYS, sizeof(*sorted), descending);
	assert_int_equal(hot_keys_top(&h, top, TOP), TOP);
	for (unsigned i = 0; i < TOP; i++) {
		unsigned id = id_of(top[i]);
		double count = hot_key_count(&h, top[i], 1000),
		       error = hot_key_error(&h, top[i], 1000);

		found += exact[id] >= sorted[TOP - 1];
		assert_true(count >= exact[id] - 0.5 && count - error <= exact[id] + 0.5);
		assert_true(error <= (double)READS / (double)COUNTERS + 1);
	}
	print_message("# recall of the top %d with %d counters, Zipf 1.0, %d keys, %d reads: "
		      "%.3f\n",
	    TOP, COUNTERS, KEYS, READS, (double)found / (double)TOP);
	assert_true(found >= 99);
	hot_keys_deinit(&h);
	free(exact);
	free(sorted);
	free(sums);
}

/* How many of the top are of the first KEYS. */
static unsigned
old_in_top(struct hot_keys *h)
{
	struct hot_key *top[TOP];
	size_t count = hot_keys_top(h, top, TOP);
	unsigned old = 0;

	for (size_t i = 0; i < count; i++)
		old += id_of(top[i]) < KEYS;
	return old;
}

/* A thousand reads a second for ten half-lives, then as many of other keys for two. */
static void
yesterdays_hot_keys_are_gone_within_two_half_lives(void **state)
{
	double *sums = zipf_sums();
	unsigned one = 0, two;
	struct hot_keys h;
	struct random random;
	char text[32];

	(void)state;
	random_init(&random, 2);
	hot_keys_init(&h, COUNTERS, HALF_LIFE_MS);
	for (int64_t ms = 0; ms < 12 * HALF_LIFE_MS; ms++) {
		unsigned id = zipf_draw(sums, &random);

		hot_keys_add(&h, key_of(ms < 10 * HALF_LIFE_MS ? id : KEYS + id, text), 1, ms);
		if (ms % 1000 == 999)
			hot_keys_forget(&h, ms);
		if (ms == 10 * HALF_LIFE_MS - 1)
			assert_int_equal(old_in_top(&h), TOP);
		if (ms == 11 * HALF_LIFE_MS + HALF_LIFE_MS / 10)
			one = old_in_top(&h);
	}
	two = old_in_top(&h);
	print_message("# of the top %d after the load moved: %u are of before at 1.1 half-lives, "
		      "%u at two\n",
	    TOP, one, two);
	assert_int_equal(two, 0);
	hot_keys_deinit(&h);
	free(sums);
}

/* c had lost its counter before a's became free. */
static void
who_takes_the_counter_of_a_forgotten_key_has_not_fewer_reads_than_it_had(void **state)
{
	const int64_t now_ms = HALF_LIFE_MS;
	struct hot_keys h;
	struct hot_key *k;

	(void)state;
	hot_keys_init(&h, 2, HALF_LIFE_MS);
	for (int i = 0; i < 100; i++)
		hot_keys_add(&h, STR("a"), 1, 0);
	hot_keys_add(&h, STR("b"), 4, now_ms);
	hot_keys_add(&h, STR("c"), 3, now_ms);
	hot_keys_add(&h, STR("b"), 1, now_ms);
	assert_null(hot_keys_find(&h, STR("c")));
	assert_int_equal(hot_keys_forget(&h, now_ms), 1);
	k = hot_keys_add(&h, STR("c"), 1, now_ms);
	assert_null(hot_keys_find(&h, STR("a")));
	assert_non_null(hot_keys_find(&h, STR("b")));
	assert_true(hot_key_count(&h, k, now_ms) > 4 - 1e-9);
	assert_true(hot_key_count(&h, k, now_ms) - hot_key_error(&h, k, now_ms) < 4 + 1e-9);
	hot_keys_deinit(&h);
}

static void
what_is_told_of_seldom_but_steadily_is_not_forgotten(void **state)
{
	struct hot_key *top[2];
	struct hot_keys h;

	(void)state;
	hot_keys_init(&h, 10, HALF_LIFE_MS);
	/* a: one report for 1000 reads, each second half-life; b: one read each half-life */
	for (int64_t ms = 0; ms < 40 * HALF_LIFE_MS; ms += HALF_LIFE_MS / 2) {
		if (ms % (2 * HALF_LIFE_MS) == 0)
			hot_keys_add(&h, STR("a"), 1000, ms);
		if (ms % HALF_LIFE_MS == 0)
			hot_keys_add(&h, STR("b"), 1, ms);
		assert_int_equal(hot_keys_forget(&h, ms), 0);
	}
	assert_int_equal(hot_keys_top(&h, top, 2), 2);
	hot_keys_deinit(&h);
}

static void
a_key_that_missed_ten_reads_and_a_half_life_is_forgotten_and_may_come_back(void **state)
{
	int64_t now_ms = 20 * HALF_LIFE_MS;
	struct hot_key *top[2], *k = NULL;
	struct hot_keys h;

	(void)state;
	hot_keys_init(&h, 10, HALF_LIFE_MS);
	for (int64_t ms = 0; ms <= now_ms; ms += HALF_LIFE_MS / 100)
		k = hot_keys_add(&h, STR("a"), 1, ms);
	assert_int_equal(hot_keys_forget(&h, now_ms + HALF_LIFE_MS - 1), 0);
	assert_int_equal(hot_keys_forget(&h, now_ms + HALF_LIFE_MS), 1);
	assert_int_equal(hot_keys_forget(&h, now_ms + HALF_LIFE_MS), 0);
	assert_true(hot_key_rate(&h, k, now_ms + HALF_LIFE_MS) <= 0);
	assert_int_equal(hot_keys_top(&h, top, 2), 0);
	k = hot_keys_add(&h, STR("a"), 3, now_ms + 2 * HALF_LIFE_MS);
	assert_true(fabs(hot_key_count(&h, k, now_ms + 2 * HALF_LIFE_MS) - 3) < 1e-9);
	assert_int_equal(hot_keys_top(&h, top, 2), 1);
	hot_keys_deinit(&h);
}

static void
a_count_is_halved_with_each_half_life(void **state)
{
	struct hot_keys h;
	struct hot_key *k;

	(void)state;
	hot_keys_init(&h, 10, HALF_LIFE_MS);
	k = hot_keys_add(&h, STR("a"), 8, 5000);
	assert_true(fabs(hot_key_count(&h, k, 5000) - 8) < 1e-9);
	assert_true(fabs(hot_key_count(&h, k, 5000 + HALF_LIFE_MS) - 4) < 1e-9);
	assert_true(fabs(hot_key_count(&h, k, 5000 + 3 * HALF_LIFE_MS) - 1) < 1e-9);
	/* far enough for all to be scaled anew */
	hot_keys_add(&h, STR("b"), 8, 5000 + 100 * (int64_t)HALF_LIFE_MS);
	assert_true(fabs(hot_key_count(&h, hot_keys_find(&h, STR("b")),
			     5000 + 101 * (int64_t)HALF_LIFE_MS) -
			4) < 1e-9);
	hot_keys_deinit(&h);
}

static void
the_rate_is_that_of_a_steady_reader(void **state)
{
	struct hot_keys h;
	struct hot_key *k = NULL;

	(void)state;
	hot_keys_init(&h, 10, HALF_LIFE_MS);
	for (int64_t ms = 0; ms < 20 * HALF_LIFE_MS; ms += 20)
		k = hot_keys_add(&h, STR("a"), 1, ms);
	assert_true(fabs(hot_key_rate(&h, k, 20 * HALF_LIFE_MS) - 50) < 1);
	hot_keys_deinit(&h);
}

static void
memory_is_the_same_after_a_million_keys(void **state)
{
	struct hot_keys h;
	char text[32];

	(void)state;
	hot_keys_init(&h, COUNTERS, HALF_LIFE_MS);
	size_t before = hot_keys_bytes(&h);
	for (unsigned i = 0; i < 1000000; i++)
		hot_keys_add(&h, key_of(i, text), 1, i / 100);
	assert_int_equal(hot_keys_bytes(&h), before);
	assert_int_equal(h.used, COUNTERS);
	assert_true(before <= COUNTERS * 360);
	print_message("# %d counters hold %zu bytes\n", COUNTERS, before);
	/* every counter is still found by its key */
	for (unsigned i = 0; i < COUNTERS; i++)
		assert_ptr_equal(hot_keys_find(&h, hot_key_text(&h.keys[i])), &h.keys[i]);
	hot_keys_deinit(&h);
}

static void
a_counter_that_changes_its_key_forgets_what_was_known_of_the_old_one(void **state)
{
	struct hot_keys h;
	struct hot_key *k;
	char text[HOT_KEY_BYTES + 1] = { 0 };

	(void)state;
	hot_keys_init(&h, 1, HALF_LIFE_MS);
	k = hot_keys_add(&h, STR("a"), 3, 0);
	k->state.expires_ms = 77;
	k = hot_keys_add(&h, STR("b"), 1, 0);
	assert_int_equal(k->state.expires_ms, 0);
	assert_true(hot_key_count(&h, k, 0) == 4 && hot_key_error(&h, k, 0) == 3);
	assert_null(hot_keys_find(&h, STR("a")));
	assert_null(hot_keys_add(&h, (struct str){ text, sizeof(text) }, 1, 0));
	assert_int_equal(h.too_long, 1);
	hot_keys_deinit(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_top_hundred_of_a_zipf_load_are_found_with_a_thousand_counters),
		cmocka_unit_test(yesterdays_hot_keys_are_gone_within_two_half_lives),
		cmocka_unit_test(
		    who_takes_the_counter_of_a_forgotten_key_has_not_fewer_reads_than_it_had),
		cmocka_unit_test(what_is_told_of_seldom_but_steadily_is_not_forgotten),
		cmocka_unit_test(
		    a_key_that_missed_ten_reads_and_a_half_life_is_forgotten_and_may_come_back),
		cmocka_unit_test(a_count_is_halved_with_each_half_life),
		cmocka_unit_test(the_rate_is_that_of_a_steady_reader),
		cmocka_unit_test(memory_is_the_same_after_a_million_keys),
		cmocka_unit_test(
		    a_counter_that_changes_its_key_forgets_what_was_known_of_the_old_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
