#include "common/buf.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What comes from outside, and what must not get out. */
#define REST                                    \
	"sources: [{ streams: s, table: t }]\n" \
	"tables: { t: {} }\n"

struct loaded {
	struct config config;
	struct config_problems problems;
	struct buf password;
};

static void
load(struct loaded *l, const char *servers)
{
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "%s" REST, servers);
	config_parse(&l->config, "f", (struct str){ text.data, text.len }, &l->problems);
	buf_deinit(&text);
	buf_init(&l->password);
}

static void
load_good(struct loaded *l, const char *servers)
{
	load(l, servers);
	for (size_t i = 0; i < l->problems.count; i++)
		print_error("%s\n", l->problems.list[i].text);
	assert_int_equal(l->problems.count, 0);
}

static void
unload(struct loaded *l)
{
	buf_deinit(&l->password);
	config_problems_deinit(&l->problems);
	config_deinit(&l->config);
}

/* The only problem of these servers is this one. */
static void
expect_problem(const char *servers, const char *problem)
{
	struct loaded l;

	load(&l, servers);
	assert_int_equal(l.problems.count, 1);
	assert_string_equal(l.problems.list[0].text, problem);
	unload(&l);
}

static void
a_value_from_outside_can_not_add_keys(void **state)
{
	struct loaded l;

	(void)state;
	setenv("SLUICE_TEST_EVIL", "x\nworkers: 9\nkey: \"}]: &a *b", 1);
	load_good(&l,
	    "redis: {}\n"
	    "mysql: { user: \"${SLUICE_TEST_EVIL}\", database: \"${SLUICE_TEST_EVIL}\" }\n");
	assert_int_equal(l.config.workers, 1);
	assert_string_equal(l.config.mysql.user, getenv("SLUICE_TEST_EVIL"));
	unload(&l);
}

static void
a_value_is_not_expanded_again(void **state)
{
	struct loaded l;

	(void)state;
	setenv("SLUICE_TEST_AGAIN", "${HOME}$$%41", 1);
	load_good(&l,
	    "redis: { password: \"${SLUICE_TEST_AGAIN}\" }\n"
	    "mysql: { url: \"mysql://u:${SLUICE_TEST_AGAIN}@h/d\" }\n");
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "${HOME}$$%41");
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password), "${HOME}$$%41");
	unload(&l);
}

static void
a_password_in_a_url_stays_a_password(void **state)
{
	struct loaded l;

	(void)state;
	setenv("SLUICE_TEST_PW", "x@evil:1/other?socket=/tmp/s#", 1);
	load_good(&l,
	    "redis: { url: \"redis://:${SLUICE_TEST_PW}@good:7/2\" }\n"
	    "mysql: { url: \"mysql://u:a%40${SLUICE_TEST_PW}%24b$$@good/d\" }\n");
	assert_string_equal(l.config.redis.host, "good");
	assert_int_equal(l.config.redis.port, 7);
	assert_int_equal(l.config.redis.db, 2);
	assert_null(l.config.redis.user);
	assert_string_equal(l.config.mysql.host, "good");
	assert_string_equal(l.config.mysql.database, "d");
	assert_null(l.config.mysql.socket);
	assert_string_equal(config_secret(&l.config.redis.password, &l.password),
	    "x@evil:1/other?socket=/tmp/s#");
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password),
	    "a@x@evil:1/other?socket=/tmp/s#$b$");
	unload(&l);
}

static void
a_host_from_outside_can_only_be_a_host(void **state)
{
	(void)state;
	setenv("SLUICE_TEST_HOST", "h:1/x", 1);
	expect_problem("redis: { url: \"redis://${SLUICE_TEST_HOST}\" }\n"
		       "mysql: { user: a, database: b }\n",
	    "f:1:15: redis.url: the host is neither a name nor an address; ${HOST} and ${PORT} are "
	    "parts of their own");
	expect_problem("redis: { host: \"h:6379\" }\nmysql: { user: a, database: b }\n",
	    "f:1:16: redis.host: found \"h:6379\", meant a host name or an address (the port is an "
	    "option of its own)");
}

static void
a_default_may_hold_what_separates_parts(void **state)
{
	struct loaded l;

	(void)state;
	unsetenv("SLUICE_TEST_NO");
	setenv("SLUICE_TEST_EMPTY", "", 1);
	load_good(&l,
	    "redis: { password: \"${SLUICE_TEST_EMPTY:-d}${SLUICE_TEST_EMPTY}\" }\n"
	    "mysql: { url: \"mysql://u:${SLUICE_TEST_NO:-a@b/c?d}@h/d\" }\n");
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "d");
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password), "a@b/c?d");
	assert_string_equal(l.config.mysql.host, "h");
	unload(&l);
}

static void
a_whole_url_may_come_from_outside(void **state)
{
	struct loaded l;

	(void)state;
	setenv("SLUICE_TEST_URL", "mysql://u:a%40$x${HOME}@h:1/d?socket=/run/m%20y.sock", 1);
	load_good(&l,
	    "redis: { url: \"unix:///run/r.sock?db=4\" }\n"
	    "mysql: { url: \"${SLUICE_TEST_URL}\" }\n");
	assert_string_equal(l.config.redis.socket, "/run/r.sock");
	assert_int_equal(l.config.redis.db, 4);
	assert_string_equal(l.config.mysql.socket, "/run/m y.sock");
	assert_int_equal(l.config.mysql.port, 1);
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password), "a@$x${HOME}");
	unload(&l);
}

static void
write_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (int)strlen(content));
	close(fd);
}

static void
a_changed_secret_file_is_seen(void **state)
{
	char path[] = "/tmp/sluice-test-XXXXXX", servers[200];
	struct loaded l;

	(void)state;
	close(mkstemp(path));
	write_file(path, "one\n");
	snprintf(servers, sizeof(servers),
	    "redis: { password: \"${file:%s}\" }\nmysql: { url: \"mysql://u:<${file:%s}>@h/d\" }\n",
	    path, path);
	load_good(&l, servers);
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "one");
	write_file(path, "two\r\n");
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "two");
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password), "<two>");
	write_file(path, "three\n\n");
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "three\n");
	unlink(path);
	assert_null(config_secret(&l.config.redis.password, &l.password));
	unload(&l);
}

static void
no_password_is_no_text(void **state)
{
	struct loaded l;

	(void)state;
	load_good(&l, "redis: {}\nmysql: { user: a, database: b, password: \"\" }\n");
	assert_null(config_secret(&l.config.redis.password, &l.password));
	assert_string_equal(config_secret(&l.config.mysql.password, &l.password), "");
	unload(&l);
}

/* Whatever is wrong around it, the secret is not in the sentence. */
static void
a_mistake_never_shows_a_secret(void **state)
{
	static const char *const servers[] = {
		"redis: \"redis://:geheim@h\"\nmysql: { user: a, database: b }\n",
		"redis: { \"url:redis://:geheim@h\" }\nmysql: { user: a, database: b }\n",
		"redis: { url: \"rediss://:geheim@h\" }\nmysql: { user: a, database: b }\n",
		"redis: {}\nmysql: { url: \"mysql://a:x/geheim@h/d\" }\n",
		"redis: {}\nmysql: { url: \"mysql://a:x?geheim@h/d\" }\n",
		"redis: {}\nmysql: { url: \"mysql://a:x#geheim@h/d\" }\n",
		"redis: {}\nmysql: { url: \"mysql://a:geheim%zz@h/d\" }\n",
		"redis: {}\nmysql: { url: \"postgres://a:geheim@h/d\" }\n",
		"redis: {}\nmysql: { url: \"a:geheim@h/d\" }\n",
		"redis: {}\nmysql: { url: \"mysql://a:${geheim!}@h/d\" }\n",
		"redis: {}\nmysql: { url: \"mysql://a:geheim@h:0/d\" }\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct loaded l;

		load(&l, servers[i]);
		assert_true(l.problems.count > 0);
		for (size_t j = 0; j < l.problems.count; j++)
			assert_null(strstr(l.problems.list[j].text, "geheim"));
		unload(&l);
	}
}

static void
a_part_is_said_once(void **state)
{
	struct loaded l;

	(void)state;
	expect_problem("redis: { port: 5, url: \"redis://h:6\" }\n"
		       "mysql: { user: a, database: b }\n",
	    "f:1:10: redis: the url has a port already");
	load_good(&l,
	    "redis: { password: x, url: \"redis://h:6\", timeout: 1s }\n"
	    "mysql: { user: a, url: \"mysql://h/d\" }\n");
	assert_int_equal(l.config.redis.port, 6);
	assert_string_equal(config_secret(&l.config.redis.password, &l.password), "x");
	assert_string_equal(l.config.mysql.user, "a");
	unload(&l);
}

static void
a_cache_is_the_same_only_at_the_same_place(void **state)
{
	struct loaded l;

	(void)state;
	load_good(&l,
	    "redis: { db: 1 }\ncache: { host: 127.0.0.1 }\nmysql: { url: \"mysql://a@h/d\" }\n");
	assert_false(l.config.cache_is_redis);
	unload(&l);
	load_good(&l,
	    "redis: { db: 1 }\ncache: { url: \"redis://u@127.0.0.1/1\" }\nmysql: { url: "
	    "\"mysql://a@h/d\" }\n");
	assert_true(l.config.cache_is_redis);
	assert_string_equal(l.config.cache.user, "u");
	unload(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_from_outside_can_not_add_keys),
		cmocka_unit_test(a_value_is_not_expanded_again),
		cmocka_unit_test(a_password_in_a_url_stays_a_password),
		cmocka_unit_test(a_host_from_outside_can_only_be_a_host),
		cmocka_unit_test(a_default_may_hold_what_separates_parts),
		cmocka_unit_test(a_whole_url_may_come_from_outside),
		cmocka_unit_test(a_changed_secret_file_is_seen),
		cmocka_unit_test(no_password_is_no_text),
		cmocka_unit_test(a_mistake_never_shows_a_secret),
		cmocka_unit_test(a_part_is_said_once),
		cmocka_unit_test(a_cache_is_the_same_only_at_the_same_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
