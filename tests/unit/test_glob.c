#include "worker/cache/glob.h"

#include "common/random.h"
#include "worker/cache/key_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
assert_matches(const char *pattern, const char *key, bool wanted)
{
	if (glob_matches(str_of(pattern), str_of(key)) != wanted)
		fail_msg("\"%s\" and \"%s\": not %d", pattern, key, wanted);
}

static void
a_star_stands_for_any_bytes_and_nothing_else_is_special(void **state)
{
	(void)state;
	assert_matches("user:7:*", "user:7:", true);
	assert_matches("user:7:*", "user:7:page:1", true);
	assert_matches("user:7:*", "user:77:page", false);
	assert_matches("user:*:page:*", "user:7:page:1", true);
	assert_matches("user:*:page:*", "user:7:pages", false);
	assert_matches("*b*b", "abb", true);
	assert_matches("*ab", "aab", true);
	assert_matches("a?[b]", "a?[b]", true);
	assert_matches("a?", "ab", false);
	assert_matches("a\\*", "a*", true);
	assert_matches("a\\*", "ab", false);
	assert_matches("a\\\\*", "a\\x", true);
	assert_matches("", "", true);
	assert_matches("", "a", false);
	assert_matches("a", "", false);
	assert_matches("*", "", true);
}

/* The one meaning, written down without a thought of speed. */
static bool
slow_matches(const char *p, const char *k)
{
	if (*p == '\0')
		return *k == '\0';
	if (*p == '*')
		return slow_matches(p + 1, k) || (*k != '\0' && slow_matches(p, k + 1));
	if (*p == '\\' && p[1] != '\0')
		p++;
	return *p == *k && slow_matches(p + 1, k + 1);
}

static void
it_matches_what_the_plain_definition_does(void **state)
{
	static const char bytes[] = "aab*\\";
	struct random random;

	(void)state;
	random_init(&random, 7);
	for (int i = 0; i < 50000; i++) {
		char pattern[9] = "", key[9] = "";

		for (uint64_t n = random_below(&random, 8), at = 0; at < n; at++)
			pattern[at] = bytes[random_below(&random, 5)];
		for (uint64_t n = random_below(&random, 8), at = 0; at < n; at++)
			key[at] = bytes[random_below(&random, 5)];
		assert_matches(pattern, key, slow_matches(pattern, key));
	}
}

static void
what_two_patterns_begin_with_ends_before_a_star_and_at_a_whole_escape(void **state)
{
	(void)state;
	assert_int_equal(glob_common(STR("user:7:*"), STR("user:78:*")), 6);
	assert_int_equal(glob_common(STR("user:*:a"), STR("user:*:b")), 5);
	assert_int_equal(glob_common(STR("u\\?a"), STR("u\\*a")), 1);
	assert_int_equal(glob_common(STR("u\\*a"), STR("u\\*b")), 3);
}

static void
a_template_s_values_are_escaped_and_its_stars_are_not(void **state)
{
	static const char *const names[] = { "id" };
	static const struct config_template config = { .written = "u?:{id}:*", .mode = MODE_SCAN };
	struct str value = STR("a*[b]?\\^");
	struct key_template t;
	struct buf out;

	(void)state;
	buf_init(&out);
	assert_int_equal(key_template_compile(&t, &config, names, 1, NULL), 0);
	assert_true(key_template_render(&t, &value, &out));
	assert_string_equal(out.data, "u\\?:a\\*\\[b\\]\\?\\\\\\^:*");
	assert_true(glob_matches((struct str){ out.data, out.len }, STR("u?:a*[b]?\\^:page:1")));
	assert_false(glob_matches((struct str){ out.data, out.len }, STR("u?:ab[b]?\\^:page:1")));
	key_template_deinit(&t);
	buf_deinit(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_star_stands_for_any_bytes_and_nothing_else_is_special),
		cmocka_unit_test(it_matches_what_the_plain_definition_does),
		cmocka_unit_test(
		    what_two_patterns_begin_with_ends_before_a_star_and_at_a_whole_escape),
		cmocka_unit_test(a_template_s_values_are_escaped_and_its_stars_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
