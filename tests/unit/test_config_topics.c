#include "common/buf.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MYSQL "mysql: { user: a, database: b }\n"
#define TABLES "tables: { t: {} }\n"

static void
read_text(const char *text, struct config *config, struct buf *found)
{
	struct config_problems problems;

	buf_init(found);
	*buf_reserve(found, 1) = '\0';
	config_parse(config, "f", str_of(text), &problems);
	for (size_t i = 0; i < problems.count; i++)
		buf_printf(found, "%s\n", problems.list[i].text + strlen("f:"));
	config_problems_deinit(&problems);
}

/* All problems of a text are exactly these. */
static void
expect(const char *text, const char *problems_expected)
{
	struct config config;
	struct buf found;

	read_text(text, &config, &found);
	assert_string_equal(found.data, problems_expected);
	buf_deinit(&found);
	config_deinit(&config);
}

static void
topics_need_a_kafka_and_no_redis(void **state)
{
	(void)state;
	expect(MYSQL "kafka: { brokers: k }\n"
		     "sources: [{ topics: [a, ^b], table: t, format: json }]\n" TABLES,
	    "");
	expect(MYSQL "sources: [{ topics: a, table: t, format: json }]\n" TABLES,
	    "1:1: kafka is missing\n");
	expect(MYSQL "kafka: {}\nsources: [{ topics: a, table: t, format: json }]\n" TABLES,
	    "2:1: kafka.brokers is missing\n");
	expect(MYSQL "kafka: { brokers: k }\n"
		     "sources: [{ topics: a, table: t, format: json }]\n"
		     "tables: { t: { invalidate: [\"t:{id}\"] } }\n",
	    "1:1: redis is missing\n");
}

static void
what_topics_cannot_have_is_named(void **state)
{
	(void)state;
	expect(MYSQL "kafka: { brokers: k }\n"
		     "sources: [{ topics: a, table: t }]\n" TABLES,
	    "3:13: sources[0].topics: format fields is for streams; a message has one value: set "
	    "format to json, debezium, maxwell, canal or dms\n");
	expect(MYSQL "kafka: { brokers: k }\n"
		     "sources: [{ topics: \"a b\", table: t, format: json, field: x }]\n" TABLES,
	    "3:21: sources[0].topics: \"a b\" is no topic's name (at most 249 of A-Z a-z 0-9 _ . "
	    "-); a pattern begins with ^\n"
	    "3:52: sources[0].field: only for streams; of a message the value is read\n");
	expect(MYSQL "kafka: { brokers: k, name: redis }\nredis: {}\n"
		     "sources: [{ streams: s, topics: [a, a], table: t, format: json }]\n" TABLES,
	    "2:1: kafka.name and redis.name are the same; they are parts of the lanes' names\n"
	    "4:25: sources[0]: streams and topics are two sources\n"
	    "4:37: topic \"a\" is named twice; the first is in line 4\n");
}

static void
a_topic_belongs_to_the_source_that_names_it_or_fits_first(void **state)
{
	struct config config;
	struct buf found;

	(void)state;
	read_text(MYSQL "kafka: { brokers: k }\n"
			"sources:\n"
			"- { topics: \"^shop\\\\.(a|b)$\", table: t, format: json }\n"
			"- { topics: [shop.b, ^shop], table: t, format: json }\n" TABLES,
	    &config, &found);
	assert_string_equal(found.data, "");
	assert_ptr_equal(config_source_of_topic(&config, "shop.a"), &config.sources[0]);
	assert_ptr_equal(config_source_of_topic(&config, "shop.b"), &config.sources[1]);
	assert_ptr_equal(config_source_of_topic(&config, "shop.c"), &config.sources[1]);
	assert_null(config_source_of_topic(&config, "other"));
	assert_int_equal(config_lane_count(&config), 0);
	assert_int_equal(config_worker_count(&config), 1);
	buf_deinit(&found);
	config_deinit(&config);
}

static void
secrets_among_the_settings_are_not_printed(void **state)
{
	struct config config;
	struct buf found, out;

	(void)state;
	read_text(MYSQL "kafka: { brokers: k, settings: { sasl.username: me, sasl.password: "
			"hunter2, ssl.key.password: hunter2 } }\n"
			"sources: [{ topics: a, table: t, format: json }]\n" TABLES,
	    &config, &found);
	assert_string_equal(found.data, "");
	assert_int_equal(config.kafka.setting_count, 3);
	buf_init(&out);
	config_print(&config, &out);
	assert_null(strstr(out.data, "hunter2"));
	assert_non_null(strstr(out.data, "\"sasl.username\": \"me\", \"sasl.password\": \"***\""));
	buf_deinit(&out);
	buf_deinit(&found);
	config_deinit(&config);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_need_a_kafka_and_no_redis),
		cmocka_unit_test(what_topics_cannot_have_is_named),
		cmocka_unit_test(a_topic_belongs_to_the_source_that_names_it_or_fits_first),
		cmocka_unit_test(secrets_among_the_settings_are_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
