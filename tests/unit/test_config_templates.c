#include "common/buf.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The mistakes that `invalidate` can hold. */
#define SERVERS       \
	"redis: {}\n" \
	"mysql: { user: a, database: b }\n"

#define LATE                                                                                       \
	"a row may be written up to 2 s after it was read, and would come back behind a deletion " \
	"that is forgotten"

/* All problems of a text are exactly these, each "line:column: sentence" and a newline. */
static void
expect(const char *text, const char *problems_expected)
{
	struct config_problems problems;
	struct config config;
	struct buf found = { 0 };

	config_parse(&config, "f", str_of(text), &problems);
	for (size_t i = 0; i < problems.count; i++)
		buf_printf(&found, "%s\n", problems.list[i].text + strlen("f:"));
	assert_string_equal(found.data, problems_expected);
	buf_deinit(&found);
	config_problems_deinit(&problems);
	config_deinit(&config);
}

static void
a_template_can_never_be_a_stream_or_a_key_of_ours(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: \"wb:users:{0..7}\", table: t }]\n"
		       "tables:\n"
		       "  t:\n"
		       "    invalidate:\n"
		       "      - \"wb:{a}:3\"\n"
		       "      - \"{id}x\"\n"
		       "      - \"slu{id}\"\n"
		       "      - \"sluice:ab\"\n"
		       "      - \"wb:users:8{id}\"\n"
		       "      - { key: \"wb:users:{id}\", mode: none }\n",
	    "7:9: key \"wb:{a}:3\" can be the stream \"wb:users:3\" of line 3; give it a prefix of "
	    "its own\n"
	    "8:9: key \"{id}x\" can begin with sluice:, as our own keys do; give it a prefix of "
	    "its "
	    "own\n"
	    "9:9: key \"slu{id}\" can begin with sluice:, as our own keys do; give it a prefix of "
	    "its own\n"
	    "10:9: warning: tables.t.invalidate[3]: \"sluice:ab\" has no {column}: every change of "
	    "the table invalidates this one key\n"
	    "10:9: key \"sluice:ab\" can begin with sluice:, as our own keys do; give it a prefix "
	    "of its own\n");
}

static void
a_mode_says_what_it_wants(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, tables: [s, t, u, v, w] }]\n"
		       "tables:\n"
		       "  s: { invalidate: [{ key: \"s:{id}\", mode: populate, ttl: 1h }] }\n"
		       "  t: { invalidate: [{ key: \"t:{id}\", mode: versioned }] }\n"
		       "  u:\n"
		       "    version: { column: c, kind: counter }\n"
		       "    invalidate: [{ key: \"u:{id}\", mode: populate, ttl: 1h }]\n"
		       "  v:\n"
		       "    version: c\n"
		       "    invalidate:\n"
		       "      - { key: \"v:{id}\", mode: versioned }\n"
		       "      - { key: \"v:{id}:all\", mode: table }\n"
		       "      - { key: \"v:number\", mode: table, ttl: 1h }\n"
		       "  w:\n"
		       "    version: c\n"
		       "    invalidate:\n"
		       "      - { key: \"v:{nr}\", mode: versioned }\n"
		       "      - { key: \"v:{nr}:all\", mode: tag }\n"
		       "      - { key: \"v:number\", mode: table }\n"
		       "      - { key: \"p:{id}\", mode: populate }\n",
	    "5:28: key \"s:{id}\": mode populate wants a version, and table \"s\" has none\n"
	    "6:28: key \"t:{id}\": mode versioned wants a version, and table \"t\" has none\n"
	    "14:16: key \"v:{id}:all\": mode table has one key for the whole table, without a "
	    "{column}\n"
	    "19:16: key \"v:{nr}\": with mode versioned a pattern belongs to one table; in line 13 "
	    "it is of \"v\"\n"
	    "20:16: key \"v:{nr}:all\": the same pattern has another mode in line 14\n"
	    "21:16: warning: key \"v:number\": the same pattern is in line 15\n"
	    "22:16: key \"p:{id}\": mode populate wants a ttl for the value\n");
}

/* A row that was read before a deletion, and is written late, must still find its marker. */
static void
populate_wants_that_what_is_told_lives_as_long_as_a_row_may_be_late(void **state)
{
	(void)state;
	expect(SERVERS
	    "sources: [{ streams: s, table: t }]\n"
	    "tables:\n"
	    "  t:\n"
	    "    version: v\n"
	    "    invalidate:\n"
	    "      - { key: \"a:{id}\", mode: populate, ttl: 1h, populate: always, marker_absent: "
	    "0 }\n"
	    "      - { key: \"b:{id}\", mode: populate, ttl: 1h, marker_absent: 1999ms }\n"
	    "      - { key: \"c:{id}\", mode: populate, ttl: 1h, populate: always, marker: 1s }\n"
	    "      - { key: \"d:{id}\", mode: populate, ttl: 1h, populate: always, quarantine: 1s "
	    "}\n"
	    "      - { key: \"e:{id}\", mode: populate, ttl: 1h, marker: 2s, marker_absent: 2s, "
	    "quarantine: 2s }\n"
	    "      - { key: \"f:{id}\", mode: versioned, marker_absent: 0, marker: 1s, quarantine: "
	    "1s }\n",
	    "8:16: key \"a:{id}\": mode populate wants a marker_absent of 2s or more: " LATE "\n"
	    "9:16: key \"b:{id}\": mode populate wants a marker_absent of 2s or more: " LATE "\n"
	    "10:16: key \"c:{id}\": mode populate wants a marker of 2s or more: " LATE "\n"
	    "11:16: key \"d:{id}\": mode populate wants a quarantine of 2s or more: " LATE "\n");
}

/* A database is emptied as a whole. */
static void
flush_wants_a_database_of_the_cache_s_own(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: { invalidate: [\"a:{id}\"] } }\n"
		       "on_cache_lost: flush\n",
	    "5:1: on_cache_lost: flush empties the cache's whole database, and that is also "
	    "redis': its streams, dead letters and keys of ours would go; give `cache` a server or "
	    "a "
	    "database of its own\n");
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: { invalidate: [\"a:{id}\"] } }\n"
		       "cache: { url: \"redis://h:6379/1\" }\n"
		       "announce: { stream: told }\n"
		       "on_cache_lost: flush\n",
	    "7:1: warning: on_cache_lost: flush empties announce.stream too; what nobody has read "
	    "of "
	    "it is gone, but for a last message with reason flushed\n");
}

static void
a_pattern_has_a_fixed_prefix_a_star_and_no_stream(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: \"wb:{0..1}\", table: t }]\n"
		       "announce: { stream: \"told:all\" }\n"
		       "tables:\n"
		       "  t:\n"
		       "    invalidate:\n"
		       "      - { key: \"t:{id}:*\", mode: scan }\n"
		       "      - { key: \"user:{id}\", mode: scan }\n"
		       "      - { key: \"wb:*\", mode: scan }\n"
		       "      - { key: \"sluice*\", mode: scan }\n"
		       "      - { key: \"told:{id}\" }\n"
		       "      - { key: \"page:{id}:*\", mode: scan }\n",
	    "8:16: key \"t:{id}:*\": mode scan wants 3 characters or more in front of the first * "
	    "or {column}, since it looks for keys of that prefix\n"
	    "9:16: key \"user:{id}\": mode scan wants a pattern with a *; one key is removed by "
	    "mode delete\n"
	    "10:16: warning: tables.t.invalidate[2]: \"wb:*\" has no {column}: every change of the "
	    "table invalidates this one key\n"
	    "10:16: key \"wb:*\" can be the stream \"wb:0\" of line 3; give it a prefix of its "
	    "own\n"
	    "11:16: warning: tables.t.invalidate[3]: \"sluice*\" has no {column}: every change of "
	    "the table invalidates this one key\n"
	    "11:16: key \"sluice*\" can begin with sluice:, as our own keys do; give it a prefix "
	    "of "
	    "its own\n"
	    "12:16: key \"told:{id}\" can be \"told:all\", the stream of announce; give it a "
	    "prefix "
	    "of its own\n");
}

static void
announcements_go_to_one_place_that_is_no_lane(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: {} }\n"
		       "announce: { channel: c, stream: s }\n",
	    "5:25: announce has a channel and a stream; one of them\n"
	    "5:25: announce.stream: \"s\" is a lane, of line 3\n");
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: {} }\n"
		       "announce: { max_len: 7 }\n",
	    "5:1: announce has neither a channel nor a stream: nothing would be announced\n");
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables: { t: {} }\n"
		       "announce: {}\n",
	    "5:1: announce has neither a channel nor a stream: nothing would be announced\n");
}

static void
a_template_is_well_formed(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables:\n"
		       "  t: { invalidate: [\"u:{id\", \"u:}\", \"fixed\", { mode: delete }] }\n",
	    "5:21: tables.t.invalidate[0]: a brace without its partner (literal braces are written "
	    "{{ and }})\n"
	    "5:30: tables.t.invalidate[1]: a brace without its partner (literal braces are written "
	    "{{ and }})\n"
	    "5:37: warning: tables.t.invalidate[2]: \"fixed\" has no {column}: every change of the "
	    "table invalidates this one key\n"
	    "5:46: tables.t.invalidate[3]: key is missing\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_has_a_fixed_prefix_a_star_and_no_stream),
		cmocka_unit_test(announcements_go_to_one_place_that_is_no_lane),
		cmocka_unit_test(a_template_can_never_be_a_stream_or_a_key_of_ours),
		cmocka_unit_test(a_mode_says_what_it_wants),
		cmocka_unit_test(
		    populate_wants_that_what_is_told_lives_as_long_as_a_row_may_be_late),
		cmocka_unit_test(a_template_is_well_formed),
		cmocka_unit_test(flush_wants_a_database_of_the_cache_s_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
