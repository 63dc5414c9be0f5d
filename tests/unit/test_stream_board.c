#include "tests/support/stream_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- looking ---- */

static void
a_fresh_lane_leaves_its_identity_and_its_group(void **state)
{
	struct source_look found;
	struct ledger_row none = { 0 };

	NEEDS_SERVER();
	settle(0);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_OK);
	assert_string_equal(found.identity, rig.lanes[0].identity);
	/* the ledger forgot it */
	assert_int_equal(look(0, none, &found), LOOK_LEDGER_LOST);
	call("DEL sluice:default:id:s:0");
	assert_int_equal(look(0, none, &found), LOOK_LEDGER_LOST);
}

static void
another_lanes_identity_stops_it(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	call("SET sluice:default:id:s:0 other");
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_IDENTITY);
}

static void
a_key_of_another_type_is_named(void **state)
{
	struct source_look found;
	struct ledger_row none = { 0 };

	NEEDS_SERVER();
	call("LPUSH s:0 x");
	assert_int_equal(look(0, none, &found), LOOK_WRONG_TYPE);
}

/* Read and apply `count` entries of lane 0, release it. */
static void
apply(int count)
{
	for (int i = 0; i < count; i++)
		call("XADD s:0 * id 1");
	assert_int_equal(take_all(1, 4), count);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_flushed_server_is_a_gap_and_the_stream_is_lifted(void **state)
{
	struct source_look found;
	struct err err = { 0 };

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	rig.source->ops->close_lane(rig.source, &rig.lanes[0]);
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_GAP);
	assert_false(found.cannot_lift);
	assert_int_equal(rig.source->ops->settle(rig.source, &rig.lanes[0], rig.lanes[0].identity,
			     &err),
	    0);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	/* an id below the ledger's place is refused now */
	assert_null(redis_call(rig.redis, &rig.arena, &err, "XADD s:0 5-0 id 1"));
	call("XADD s:0 * id 1");
	assert_int_equal(take(1), 1);
}

static void
a_flush_while_running_is_one_gap(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	assert_int_equal(release(0, &found), LOOK_GAP);
	assert_non_null(strstr(found.text, "s:0"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(release(0, &found), LOOK_OK);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	apply(5);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_flush_that_new_entries_hide_is_still_one_gap(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	call("XADD s:0 9999999999999-0 id 1");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(take(1), 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_deleted_stream_is_one_gap_although_it_was_begun_anew(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("DEL s:0");
	call("XADD s:0 9999999999999-0 id 1");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_foreign_trim_of_unread_entries_is_one_gap(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	for (int i = 0; i < 10; i++)
		call("XADD s:0 * id 1");
	call("XTRIM s:0 MAXLEN 4");
	assert_int_equal(release(0, &found), LOOK_GAP);
	assert_non_null(strstr(found.text, "6 entries"));
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(take(1), 4);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_foreign_trim_of_applied_entries_is_none_also_for_the_next_owner(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XADD s:0 * id 1");
	call("XTRIM s:0 MAXLEN 1");
	rig.source->ops->close_lane(rig.source, &rig.lanes[0]);
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_OK);
	call("XTRIM s:0 MAXLEN 0");
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_GAP);
}

static void
a_deleted_unread_entry_is_one_gap(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XADD s:0 9999999999999-0 id 1");
	call("XADD s:0 9999999999999-1 id 1");
	call("XDEL s:0 9999999999999-0");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_gap_found_while_the_lane_is_held_is_told_later(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	lane_hold(&rig.lanes[0], LANE_WHY_ROW_LOCK, 0);
	call("DEL s:0");
	release(0, NULL);
	lane_open(&rig.lanes[0]);
	assert_int_equal(release(0, NULL), LOOK_GAP);
}

static void
the_newest_place_of_any_stream_can_be_asked_for(void **state)
{
	struct position last;
	struct err err = { 0 };

	NEEDS_SERVER();
	settle(0);
	apply(3); /* the notice board's answer is still on its way */
	assert_int_equal(rig.source->ops->newest(rig.source, "s:0", &last, &err), 0);
	assert_int_equal(position_compare(last, rig.lanes[0].done), 0);
	assert_int_equal(rig.source->ops->newest(rig.source, "nowhere", &last, &err), 0);
	assert_int_equal(last.major, 0);
}

/* ---- releasing ---- */

static void
at_rest_the_witness_is_left_and_the_lag_is_zero(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(100);
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(atomic_load(&rig.lanes[0].lag), 0);
	assert_int_equal(atomic_load(&rig.lanes[0].oldest_pending_ms), 0);
	assert_true(atomic_load(&rig.lanes[0].stream_bytes) > 0);
}

static void
under_way_the_lag_is_what_is_not_done(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 1; i <= 50; i++) {
		char command[64];

		snprintf(command, sizeof(command), "XADD s:0 %d-0 id 1", 1000 + i);
		call(command);
	}
	rig.lanes[0].cursor = rig.lanes[0].position = rig.lanes[0].done =
	    (struct position){ 1020, 0 };
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 30);
	assert_int_equal(atomic_load(&rig.lanes[0].lag), 30);
	assert_int_equal(atomic_load(&rig.lanes[0].stream_length), 31);
	assert_int_equal(atomic_load(&rig.lanes[0].oldest_pending_ms), 1021);
}

static void
what_another_group_needs_is_not_trimmed(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 1; i <= 10; i++) {
		char command[64];

		snprintf(command, sizeof(command), "XADD s:0 %d-0 id 1", i);
		call(command);
	}
	call("XGROUP CREATE s:0 another 0");
	call("XREADGROUP GROUP another me COUNT 6 STREAMS s:0 >");
	call("XACK s:0 another 1-0 2-0 3-0");
	assert_int_equal(take(1), 10);
	assert_int_equal(release(0, NULL), LOOK_OK);
	/* 4-0 is pending there */
	assert_int_equal(integer("XLEN s:0"), 7);
	call("XACK s:0 another 4-0 5-0 6-0");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(integer("XLEN s:0"), 5);
	call("XGROUP DESTROY s:0 another");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_destroyed_group_is_made_again_with_its_count(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XGROUP DESTROY s:0 sluice-default");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(group_field("s:0", "entries-read"), 10);
}

static void
entries_that_are_large_do_not_make_looking_expensive(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 0; i < 3; i++)
		add_large("s:0", 6 << 20);
	assert_true(take_all(1, 2) >= 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_true(arena_bytes(&redis_stream_of(rig.source)->arena) < 8 << 20);
	assert_true(atomic_load(&rig.lanes[0].oldest_pending_ms) > 0);
	assert_int_equal(atomic_load(&rig.lanes[0].stream_length),
	    1 + atomic_load(&rig.lanes[0].lag));
	assert_int_equal(group_field("s:0", "lag"), atomic_load(&rig.lanes[0].lag));
}

static void
what_may_not_be_done_is_done_without(void **state)
{
	static const char *const denied[] = { "ACL SETUSER default -xtrim",
		"ACL SETUSER default -xgroup", "ACL SETUSER default -xinfo",
		"ACL SETUSER default -memory", "ACL SETUSER default -set",
		"ACL SETUSER default -get", "ACL SETUSER default -info",
		"ACL SETUSER default -xpending" };
	struct source_look found;
	struct err err = { 0 };

	NEEDS_SERVER();
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		call("ACL SETUSER default +@all");
		call("FLUSHALL");
		rig.source->ops->close_lane(rig.source, &rig.lanes[0]);
		rig.lanes[0].done = rig.lanes[0].position = rig.lanes[0].cursor =
		    (struct position){ 0, 0 };
		call(denied[i]);
		rig.source->ops->close(rig.source);
		assert_int_equal(rig.source->ops->open(rig.source, &err), 0);
		settle(0);
		apply(10);
		assert_int_equal(release(0, NULL), LOOK_OK);
		/* and it is no gap to the next owner that we may not leave traces */
		rig.source->ops->close_lane(rig.source, &rig.lanes[0]);
		assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_OK);
	}
	call("ACL SETUSER default +@all");
}

static void
a_stream_that_may_not_be_lifted_says_so(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("ACL SETUSER default -xsetid");
	call("DEL s:0");
	assert_int_equal(look(0, row_of(&rig.lanes[0]), &found), LOOK_GAP);
	assert_true(found.cannot_lift);
	call("ACL SETUSER default +@all");
}

static void
a_server_out_of_memory_is_still_read(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 0; i < 10; i++)
		call("XADD s:0 * id 1");
	call("CONFIG SET maxmemory 1");
	assert_int_equal(take(1), 10);
	assert_int_equal(release(0, NULL), LOOK_OK);
	call("CONFIG SET maxmemory 0");
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_start, test_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fresh_lane_leaves_its_identity_and_its_group),
		TEST(another_lanes_identity_stops_it),
		TEST(a_key_of_another_type_is_named),
		TEST(a_flushed_server_is_a_gap_and_the_stream_is_lifted),
		TEST(a_flush_while_running_is_one_gap),
		TEST(a_flush_that_new_entries_hide_is_still_one_gap),
		TEST(a_deleted_stream_is_one_gap_although_it_was_begun_anew),
		TEST(a_foreign_trim_of_unread_entries_is_one_gap),
		TEST(a_foreign_trim_of_applied_entries_is_none_also_for_the_next_owner),
		TEST(a_deleted_unread_entry_is_one_gap),
		TEST(a_gap_found_while_the_lane_is_held_is_told_later),
		TEST(the_newest_place_of_any_stream_can_be_asked_for),
		TEST(at_rest_the_witness_is_left_and_the_lag_is_zero),
		TEST(under_way_the_lag_is_what_is_not_done),
		TEST(what_another_group_needs_is_not_trimmed),
		TEST(a_destroyed_group_is_made_again_with_its_count),
		TEST(entries_that_are_large_do_not_make_looking_expensive),
		TEST(what_may_not_be_done_is_done_without),
		TEST(a_stream_that_may_not_be_lifted_says_so),
		TEST(a_server_out_of_memory_is_still_read),
	};

	return cmocka_run_group_tests(tests, group_start, group_end);
}
