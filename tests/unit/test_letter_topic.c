#include "worker/store/letter_topic.h"

#include "common/clock.h"
#include "worker/store/letter_home.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/*
 * Letters in a topic of librdkafka's own mock brokers.  Its threads can't be seen by the thread
 * sanitizer, so there nothing of this is tried.
 */
enum { DEADLINE_MS = 20000, PRODUCE = 0 /* the request's number */ };

static struct {
	rd_kafka_t *client; /* has the brokers */
	rd_kafka_mock_cluster_t *brokers;
	struct config config;
	struct config_source source;
	struct lane lane;
	struct letter_home *home;
	struct field fields[2];
	struct arena arena;
	struct letter_entry letters[LETTERS_READ];
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
	assert_int_equal(rd_kafka_mock_topic_create(rig.brokers, "dead", 2, 1), 0);
	rig.source = (struct config_source){ .format = FORMAT_JSON };
	rig.config = (struct config){ .pool = "p",
		.group = "sluice-p",
		.kafka = { .name = "kafka",
		    .brokers = rd_kafka_mock_cluster_bootstraps(rig.brokers),
		    .timeout_ms = 5000 },
		.dead_topic = "dead",
		.sources = &rig.source,
		.source_count = 1,
		.workers = 1,
		.memory_bytes = 32 << 20,
		.entry_max_bytes = 1 << 20 };
	assert_true(lane_init_partition(&rig.lane, &rig.config, &rig.source, "events", 3, 0));
	rig.home = letter_topic_new(&rig.config, 0);
	arena_init(&rig.arena, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	arena_deinit(&rig.arena);
	rig.home->ops->free(&rig.home);
	rd_kafka_mock_cluster_destroy(rig.brokers);
	rd_kafka_destroy(rig.client);
	return 0;
}

static struct entry
entry(int64_t offset, struct str value)
{
	rig.fields[0] = (struct field){ STR("key"), { STR("k"), VALUE_TEXT } };
	rig.fields[1] = (struct field){ STR("value"), { value, VALUE_TEXT } };
	return (struct entry){ .lane = &rig.lane,
		.id = position_of_offset(offset),
		.at_ms = 1000 + offset,
		.raw = rig.fields,
		.raw_count = 2,
		.refusal = { .reason = REASON_BAD_JSON, .text = "no JSON" } };
}

static void
keep(int64_t offset, struct str value)
{
	struct entry e = entry(offset, value);
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };
	unsigned written;

	while (rig.home->ops->write(rig.home, &e, &written, &err) != 0)
		assert_true(clock_ms() < end);
	assert_int_equal(written, 1);
}

static struct letter_topic_reader *
open_topic(void)
{
	int64_t end = clock_ms() + DEADLINE_MS;
	struct letter_topic_reader *t;
	struct err err = { 0 };

	while ((t = letter_topic_reader_new(&rig.config, LETTER_KEYS_MAX, &err)) == NULL)
		assert_true(clock_ms() < end);
	return t;
}

/* All of them into rig.letters. */
static size_t
read_all(struct letter_topic_reader *t)
{
	static const struct letter_filter all;
	struct err err = { 0 };
	size_t count;

	letter_topic_rewind(t, -1, 0);
	assert_int_equal(letter_topic_page(t, &all, true, &rig.arena, rig.letters, &count, &err),
	    0);
	return count;
}

static size_t
count_letters(void)
{
	struct letter_topic_reader *t = open_topic();
	size_t count = read_all(t);

	letter_topic_reader_free(&t);
	return count;
}

static const struct letter_entry *
find(size_t count, const char *id)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rig.letters[i].row.entry, id) == 0)
			return &rig.letters[i];
	return NULL;
}

static void
drop(const char *id)
{
	struct letter_topic_reader *t = open_topic();
	size_t count = read_all(t);
	uint64_t dropped = 0;
	struct err err = { 0 };

	assert_non_null(find(count, id));
	assert_int_equal(letter_topic_drop(t, find(count, id), 1, &dropped, &err), 0);
	assert_int_equal(dropped, 1);
	letter_topic_reader_free(&t);
}

static void
a_letter_says_what_its_entry_was(void **state)
{
	const struct letter_row *row = &rig.letters[0].row;
	struct str payload;

	(void)state;
	keep(41, STR("{"));
	assert_int_equal(count_letters(), 1);
	payload = rig.letters[0].payload;
	assert_string_equal(row->lane, "p/kafka/events/3");
	assert_string_equal(row->entry, "41");
	assert_string_equal(row->reason, REASON_BAD_JSON);
	assert_string_equal(row->message, "no JSON");
	assert_true(str_equal(payload, STR("[[\"key\",\"k\"],[\"value\",\"{\"]]")));
}

static void
an_entry_read_again_is_one_letter(void **state)
{
	(void)state;
	keep(1, STR("a"));
	keep(2, STR("b"));
	keep(1, STR("a"));
	assert_int_equal(count_letters(), 2);
}

static void
a_letter_is_gone_until_it_is_kept_anew(void **state)
{
	(void)state;
	keep(1, STR("a"));
	keep(2, STR("b"));
	drop("1");
	assert_int_equal(count_letters(), 1);
	assert_string_equal(rig.letters[0].row.entry, "2");
	keep(1, STR("a"));
	assert_int_equal(count_letters(), 2);
}

static void
a_letter_larger_than_a_record_is_put_together(void **state)
{
	enum { BYTES = 1500000 };
	char *value = malloc(BYTES);
	struct str payload;
	size_t count;

	(void)state;
	memset(value, 'v', BYTES);
	value[BYTES - 1] = 'w';
	keep(1, (struct str){ value, BYTES });
	keep(2, STR("b"));
	free(value);
	count = count_letters();
	assert_int_equal(count, 2);
	payload = find(count, "1")->payload;
	assert_int_equal(payload.len, strlen("[[\"key\",\"k\"],[\"value\",\"\"]]") + BYTES);
	assert_memory_equal(payload.data + payload.len - 6, "vvw\"]]", 6);
	drop("1");
	assert_int_equal(count_letters(), 1);
}

/* Letters `from` to `to` in one go. */
static void
keep_many(int from, int to, struct str value)
{
	struct entry *all = calloc((size_t)(to - from), sizeof(*all));
	int64_t end = clock_ms() + DEADLINE_MS;
	struct err err = { 0 };
	unsigned written;

	for (int i = 0; i < to - from; i++) {
		all[i] = entry(from + i, value);
		all[i].next_kept = i + 1 < to - from ? &all[i + 1] : NULL;
	}
	while (rig.home->ops->write(rig.home, all, &written, &err) != 0)
		assert_true(clock_ms() < end);
	assert_int_equal(written, to - from);
	free(all);
}

/* Page by page with room for so many bytes of keys; how often each was there. */
static void
count_each(struct letter_topic_reader *t, size_t keys_max, bool drops, unsigned char *times)
{
	static const struct letter_filter all;
	struct err err = { 0 };
	uint64_t dropped = 0;
	size_t count;

	letter_topic_rewind(t, -1, 0);
	do {
		arena_reset(&rig.arena);
		assert_int_equal(letter_topic_page(t, &all, false, &rig.arena, rig.letters, &count,
				     &err),
		    0);
		assert_true(letter_topic_keys(t) <= keys_max + 200);
		for (size_t i = 0; i < count; i++)
			times[atoi(rig.letters[i].row.entry)]++;
		for (size_t i = 0; drops && i < count; i++)
			if (atoi(rig.letters[i].row.entry) % 3 == 0)
				assert_int_equal(letter_topic_drop(t, &rig.letters[i], 1, &dropped,
						     &err),
				    0);
	} while (count > 0);
}

/* Their closings, and what was kept once more, are far behind them. */
static void
a_topic_of_many_letters_takes_no_more_memory_than_one_of_few(void **state)
{
	enum { LETTERS = 400, AGAIN = 50, KEYS_MAX = 4000 };
	unsigned char times[LETTERS] = { 0 };
	struct letter_topic_reader *t;
	struct err err = { 0 };

	(void)state;
	keep_many(0, LETTERS, STR("a"));
	keep_many(0, AGAIN, STR("a"));
	t = letter_topic_reader_new(&rig.config, KEYS_MAX, &err);
	assert_non_null(t);
	count_each(t, KEYS_MAX, true, times);
	for (int i = 0; i < LETTERS; i++)
		assert_int_equal(times[i], 1);
	memset(times, 0, sizeof(times));
	count_each(t, KEYS_MAX, false, times);
	for (int i = 0; i < LETTERS; i++)
		assert_int_equal(times[i], i % 3 == 0 ? 0 : 1);
	letter_topic_reader_free(&t);
}

static void
one_letter_is_found_by_its_place(void **state)
{
	static const struct letter_filter all;
	struct letter_topic_reader *t;
	struct err err = { 0 };
	struct letter_entry wanted;
	size_t count;

	(void)state;
	keep_many(0, 50, STR("a"));
	t = open_topic();
	count = read_all(t);
	wanted = rig.letters[count - 1];
	letter_topic_rewind(t, wanted.partition, wanted.offset);
	assert_int_equal(letter_topic_page(t, &all, true, &rig.arena, rig.letters, &count, &err),
	    0);
	assert_int_equal(count, 1);
	assert_string_equal(rig.letters[0].row.kept_id, wanted.row.kept_id);
	assert_true(letter_topic_keys(t) < 200);
	drop(wanted.row.entry);
	letter_topic_rewind(t, wanted.partition, wanted.offset);
	assert_int_equal(letter_topic_page(t, &all, true, &rig.arena, rig.letters, &count, &err),
	    0);
	assert_int_equal(count, 0);
	letter_topic_reader_free(&t);
}

static void
without_its_topic_nothing_counts_as_kept(void **state)
{
	struct entry e = entry(1, STR("a"));
	struct err err = { 0 };
	unsigned written;

	(void)state;
	rig.config.dead_topic = "none";
	rig.home->ops->free(&rig.home);
	rig.home = letter_topic_new(&rig.config, 0);
	rd_kafka_mock_topic_set_error(rig.brokers, "none", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	assert_int_equal(rig.home->ops->write(rig.home, &e, &written, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_non_null(strstr(err.text, "topic none"));
}

static void
what_the_broker_refuses_is_not_kept_and_comes_again(void **state)
{
	struct entry e = entry(2, STR("b"));
	struct err err = { 0 };
	unsigned written;

	(void)state;
	keep(1, STR("a"));
	rd_kafka_mock_push_request_errors(rig.brokers, PRODUCE, 1,
	    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	assert_int_equal(rig.home->ops->write(rig.home, &e, &written, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_int_equal(count_letters(), 1);
	keep(2, STR("b"));
	assert_int_equal(count_letters(), 2);
}

static void
ids_name_partition_and_offset(void **state)
{
	int64_t offset;
	int partition;

	(void)state;
	assert_true(letter_topic_id("t3-41", &partition, &offset));
	assert_int_equal(partition, 3);
	assert_int_equal(offset, 41);
	assert_false(letter_topic_id("s3-41", &partition, &offset));
	assert_false(letter_topic_id("t3", &partition, &offset));
	assert_false(letter_topic_id("t-41", &partition, &offset));
	assert_false(letter_topic_id("t3-", &partition, &offset));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_letter_says_what_its_entry_was),
		TEST(an_entry_read_again_is_one_letter),
		TEST(a_letter_is_gone_until_it_is_kept_anew),
		TEST(a_letter_larger_than_a_record_is_put_together),
		TEST(a_topic_of_many_letters_takes_no_more_memory_than_one_of_few),
		TEST(one_letter_is_found_by_its_place),
		TEST(without_its_topic_nothing_counts_as_kept),
		TEST(what_the_broker_refuses_is_not_kept_and_comes_again),
		cmocka_unit_test(ids_name_partition_and_offset),
	};

#ifdef __SANITIZE_THREAD__
	(void)tests;
	return 0;
#else
	return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
