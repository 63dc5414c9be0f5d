#include "worker/cache/key_template.h"

#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const names[] = { "tenant", "handle" };

static int
compile(struct key_template *t, const char *written, struct err *err)
{
	static struct config_template config;

	config = (struct config_template){ .written = written, .mode = MODE_DELETE };
	return key_template_compile(t, &config, names, 2, err);
}

static void
expect(const char *written, struct str tenant, struct str handle, const char *key)
{
	struct key_template t;
	struct buf out;
	struct str values[2] = { tenant, handle };

	assert_int_equal(compile(&t, written, NULL), 0);
	buf_init(&out);
	assert_true(key_template_render(&t, values, &out));
	assert_string_equal(out.data, key);
	buf_deinit(&out);
	key_template_deinit(&t);
}

static void
refused(const char *written, const char *part)
{
	struct key_template t;
	struct err err = { 0 };

	assert_int_equal(compile(&t, written, &err), -1);
	assert_int_equal(err.class, ERR_FATAL);
	if (strstr(err.text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", err.text, part);
	key_template_deinit(&t); /* of a failed one is fine */
}

static void
one_placeholder_takes_any_value_as_it_is(void **state)
{
	(void)state;
	expect("user:{tenant}", STR("7"), STR("x"), "user:7");
	expect("user:{handle}:full", STR("7"), STR("100%:{x}"), "user:100%:{x}:full");
	expect("{handle}", STR("7"), STR(""), "");
}

static void
two_placeholders_leave_ordinary_values_unchanged(void **state)
{
	(void)state;
	expect("profile:{tenant}:{handle}", STR("-2"), STR("b b-\xc3\xa9.x@y/z_0"),
	    "profile:-2:b b-\xc3\xa9.x@y/z_0");
	expect("p:{tenant}:id:{handle}", STR("david"), STR("i"), "p:david:id:i");
}

static void
a_separator_inside_a_value_is_escaped(void **state)
{
	(void)state;
	expect("profile:{tenant}:{handle}", STR("1"), STR("c:c%"), "profile:1:c%3Ac%25");
	expect("{tenant}xx{handle}", STR("axb"), STR("c"), "a%78bxxc");
	/* text before the first and behind the last placeholder separates nothing */
	expect("a/{tenant}:{handle}!", STR("1/2"), STR("3!"), "a/1/2:3!!");
}

static void
double_braces_are_literal(void **state)
{
	(void)state;
	expect("{{u:{tenant}}}", STR("7"), STR("x"), "{u:7}");
	expect("all}}{{", STR("7"), STR("x"), "all}{");
}

static void
names_match_without_case(void **state)
{
	(void)state;
	expect("user:{Handle}", STR("7"), STR("x"), "user:x");
}

static void
null_makes_no_key_and_leaves_the_buffer_alone(void **state)
{
	struct key_template t;
	struct str values[2] = { STR("1"), { NULL, 0 } };
	struct buf out;

	(void)state;
	assert_int_equal(compile(&t, "p:{tenant}:{handle}", NULL), 0);
	buf_init(&out);
	buf_add_str(&out, "before");
	assert_false(key_template_render(&t, values, &out));
	assert_string_equal(out.data, "before");
	assert_int_equal(out.len, 6);
	buf_deinit(&out);
	key_template_deinit(&t);
}

static void
a_template_with_every_key_column_is_one_row(void **state)
{
	struct key_template t;

	(void)state;
	assert_int_equal(compile(&t, "{handle}:{tenant}", NULL), 0);
	assert_true(t.one_row);
	key_template_deinit(&t);
	assert_int_equal(compile(&t, "list:{tenant}:{tenant}", NULL), 0);
	assert_false(t.one_row);
	key_template_deinit(&t);
	assert_int_equal(compile(&t, "list", NULL), 0);
	assert_false(t.one_row);
	key_template_deinit(&t);
}

static void
what_could_make_two_rows_share_a_key_is_refused(void **state)
{
	(void)state;
	refused("{tenant}{handle}", "separator");
	refused("{tenant}4{handle}", "byte other");
	refused("{tenant}%{handle}", "byte other");
	refused("{tenant}:{handle}{tenant}", "separator");
}

static void
an_unknown_placeholder_is_named(void **state)
{
	(void)state;
	refused("user:{nmae}", "{nmae} is not a column of the table");
	refused("user:{tenant", "brace");
	refused("user:tenant}", "brace");
	refused("user:{}", "empty");
}

/* Short values over the bytes that could hurt: different pairs must give different keys. */
static void
two_rows_never_share_a_key(void **state)
{
	static const char *const templates[] = { "{tenant}:{handle}", "{tenant}%:{handle}",
		"{tenant}4x{handle}", "{tenant}:a:{handle}:", "{tenant}x:{handle}",
		"{tenant}xx{handle}" };
	static const char alphabet[] = ":%4xa3A";
	enum { VALUES = 1 + 7 + 49 };
	char text[VALUES][3] = { "" };
	struct buf keys[2];

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		text[1 + i][0] = alphabet[i];
		for (size_t j = 0; j < 7; j++) {
			text[8 + 7 * i + j][0] = alphabet[i];
			text[8 + 7 * i + j][1] = alphabet[j];
		}
	}
	buf_init(&keys[0]);
	buf_init(&keys[1]);
	for (size_t n = 0; n < sizeof(templates) / sizeof(*templates); n++) {
		struct random random;
		struct key_template t;

		random_init(&random, n);
		assert_int_equal(compile(&t, templates[n], NULL), 0);
		for (int tries = 0; tries < 200000; tries++) {
			const char *v[4];

			for (int i = 0; i < 4; i++)
				v[i] = text[random_below(&random, VALUES)];
			for (int i = 0; i < 2; i++) {
				struct str values[2] = { str_of(v[2 * i]), str_of(v[2 * i + 1]) };

				buf_reset(&keys[i]);
				assert_true(key_template_render(&t, values, &keys[i]));
			}
			if (strcmp(keys[0].data, keys[1].data) == 0 &&
			    (strcmp(v[0], v[2]) != 0 || strcmp(v[1], v[3]) != 0))
				fail_msg("%s: (%s,%s) and (%s,%s) are both %s", templates[n], v[0],
				    v[1], v[2], v[3], keys[0].data);
		}
		key_template_deinit(&t);
	}
	buf_deinit(&keys[0]);
	buf_deinit(&keys[1]);
}

static void
a_key_gives_back_the_values_it_was_made_of(void **state)
{
	static const char *const two[] = { "a", "b" };
	static const char *const written[] = { "u:{a}:{b}", "{a}", "x{a}y", "u:{a}abc:d{b}.",
		"{b}/{a}/{b}" };
	static const char *const texts[] = { "", "7", "a:b", "%3A", "x/y%", "abc:d", "100%",
		"a.b" };
	enum { TEXTS = sizeof(texts) / sizeof(*texts) };
	struct arena arena;

	(void)state;
	arena_init(&arena, 0);
	for (size_t i = 0; i < sizeof(written) / sizeof(*written); i++) {
		struct config_template config = { .written = written[i] };
		struct key_template t;

		assert_int_equal(key_template_compile(&t, &config, two, 2, NULL), 0);
		for (size_t j = 0; j < (size_t)TEXTS * TEXTS; j++) {
			struct str in[2] = { str_of(texts[j % TEXTS]), str_of(texts[j / TEXTS]) };
			struct str out[2] = { in[0], in[1] };
			struct buf key = { 0 };

			assert_true(key_template_render(&t, in, &key));
			assert_true(key_template_match(&t, (struct str){ key.data, key.len },
			    &arena, out));
			assert_true(str_equal(in[0], out[0]) && str_equal(in[1], out[1]));
			key.len -= key.len > 0; /* "x7" for "x7y": never read beyond it */
			(void)key_template_match(&t, (struct str){ key.data, key.len }, &arena,
			    out);
			buf_deinit(&key);
		}
		struct str none[2];
		assert_false(written[i][0] != '{' &&
		    key_template_match(&t, STR("other"), &arena, none));
		key_template_deinit(&t);
	}
	arena_deinit(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_gives_back_the_values_it_was_made_of),
		cmocka_unit_test(one_placeholder_takes_any_value_as_it_is),
		cmocka_unit_test(two_placeholders_leave_ordinary_values_unchanged),
		cmocka_unit_test(a_separator_inside_a_value_is_escaped),
		cmocka_unit_test(double_braces_are_literal),
		cmocka_unit_test(names_match_without_case),
		cmocka_unit_test(null_makes_no_key_and_leaves_the_buffer_alone),
		cmocka_unit_test(a_template_with_every_key_column_is_one_row),
		cmocka_unit_test(what_could_make_two_rows_share_a_key_is_refused),
		cmocka_unit_test(an_unknown_placeholder_is_named),
		cmocka_unit_test(two_rows_never_share_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
