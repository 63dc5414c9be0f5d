#include "worker/cache/verify_look.h"
#include "worker/cache/verify_wait.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- what is right and what is wrong ---- */

/* A row of this version, and an entry of that one; below 0: there is none. */
static struct verify_seen
seen(int64_t row, int64_t entry)
{
	struct verify_seen s = { .row_there = row >= 0, .row_has_version = row >= 0 };

	if (row >= 0)
		s.row_version = (uint64_t)row;
	s.value = entry >= 0;
	if (s.value)
		snprintf(s.entry, sizeof(s.entry), "%020lld1", (long long)entry);
	return s;
}

static enum verify_verdict
judge(int64_t told, struct verify_seen s)
{
	struct verify_said said = { .versioned = told >= 0, .version = (uint64_t)told };

	return verify_judge(MODE_VERSIONED, &said, &s);
}

static enum verify_verdict
confirm(struct verify_seen first, struct verify_seen second)
{
	return verify_confirm(MODE_VERSIONED, &first, &second);
}

static void
an_entry_as_new_as_its_row_is_right_and_none_is_too(void **state)
{
	struct verify_seen none = seen(-1, -1);

	(void)state;
	assert_int_equal(judge(5, seen(5, 5)), VERIFY_RIGHT);
	assert_int_equal(judge(5, seen(7, 7)), VERIFY_RIGHT);
	assert_int_equal(judge(-1, seen(5, 5)), VERIFY_RIGHT);
	assert_int_equal(judge(5, seen(5, -1)), VERIFY_ABSENT);
	none.none = true;
	assert_int_equal(judge(5, none), VERIFY_RIGHT);
}

static void
an_entry_older_than_what_was_told_is_wrong_at_once(void **state)
{
	(void)state;
	assert_int_equal(judge(5, seen(5, 4)), VERIFY_WRONG);
	assert_int_equal(judge(5, seen(9, 4)), VERIFY_WRONG);
	assert_string_equal(verify_what(&(struct verify_seen){ .row_there = true,
				.row_version = 5,
				.value = true,
				.entry = "000000000000000000041" }),
	    "older");
	/* the row went back behind what was told: MySQL lost commits */
	assert_int_equal(judge(5, seen(4, 4)), VERIFY_RIGHT);
}

static void
with_when_a_newer_row_need_not_concern_the_key(void **state)
{
	struct verify_seen s = seen(7, 5);

	(void)state;
	s.partial = true;
	assert_int_equal(judge(5, s), VERIFY_UNKNOWN);
	assert_int_equal(judge(-1, s), VERIFY_UNKNOWN);
	assert_int_equal(confirm(seen(6, 5), s), VERIFY_UNKNOWN);
	assert_int_equal(judge(6, s), VERIFY_WRONG);
	snprintf(s.marker, sizeof(s.marker), "%020d1", 6);
	assert_int_equal(judge(-1, s), VERIFY_SUSPECT);
	s = seen(7, 8);
	s.partial = true;
	assert_int_equal(judge(5, s), VERIFY_SUSPECT);
}

static void
a_change_on_its_way_is_no_mistake_but_one_that_never_comes_is(void **state)
{
	(void)state;
	assert_int_equal(judge(5, seen(6, 5)), VERIFY_SUSPECT);
	assert_int_equal(confirm(seen(6, 5), seen(6, 6)), VERIFY_RIGHT);
	assert_int_equal(confirm(seen(6, 5), seen(6, -1)), VERIFY_ABSENT);
	assert_int_equal(confirm(seen(6, 5), seen(7, 6)), VERIFY_RIGHT);
	assert_int_equal(confirm(seen(6, 5), seen(6, 5)), VERIFY_WRONG);
	assert_int_equal(confirm(seen(6, 5), seen(9, 5)), VERIFY_WRONG);
	/* told without a version */
	assert_int_equal(judge(-1, seen(6, 5)), VERIFY_SUSPECT);
}

static void
a_value_of_a_row_that_is_gone_is_wrong_when_it_stays(void **state)
{
	struct verify_seen first = seen(-1, 5), none = seen(5, -1);

	(void)state;
	assert_int_equal(judge(5, first), VERIFY_SUSPECT);
	assert_int_equal(confirm(first, seen(-1, 5)), VERIFY_WRONG);
	assert_string_equal(verify_what(&first), "no_row");
	assert_int_equal(confirm(first, seen(6, 6)), VERIFY_RIGHT);
	assert_int_equal(confirm(first, seen(-1, -1)), VERIFY_ABSENT);
	none.none = true;
	assert_int_equal(judge(5, none), VERIFY_SUSPECT);
	assert_int_equal(confirm(none, none), VERIFY_WRONG);
	assert_string_equal(verify_what(&none), "row");
	assert_int_equal(confirm(first, none), VERIFY_RIGHT);
}

static void
an_entry_ahead_of_its_row_is_wrong_when_it_stays_unless_its_write_is_pending(void **state)
{
	struct verify_seen put = seen(5, 6);

	(void)state;
	assert_int_equal(judge(5, seen(5, 6)), VERIFY_SUSPECT);
	assert_int_equal(confirm(seen(5, 6), seen(6, 6)), VERIFY_RIGHT);
	assert_int_equal(confirm(seen(5, 6), seen(5, 6)), VERIFY_WRONG);
	put.pending = true;
	assert_int_equal(judge(5, put), VERIFY_UNKNOWN);
}

static void
content_of_the_same_version_counts_only_for_populate(void **state)
{
	struct verify_said said = { .versioned = true, .version = 5 };
	struct verify_seen s = seen(5, 5);

	(void)state;
	s.differs = true;
	assert_int_equal(verify_judge(MODE_VERSIONED, &said, &s), VERIFY_RIGHT);
	assert_int_equal(verify_judge(MODE_POPULATE, &said, &s), VERIFY_SUSPECT);
	assert_int_equal(verify_confirm(MODE_POPULATE, &s, &s), VERIFY_WRONG);
	assert_string_equal(verify_what(&s), "content");
}

static void
what_has_no_version_is_not_called_right(void **state)
{
	struct verify_seen s = seen(5, 5);

	(void)state;
	s.row_has_version = false;
	assert_int_equal(judge(5, s), VERIFY_UNKNOWN);
	s = seen(5, 5);
	s.entry[0] = '\0';
	assert_int_equal(judge(5, s), VERIFY_UNKNOWN);
	s.other = true;
	assert_int_equal(judge(5, s), VERIFY_UNKNOWN);
}

/* ---- waiting ---- */

static struct verify_told
told_at(int64_t ms, const char *key)
{
	return (struct verify_told){ .key = str_of(key), .at_ms = ms };
}

static size_t
due(struct verify_wait *w, int64_t now_ms, struct verify_item **items, uint64_t *late)
{
	return verify_wait_due(w, now_ms, items, 10, late);
}

static void
a_key_is_looked_at_three_times_and_then_makes_room(void **state)
{
	struct verify_told told = told_at(1000, "k");
	struct verify_item *items[10];
	struct verify_wait w;
	uint64_t late = 0;

	(void)state;
	verify_wait_init(&w, 1);
	assert_true(verify_wait_add(&w, &told));
	assert_false(verify_wait_add(&w, &told));
	for (unsigned look = 0; look < VERIFY_LOOKS; look++) {
		int64_t at = 1000 + verify_look_ms(look);

		assert_int_equal(due(&w, at - 1, items, &late), 0);
		assert_int_equal(due(&w, at, items, &late), 1);
		assert_int_equal(items[0]->look, look);
		assert_true(str_equal(items[0]->told.key, STR("k")));
		verify_wait_looked(&w, items[0]);
	}
	assert_int_equal(w.used, 0);
	assert_true(verify_wait_add(&w, &told));
	verify_wait_deinit(&w);
}

static void
a_look_that_comes_too_late_is_left_out_and_the_next_one_follows(void **state)
{
	struct verify_told told = told_at(0, "k");
	struct verify_item *items[10];
	struct verify_wait w;
	uint64_t late = 0;

	(void)state;
	verify_wait_init(&w, 4);
	assert_true(verify_wait_add(&w, &told));
	assert_int_equal(due(&w, 1601, items, &late), 0);
	assert_int_equal(late, 1);
	assert_int_equal(due(&w, 60000, items, &late), 1);
	assert_int_equal(items[0]->look, 1);
	verify_wait_deinit(&w);
}

static void
a_second_look_comes_two_seconds_later_and_the_longest_due_first(void **state)
{
	struct verify_told a = told_at(0, "a"), b = told_at(1500, "b");
	struct verify_item *items[10];
	struct verify_wait w;
	uint64_t late = 0;

	(void)state;
	verify_wait_init(&w, 4);
	assert_true(verify_wait_add(&w, &a) && verify_wait_add(&w, &b));
	assert_int_equal(due(&w, 1000, items, &late), 1);
	verify_wait_again(&w, items[0], 1000);
	assert_int_equal(due(&w, 3000, items, &late), 2);
	assert_true(str_equal(items[0]->told.key, STR("b")));
	assert_true(items[1]->confirms && str_equal(items[1]->told.key, STR("a")));
	verify_wait_looked(&w, items[1]);
	assert_int_equal(due(&w, 60000, items, &late), 1);
	assert_false(items[0]->confirms);
	assert_int_equal(late, 0);
	verify_wait_deinit(&w);
}

static void
what_was_looked_at_twice_keeps_its_place_among_the_next_looks(void **state)
{
	struct verify_told a = told_at(0, "a"), b = told_at(1500, "b"), c = told_at(2500, "c");
	struct verify_item *items[10];
	struct verify_wait w;
	uint64_t late = 0;

	(void)state;
	verify_wait_init(&w, 4);
	assert_true(verify_wait_add(&w, &a) && verify_wait_add(&w, &b) && verify_wait_add(&w, &c));
	assert_int_equal(due(&w, 1000, items, &late), 1);
	verify_wait_again(&w, items[0], 1000);
	assert_int_equal(due(&w, 2600, items, &late), 1);
	verify_wait_looked(&w, items[0]); /* b */
	assert_int_equal(due(&w, 3000, items, &late), 1);
	verify_wait_looked(&w, items[0]); /* a, behind it */
	assert_int_equal(due(&w, 3500, items, &late), 1);
	verify_wait_looked(&w, items[0]); /* c */
	assert_int_equal(due(&w, 60000, items, &late), 1);
	assert_true(str_equal(items[0]->told.key, STR("a")));
	assert_int_equal(due(&w, 61500, items, &late), 1);
	assert_true(str_equal(items[0]->told.key, STR("b")));
	assert_int_equal(due(&w, 62500, items, &late), 1);
	assert_true(str_equal(items[0]->told.key, STR("c")));
	assert_int_equal(late, 0);
	verify_wait_deinit(&w);
}

static void
a_key_s_last_invalidation_is_known_as_long_as_it_waits(void **state)
{
	struct verify_told a = told_at(0, "a"), b = told_at(1, "b"), later = told_at(2, "a");
	struct verify_item *items[10];
	struct verify_wait w;
	uint64_t late = 0;

	(void)state;
	verify_wait_init(&w, 4);
	assert_true(verify_wait_add(&w, &a) && verify_wait_add(&w, &b));
	assert_int_equal(due(&w, 1000, items, &late), 1);
	assert_ptr_equal(verify_wait_newest(&w, items[0]), items[0]);
	assert_true(verify_wait_add(&w, &later));
	assert_int_equal(verify_wait_newest(&w, items[0])->told.at_ms, 2);
	verify_wait_deinit(&w);
}

/* ---- on the way ---- */

static void
a_full_ring_drops_and_counts_and_so_does_a_long_key(void **state)
{
	struct verify_ring *ring = verify_ring_new(1);
	struct verify_told told = told_at(0, "k"), out;
	char key[VERIFY_KEY_MAX + 1];
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < VERIFY_RING_SLOTS + 3; i++) {
		assert_true(verify_ring_picks(ring));
		verify_ring_put(ring, &told);
	}
	for (; verify_ring_next(ring, &out); taken++) {
		assert_true(str_equal(out.key, STR("k")));
		verify_ring_taken(ring);
	}
	assert_int_equal(taken, VERIFY_RING_SLOTS);
	memset(key, 'x', sizeof(key));
	told.key = (struct str){ key, sizeof(key) };
	verify_ring_put(ring, &told);
	assert_false(verify_ring_next(ring, &out));
	assert_int_equal(verify_ring_counts(ring)->told, VERIFY_RING_SLOTS + 3);
	assert_int_equal(verify_ring_counts(ring)->dropped, 4);
	verify_ring_free(&ring);
}

/* A worker's thread: numbers as keys. */
enum { PUT = 20000 };
struct writer {
	struct verify_ring *ring;
	_Atomic int ended;
};

static void *
put_all(void *arg)
{
	struct writer *w = arg;
	struct verify_told told = told_at(0, "");
	char text[16];

	for (unsigned i = 0; i < PUT; i++) {
		snprintf(text, sizeof(text), "%u", i);
		told.key = str_of(text);
		if (verify_ring_picks(w->ring))
			verify_ring_put(w->ring, &told);
		if (i % 100 == 0)
			sched_yield();
	}
	atomic_store(&w->ended, 1);
	return NULL;
}

static void
between_two_threads_everything_comes_whole_and_in_order_but_what_is_dropped(void **state)
{
	struct writer w = { .ring = verify_ring_new(1) };
	unsigned long number, next = 0, taken = 0;
	struct verify_told out;
	pthread_t thread;
	bool ended;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, put_all, &w), 0);
	do {
		ended = atomic_load(&w.ended) != 0; /* before the last look */
		for (; verify_ring_next(w.ring, &out); taken++) {
			char text[16] = "";

			assert_in_range(out.key.len, 1, 5);
			memcpy(text, out.key.data, out.key.len);
			number = strtoul(text, NULL, 10);
			assert_true(number >= next && number < PUT);
			next = number + 1;
			verify_ring_taken(w.ring);
		}
		sched_yield();
	} while (!ended);
	pthread_join(thread, NULL);
	assert_int_equal(taken + verify_ring_counts(w.ring)->dropped, PUT);
	assert_int_equal(verify_ring_counts(w.ring)->picked, PUT);
	verify_ring_free(&w.ring);
}

static void
a_sample_picks_about_its_part(void **state)
{
	struct verify_ring *ring = verify_ring_new(10);
	unsigned picked = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		picked += verify_ring_picks(ring);
	/* five standard deviations of 95 */
	assert_in_range(picked, 9500, 10500);
	assert_int_equal(verify_ring_counts(ring)->picked, picked);
	verify_ring_free(&ring);
}

static void
large_rows_are_looked_at_one_by_one(void **state)
{
	struct verify_eye eye = { .key_bytes = VERIFY_LOOK_BYTES };
	size_t share = 1;

	(void)state;
	assert_int_equal(verify_eye_share(&eye, 100), 1);
	for (int looks = 0; looks < 8; looks++) {
		assert_in_range(verify_eye_share(&eye, 100), share, 3 * share);
		share = verify_eye_share(&eye, 100);
		verify_eye_learn(&eye, share, share * 300);
	}
	assert_int_equal(verify_eye_share(&eye, 100), 100);
	assert_int_equal(verify_eye_share(&eye, 3), 3);
	verify_eye_learn(&eye, 100, (size_t)100 * 100 * 1024);
	assert_int_equal(verify_eye_share(&eye, 100), 10);
	verify_eye_learn(&eye, 10, (size_t)160 * 1024 * 1024);
	assert_int_equal(verify_eye_share(&eye, 100), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_as_new_as_its_row_is_right_and_none_is_too),
		cmocka_unit_test(an_entry_older_than_what_was_told_is_wrong_at_once),
		cmocka_unit_test(with_when_a_newer_row_need_not_concern_the_key),
		cmocka_unit_test(a_change_on_its_way_is_no_mistake_but_one_that_never_comes_is),
		cmocka_unit_test(a_value_of_a_row_that_is_gone_is_wrong_when_it_stays),
		cmocka_unit_test(
		    an_entry_ahead_of_its_row_is_wrong_when_it_stays_unless_its_write_is_pending),
		cmocka_unit_test(content_of_the_same_version_counts_only_for_populate),
		cmocka_unit_test(what_has_no_version_is_not_called_right),
		cmocka_unit_test(a_key_is_looked_at_three_times_and_then_makes_room),
		cmocka_unit_test(a_look_that_comes_too_late_is_left_out_and_the_next_one_follows),
		cmocka_unit_test(a_second_look_comes_two_seconds_later_and_the_longest_due_first),
		cmocka_unit_test(what_was_looked_at_twice_keeps_its_place_among_the_next_looks),
		cmocka_unit_test(a_key_s_last_invalidation_is_known_as_long_as_it_waits),
		cmocka_unit_test(a_full_ring_drops_and_counts_and_so_does_a_long_key),
		cmocka_unit_test(
		    between_two_threads_everything_comes_whole_and_in_order_but_what_is_dropped),
		cmocka_unit_test(a_sample_picks_about_its_part),
		cmocka_unit_test(large_rows_are_looked_at_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
