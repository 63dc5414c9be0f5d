#include "worker/batch_parked.h"

#include <string.h>

bool
batch_any_parks(struct schema *schema)
{
	size_t count = 0;
	const struct table *tables = schema != NULL ? schema_tables(schema, &count) : NULL;

	for (size_t i = 0; i < count && !schema_keys_only(schema); i++) {
		if (tables[i].config->on_poison == ON_POISON_PARK)
			return true;
	}
	return false;
}

bool
batch_parked_moved(const struct batch *b)
{
	for (const struct batch_lane *bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->parked_generation != bl->lane->parked.generation)
			return true;
	}
	return false;
}

/* A key that is parked already stays in order whatever its table's option is by now. */
bool
batch_parks(struct batch *b, struct entry *entry)
{
	struct park_key keys[PARK_KEYS];
	bool known = false, wanted = false;

	for (size_t i = 0; i < entry->change_count; i++) {
		const struct change *c = &entry->changes[i];

		if (park_keys(c, keys) == 0)
			continue;
		known = true;
		wanted |= c->table->config->on_poison == ON_POISON_PARK;
	}
	if (known && !wanted)
		wanted = parked_blocks_entry(&entry->lane->parked, entry) ||
		    parked_blocks_entry(&b->blocked, entry);
	return entry->refusal.parks = known && wanted;
}

void
batch_park_refused(struct batch *b, struct entry *entry, size_t from)
{
	if (entry->done_before ||
	    (!b->parks && entry->lane->parked.count == 0 && b->blocked.count == 0))
		return;
	for (size_t i = from; i < entry->change_count; i++) {
		entry->changes[i].entry = entry;
		resolve_refused_key(&b->resolver, entry, &entry->changes[i]);
	}
	resolve_refused_moves(&b->resolver, entry);
	if (batch_parks(b, entry))
		parked_add_entry(&b->blocked, entry);
}

/* Then its lane waits, and the entry is looked at again. */
static bool
waits_for_table(const struct entry *entry)
{
	for (size_t i = 0; i < entry->change_count; i++) {
		if (entry->changes[i].table->problem != NULL)
			return true;
	}
	return false;
}

bool
batch_park_behind(struct batch *b, struct entry *entry)
{
	if (entry->done_before || (b->has_problem && waits_for_table(entry)) ||
	    (!parked_blocks_entry(&entry->lane->parked, entry) &&
		!parked_blocks_entry(&b->blocked, entry)))
		return false;
	entry_refuse(entry, &b->arena, REASON_PARKED,
	    "an earlier change of its key is a dead letter");
	entry->refusal.parks = true;
	parked_add_entry(&b->blocked, entry);
	return true;
}

void
batch_park_written(const struct batch *b)
{
	if (b->refused == 0)
		return;
	for (const struct entry *e = b->first; e != NULL; e = e->next_kept) {
		if (!e->done_before && e->refusal.reason != NULL && e->refusal.parks)
			parked_add_entry(&e->lane->parked, e);
	}
}

/* The lane's parked keys after this batch; *found is the first entry that is one too many. */
static void
check_lane(struct batch *b, struct batch_lane *bl, struct parked *after, int max, bool *found)
{
	for (struct entry *e = b->first; e != NULL; e = e->next_kept) {
		size_t before = after->count;

		if (e->lane != bl->lane || e->done_before || e->refusal.reason == NULL ||
		    !e->refusal.parks)
			continue;
		parked_add_entry(after, e);
		if (after->count == before || after->count <= (size_t)max)
			continue;
		bl->leave_why = LANE_WHY_MAX_PARKED;
		bl->leave_at = e;
		bl->leave_halts = *found = true;
		return;
	}
}

bool
batch_check_parked(struct batch *b, int max)
{
	struct parked after = { .keys = NULL };
	bool found = false;

	for (struct batch_lane *bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->leave_why != NULL)
			continue;
		parked_replace(&after, bl->lane->parked.keys, bl->lane->parked.count);
		check_lane(b, bl, &after, max, &found);
	}
	parked_deinit(&after);
	return found;
}
