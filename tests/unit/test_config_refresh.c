#include "common/buf.h"
#include "tests/support/config_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HEAD                                                                                       \
	"redis: {}\n"                                                                              \
	"mysql: { user: a, database: b }\n"                                                        \
	"sources: [{ streams: s, tables: [t] }]\n"                                                 \
	"tables:\n"                                                                                \
	"  t:\n"                                                                                   \
	"    version: v\n"                                                                         \
	"    invalidate: [{ key: \"list:{id}\", mode: none }, { key: \"u:{id}\", mode: versioned " \
	"}, "                                                                                      \
	"\"p:{id}\"]\n"

static void
the_first_template_of_a_mode_that_can_be_loaded_is_taken(void **state)
{
	struct config config;

	(void)state;
	expect_config(HEAD "    refresh: {}\n", &config, "");
	assert_true(config_refreshes(&config));
	assert_string_equal(config.tables[0].refresh.template->written, "u:{id}");
	assert_int_equal(config.tables[0].refresh.ttl_ms, 3600000);
	assert_int_equal(config.tables[0].refresh.threshold, 60);
	assert_int_equal(config.refresh.max_loads_per_second, 1000);
	config_deinit(&config);
	expect_config(HEAD
	    "    refresh: { key: \"list:{id}\", ttl: 30m, value: [id, n], format: hash }\n",
	    &config, "");
	assert_int_equal(config.tables[0].refresh.template->mode, MODE_NONE);
	assert_int_equal(config.tables[0].refresh.value_count, 2);
	config_deinit(&config);
	expect_config(HEAD, &config, "");
	assert_false(config_refreshes(&config));
	config_deinit(&config);
}

static void
what_does_not_suit_the_mode_is_refused(void **state)
{
	(void)state;
	expect(HEAD "    refresh: { key: \"x:{id}\" }\n",
	    "8:5: tables.t.refresh: key is not a template of the table's invalidate of mode "
	    "versioned, populate, delete or none\n");
	expect(HEAD "    refresh: { format: hash }\n",
	    "8:5: tables.t.refresh: format hash is for plain keys; a versioned entry is a hash "
	    "already\n");
	expect(HEAD "    refresh: { key: \"p:{id}\", on_invalidate: reload, stale_for: 1s }\n",
	    "8:5: tables.t.refresh: on_invalidate: reload wants a key of mode versioned or "
	    "populate; a plain one is never written where it is absent\n"
	    "8:5: tables.t.refresh: stale_for wants a key of mode versioned or populate\n");
	expect(HEAD "    refresh: { load: \"SELECT 1\" }\n",
	    "8:5: tables.t.refresh: load has no (:keys), as in WHERE id IN (:keys)\n");
	expect(HEAD "    refresh: { value: [a] }\n"
		    "  u:\n"
		    "    version: v\n"
		    "    invalidate: [{ key: \"v:{id}\", mode: populate, ttl: 1h }]\n"
		    "    refresh: { value: [a], stale_for: 1s }\n",
	    "9:3: warning: table \"u\" is in no source's table or tables; nothing will write it\n"
	    "12:5: tables.u.refresh: value is for other modes; populate writes all columns of the "
	    "row\n");
}

static void
it_reads_back_as_it_is_printed(void **state)
{
	struct config config, again;
	struct buf first = { 0 }, second = { 0 };

	(void)state;
	expect_config(HEAD
	    "    refresh: { key: \"p:{id}\", load: \"SELECT a FROM b WHERE c IN (:keys)\", "
	    "top: 7 }\n"
	    "refresh: { reads: r, half_life: 5s }\n",
	    &config, "");
	config_print(&config, &first);
	assert_non_null(strstr(first.data, "top: 7"));
	expect_config(first.data, &again, "");
	config_print(&again, &second);
	assert_string_equal(first.data, second.data);
	buf_deinit(&first);
	buf_deinit(&second);
	config_deinit(&config);
	config_deinit(&again);
}

static void
a_sample_is_one_in_so_many_or_off(void **state)
{
	struct config config;
	struct buf out = { 0 };

	(void)state;
	expect_config(HEAD "verify: { sample: 1/1000, rate: 5 }\n", &config, "");
	assert_int_equal(config.verify.sample, 1000);
	assert_int_equal(config.verify.rate, 5);
	assert_int_equal(config.verify.waiting, 10000);
	config_print(&config, &out);
	assert_non_null(strstr(out.data, "  sample: 1/1000\n"));
	buf_deinit(&out);
	config_deinit(&config);
	expect_config(HEAD, &config, "");
	assert_int_equal(config.verify.sample, 0);
	config_deinit(&config);
	expect(HEAD "verify: { sample: 1/0 }\n",
	    "8:19: verify.sample: found \"1/0\", meant off, or one in so many such as 1/1000\n");
	expect(HEAD "verify: { sample: 1000 }\n",
	    "8:19: verify.sample: found \"1000\", meant off, or one in so many such as 1/1000\n");
}

static void
without_rows_or_versions_nothing_is_verified(void **state)
{
	(void)state;
	expect("redis: {}\nsources: [{ streams: s, table: t, write: false, format: maxwell }]\n"
	       "tables: { t: { version: v, key: [id], invalidate: [{ key: \"u:{id}\", mode: "
	       "versioned }], types: { id: int, v: bigint } } }\n"
	       "verify: { sample: 1/1 }\n",
	    "4:1: verify: without mysql there is no row to compare with\n");
	expect("redis: {}\nmysql: { user: a, database: b }\n"
	       "sources: [{ streams: s, tables: [t] }]\ntables: { t: { invalidate: [\"u:{id}\"] } "
	       "}\nverify: { sample: 1/1 }\n",
	    "5:1: warning: verify: no template has mode versioned or populate; keys of other modes "
	    "don't "
	    "tell their version\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sample_is_one_in_so_many_or_off),
		cmocka_unit_test(without_rows_or_versions_nothing_is_verified),
		cmocka_unit_test(the_first_template_of_a_mode_that_can_be_loaded_is_taken),
		cmocka_unit_test(what_does_not_suit_the_mode_is_refused),
		cmocka_unit_test(it_reads_back_as_it_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
