#include "tests/support/batch_rig.h"
#include "worker/store/dead_letter.h"
#include "worker/store/letter_payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;

static int
set_up(void **state)
{
	(void)state;
	rig_start(&rig);
	for (unsigned i = 0; i < RIG_TABLES; i++)
		rig.config[i].on_poison = ON_POISON_PARK;
	rig.config[1].on_poison = ON_POISON_SKIP;
	batch_reset(&rig.batch, rig.schema);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	rig_end(&rig);
	return 0;
}

static void
expect_reason(const struct entry *e, const char *reason, bool parks)
{
	if (reason == NULL)
		assert_null(e->refusal.reason);
	else
		assert_string_equal(e->refusal.reason, reason);
	assert_int_equal(e->refusal.parks, parks);
}

/* ---- sets ---- */

static struct park_key
key(char kind, unsigned char n)
{
	struct park_key k = { { (unsigned char)kind, n } };

	return k;
}

static void
a_set_holds_what_was_added_once(void **state)
{
	struct parked set = { .keys = NULL };
	struct park_key k;
	unsigned before;

	(void)state;
	for (unsigned char n = 100; n > 0; n--) {
		k = key('k', n);
		assert_true(parked_add(&set, &k));
		assert_false(parked_add(&set, &k));
	}
	assert_int_equal(set.count, 100);
	k = key('k', 200);
	assert_false(parked_has(&set, &k));
	before = set.generation;
	parked_clear(&set);
	assert_int_not_equal(set.generation, before);
	assert_false(parked_has(&set, &k));
	parked_deinit(&set);
}

static void
a_row_waits_for_itself_and_for_whatever_may_be_any_row(void **state)
{
	struct parked set = { .keys = NULL };
	struct park_key row = key('k', 1), other = key('k', 2), some = key('a', 9),
			any = key('t', 9);

	(void)state;
	parked_add(&set, &row);
	parked_add(&set, &some); /* of the row's table */
	assert_true(parked_blocks(&set, &row));
	assert_false(parked_blocks(&set, &other));
	assert_false(parked_blocks(&set, &some)); /* another row of it */
	assert_true(parked_blocks(&set, &any));
	parked_clear(&set);
	parked_add(&set, &any);
	assert_true(parked_blocks(&set, &some));
	assert_true(parked_blocks(&set, &any));
	assert_false(parked_blocks(&set, &row));
	parked_deinit(&set);
}

/* ---- keys ---- */

static void
spellings_of_one_row_have_one_key(void **state)
{
	struct park_key a[PARK_KEYS], b[PARK_KEYS], c[PARK_KEYS];
	struct entry *bob = rig_add(&rig, 0, "_table=words id=Bob a=1"),
		     *lower = rig_add(&rig, 0, "_table=words id=bob a=1"),
		     *other = rig_add(&rig, 0, "_table=words id=bop a=1");

	(void)state;
	assert_int_equal(park_keys(&bob->changes[0], a), 2);
	assert_int_equal(park_keys(&lower->changes[0], b), 2);
	assert_int_equal(park_keys(&other->changes[0], c), 2);
	assert_memory_equal(&a[0], &b[0], sizeof(a[0]));
	assert_memory_not_equal(&a[0], &c[0], sizeof(a[0]));
	assert_memory_equal(&a[1], &c[1], sizeof(a[1]));
}

/* Rows of sluice_parked outlive every process: their hashes must never change. */
static void
a_key_is_the_same_in_every_release(void **state)
{
	static const unsigned char wanted[] = { 0x6b, 0xb6, 0x31, 0xf5, 0x18, 0xab, 0xde, 0x54,
		0x18, 0xd6, 0xe8, 0xd4, 0xcc, 0x08, 0x30, 0x73 };
	struct park_key keys[PARK_KEYS];
	struct entry *e = rig_add(&rig, 0, "id=7 a=1");

	(void)state;
	assert_int_equal(park_keys(&e->changes[0], keys), 1);
	assert_memory_equal(keys[0].bytes, wanted, sizeof(wanted));
}

static void
a_table_that_is_gone_parks_nothing(void **state)
{
	struct park_key keys[PARK_KEYS];
	struct entry *e = rig_add(&rig, 0, "_table=gone id=1");

	(void)state;
	assert_null(e->refusal.reason);
	assert_int_equal(park_keys(&e->changes[0], keys), 0);
}

/* ---- folding ---- */

static void
what_follows_a_refused_entry_is_parked(void **state)
{
	struct entry *bad = rig_add(&rig, 0, "id=1 nosuch=1"),
		     *behind = rig_add(&rig, 0, "id=1 a=1"), *other = rig_add(&rig, 0, "id=2 a=1"),
		     *elsewhere = rig_add(&rig, 1, "id=1 a=1");

	(void)state;
	expect_reason(bad, REASON_UNKNOWN_COLUMN, true);
	expect_reason(behind, REASON_PARKED, true);
	expect_reason(other, NULL, false);
	expect_reason(elsewhere, NULL, false);
}

static void
an_entry_without_a_key_parks_nothing(void **state)
{
	struct entry *bad = rig_add(&rig, 0, "_op=frob id=1"), *none = rig_add(&rig, 0, "a=1"),
		     *next = rig_add(&rig, 0, "id=1 a=1");

	(void)state;
	expect_reason(bad, REASON_BAD_OPERATION, false);
	expect_reason(none, REASON_NO_KEY, false);
	expect_reason(next, NULL, false);
}

static void
a_table_that_skips_parks_only_behind_parked_keys(void **state)
{
	struct entry *bad = rig_add(&rig, 0, "_table=strict id=1 nosuch=1"),
		     *next = rig_add(&rig, 0, "_table=strict id=1 name=x");

	(void)state;
	expect_reason(bad, REASON_UNKNOWN_COLUMN, false);
	expect_reason(next, NULL, false);
	parked_add_entry(&rig.lanes[0].parked, next);
	assert_true(batch_parked_moved(&rig.batch));
	batch_rebuild(&rig.batch, rig.schema);
	assert_false(batch_parked_moved(&rig.batch));
	expect_reason(bad, REASON_UNKNOWN_COLUMN, true);
	expect_reason(next, REASON_PARKED, true);
}

static void
what_is_written_already_is_not_parked(void **state)
{
	struct entry *e;

	(void)state;
	rig.lanes[0].position = (struct position){ 1, 0 };
	e = rig_add(&rig, 0, "id=1 a=1");
	assert_true(e->done_before);
	parked_add_entry(&rig.lanes[0].parked, e);
	batch_rebuild(&rig.batch, rig.schema);
	expect_reason(e, NULL, false);
	assert_non_null(rig.batch.touched);
}

static void
an_invalidation_waits_for_nothing(void **state)
{
	struct entry *e;

	(void)state;
	rig_add(&rig, 0, "id=1 nosuch=1");
	e = rig_add(&rig, 0, "_op=invalidate id=1");
	expect_reason(e, NULL, false);
}

static void
more_than_max_parked_keys_halt_the_lane_at_the_entry(void **state)
{
	struct entry *third;
	struct batch_lane *bl;

	(void)state;
	rig_add(&rig, 0, "id=1 nosuch=1");
	rig_add(&rig, 0, "id=2 nosuch=1");
	rig_add(&rig, 0, "id=1 a=1");
	third = rig_add(&rig, 0, "id=3 nosuch=1");
	assert_false(batch_check_parked(&rig.batch, 3));
	assert_true(batch_check_parked(&rig.batch, 2));
	bl = batch_lane_find(&rig.batch, &rig.lanes[0]);
	assert_string_equal(bl->leave_why, LANE_WHY_MAX_PARKED);
	assert_ptr_equal(bl->leave_at, third);
	assert_true(bl->leave_halts);
}

static void
followers_do_not_count_for_the_poison_rate(void **state)
{
	(void)state;
	rig_add(&rig, 0, "id=1 nosuch=1");
	for (int i = 0; i < 5; i++)
		rig_add(&rig, 0, "id=1 a=1");
	assert_false(batch_check_poison(&rig.batch, 1));
	rig_add(&rig, 0, "id=2 nosuch=1");
	assert_true(batch_check_poison(&rig.batch, 1));
}

/* ---- payloads ---- */

static void
a_payload_reads_back_as_it_was(void **state)
{
	struct field fields[] = { { STR("a\"]"), { STR("\\\n\0x"), VALUE_TEXT } },
		{ STR("\xff"), { STR("\xff\x00\x10\x01"), VALUE_TEXT } },
		{ STR(""), { STR(""), VALUE_TEXT } } },
		     *read;
	struct entry entry = { .raw = fields, .raw_count = 3 };
	struct arena arena;
	struct buf out;
	size_t count;

	(void)state;
	buf_init(&out);
	arena_init(&arena, 0);
	dead_letter_payload(&entry, &out);
	assert_true(letter_payload_read((struct str){ out.data, out.len }, &arena, &read, &count));
	assert_int_equal(count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(str_equal(read[i].name, fields[i].name));
		assert_true(str_equal(read[i].value.text, fields[i].value.text));
		assert_int_equal(read[i].value.kind, VALUE_TEXT);
	}
	arena_deinit(&arena);
	buf_deinit(&out);
}

static void
a_payload_that_was_edited_is_none(void **state)
{
	static const char *const texts[] = { "", "{}", "[1]", "[[\"a\"]]", "[[\"a\",1]]",
		"[[\"a\",{\"base64\":\"?\"}]]", "[[\"a\",\"b\"]" };
	struct field *read;
	struct arena arena;
	size_t count;

	(void)state;
	arena_init(&arena, 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(letter_payload_read(str_of(texts[i]), &arena, &read, &count));
	arena_deinit(&arena);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_holds_what_was_added_once),
		cmocka_unit_test(a_row_waits_for_itself_and_for_whatever_may_be_any_row),
		A_TEST(spellings_of_one_row_have_one_key),
		A_TEST(a_key_is_the_same_in_every_release),
		A_TEST(a_table_that_is_gone_parks_nothing),
		A_TEST(what_follows_a_refused_entry_is_parked),
		A_TEST(an_entry_without_a_key_parks_nothing),
		A_TEST(a_table_that_skips_parks_only_behind_parked_keys),
		A_TEST(what_is_written_already_is_not_parked),
		A_TEST(an_invalidation_waits_for_nothing),
		A_TEST(more_than_max_parked_keys_halt_the_lane_at_the_entry),
		A_TEST(followers_do_not_count_for_the_poison_rate),
		cmocka_unit_test(a_payload_reads_back_as_it_was),
		cmocka_unit_test(a_payload_that_was_edited_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
