#include "worker/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
a_position_reads_back_as_it_was_written(void **state)
{
	struct position p = { UINT64_MAX, UINT64_MAX }, q;
	char text[POSITION_TEXT];

	(void)state;
	assert_string_equal(position_text(p, text), "18446744073709551615-18446744073709551615");
	assert_true(position_parse(str_of(text), &q));
	assert_int_equal(position_compare(p, q), 0);
	assert_true(position_parse(STR("1732"), &q));
	assert_string_equal(position_text(q, text), "1732");
	assert_int_equal(position_next_offset(q), 1733);
	assert_string_equal(position_text(position_of_stream(q), text), "1732-0");
	q = position_of_offset(0);
	assert_true(position_compare(q, position_of_offset(-1)) > 0);
	assert_int_equal(position_next_offset(position_of_offset(-1)), 0);
}

static void
what_is_not_a_position_is_refused(void **state)
{
	static const char *const texts[] = { "", "-", "1-", "-1", "+1-0", "1-0-0", "1 -0", "0x1-0",
		"18446744073709551616-0", "1-18446744073709551616", "$", "beginning" };
	struct position p = { 7, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(position_parse(str_of(texts[i]), &p));
	assert_int_equal(p.major, 7);
}

static void
positions_are_ordered_by_time_then_by_sequence(void **state)
{
	struct position a = { 1, 9 }, b = { 2, 0 }, c = { 2, 1 };

	(void)state;
	assert_true(position_compare(a, b) < 0);
	assert_true(position_compare(c, b) > 0);
	assert_true(position_compare(b, b) == 0);
}

/* ---- what the cache has noted ---- */

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

static void
done_waits_for_the_note_and_never_goes_back(void **state)
{
	struct lane lane = { .done = at(5), .answered = at(9) };

	(void)state;
	assert_at(lane_recordable(&lane), 9); /* the cache keeps none */
	lane.noting = true;
	assert_at(lane_recordable(&lane), 5); /* not looked at yet */
	lane.noted = at(7);
	assert_at(lane_recordable(&lane), 7);
	lane.noted = at(12); /* the lane was moved back by order */
	assert_at(lane_recordable(&lane), 9);
	lane.again.on = true;
	lane.noted = at(2);
	assert_at(lane_recordable(&lane), 9);
}

static void
a_lost_connection_sends_again_what_the_note_lacks(void **state)
{
	struct lane lane = { .done = at(5), .answered = at(9), .cursor = at(11), .noting = true };

	(void)state;
	lane.noted = at(7);
	lane_rewind(&lane);
	assert_at(lane.answered, 7);
	assert_at(lane.cursor, 7);
	lane.noted = at(0);
	lane_rewind(&lane);
	assert_at(lane.cursor, 5);
	lane.noting = false;
	lane.answered = at(9);
	lane_rewind(&lane);
	assert_at(lane.cursor, 9);
}

static void
what_is_sent_again_begins_anew_at_the_note(void **state)
{
	struct lane lane = { .done = at(9), .answered = at(9), .noting = true };

	(void)state;
	lane.noted = at(2);
	lane.again = (struct lane_again){ .on = true, .at = at(4), .to = at(8), .pass = 3 };
	lane_rewind(&lane);
	assert_at(lane.again.at, 2);
	assert_at(lane.again.to, 9);
	assert_int_equal(lane.again.pass, 0);
	assert_at(lane.cursor, 9);
	lane_end_again(&lane);
	assert_false(lane.again.on);
}

static void
the_last_thousand_entries_are_remembered_and_no_more(void **state)
{
	struct lane_recent recent = { 0 };

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(lane_recent_add(&recent, true), i + 1);
	for (int i = 0; i < 800; i++)
		assert_int_equal(lane_recent_add(&recent, false), 200);
	for (int i = 1; i <= 200; i++)
		assert_int_equal(lane_recent_add(&recent, false), 200 - i);
	assert_int_equal(lane_recent_add(&recent, true), 1);
	assert_int_equal(recent.count, 1000);
}

static void
a_lane_is_named_by_pool_source_and_stream(void **state)
{
	const char *streams[] = { "wb:a", "wb:b" };
	struct config_source source = { .streams = streams, .stream_count = 2 };
	struct config config = { .pool = "default", .redis.name = "redis" };
	struct lane lane;

	(void)state;
	lane_init(&lane, &config, &source, 1, 5);
	assert_string_equal(lane.name, "default/redis/wb:b");
	assert_string_equal(lane.stream, "wb:b");
	assert_int_equal(lane.lanes_of_source, 2);
	assert_int_equal(lane.index, 5);
	assert_int_equal(lane.state, LANE_FREE);
}

static void
a_held_lane_says_why_until_it_is_open_again(void **state)
{
	struct lane lane = { 0 };

	(void)state;
	lane_open(&lane);
	lane_hold(&lane, LANE_WHY_WRONG_TYPE, 5000);
	assert_int_equal(atomic_load(&lane.shown_state), LANE_HELD);
	assert_string_equal(atomic_load(&lane.why), LANE_WHY_WRONG_TYPE);
	assert_int_equal(lane.hold_until_ms, 5000);
	lane_open(&lane);
	assert_null(atomic_load(&lane.why));
	assert_int_equal(atomic_load(&lane.shown_state), LANE_OPEN);
}

static void
a_word_from_the_ledger_is_the_word_of_the_code(void **state)
{
	char text[] = "gap";

	(void)state;
	assert_string_equal(lane_why_of(text), LANE_WHY_GAP);
	assert_ptr_equal(lane_why_of(text), lane_why_of("gap"));
	assert_null(lane_why_of(""));
	assert_string_equal(lane_why_of("from_the_future"), "unknown");
}

static void
a_lane_that_is_let_go_shows_nothing_of_its_stream(void **state)
{
	struct lane lane = { 0 };

	(void)state;
	lane_open(&lane);
	atomic_store(&lane.lag, 9);
	atomic_store(&lane.alarm, LANE_WHY_GAP);
	lane_free(&lane);
	assert_int_equal(atomic_load(&lane.lag), 0);
	assert_null(atomic_load(&lane.alarm));
}

static struct lane_wait
place_at(uint64_t major)
{
	return (struct lane_wait){ .at = { major, 0 }, .hash = major };
}

static void
answer(struct lane *lane, uint64_t major, uint64_t pass)
{
	struct lane_wait place = place_at(major);

	lane_answer(lane, &place, pass);
}

/* Patterns that never end come in all the time: each still ends with its own pass. */
static void
a_lane_is_answered_behind_each_pass_however_many_follow(void **state)
{
	struct lane lane = { 0 };

	(void)state;
	answer(&lane, 1, 0);
	assert_int_equal(lane.answered.major, 1);
	for (uint64_t pass = 1; pass < 50; pass++) {
		answer(&lane, 10 * pass, pass);
		answer(&lane, 10 * pass + 1,
		    0); /* has none of its own, and is behind one that has */
		answer(&lane, 10 * pass + 2, pass + 1);
		assert_int_equal(lane_reached(&lane).at.major, 10 * pass + 2);
		lane_passed(&lane, pass);
		assert_int_equal(lane.answered.major, 10 * pass + 1);
		assert_int_equal(lane.answered_hash, 10 * pass + 1);
		lane_passed(&lane, pass);
		assert_int_equal(lane.answered.major, 10 * pass + 1);
	}
	lane_passed(&lane, 50);
	assert_int_equal(lane.answered.major, 492);
	assert_int_equal(lane.wait_count, 0);
}

static void
what_the_ledger_knows_ends_a_wait_and_what_is_read_again_forgets_it(void **state)
{
	struct lane lane = { 0 };

	(void)state;
	answer(&lane, 5, 1);
	answer(&lane, 9, 2);
	lane_answered_at(&lane, (struct position){ 5, 0 });
	assert_int_equal(lane.wait_count, 1);
	assert_int_equal(lane_reached(&lane).at.major, 9);
	lane_forget_waits(&lane);
	assert_int_equal(lane_reached(&lane).at.major, 5);
}

static void
a_partition_is_found_by_its_whole_name_or_without_pool_and_server(void **state)
{
	const struct config config = { .pool = "p", .kafka = { .name = "k" } };
	char topic[TOPIC_NAME_MAX + 1];
	int partition;

	(void)state;
	assert_true(lane_name_partition(&config, "p/k/a.b/12", topic, &partition));
	assert_string_equal(topic, "a.b");
	assert_int_equal(partition, 12);
	assert_true(lane_name_partition(&config, "a.b/0", topic, &partition));
	assert_string_equal(topic, "a.b");
	assert_false(lane_name_partition(&config, "a.b", topic, &partition));
	assert_false(lane_name_partition(&config, "/1", topic, &partition));
	assert_false(lane_name_partition(&config, "a.b/-1", topic, &partition));
	assert_false(lane_name_partition(&config, "a.b/x", topic, &partition));
}

static void
an_alarm_outlives_us_with_what_waits_behind_it(void **state)
{
	struct lane lane = { .cache_lost = true }, other = { .cache_lost = true };
	char text[LANE_ALARM_MAX + 1];

	(void)state;
	assert_string_equal(lane_alarm_text(&lane, LANE_WHY_STORE_ROLLBACK, text),
	    "store_rollback,cache_lost");
	lane_take_alarm(&other, text);
	assert_true(other.cache_lost);
	assert_ptr_equal(atomic_load(&other.alarm), lane_why_of(LANE_WHY_STORE_ROLLBACK));
	lane_take_alarm(&other, "gap");
	assert_false(other.cache_lost);
	assert_string_equal(lane_alarm_text(&other, atomic_load(&other.alarm), text), "gap");
	lane_take_alarm(&other, "");
	assert_null(atomic_load(&other.alarm));
	assert_string_equal(lane_alarm_text(&other, NULL, text), "");
	/* another one takes its place */
	lane_take_alarm(&other, LANE_WHY_CACHE_LOST);
	assert_string_equal(lane_alarm_text(&other, LANE_WHY_CACHE_LOST, text), "cache_lost");
	assert_string_equal(lane_alarm_text(&other, LANE_WHY_FORK, text), "fork,cache_lost");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_is_answered_behind_each_pass_however_many_follow),
		cmocka_unit_test(
		    what_the_ledger_knows_ends_a_wait_and_what_is_read_again_forgets_it),
		cmocka_unit_test(a_position_reads_back_as_it_was_written),
		cmocka_unit_test(what_is_not_a_position_is_refused),
		cmocka_unit_test(positions_are_ordered_by_time_then_by_sequence),
		cmocka_unit_test(done_waits_for_the_note_and_never_goes_back),
		cmocka_unit_test(a_lost_connection_sends_again_what_the_note_lacks),
		cmocka_unit_test(what_is_sent_again_begins_anew_at_the_note),
		cmocka_unit_test(the_last_thousand_entries_are_remembered_and_no_more),
		cmocka_unit_test(a_lane_is_named_by_pool_source_and_stream),
		cmocka_unit_test(a_partition_is_found_by_its_whole_name_or_without_pool_and_server),
		cmocka_unit_test(a_held_lane_says_why_until_it_is_open_again),
		cmocka_unit_test(a_word_from_the_ledger_is_the_word_of_the_code),
		cmocka_unit_test(a_lane_that_is_let_go_shows_nothing_of_its_stream),
		cmocka_unit_test(an_alarm_outlives_us_with_what_waits_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
