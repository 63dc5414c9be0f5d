#include "worker/balance.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

static int
compare_names(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = strcmp(x->process, y->process);

	if (order != 0)
		return order;
	return (x->slot > y->slot) - (x->slot < y->slot);
}

static int
compare_ages(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->joined_us != y->joined_us)
		return x->joined_us < y->joined_us ? -1 : 1;
	return compare_names(a, b);
}

static bool
is_of_same_process(const struct member *a, const struct member *b)
{
	return strcmp(a->process, b->process) == 0;
}

/* A process is as old as its oldest worker; sorted by that. */
static unsigned
rank_processes(struct member *members, size_t count)
{
	unsigned processes = 0;

	qsort(members, count, sizeof(*members), compare_names);
	for (size_t i = 0, end; i < count; i = end) {
		uint64_t joined_us = members[i].joined_us;

		for (end = i + 1; end < count && is_of_same_process(&members[i], &members[end]);
		    end++)
			if (members[end].joined_us < joined_us)
				joined_us = members[end].joined_us;
		for (size_t j = i; j < end; j++)
			members[j].joined_us = joined_us;
	}
	qsort(members, count, sizeof(*members), compare_ages);
	for (size_t i = 0; i < count; i++) {
		processes += i == 0 || !is_of_same_process(&members[i - 1], &members[i]);
		members[i].rank = processes - 1;
		members[i].share = 0;
	}
	return processes;
}

bool
balance_may_own(const struct member *member, int lane)
{
	return lane % member->workers == member->slot;
}

/* The lane goes to the process with the fewest; among equals to the oldest. */
static void
deal(struct member *members, size_t count, int lane, unsigned *totals)
{
	struct member *best = NULL;

	for (size_t i = 0; i < count; i++) {
		struct member *m = &members[i];

		if (balance_may_own(m, lane) &&
		    (best == NULL || totals[m->rank] < totals[best->rank]))
			best = m;
	}
	if (best == NULL)
		return;
	best->share++;
	totals[best->rank]++;
}

unsigned
balance_share(struct member *members, size_t count, unsigned lanes)
{
	unsigned processes, *totals;
	int workers;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		CHECK(members[i].workers > 0);
	processes = rank_processes(members, count);
	totals = calloc(processes, sizeof(*totals));
	CHECK(totals != NULL);
	/* slot by slot, or a process would get all lanes of one slot and none of another */
	workers = members[0].workers;
	for (int slot = 0; slot < workers; slot++)
		for (unsigned lane = (unsigned)slot; lane < lanes; lane += (unsigned)workers)
			deal(members, count, (int)lane, totals);
	free(totals);
	return processes;
}
