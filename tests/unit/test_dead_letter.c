#include "worker/store/dead_letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void
expect_payload(struct field *fields, size_t count, const char *payload)
{
	struct entry entry = { .raw = fields, .raw_count = count };
	struct buf out;

	buf_init(&out);
	dead_letter_payload(&entry, &out);
	assert_string_equal(out.data, payload);
	buf_deinit(&out);
}

static struct field
field(struct str name, struct str value)
{
	return (struct field){ name, { value, VALUE_TEXT } };
}

static void
a_payload_keeps_the_fields_in_their_order(void **state)
{
	struct field fields[] = { field(STR("_op"), STR("incr")), field(STR("id"), STR("7")),
		field(STR("id"), STR("8")) };

	(void)state;
	expect_payload(fields, 3, "[[\"_op\",\"incr\"],[\"id\",\"7\"],[\"id\",\"8\"]]");
}

static void
a_payload_of_no_fields_is_an_empty_list(void **state)
{
	(void)state;
	expect_payload(NULL, 0, "[]");
}

static void
quotes_and_control_bytes_stay_inside_their_string(void **state)
{
	struct field fields[] = { field(STR("a\"]"), STR("\\\n\0x")) };

	(void)state;
	expect_payload(fields, 1, "[[\"a\\\"]\",\"\\\\\\n\\u0000x\"]]");
}

static void
bytes_that_are_no_text_become_base64(void **state)
{
	struct field fields[] = { field(STR("\xff"), STR("\xff\x00\x10")),
		field(STR("n"), STR("\xc3")),
		field(STR("m"),
		    STR("\xed\xa0\x80"
			"a")) };

	(void)state;
	expect_payload(fields, 3,
	    "[[{\"base64\":\"/w==\"},{\"base64\":\"/wAQ\"}],[\"n\",{\"base64\":\"ww==\"}],"
	    "[\"m\",{\"base64\":\"7aCAYQ==\"}]]");
}

static void
an_empty_value_is_an_empty_string(void **state)
{
	struct field fields[] = { field(STR(""), (struct str){ NULL, 0 }) };

	(void)state;
	expect_payload(fields, 1, "[[\"\",\"\"]]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_keeps_the_fields_in_their_order),
		cmocka_unit_test(a_payload_of_no_fields_is_an_empty_list),
		cmocka_unit_test(quotes_and_control_bytes_stay_inside_their_string),
		cmocka_unit_test(bytes_that_are_no_text_become_base64),
		cmocka_unit_test(an_empty_value_is_an_empty_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
