#include "worker/source/stream_look.h"

#include "worker/source/read_plan.h"
#include "worker/source/stream_preflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A stream of entries 1-0 … 10-0, of which we are done with 5; the entry at 5-0 is the witness. */
static const struct stream_info healthy = { .known = true,
	.exists = true,
	.length = 6,
	.has_added = true,
	.added = 10,
	.last_generated = { 10, 0 },
	.has_first = true,
	.first = { 5, 0 } };
static const struct stream_memory at_five = {
	.done = { 5, 0 }, .counted = true, .count = 5, .witnessed = true
};
static struct config_source source = { .start = "beginning" };

static struct lane
lane_at(uint64_t done, uint64_t cursor)
{
	struct lane lane = { .stream = "wb:a",
		.source = &source,
		.done = { done, 0 },
		.position = { done, 0 },
		.cursor = { cursor, 0 } };

	return lane;
}

static bool
gap(const struct stream_info *info, const struct stream_memory *memory, uint64_t cursor, char *text)
{
	struct lane lane = lane_at(5, cursor);
	char mine[256];

	bool anew;

	return stream_gap(info, memory, &lane, lane.position, &anew, text != NULL ? text : mine,
	    256);
}

static void
a_witness_in_front_means_that_nothing_is_missing(void **state)
{
	(void)state;
	assert_false(gap(&healthy, &at_five, 5, NULL));
}

static void
entries_trimmed_before_they_were_read_are_a_gap_with_its_range(void **state)
{
	struct stream_info info = healthy;
	char text[256];

	(void)state;
	info.first = (struct position){ 8, 0 };
	info.length = 3;
	assert_true(gap(&info, &at_five, 5, text));
	assert_non_null(strstr(text, "wb:a"));
	assert_non_null(strstr(text, "2 entries between 5-0 and 8-0"));
}

static void
a_witness_trimmed_alone_is_no_gap(void **state)
{
	struct stream_info info = healthy;

	(void)state;
	info.first = (struct position){ 6, 0 };
	info.length = 5;
	assert_false(gap(&info, &at_five, 5, NULL));
}

static void
entries_trimmed_after_they_were_read_are_no_gap(void **state)
{
	struct stream_info info = healthy;

	(void)state;
	info.first = (struct position){ 8, 0 };
	info.length = 3;
	assert_false(gap(&info, &at_five, 8, NULL));
}

static void
a_stream_emptied_behind_us_is_a_gap(void **state)
{
	struct stream_info info = healthy;

	(void)state;
	info.has_first = false;
	info.length = 0;
	assert_true(gap(&info, &at_five, 5, NULL));
	assert_false(gap(&info, &at_five, 10, NULL));
}

static void
without_counts_a_missing_witness_is_a_gap(void **state)
{
	struct stream_info info = healthy;
	struct stream_memory memory = at_five;

	(void)state;
	info.has_added = false;
	memory.counted = false;
	info.first = (struct position){ 8, 0 };
	info.length = 3;
	assert_true(gap(&info, &memory, 5, NULL));
	memory.witnessed = false;
	assert_false(gap(&info, &memory, 5, NULL));
}

static void
a_deleted_entry_that_was_not_done_is_a_gap_once(void **state)
{
	struct stream_info info = healthy;
	struct stream_memory memory = at_five;

	(void)state;
	info.max_deleted = (struct position){ 7, 0 };
	info.length = 5;
	assert_true(gap(&info, &memory, 8, NULL));
	memory.deleted = info.max_deleted;
	assert_false(gap(&info, &memory, 8, NULL));
}

static void
a_deleted_entry_that_was_done_is_no_gap(void **state)
{
	struct stream_info info = healthy;

	(void)state;
	info.max_deleted = (struct position){ 5, 0 };
	info.first = (struct position){ 6, 0 };
	info.length = 5;
	assert_false(gap(&info, &at_five, 5, NULL));
}

static void
a_stream_begun_anew_is_a_gap_even_where_its_entries_were_read(void **state)
{
	struct stream_info info = { .known = true,
		.exists = true,
		.length = 2,
		.has_added = true,
		.added = 2,
		.last_generated = { 21, 0 },
		.has_first = true,
		.first = { 20, 0 } };
	char text[256];

	(void)state;
	assert_true(gap(&info, &at_five, 21, text));
	assert_non_null(strstr(text, "anew"));
}

static void
a_stream_that_is_gone_is_a_gap(void **state)
{
	struct stream_info info = { .known = true };
	struct stream_memory none = { 0 };
	struct lane lane = lane_at(0, 0);
	char text[256];
	bool anew;

	(void)state;
	assert_true(gap(&info, &at_five, 5, text));
	/* nothing was ever read: there is nothing to lose */
	assert_false(stream_gap(&info, &none, &lane, lane.position, &anew, text, sizeof(text)));
}

static void
what_may_not_be_asked_is_not_a_gap(void **state)
{
	struct stream_info info = { 0 };

	(void)state;
	assert_false(gap(&info, &at_five, 5, NULL));
}

static void
entries_behind_done_are_counted_only_where_the_stream_tells(void **state)
{
	struct stream_info info = healthy;
	uint64_t beyond;

	(void)state;
	assert_true(stream_beyond(&info, (struct position){ 5, 0 }, &beyond));
	assert_int_equal(beyond, 5);
	assert_true(stream_beyond(&info, (struct position){ 10, 0 }, &beyond));
	assert_int_equal(beyond, 0);
	assert_true(stream_beyond(&info, (struct position){ 4, 7 }, &beyond));
	assert_int_equal(beyond, 6);
	assert_false(stream_beyond(&info, (struct position){ 7, 0 }, &beyond));
}

static enum look_result
decide(const struct stream_facts *facts, const struct ledger_row *row, struct source_look *look)
{
	struct lane lane = lane_at(5, 5);
	struct err err = { 0 };

	memset(look, 0, sizeof(*look));
	assert_int_equal(stream_decide(facts, &at_five, &lane, row, look, &err), 0);
	return look->result;
}

static void
a_lane_without_row_and_traces_starts_fresh_where_the_source_says(void **state)
{
	struct stream_facts facts = {
		.info = healthy, .groups.known = true, .identity_trace = IDENTITY_ABSENT
	};
	struct ledger_row row = { 0 };
	struct source_look look;
	struct lane lane = lane_at(0, 0);
	struct err err = { 0 };

	(void)state;
	source.start = "end";
	assert_int_equal(decide(&facts, &row, &look), LOOK_FRESH);
	assert_int_equal(look.start.major, 10);
	source.start = "3-1";
	assert_int_equal(decide(&facts, &row, &look), LOOK_FRESH);
	assert_int_equal(look.start.minor, 1);
	source.start = "end";
	facts.info.known = false;
	assert_int_equal(stream_decide(&facts, &at_five, &lane, &row, &look, &err), -1);
	assert_int_equal(err.class, ERR_FATAL);
	source.start = "beginning";
	assert_int_equal(decide(&facts, &row, &look), LOOK_FRESH);
	assert_int_equal(look.start.major, 0);
}

static void
a_lane_without_row_but_with_a_trace_has_lost_its_ledger(void **state)
{
	struct stream_facts group = { .info = healthy, .groups = { .known = true, .ours = true } };
	struct stream_facts key = {
		.info = healthy, .identity_trace = IDENTITY_FOUND, .identity = "abc"
	};
	struct ledger_row row = { 0 };
	struct source_look look;

	(void)state;
	assert_int_equal(decide(&group, &row, &look), LOOK_LEDGER_LOST);
	assert_int_equal(decide(&key, &row, &look), LOOK_LEDGER_LOST);
	assert_string_equal(look.identity, "abc");
}

static void
another_identity_is_another_stream(void **state)
{
	struct stream_facts facts = {
		.info = healthy, .identity_trace = IDENTITY_FOUND, .identity = "abc"
	};
	struct ledger_row row = {
		.found = true, .position = { 5, 0 }, .done = { 5, 0 }, .identity = "abd"
	};
	struct source_look look;

	(void)state;
	assert_int_equal(decide(&facts, &row, &look), LOOK_IDENTITY);
	strcpy(row.identity, "abc");
	assert_int_equal(decide(&facts, &row, &look), LOOK_OK);
}

static void
an_identity_key_that_is_gone_is_a_gap_unless_nothing_was_read(void **state)
{
	struct stream_facts facts = { .info = healthy, .identity_trace = IDENTITY_ABSENT };
	struct ledger_row row = {
		.found = true, .position = { 5, 0 }, .done = { 5, 0 }, .identity = "abc"
	};
	struct source_look look;

	(void)state;
	assert_int_equal(decide(&facts, &row, &look), LOOK_GAP);
	facts.identity_trace = IDENTITY_UNKNOWN;
	assert_int_equal(decide(&facts, &row, &look), LOOK_OK);
	facts.identity_trace = IDENTITY_ABSENT;
	row.position = row.done = (struct position){ 0, 0 };
	assert_int_equal(decide(&facts, &row, &look), LOOK_OK);
}

static void
a_board_ahead_of_the_ledger_is_a_store_rollback_for_a_new_owner(void **state)
{
	struct stream_facts facts = { .info = healthy,
		.groups = { .known = true, .ours = true, .delivered = { 8, 0 } } };
	struct ledger_row row = { .found = true, .position = { 6, 0 }, .done = { 5, 0 } };
	struct stream_memory memory = stream_recall(&facts, row.done);
	struct lane lane = lane_at(5, 5);
	struct source_look look = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(stream_decide(&facts, &memory, &lane, &row, &look, &err), 0);
	assert_int_equal(look.result, LOOK_STORE_ROLLBACK);
	assert_false(look.loses);
	assert_non_null(strstr(look.text, "from 8-0 to 6-0"));
	/* who was its owner all the time knows that another client moved the group */
	assert_int_equal(decide(&facts, &row, &look), LOOK_OK);
	/* unless the store was away meanwhile, and with it perhaps the lane */
	lane.recall = true;
	assert_int_equal(stream_decide(&facts, &at_five, &lane, &row, &look, &err), 0);
	assert_int_equal(look.result, LOOK_STORE_ROLLBACK);
	/* done trails position: that a board is ahead of it means nothing */
	row.position = (struct position){ 8, 0 };
	assert_int_equal(stream_decide(&facts, &memory, &lane, &row, &look, &err), 0);
	assert_int_equal(look.result, LOOK_OK);
}

static void
what_was_trimmed_before_the_ledger_went_back_is_named(void **state)
{
	struct stream_facts facts = { .info = healthy, .groups.known = true };
	struct ledger_row row = { .found = true, .position = { 2, 0 }, .done = { 2, 0 } };
	struct lane lane = lane_at(2, 2);
	struct source_look look = { 0 };
	struct err err = { 0 };

	(void)state;
	lane.lost_from = (struct position){ 2, 0 };
	lane.lost_to = (struct position){ 9, 0 };
	assert_int_equal(stream_decide(&facts, &at_five, &lane, &row, &look, &err), 0);
	assert_int_equal(look.result, LOOK_STORE_ROLLBACK);
	assert_true(look.loses);
	assert_non_null(strstr(look.text, "between 2-0 and 5-0"));
	/* nothing was ever trimmed */
	facts.info.first = (struct position){ 3, 0 };
	facts.info.length = facts.info.added = 8;
	assert_int_equal(stream_decide(&facts, &at_five, &lane, &row, &look, &err), 0);
	assert_false(look.loses);
}

static void
a_stream_that_ends_before_the_ledger_is_a_rollback(void **state)
{
	struct stream_facts facts = { .info = healthy, .groups.known = true };
	struct ledger_row row = { .found = true, .position = { 12, 0 }, .done = { 12, 0 } };
	struct source_look look;

	(void)state;
	assert_int_equal(decide(&facts, &row, &look), LOOK_ROLLBACK);
	assert_non_null(strstr(look.text, "ends at 10-0, the ledger is at 12-0"));
}

static void
fewer_entries_than_were_counted_is_a_stream_begun_anew_whatever_is_in_front(void **state)
{
	struct stream_info info = healthy;
	struct lane lane = lane_at(5, 5);
	char text[256];
	bool anew;

	(void)state;
	info.added = 4;
	info.length = 4;
	info.first = (struct position){ 1, 0 };
	assert_true(stream_gap(&info, &at_five, &lane, lane.position, &anew, text, sizeof(text)));
	assert_true(anew);
}

static void
kept_entries_in_front_are_counted_past(void **state)
{
	struct stream_info info = healthy;
	struct stream_memory memory;

	(void)state;
	info.first = (struct position){ 1, 0 };
	info.length = 10;
	memory = stream_remember(&info, (struct position){ 8, 0 });
	assert_false(memory.counted);
	assert_true(memory.witnessed);
	stream_count_on(&memory, &at_five, (struct position){ 5, 0 }, 3);
	assert_true(memory.counted);
	assert_int_equal(memory.count, 8);
	memory = stream_remember(&info, (struct position){ 8, 0 });
	stream_count_on(&memory, &at_five, (struct position){ 4, 0 }, 3);
	assert_false(memory.counted);
}

static void
the_board_tells_a_new_owner_what_to_count_from(void **state)
{
	struct stream_facts facts = { .info = healthy,
		.groups = { .known = true,
		    .ours = true,
		    .delivered = { 5, 0 },
		    .counted = true,
		    .read = 5 } };
	struct stream_memory memory = stream_recall(&facts, (struct position){ 5, 0 });

	(void)state;
	assert_true(memory.counted);
	assert_int_equal(memory.count, 5);
	/* a start in the middle: no count, and no entry need be there */
	facts.groups.counted = false;
	memory = stream_recall(&facts, (struct position){ 5, 0 });
	assert_false(memory.counted);
	assert_false(memory.witnessed);
	/* the board is behind the ledger */
	memory = stream_recall(&facts, (struct position){ 6, 0 });
	assert_true(memory.witnessed);
}

static void
a_small_reply_is_asked_for_while_sizes_are_unknown(void **state)
{
	struct read_lane lanes[8] = { 0 };
	struct read_limits limits = {
		.max_rows = 1000, .max_bytes = 1 << 20, .turn = 3, .count = 16
	};
	struct read_plan plan;

	(void)state;
	for (int i = 0; i < 8; i++)
		lanes[i].entry_bytes = READ_ENTRY_BYTES;
	plan = read_plan(lanes, 8, &limits);
	assert_int_equal(plan.width, 8);
	assert_int_equal(plan.count, 16);
	assert_int_equal(plan.first, 3);
	assert_true(plan.block);
}

static void
the_count_is_bounded_by_rows_over_busy_lanes_and_by_entry_size(void **state)
{
	struct read_lane lanes[2] = { { 100, false }, { 100, false } };
	struct read_limits limits = {
		.max_rows = 1000, .max_bytes = 1 << 20, .count = 5000, .busy = 2
	};

	(void)state;
	assert_int_equal(read_plan(lanes, 2, &limits).count, 500);
	lanes[0].entry_bytes = 100000;
	assert_int_equal(read_plan(lanes, 2, &limits).count, 10);
	limits.max_rows = 1;
	assert_int_equal(read_plan(lanes, 2, &limits).count, 1);
}

static void
lanes_of_large_entries_take_turns_and_never_block(void **state)
{
	struct read_lane lanes[3] = { { 600000, false }, { 600000, false }, { 600000, false } };
	struct read_limits limits = {
		.max_rows = 1000, .max_bytes = 1 << 20, .turn = 5, .count = 64
	};
	struct read_plan plan = read_plan(lanes, 3, &limits);

	(void)state;
	assert_int_equal(plan.first, 2);
	assert_int_equal(plan.width, 1);
	assert_int_equal(plan.count, 1);
	assert_false(plan.block);
	/* one lane leaves nobody out */
	limits.turn = 0;
	assert_true(read_plan(lanes, 1, &limits).block == true);
}

static void
a_lane_to_be_read_alone_comes_first_with_one_entry(void **state)
{
	struct read_lane lanes[3] = { { 64, false }, { 64, true }, { 64, false } };
	struct read_limits limits = {
		.max_rows = 1000, .max_bytes = 1 << 20, .turn = 2, .count = 64
	};
	struct read_plan plan = read_plan(lanes, 3, &limits);

	(void)state;
	assert_int_equal(plan.first, 1);
	assert_int_equal(plan.width, 1);
	assert_int_equal(plan.count, 1);
	assert_false(plan.block);
}

static void
sizes_rise_at_once_and_are_forgotten_slowly(void **state)
{
	(void)state;
	assert_int_equal(read_entry_bytes(64, 1000000), 1000000);
	assert_int_equal(read_entry_bytes(1000000, 100), 875000);
	assert_int_equal(read_entry_bytes(1000000, 0), 500000);
	assert_int_equal(read_entry_bytes(64, 0), READ_ENTRY_BYTES);
	assert_int_equal(read_count_next(0), 16);
	assert_int_equal(read_count_next(16), 32);
	assert_int_equal(read_count_next(SIZE_MAX / 4), READ_COUNT_MAX);
}

static void
a_server_that_may_evict_streams_is_refused_unless_allowed(void **state)
{
	struct str info = STR("# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:1000\r\n"
			      "maxmemory_policy:allkeys-lru\r\naof_enabled:1\r\nrole:master\r\n");
	struct preflight found;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(preflight_judge(info, false, &found, &err), -1);
	assert_int_equal(err.class, ERR_FATAL);
	assert_non_null(strstr(err.text, "allkeys-lru"));
	assert_int_equal(preflight_judge(info, true, &found, &err), 0);
	assert_int_equal(found.version, 700);
	assert_true(found.append_only);
	info = STR("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n");
	assert_int_equal(preflight_judge(info, false, &found, &err), 0);
	info = STR("maxmemory:5\r\nmaxmemory_policy:volatile-lru\r\n");
	assert_int_equal(preflight_judge(info, false, &found, &err), 0);
}

static void
a_replication_id_is_hexadecimal_or_none(void **state)
{
	char history[HISTORY_MAX + 1];

	(void)state;
	info_history(STR("role:master\r\nmaster_replid:8a3f0c\r\nmaster_replid2:00\r\n"), history);
	assert_string_equal(history, "8a3f0c");
	info_history(STR("master_replid:x' OR 1 --\r\n"), history);
	assert_string_equal(history, "");
	info_history(STR("master_replid:00112233445566778899001122334455667788990\r\n"), history);
	assert_string_equal(history, "");
	info_history(STR("role:master\r\n"), history);
	assert_string_equal(history, "");
}

static void
a_replica_and_a_loading_server_are_tried_again(void **state)
{
	struct preflight found;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(preflight_judge(STR("role:slave\r\n"), false, &found, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_int_equal(preflight_judge(STR("loading:1"), false, &found, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_int_equal(preflight_judge(STR(""), false, &found, &err), 0);
	assert_int_equal(found.version, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_witness_in_front_means_that_nothing_is_missing),
		cmocka_unit_test(entries_trimmed_before_they_were_read_are_a_gap_with_its_range),
		cmocka_unit_test(a_witness_trimmed_alone_is_no_gap),
		cmocka_unit_test(entries_trimmed_after_they_were_read_are_no_gap),
		cmocka_unit_test(a_stream_emptied_behind_us_is_a_gap),
		cmocka_unit_test(without_counts_a_missing_witness_is_a_gap),
		cmocka_unit_test(a_deleted_entry_that_was_not_done_is_a_gap_once),
		cmocka_unit_test(a_deleted_entry_that_was_done_is_no_gap),
		cmocka_unit_test(a_stream_begun_anew_is_a_gap_even_where_its_entries_were_read),
		cmocka_unit_test(a_stream_that_is_gone_is_a_gap),
		cmocka_unit_test(what_may_not_be_asked_is_not_a_gap),
		cmocka_unit_test(entries_behind_done_are_counted_only_where_the_stream_tells),
		cmocka_unit_test(a_lane_without_row_and_traces_starts_fresh_where_the_source_says),
		cmocka_unit_test(a_lane_without_row_but_with_a_trace_has_lost_its_ledger),
		cmocka_unit_test(another_identity_is_another_stream),
		cmocka_unit_test(an_identity_key_that_is_gone_is_a_gap_unless_nothing_was_read),
		cmocka_unit_test(a_board_ahead_of_the_ledger_is_a_store_rollback_for_a_new_owner),
		cmocka_unit_test(what_was_trimmed_before_the_ledger_went_back_is_named),
		cmocka_unit_test(a_stream_that_ends_before_the_ledger_is_a_rollback),
		cmocka_unit_test(
		    fewer_entries_than_were_counted_is_a_stream_begun_anew_whatever_is_in_front),
		cmocka_unit_test(kept_entries_in_front_are_counted_past),
		cmocka_unit_test(the_board_tells_a_new_owner_what_to_count_from),
		cmocka_unit_test(a_small_reply_is_asked_for_while_sizes_are_unknown),
		cmocka_unit_test(the_count_is_bounded_by_rows_over_busy_lanes_and_by_entry_size),
		cmocka_unit_test(lanes_of_large_entries_take_turns_and_never_block),
		cmocka_unit_test(a_lane_to_be_read_alone_comes_first_with_one_entry),
		cmocka_unit_test(sizes_rise_at_once_and_are_forgotten_slowly),
		cmocka_unit_test(a_server_that_may_evict_streams_is_refused_unless_allowed),
		cmocka_unit_test(a_replication_id_is_hexadecimal_or_none),
		cmocka_unit_test(a_replica_and_a_loading_server_are_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
