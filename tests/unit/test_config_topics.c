#include "common/buf.h"
#include "tests/support/config_rig.h"

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
topics_need_a_kafka_and_no_redis(void **state)
{
	(void)state;
	expect(MYSQL "kafka: { brokers: k }\n"
		     "sources: [{ topics: [a, ^b], table: t, format: json }]\n" TABLES,
	    "");
	expect("kafka: { brokers: k }\n"
	       "sources: [{ topics: a, table: t, format: json }]\n" TABLES,
	    "1:1: mysql is missing\n");
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

	(void)state;
	expect_config(MYSQL "kafka: { brokers: k }\n"
			    "sources:\n"
			    "- { topics: \"^shop\\\\.(a|b)$\", table: t, format: json }\n"
			    "- { topics: [shop.b, ^shop], table: t, format: json }\n" TABLES,
	    &config, "");
	assert_ptr_equal(config_source_of_topic(&config, "shop.a"), &config.sources[0]);
	assert_ptr_equal(config_source_of_topic(&config, "shop.b"), &config.sources[1]);
	assert_ptr_equal(config_source_of_topic(&config, "shop.c"), &config.sources[1]);
	assert_null(config_source_of_topic(&config, "other"));
	assert_int_equal(config_lane_count(&config), 0);
	assert_int_equal(config_worker_count(&config), 1);
	config_deinit(&config);
}

static void
secrets_among_the_settings_are_not_printed(void **state)
{
	struct config config;
	struct buf out;

	(void)state;
	expect_config(MYSQL "kafka: { brokers: k, settings: { sasl.username: me, sasl.password: "
			    "hunter2, ssl.key.password: hunter2 } }\n"
			    "sources: [{ topics: a, table: t, format: json }]\n" TABLES,
	    &config, "");
	assert_int_equal(config.kafka.setting_count, 3);
	buf_init(&out);
	config_print(&config, &out);
	assert_null(strstr(out.data, "hunter2"));
	assert_non_null(strstr(out.data, "\"sasl.username\": \"me\", \"sasl.password\": \"***\""));
	buf_deinit(&out);
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
