#ifndef WORKER_STORE_RESOLVE_PLAN_H
#define WORKER_STORE_RESOLVE_PLAN_H

#include "worker/store/resolve.h"

#include <limits.h>

/*
 * A plan: what a list of field names of one source, operation and table means.  Plans and all they
 * point to live in the resolver's arena; the last PLANS_MAX are remembered.
 */
#define PLANS_MAX 8

/* Where a field's value goes: a place in the shape, else one of these. */
enum {
	TARGET_IGNORED = -1,
	TARGET_KEY = -2,	 /* and downwards: key part = TARGET_KEY - target */
	TARGET_VERSION = INT_MAX /* of an event: its version */
};

/* A value that the config sets (`set:`), checked once. */
struct constant {
	unsigned place; /* in the shape */
	struct value value;
	bool alone;
};

struct resolver_plan {
	const struct config_source *source;
	enum change_op op;
	bool flattened;
	struct str table_name;
	size_t field_count;
	const struct str *names;
	const int *targets; /* one per field */
	struct table *table;
	const struct shape *shape;
	const struct constant *constants;
	unsigned constant_count;
	const struct value *constant_keys; /* per key part; NULL kind: from a field */
};

/* Which table, and may this source touch it so?  change->table; -1: refused. */
int resolve_table(struct resolver *r, struct entry *entry, struct change *change);

/* Find or make the plan of a change.  NULL: refused, or the table has a problem (change->table is
 * set and the entry isn't refused).  Valid until the next call. */
const struct resolver_plan *resolve_plan(struct resolver *r, struct entry *entry,
    struct change *change);

/* The table of a change that has no plan, and the values for its key's columns; false when the table
 * can't be written, or a value is missing or ambiguous (the table is known then where the change is
 * about all of it). */
bool resolve_plan_keys(struct resolver *r, const struct entry *entry, struct change *change,
    struct value *keys);

/* The column of a field of this table: NULL where it is ignored or there is none. */
const struct column *resolve_field_column(const struct table *table, struct str name);

#endif
