#include "worker/cache/refresh_ring.h"
#include "worker/cache/refresh_work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
a_ring_gives_what_was_put_in_order_and_forgets_what_is_too_much(void **state)
{
	struct refresh_ring *ring = refresh_ring_new();
	const struct config_table *table;
	struct config_table t = { .name = "t" };
	unsigned got = 0;
	struct str key;
	char text[16];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 300; i++) {
			snprintf(text, sizeof(text), "k%u", i);
			refresh_ring_put(ring, &t, str_of(text));
		}
		for (got = 0; refresh_ring_next(ring, &table, &key); got++) {
			snprintf(text, sizeof(text), "k%u", got);
			assert_true(str_equal(key, str_of(text)) && table == &t);
			refresh_ring_taken(ring);
		}
		assert_int_equal(got, 256);
	}
	refresh_ring_free(&ring);
	assert_null(ring);
}

/* Which of the processes has the key? */
static size_t
owner_of(const char *const *processes, size_t count, uint64_t hash)
{
	char others[8][MEMBER_PROCESS_MAX];
	size_t owner = count, owners = 0;

	for (size_t i = 0; i < count; i++) {
		struct refresh_share share = { .others = others };

		snprintf(share.self, sizeof(share.self), "%s", processes[i]);
		for (size_t j = 0; j < count; j++)
			if (j != i)
				snprintf(others[share.other_count++], sizeof(others[0]), "%s",
				    processes[j]);
		if (refresh_is_ours(&share, hash)) {
			owner = i;
			owners++;
		}
	}
	assert_int_equal(owners, 1);
	return owner;
}

static void
a_key_is_one_process_s_and_only_those_of_a_leaver_move(void **state)
{
	static const char *const processes[] = { "a/1/x", "b/2/y", "c/3/z", "d/4/w" };
	unsigned of[4] = { 0 };
	char text[32];

	(void)state;
	for (unsigned i = 0; i < 8000; i++) {
		snprintf(text, sizeof(text), "user:%u", i);
		uint64_t hash = hot_key_hash(str_of(text));
		size_t owner = owner_of(processes, 4, hash);

		of[owner]++;
		if (owner != 3)
			assert_int_equal(owner_of(processes, 3, hash), owner);
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(of[i], 1800, 2200);
}

static void
expect_select(struct refresh_table *t, const struct str (*values)[REFRESH_KEY_COLUMNS],
    size_t count, const char *expected)
{
	struct buf select = { 0 };

	refresh_table_select(t, values, count, &select);
	assert_string_equal(select.data, expected);
	buf_deinit(&select);
}

static void
keys_become_a_select_in_which_a_value_is_never_sql(void **state)
{
	static const char *const value[] = { "name" };
	struct config_table table = { .name = "t`x", .version_column = "ver" };
	struct refresh_table t = { .table = &table,
		.key_names = { "id", "sub" },
		.key_is_integer = { true, false },
		.key_count = 1 };
	const struct str values[3][REFRESH_KEY_COLUMNS] = {
		{ { "7", 1 }, { "a'); DROP TABLE t; --", 21 } },
		{ { "1 OR 1=1", 8 }, { "\\", 1 } },
		{ { "18446744073709551615", 20 }, { "", 0 } },
	};

	(void)state;
	expect_select(&t, values, 3,
	    "SELECT * FROM `t``x` WHERE `id` IN (7,'1 OR 1=1',18446744073709551615)");
	t.key_count = 2;
	table.refresh.value_count = 1;
	table.refresh.value = (const char *[]){ value[0] };
	expect_select(&t, values, 2,
	    "SELECT `name`,`id`,`sub`,`ver` FROM `t``x` WHERE (`id`,`sub`) IN "
	    "((7,'a\\'); DROP TABLE t; --'),('1 OR 1=1','\\\\'))");
	table.refresh.load = "SELECT a FROM b WHERE (c, d) IN (:keys) OR (e, f) IN (:keys)";
	expect_select(&t, values, 1,
	    "SELECT a FROM b WHERE (c, d) IN ((7,'a\\'); DROP TABLE t; --')) OR (e, f) IN "
	    "((7,'a\\'); "
	    "DROP TABLE t; --'))");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_gives_what_was_put_in_order_and_forgets_what_is_too_much),
		cmocka_unit_test(a_key_is_one_process_s_and_only_those_of_a_leaver_move),
		cmocka_unit_test(keys_become_a_select_in_which_a_value_is_never_sql),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
