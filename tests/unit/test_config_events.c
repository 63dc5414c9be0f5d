#include "common/buf.h"
#include "config/config.h"

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

/* All problems of a text are exactly these, each "line:column: sentence" and a newline. */
static void
expect(const char *text, const char *problems_expected)
{
	struct config_problems problems;
	struct config config;
	struct buf found;

	buf_init(&found);
	*buf_reserve(&found, 1) = '\0';
	config_parse(&config, "f", str_of(text), &problems);
	for (size_t i = 0; i < problems.count; i++)
		buf_printf(&found, "%s\n", problems.list[i].text + strlen("f:"));
	assert_string_equal(found.data, problems_expected);
	buf_deinit(&found);
	config_problems_deinit(&problems);
	config_deinit(&config);
}

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_is_for_tables_of_any_source),
		cmocka_unit_test(a_table_has_images_where_all_its_changes_are_events),
		cmocka_unit_test(options_of_change_events_are_refused_elsewhere),
		cmocka_unit_test(versions_of_ours_are_refused_where_change_events_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
