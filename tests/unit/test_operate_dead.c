#include "worker/operate/command_dead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Parse `sluice dead list FILE option…` and understand the options. */
static bool
read_options(struct dead_access *a, int count, char **options)
{
	char *argv[16] = { (char[]){ "list" }, (char[]){ "a.yaml" } };
	struct command_line line;
	struct buf problem = { 0 };

	for (int i = 0; i < count; i++)
		argv[2 + i] = options[i];
	memset(a, 0, sizeof(*a));
	assert_true(command_parse(command_find("dead"), 2 + count, argv, &line, &problem));
	buf_deinit(&problem);
	return dead_read_options(a, &line);
}
#define READ(a, ...)                                                                  \
	read_options(&(a), (int)(sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)), \
	    (char *[]){ __VA_ARGS__ })
#define W(text) ((char[]){ text })

static void
every_option_stands_where_its_place_says(void **state)
{
	static const char *const names[] = { [DEAD_LANE] = "--lane",
		[DEAD_TABLE] = "--table",
		[DEAD_REASON] = "--reason",
		[DEAD_STATE] = "--state",
		[DEAD_ID] = "--id",
		[DEAD_OLDER] = "--older",
		[DEAD_NEWER] = "--newer",
		[DEAD_LIMIT] = "--limit",
		[DEAD_ALL] = "--all",
		[DEAD_DRY_RUN] = "--dry-run",
		[DEAD_FORCE] = "--force",
		[DEAD_JSON] = "--json" };
	const struct command *command = command_find("dead");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(command->options[i].name, names[i]);
}

static void
filters_are_understood(void **state)
{
	struct dead_access a;

	(void)state;
	assert_true(READ(a, W("--lane"), W("s:1"), W("--table=t"), W("--reason=check"),
	    W("--state=parked"), W("--older=2h"), W("--newer"), W("48h"), W("--limit=7")));
	assert_string_equal(a.filter.lane, "s:1");
	assert_string_equal(a.filter.table, "t");
	assert_string_equal(a.filter.reason, "check");
	assert_string_equal(a.filter.state, "parked");
	assert_int_equal(a.filter.older_ms, 2 * 3600 * 1000);
	assert_int_equal(a.filter.newer_ms, 48 * 3600 * 1000);
	assert_int_equal(a.limit, 7);
}

static void
ids_are_one_or_a_range_or_open_to_the_end(void **state)
{
	struct dead_access a;

	(void)state;
	assert_true(READ(a, W("--id=7")));
	assert_int_equal(a.filter.id_from, 7);
	assert_int_equal(a.filter.id_to, 7);
	assert_true(READ(a, W("--id=7-9")));
	assert_int_equal(a.filter.id_to, 9);
	assert_true(READ(a, W("--id=7-")));
	assert_int_equal(a.filter.id_to, 0);
	assert_null(a.kept_id);
	assert_true(READ(a, W("--id=s17-3")));
	assert_string_equal(a.kept_id, "s17-3");
	assert_true(READ(a, W("--id=t0-41")));
	assert_string_equal(a.kept_id, "t0-41");
	assert_false(a.has_number);
}

static void
what_is_no_filter_is_refused(void **state)
{
	struct dead_access a;

	(void)state;
	assert_false(READ(a, W("--id=9-7")));
	assert_false(READ(a, W("--id=0")));
	assert_false(READ(a, W("--id=t41")));
	assert_false(READ(a, W("--id=-3")));
	assert_false(READ(a, W("--state=chunk")));
	assert_false(READ(a, W("--older=5")));
	assert_false(READ(a, W("--newer=0")));
	assert_false(READ(a, W("--limit=0")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_stands_where_its_place_says),
		cmocka_unit_test(filters_are_understood),
		cmocka_unit_test(ids_are_one_or_a_range_or_open_to_the_end),
		cmocka_unit_test(what_is_no_filter_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
