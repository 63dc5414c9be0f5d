#include "tests/support/event_rig.h"

#include <stdio.h>
#include <string.h>

/* Columns of rows that are used, and others. */

static int
take_asked(const char *value)
{
	static const struct str asked[] = { { "team", 4 }, { "Id", 2 } };

	event_rig_start();
	event_rig.message.value = str_of(value);
	event_rig.message.asked = asked;
	event_rig.message.asked_count = 2;
	return event_rig_decode("debezium");
}

static void
columns_that_nobody_asks_for_are_left_out(void **state)
{
	(void)state;
	assert_int_equal(take_asked("{\"op\":\"u\",\"source\":{},\"before\":{\"id\":7,\"n\":1},"
				    "\"after\":{\"x\":\"a\",\"id\":7,\"n\":2,\"TEAM\":null}}"),
	    0);
	assert_int_equal(event_rig_event()->before.count, 1);
	assert_field(&event_rig_event()->before, "id", VALUE_NUMBER, "7");
	assert_int_equal(event_rig_event()->after.count, 2);
	assert_field(&event_rig_event()->after, "id", VALUE_NUMBER, "7");
	assert_field(&event_rig_event()->after, "TEAM", VALUE_NULL, "");
}

/* They are checked, and a row of nothing else is a row. */
static void
what_nobody_asks_for_is_checked_all_the_same(void **state)
{
	char deep[512];

	(void)state;
	snprintf(deep, sizeof(deep),
	    "{\"op\":\"c\",\"source\":{},\"after\":{\"id\":7,\"x\":%0101d%0101d}}", 0, 0);
	for (char *at = strstr(deep, "\"x\":") + 4, *from = at; *at == '0'; at++)
		*at = at - from < 101 ? '[' : ']';
	assert_int_equal(take_asked(deep), -1);
	assert_non_null(strstr(event_rig.entry.refusal.text, "x is nested deeper"));
	assert_int_equal(take_asked("{\"op\":\"c\",\"source\":{},\"after\":{\"x\":1}}"), 0);
	assert_true(event_rig_event()->after.there);
	assert_int_equal(event_rig_event()->after.count, 0);
	assert_int_equal(take_asked("{\"x\":1,\"__op\":\"c\"}"), 0);
	assert_field(&event_rig_event()->after, "x", VALUE_NUMBER, "1");
	/* of a type there is more to check */
	assert_int_equal(take_asked("{\"schema\":{\"fields\":[{\"field\":\"after\",\"fields\":[{"
				    "\"type\":\"int32\",\"field\":\"x\"}]}]},\"payload\":{\"op\":"
				    "\"c\",\"source\":{},\"after\":{\"x\":\"no number\"}}}"),
	    0);
	assert_int_equal(event_rig_event()->after.origin, ORIGIN_UNTYPED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_that_nobody_asks_for_are_left_out),
		cmocka_unit_test(what_nobody_asks_for_is_checked_all_the_same),
	};

	return cmocka_run_group_tests(tests, event_rig_open, event_rig_close);
}
