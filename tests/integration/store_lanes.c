/* Lanes in the ledger: their rows, owners, orders and marks. */
#include "tests/integration/store_rig.h"
#include "worker/store/order.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static void
a_row_that_is_there_is_not_started_again(struct scene *s)
{
	struct ledger_row row;

	must(s->store->ops->start(s->store, &s->a, (struct position){ 99, 0 }, "other", &s->err),
	    &s->err);
	row = look(s->store, &s->a);
	CHECK(row.position.major == 5 && strcmp(row.identity, "id") == 0 &&
	    row.lanes_of_source == 2);
}

static void
done_is_recorded_and_moved(struct scene *s)
{
	struct lane *lanes[2] = { &s->a, &s->b };
	struct ledger_row row;

	s->a.position = (struct position){ 5, 0 };
	must(s->store->ops->move(s->store, &s->a, (struct position){ 8, 2 }, &s->err), &s->err);
	row = look(s->store, &s->a);
	CHECK(row.position.major == 8 && row.position.minor == 2 && row.done.minor == 2);
	adopt(s->store, &s->a);
	s->a.done = (struct position){ 7, 0 };
	s->a.recording = (struct position){ 8, 1 };
	s->b.recording = s->b.done;
	CHECK(s->store->ops->record(s->store, lanes, 2, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).done.minor == 1 && look(s->store, &s->b).done.major == 6);
}

static void
another_number_of_lanes_stays_until_the_lane_moves(struct scene *s)
{
	struct small_batch batch;

	s->a.lanes_of_source = 4;
	adopt(s->other, &s->a);
	CHECK(look(s->store, &s->a).lanes_of_source == 2);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->other, &batch, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).lanes_of_source == 4);
}

static void
an_owner_of_yesterday_is_fenced(struct scene *s)
{
	struct small_batch batch;
	struct lane a = s->a, *lane = &s->a;

	adopt(s->other, &a);
	CHECK(a.epoch == s->a.epoch + 1);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_MISMATCH);
	s->a.recording = (struct position){ 5, 1 };
	CHECK(s->store->ops->record(s->store, &lane, 1, &s->err) == WRITE_MISMATCH);
	CHECK(s->store->ops->move(s->store, &s->a, (struct position){ 7, 0 }, &s->err) == -1);
	CHECK(s->store->ops->mark(s->store, &s->a, &s->err) == -1 && s->err.class == ERR_RETRY);
	CHECK(look(s->other, &a).position.major == 5 && look(s->other, &a).done.minor == 0);
	fill(&batch, &a, NULL);
	CHECK(write_batch(s->other, &batch, &s->err) == WRITE_OK);
}

static void
a_lane_has_one_owner(struct scene *s)
{
	struct lane *lanes[3] = { &s->a, NULL, &s->b };
	bool owned[3];

	must(s->store->ops->own(s->store, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && !owned[1] && owned[2]);
	must(s->store->ops->own(s->store, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && owned[2]);
	must(s->other->ops->own(s->other, lanes, 3, owned, &s->err), &s->err);
	CHECK(!owned[0] && !owned[2]);
	/* taken twice, given back once */
	must(s->store->ops->disown(s->store, &s->a, &s->err), &s->err);
	must(s->other->ops->own(s->other, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && !owned[2]);
	must(s->store->ops->ping(s->store, &s->err), &s->err);
}

static void
lanes_of_a_dead_session_are_free(struct scene *s)
{
	struct lane *lanes[1] = { &s->a };
	bool owned = false;

	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	CHECK(owned);
	s->store->ops->free(&s->store);
	owned = false;
	for (int i = 0; i < 500 && !owned; i++) {
		must(s->other->ops->own(s->other, lanes, 1, &owned, &s->err), &s->err);
		poll(NULL, 0, owned ? 0 : 10);
	}
	CHECK(owned);
}

static void
an_order_is_taken_once(struct scene *s)
{
	struct lane *lanes[3] = { NULL, &s->a, &s->b };
	struct lane_order orders[3];
	struct ledger_listed *list;
	size_t count;

	must(ledger_order_write(s->sql, str_of(s->b.name), STR("resume"), &s->err), &s->err);
	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	/* nothing changes, and yet it is there */
	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	CHECK(ledger_order_write(s->sql, STR("nobody"), STR("ack"), &s->err) == -1);
	CHECK(ledger_order_write(s->sql, str_of(s->b.name), STR("dance"), &s->err) == -1);
	must(ledger_list(s->sql, &list, &count, &s->err), &s->err);
	CHECK(count == 2 && strcmp(list[0].name, s->a.name) == 0 &&
	    strcmp(list[1].done, "6-0") == 0);
	CHECK(strcmp(list[1].command, "skip 7-1") == 0 && strstr(list[1].owner, "/0") != NULL);
	free(list);
	must(s->store->ops->orders(s->store, lanes, 3, orders, &s->err), &s->err);
	CHECK(orders[0].kind == ORDER_NONE && orders[1].kind == ORDER_NONE);
	CHECK(orders[2].kind == ORDER_SKIP && orders[2].position.major == 7);
	must(s->store->ops->orders(s->store, lanes, 3, orders, &s->err), &s->err);
	CHECK(orders[2].kind == ORDER_NONE);
	must(s->store->ops->orders(s->store, lanes, 1, orders, &s->err), &s->err);
}

static void
an_order_is_for_the_lanes_owner(struct scene *s)
{
	struct lane *stale[1] = { &s->b };
	struct lane_order order;
	struct lane taken = s->b;
	struct lane *owner[1] = { &taken };
	struct ledger_row row;

	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	must(s->other->ops->load(s->other, &taken, true, &row, &s->err), &s->err);
	taken.epoch = row.epoch;
	must(s->store->ops->orders(s->store, stale, 1, &order, &s->err), &s->err);
	CHECK(order.kind == ORDER_NOT_OURS);
	must(s->other->ops->orders(s->other, owner, 1, &order, &s->err), &s->err);
	CHECK(order.kind == ORDER_SKIP);
}

static void
marks_outlive_us(struct scene *s)
{
	struct ledger_row row;
	struct lane lost;

	s->a.state = LANE_HALTED;
	s->a.why = LANE_WHY_ON_POISON;
	s->a.alarm = LANE_WHY_GAP;
	must(s->store->ops->mark(s->store, &s->a, &s->err), &s->err);
	row = look(s->other, &s->a);
	CHECK(strcmp(row.halted, LANE_WHY_ON_POISON) == 0 && strcmp(row.alarm, LANE_WHY_GAP) == 0);
	s->a.state = LANE_OPEN;
	s->a.alarm = NULL;
	must(s->store->ops->mark(s->store, &s->a, &s->err), &s->err);
	row = look(s->other, &s->a);
	CHECK(row.halted[0] == '\0' && row.alarm[0] == '\0');

	make_lane(&lost, "p/redis/lost");
	CHECK(!look(s->store, &lost).found);
	lost.state = LANE_HALTED;
	lost.why = LANE_WHY_LEDGER_LOST;
	must(s->store->ops->mark(s->store, &lost, &s->err), &s->err);
	row = look(s->store, &lost);
	CHECK(row.found && strcmp(row.halted, LANE_WHY_LEDGER_LOST) == 0 &&
	    row.position.major == 0);
	must(ledger_order_write(s->sql, str_of(lost.name), STR("resume 4-0"), &s->err), &s->err);
}

const struct check lane_checks[] = {
	A_CHECK(a_row_that_is_there_is_not_started_again),
	A_CHECK(done_is_recorded_and_moved),
	A_CHECK(another_number_of_lanes_stays_until_the_lane_moves),
	A_CHECK(an_owner_of_yesterday_is_fenced),
	A_CHECK(a_lane_has_one_owner),
	A_CHECK(lanes_of_a_dead_session_are_free),
	A_CHECK(an_order_is_taken_once),
	A_CHECK(an_order_is_for_the_lanes_owner),
	A_CHECK(marks_outlive_us),
	{ NULL, NULL },
};
