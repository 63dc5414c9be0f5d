#include "tests/support/batch_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What waits behind dead letters of change events. */
static struct rig rig;

static int
set_up(void **state)
{
	(void)state;
	rig_start(&rig);
	for (unsigned i = 0; i < RIG_TABLES; i++)
		rig.config[i].on_poison = ON_POISON_PARK;
	rig.source.format = FORMAT_DEBEZIUM;
	rig.source.listed = rig.source.tables;
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

#define OF(table) ",\"source\":{\"db\":\"d\",\"table\":\"" table "\"}}"
#define CREATE(table, after) "value={\"op\":\"c\",\"after\":" after OF(table)
#define UPDATE(table, before, after) \
	"value={\"op\":\"u\",\"before\":" before ",\"after\":" after OF(table)
#define TRUNCATE(table) "value={\"op\":\"t\"" OF(table)

/* One event; its reason, and whether its keys are parked. */
static void
expect(const char *fields, const char *reason)
{
	struct entry *e = rig_add(&rig, 0, fields);

	if (reason == NULL && e->refusal.reason != NULL)
		fail_msg("refused: %s", e->refusal.text);
	if (reason == NULL)
		return;
	assert_non_null(e->refusal.reason);
	assert_string_equal(e->refusal.reason, reason);
	assert_true(e->refusal.parks);
}

static void
a_refused_move_parks_the_row_before_and_the_row_after(void **state)
{
	(void)state;
	expect(UPDATE("things", "{\"id\":1}", "{\"id\":2,\"nosuch\":1}"), REASON_UNKNOWN_COLUMN);
	expect(CREATE("things", "{\"id\":1}"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":2}"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":3}"), NULL);
}

static void
a_move_waits_for_both_rows_and_parks_both(void **state)
{
	(void)state;
	expect(CREATE("things", "{\"id\":1,\"nosuch\":1}"), REASON_UNKNOWN_COLUMN);
	expect(UPDATE("things", "{\"id\":1}", "{\"id\":2}"), REASON_PARKED);
	expect(UPDATE("things", "{\"id\":3}", "{\"id\":2}"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":3}"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":4}"), NULL);
}

static void
a_row_before_that_is_no_key_parks_the_row_after(void **state)
{
	(void)state;
	expect(UPDATE("things", "{\"id\":\"x\"}", "{\"id\":2}"), REASON_BAD_KEY);
	expect(CREATE("things", "{\"id\":2}"), REASON_PARKED);
}

static void
a_truncate_parks_every_row_of_its_table(void **state)
{
	(void)state;
	expect(CREATE("things", "{\"id\":1}"), NULL);
	expect(TRUNCATE("things"), REASON_TRUNCATE);
	expect(CREATE("things", "{\"id\":1}"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":9}"), REASON_PARKED);
	expect(CREATE("logged", "{\"id\":1}"), NULL);
	batch_park_written(&rig.batch);
	batch_rebuild(&rig.batch, rig.schema);
	expect(CREATE("things", "{\"id\":10}"), REASON_PARKED);
}

static void
a_truncate_of_a_table_that_skips_holds_nothing_up(void **state)
{
	struct entry *e;

	(void)state;
	rig.config[0].on_poison = ON_POISON_SKIP;
	e = rig_add(&rig, 0, TRUNCATE("things"));
	assert_string_equal(e->refusal.reason, REASON_TRUNCATE);
	assert_false(e->refusal.parks);
	expect(CREATE("things", "{\"id\":1}"), NULL);
}

static void
allow_truncate(size_t lanes)
{
	rig.source.allow_truncate = true;
	for (size_t i = 0; i < RIG_TABLES; i++)
		rig.config[i].lanes = lanes;
}

static void
an_allowed_truncate_is_a_round_between_those_before_and_behind_it(void **state)
{
	(void)state;
	allow_truncate(1);
	expect(CREATE("things", "{\"id\":1}"), NULL);
	expect(CREATE("things", "{\"id\":2}"), NULL);
	expect(TRUNCATE("things"), NULL);
	expect(CREATE("things", "{\"id\":1}"), NULL);
	expect(CREATE("things", "{\"id\":3}"), NULL);
	assert_int_equal(rig.batch.steps, 5);
	assert_int_equal(rig.batch.rounds, 3);
	for (unsigned i = 0; i < 5; i++) {
		const struct step *s = rig_step(&rig, i);
		bool after =
		    s->first_change->entry->id.minor > 3 || s->first_change->entry->id.major > 3;

		if (s->shape->kind == SHAPE_TRUNCATE)
			assert_int_equal(s->round, 1);
		else
			assert_int_equal(s->round, after ? 2 : 0);
	}
}

static void
an_allowed_truncate_waits_behind_a_parked_row(void **state)
{
	(void)state;
	allow_truncate(1);
	expect(CREATE("things", "{\"id\":1,\"nosuch\":1}"), REASON_UNKNOWN_COLUMN);
	expect(TRUNCATE("things"), REASON_PARKED);
	expect(CREATE("things", "{\"id\":9}"), REASON_PARKED);
}

static void
a_truncate_of_a_table_of_two_lanes_is_refused_whatever_is_allowed(void **state)
{
	(void)state;
	allow_truncate(2);
	expect(TRUNCATE("things"), REASON_TRUNCATE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_refused_move_parks_the_row_before_and_the_row_after, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_move_waits_for_both_rows_and_parks_both, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(a_row_before_that_is_no_key_parks_the_row_after,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_truncate_parks_every_row_of_its_table, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    an_allowed_truncate_is_a_round_between_those_before_and_behind_it, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(an_allowed_truncate_waits_behind_a_parked_row,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_truncate_of_a_table_of_two_lanes_is_refused_whatever_is_allowed, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(a_truncate_of_a_table_that_skips_holds_nothing_up,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
