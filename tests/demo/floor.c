#include "common/number.h"
#include "tests/demo/shop.h"
#include "worker/position.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 20 };
#define LANE "default/redis/wb:users:"

struct round {
	struct floors *floors;
	struct sql *sql;
	int64_t tried_ms;
	uint64_t seen[SLOW_USERS], fresh[SLOW_USERS];
	struct position written[SHOP_LANES], done[SHOP_LANES], wanted[SHOP_LANES];
};

static void
pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

static bool
ask(struct round *r, struct sql_result *result, const char *statement)
{
	struct err err;

	return reader_has_mysql(r->sql, &r->tried_ms) &&
	    sql_query(r->sql, str_of(statement), result, &err) == 0;
}

static bool
read_versions(struct round *r)
{
	struct sql_result result;
	uint64_t id;

	memset(r->fresh, 0, sizeof(r->fresh));
	if (!ask(r, &result, "SELECT id, ver FROM users WHERE id <= 250"))
		return false;
	for (size_t i = 0; i < result.rows; i++)
		if (number_u64(sql_cell(&result, i, 0), &id) && id >= 1 && id <= SLOW_USERS)
			number_u64(sql_cell(&result, i, 1), &r->fresh[id - 1]);
	sql_result_free(&result);
	return true;
}

static bool
read_ledger(struct round *r)
{
	struct sql_result result;

	if (!ask(r, &result,
		"SELECT lane, position, done FROM sluice_ledger WHERE lane LIKE '" LANE "_'"))
		return false;
	for (size_t i = 0; i < result.rows; i++) {
		struct str lane = sql_cell(&result, i, 0);
		unsigned number = (unsigned)(lane.data[lane.len - 1] - '0');

		if (number < SHOP_LANES) {
			position_parse(sql_cell(&result, i, 1), &r->written[number]);
			position_parse(sql_cell(&result, i, 2), &r->done[number]);
		}
	}
	sql_result_free(&result);
	return true;
}

/* What was read of the lane's users is certain by now. */
static void
raise_floors(struct round *r, unsigned lane)
{
	for (size_t i = 0; i < SLOW_USERS; i++) {
		_Atomic uint64_t *floor = &r->floors->version[i];

		if (shop_row_lane(SHOP_USERS, i) == lane && r->seen[i] > atomic_load(floor))
			atomic_store(floor, r->seen[i]);
	}
}

/* A lane that stands still doesn't hold up the others. */
static void
play(struct round *r)
{
	bool due[SHOP_LANES], any = false;

	if (!read_ledger(r))
		return;
	for (unsigned i = 0; i < SHOP_LANES; i++) {
		due[i] = position_compare(r->done[i], r->wanted[i]) >= 0;
		any |= due[i];
		if (due[i])
			raise_floors(r, i);
	}
	/* rows first: the positions of later are behind them all */
	if (!any || !read_versions(r) || !read_ledger(r))
		return;
	for (size_t i = 0; i < SLOW_USERS; i++)
		if (due[shop_row_lane(SHOP_USERS, i)])
			r->seen[i] = r->fresh[i];
	for (unsigned i = 0; i < SHOP_LANES; i++)
		if (due[i])
			r->wanted[i] = r->written[i];
}

static void *
floors_main(void *arg)
{
	struct round *r = arg;

	sql_thread_start();
	while (!atomic_load(&r->floors->stop)) {
		play(r);
		pause_ms(LOOK_MS);
	}
	sql_free(&r->sql);
	sql_thread_stop();
	free(r);
	return NULL;
}

void
floors_start(struct floors *floors, const struct shop_servers *servers)
{
	struct round *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->floors = floors;
	r->sql = sql_new(&servers->mysql);
	CHECK(pthread_create(&floors->thread, NULL, floors_main, r) == 0);
}

void
floors_stop(struct floors *floors)
{
	atomic_store(&floors->stop, true);
	pthread_join(floors->thread, NULL);
}
