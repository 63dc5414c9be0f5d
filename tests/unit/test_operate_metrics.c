#include "common/clock.h"
#include "worker/operate/health.h"
#include "worker/operate/metrics.h"
#include "worker/operate/series.h"
#include "worker/operate/snapshot.h"
#include "worker/operate/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <yyjson.h>

/* A process that nobody runs: two workers, lanes of two sources, one table. */
enum { NOW_MS = 1000000, LANES_MAX = 300 };

struct process {
	struct config config;
	struct config_source sources[2];
	struct config_table tables[1];
	struct lane lanes[LANES_MAX];
	struct worker *workers;
	struct watched watched;
	_Atomic int stop;
	struct buf out;
};
static struct process process;

static void
start_process(size_t lanes)
{
	struct process *p = &process;

	memset(p, 0, sizeof(*p));
	clock_fake((int64_t)NOW_MS * 1000);
	p->tables[0] = (struct config_table){ .name = "users" };
	p->sources[0] = (struct config_source){ .written = "wb:users:{0..9}" };
	p->sources[1] = (struct config_source){ .written = "wb:\"odd\\name\n" };
	p->config = (struct config){ .pool = "default",
		.redis = { .name = "redis" },
		.sources = p->sources,
		.source_count = 2,
		.tables = p->tables,
		.table_count = 1,
		.memory_bytes = 1024 };
	for (size_t i = 0; i < lanes; i++) {
		snprintf(p->lanes[i].name, sizeof(p->lanes[i].name), "default/redis/lane:%zu", i);
		p->lanes[i].stream = p->lanes[i].name + strlen("default/redis/");
		p->lanes[i].source = &p->sources[i % 2];
		p->lanes[i].shown_state = LANE_OPEN;
	}
	p->workers = calloc(2, sizeof(*p->workers));
	assert_non_null(p->workers);
	for (int i = 0; i < 2; i++) {
		p->workers[i].index = i;
		assert_int_equal(counters_init(&p->workers[i].counters, 1, NULL), 0);
		p->workers[i].counters.beat_ms = NOW_MS;
	}
	p->watched = (struct watched){ .config = &p->config,
		.lanes = p->lanes,
		.lane_count = lanes,
		.workers = p->workers,
		.worker_count = 2,
		.started_ms = NOW_MS - 5000,
		.started_wall_ms = NOW_MS - 5000,
		.stop = &p->stop };
}

static int
set_up(void **state)
{
	(void)state;
	start_process(4);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		counters_deinit(&process.workers[i].counters);
	free(process.workers);
	buf_deinit(&process.out);
	clock_fake(-1);
	return 0;
}

/* One page of the process, as text. */
static const char *
print(void (*page)(const struct snapshot *, struct buf *))
{
	struct snapshot snapshot;

	buf_reset(&process.out);
	snapshot_take(&snapshot, &process.watched);
	page(&snapshot, &process.out);
	snapshot_deinit(&snapshot);
	return process.out.data;
}

static bool
ask(bool (*question)(const struct snapshot *, struct buf *))
{
	struct snapshot snapshot;

	buf_reset(&process.out);
	snapshot_take(&snapshot, &process.watched);
	bool answer = question(&snapshot, &process.out);
	snapshot_deinit(&snapshot);
	return answer;
}

static void
has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line `%s`", line);
}

static size_t
count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

/* ---- counters ---- */

static void
a_histogram_puts_a_value_on_a_bound_below_it(void **state)
{
	struct histogram seconds, sizes;

	(void)state;
	histogram_init_seconds(&seconds);
	histogram_init_sizes(&sizes);
	histogram_add(&seconds, 500); /* 0.5 ms, the first bound */
	histogram_add(&seconds, 501);
	histogram_add(&seconds, 31000000); /* above the last */
	assert_int_equal(seconds.counts[0], 1);
	assert_int_equal(seconds.counts[1], 1);
	assert_int_equal(seconds.counts[HISTOGRAM_BUCKETS - 1], 1);
	histogram_add(&sizes, 1);
	histogram_add(&sizes, 0);
	histogram_add(&sizes, 1000);
	assert_int_equal(sizes.counts[0], 2);
	assert_int_equal(sizes.counts[9], 1);
	assert_int_equal(sizes.sum_us, 1001);
}

static void
histogram_bounds_rise(void **state)
{
	struct histogram seconds, sizes;

	(void)state;
	histogram_init_seconds(&seconds);
	histogram_init_sizes(&sizes);
	for (int i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
		assert_true(seconds.bounds[i - 1] < seconds.bounds[i]);
		assert_true(sizes.bounds[i - 1] < sizes.bounds[i]);
	}
}

static void
every_dead_reason_has_a_place_of_its_own_and_an_unknown_one_is_refused(void **state)
{
	int i = 0;

	(void)state;
	for (; dead_reason_name(i) != NULL; i++)
		assert_int_equal(dead_reason_index(dead_reason_name(i)), i);
	assert_in_range(i, 10, DEAD_REASONS);
	assert_null(dead_reason_name(DEAD_REASONS));
	assert_null(dead_reason_name(-1));
	assert_string_equal(dead_reason_name(dead_reason_index("never heard of")), "refused");
}

static void
every_kind_of_event_passed_over_has_a_place_of_its_own(void **state)
{
	int i = 0;

	(void)state;
	for (; passed_name(i) != NULL; i++)
		assert_int_equal(passed_index(passed_name(i)), i);
	assert_int_equal(i, PASSED_KINDS);
	assert_string_equal(passed_name(passed_index("never heard of")), PASSED_CONTROL);
}

static void
a_rate_is_of_the_last_ten_seconds(void **state)
{
	struct rates rates = { 0 };
	uint64_t totals[RATES] = { 0 };
	double a_second[RATES];

	(void)state;
	rates_sample(&rates, 1000, totals, a_second);
	assert_true(a_second[RATE_ROWS] == 0);
	totals[RATE_ROWS] = 500;
	rates_sample(&rates, 2000, totals, a_second);
	assert_true(a_second[RATE_ROWS] == 500);
	for (int i = 3; i <= 40; i++)
		rates_sample(&rates, i * 1000, totals, a_second);
	assert_true(a_second[RATE_ROWS] == 0);
}

/* ---- metrics ---- */

static void
every_series_is_there_before_anything_happened(void **state)
{
	(void)state;
	const char *text = print(metrics_print);
	has_line(text, "sluice_rows_total 0");
	has_line(text, "sluice_dead_letters_total{reason=\"duplicate\"} 0");
	has_line(text, "sluice_events_passed_total{kind=\"tombstone\"} 0");
	has_line(text, "sluice_lane_lag_entries{lane=\"default/redis/lane:3\"} 0");
	has_line(text, "sluice_lane_state{lane=\"default/redis/lane:0\",state=\"halted\"} 0");
	has_line(text, "sluice_alarms{alarm=\"gap\"} 0");
	has_line(text, "sluice_alarms{alarm=\"cache_lost\"} 0");
	has_line(text, "sluice_alarms{alarm=\"partitions\"} 0");
	has_line(text, "sluice_table_folded_total{table=\"users\"} 0");
	has_line(text, "sluice_dependency_up{dependency=\"cache\"} 1");
	has_line(text, "sluice_batch_seconds_bucket{le=\"+Inf\"} 0");
}

static void
every_metric_has_one_help_and_one_type(void **state)
{
	(void)state;
	const char *text = print(metrics_print);
	size_t types = count(text, "# TYPE "), helps = count(text, "# HELP ");
	assert_int_equal(types, helps);
	for (const char *at = text; (at = strstr(at, "# TYPE ")) != NULL; at++) {
		char head[128];
		snprintf(head, sizeof(head), "%.*s ", (int)strcspn(at + 7, " ") + 7, at);
		assert_int_equal(count(text, head), 1);
	}
}

static void
counters_are_summed_over_workers(void **state)
{
	(void)state;
	COUNT(process.workers[0].counters.rows, 3);
	COUNT(process.workers[1].counters.rows, 4);
	COUNT(process.workers[1].counters.tables[0].folded, 2);
	histogram_add(&process.workers[0].counters.batch_rows, 7);
	histogram_add(&process.workers[1].counters.batch_rows, 1);
	const char *text = print(metrics_print);
	has_line(text, "sluice_rows_total 7");
	has_line(text, "sluice_table_folded_total{table=\"users\"} 2");
	has_line(text, "sluice_batch_rows_bucket{le=\"1\"} 1");
	has_line(text, "sluice_batch_rows_bucket{le=\"10\"} 2");
	has_line(text, "sluice_batch_rows_sum 8");
	has_line(text, "sluice_batch_rows_count 2");
}

static void
above_two_hundred_lanes_a_series_is_a_source(void **state)
{
	(void)state;
	tear_down(NULL);
	start_process(LANES_MAX);
	process.lanes[0].lag = 5;
	process.lanes[2].lag = 6;
	process.lanes[4].oldest_pending_ms = NOW_MS - 1500;
	const char *text = print(metrics_print);
	has_line(text, "sluice_lane_lag_entries{lane=\"default/redis/wb:users:{0..9}\"} 11");
	has_line(text,
	    "sluice_lane_oldest_pending_seconds{lane=\"default/redis/wb:users:{0..9}\"} 1.500");
	has_line(text,
	    "sluice_lane_state{lane=\"default/redis/wb:users:{0..9}\",state=\"open\"} 150");
	assert_int_equal(count(text, "sluice_lane_lag_entries{"), 2);
	assert_non_null(strstr(text, "wb:\\\"odd\\\\name\\n\""));
}

static void
a_label_is_escaped_and_always_utf8(void **state)
{
	struct buf out = { 0 };

	(void)state;
	series_add_label(&out, "a\"b\\c\nd\x01\xff");
	/* two names stay two labels */
	assert_string_equal(out.data, "a\\\"b\\\\c\\nd\x01\xef\xbf\xbd");
	buf_reset(&out);
	series_add_label(&out, "z\xc3\xbcrich");
	assert_string_equal(out.data, "z\xc3\xbcrich");
	buf_deinit(&out);
}

static void
a_why_and_an_alarm_are_counted_by_their_words(void **state)
{
	(void)state;
	process.lanes[1].shown_state = LANE_HALTED;
	process.lanes[1].why = LANE_WHY_ENTRY_TOO_LARGE;
	process.lanes[2].alarm = LANE_WHY_GAP;
	const char *text = print(metrics_print);
	has_line(text, "sluice_lanes_waiting{why=\"entry_too_large\"} 1");
	has_line(text, "sluice_alarms{alarm=\"gap\"} 1");
	has_line(text, "sluice_lane_alarms{lane=\"default/redis/lane:2\"} 1");
	for (size_t i = 0; lane_whys[i] != NULL; i++) {
		char line[80];

		process.lanes[1].why = process.lanes[2].alarm = lane_whys[i];
		text = print(metrics_print);
		snprintf(line, sizeof(line), "sluice_lanes_waiting{why=\"%s\"} 1", lane_whys[i]);
		has_line(text, line);
		snprintf(line, sizeof(line), "sluice_alarms{alarm=\"%s\"} 1", lane_whys[i]);
		has_line(text, line);
	}
	assert_string_equal(lane_why_of("partitions"), LANE_WHY_PARTITIONS);
	assert_string_equal(lane_why_of("cache_lost"), LANE_WHY_CACHE_LOST);
}

/* ---- health ---- */

static void
a_quiet_process_is_live_ready_and_healthy(void **state)
{
	(void)state;
	assert_true(ask(health_live));
	assert_true(ask(health_ready));
	assert_true(ask(health_healthy));
	assert_string_equal(process.out.data, "[]");
}

static void
a_standby_is_healthy_and_says_that_it_stands_by(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		process.lanes[i].shown_state = LANE_FREE;
	process.workers[0].counters.standby = 1;
	process.workers[0].counters.pool_members = 7;
	process.workers[1].counters.pool_members = 6;
	has_line(print(metrics_print), "sluice_standby 0");
	process.workers[1].counters.standby = 1;
	assert_true(ask(health_healthy));
	has_line(print(metrics_print), "sluice_standby 1");
	has_line(print(metrics_print), "sluice_pool_members 7");
	assert_non_null(strstr(print(status_print), "\"standby\":true"));
}

static void
a_worker_without_a_beat_for_a_minute_is_not_live(void **state)
{
	(void)state;
	process.workers[1].counters.beat_ms = NOW_MS - BEAT_AGE_MAX_MS;
	assert_true(ask(health_live));
	process.workers[1].counters.beat_ms = NOW_MS - BEAT_AGE_MAX_MS - 1;
	assert_false(ask(health_live));
	assert_non_null(strstr(process.out.data, "worker 1 has not turned for 60 s"));
}

static void
mysql_away_is_unhealthy_but_ready_unless_required(void **state)
{
	(void)state;
	breaker_failed(&process.workers[1].counters.mysql, "connection \"refused\"");
	assert_false(ask(health_healthy));
	assert_string_equal(process.out.data, "[\"mysql is away: connection \\\"refused\\\"\"]");
	assert_true(ask(health_live));
	assert_true(ask(health_ready));
	process.config.ready_requires_mysql = true;
	assert_false(ask(health_ready));
}

static void
what_is_required_must_have_answered_once(void **state)
{
	(void)state;
	process.config.ready_requires_redis = true;
	assert_false(ask(health_ready));
	breaker_worked(&process.workers[0].counters.redis);
	assert_false(ask(health_ready));
	breaker_worked(&process.workers[1].counters.redis);
	assert_true(ask(health_ready));
}

static void
a_stopping_process_is_not_ready_but_live(void **state)
{
	(void)state;
	process.stop = 1;
	assert_false(ask(health_ready));
	assert_true(ask(health_live));
}

static void
a_halted_lane_and_an_alarm_are_unhealthy(void **state)
{
	(void)state;
	process.lanes[0].shown_state = LANE_HALTED;
	process.lanes[0].why = LANE_WHY_POISON_RATE;
	process.lanes[1].alarm = LANE_WHY_GAP;
	assert_false(ask(health_healthy));
	assert_string_equal(process.out.data,
	    "[\"lane default/redis/lane:0 is halted: poison_rate\","
	    "\"lane default/redis/lane:1 has an alarm: gap\"]");
}

static void
a_row_lock_is_an_ordinary_moment_until_the_lane_is_behind(void **state)
{
	(void)state;
	process.lanes[0].shown_state = LANE_HELD;
	process.lanes[0].why = LANE_WHY_ROW_LOCK;
	assert_true(ask(health_healthy));
	process.lanes[0].oldest_pending_ms = NOW_MS - 61000;
	assert_false(ask(health_healthy));
	process.lanes[0].shown_state = LANE_FREE;
	process.lanes[0].why = NULL;
	assert_true(ask(health_healthy));
}

static void
a_lane_that_may_not_be_taken_is_unhealthy(void **state)
{
	(void)state;
	process.lanes[1].shown_state = LANE_FREE;
	process.lanes[1].why = LANE_WHY_LANES_CHANGED;
	assert_false(ask(health_healthy));
	assert_string_equal(process.out.data,
	    "[\"lane default/redis/lane:1 is not taken: lanes_changed\"]");
}

static void
a_thousand_reasons_are_cut_and_counted(void **state)
{
	(void)state;
	tear_down(NULL);
	start_process(LANES_MAX);
	for (int i = 0; i < LANES_MAX; i++)
		process.lanes[i].shown_state = LANE_HALTED;
	assert_false(ask(health_healthy));
	assert_non_null(strstr(process.out.data, "and 250 more about lanes"));
	assert_int_equal(count(process.out.data, "is halted"), 50);
}

/* ---- status ---- */

static void
the_status_is_json_whatever_the_names_are(void **state)
{
	(void)state;
	process.lanes[0].shown_position_ms = 17;
	process.lanes[0].shown_position_minor = 3;
	strcpy(process.lanes[1].name, "default/redis/\"<b>\xff\n");
	breaker_failed(&process.workers[0].counters.redis, "gone \x80 away");
	print(status_print);
	yyjson_doc *document = yyjson_read(process.out.data, process.out.len, 0);
	assert_non_null(document);
	yyjson_val *root = yyjson_doc_get_root(document);
	yyjson_val *lane = yyjson_arr_get(yyjson_obj_get(root, "lanes"), 0);
	assert_string_equal(yyjson_get_str(yyjson_obj_get(lane, "position")), "17-3");
	assert_true(yyjson_is_null(yyjson_obj_get(lane, "why")));
	yyjson_val *redis = yyjson_obj_get(yyjson_obj_get(root, "breakers"), "redis");
	assert_string_equal(yyjson_get_str(yyjson_obj_get(redis, "state")), "open");
	assert_false(yyjson_get_bool(yyjson_obj_get(root, "healthy")));
	assert_int_equal(yyjson_arr_size(yyjson_obj_get(root, "workers")), 2);
	yyjson_doc_free(document);
}

static void
the_page_escapes_every_name(void **state)
{
	(void)state;
	strcpy(process.lanes[1].name, "<script>'\"&");
	const char *text = print(page_print);
	assert_null(strstr(text, "<script>"));
	assert_non_null(strstr(text, "&lt;script&gt;&#39;&quot;&amp;"));
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_histogram_puts_a_value_on_a_bound_below_it),
		cmocka_unit_test(histogram_bounds_rise),
		cmocka_unit_test(
		    every_dead_reason_has_a_place_of_its_own_and_an_unknown_one_is_refused),
		cmocka_unit_test(every_kind_of_event_passed_over_has_a_place_of_its_own),
		cmocka_unit_test(a_rate_is_of_the_last_ten_seconds),
		CASE(every_series_is_there_before_anything_happened),
		CASE(every_metric_has_one_help_and_one_type),
		CASE(counters_are_summed_over_workers),
		CASE(above_two_hundred_lanes_a_series_is_a_source),
		CASE(a_label_is_escaped_and_always_utf8),
		CASE(a_why_and_an_alarm_are_counted_by_their_words),
		CASE(a_quiet_process_is_live_ready_and_healthy),
		CASE(a_standby_is_healthy_and_says_that_it_stands_by),
		CASE(a_worker_without_a_beat_for_a_minute_is_not_live),
		CASE(mysql_away_is_unhealthy_but_ready_unless_required),
		CASE(what_is_required_must_have_answered_once),
		CASE(a_stopping_process_is_not_ready_but_live),
		CASE(a_halted_lane_and_an_alarm_are_unhealthy),
		CASE(a_row_lock_is_an_ordinary_moment_until_the_lane_is_behind),
		CASE(a_lane_that_may_not_be_taken_is_unhealthy),
		CASE(a_thousand_reasons_are_cut_and_counted),
		CASE(the_status_is_json_whatever_the_names_are),
		CASE(the_page_escapes_every_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
