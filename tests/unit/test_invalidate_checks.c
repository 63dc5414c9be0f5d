#include "tests/support/cache_rig.h"
#include "worker/cache/verify_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* Which invalidations are looked at again, and what is known of them. */
struct rig {
	struct cache_rig cache;
	struct verify_ring *ring;
	struct lane lane;
};

static const char *const templates[] = { "user:{id}" };

static void
open_rig(struct rig *f, enum config_mode mode)
{
	cache_rig_open_mode(&f->cache, mode, templates, 1);
	f->ring = verify_ring_new(1);
	f->cache.cache->checks = f->ring;
	f->lane = (struct lane){ .name = "default/redis/s" };
}

static void
close_rig(struct rig *f)
{
	cache_rig_close(&f->cache);
	verify_ring_free(&f->ring);
}

static void
an_answered_one_is_told_with_the_change_of_its_version(void **state)
{
	struct rig f;
	struct entry older = { .lane = &f.lane, .id = { 5, 0 } },
		     newer = { .lane = &f.lane, .id = { 6, 1 } };
	struct change one = { .has_version = true, .version = 56, .entry = &older },
		      other = { .has_version = true,
			      .version = 57,
			      .op = CHANGE_DELETE,
			      .entry = &newer };
	struct touched *row;
	struct verify_told told;
	struct err err;

	(void)state;
	open_rig(&f, MODE_VERSIONED);
	row = cache_rig_touch(&f.cache, "7");
	cache_rig_add(row, &other, &newer);
	cache_rig_add(row, &one, &older);
	assert_false(verify_ring_next(f.ring, &told));
	assert_int_equal(cache_rig_round(&f.cache, &err), 1);
	assert_true(verify_ring_next(f.ring, &told));
	assert_true(str_equal(told.key, STR("user:7")));
	assert_ptr_equal(told.table, &f.cache.config_table);
	assert_ptr_equal(told.template, &f.cache.written[0]);
	assert_true(told.said.versioned && told.said.deleted);
	assert_int_equal(told.said.version, 57);
	assert_ptr_equal(told.lane, &f.lane);
	assert_int_equal(told.change.major, 6);
	assert_int_equal(told.change.minor, 1);
	assert_false(told.up_to);
	verify_ring_taken(f.ring);
	assert_false(verify_ring_next(f.ring, &told));
	close_rig(&f);
}

static void
one_that_was_not_answered_is_not_told(void **state)
{
	static const char *const answers[] = { "-MOVED 1 10.0.0.1:6379\r\n",
		"-WRONGTYPE it holds something else\r\n" };
	struct rig f;
	struct entry entry = { .lane = &f.lane };
	struct change change = { .has_version = true, .version = 57, .entry = &entry };
	struct verify_told told;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		open_rig(&f, MODE_VERSIONED);
		f.cache.server.call_answer = answers[i];
		cache_rig_add(cache_rig_touch(&f.cache, "7"), &change, &entry);
		assert_int_equal(cache_rig_round(&f.cache, &err), i == 0 ? -1 : 1);
		assert_false(verify_ring_next(f.ring, &told));
		close_rig(&f);
	}
}

static void
keys_of_other_modes_are_not_told(void **state)
{
	static const enum config_mode modes[] = { MODE_DELETE, MODE_GENERATION };
	struct verify_told told;
	struct rig f;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		open_rig(&f, modes[i]);
		cache_rig_touch(&f.cache, "7");
		assert_int_equal(cache_rig_round(&f.cache, &err), 1);
		assert_false(verify_ring_next(f.ring, &told));
		assert_int_equal(verify_ring_counts(f.ring)->told, 0);
		close_rig(&f);
	}
}

static void
of_a_recalled_key_only_the_batch_is_known_and_of_two_lanes_nothing(void **state)
{
	struct rig f;
	struct batch_lane other = { .next = NULL }, lane = { .lane = &f.lane, .last = { 9, 0 } };
	struct owed owed = { .key = STR("user:8"), .told = { .anything = true, .version = 5 } };
	struct verify_told told;
	struct err err;

	(void)state;
	for (int lanes = 1; lanes <= 2; lanes++) {
		open_rig(&f, MODE_VERSIONED);
		owed.table = &f.cache.config_table;
		owed.template = &f.cache.written[0];
		owed_add(&f.cache.batch.owed, &owed);
		lane.next = lanes == 2 ? &other : NULL;
		f.cache.batch.lanes = &lane;
		assert_int_equal(cache_rig_round(&f.cache, &err), 1);
		assert_true(verify_ring_next(f.ring, &told));
		assert_true(str_equal(told.key, STR("user:8")));
		assert_true(lanes == 1 ? told.lane == &f.lane && told.up_to : told.lane == NULL);
		f.cache.batch.lanes = NULL;
		close_rig(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answered_one_is_told_with_the_change_of_its_version),
		cmocka_unit_test(one_that_was_not_answered_is_not_told),
		cmocka_unit_test(keys_of_other_modes_are_not_told),
		cmocka_unit_test(
		    of_a_recalled_key_only_the_batch_is_known_and_of_two_lanes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
