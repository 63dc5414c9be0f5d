#include "tests/support/cache_rig.h"

#include "worker/cache/markers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void
every_touched_row_loses_its_keys(void **state)
{
	static const char *const templates[] = { "user:{id}", "page:{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, NULL, templates, 2);
	cache_rig_touch(&f, "7");
	cache_rig_touch(&f, "8");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "user:8\npage:8\nuser:7\npage:7\n");
	assert_int_equal(f.server.commands, 1);
	assert_int_equal(SEE(f.counters.invalidated), 4);
	assert_int_equal(SEE(f.counters.tables[0].invalidated), 4);
	assert_int_equal(f.cache->ops->fd(f.cache), -1);
	cache_rig_close(&f);
}

static void
many_keys_go_in_few_commands(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct cache_rig f;
	struct err err;
	char id[16];

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%d", i);
		cache_rig_touch(&f, id);
	}
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_int_equal(f.server.keys, 1000);
	assert_int_equal(f.server.commands, 8);
	assert_int_equal(f.server.most_keys, 128);
	cache_rig_close(&f);
}

static void
a_key_that_many_rows_share_is_sent_once(void **state)
{
	static const char *const templates[] = { "users:all" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	cache_rig_touch(&f, "7");
	cache_rig_touch(&f, "8");
	cache_rig_touch(&f, "9");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "users:all\n");
	/* and once more in the next round */
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_int_equal(f.server.keys, 2);
	cache_rig_close(&f);
}

static void
a_key_that_names_a_lane_or_is_ours_is_left_alone_and_counted(void **state)
{
	static const char *const templates[] = { "{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	cache_rig_touch(&f, "wb:users:1");
	cache_rig_touch(&f, "sluice:default:id:wb:users:1");
	cache_rig_touch(&f, "wb:users:10");
	cache_rig_touch(&f, "sluic");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "sluic\nwb:users:10\n");
	assert_int_equal(SEE(f.counters.invalidations_skipped), 2);
	assert_int_equal(SEE(f.counters.invalidated), 2);
	cache_rig_close(&f);
}

static void
on_another_server_a_lane_s_name_is_only_a_name(void **state)
{
	static const char *const templates[] = { "{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	f.config.cache_is_redis = false;
	f.cache->ops->free(&f.cache);
	f.cache = invalidate_new(&f.config, 0);
	cache_rig_touch(&f, "wb:users:1");
	cache_rig_touch(&f, "sluice:x");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "wb:users:1\n");
	cache_rig_close(&f);
}

static void
mode_none_sends_nothing(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	f.written[0].mode = MODE_NONE;
	cache_rig_touch(&f, "7");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_int_equal(f.server.commands, 0);
	cache_rig_close(&f);
}

static void
an_error_reply_is_a_failure_with_its_class(void **state)
{
	static const struct {
		const char *answer;
		enum err_class class;
	} cases[] = {
		{ "-OOM command not allowed when used memory > 'maxmemory'\r\n", ERR_RETRY },
		{ "-READONLY You can't write against a read only replica.\r\n", ERR_RETRY },
		{ "-NOPERM this user has no permissions to run 'unlink'\r\n", ERR_FATAL },
	};
	static const char *const templates[] = { "user:{id}" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct cache_rig f;
		struct err err;

		cache_rig_open(&f, cases[i].answer, templates, 1);
		cache_rig_touch(&f, "7");
		assert_int_equal(cache_rig_round(&f, &err), -1);
		assert_int_equal(err.class, cases[i].class);
		assert_false(f.cache->ops->is_open(f.cache));
		/* nothing is remembered: the same round works once the server does */
		f.server.answer = NULL;
		assert_int_equal(cache_rig_round(&f, &err), 1);
		cache_rig_close(&f);
	}
}

static void
a_server_that_never_answers_is_given_up(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open(&f, "", templates, 1);
	cache_rig_touch(&f, "7");
	assert_int_equal(cache_rig_round(&f, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_false(f.cache->ops->is_open(f.cache));
	cache_rig_close(&f);
}

static void
without_a_connection_start_fails_and_sends_nothing(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct cache_rig f;
	struct err err = { 0 };

	(void)state;
	cache_rig_open(&f, NULL, templates, 1);
	cache_rig_touch(&f, "7");
	assert_int_equal(f.cache->ops->start(f.cache, &f.batch, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_int_equal(f.cache->ops->fd(f.cache), -1);
	cache_rig_close(&f);
}

static void
a_versioned_entry_is_told_the_highest_version(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change one = { .has_version = true, .version = 57 },
		      two = { .has_version = true, .version = UINT64_MAX },
		      three = { .has_version = true, .version = 58 },
		      gone = { .has_version = true, .version = 58, .op = CHANGE_DELETE };
	struct entry entry = { 0 };
	struct touched *row;
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &one, &entry);
	cache_rig_add(row, &two, &entry);
	cache_rig_add(row, &three, &entry);
	row = cache_rig_touch(&f, "8");
	cache_rig_add(row, &gone, &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:8 58 deleted\n"
	    "sluice_invalidate 1 user:7 18446744073709551615 row 60000 2000 5000 58 2\n");
	assert_int_equal(SEE(f.counters.invalidation_answers[0]), 2);
	assert_int_equal(SEE(f.counters.invalidated), 2);
	cache_rig_close(&f);
}

/* Of two logs nothing is highest; a table that has versions is told those, or none. */
static void
without_a_version_the_highest_place_in_one_log_is_told(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change one = { .place = { STR("7/binlog"), 58, 9000 } },
		      two = { .place = { STR("7/binlog"), 57, 2000 }, .op = CHANGE_DELETE },
		      other = { .place = { STR("8/binlog"), 57, 1000 } }, three = one,
		      versioned = { .has_version = true, .version = 99 };
	struct entry entry = { 0 };
	struct touched *row;
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &one, &entry);
	cache_rig_add(row, &two, &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:7 58 row 60000 2000 5000   7/binlog 9000\n");
	cache_rig_add(row, &other, &entry);
	row = cache_rig_touch(&f, "8");
	cache_rig_add(row, &three, &entry);
	cache_rig_add(row, &versioned, &entry);
	buf_reset(&f.server.seen);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:8  row\nsluice_invalidate 1 user:7  row\n");
	cache_rig_close(&f);
	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	f.table.version = VERSION_GIVEN;
	row = cache_rig_touch(&f, "9");
	cache_rig_add(row, &one, &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "sluice_invalidate 1 user:9  row\n");
	cache_rig_close(&f);
}

static void
touch_version(struct cache_rig *f, const char *id, struct change *change, struct entry *entry)
{
	*change = (struct change){ .has_version = true, .version = 5 };
	cache_rig_add(cache_rig_touch(f, id), change, entry);
	f->table.version = VERSION_GIVEN;
}

static void
beyond_markers_max_absent_keys_get_none_until_older_ones_are_gone(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct config_template template = { .mode = MODE_VERSIONED, .marker_absent_ms = 2000 };
	struct config_table table = { .templates = &template, .template_count = 1 };
	struct config config = { .tables = &table, .table_count = 1, .markers_max = 100 };
	struct change change[3];
	struct entry entry = { 0 };
	struct markers markers;
	struct cache_rig f;
	struct err err;

	(void)state;
	markers_init(&markers, &config);
	for (int64_t ms = 10000; ms < 10100; ms++)
		assert_true(markers_take(&markers, ms));
	assert_false(markers_take(&markers, 10100));
	assert_false(markers_take(&markers, 12000)); /* the first may live that long */
	assert_true(markers_take(&markers, 12200));
	markers_init(&markers, &(struct config){ .markers_max = 0 });
	for (int i = 0; i < 1000; i++)
		assert_true(markers_take(&markers, 1));

	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	f.config_table.templates = f.written;
	f.config_table.template_count = 1;
	f.config.markers_max = 2;
	f.cache->ops->free(&f.cache);
	f.cache = invalidate_new(&f.config, 0);
	f.cache->counters = &f.counters;
	touch_version(&f, "1", &change[0], &entry);
	touch_version(&f, "2", &change[1], &entry);
	touch_version(&f, "3", &change[2], &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:3 5 row\nsluice_invalidate 1 user:2 5 row\n"
	    "sluice_invalidate 1 user:1 5 row 60000 0 5000\n");
	assert_int_equal(SEE(f.counters.markers_left_out), 1);
	cache_rig_close(&f);
}

/* In whichever order they come: a batch may hold the end of one log and the beginning of the next. */
static void
a_place_that_is_lower_and_yet_later_is_of_a_log_that_began_again(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change high = { .place = { STR("7/binlog"), 58, 2000 } }, again = high,
		      low = { .place = { STR("7/binlog"), 1, 9000 } }, begun = low,
		      same = { .place = { STR("7/binlog"), 58, 9000 } }, before = high;
	struct entry entry = { 0 };
	struct touched *row;
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &high, &entry);
	cache_rig_add(row, &low, &entry);
	row = cache_rig_touch(&f, "8");
	cache_rig_add(row, &begun, &entry);
	cache_rig_add(row, &again, &entry);
	row = cache_rig_touch(&f, "9"); /* two statements of one transaction */
	cache_rig_add(row, &before, &entry);
	cache_rig_add(row, &same, &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:9 58 row 60000 2000 5000   7/binlog 9000\n"
	    "sluice_invalidate 1 user:8  row\nsluice_invalidate 1 user:7  row\n");
	cache_rig_close(&f);
}

static void
a_change_without_a_version_is_told_as_such_and_a_refused_one_not_at_all(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change one = { .has_version = true, .version = 57 }, refused = one,
		      none = { .op = CHANGE_INVALIDATE };
	struct entry good = { 0 }, bad = { .refusal.reason = REASON_BAD_VALUE };
	struct touched *row;
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_VERSIONED, templates, 1);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &one, &good);
	cache_rig_add(row, &none, &good);
	row = cache_rig_touch(&f, "8");
	cache_rig_add(row, &refused, &bad);
	f.written[0].quarantine_ms = 7000;
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:8 57 refused\n"
	    "sluice_invalidate 1 user:7  row 60000 2000 7000\n");
	assert_int_equal(SEE(f.counters.invalidated), 1);
	cache_rig_close(&f);
}

static void
a_generation_is_raised_once_however_many_rows_share_it(void **state)
{
	static const char *const templates[] = { "users:all", "user:{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_GENERATION, templates, 2);
	f.written[1].ttl_ms = 3600000;
	cache_rig_touch(&f, "7");
	cache_rig_touch(&f, "8");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_generation_raise 1 users:all\n"
	    "sluice_generation_raise 1 user:8 3600000\n"
	    "sluice_generation_raise 1 user:7 3600000\n");
	cache_rig_close(&f);
}

static void
a_key_that_holds_something_else_is_counted_and_passed(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct cache_rig f;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_GENERATION, templates, 1);
	f.server.call_answer = "-WRONGTYPE Operation against a key\r\n";
	cache_rig_touch(&f, "7");
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_int_equal(SEE(f.counters.invalidations_refused), 1);
	assert_true(f.cache->ops->is_open(f.cache));
	cache_rig_close(&f);
}

static void
a_lost_library_is_a_failure_to_try_again(void **state)
{
	static const char *const answers[] = { "-ERR Function not found\r\n",
		"-NOSCRIPT No matching script.\r\n", "-MOVED 1 10.0.0.1:6379\r\n" };
	static const char *const templates[] = { "user:{id}" };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		struct cache_rig f;
		struct err err;

		cache_rig_open_mode(&f, MODE_GENERATION, templates, 1);
		f.server.call_answer = answers[i];
		cache_rig_touch(&f, "7");
		assert_int_equal(cache_rig_round(&f, &err), -1);
		if (i < 2)
			assert_int_equal(err.class, ERR_RETRY);
		assert_false(f.cache->ops->is_open(f.cache));
		f.server.call_answer = NULL;
		assert_int_equal(cache_rig_round(&f, &err), 1);
		cache_rig_close(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_touched_row_loses_its_keys),
		cmocka_unit_test(many_keys_go_in_few_commands),
		cmocka_unit_test(a_key_that_many_rows_share_is_sent_once),
		cmocka_unit_test(a_key_that_names_a_lane_or_is_ours_is_left_alone_and_counted),
		cmocka_unit_test(on_another_server_a_lane_s_name_is_only_a_name),
		cmocka_unit_test(mode_none_sends_nothing),
		cmocka_unit_test(an_error_reply_is_a_failure_with_its_class),
		cmocka_unit_test(a_server_that_never_answers_is_given_up),
		cmocka_unit_test(without_a_connection_start_fails_and_sends_nothing),
		cmocka_unit_test(a_versioned_entry_is_told_the_highest_version),
		cmocka_unit_test(without_a_version_the_highest_place_in_one_log_is_told),
		cmocka_unit_test(a_place_that_is_lower_and_yet_later_is_of_a_log_that_began_again),
		cmocka_unit_test(
		    a_change_without_a_version_is_told_as_such_and_a_refused_one_not_at_all),
		cmocka_unit_test(a_generation_is_raised_once_however_many_rows_share_it),
		cmocka_unit_test(a_key_that_holds_something_else_is_counted_and_passed),
		cmocka_unit_test(a_lost_library_is_a_failure_to_try_again),
		cmocka_unit_test(beyond_markers_max_absent_keys_get_none_until_older_ones_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
