/* str, err, clock, log */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/str.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static void
utf8_is_told_from_what_only_looks_like_it(void **state)
{
	const char *const bad[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
		"\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff",
		"eight ok\xc3" };
	size_t characters = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(str_is_utf8(str_of(bad[i]), &characters));
	assert_true(str_is_utf8(str_of("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), &characters));
	assert_int_equal(characters, 4);
	assert_true(str_is_utf8(str_of("twelve chars"), &characters));
	assert_int_equal(characters, 12);
	assert_true(str_is_utf8((struct str){ NULL, 0 }, NULL));
}

static void
the_distance_counts_edits_and_ignores_case(void **state)
{
	char text[200];

	(void)state;
	assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
	assert_int_equal(str_distance(STR("Workers"), STR("workers")), 0);
	assert_int_equal(str_distance(STR(""), STR("abc")), 3);
	memset(text, 'x', sizeof(text));
	assert_int_equal(str_distance((struct str){ text, sizeof(text) }, STR("")), 64);
}

static void
an_error_is_filled_and_prefixed(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, ERR_POISON, 1406, "too long: %d", 7), -1);
	assert_int_equal(err_prefix(&err, "table %s", "users"), -1);
	assert_string_equal(err.text, "table users: too long: 7");
	assert_int_equal(err.class, ERR_POISON);
	assert_int_equal(err.code, 1406);
	assert_int_equal(err_set(NULL, ERR_RETRY, 0, "nobody listens"), -1);
	err_clear(&err);
	assert_int_equal(err.class, ERR_NONE);
}

static void
a_long_error_is_cut_and_not_overrun(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, ERR_RETRY, 0, "%0600d", 1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	err_prefix(&err, "%0600d", 2);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void
the_fake_clock_answers_until_it_is_ended(void **state)
{
	int64_t real;

	(void)state;
	clock_fake(1500000);
	assert_int_equal(clock_ms(), 1500);
	assert_int_equal(clock_us(), 1500000);
	assert_int_equal(clock_wall_ms(), 1500);
	clock_fake(-1);
	real = clock_us();
	assert_true(clock_us() >= real && clock_wall_ms() > 1500000000000);
}

/* What the lines of `act` put on standard error, in *out. */
static void
capture(void (*act)(void), struct buf *out)
{
	int saved = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	char chunk[4096];
	size_t n;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	act();
	dup2(saved, STDERR_FILENO);
	close(saved);
	buf_init(out);
	rewind(file);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_add(out, chunk, n);
	fclose(file);
}

static void
one_of_each(void)
{
	log_event(LOG_WARN, "each", "worker", "%d", 2, "rows", "%zu", (size_t)500, "wait", "%lldms",
	    800ll, "share", "%.1f", 0.25, "error", "%s", "Deadlock \"found\"\n", "none", "%s", NULL,
	    NULL);
}

static void
a_line_is_logfmt_with_quotes_where_needed(void **state)
{
	struct buf out;

	(void)state;
	clock_fake(1767323045678000);
	log_init(LOG_INFO, LOG_LOGFMT);
	capture(one_of_each, &out);
	assert_string_equal(out.data,
	    "time=2026-01-02T03:04:05.678Z level=warn event=each worker=2 rows=500 wait=800ms "
	    "share=0.2 error=\"Deadlock \\\"found\\\"\\n\" none=\"\"\n");
	buf_deinit(&out);
	clock_fake(-1);
}

static void
a_line_is_json_with_numbers_as_numbers(void **state)
{
	struct buf out;

	(void)state;
	clock_fake(1767323045678000);
	log_init(LOG_INFO, LOG_JSON);
	capture(one_of_each, &out);
	assert_string_equal(out.data,
	    "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"warn\",\"event\":\"each\","
	    "\"worker\":2,\"rows\":500,\"wait\":\"800ms\",\"share\":0.2,"
	    "\"error\":\"Deadlock \\\"found\\\"\\n\",\"none\":\"\"}\n");
	buf_deinit(&out);
	clock_fake(-1);
}

static void
below_the_level(void)
{
	log_event(LOG_DEBUG, "hidden", NULL);
	log_event(LOG_INFO, "shown", NULL);
}

static void
lines_below_the_level_are_not_written(void **state)
{
	struct buf out;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	capture(below_the_level, &out);
	assert_null(strstr(out.data, "hidden"));
	assert_non_null(strstr(out.data, "event=shown\n"));
	buf_deinit(&out);
}

static void
a_flood(void)
{
	for (int i = 0; i < 1000; i++)
		log_event(LOG_INFO, "flood", "lane", "%s", "a", NULL);
	log_event(LOG_INFO, "flood", "lane", "%s", "b", NULL);
	clock_fake(clock_us() + 10000000);
	log_event(LOG_INFO, "flood", "lane", "%s", "a", NULL);
}

static void
repeats_are_counted_and_the_next_line_says_so(void **state)
{
	unsigned long long before = log_suppressed();
	struct buf out;
	size_t lines = 0;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	clock_fake(5000000000);
	capture(a_flood, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, 10 + 1 + 1);
	assert_non_null(strstr(out.data, "lane=b\n"));
	assert_non_null(strstr(out.data, "lane=a suppressed=\"990 (log lines, not events)\"\n"));
	assert_int_equal(log_suppressed() - before, 990);
	buf_deinit(&out);
	clock_fake(-1);
}

static void
a_flood_and_the_end(void)
{
	for (int i = 0; i < 30; i++)
		log_event(LOG_INFO, "last_flood", "lane", "%s", "a", NULL);
	log_flush_quiet();
	log_flush();
	log_flush();
}

static void
what_was_suppressed_last_is_told_once_at_the_end(void **state)
{
	struct buf out;
	const char *told;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	clock_fake(6000000000);
	capture(a_flood_and_the_end, &out);
	clock_fake(-1);
	told = strstr(out.data,
	    "level=warn event=log_lines_suppressed of=\"last_flood lane=a\" "
	    "suppressed=\"20 (log lines, not events)\"\n");
	assert_non_null(told);
	assert_null(strstr(strchr(told, '\n'), "last_flood"));
	buf_deinit(&out);
}

static void
a_flood_that_ended(void)
{
	for (int i = 0; i < 30; i++)
		log_event(LOG_INFO, "ended_flood", "lane", "%s", "a", NULL);
	clock_fake(clock_us() + 10000000);
	log_flush_quiet();
}

static void
an_event_that_went_quiet_is_told_of_without_its_next_line(void **state)
{
	struct buf out;

	(void)state;
	log_init(LOG_INFO, LOG_JSON);
	clock_fake(7000000000);
	capture(a_flood_that_ended, &out);
	clock_fake(-1);
	assert_non_null(strstr(out.data, "\"of\":\"ended_flood lane=a\",\"suppressed\":\"20 "));
	buf_deinit(&out);
}

static void
many_floods(void)
{
	static char lane[5000][8];

	for (int i = 0; i < 5000; i++) {
		snprintf(lane[i], sizeof(lane[i]), "%d", i);
		log_event(LOG_INFO, "many", "lane", "%s", lane[i], NULL);
	}
}

static void
more_different_events_than_are_counted_apart_share_a_bound(void **state)
{
	struct buf out;
	size_t lines = 0;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	clock_fake(9000000000);
	capture(many_floods, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	assert_true(lines <= 256 * 10);
	buf_deinit(&out);
	clock_fake(-1);
}

static void
long_values(void)
{
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_event(LOG_INFO, "long", "error", "%s", text, NULL);
}

static void
what_nobody_reads_is_lost_counted_and_waited_for_by_nobody(void **state)
{
	char drain[1 << 16], *text;
	int saved = dup(STDERR_FILENO), ends[2];
	size_t room = 0;
	ssize_t n;

	(void)state;
	clock_fake(-1);
	log_init(LOG_INFO, LOG_LOGFMT);
	assert_int_equal(pipe(ends), 0);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	memset(drain, '-', sizeof(drain));
	while ((n = write(ends[1], drain, sizeof(drain))) > 0)
		room += (size_t)n;
	fcntl(ends[1], F_SETFL, 0);
	dup2(ends[1], STDERR_FILENO);
	for (int i = 0; i < 5; i++) /* would hang */
		log_event(LOG_WARN, "unread", "number", "%d", i, NULL);
	for (; room > 0; room -= (size_t)n)
		assert_true((n = read(ends[0], drain,
				 room < sizeof(drain) ? room : sizeof(drain))) > 0);
	log_event(LOG_WARN, "unread", "number", "%d", 5, NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	n = read(ends[0], drain, sizeof(drain) - 1);
	close(ends[0]);
	assert_true(n > 0);
	drain[n] = '\0';
	text = strstr(drain, "event=log_lines_lost lines=5 ");
	assert_non_null(text);
	assert_non_null(strstr(text, "event=unread number=5\n"));
	assert_null(strstr(drain, "number=4"));
}

/* A terminal in which there is some room, but not for a line; its other end in *master. */
static int
terminal_nearly_full(int *master)
{
	char byte = '-', some[64], name[64];
	struct termios raw;
	struct pollfd fd = { .events = POLLOUT };
	int own;

	*master = posix_openpt(O_RDWR | O_NOCTTY);
	if (*master < 0 || grantpt(*master) != 0 || unlockpt(*master) != 0 ||
	    ptsname_r(*master, name, sizeof(name)) != 0 ||
	    (fd.fd = open(name, O_RDWR | O_NOCTTY)) < 0)
		skip();
	own = open(name, O_WRONLY | O_NONBLOCK | O_NOCTTY);
	assert_true(own >= 0 && tcgetattr(fd.fd, &raw) == 0);
	cfmakeraw(&raw);
	tcsetattr(fd.fd, TCSANOW, &raw);
	while (poll(&fd, 1, 50) > 0) /* its two ends move bytes on in their own time */
		while (write(own, &byte, 1) == 1)
			;
	while (poll(&fd, 1, 10) == 0)
		assert_true(read(*master, some, sizeof(some)) > 0);
	close(own);
	return fd.fd;
}

static void
long_line(int number)
{
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_event(LOG_WARN, "unread", "key", "%d", number, "a", "%s", text, "b", "%s", text, "c",
	    "%s", text, "d", "%s", text, "e", "%s", text, "f", "%s", text, NULL);
}

static void
a_terminal_with_room_for_less_than_a_line_is_waited_for_by_nobody(void **state)
{
	static char seen[1 << 20];
	int master, terminal = terminal_nearly_full(&master), saved = dup(STDERR_FILENO);
	size_t len = 0;
	ssize_t n;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	dup2(terminal, STDERR_FILENO);
	log_never_wait();
	alarm(60);
	for (int i = 0; i < 20; i++) /* would hang */
		long_line(i);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	fcntl(master, F_SETFL, O_NONBLOCK);
	for (int i = 20; i < 200 && strstr(seen, "event=log_lines_lost") == NULL; i++) {
		poll(&(struct pollfd){ .fd = master, .events = POLLIN }, 1, 100);
		while (len < sizeof(seen) - 1 &&
		    (n = read(master, seen + len, sizeof(seen) - 1 - len)) > 0)
			len += (size_t)n;
		log_event(LOG_WARN, "read", "key", "%d", i, NULL);
	}
	alarm(0);
	dup2(saved, STDERR_FILENO);
	log_init(LOG_INFO, LOG_LOGFMT);
	close(saved);
	close(terminal);
	close(master);
	assert_non_null(strstr(seen, "\ntime="));
	assert_non_null(strstr(seen, "event=log_lines_lost"));
	assert_null(strstr(seen, "event=unread key=19 "));
}

static void
a_long_value_is_cut(void **state)
{
	struct buf out;

	(void)state;
	log_init(LOG_INFO, LOG_LOGFMT);
	capture(log_flush, &out); /* of what other tests have left */
	buf_deinit(&out);
	clock_fake(20000000000);
	capture(long_values, &out);
	clock_fake(-1);
	assert_true(out.len < 1200);
	assert_non_null(strstr(out.data, "xxx\xe2\x80\xa6\"\n"));
	buf_deinit(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_is_told_from_what_only_looks_like_it),
		cmocka_unit_test(the_distance_counts_edits_and_ignores_case),
		cmocka_unit_test(an_error_is_filled_and_prefixed),
		cmocka_unit_test(a_long_error_is_cut_and_not_overrun),
		cmocka_unit_test(the_fake_clock_answers_until_it_is_ended),
		cmocka_unit_test(a_line_is_logfmt_with_quotes_where_needed),
		cmocka_unit_test(a_line_is_json_with_numbers_as_numbers),
		cmocka_unit_test(lines_below_the_level_are_not_written),
		cmocka_unit_test(what_nobody_reads_is_lost_counted_and_waited_for_by_nobody),
		cmocka_unit_test(a_terminal_with_room_for_less_than_a_line_is_waited_for_by_nobody),
		cmocka_unit_test(repeats_are_counted_and_the_next_line_says_so),
		cmocka_unit_test(what_was_suppressed_last_is_told_once_at_the_end),
		cmocka_unit_test(an_event_that_went_quiet_is_told_of_without_its_next_line),
		cmocka_unit_test(more_different_events_than_are_counted_apart_share_a_bound),
		cmocka_unit_test(a_long_value_is_cut),
	};

	return cmocka_run_group_tests_name("common text", tests, NULL, NULL);
}
