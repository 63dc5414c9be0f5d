#include "worker/operate/backlog.h"
#include "worker/operate/command.h"
#include "worker/operate/http_client.h"
#include "worker/operate/text_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Words as argv, understood by that command; NULL when it is understood, else the sentence. */
static const char *
parse(const char *command, struct command_line *line, const char *const *words)
{
	static struct buf problem;
	static char copies[8][64];
	char *argv[8];
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		strcpy(copies[argc], words[argc]);
		argv[argc] = copies[argc];
	}
	buf_reset(&problem);
	assert_non_null(command_find(command));
	if (command_parse(command_find(command), argc, argv, line, &problem))
		return NULL;
	return problem.data;
}
#define WORDS(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}
#define NO_WORDS              \
	(const char *const[]) \
	{                     \
		NULL          \
	}

static void
words_and_options_may_stand_in_any_order(void **state)
{
	struct command_line line;

	(void)state;
	assert_null(parse("check", &line, WORDS("--connect", "a.yaml")));
	assert_string_equal(line.words[0], "a.yaml");
	assert_non_null(line.options[0]);
	assert_null(parse("check", &line, WORDS("a.yaml", "--connect")));
	assert_non_null(line.options[0]);
	assert_null(parse("check", &line, WORDS("a.yaml")));
	assert_null(line.options[0]);
}

static void
an_options_value_follows_it_or_an_equals_sign(void **state)
{
	struct command_line line;

	(void)state;
	assert_null(parse("status", &line, WORDS("--probe", "live")));
	assert_string_equal(line.options[0], "live");
	assert_null(parse("status", &line, WORDS("--probe=ready", "a.yaml")));
	assert_string_equal(line.options[0], "ready");
	assert_string_equal(line.words[0], "a.yaml");
}

static void
an_option_without_its_value_is_refused(void **state)
{
	struct command_line line;

	(void)state;
	assert_string_equal(parse("status", &line, WORDS("--probe")),
	    "--probe wants a value: live|ready");
	assert_string_equal(parse("check", &line, WORDS("a.yaml", "--connect=yes")),
	    "--connect takes no value");
	assert_string_equal(parse("status", &line, WORDS("--probe=live", "--probe=live")),
	    "--probe is given twice");
}

static void
an_unknown_option_is_refused_with_the_nearest(void **state)
{
	struct command_line line;

	(void)state;
	assert_string_equal(parse("check", &line, WORDS("a.yaml", "--conect")),
	    "`check` has no option --conect; did you mean --connect?");
	assert_string_equal(parse("run", &line, WORDS("a.yaml", "--force")),
	    "`run` has no option --force");
}

static void
too_few_and_too_many_words_are_refused(void **state)
{
	struct command_line line;

	(void)state;
	assert_string_equal(parse("run", &line, NO_WORDS), "`run` wants a FILE");
	assert_string_equal(parse("run", &line, WORDS("a", "b")), "`run` doesn't take b");
	assert_string_equal(parse("lane", &line, WORDS("list")), "`lane` wants more words");
	assert_string_equal(parse("version", &line, WORDS("now")), "`version` doesn't take now");
}

static void
two_dashes_end_the_options(void **state)
{
	struct command_line line;

	(void)state;
	assert_null(parse("run", &line, WORDS("--", "--odd-name.yaml")));
	assert_string_equal(line.words[0], "--odd-name.yaml");
}

static void
help_is_given_without_the_words_a_command_wants(void **state)
{
	struct command_line line;

	(void)state;
	assert_null(parse("lane", &line, WORDS("--help")));
	assert_true(line.help);
}

static void
an_unknown_command_has_a_nearest_one_only_when_it_is_near(void **state)
{
	(void)state;
	assert_null(command_find("chekc"));
	assert_string_equal(command_nearest("chekc")->name, "check");
	assert_string_equal(command_nearest("lanes")->name, "lane");
	assert_null(command_nearest("frobnicate"));
	assert_null(command_nearest("x"));
}

static void
usage_mistakes_exit_with_2(void **state)
{
	char program[] = "sluice", nonsense[] = "frobnicate", run[] = "run", lane[] = "lane",
	     ack[] = "ack", file[] = "a.yaml";

	(void)state;
	assert_int_equal(command_main(1, (char *[]){ program, NULL }), EXIT_CODE_USAGE);
	assert_int_equal(command_main(2, (char *[]){ program, nonsense, NULL }), EXIT_CODE_USAGE);
	assert_int_equal(command_main(2, (char *[]){ program, run, NULL }), EXIT_CODE_USAGE);
	assert_int_equal(command_main(4, (char *[]){ program, lane, ack, file, NULL }),
	    EXIT_CODE_USAGE);
}

static void
a_configuration_that_is_not_there_exits_with_78(void **state)
{
	char program[] = "sluice", run[] = "run", check[] = "check",
	     file[] = "/nonexistent/sluice.yaml";

	(void)state;
	assert_int_equal(command_main(3, (char *[]){ program, run, file, NULL }), EXIT_CODE_CONFIG);
	assert_int_equal(command_main(3, (char *[]){ program, check, file, NULL }),
	    EXIT_CODE_CONFIG);
}

/* In a process of its own, with those standard files closed: 1 where all three numbers are taken and
 * none of them can be used. */
static int
held_without(unsigned closed)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		for (int fd = 0; fd < 3; fd++)
			if ((closed & 1u << fd) != 0)
				close(fd);
		command_hold_standard_files();
		int next = dup(0);
		char byte;
		bool useless = true;
		for (int fd = 0; fd < 3; fd++)
			if ((closed & 1u << fd) != 0)
				useless &= (fd == 0 ? read(fd, &byte, 1) : write(fd, "x", 1)) < 0;
		_exit(next > 2 && useless);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
no_connection_gets_the_number_of_a_closed_standard_file(void **state)
{
	(void)state;
	for (unsigned closed = 1; closed < 8; closed++)
		assert_int_equal(held_without(closed), 1);
}

static void
what_cannot_be_printed_is_no_success(void **state)
{
	char program[] = "sluice", version[] = "version";
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		if (freopen("/dev/full", "w", stdout) == NULL ||
		    freopen("/dev/null", "w", stderr) == NULL)
			_exit(99);
		_exit(command_main(2, (char *[]){ program, version, NULL }));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), EXIT_CODE_RUNTIME);
}

static void
an_address_is_a_url_or_host_and_port(void **state)
{
	struct http_address address;

	(void)state;
	assert_true(http_address_parse("http://127.0.0.1:9180/status", &address));
	assert_string_equal(address.host, "127.0.0.1");
	assert_int_equal(address.port, 9180);
	assert_true(http_address_parse("[::1]:80", &address));
	assert_string_equal(address.host, "::1");
	assert_int_equal(address.port, 80);
	assert_true(http_address_parse("box:1", &address));
}

static void
what_is_no_address_is_refused(void **state)
{
	struct http_address address;

	(void)state;
	assert_false(http_address_parse("", &address));
	assert_false(http_address_parse("box", &address));
	assert_false(http_address_parse("box:", &address));
	assert_false(http_address_parse("box:0", &address));
	assert_false(http_address_parse("box:65536", &address));
	assert_false(http_address_parse("box:80x", &address));
	assert_false(http_address_parse(":80", &address));
	assert_false(http_address_parse("[::1", &address));
	assert_false(http_address_parse("[::1]80", &address));
	assert_false(http_address_parse("https://box:443", &address));
}

static void
any_address_is_reached_over_loopback(void **state)
{
	struct config config = { .http_host = "::", .http_port = 9180 };
	struct http_address address;

	(void)state;
	assert_true(http_address_of(&config, &address));
	assert_string_equal(address.host, "127.0.0.1"); /* a container may have no ::1 */
	config.http_port = 0;
	assert_false(http_address_of(&config, &address));
	config = (struct config){ .http_host = NULL, .http_port = 9180 };
	assert_false(http_address_of(&config, &address));
}

static void
a_table_has_numbers_right_and_leaves_empty_columns_out(void **state)
{
	static const char *const heads[] = { "lane", "why", "lag", NULL };
	struct text_table table;
	struct buf out = { 0 };

	(void)state;
	text_table_init(&table, heads);
	text_table_add(&table, WORDS("pool/redis/a", "", "7"));
	text_table_add(&table, (const char *const[]){ "b\x1b[2J", NULL, "1000" });
	text_table_print(&table, &out);
	assert_string_equal(out.data,
	    "lane           lag\npool/redis/a     7\nb?[2J         1000\n");
	text_table_deinit(&table);
	buf_deinit(&out);
}

static struct redis_reply
text_reply(const char *text)
{
	return (struct redis_reply){ .type = REDIS_STRING, .text = str_of(text) };
}

static void
the_lag_is_of_the_group_of_our_name(void **state)
{
	struct redis_reply name = text_reply("name"), other = text_reply("other"),
			   ours = text_reply("sluice-a");
	struct redis_reply lag = text_reply("lag"), nine = { .type = REDIS_INTEGER, .integer = 9 };
	struct redis_reply five = { .type = REDIS_INTEGER, .integer = 5 },
			   nil = { .type = REDIS_NIL };
	struct redis_reply *first[] = { &name, &other, &lag, &nine },
			   *second[] = { &name, &ours, &lag, &five };
	struct redis_reply one = { .type = REDIS_ARRAY, .count = 4, .element = first };
	struct redis_reply two = { .type = REDIS_ARRAY, .count = 4, .element = second };
	struct redis_reply *both[] = { &one, &two };
	struct redis_reply groups = { .type = REDIS_ARRAY, .count = 2, .element = both };
	uint64_t found = 0;

	(void)state;
	assert_true(backlog_group_lag(&groups, "sluice-a", &found));
	assert_int_equal(found, 5);
	assert_false(backlog_group_lag(&groups, "sluice-b", &found));
	second[3] = &nil;
	assert_false(backlog_group_lag(&groups, "sluice-a", &found));
	assert_false(backlog_group_lag(&nil, "sluice-a", &found));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_options_may_stand_in_any_order),
		cmocka_unit_test(an_options_value_follows_it_or_an_equals_sign),
		cmocka_unit_test(an_option_without_its_value_is_refused),
		cmocka_unit_test(an_unknown_option_is_refused_with_the_nearest),
		cmocka_unit_test(too_few_and_too_many_words_are_refused),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(help_is_given_without_the_words_a_command_wants),
		cmocka_unit_test(an_unknown_command_has_a_nearest_one_only_when_it_is_near),
		cmocka_unit_test(usage_mistakes_exit_with_2),
		cmocka_unit_test(a_configuration_that_is_not_there_exits_with_78),
		cmocka_unit_test(no_connection_gets_the_number_of_a_closed_standard_file),
		cmocka_unit_test(what_cannot_be_printed_is_no_success),
		cmocka_unit_test(an_address_is_a_url_or_host_and_port),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(any_address_is_reached_over_loopback),
		cmocka_unit_test(a_table_has_numbers_right_and_leaves_empty_columns_out),
		cmocka_unit_test(the_lag_is_of_the_group_of_our_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
