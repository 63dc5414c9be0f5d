#include "worker/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LANES_MAX = 64, PROCESSES_MAX = 20, WORKERS_MAX = 4 };

/* p0 joined first; the list comes in no order. */
static size_t
make_pool(struct member *out, unsigned processes, int workers)
{
	size_t count = 0;

	for (unsigned p = processes; p-- > 0;)
		for (int slot = workers; slot-- > 0;) {
			struct member *m = &out[count++];

			*m = (struct member){ .workers = workers, .slot = slot };
			snprintf(m->process, sizeof(m->process), "host/%u", 100 - p);
			m->joined_us = 1000 * (p + 1) + (uint64_t)slot;
		}
	return count;
}

static unsigned
share_of(const struct member *members, size_t count, unsigned rank, int slot)
{
	unsigned sum = 0;

	for (size_t i = 0; i < count; i++)
		if (members[i].rank == rank && (slot < 0 || members[i].slot == slot))
			sum += members[i].share;
	return sum;
}

static void
check_pool(struct member *members, unsigned processes, int workers, unsigned lanes)
{
	size_t count = make_pool(members, processes, workers);
	unsigned least = lanes, most = 0;

	assert_int_equal(balance_share(members, count, lanes), processes);
	for (unsigned p = 0; p < processes; p++) {
		unsigned sum = share_of(members, count, p, -1);

		least = sum < least ? sum : least;
		most = sum > most ? sum : most;
	}
	assert_true(most - least <= 1);
	for (int slot = 0; slot < workers; slot++) {
		unsigned of_slot = 0, is = 0;

		for (unsigned lane = (unsigned)slot; lane < lanes; lane += (unsigned)workers)
			is++;
		for (unsigned p = 0; p < processes; p++)
			of_slot += share_of(members, count, p, slot);
		assert_int_equal(of_slot, is);
	}
}

static void
processes_differ_by_at_most_one_lane_and_no_lane_is_left_over(void **state)
{
	struct member members[PROCESSES_MAX * WORKERS_MAX];

	(void)state;
	for (int workers = 1; workers <= WORKERS_MAX; workers++)
		for (unsigned processes = 1; processes <= PROCESSES_MAX; processes++)
			for (unsigned lanes = 0; lanes <= LANES_MAX; lanes++)
				check_pool(members, processes, workers, lanes);
}

static void
the_workers_of_a_process_share_its_part_evenly(void **state)
{
	struct member members[PROCESSES_MAX * WORKERS_MAX];

	(void)state;
	for (unsigned processes = 1; processes <= PROCESSES_MAX; processes++) {
		size_t count = make_pool(members, processes, 2);

		balance_share(members, count, 40);
		for (unsigned p = 0; p < processes; p++) {
			unsigned a = share_of(members, count, p, 0),
				 b = share_of(members, count, p, 1);

			assert_true(a <= b + 1 && b <= a + 1);
		}
	}
}

static void
who_joins_takes_from_nobody_more_than_it_gets(void **state)
{
	struct member before[PROCESSES_MAX], after[PROCESSES_MAX];

	(void)state;
	for (unsigned processes = 1; processes < PROCESSES_MAX; processes++)
		for (unsigned lanes = 0; lanes <= LANES_MAX; lanes++) {
			size_t n = make_pool(before, processes, 1);
			unsigned moved = 0;

			balance_share(before, n, lanes);
			balance_share(after, make_pool(after, processes + 1, 1), lanes);
			for (unsigned p = 0; p < processes; p++) {
				assert_true(after[p].share <= before[p].share);
				moved += before[p].share - after[p].share;
			}
			assert_int_equal(moved, after[processes].share);
		}
}

static void
a_slot_that_a_process_cannot_fill_goes_to_the_others(void **state)
{
	struct member members[3] = {
		{ .process = "a", .workers = 2, .slot = 0, .joined_us = 1 },
		{ .process = "b", .workers = 2, .slot = 0, .joined_us = 2 },
		{ .process = "b", .workers = 2, .slot = 1, .joined_us = 2 },
	};

	(void)state;
	balance_share(members, 3, 8);
	assert_int_equal(share_of(members, 3, 0, 0) + share_of(members, 3, 1, 0), 4);
	assert_int_equal(share_of(members, 3, 1, 1), 4);
}

static void
other_numbers_of_workers_share_as_processes(void **state)
{
	struct member members[4] = {
		{ .process = "old", .workers = 1, .slot = 0, .joined_us = 1 },
		{ .process = "new", .workers = 3, .slot = 0, .joined_us = 2 },
		{ .process = "new", .workers = 3, .slot = 1, .joined_us = 3 },
		{ .process = "new", .workers = 3, .slot = 2, .joined_us = 4 },
	};

	(void)state;
	assert_int_equal(balance_share(members, 4, 9), 2);
	assert_int_equal(share_of(members, 4, 0, -1), 5);
	assert_int_equal(share_of(members, 4, 1, -1), 4);
}

static void
a_pool_of_nobody_has_no_shares(void **state)
{
	(void)state;
	assert_int_equal(balance_share(NULL, 0, 8), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_differ_by_at_most_one_lane_and_no_lane_is_left_over),
		cmocka_unit_test(the_workers_of_a_process_share_its_part_evenly),
		cmocka_unit_test(who_joins_takes_from_nobody_more_than_it_gets),
		cmocka_unit_test(a_slot_that_a_process_cannot_fill_goes_to_the_others),
		cmocka_unit_test(other_numbers_of_workers_share_as_processes),
		cmocka_unit_test(a_pool_of_nobody_has_no_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
