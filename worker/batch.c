#include "worker/batch.h"

#include "common/clock.h"
#include "common/err.h"
#include "worker/batch_parked.h"
#include "worker/fold.h"
#include "worker/read_back.h"
#include "worker/source/source.h"

#include <string.h>

#define KEEP_BYTES (4 * 1024 * 1024) /* what a full batch needs, with copies of its texts */
#define NOW_KEEP_BYTES (256 * 1024)
#define KEEP_SLOTS 8192
#define TABLE_HOLD_MS 30000

void
batch_init(struct batch *b)
{
	memset(b, 0, sizeof(*b));
	arena_init(&b->arena, KEEP_BYTES);
	map_init(&b->bucket_map);
	resolver_init(&b->resolver);
	owed_init(&b->owed);
	arena_init(&b->now, NOW_KEEP_BYTES);
}

void
batch_deinit(struct batch *b)
{
	CHECK(b->deliveries == NULL && b->prepared == NULL);
	resolver_deinit(&b->resolver);
	parked_deinit(&b->blocked);
	owed_deinit(&b->owed);
	arena_deinit(&b->now);
	map_deinit(&b->bucket_map);
	schema_memory_deinit(&b->schemas);
	arena_deinit(&b->arena);
}

/* Forget what was folded; the deliveries and their entries stay. */
static void
start_fold(struct batch *b, struct schema *schema)
{
	size_t tables = 0;

	CHECK(b->prepared == NULL);
	arena_reset(&b->arena);
	map_reset(&b->bucket_map, KEEP_SLOTS);
	b->schema = schema;
	b->first = b->last = NULL;
	b->lanes = b->recent_lane = NULL;
	b->buckets = b->last_bucket = NULL;
	b->touched = NULL;
	b->entries = b->writes = b->changes = b->folded = b->older = b->steps = b->rounds = 0;
	b->refused = 0;
	b->bytes = 0;
	b->again = NULL;
	parked_clear(&b->blocked);
	b->parks = batch_any_parks(schema);
	b->wants_schema = b->has_problem = b->one_by_one = b->full = b->replays = false;
	if (schema == NULL)
		return;
	schema_tables(schema, &tables);
	b->tables = arena_zalloc(&b->arena, (tables + 1) * sizeof(*b->tables));
	resolver_start(&b->resolver, schema, &b->arena);
}

void
batch_reset(struct batch *b, struct schema *schema)
{
	CHECK(b->deliveries == NULL);
	start_fold(b, schema);
	owed_reset(&b->owed);
	arena_reset(&b->now);
	b->state = BATCH_OPEN;
	b->opened_ms = b->sealed_ms = 0;
	b->schema_tried = b->keys_sent = b->reads_no_rows = false;
}

struct batch_lane *
batch_lane_find(const struct batch *b, const struct lane *lane)
{
	struct batch_lane *bl;

	for (bl = b->lanes; bl != NULL; bl = bl->next)
		if (bl->lane == lane)
			return bl;
	return NULL;
}

static struct batch_lane *
lane_in_batch(struct batch *b, struct lane *lane, struct position after)
{
	struct batch_lane *bl = b->recent_lane;

	if (bl != NULL && bl->lane == lane)
		return bl;
	bl = batch_lane_find(b, lane);
	if (bl == NULL) {
		bl = arena_zalloc(&b->arena, sizeof(*bl));
		bl->lane = lane;
		bl->after = after;
		bl->parked_generation = lane->parked.generation;
		bl->next = b->lanes;
		b->lanes = bl;
	}
	return b->recent_lane = bl;
}

/* Its changes before `from` are resolved.  What was written before is among them: its keys are owed. */
static int
refused(struct batch *b, struct entry *e, size_t from)
{
	b->wants_schema |= b->resolver.unknown;
	if (!b->replays)
		batch_park_refused(b, e, from);
	return -1;
}

/* A letter may not end as an event that is passed over because nobody lists its table any more. */
static int
refuse_unlisted(struct batch *b, struct entry *e)
{
	return b->replays && e->passed != NULL && strcmp(e->passed, PASSED_UNLISTED) == 0 ?
	    entry_refuse(e, &b->arena, REASON_UNKNOWN_TABLE,
		"the source's `tables` lists none that fits the event") :
	    0;
}

static int
decode_entry(struct batch *b, struct entry *e)
{
	struct decode_aids aids = { .schemas = &b->schemas };

	aids.asked = schema_asked(b->schema, &aids.asked_count);
	return format_decode(e, &b->arena, &aids);
}

/* -1: refused, or parked. */
static int
resolve_entry(struct batch *b, struct entry *e)
{
	b->resolver.unknown = false;
	if (decode_entry(b, e) != 0)
		return config_has_events(e->lane->source) ? refused(b, e, 0) : -1;
	for (size_t i = 0; i < e->change_count; i++) {
		e->changes[i].entry = e;
		if (resolve_change(&b->resolver, e, &e->changes[i]) != 0)
			return refused(b, e, i);
		if (e->changes[i].table->problem != NULL)
			b->has_problem = b->wants_schema = true;
	}
	if (resolve_moves(&b->resolver, e) != 0)
		return refused(b, e, e->change_count);
	if (!b->replays && batch_park_behind(b, e))
		return -1;
	for (size_t i = 0; i < e->change_count; i++) {
		if (resolve_image(&b->resolver, e, &e->changes[i]) != 0)
			return refused(b, e, e->change_count);
	}
	return refuse_unlisted(b, e);
}

/* Decode, resolve and fold one entry.  What can't be is its refusal. */
static void
fold_entry(struct batch *b, struct entry *e)
{
	memset(&e->refusal, 0, sizeof(e->refusal));
	if (resolve_entry(b, e) != 0) {
		fold_refused(b, e);
		return;
	}
	for (size_t i = 0; i < e->change_count; i++) {
		switch (fold_change(b, &e->changes[i])) {
		case FOLD_STEP:
			break;
		case FOLD_MERGED:
			b->folded++;
			batch_table(b, e->changes[i].table)->folded++;
			break;
		case FOLD_OLDER:
			b->older++;
			batch_table(b, e->changes[i].table)->older++;
			break;
		}
	}
	b->changes += (unsigned)e->change_count;
}

static void
keep_entry(struct batch *b, struct entry *e)
{
	e->next_kept = NULL;
	if (b->last != NULL)
		b->last->next_kept = e;
	else
		b->first = e;
	b->last = e;
	b->entries++;
	b->bytes += e->bytes;
	if (!e->done_before)
		b->writes++;
	fold_entry(b, e);
	b->refused += e->refusal.reason != NULL;
}

void
batch_take_letters(struct batch *b, struct letter_list *list)
{
	CHECK(b->state == BATCH_OPEN && b->entries == 0);
	b->replays = true;
	for (struct letter *l = list->first; l != NULL; l = l->next) {
		if (l->action != LETTER_APPLY && l->action != LETTER_INVALIDATE)
			continue;
		l->entry.done_before = l->action == LETTER_INVALIDATE;
		keep_entry(b, &l->entry);
	}
}

void
batch_take_again(struct batch *b, struct lane *lane, struct delivery **delivery)
{
	struct delivery *d = *delivery;

	CHECK(b->state == BATCH_OPEN && (b->entries == 0 || b->again == lane));
	*delivery = NULL;
	b->again = lane;
	d->next = b->deliveries;
	b->deliveries = d;
	for (struct entry *e = d->first; e != NULL; e = e->next) {
		e->done_before = true;
		keep_entry(b, e);
	}
}

/* e is in the batch from now on; `after` is the lane's place before it. */
static void
add_entry(struct batch *b, struct entry *e, struct position after)
{
	struct batch_lane *bl = lane_in_batch(b, e->lane, after);

	CHECK(bl->entries == 0 || position_compare(e->id, bl->last) > 0);
	bl->last = e->id;
	bl->last_entry = e;
	bl->entries++;
	bl->bytes += e->bytes;
	keep_entry(b, e);
}

void
batch_take(struct batch *b, struct delivery **delivery, unsigned max_rows, size_t max_bytes)
{
	struct delivery *d = *delivery;
	struct entry *e;

	CHECK(b->state == BATCH_OPEN);
	*delivery = NULL;
	d->next = b->deliveries;
	b->deliveries = d;
	if (b->opened_ms == 0 && d->first != NULL)
		b->opened_ms = clock_ms();
	for (e = d->first; e != NULL; e = e->next) {
		struct lane *lane = e->lane;

		e->kept = false;
		if (b->entries > 0 && (b->steps >= max_rows || b->bytes + e->bytes > max_bytes))
			b->full = true; /* what follows is read again */
		if (b->full || lane->state != LANE_OPEN ||
		    position_compare(e->id, lane->cursor) <= 0)
			continue;
		e->kept = true;
		e->done_before = position_compare(e->id, lane->position) <= 0;
		add_entry(b, e, lane->cursor);
		lane->cursor = e->id;
		lane->unreleased_bytes += (int64_t)e->bytes;
	}
}

/* Take e out, and move its lane's cursor to before its first entry that leaves. */
static void
leave_entry(struct entry *e, struct position *back, bool *left)
{
	e->kept = false;
	e->lane->unreleased_bytes -= (int64_t)e->bytes;
	if (!*left)
		e->lane->cursor = *back;
	*left = true;
}

/* Mark what leaves: lanes with leave_why, from leave_at on. */
static void
drop_leaving(struct batch *b)
{
	struct batch_lane *bl;
	struct entry *e;

	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		struct position before = bl->after;
		bool left = false;

		if (bl->leave_why == NULL)
			continue;
		for (e = b->first; e != NULL; e = e->next_kept) {
			if (e->lane != bl->lane)
				continue;
			if (left || bl->leave_at == NULL || e == bl->leave_at)
				leave_entry(e, &before, &left);
			else
				before = e->id;
		}
		bl->lane->cursor = left ? before : bl->lane->cursor;
	}
}

void
batch_rebuild(struct batch *b, struct schema *schema)
{
	struct entry *e, *next, *kept;
	struct batch_lane *bl;
	struct places {
		struct lane *lane;
		struct position after;
		struct places *next;
	} *places = NULL, *p;
	struct arena scratch; /* the batch's own is about to be reset */

	arena_init(&scratch, 0);
	drop_leaving(b);
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		p = arena_alloc(&scratch, sizeof(*p));
		*p = (struct places){ bl->lane, bl->after, places };
		places = p;
	}
	kept = b->first;
	start_fold(b, schema);
	for (e = kept; e != NULL; e = next) {
		next = e->next_kept;
		if (!e->kept)
			continue;
		for (p = places; p != NULL && p->lane != e->lane; p = p->next)
			;
		CHECK(p != NULL);
		add_entry(b, e, p->after);
	}
	arena_deinit(&scratch);
}

void
batch_drop_lane(struct batch *b, struct lane *lane, struct entry *at)
{
	struct batch_lane *bl = batch_lane_find(b, lane);

	if (bl == NULL)
		return;
	bl->leave_why = "dropped";
	bl->leave_at = at;
	batch_rebuild(b, b->schema);
}

struct batch_table *
batch_table(struct batch *b, const struct table *table)
{
	size_t count;
	const struct table *tables = schema_tables(b->schema, &count);

	CHECK(table >= tables && table < tables + count);
	return &b->tables[table - tables];
}

bool
batch_is_empty(const struct batch *b)
{
	return b->entries == 0;
}

bool
batch_has_keys(const struct batch *b)
{
	return b->touched != NULL || b->owed.first != NULL;
}

bool
batch_misses_keys(const struct batch *b)
{
	for (const struct touched *t = b->touched; t != NULL; t = t->next)
		if (t->table->reads_row && (t->plain || t->images == NULL))
			return true;
	return false;
}

bool
batch_reads_rows(const struct batch *b)
{
	for (const struct touched *t = b->touched; t != NULL && schema_reads_rows(b->schema);
	    t = t->next)
		if (t->table->reads_row)
			return true;
	return false;
}

void
batch_place(struct batch *b)
{
	struct batch_lane *bl;

	owed_reset(&b->owed);
	read_back_forget(b);
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		/* A hole here would be a lost entry. */
		CHECK(position_compare(bl->after, bl->lane->position) <= 0);
		bl->from = bl->lane->position;
		bl->writes = position_compare(bl->last, bl->from) > 0;
		bl->to = bl->writes ? bl->last : bl->from;
		bl->last_hash = bl->writes ? checkpoint_hash(bl->last_entry) : 0;
		bl->done = lane_recordable(bl->lane);
		bl->outboxed = false;
		bl->leave_why = bl->leave_table = bl->leave_text = NULL;
		bl->leave_at = NULL;
		bl->leave_for_ms = 0;
		bl->leave_halts = false;
	}
}

void
batch_forget_tries(struct batch *b)
{
	struct entry *e;
	struct bucket *k;
	size_t i, tables = 0;

	if (b->schema != NULL)
		schema_tables(b->schema, &tables);
	for (i = 0; i < tables; i++)
		b->tables[i].refused_older = 0;
	for (k = b->buckets; k != NULL && b->refused > 0; k = k->next)
		k->refused = false;
	for (e = b->first; e != NULL && b->refused > 0; e = e->next_kept)
		if (e->refusal.of_write)
			e->refusal = (struct refusal){ .reason = NULL };
}

void
batch_leave_table(struct batch *b, struct entry *e, const struct table *table, const char *text)
{
	struct batch_lane *bl = batch_lane_find(b, e->lane);

	if (bl == NULL || bl->leave_why != NULL)
		return;
	bl->leave_why = LANE_WHY_TABLE;
	bl->leave_table = table->name;
	bl->leave_text = arena_copy(&b->arena, text, strlen(text));
	bl->leave_at = e;
	bl->leave_for_ms = TABLE_HOLD_MS;
}

bool
batch_check_tables(struct batch *b)
{
	struct entry *e;
	bool found = false;
	size_t i;

	for (e = b->first; e != NULL && b->has_problem; e = e->next_kept) {
		for (i = 0; i < e->change_count && e->refusal.reason == NULL; i++) {
			const struct table *table = e->changes[i].table;

			if (table->problem == NULL)
				continue;
			batch_leave_table(b, e, table, table->problem);
			found = true;
		}
	}
	return found;
}

bool
batch_check_poison(struct batch *b, int rate)
{
	struct batch_lane *bl;
	bool found = false;

	for (bl = b->lanes; bl != NULL && rate > 0; bl = bl->next) {
		struct lane_recent recent = bl->lane->recent;
		struct entry *e;

		for (e = b->first; e != NULL; e = e->next_kept) {
			if (e->lane != bl->lane || e->done_before)
				continue;
			if (lane_recent_add(&recent,
				e->refusal.reason != NULL && !entry_is_parked(e)) <= (unsigned)rate)
				continue;
			bl->leave_why = LANE_WHY_POISON_RATE;
			bl->leave_at = e;
			bl->leave_halts = found = true;
			break;
		}
	}
	return found;
}

void
batch_seal(struct batch *b)
{
	CHECK(b->state == BATCH_OPEN);
	b->state = BATCH_SEALED;
	b->sealed_ms = clock_ms();
}

void
batch_mark_written(struct batch *b)
{
	CHECK(b->state == BATCH_SEALED);
	for (struct batch_lane *bl = b->lanes; bl != NULL; bl = bl->next)
		bl->lane->outbox |= bl->outboxed;
	b->state = BATCH_WRITTEN;
}

void
batch_mark_invalidated(struct batch *b)
{
	CHECK(b->state == BATCH_WRITTEN);
	b->state = BATCH_INVALIDATED;
}
