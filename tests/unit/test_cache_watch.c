#include "common/clock.h"
#include "worker/operate/cache_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct config config;
static struct watched watched;
static struct cache_view view;
static struct cache_watch watch;
static char text[128];

static int
set_up(void **state)
{
	(void)state;
	memset(&view, 0, sizeof(view));
	watched = (struct watched){ .config = &config };
	cache_watch_init(&watch, &watched, &view);
	return 0;
}

static void
info(const char *lines)
{
	cache_watch_info(&watch, str_of(lines));
}

static bool
warns(enum cache_warning warning)
{
	return cache_warning(&view, warning, text, sizeof(text));
}

static void
what_was_never_seen_warns_of_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < CACHE_WARNINGS; i++)
		assert_false(warns((enum cache_warning)i));
}

static void
the_hit_rate_is_that_of_the_last_look_without_our_own_reads(void **state)
{
	(void)state;
	info("keyspace_hits:1000000\r\nkeyspace_misses:0\r\n");
	assert_false(warns(CACHE_WARN_HIT_RATE));
	watch.own_reads += 500;
	info("keyspace_hits:1000570\r\nkeyspace_misses:30\r\n");
	assert_true(warns(CACHE_WARN_HIT_RATE));
	assert_string_equal(text, "the cache's hit rate is 70 %");
	info("keyspace_hits:1001570\r\nkeyspace_misses:40\r\n");
	assert_false(warns(CACHE_WARN_HIT_RATE));
	/* a few reads say nothing, and neither does a server that counts anew */
	info("keyspace_hits:1001570\r\nkeyspace_misses:70\r\n");
	assert_false(warns(CACHE_WARN_HIT_RATE));
	info("keyspace_hits:0\r\nkeyspace_misses:500\r\n");
	assert_false(warns(CACHE_WARN_HIT_RATE));
}

static void
another_run_or_replication_id_is_a_warning_with_its_window(void **state)
{
	int64_t now = clock_wall_ms() / 1000;
	char lines[160];

	(void)state;
	snprintf(lines, sizeof(lines),
	    "run_id:a\r\nmaster_replid:b\r\naof_enabled:0\r\nrdb_last_save_time:%lld\r\n",
	    (long long)now - 100);
	info(lines);
	info(lines);
	assert_false(warns(CACHE_WARN_RESTARTED));
	info("run_id:c\r\nmaster_replid:b\r\naof_enabled:1\r\nrdb_last_save_time:1\r\n");
	assert_true(warns(CACHE_WARN_RESTARTED));
	assert_non_null(strstr(text, "the cache restarted or failed over: invalidations of 10"));
	assert_int_equal(SEE(view.restarts), 1);
	/* a file that is appended to is newer than the last save */
	info("run_id:c\r\nmaster_replid:d\r\naof_enabled:1\r\nrdb_last_save_time:1\r\n");
	assert_int_equal(SEE(view.restarts), 2);
	assert_true(warns(CACHE_WARN_RESTARTED));
	assert_non_null(strstr(text, "invalidations of 1 s"));
	/* INFO may be denied in part: what isn't said hasn't changed */
	info("used_memory:80\r\n");
	info("run_id:c\r\nmaster_replid:d\r\n");
	assert_int_equal(SEE(view.restarts), 2);
	SHOW(view.restart_wall_ms, clock_wall_ms() - 3600001);
	assert_false(warns(CACHE_WARN_RESTARTED));
}

static void
thresholds_are_where_they_are_said_to_be(void **state)
{
	(void)state;
	info("used_memory:80\r\nmaxmemory:100\r\nconnected_slaves:1\r\n"
	     "slave0:ip=::1,port=1,state=online,offset=5,lag=10\r\n"
	     "rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\n");
	for (int i = 0; i < CACHE_WARNINGS; i++)
		assert_false(warns((enum cache_warning)i));
	info("used_memory:81\r\nmaxmemory:100\r\nconnected_slaves:2\r\nslave0:lag=0\r\n"
	     "slave1:ip=::1,port=1,state=online,offset=5,lag=11\r\nrdb_last_bgsave_status:err\r\n");
	assert_true(warns(CACHE_WARN_MEMORY));
	assert_string_equal(text, "the cache uses 81 % of maxmemory");
	assert_true(warns(CACHE_WARN_REPLICA_LAG));
	assert_true(warns(CACHE_WARN_PERSISTENCE));
	info("used_memory:81\r\nmaxmemory:0\r\n");
	assert_false(warns(CACHE_WARN_MEMORY));
}

static void
keys_are_ours_by_their_template(void **state)
{
	struct config_template templates[] = { { .written = "user:{id}", .mode = MODE_DELETE },
		{ .written = "gen:{id}", .mode = MODE_GENERATION } };
	struct config_table table = { .name = "t", .templates = templates, .template_count = 2 };
	struct config with = { .tables = &table, .table_count = 1 };

	(void)state;
	assert_true(cache_watch_is_ours(&with, STR("user:7")));
	assert_false(cache_watch_is_ours(&with, STR("gen:7")));
	assert_false(cache_watch_is_ours(&with, STR("other")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_was_never_seen_warns_of_nothing, set_up),
		cmocka_unit_test_setup(the_hit_rate_is_that_of_the_last_look_without_our_own_reads,
		    set_up),
		cmocka_unit_test_setup(another_run_or_replication_id_is_a_warning_with_its_window,
		    set_up),
		cmocka_unit_test_setup(thresholds_are_where_they_are_said_to_be, set_up),
		cmocka_unit_test_setup(keys_are_ours_by_their_template, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
