#ifndef WORKER_STORE_RESOLVE_H
#define WORKER_STORE_RESOLVE_H

#include "common/map.h"
#include "worker/change.h"
#include "worker/store/schema.h"

/*
 * From names to columns: finds the table of a decoded change, maps its fields to columns
 * (`columns:`, `ignore:`, `set:`), checks and normalises values against their columns, and works out
 * its key.  Everything it makes lives in the arena given to resolver_start.
 *
 * What can never be applied is a refusal.  A value that our check does not accept but MySQL might
 * still take is not refused here: the change is marked `alone` and MySQL decides.  Keys are different:
 * a key that isn't plainly a value of its column is refused here, because `WHERE id = 'abc'` is
 * `WHERE id = 0` to MySQL.
 *
 * Most streams repeat one list of field names: the resolver remembers the last lists and then
 * compares names instead of looking them up.
 */
struct resolver {
	struct schema *schema;
	struct arena *arena;
	struct map shapes;		/* bytes of a shape -> struct shape */
	struct table *recent;		/* asked for last */
	const struct shape *no_columns; /* the last one that has none */
	unsigned shape_count;
	struct resolver_plan *plans; /* remembered lists of field names */
	bool unknown;		     /* something was refused that a newer schema might know */
};

void resolver_init(struct resolver *r);
void resolver_deinit(struct resolver *r);
/* Forget all shapes and plans; from now on allocate in *arena and use *schema. */
void resolver_start(struct resolver *r, struct schema *schema, struct arena *arena);

/*
 * Resolve one change of `entry` (source and trust come from its lane).  Returns 0, or -1 with
 * entry->refusal filled.
 *
 * A table with a `problem` refuses nothing: its change becomes an update without columns and with a
 * NULL key, which only carries the table to the store, and `unknown` is set.
 */
int resolve_change(struct resolver *r, struct entry *entry, struct change *change);

/*
 * The table and bucket of a change of an entry that is refused, as far as they can be known; its
 * bucket stays NULL where it can't.  Never refuses.
 */
void resolve_refused_key(struct resolver *r, struct entry *entry, struct change *change);
/* What resolve_moves does, for an entry that is refused and whose changes are known so far: what it
 * lists then names the rows before, too, as far as they can be known. */
void resolve_refused_moves(struct resolver *r, struct entry *entry);

/*
 * An update that changed its row's key is two changes: the row before is deleted, the one after
 * upserted, in this order against all others of the table.  Called with all changes of the entry
 * resolved; may give it a longer list.  -1: refused.
 */
int resolve_moves(struct resolver *r, struct entry *entry);

/*
 * The values of the rows before and after that the table's key templates name, in the one canonical
 * spelling, and which `when` nothing of changed.  Only of events.  -1: refused, with the column that
 * is missing: a key with a hole would be another row's.
 *
 * When in doubt a template is used: without a row before, of an insert or delete, where a column of
 * `when` is not in the event.
 */
int resolve_image(struct resolver *r, struct entry *entry, struct change *change);

/* The interned shape of these columns, with FENCE_OLDER. */
const struct shape *resolver_shape(struct resolver *r, struct table *table, enum shape_kind kind,
    const struct shape_column *columns, unsigned count);
/* The same shape with another fence. */
const struct shape *resolver_fenced(struct resolver *r, const struct shape *shape,
    enum shape_fence fence);

#endif
