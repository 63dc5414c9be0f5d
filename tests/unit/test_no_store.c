#include "worker/store/no_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A home that keeps nothing. */
static int
keep(struct letter_home *home, const struct entry *first, unsigned *written, struct err *err)
{
	(void)home, (void)first, (void)err;
	*written = 0;
	return 0;
}

static int
order(struct letter_home *home, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	(void)home, (void)lanes, (void)err;
	memset(orders, 0, count * sizeof(*orders));
	return 0;
}

static void
forget(struct letter_home **home)
{
	*home = NULL;
}

static const struct letter_home_ops home_ops = { keep, order, forget };

struct rig {
	struct config config;
	struct config_problems problems;
	struct letter_home home;
	struct store *store;
	struct lane lane;
};

static int
set_up(void **state)
{
	static struct rig rig;
	struct letter_home *home = &rig.home;

	rig = (struct rig){ .home = { &home_ops } };
	assert_int_equal(config_parse(&rig.config, "f",
			     STR("kafka: { brokers: k }\nredis: { url: \"redis://r\" }\n"
				 "sources: [{ topics: a, table: t, format: json, write: false }]\n"
				 "tables: { t: {} }\n"),
			     &rig.problems),
	    0);
	rig.store = no_store_new(&rig.config, &home);
	assert_null(home);
	assert_true(lane_init_partition(&rig.lane, &rig.config, &rig.config.sources[0], "a", 0, 0));
	*state = &rig;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *rig = *state;

	rig->store->ops->free(&rig->store);
	config_problems_deinit(&rig->problems);
	config_deinit(&rig->config);
	return 0;
}

static struct ledger_row
load(struct rig *rig)
{
	struct ledger_row row = { 0 };
	struct err err = { 0 };

	assert_int_equal(rig->store->ops->load(rig->store, &rig->lane, false, &row, &err), 0);
	return row;
}

static void
a_topic_is_known_again_until_its_lane_is_let_go(void **state)
{
	struct rig *rig = *state;
	struct err err = { 0 };

	assert_false(load(rig).found);
	rig->store->ops->start(rig->store, &rig->lane, position_of_offset(4), "c one", &err);
	assert_string_equal(load(rig).identity, "c one");
	rig->store->ops->identify(rig->store, &rig->lane, "c two", &err);
	assert_string_equal(load(rig).identity, "c two");
	rig->store->ops->disown(rig->store, &rig->lane, &err);
	assert_false(load(rig).found);
}

static void
an_order_moves_the_place(void **state)
{
	struct rig *rig = *state;
	struct err err = { 0 };
	struct ledger_row row;

	rig->store->ops->start(rig->store, &rig->lane, position_of_offset(4), "", &err);
	assert_int_equal(rig->store->ops->move(rig->store, &rig->lane, position_of_offset(7), &err),
	    0);
	row = load(rig);
	assert_int_equal(position_next_offset(row.position), 8);
	assert_int_equal(position_next_offset(row.done), 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_topic_is_known_again_until_its_lane_is_let_go,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_order_moves_the_place, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
