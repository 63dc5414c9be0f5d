#include "worker/cache/notes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
a_server_that_loaded_nothing_has_no_old_values(void **state)
{
	struct notes n = { .redis = NULL };

	(void)state;
	notes_info(&n, STR("run_id:abc\r\nmaster_replid:def\r\nrdb_last_load_keys_loaded:0\r\n"));
	assert_string_equal(n.run_id, "abc");
	assert_string_equal(n.replication_id, "def");
	assert_false(n.loaded);
	notes_info(&n, STR("run_id:abc\r\nrdb_last_load_keys_loaded:12\r\n"));
	assert_true(n.loaded);
}

static void
one_that_does_not_say_may_have_some(void **state)
{
	struct notes n = { .redis = NULL };

	(void)state;
	notes_info(&n, STR("run_id:abc\r\n"));
	assert_true(n.loaded);
	assert_string_equal(n.replication_id, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_loaded_nothing_has_no_old_values),
		cmocka_unit_test(one_that_does_not_say_may_have_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
