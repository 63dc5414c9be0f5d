#include "common/buf.h"
#include "tests/support/config_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A good file of four lines; what is under test stands from line 5 on. */
#define GOOD                                    \
	"redis: {}\n"                           \
	"mysql: { user: a, database: b }\n"     \
	"sources: [{ streams: s, table: t }]\n" \
	"tables: { t: {} }\n"
#define SERVERS       \
	"redis: {}\n" \
	"mysql: { user: a, database: b }\n"

static void
a_good_file_has_no_problem(void **state)
{
	(void)state;
	expect(GOOD, "");
}

static void
an_unknown_key_is_answered_by_the_nearest(void **state)
{
	(void)state;
	expect(GOOD "wokers: 2\n", "5:1: unknown key \"wokers\"; did you mean \"workers\"?\n");
	expect(GOOD "batch: { maxrows: 1 }\n",
	    "5:10: unknown key \"maxrows\" in batch; did you mean \"max_rows\"?\n");
	expect(GOOD "max_rows: 1\n", "5:1: unknown key \"max_rows\"; there is batch.max_rows\n");
	expect(GOOD "batch.max_rows: 1\n",
	    "5:1: unknown key \"batch.max_rows\"; it is written as a map, batch: { max_rows: … "
	    "}\n");
}

static void
an_unknown_key_that_is_near_to_none_is_answered_by_all(void **state)
{
	(void)state;
	expect(GOOD "elephant: 1\n",
	    "5:1: unknown key \"elephant\"; `sluice config --example` has all\n");
	expect(GOOD "batch: { elephant: 1 }\n",
	    "5:10: unknown key \"elephant\" in batch; there is max_rows, max_bytes, max_delay\n");
	expect(GOOD "log: { \"\": 1 }\n", "5:8: unknown key \"\" in log; there is level, format\n");
}

static void
a_password_in_a_wrong_place_is_not_quoted(void **state)
{
	(void)state;
	expect("redis: { host: \"bob:hunter2@h\" }\n"
	       "mysql: { user: a, database: b, port: \"mysql://a:hunter2@h/b\" }\n"
	       "sources: [{ streams: s, table: t }]\n"
	       "tables: { t: {} }\n",
	    "1:16: redis.host: found \"bob:…\", meant a host name or an address (the port is an "
	    "option of its own)\n"
	    "2:38: mysql.port: found \"mysql://…\", meant a whole number from 1 to 65535\n");
}

static void
a_url_says_everything_once(void **state)
{
	(void)state;
	expect("redis: { url: \"redis://h/1?db=2\" }\n"
	       "mysql: { url: \"mysql://a@h/b?socket=/x&socket=/y\" }\n"
	       "sources: [{ streams: s, table: t }]\n"
	       "tables: { t: {} }\n",
	    "1:15: redis.url: the db is there twice\n"
	    "2:15: mysql.url: the socket is there twice\n");
	expect("redis: { url: \"redis://h?db=1&db=1\" }\n"
	       "mysql: { url: \"mysql://a@h/b/c\" }\n"
	       "sources: [{ streams: s, table: t }]\n"
	       "tables: { t: {} }\n",
	    "1:15: redis.url: the db is there twice\n"
	    "2:15: mysql.url: more than a database behind the host (inside a name / is %2F)\n");
	expect("redis: { url: \"redis+unix:///x?db=1\" }\n"
	       "mysql: { url: \"mysql://a@h/${NOWHERE:-b/c}?socket=/x\" }\n"
	       "sources: [{ streams: s, table: t }]\n"
	       "tables: { t: {} }\n",
	    "");
}

static void
every_mistake_is_reported_in_file_order(void **state)
{
	(void)state;
	expect(GOOD "workers: x\n"
		    "wokers: 1\n"
		    "memory: 1\n"
		    "log: { level: loud }\n",
	    "5:10: workers: found \"x\", meant a whole number from 1 to 64\n"
	    "6:1: unknown key \"wokers\"; did you mean \"workers\"?\n"
	    "7:9: memory: \"1\" is out of range; meant a size from 8MiB to 64GiB\n"
	    "8:15: log.level: found \"loud\", meant one of debug, info, warn, error\n");
}

static void
a_wrong_type_names_what_was_found_and_meant(void **state)
{
	(void)state;
	expect(GOOD "workers: [1]\n",
	    "5:10: workers: found a list, meant a whole number from 1 to 64\n");
	expect(GOOD "workers:\n",
	    "5:9: workers: found nothing, meant a whole number from 1 to 64\n");
	expect(GOOD "workers: 1.5\n",
	    "5:10: workers: found \"1.5\", meant a whole number from 1 to 64\n");
	expect(GOOD "log: info\n", "5:6: log: found \"info\", meant a map\n");
	expect(GOOD "show_keys: 1\n", "5:12: show_keys: found \"1\", meant one of true, false\n");
	expect(GOOD "ready_requires: { a: 1 }\n",
	    "5:17: ready_requires: found a map, meant a list of redis, mysql, cache, kafka\n");
	expect("[1, 2]\n", "1:1: found a list, meant a map of options such as redis: …\n");
}

static void
a_range_is_said(void **state)
{
	(void)state;
	expect(GOOD "workers: 65\n",
	    "5:10: workers: \"65\" is out of range; meant a whole number from 1 to 64\n");
	expect(GOOD "workers: 99999999999999999999\n",
	    "5:10: workers: found \"99999999999999999999\", meant a whole number from 1 to 64\n");
	expect(GOOD "batch:\n  max_rows: 0\n",
	    "6:13: batch.max_rows: \"0\" is out of range; meant a whole number from 1 to 100000\n");
	expect(GOOD "memory: 99999999999999GiB\n",
	    "5:9: memory: \"99999999999999GiB\" is out of range; meant a size from 8MiB to "
	    "64GiB\n");
}

static void
a_duration_wants_a_unit(void **state)
{
	(void)state;
	expect(GOOD "lock_wait: 20\n",
	    "5:12: lock_wait: \"20\" has no unit (ms, s, m or h); meant a duration from 1s to "
	    "1m\n");
	expect(GOOD "lock_wait: 5sec\n",
	    "5:12: lock_wait: \"5sec\" has no unit that we know (ms, s, "
	    "m, h); meant a duration from 1s to 1m\n");
	expect(GOOD "memory: 64Mb\n",
	    "5:9: memory: \"64Mb\" has no unit that we know (B, KiB, MiB, "
	    "GiB, KB, MB, GB); meant a size from 8MiB to 64GiB\n");
	expect(GOOD "lock_wait: -5s\n",
	    "5:12: lock_wait: found \"-5s\", meant a duration from 1s to 1m\n");
}

static void
a_duplicate_key_names_the_first(void **state)
{
	(void)state;
	expect(GOOD "workers: 1\nworkers: 2\n",
	    "6:1: key \"workers\" is written twice; the first is in line 5\n");
	expect(SERVERS "sources: [{ streams: s, table: t }]\n"
		       "tables:\n  t: {}\n  t: {}\n",
	    "6:3: key \"t\" is written twice; the first is in line 5\n");
}

static void
text_has_a_length_and_a_charset(void **state)
{
	char text[4000];
	struct buf long_name;

	(void)state;
	buf_init(&long_name);
	for (int i = 0; i < 250; i++)
		buf_add_char(&long_name, 'n');
	setenv("SLUICE_TEST_BYTES", "\xff", 1);
	expect(GOOD "pool: \"\"\n", "5:7: pool: must not be empty\n");
	expect(GOOD "pool: \"a b\"\n",
	    "5:7: pool: found \"a b\", meant a name of A-Z a-z 0-9 _ . -\n");
	expect(GOOD "pool: ${SLUICE_TEST_BYTES}\n", "5:7: pool: not UTF-8\n");
	expect(GOOD "pool: \"a\\0b\"\n", "5:7: pool: holds a NUL byte\n");
	expect(GOOD "pool: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
	    "5:7: pool: 33 bytes long; 32 at most\n");
	snprintf(text, sizeof(text),
	    SERVERS "sources: [{ streams: %s, table: t }]\ntables: { t: {} }\n", long_name.data);
	buf_reset(&long_name);
	buf_add_str(&long_name, "3:22: lane default/redis/");
	for (int i = 0; i < 250; i++)
		buf_add_char(&long_name, 'n');
	buf_add_str(&long_name, ": the name is 264 bytes long; 255 at most\n");
	expect(text, long_name.data);
	buf_deinit(&long_name);
}

static void
a_missing_variable_is_named(void **state)
{
	(void)state;
	unsetenv("SLUICE_TEST_NO");
	expect(GOOD "pool: a${SLUICE_TEST_NO}b${SLUICE_TEST_NO}\n",
	    "5:7: pool: environment variable SLUICE_TEST_NO is not set "
	    "(${SLUICE_TEST_NO:-text} gives it a default)\n"
	    "5:7: pool: environment variable SLUICE_TEST_NO is not set "
	    "(${SLUICE_TEST_NO:-text} gives it a default)\n");
	expect(GOOD "pool: ${file:/nonexistent/x}\n",
	    "5:7: pool: ${file:/nonexistent/x}: No such file or directory\n");
	expect(GOOD "pool: ${file:/}\n", "5:7: pool: ${file:/}: not a regular file\n");
	expect(GOOD "pool: ${file:x}\n", "5:7: pool: ${file:x}: the path must begin with /\n");
	expect(GOOD "pool: a${X\n",
	    "5:7: pool: \"${\" without a closing \"}\" (one $ is written $$)\n");
	expect(GOOD "pool: ${1X}\n",
	    "5:7: pool: a \"${…}\" that is neither ${VARIABLE}, ${VARIABLE:-default} nor "
	    "${file:/path} (one $ is written $$)\n");
	expect(GOOD "pool: ${X:-${Y}}\n",
	    "5:7: pool: ${X:-…}: a default can't hold another ${…}\n");
}

static void
a_lane_has_one_name_in_the_whole_file(void **state)
{
	(void)state;
	expect(SERVERS "sources:\n"
		       "  - { streams: \"s:{0..3}\", table: t }\n"
		       "  - { streams: [\"a\", \"s:{2..9}\"], table: t }\n"
		       "tables: { t: {} }\n",
	    "5:22: lane \"s:2\" is named twice; the first is in line 4\n");
}

static void
ranges_are_checked(void **state)
{
	(void)state;
	expect(SERVERS
	    "sources:\n"
	    "  - streams: [\"a{0..9999}\", \"b{7..0}\", \"c{id}\", \"d{\", \"e}\", \"f{}\", "
	    "\"g{00..07}\"]\n"
	    "    table: t\n"
	    "tables: { t: {} }\n",
	    "4:15: sources[0].streams: the range {0..9999} is too long; 1024 lanes at most\n"
	    "4:29: sources[0].streams: the range {7..0} runs downwards\n"
	    "4:40: sources[0].streams: {id} is not a range such as {0..7} (literal braces are "
	    "written {{ and }})\n"
	    "4:49: sources[0].streams: a brace without its partner (literal braces are written {{ "
	    "and }})\n"
	    "4:55: sources[0].streams: a brace without its partner (literal braces are written {{ "
	    "and }})\n"
	    "4:61: sources[0].streams: {} is empty (literal braces are written {{ and }})\n"
	    "4:68: sources[0].streams: {00..07} is not a range such as {0..7} (literal braces are "
	    "written {{ and }})\n");
	expect(SERVERS "sources:\n"
		       "  - { streams: \"a{0..1023}\", table: t }\n"
		       "  - { streams: b, table: t }\n"
		       "tables: { t: {} }\n",
	    "5:16: sources[1].streams: more than 1024 lanes in all\n");
	expect(SERVERS "sources: [{ streams: \"a{0..99}{0..99}{0..99}\", table: t }]\n"
		       "tables: { t: {} }\n",
	    "3:22: sources[0].streams: more than 1024 lanes\n");
}

static void
tables_and_sources_must_agree(void **state)
{
	(void)state;
	expect(SERVERS "sources:\n"
		       "  - { streams: a, table: uesrs }\n"
		       "  - { streams: b, tables: [users, nothere] }\n"
		       "tables:\n"
		       "  users: {}\n"
		       "  orders: {}\n",
	    "4:26: table \"uesrs\" is not under tables; did you mean \"users\"?\n"
	    "5:35: table \"nothere\" is not under tables\n"
	    "8:3: warning: table \"orders\" is in no source's table or tables; nothing will write "
	    "it\n");
}

static void
our_own_tables_and_keys_are_refused(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: \"sluice:x\", tables: [Sluice_Ledger] }]\n"
		       "tables: { sluice_outbox: {}, other.t: {} }\n",
	    "3:22: stream \"sluice:x\": keys that begin with sluice: are ours\n"
	    "3:43: table \"Sluice_Ledger\": sluice_… are our own tables\n"
	    "4:11: table \"sluice_outbox\": sluice_… are our own tables\n"
	    "4:11: warning: table \"sluice_outbox\" is in no source's table or tables; nothing "
	    "will "
	    "write it\n"
	    "4:30: table \"other.t\": tables of another database are not in this release; a name "
	    "is "
	    "that of a table in mysql's database\n"
	    "4:30: warning: table \"other.t\" is in no source's table or tables; nothing will "
	    "write "
	    "it\n");
}

static void
what_a_later_release_brings_is_refused_by_name(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t, format: debezium }]\n"
		       "tables:\n"
		       "  t:\n"
		       "    truncate: allow\n"
		       "    announce: {}\n"
		       "    invalidate: [{ key: \"u:{id}\", mode: delete, stale_for: 5s }]\n"
		       "quarantine: 1s\n",
	    "6:5: tables.t.truncate is not in this release\n"
	    "7:5: tables.t.announce is not in this release\n"
	    "8:49: tables.t.invalidate[0].stale_for is not in this release\n"
	    "9:1: quarantine is not in this release\n");
}

static void
tls_sentinel_and_cluster_are_refused_by_name(void **state)
{
	(void)state;
#define REST                                    \
	"sources: [{ streams: s, table: t }]\n" \
	"tables: { t: {} }\n"
	expect("redis: { url: \"rediss://h\" }\n"
	       "cache: { url: \"redis+sentinel://h/m\" }\n"
	       "mysql: { url: \"mysql://a@h/d?ssl-mode=REQUIRED\" }\n" REST,
	    "1:15: redis.url: rediss:// (TLS) is not supported yet\n"
	    "2:15: cache.url: redis+sentinel:// (Sentinel) is not supported yet\n"
	    "3:15: mysql.url: a parameter for TLS, which is not supported yet\n");
	expect("redis: { url: \"redis://a,b,c\", cluster: true, tls: {} }\n"
	       "mysql: { user: a, database: b, tls: true }\n" REST,
	    "1:15: redis.url: several hosts (Sentinel, Cluster) are not supported yet\n"
	    "1:32: redis.cluster is not in this release: Cluster is not supported yet\n"
	    "1:47: redis.tls is not in this release: TLS is not supported yet\n"
	    "2:32: mysql.tls is not in this release: TLS is not supported yet\n");
}

static void
what_is_required_is_missed(void **state)
{
	(void)state;
	expect("workers: 1\n",
	    "1:1: redis is missing\n1:1: mysql is missing\n"
	    "1:1: sources is missing\n1:1: tables is missing\n");
	expect("redis: {}\nmysql: { url: \"mysql://h\" }\n" REST,
	    "2:1: mysql.user is missing, here or in the url\n"
	    "2:1: mysql.database is missing, here or in the url (mysql://user@host/database)\n");
	expect(SERVERS "sources: [{ format: json }, 5]\ntables: { t: {} }\n",
	    "3:11: sources[0]: streams or topics is missing\n"
	    "3:11: sources[0]: table or tables is missing\n"
	    "3:29: sources[1]: found text, meant a map such as { streams: …, table: … }\n");
	expect(SERVERS "sources: []\ntables: {}\n", "3:1: sources: an empty list\n");
	expect(GOOD "cache: { db: 1 }\n",
	    "5:8: cache: found a map, meant a map with a url, a host or a socket\n");
}

static void
limits_that_depend_on_memory_say_so(void **state)
{
	(void)state;
	expect(GOOD "memory: 10MiB\nentry_max: 6MiB\nbatch: { max_bytes: 3MiB }\n",
	    "6:1: entry_max: 6MiB is more than half of memory (10MiB); make it smaller or memory "
	    "larger\n"
	    "7:10: batch.max_bytes: 3MiB is more than a quarter of memory (10MiB); make it smaller "
	    "or memory larger\n");
}

static void
a_field_has_one_column_and_a_column_one_origin(void **state)
{
	(void)state;
	expect(SERVERS "sources: [{ streams: s, table: t, field: x }]\n"
		       "tables:\n"
		       "  t:\n"
		       "    version: v\n"
		       "    columns: { _op: a, b: a, c: v }\n"
		       "    ignore: [_x, b]\n"
		       "    set: { v: 1, a: 2 }\n",
	    "3:35: sources[0].field: only for format json and change events\n"
	    "7:16: tables.t.columns: fields that begin with _ are ours\n"
	    "7:27: tables.t.columns: column \"a\" has two fields\n"
	    "7:33: tables.t.columns: the version's column is written by way of _version\n"
	    "8:14: tables.t.ignore: fields that begin with _ are ours\n"
	    "8:18: tables.t.ignore: field \"b\" is under columns too\n"
	    "9:12: tables.t.set: the version's column can't be a constant\n"
	    "9:12: tables.t.set: column \"v\" is under columns too\n"
	    "9:18: tables.t.set: column \"a\" is under columns too\n");
}

static void
a_listen_address_is_an_address(void **state)
{
	(void)state;
	expect(GOOD "http: { listen: 9180 }\n",
	    "5:17: http.listen: found \"9180\", meant an address such as 127.0.0.1:9180, "
	    "[::]:9180, "
	    ":9180, or off\n");
	expect(GOOD "http: { listen: \"example.org:80\" }\n",
	    "5:17: http.listen: found \"example.org:80\", meant an address such as 127.0.0.1:9180, "
	    "[::]:9180, :9180, or off\n");
	expect(GOOD "http: { listen: \"127.0.0.1:65536\" }\n",
	    "5:17: http.listen: found \"127.0.0.1:65536\", meant an address such as "
	    "127.0.0.1:9180, [::]:9180, :9180, or off\n");
}

static void
yaml_errors_have_a_place(void **state)
{
	(void)state;
	expect("a: [1, 2\nb: 3\n",
	    "2:2: not YAML: did not find expected ',' or ']' while parsing a flow sequence that "
	    "began in line 1 (inside { } and [ ] a value such as ${VAR} wants quotes)\n");
	expect("a: \"x\n",
	    "2:1: not YAML: found unexpected end of stream while scanning a quoted "
	    "scalar that began in line 1\n");
	expect("ok: 1\nb: \xff\n", "2:4: not YAML: invalid leading UTF-8 octet\n");
	expect_of(STR("ok: 1\nb: \0\n"), "2:4: not YAML: control characters are not allowed\n");
	expect("", "1:1: the file is empty\n");
	expect("# nothing\n", "1:1: the file is empty\n");
}

static void
anchors_aliases_tags_and_documents_are_refused(void **state)
{
	(void)state;
	expect(GOOD "pool: &p x\n", "5:7: YAML anchors (&name) are not supported; write it out\n");
	expect(GOOD "log: *p\n", "5:6: YAML aliases (*name) are not supported; write it out\n");
	expect(GOOD "pool: !!str x\n", "5:7: YAML tags (!name) are not supported; leave it out\n");
	expect(GOOD "---\npool: x\n", "5:1: a second YAML document; one file is one document\n");
	expect(GOOD "? [a]\n: b\n", "5:3: a list can't be a key; a key is text\n");
	expect(GOOD "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
	    "5:1: unknown key \"a\"; `sluice config --example` has all\n"
	    "5:4: YAML anchors (&name) are not supported; write it out\n"
	    "6:1: unknown key \"b\"; `sluice config --example` has all\n"
	    "6:4: YAML anchors (&name) are not supported; write it out\n"
	    "6:8: YAML aliases (*name) are not supported; write it out\n"
	    "6:11: YAML aliases (*name) are not supported; write it out\n"
	    "7:1: unknown key \"c\"; `sluice config --example` has all\n"
	    "7:5: YAML aliases (*name) are not supported; write it out\n"
	    "7:8: YAML aliases (*name) are not supported; write it out\n");
}

static void
depth_and_length_have_a_limit(void **state)
{
	static char large[1024 * 1024 + 1];

	(void)state;
	expect("a: [[[[[[[[[[[[[[[[[[[[\n", "1:19: nested deeper than 16 levels\n");
	memset(large, '#', sizeof(large));
	expect_of((struct str){ large, sizeof(large) }, " larger than 1MiB\n");
	memset(large, '[', sizeof(large));
	expect_of((struct str){ large, sizeof(large) - 1 }, "1:17: nested deeper than 16 levels\n");
}

static void
a_flood_of_mistakes_is_cut_but_still_refused(void **state)
{
	struct config_problems problems;
	struct config config;
	struct buf text;

	(void)state;
	buf_init(&text);
	buf_add_str(&text, GOOD);
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "elephant%d: 1\n", i);
	assert_int_equal(config_parse(&config, "f", (struct str){ text.data, text.len }, &problems),
	    -1);
	assert_int_equal(problems.count, 1001);
	assert_string_equal(problems.list[1000].text, "f: further mistakes are not listed");
	config_problems_deinit(&problems);
	config_deinit(&config);
	buf_deinit(&text);
}

static void
an_unreadable_file_is_one_problem(void **state)
{
	struct config_problems problems;
	struct config config;

	(void)state;
	assert_int_equal(config_load(&config, "/nonexistent/sluice.yaml", &problems), -1);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.list[0].text,
	    "/nonexistent/sluice.yaml: can't be read: No such file or directory");
	config_problems_deinit(&problems);
	config_deinit(&config);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_has_no_problem),
		cmocka_unit_test(an_unknown_key_is_answered_by_the_nearest),
		cmocka_unit_test(an_unknown_key_that_is_near_to_none_is_answered_by_all),
		cmocka_unit_test(a_password_in_a_wrong_place_is_not_quoted),
		cmocka_unit_test(a_url_says_everything_once),
		cmocka_unit_test(every_mistake_is_reported_in_file_order),
		cmocka_unit_test(a_wrong_type_names_what_was_found_and_meant),
		cmocka_unit_test(a_range_is_said),
		cmocka_unit_test(a_duration_wants_a_unit),
		cmocka_unit_test(a_duplicate_key_names_the_first),
		cmocka_unit_test(text_has_a_length_and_a_charset),
		cmocka_unit_test(a_missing_variable_is_named),
		cmocka_unit_test(a_lane_has_one_name_in_the_whole_file),
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(tables_and_sources_must_agree),
		cmocka_unit_test(our_own_tables_and_keys_are_refused),
		cmocka_unit_test(what_a_later_release_brings_is_refused_by_name),
		cmocka_unit_test(tls_sentinel_and_cluster_are_refused_by_name),
		cmocka_unit_test(what_is_required_is_missed),
		cmocka_unit_test(limits_that_depend_on_memory_say_so),
		cmocka_unit_test(a_field_has_one_column_and_a_column_one_origin),
		cmocka_unit_test(a_listen_address_is_an_address),
		cmocka_unit_test(yaml_errors_have_a_place),
		cmocka_unit_test(anchors_aliases_tags_and_documents_are_refused),
		cmocka_unit_test(depth_and_length_have_a_limit),
		cmocka_unit_test(a_flood_of_mistakes_is_cut_but_still_refused),
		cmocka_unit_test(an_unreadable_file_is_one_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
