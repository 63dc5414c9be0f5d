#include "worker/source/read_plan.h"

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t
most(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* As many lanes as fit with one entry each, at least one. */
static struct read_plan
plan_turns(const struct read_lane *lanes, size_t count, size_t first, size_t max_bytes)
{
	struct read_plan plan = { .first = first, .width = 1, .count = 1 };
	size_t bytes = lanes[first].entry_bytes;

	while (plan.width < count) {
		bytes += lanes[(first + plan.width) % count].entry_bytes;
		if (bytes > max_bytes)
			break;
		plan.width++;
	}
	plan.block = plan.width == count;
	return plan;
}

struct read_plan
read_plan(const struct read_lane *lanes, size_t count, const struct read_limits *limits)
{
	size_t first = limits->turn % count, max_bytes = most(limits->max_bytes, READ_BYTES_MIN);
	size_t i, bytes = 0, entries;

	for (i = 0; i < count; i++) {
		size_t lane = (first + i) % count;

		if (lanes[lane].alone)
			return (struct read_plan){ .first = lane, .width = 1, .count = 1 };
		bytes += lanes[lane].entry_bytes;
	}
	if (bytes > max_bytes)
		return plan_turns(lanes, count, first, max_bytes);
	entries = least(limits->max_rows / most(limits->busy, 1), max_bytes / most(bytes, 1));
	entries = most(least(entries, most(limits->count, READ_COUNT_MIN)), 1);
	return (struct read_plan){
		.first = first, .width = count, .count = (unsigned)entries, .block = true
	};
}

unsigned
read_count_next(size_t most_entries)
{
	return (unsigned)least(most(2 * most_entries, READ_COUNT_MIN), READ_COUNT_MAX);
}

size_t
read_entry_bytes(size_t before, size_t largest)
{
	/* nothing comes: what was large may have been the exception */
	if (largest == 0)
		return most(before / 2, READ_ENTRY_BYTES);
	/* the first entries of a lane tell more than the assumption */
	return most(largest, before == READ_ENTRY_UNKNOWN ? READ_ENTRY_BYTES : before - before / 8);
}
