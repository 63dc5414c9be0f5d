/* arena, buf, map */
#include "common/arena.h"
#include "common/buf.h"
#include "common/map.h"
#include "common/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void
an_arena_hands_out_aligned_memory_that_does_not_overlap(void **state)
{
	struct arena a;
	char *previous = NULL;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 1; i < 2000; i++) {
		char *at = arena_alloc(&a, i);

		assert_int_equal((uintptr_t)at % 16, 0);
		memset(at, (int)(i & 0x7f), i);
		if (previous != NULL)
			assert_int_equal(previous[i - 2], (char)((i - 1) & 0x7f));
		previous = at;
	}
	arena_deinit(&a);
}

static void
a_reset_arena_gives_the_same_memory_again(void **state)
{
	struct arena a;
	void *first;

	(void)state;
	arena_init(&a, 1 << 20);
	first = arena_alloc(&a, 100);
	arena_alloc(&a, 100000);
	arena_reset(&a);
	assert_int_equal(arena_bytes(&a), 0);
	assert_ptr_equal(arena_alloc(&a, 100), first);
	arena_deinit(&a);
}

static void
a_reset_arena_keeps_no_more_than_it_was_told(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1000);
	arena_alloc(&a, 100000);
	arena_reset(&a);
	assert_null(a.first);
	arena_deinit(&a);
}

static void
an_arena_counts_what_it_handed_out(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	arena_alloc(&a, 16);
	arena_alloc(&a, 1);
	assert_int_equal(arena_bytes(&a), 32);
	arena_deinit(&a);
}

static void
an_arena_copy_ends_in_a_nul(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	assert_string_equal(arena_copy(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_copy(&a, NULL, 0), "");
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	arena_deinit(&a);
}

static void
a_buffer_grows_and_keeps_what_it_holds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	for (int i = 0; i < 1000; i++)
		buf_add_u64(&b, (uint64_t)(i % 10));
	assert_int_equal(b.len, 1000);
	assert_int_equal(b.data[999], '9');
	assert_int_equal(b.data[1000], '\0');
	buf_deinit(&b);
}

static void
a_buffer_prints_the_extreme_integers(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_add_i64(&b, INT64_MIN);
	buf_add_char(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	buf_printf(&b, " %s", "end");
	assert_string_equal(b.data, "-9223372036854775808 18446744073709551615 end");
	buf_deinit(&b);
}

static void
a_shrunk_buffer_still_holds_its_bytes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_reserve(&b, 100000);
	buf_add_str(&b, "kept");
	buf_shrink(&b, 4); /* the NUL needs a fifth */
	assert_string_equal(b.data, "kept");
	buf_shrink(&b, 1000);
	assert_string_equal(b.data, "kept");
	assert_int_equal(b.cap, 1000);
	buf_reset(&b);
	buf_shrink(&b, 0);
	assert_null(b.data);
	buf_deinit(&b);
}

static void
json_text_is_escaped(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_add_json(&b, "a\"b\\c\n\x01\xc3\xa9", 9);
	assert_string_equal(b.data, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\"");
	buf_deinit(&b);
}

static void
json_text_replaces_bytes_that_are_not_utf8(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_add_json(&b, "x\xff\xe2\x82", 4); /* a stray byte, a character cut off */
	assert_string_equal(b.data, "\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	buf_deinit(&b);
}

static void
a_map_finds_every_key_it_was_given(void **state)
{
	static char keys[5000][8];
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_get(&m, "1", 1));
	for (int i = 0; i < 5000; i++) {
		int len = snprintf(keys[i], sizeof(keys[i]), "%d", i);
		void **at = map_at(&m, keys[i], (size_t)len);

		assert_null(*at);
		*at = keys[i];
	}
	assert_int_equal(m.used, 5000);
	for (int i = 0; i < 5000; i++)
		assert_ptr_equal(map_get(&m, keys[i], strlen(keys[i])), keys[i]);
	assert_null(map_get(&m, "5000", 4));
	map_deinit(&m);
}

static void
a_key_that_is_there_keeps_its_value(void **state)
{
	struct map m;
	int value;

	(void)state;
	map_init(&m);
	*map_at(&m, "key", 3) = &value;
	assert_ptr_equal(*map_at(&m, "key and more", 3), &value);
	assert_int_equal(m.used, 1);
	map_deinit(&m);
}

static void
keys_may_be_empty_or_hold_nul_bytes(void **state)
{
	struct map m;
	int empty, one, two;

	(void)state;
	map_init(&m);
	*map_at(&m, NULL, 0) = &empty;
	*map_at(&m, "\0a", 2) = &one;
	*map_at(&m, "\0b", 2) = &two;
	assert_ptr_equal(map_get(&m, "", 0), &empty);
	assert_ptr_equal(map_get(&m, "\0a", 2), &one);
	assert_ptr_equal(map_get(&m, "\0b", 2), &two);
	map_deinit(&m);
}

static void
a_reset_map_is_empty(void **state)
{
	struct map m;
	int value;

	(void)state;
	map_init(&m);
	for (int round = 0; round < 2; round++) {
		*map_at(&m, "key", 3) = &value;
		map_reset(&m, round == 0 ? 64 : 0);
		assert_int_equal(m.used, 0);
		assert_null(map_get(&m, "key", 3));
		assert_true(round == 0 ? m.capacity > 0 : m.capacity == 0);
	}
	map_deinit(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arena_hands_out_aligned_memory_that_does_not_overlap),
		cmocka_unit_test(a_reset_arena_gives_the_same_memory_again),
		cmocka_unit_test(a_reset_arena_keeps_no_more_than_it_was_told),
		cmocka_unit_test(an_arena_counts_what_it_handed_out),
		cmocka_unit_test(an_arena_copy_ends_in_a_nul),
		cmocka_unit_test(a_buffer_grows_and_keeps_what_it_holds),
		cmocka_unit_test(a_buffer_prints_the_extreme_integers),
		cmocka_unit_test(a_shrunk_buffer_still_holds_its_bytes),
		cmocka_unit_test(json_text_is_escaped),
		cmocka_unit_test(json_text_replaces_bytes_that_are_not_utf8),
		cmocka_unit_test(a_map_finds_every_key_it_was_given),
		cmocka_unit_test(a_key_that_is_there_keeps_its_value),
		cmocka_unit_test(keys_may_be_empty_or_hold_nul_bytes),
		cmocka_unit_test(a_reset_map_is_empty),
	};

	return cmocka_run_group_tests_name("common memory", tests, NULL, NULL);
}
