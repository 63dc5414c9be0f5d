#include "common/clock.h"
#include "tests/support/cache_rig.h"
#include "worker/cache/refresh_ring.h"
#include "worker/read_back.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Which rows mode populate reads back, and what of them it writes. */
static const char *const templates[] = { "user:{id}" };
static struct table given = { .populates = true, .version = VERSION_GIVEN },
		    stamped = { .populates = true, .version = VERSION_COUNTER },
		    plain = { .version = VERSION_GIVEN };

/* Of a change and, behind it, maybe another. */
static bool
wants(struct table *table, struct change a, struct entry of_a, const struct change *b)
{
	struct entry of_b = { 0 };
	struct change first = a, second = b != NULL ? *b : a;
	struct touched row = { .table = table };

	cache_rig_add(&row, &first, &of_a);
	if (b != NULL)
		cache_rig_add(&row, &second, &of_b);
	return read_back_wants(&row);
}

static void
rows_are_read_that_this_transaction_wrote(void **state)
{
	struct change upsert = { .has_version = true, .version = 5 };
	struct change delete = { .op = CHANGE_DELETE, .has_version = true, .version = 6 };
	struct change asked = { .op = CHANGE_INVALIDATE };

	(void)state;
	assert_true(wants(&given, upsert, (struct entry){ 0 }, NULL));
	assert_false(wants(&plain, upsert, (struct entry){ 0 }, NULL));
	assert_false(wants(&given, upsert, (struct entry){ .done_before = true }, NULL));
	assert_false(wants(&given, upsert,
	    (struct entry){ .refusal.reason = REASON_BAD_VALUE, .refusal.of_write = true }, NULL));
	assert_true(wants(&given, upsert, (struct entry){ .done_before = true }, &upsert));
	assert_false(wants(&given, upsert, (struct entry){ 0 }, &delete));
	assert_false(wants(&given, upsert, (struct entry){ 0 }, &asked));
	assert_true(wants(&stamped, (struct change){ 0 }, (struct entry){ 0 }, NULL));
}

static void
the_row_that_stands_for_a_whole_table_is_none(void **state)
{
	struct entry entry = { 0 };
	struct change change = { .op = CHANGE_DELETE, .has_version = true };
	struct touched row = { .table = &stamped, .whole = true };

	(void)state;
	cache_rig_add(&row, &change, &entry);
	assert_false(read_back_wants(&row));
}

static bool
writes(uint64_t version, struct told told)
{
	struct row_now now = { .value = STR("{}"), .version = version };
	struct touched row = { .table = &given, .now = &now };

	told.anything = true;
	return read_back_of(&row, &told) == &now;
}

static void
what_was_read_is_written_unless_it_is_older_than_what_is_told(void **state)
{
	struct touched unread = { .table = &given };

	(void)state;
	assert_true(writes(57, (struct told){ .version = 57 }));
	assert_true(writes(58, (struct told){ .version = 57 }));
	assert_false(writes(56, (struct told){ .version = 57 }));
	assert_false(writes(57, (struct told){ .unversioned = true }));
	assert_false(writes(57, (struct told){ .version = 57, .deleted = true }));
	assert_true(writes(58, (struct told){ .version = 57, .deleted = true }));
	/* some of it was told before a crash, but it was read after that */
	assert_true(writes(57, (struct told){ .version = 57, .repeat = true }));
	assert_null(read_back_of(&unread, &(struct told){ .version = 57 }));
	assert_null(read_back_of(NULL, &(struct told){ .version = 57 }));
}

static void
a_row_that_was_read_is_told_and_another_invalidated(void **state)
{
	struct row_now now = { .value = STR("{\"id\":7}"), .version = 58 };
	struct entry entry = { 0 };
	struct change one = { .has_version = true, .version = 57 },
		      other = { .has_version = true, .version = 9 };
	struct cache_rig f;
	struct touched *row;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_POPULATE, templates, 1);
	f.written[0].ttl_ms = 1000;
	f.written[0].quarantine_ms = 7000;
	cache_rig_add(cache_rig_touch(&f, "8"), &other, &entry);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &one, &entry);
	row->now = &now;
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_populate 1 user:7 58 {\"id\":7} 1000   60000 0 2000 0 7000 57\n"
	    "sluice_invalidate 1 user:8 9 row 60000 2000 7000\n");
	cache_rig_close(&f);
}

static void
it_is_told_when_the_row_was_read_by_the_clock_of_the_cache(void **state)
{
	struct row_now now = { .value = STR("{}"), .version = 58 };
	struct entry entry = { 0 };
	struct change change = { .has_version = true, .version = 57 };
	struct cache_rig f;
	struct touched *row;
	struct err err;

	(void)state;
	clock_fake(5000000);
	cache_rig_open_mode(&f, MODE_POPULATE, templates, 1);
	f.config_table.templates = f.written;
	f.config_table.template_count = 1;
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &change, &entry);
	row->now = &now;
	f.batch.now_us = 4123000;
	clock_fake(5100000);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_populate 1 user:7 58 {} 0   60000 0 2000 6023 5000 57\n");
	cache_rig_close(&f);
	clock_fake(-1);
}

static void
a_row_that_finds_no_room_is_invalidated_with_what_was_told_with_it(void **state)
{
	static const struct {
		uint64_t row;
		const char *told;
	} cases[] = { { 57, "57 row 60000 2000 5000 56 2" },
		{ 58, "58 row 60000 2000 5000 57 3" } };
	struct change one = { .has_version = true, .version = 55 },
		      two = { .has_version = true, .version = 56 },
		      three = { .has_version = true, .version = 57 };
	struct entry entry = { 0 };
	struct cache_rig f;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct row_now now = { .value = STR("{}"), .version = cases[i].row };
		struct touched *row;
		char want[160];

		cache_rig_open_mode(&f, MODE_POPULATE, templates, 1);
		f.server.call_answer = "-OOM command not allowed\r\n";
		row = cache_rig_touch(&f, "7");
		cache_rig_add(row, &one, &entry);
		cache_rig_add(row, &two, &entry);
		cache_rig_add(row, &three, &entry);
		row->now = &now;
		assert_int_equal(cache_rig_round(&f, &err), -1);
		snprintf(want, sizeof(want), "\nsluice_invalidate 1 user:7 %s\n", cases[i].told);
		assert_non_null(strstr(f.server.seen.data, want));
		cache_rig_close(&f);
	}
}

/* For values that were put behind it. */
static void
what_is_told_together_with_a_row_goes_with_it(void **state)
{
	struct row_now now = { .value = STR("{}"), .version = 58 };
	struct entry entry = { 0 };
	struct change one = { .has_version = true, .version = 55 },
		      two = { .has_version = true, .version = 57 };
	struct cache_rig f;
	struct touched *row;
	struct err err;

	(void)state;
	cache_rig_open_mode(&f, MODE_POPULATE, templates, 1);
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &one, &entry);
	row->now = &now;
	cache_rig_add(row, &two, &entry);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	now.version = 57;
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_populate 1 user:7 58 {} 0   60000 0 2000 0 5000 57 2\n"
	    "sluice_populate 1 user:7 57 {} 0   60000 0 2000 0 5000 55\n");
	cache_rig_close(&f);
}

static bool
is_reloaded(const char *answer)
{
	struct row_now now = { .value = STR("{}"), .version = 58 };
	struct entry entry = { 0 };
	struct change change = { .has_version = true, .version = 57 };
	struct refresh_ring *ring = refresh_ring_new();
	const struct config_table *table;
	struct cache_rig f;
	struct touched *row;
	struct err err;
	struct str key;
	bool told;

	cache_rig_open_mode(&f, MODE_POPULATE, templates, 1);
	f.config_table.refresh.on_invalidate = true;
	f.config_table.refresh.template = f.written;
	f.server.call_answer = answer;
	f.cache->reloads = ring;
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &change, &entry);
	row->now = &now;
	assert_int_equal(cache_rig_round(&f, &err), 1);
	told = refresh_ring_next(ring, &table, &key);
	assert_true(!told || str_equal(key, STR("user:7")));
	cache_rig_close(&f);
	refresh_ring_free(&ring);
	return told;
}

static void
the_refresher_hears_of_a_row_that_was_not_written(void **state)
{
	(void)state;
	assert_false(is_reloaded("+OK\r\n"));
	assert_true(is_reloaded("+ABSENT\r\n"));
	assert_true(is_reloaded("+LATE\r\n"));
	assert_true(is_reloaded("+BUSY\r\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_read_that_this_transaction_wrote),
		cmocka_unit_test(the_row_that_stands_for_a_whole_table_is_none),
		cmocka_unit_test(what_was_read_is_written_unless_it_is_older_than_what_is_told),
		cmocka_unit_test(a_row_that_was_read_is_told_and_another_invalidated),
		cmocka_unit_test(
		    a_row_that_finds_no_room_is_invalidated_with_what_was_told_with_it),
		cmocka_unit_test(what_is_told_together_with_a_row_goes_with_it),
		cmocka_unit_test(the_refresher_hears_of_a_row_that_was_not_written),
		cmocka_unit_test(it_is_told_when_the_row_was_read_by_the_clock_of_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
