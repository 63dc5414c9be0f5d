#include "worker/operate/counters.h"

#include "worker/change.h"

#include <stdlib.h>
#include <string.h>

static const double bounds_seconds[HISTOGRAM_BUCKETS - 1] = { 0.0005, 0.001, 0.0025, 0.005, 0.01,
	0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 };
static const double bounds_sizes[HISTOGRAM_BUCKETS - 1] = { 1, 2, 5, 10, 20, 50, 100, 200, 500,
	1000, 2000, 5000, 10000, 50000, 100000 };

static const char *const reasons[DEAD_REASONS] = { REASON_NO_KEY, REASON_BAD_KEY, REASON_BAD_ENTRY,
	REASON_BAD_JSON, REASON_BAD_EVENT, REASON_WRONG_FORMAT, REASON_TRUNCATE,
	REASON_MISSING_COLUMN, REASON_BAD_OPERATION, REASON_OPERATION_DENIED, REASON_UNKNOWN_TABLE,
	REASON_TABLE_DENIED, REASON_UNKNOWN_COLUMN, REASON_BAD_VERSION, REASON_BAD_VALUE,
	REASON_NO_DEFAULT, REASON_OUT_OF_RANGE, REASON_DUPLICATE, REASON_FOREIGN_KEY, REASON_CHECK,
	REASON_TRIGGER, REASON_TOO_LARGE, REASON_PARKED, REASON_FORK, REASON_REFUSED };

static const char *const passed[PASSED_KINDS] = { PASSED_TOMBSTONE, PASSED_HEARTBEAT,
	PASSED_TRANSACTION, PASSED_SCHEMA, PASSED_MARKER, PASSED_SNAPSHOT, PASSED_UNLISTED,
	PASSED_CONTROL };

void
histogram_init_seconds(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->bounds = bounds_seconds;
}

void
histogram_init_sizes(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->bounds = bounds_sizes;
}

double
histogram_scale(const struct histogram *h)
{
	return h->bounds == bounds_seconds ? 1e6 : 1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
	double scaled = (double)value / histogram_scale(h);
	int bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS - 1 && scaled > h->bounds[bucket])
		bucket++;
	COUNT(h->counts[bucket], 1);
	COUNT(h->sum_us, value);
}

int
counters_init(struct counters *c, size_t table_count, struct random *random)
{
	memset(c, 0, sizeof(*c));
	c->tables = calloc(table_count > 0 ? table_count : 1, sizeof(*c->tables));
	if (c->tables == NULL)
		return -1;
	c->table_count = table_count;
	histogram_init_sizes(&c->batch_rows);
	histogram_init_seconds(&c->batch_seconds);
	histogram_init_seconds(&c->commit_lag_seconds);
	breaker_init(&c->mysql, random);
	breaker_init(&c->redis, random);
	breaker_init(&c->cache, random);
	breaker_init(&c->kafka, random);
	return 0;
}

void
counters_deinit(struct counters *c)
{
	free(c->tables);
	c->tables = NULL;
	c->table_count = 0;
}

int
dead_reason_index(const char *reason)
{
	int other = 0;

	for (int i = 0; i < DEAD_REASONS && reasons[i] != NULL; i++) {
		if (strcmp(reasons[i], reason) == 0)
			return i;
		other = i;
	}
	return other;
}

const char *
dead_reason_name(int index)
{
	return index >= 0 && index < DEAD_REASONS ? reasons[index] : NULL;
}

const char *
invalidation_answer_name(int index)
{
	static const char *const names[INVALIDATION_ANSWERS] = { "NEW", "KEPT", "SAME", "OLD" };

	return index >= 0 && index < INVALIDATION_ANSWERS ? names[index] : NULL;
}

int
passed_index(const char *word)
{
	int i = 0;

	while (i < PASSED_KINDS - 1 && strcmp(passed[i], word) != 0)
		i++;
	return i;
}

const char *
passed_name(int index)
{
	return index >= 0 && index < PASSED_KINDS ? passed[index] : NULL;
}
