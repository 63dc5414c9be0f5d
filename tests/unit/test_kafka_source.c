#include "common/clock.h"
#include "worker/lane.h"
#include "worker/source/kafka.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/*
 * The source on librdkafka's own cluster of mock brokers.  Its threads can't be seen by the thread
 * sanitizer, so there nothing of this is tried.
 */
enum { DEADLINE_MS = 20000 };
#define TOPIC "shop.t"

static struct {
	rd_kafka_t *client; /* has the brokers, and produces */
	rd_kafka_mock_cluster_t *brokers;
	struct config config;
	struct config_source source;
	const char *topics[1];
	struct config_setting settings[2];
	struct source *kafka;
	struct lane lane;
} rig;

static int
set_up(void **state)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	rig.brokers = rd_kafka_mock_cluster_new(rig.client, 1);
	assert_int_equal(rd_kafka_mock_topic_create(rig.brokers, TOPIC, 1, 1), 0);
	rd_kafka_brokers_add(rig.client, rd_kafka_mock_cluster_bootstraps(rig.brokers));
	rig.topics[0] = TOPIC;
	rig.source = (struct config_source){ .topics = rig.topics,
		.topic_count = 1,
		.format = FORMAT_JSON,
		.start = "beginning",
		.write = true };
	rig.settings[0] = (struct config_setting){ .name = "session.timeout.ms", .value = "6000" };
	rig.settings[1] =
	    (struct config_setting){ .name = "heartbeat.interval.ms", .value = "200" };
	rig.config = (struct config){ .pool = "p",
		.group = "sluice-p",
		.kafka = { .name = "kafka",
		    .brokers = rd_kafka_mock_cluster_bootstraps(rig.brokers),
		    .timeout_ms = 1000, /* these brokers answer nothing about a topic's id */
		    .settings = rig.settings,
		    .setting_count = 2 },
		.sources = &rig.source,
		.source_count = 1,
		.workers = 1,
		.memory_bytes = 32 << 20,
		.entry_max_bytes = 1 << 20 };
	assert_true(lane_init_partition(&rig.lane, &rig.config, &rig.source, TOPIC, 0, 0));
	rig.kafka = kafka_new(&rig.config, 0, true);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	rig.kafka->ops->close_lane(rig.kafka, &rig.lane);
	rig.kafka->ops->free(&rig.kafka);
	rd_kafka_mock_cluster_destroy(rig.brokers);
	rd_kafka_destroy(rig.client);
	return 0;
}

static void
produce(int from, int to)
{
	for (int i = from; i < to; i++) {
		char text[32];

		snprintf(text, sizeof(text), "{\"id\":%d}", i);
		assert_int_equal(rd_kafka_producev(rig.client, RD_KAFKA_V_TOPIC(TOPIC),
				     RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(text, strlen(text)),
				     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
		    0);
	}
	assert_int_equal(rd_kafka_flush(rig.client, DEADLINE_MS), 0);
}

static void
open_source(void)
{
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };

	while (rig.kafka->ops->open(rig.kafka, &err) != 0)
		assert_true(clock_ms() < end);
}

static enum look_result
look_at(const struct ledger_row *row, struct source_look *look)
{
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };

	while (rig.kafka->ops->look(rig.kafka, &rig.lane, row, look, &err) != 0)
		assert_true(clock_ms() < end);
	return look->result;
}

/* Open it, and wait until the group has given us the partition, with a row as a look wants it. */
static void
join(void)
{
	struct group_news news;
	struct source_look look = { 0 };
	struct ledger_row row = { 0 };
	int64_t end = clock_ms() + DEADLINE_MS;

	open_source();
	while (!rig.kafka->ops->news(rig.kafka, &news)) {
		assert_true(clock_ms() < end);
		rig.kafka->ops->serve(rig.kafka);
		poll(NULL, 0, 10);
	}
	assert_false(news.revoked);
	assert_int_equal(news.count, 1);
	assert_string_equal(news.list[0].topic, TOPIC);
	rig.kafka->ops->obeyed(rig.kafka);
	assert_false(rig.kafka->ops->news(rig.kafka, &news));
	assert_int_equal(look_at(&row, &look), LOOK_FRESH);
	assert_int_equal(position_next_offset(look.start), 0);
	assert_int_not_equal(look.identity[0], '\0');
	lane_open(&rig.lane);
}

/* Read until so many came, in unbroken order from `first`; the cursor follows as a batch moves it. */
static void
read_all(int64_t first, unsigned count)
{
	struct lane *lanes[] = { &rig.lane };
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };

	while (count > 0) {
		struct delivery *delivery = NULL;

		assert_true(clock_ms() < end);
		if (!rig.kafka->ops->requested(rig.kafka))
			assert_int_equal(rig.kafka->ops->request(rig.kafka, lanes, 1,
					     count < 100 ? count : 100, 1 << 20, 100, &err),
			    0);
		assert_true(rig.kafka->ops->receive(rig.kafka, &delivery, &err) >= 0);
		if (delivery == NULL) {
			poll(NULL, 0, 5);
			continue;
		}
		for (struct entry *e = delivery->first; e != NULL; e = e->next, count--, first++) {
			assert_true(count > 0);
			assert_int_equal(position_next_offset(e->id), first + 1);
			rig.lane.cursor = e->id;
		}
		rig.kafka->ops->recycle(rig.kafka, &delivery);
	}
}

static void
an_assigned_partition_flows_from_behind_the_cursor(void **state)
{
	(void)state;
	produce(0, 500);
	join();
	rig.lane.cursor = position_of_offset(99);
	read_all(100, 400);
	produce(500, 510);
	read_all(500, 10);
}

static void
what_was_dropped_is_read_again_in_order(void **state)
{
	(void)state;
	produce(0, 1000);
	join();
	rig.lane.cursor = position_of_offset(-1);
	read_all(0, 700);
	rig.lane.cursor = position_of_offset(49);
	read_all(50, 950);
}

static void
what_is_not_read_for_long_stands_still_and_goes_on(void **state)
{
	int64_t end;

	(void)state;
	produce(0, 300);
	join();
	rig.lane.cursor = position_of_offset(-1);
	read_all(0, 100);
	for (end = clock_ms() + 1200; clock_ms() < end; poll(NULL, 0, 100))
		rig.kafka->ops->serve(rig.kafka);
	assert_false(rig.kafka->ops->requested(rig.kafka));
	read_all(100, 200);
}

/* All up to the position has expired, and the cache lost what was told of it: nothing would come. */
static void
what_is_set_back_before_all_that_is_left_is_looked_at(void **state)
{
	struct lane *lanes[] = { &rig.lane };
	struct err err = { 0 };

	(void)state;
	produce(0, 10);
	join();
	kafka_lane_of(&rig.lane)->first = 10;
	rig.lane.position = position_of_offset(9);
	rig.lane.cursor = position_of_offset(4);
	assert_int_equal(rig.kafka->ops->request(rig.kafka, lanes, 1, 100, 1 << 20, 100, &err), 0);
	assert_true(rig.lane.look_again);
	assert_false(kafka_lane_of(&rig.lane)->flows);
}

/* What is said of it is of no topic. */
static void
a_group_that_refuses_us_is_no_source_until_it_takes_us_in(void **state)
{
	enum { JOIN_GROUP = 11 };
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };

	(void)state;
	rd_kafka_mock_push_request_errors(rig.brokers, JOIN_GROUP, 1,
	    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
	while (!kafka_of(rig.kafka)->refused) {
		assert_true(clock_ms() < end);
		rig.kafka->ops->open(rig.kafka, &err);
		rig.kafka->ops->serve(rig.kafka);
		poll(NULL, 0, 10);
	}
	assert_false(rig.kafka->ops->is_open(rig.kafka));
	assert_int_equal(rig.kafka->ops->open(rig.kafka, &err), -1);
	assert_non_null(strstr(err.text, "the group sluice-p: "));
	while (kafka_of(rig.kafka)->refused) {
		assert_true(clock_ms() < end);
		rig.kafka->ops->serve(rig.kafka);
		poll(NULL, 0, 10);
	}
	join();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_assigned_partition_flows_from_behind_the_cursor,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_group_that_refuses_us_is_no_source_until_it_takes_us_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_dropped_is_read_again_in_order, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_read_for_long_stands_still_and_goes_on,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_set_back_before_all_that_is_left_is_looked_at, set_up, tear_down),
	};

#ifdef __SANITIZE_THREAD__
	(void)tests;
	return 0;
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
