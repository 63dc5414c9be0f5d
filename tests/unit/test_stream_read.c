#include "tests/support/stream_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
entries_arrive_in_order_with_their_fields(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	call("XADD s:0 5-1 id 1 name Bob");
	call("XADD s:0 5-2 id 2");
	call("XADD s:1 4-0 id 3");
	ask(2, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 3);
	assert_ptr_equal(d->first->lane, &rig.lanes[0]);
	assert_int_equal(d->first->id.minor, 1);
	assert_int_equal(d->first->at_ms, 5);
	assert_int_equal(d->first->raw_count, 2);
	assert_true(str_equal(d->first->raw[1].name, STR("name")));
	assert_true(str_equal(d->first->raw[1].value.text, STR("Bob")));
	assert_int_equal(d->first->next->id.minor, 2);
	assert_ptr_equal(d->first->next->next->lane, &rig.lanes[1]);
	assert_null(d->first->next->next->next);
	rig.source->ops->recycle(rig.source, &d);
	assert_null(d);
}

static void
binary_values_arrive_byte_for_byte(void **state)
{
	static const char bytes[] = "\0\r\n$-1\r\n\xff";
	struct str argv[] = { STR("XADD"), STR("s:0"), STR("*"), STR("id"),
		{ bytes, sizeof(bytes) } };
	struct redis_reply *reply;
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	redis_queue(rig.redis, 5, argv);
	assert_int_equal(redis_flush(rig.redis, &err), 0);
	assert_int_equal(redis_receive(rig.redis, &rig.arena, DEADLINE_MS, &reply, &err), 1);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_true(str_equal(d->first->raw[0].value.text, argv[4]));
	rig.source->ops->recycle(rig.source, &d);
}

static void
nothing_new_is_no_delivery(void **state)
{
	NEEDS_SERVER();
	assert_int_equal(take(LANES), 0);
	assert_false(rig.source->ops->requested(rig.source));
	assert_int_equal(rig.source->ops->fd(rig.source), -1);
}

static void
a_waiting_request_answers_when_something_comes(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(2, DEADLINE_MS);
	assert_int_equal(rig.source->ops->receive(rig.source, &d, &err), 0);
	call("XADD s:1 * id 1");
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	rig.source->ops->recycle(rig.source, &d);
}

static void
entries_of_a_lane_that_moved_or_left_meanwhile_are_dropped(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	call("XADD s:0 5-1 id 1");
	call("XADD s:1 5-1 id 1");
	call("XADD s:2 5-1 id 1");
	ask(3, 0);
	rig.lanes[0].cursor = (struct position){ 5, 1 };
	lane_free(&rig.lanes[1]);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	assert_ptr_equal(d->first->lane, &rig.lanes[2]);
	rig.source->ops->recycle(rig.source, &d);
}

static void
a_key_of_another_type_holds_its_lane_and_no_other(void **state)
{
	NEEDS_SERVER();
	call("SET s:1 x");
	for (int i = 0; i < 50; i++) {
		call("XADD s:0 * id 1");
		call("XADD s:2 * id 1");
	}
	assert_int_equal(take_all(3, 12), 100);
	assert_int_equal(rig.lanes[1].state, LANE_HELD);
	assert_string_equal(atomic_load(&rig.lanes[1].why), LANE_WHY_WRONG_TYPE);
	call("DEL s:1");
	call("XADD s:1 * id 1");
	lane_open(&rig.lanes[1]);
	assert_int_equal(take_all(3, 4), 1);
	assert_int_equal(rig.lanes[1].state, LANE_OPEN);
}

static void
a_backlog_of_small_entries_is_read_in_few_replies(void **state)
{
	size_t count = 0, rounds = 0;
	struct err err = { 0 };
	struct redis_reply *reply;

	NEEDS_SERVER();
	for (int i = 0; i < 5000; i++)
		redis_queuef(rig.redis, "XADD s:0 * id %lld name Bob", (long long)i);
	assert_int_equal(redis_flush(rig.redis, &err), 0);
	while (redis_pending(rig.redis) > 0)
		assert_int_equal(redis_receive(rig.redis, &rig.arena, DEADLINE_MS, &reply, &err),
		    1);
	for (; count < 5000; rounds++)
		count += take(LANES);
	assert_int_equal(count, 5000);
	assert_true(rounds <= 16);
}

static void
large_entries_of_all_lanes_flow_within_the_memory_limit(void **state)
{
	size_t count = 0, rounds = 0;

	NEEDS_SERVER();
	for (int n = 0; n < 20; n++) {
		for (int i = 0; i < LANES; i++)
			add_large(rig.names[i], LARGE);
		arena_reset(&rig.arena);
	}
	for (; count < 20 * LANES && rounds < 1000; rounds++)
		count += take(LANES);
	assert_int_equal(count, 20 * LANES);
	for (int i = 0; i < LANES; i++)
		assert_int_equal(rig.lanes[i].state, LANE_OPEN);
}

static void
an_entry_over_entry_max_halts_its_lane_and_no_other(void **state)
{
	char text[POSITION_TEXT];
	struct position before;

	NEEDS_SERVER();
	rig.config.entry_max_bytes = 4 << 20;
	call("XADD s:1 1-0 id 1");
	add_large("s:1", 40 << 20);
	call("XADD s:1 * id 3");
	for (int i = 0; i < 20; i++)
		call("XADD s:2 * id 1");
	assert_int_equal(take_all(3, 12), 21);
	assert_int_equal(rig.lanes[1].state, LANE_HALTED);
	assert_string_equal(atomic_load(&rig.lanes[1].why), LANE_WHY_ENTRY_TOO_LARGE);
	before = rig.lanes[1].cursor;
	assert_string_equal(position_text(before, text), "1-0");
	call("XADD s:2 * id 1");
	assert_int_equal(take(3), 1);
}

static void
an_entry_just_over_entry_max_is_refused_only_when_those_before_it_are_written(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	rig.config.entry_max_bytes = 100000;
	call("XADD s:0 1-0 id 1");
	add_large("s:0", 100001);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	rig.source->ops->recycle(rig.source, &d);
	rig.lanes[0].cursor = (struct position){ 1, 0 };
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_null(d);
	assert_int_equal(rig.lanes[0].state, LANE_HELD);
	rig.lanes[0].position = rig.lanes[0].cursor;
	lane_open(&rig.lanes[0]);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(rig.lanes[0].state, LANE_HALTED);
}

static void
an_entry_of_very_many_small_fields_counts_as_it_is_held(void **state)
{
	enum { WORDS = 400000 };
	struct str *argv = calloc(3 + WORDS, sizeof(*argv));
	struct redis_reply *reply;
	struct err err = { 0 };

	NEEDS_SERVER();
	rig.config.entry_max_bytes = 4 << 20;
	argv[0] = STR("XADD");
	argv[1] = STR("s:0");
	argv[2] = STR("*");
	for (int i = 0; i < WORDS; i++)
		argv[3 + i] = STR("x");
	redis_queue(rig.redis, 3 + WORDS, argv);
	assert_int_equal(redis_flush(rig.redis, &err), 0);
	assert_int_equal(redis_receive(rig.redis, &rig.arena, DEADLINE_MS, &reply, &err), 1);
	free(argv);
	assert_int_equal(take_all(1, 1) + (rig.lanes[0].state == LANE_OPEN ? take(1) : 0), 0);
	assert_int_equal(rig.lanes[0].state, LANE_HALTED);
}

static void
a_lost_server_is_an_error_to_retry(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(1, DEADLINE_MS);
	call("CLIENT KILL TYPE normal");
	assert_int_equal(answer(&d, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_false(rig.source->ops->is_open(rig.source));
	assert_false(rig.source->ops->requested(rig.source));
	assert_int_equal(rig.source->ops->open(rig.source, &err), 0);
	assert_int_equal(redis_open(rig.redis, &err), 0);
	assert_int_equal(take(1), 0);
}

static void
a_silent_server_is_given_up_at_the_deadline(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };
	struct redis_stream *s = redis_stream_of(rig.source);

	NEEDS_SERVER();
	s->read_options.timeout_ms = 100;
	call("CLIENT PAUSE 600 ALL");
	ask(1, 0);
	assert_int_equal(answer(&d, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	call("PING");
}

static void
a_demoted_server_is_given_up(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(1, DEADLINE_MS);
	assert_int_equal(rig.source->ops->receive(rig.source, &d, &err), 0);
	call("REPLICAOF 127.0.0.1 1");
	if (answer(&d, &err) == 1) /* what a server does to blocked readers differs */
		assert_null(d);
	rig.source->ops->close(rig.source);
	assert_int_equal(rig.source->ops->open(rig.source, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	call("REPLICAOF NO ONE");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_start, test_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_arrive_in_order_with_their_fields),
		TEST(binary_values_arrive_byte_for_byte),
		TEST(nothing_new_is_no_delivery),
		TEST(a_waiting_request_answers_when_something_comes),
		TEST(entries_of_a_lane_that_moved_or_left_meanwhile_are_dropped),
		TEST(a_key_of_another_type_holds_its_lane_and_no_other),
		TEST(a_backlog_of_small_entries_is_read_in_few_replies),
		TEST(large_entries_of_all_lanes_flow_within_the_memory_limit),
		TEST(an_entry_over_entry_max_halts_its_lane_and_no_other),
		TEST(an_entry_just_over_entry_max_is_refused_only_when_those_before_it_are_written),
		TEST(an_entry_of_very_many_small_fields_counts_as_it_is_held),
		TEST(a_lost_server_is_an_error_to_retry),
		TEST(a_silent_server_is_given_up_at_the_deadline),
		TEST(a_demoted_server_is_given_up),
	};

	return cmocka_run_group_tests(tests, group_start, group_end);
}
