#include "common/redis.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A connection whose server is this test. */
struct fixture {
	char path[64];
	int listener, server;
	struct redis_options options;
	struct redis *redis;
	struct arena arena;
	struct redis_reply *reply;
	struct err err;
};

/* The PING of redis_open. */
static void *
greet(void *arg)
{
	struct fixture *f = arg;
	char ping[64];

	f->server = accept(f->listener, NULL, NULL);
	assert_true(read(f->server, ping, sizeof(ping)) > 0);
	assert_int_equal(write(f->server, "+PONG\r\n", 7), 7);
	return NULL;
}

static int
setup(void **state)
{
	pthread_t thread;

	static struct fixture f;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(&f, 0, sizeof(f));
	snprintf(f.path, sizeof(f.path), "/tmp/sluice-test-redis.%d", (int)getpid());
	strcpy(address.sun_path, f.path);
	unlink(f.path);
	f.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f.listener, 1), 0);
	f.options = (struct redis_options){
		.socket = f.path, .connect_timeout_ms = 1000, .timeout_ms = 1000
	};
	f.redis = redis_new(&f.options);
	arena_init(&f.arena, 4096);
	assert_int_equal(pthread_create(&thread, NULL, greet, &f), 0);
	assert_int_equal(redis_open(f.redis, &f.err), 0);
	pthread_join(thread, NULL);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	redis_free(&f->redis);
	arena_deinit(&f->arena);
	close(f->server);
	close(f->listener);
	unlink(f->path);
	return 0;
}

static void
ask(struct fixture *f, int commands)
{
	for (int i = 0; i < commands; i++)
		redis_queuef(f->redis, "PING");
	assert_int_equal(redis_flush(f->redis, &f->err), 0);
}

static void
say(const struct fixture *f, const char *text)
{
	assert_int_equal(write(f->server, text, strlen(text)), strlen(text));
}

static int
hear(struct fixture *f)
{
	return redis_receive(f->redis, &f->arena, 1000, &f->reply, &f->err);
}

static void
as_many_replies_as_commands_are_heard(void **state)
{
	struct fixture *f = *state;

	ask(f, 2);
	say(f, "+one\r\n+two\r\n");
	assert_int_equal(hear(f), 1);
	assert_string_equal(f->reply->text.data, "one");
	assert_int_equal(hear(f), 1);
	assert_string_equal(f->reply->text.data, "two");
	assert_true(redis_is_open(f->redis));
}

static void
one_reply_too_many_ends_the_connection(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	say(f, "-ERR unknown command 'x'\r\n-ERR unknown command 'y'\r\n");
	assert_int_equal(hear(f), -1);
	assert_int_equal(f->err.class, ERR_RETRY);
	assert_false(redis_is_open(f->redis));
}

static void
a_reply_that_comes_before_its_command_ends_the_connection(void **state)
{
	struct fixture *f = *state;

	say(f, "+early\r\n");
	assert_int_equal(hear(f), -1);
	assert_false(redis_is_open(f->redis));
}

static void
a_reply_too_many_that_comes_late_ends_the_connection(void **state)
{
	struct fixture *f = *state;

	ask(f, 1);
	say(f, "+one\r\n");
	assert_int_equal(hear(f), 1);
	say(f, "+and one more\r\n");
	redis_queuef(f->redis, "PING");
	assert_int_equal(redis_flush(f->redis, &f->err), -1);
	assert_int_equal(f->err.class, ERR_RETRY);
	assert_false(redis_is_open(f->redis));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(as_many_replies_as_commands_are_heard),
		TEST(one_reply_too_many_ends_the_connection),
		TEST(a_reply_too_many_that_comes_late_ends_the_connection),
		TEST(a_reply_that_comes_before_its_command_ends_the_connection),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
