#include "tests/support/config_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* What the options say of change events. */
#define SERVERS       \
	"redis: {}\n" \
	"mysql: { user: a, database: b }\n"

static void
options_of_change_events_are_refused_elsewhere(void **state)
{
	(void)state;
	expect(SERVERS
	    "sources: [{ streams: s, tables: [shop.t], snapshot: ignore, times: connect }]\n"
	    "tables: { t: {} }\n",
	    "3:25: sources[0].tables: \"shop.t\" names a database, which only change events do\n"
	    "3:43: sources[0].snapshot: only for change events (format debezium, maxwell, canal or "
	    "dms)\n"
	    "3:61: sources[0].times: only for change events (format debezium, maxwell, canal or "
	    "dms)\n");
	expect(SERVERS
	    "sources: [{ streams: s, tables: [shop.t], format: maxwell, field: message,\n"
	    "  write: true, snapshot: ignore, tombstones: delete, binary: hex }]\n"
	    "tables: { t: { version: ver } }\n",
	    "");
}

static void
versions_of_ours_are_refused_where_change_events_write(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t, format: canal }]\n"
		       "tables:\n"
		       "  t: { version: { column: v, kind: counter } }\n",
	    "5:3: table \"t\": sluice can't stamp versions (kind counter, clock) on a table that "
	    "the change events of line 3 write; kind given takes theirs\n");
}

static void
when_is_for_tables_of_any_source(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: { invalidate: [{ key: \"t:{id}\", when: [a] }] } }\n",
	    "");
	expect(SERVERS
	    "sources: [{ streams: s, table: t }, { streams: e, tables: [t], format: dms }]\n"
	    "tables: { t: { invalidate: [{ key: \"t:{id}\", when: [a, b] }] } }\n",
	    "");
}

static bool
has_images(const char *sources)
{
	struct config_problems problems;
	struct config config;
	char text[1024];
	bool answer;

	snprintf(text, sizeof(text), SERVERS "sources: [%s]\ntables: { t: {} }\n", sources);
	assert_int_equal(config_parse(&config, "f", str_of(text), &problems), 0);
	answer = config.tables[0].has_images;
	config_problems_deinit(&problems);
	config_deinit(&config);
	return answer;
}

static void
a_table_has_images_where_all_its_changes_are_events(void **state)
{
	(void)state;
	assert_true(has_images("{ streams: s, tables: [a.t], format: debezium }"));
	assert_false(has_images("{ streams: s, table: t }"));
	assert_false(has_images("{ streams: s, tables: [t], format: canal }, { streams: e, table: "
				"t }"));
}

#define ALONE "redis: {}\nsources: "

static void
without_a_source_that_writes_mysql_is_not_needed(void **state)
{
	(void)state;
	expect(ALONE "[{ streams: s, format: debezium, write: false, tables: [t] }]\n"
		     "tables: { t: { types: { id: int }, key: [id] } }\n",
	    "");
	expect(ALONE "[{ streams: s, format: debezium, write: false, tables: [t] },\n"
		     "  { streams: w, table: t }]\n"
		     "tables: { t: {} }\n",
	    "1:1: mysql is missing\n");
	expect(ALONE "[{ streams: s, table: t, write: false }]\n"
		     "tables: { t: { on_poison: park, types: { id: number } } }\n"
		     "ready_requires: [mysql]\n",
	    "3:11: tables.t.types: \"number\" is no type of a column; one looks like bigint "
	    "unsigned, "
	    "varchar(64) or decimal(10,2)\n"
	    "3:11: tables.t.on_poison: park is for tables that some source writes\n"
	    "4:1: ready_requires: there is no mysql to require\n");
}

/* Where it isn't written, places in the log order it; else a reader of ours could lag behind them. */
static void
versioned_without_a_version_is_for_tables_that_are_only_invalidated(void **state)
{
	(void)state;
	expect(ALONE "[{ streams: s, format: debezium, write: false, tables: [t] }]\n"
		     "tables: { t: { invalidate: [{ key: \"t:{id}\", mode: versioned }] } }\n",
	    "");
	expect(SERVERS "sources: [{ streams: s, format: debezium, write: false, tables: [t] },\n"
		       "  { streams: w, format: debezium, tables: [t] }]\n"
		       "tables: { t: { invalidate: [{ key: \"t:{id}\", mode: versioned }] } }\n",
	    "5:36: key \"t:{id}\": mode versioned wants a version, and table \"t\" has none\n");
}

static void
a_source_that_does_not_write_is_only_told(void **state)
{
	(void)state;
	expect(ALONE "[{ streams: s, table: t, write: false, operations: [upsert] }]\n"
		     "tables: { t: {} }\n",
	    "2:49: sources[0].operations: with write: false entries can only ask for invalidate\n");
	expect(SERVERS "sources: [{ streams: s, table: t, trim: acked, claim_after: 1m }]\n"
		       "tables: { t: {} }\n",
	    "3:35: sources[0].trim: only with write: false\n"
	    "3:48: sources[0].claim_after: only with write: false\n");
	expect(SERVERS "sources: [{ streams: s, table: t, trim: never, claim_after: 30s }]\n"
		       "tables: { t: {} }\n",
	    "");
}

static void
the_home_of_dead_letters_is_nobodys_key(void **state)
{
	(void)state;
	expect(ALONE "[{ streams: s, table: t, write: false }]\n"
		     "dead_letters: { stream: \"dead:x\" }\n"
		     "tables: { t: { invalidate: [\"dead:{id}\"] } }\n",
	    "4:29: key \"dead:{id}\" can be the stream \"dead:x\", the home of dead letters; give "
	    "it a prefix of its own\n");
	expect(ALONE "[{ streams: s, table: t, write: false }]\n"
		     "dead_letters: { stream: s }\n"
		     "tables: { t: {} }\n",
	    "3:17: dead_letters.stream: \"s\" is a lane of line 2\n");
}

#define INTO_TOPIC                                               \
	"kafka: { brokers: k }\ncache: { url: \"redis://c\" }\n" \
	"tables: { t: { invalidate: [\"t:{id}\"] } }\n"

static void
a_topic_is_a_home_that_needs_kafka_and_no_redis(void **state)
{
	struct config_problems problems;
	struct config config;

	(void)state;
	expect(INTO_TOPIC "sources: [{ topics: a, table: t, format: json, write: false }]\n"
			  "dead_letters: { topic: dead }\n",
	    "");
	expect(INTO_TOPIC "sources: [{ topics: a, table: t, format: json, write: false }]\n",
	    "1:1: redis is missing\n");
	expect(ALONE "[{ streams: s, table: t, write: false }]\n"
		     "dead_letters: { topic: dead }\n"
		     "tables: { t: {} }\n",
	    "1:1: kafka is missing\n");
	assert_int_equal(config_parse(&config, "f",
			     STR(INTO_TOPIC
				 "sources: [{ topics: a, table: t, format: json, write: false }]\n"
				 "dead_letters: { topic: dead }\n"),
			     &problems),
	    0);
	assert_null(config.dead_stream);
	assert_true(config_keeps_in_topic(&config));
	assert_ptr_equal(config_orders_server(&config), &config.cache);
	config_problems_deinit(&problems);
	config_deinit(&config);
}

static void
letters_have_one_home_that_nobody_reads(void **state)
{
	(void)state;
	expect(INTO_TOPIC "redis: { url: \"redis://r\" }\n"
			  "sources: [{ topics: a, table: t, format: json, write: false }]\n"
			  "dead_letters: { topic: dead, stream: s }\n",
	    "6:17: dead_letters has a stream and a topic; one of them\n");
	expect(INTO_TOPIC "sources: [{ topics: ^d, table: t, format: json, write: false }]\n"
			  "dead_letters: { topic: dead }\n",
	    "5:17: dead_letters.topic: the source of line 4 reads \"dead\", so each letter would "
	    "make another\n");
	expect(INTO_TOPIC "sources: [{ topics: a, table: t, format: json, write: false }]\n"
			  "dead_letters: { topic: \"dead letters\" }\n",
	    "5:17: dead_letters.topic: \"dead letters\" is no name of a topic: letters, digits, ., "
	    "_ and -\n");
}

static void
snapshots_are_ignored_where_nothing_is_written(void **state)
{
	struct config_problems problems;
	struct config config;

	(void)state;
	assert_int_equal(config_parse(&config, "f",
			     STR(ALONE
				 "[{ streams: s, format: debezium, write: false, tables: [t] },\n"
				 "  { streams: a, format: debezium, write: false, tables: [t], "
				 "snapshot: apply }]\n"
				 "tables: { t: {} }\n"),
			     &problems),
	    0);
	assert_false(config.sources[0].apply_snapshots);
	assert_true(config.sources[1].apply_snapshots);
	assert_string_equal(config.dead_stream, "sluice:default:dead");
	assert_false(config.has_mysql);
	config_problems_deinit(&problems);
	config_deinit(&config);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_source_that_writes_mysql_is_not_needed),
		cmocka_unit_test(
		    versioned_without_a_version_is_for_tables_that_are_only_invalidated),
		cmocka_unit_test(a_source_that_does_not_write_is_only_told),
		cmocka_unit_test(the_home_of_dead_letters_is_nobodys_key),
		cmocka_unit_test(a_topic_is_a_home_that_needs_kafka_and_no_redis),
		cmocka_unit_test(letters_have_one_home_that_nobody_reads),
		cmocka_unit_test(snapshots_are_ignored_where_nothing_is_written),
		cmocka_unit_test(when_is_for_tables_of_any_source),
		cmocka_unit_test(a_table_has_images_where_all_its_changes_are_events),
		cmocka_unit_test(options_of_change_events_are_refused_elsewhere),
		cmocka_unit_test(versions_of_ours_are_refused_where_change_events_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
