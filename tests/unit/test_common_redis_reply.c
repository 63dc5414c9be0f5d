/* redis_reply: the parts of redis that need no server */
#include "common/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum err_class
class_of(const char *text, struct err *err)
{
	struct redis_reply reply = { .type = REDIS_ERROR, .text = str_of(text) };

	assert_int_equal(redis_reply_error(&reply, err), -1);
	return err->class;
}

static void
a_refusal_that_time_heals_is_retried(void **state)
{
	const char *const texts[] = { "LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.", "OOM command not allowed",
		"BUSY Redis is busy running a script", "UNBLOCKED the stream key no longer exists",
		"ERR max number of clients reached" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(class_of(texts[i], &err), ERR_RETRY);
}

static void
a_refused_login_is_fatal_and_the_rest_is_poison(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(class_of("NOAUTH Authentication required.", &err), ERR_FATAL);
	assert_int_equal(class_of("WRONGPASS invalid username-password pair", &err), ERR_FATAL);
	assert_int_equal(class_of("NOPERM this user has no permissions", &err), ERR_FATAL);
	assert_int_equal(class_of("WRONGTYPE Operation against a key", &err), ERR_POISON);
	assert_int_equal(class_of("BUSYGROUP Consumer Group name already exists", &err),
	    ERR_POISON);
}

static void
an_error_does_not_repeat_the_arguments(void **state)
{
	struct err err;

	(void)state;
	class_of("ERR unknown command 'X', with args beginning with: 'secret' ", &err);
	assert_string_equal(err.text, "redis: ERR unknown command 'X'");
}

static void
a_reply_that_is_no_error_sets_none(void **state)
{
	struct redis_reply reply = { .type = REDIS_STATUS, .text = STR("ERR") };
	struct err err = { .class = ERR_NONE };

	(void)state;
	assert_int_equal(redis_reply_error(&reply, &err), 0);
	assert_int_equal(err.class, ERR_NONE);
}

static void
a_pair_is_found_by_its_name_and_not_by_a_value(void **state)
{
	struct redis_reply texts[] = { { .type = REDIS_STRING, .text = STR("first-entry") },
		{ .type = REDIS_STRING, .text = STR("length") },
		{ .type = REDIS_STRING, .text = STR("length") },
		{ .type = REDIS_INTEGER, .integer = 7 },
		{ .type = REDIS_STRING, .text = STR("half a pair") } };
	struct redis_reply *elements[] = { &texts[0], &texts[1], &texts[2], &texts[3], &texts[4] };
	struct redis_reply array = { .type = REDIS_ARRAY, .count = 5, .element = elements };

	(void)state;
	assert_ptr_equal(redis_pair(&array, "length"), &texts[3]);
	assert_null(redis_pair(&array, "half a pair"));
	assert_null(redis_pair(&texts[0], "length"));
}

static void
an_info_line_is_found_by_its_whole_name(void **state)
{
	struct str info = STR(
	    "# Memory\r\nused_memory:123\r\nused_memory_rss:456\r\nmaxmemory_policy:noeviction\r\n"
	    "maxmemory:0\r\nlast:x");
	uint64_t number;

	(void)state;
	assert_true(redis_info_number(info, "used_memory", &number));
	assert_int_equal(number, 123);
	assert_true(redis_info_number(info, "maxmemory", &number));
	assert_int_equal(number, 0);
	assert_true(str_equal(redis_info(info, "maxmemory_policy"), STR("noeviction")));
	assert_true(str_equal(redis_info(info, "last"), STR("x")));
	assert_null(redis_info(info, "memory").data);
	assert_false(redis_info_number(info, "last", &number));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_that_time_heals_is_retried),
		cmocka_unit_test(a_refused_login_is_fatal_and_the_rest_is_poison),
		cmocka_unit_test(an_error_does_not_repeat_the_arguments),
		cmocka_unit_test(a_reply_that_is_no_error_sets_none),
		cmocka_unit_test(a_pair_is_found_by_its_name_and_not_by_a_value),
		cmocka_unit_test(an_info_line_is_found_by_its_whole_name),
	};

	return cmocka_run_group_tests_name("common redis reply", tests, NULL, NULL);
}
