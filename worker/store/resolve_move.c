#include "worker/store/resolve.h"
#include "worker/store/resolve_plan.h"

/* The field of the row after, most likely at the same place. */
static const struct field *
field_after(const struct change *change, const struct field *before, size_t at)
{
	if (at < change->field_count && str_equal(change->fields[at].name, before->name))
		return &change->fields[at];
	for (size_t i = 0; i < change->field_count; i++) {
		if (str_equal(change->fields[i].name, before->name))
			return &change->fields[i];
	}
	return NULL;
}

static bool
is_same(const struct value *a, const struct value *b)
{
	return a->kind == b->kind && str_equal(a->text, b->text);
}

/* Does the row before differ in a column of the key? */
static bool
may_move(const struct change *change)
{
	for (size_t i = 0; i < change->before_count; i++) {
		const struct field *before = &change->before[i];
		const struct field *after = field_after(change, before, i);
		const struct column *column;

		if (after == NULL || is_same(&before->value, &after->value))
			continue;
		column = resolve_field_column(change->table, before->name);
		if (column != NULL && column->key_part >= 0)
			return true;
	}
	return false;
}

/* The row before, as far as it is known: what didn't change is as it is after. */
static void
lay_over(struct arena *arena, const struct change *change, struct change *old)
{
	old->fields = arena_alloc(arena, change->field_count * sizeof(*old->fields) + 1);
	memcpy(old->fields, change->fields, change->field_count * sizeof(*old->fields));
	old->field_count = change->field_count;
	for (size_t i = 0; i < change->before_count; i++) {
		const struct field *after = field_after(change, &change->before[i], i);

		if (after != NULL)
			old->fields[after - change->fields].value = change->before[i].value;
	}
}

static struct change
deletion_before(struct arena *arena, const struct change *change)
{
	struct change old = { .op = CHANGE_DELETE,
		.origin = change->origin,
		.flattened = change->flattened,
		.table_name = change->table_name,
		.entry = change->entry,
		.half_of_move = true };

	lay_over(arena, change, &old);
	return old;
}

/* *old: the deletion of the row before; false where its key turns out to be the same. */
static int
make_delete(struct resolver *r, struct entry *entry, struct change *change, struct change *old,
    bool *moved)
{
	*old = deletion_before(r->arena, change);
	if (resolve_change(r, entry, old) < 0)
		return -1;
	*moved = !str_equal(old->exact, change->exact);
	change->barrier |= *moved;
	change->half_of_move |= *moved;
	return 0;
}

int
resolve_moves(struct resolver *r, struct entry *entry)
{
	struct change *all;
	size_t count = 0, moves = 0;

	for (size_t i = 0; i < entry->change_count; i++)
		moves += entry->changes[i].before_count > 0 && may_move(&entry->changes[i]);
	if (moves == 0)
		return 0;
	all = arena_alloc(r->arena, (entry->change_count + moves) * sizeof(*all));
	for (size_t i = 0; i < entry->change_count; i++) {
		struct change *change = &entry->changes[i];
		bool moved = false;

		if (change->before_count > 0 && may_move(change) &&
		    make_delete(r, entry, change, &all[count], &moved) < 0)
			return -1;
		count += moved;
		all[count++] = *change;
	}
	entry->changes = all;
	entry->change_count = count;
	return 0;
}

void
resolve_refused_moves(struct resolver *r, struct entry *entry)
{
	struct change *all;
	size_t count = 0, moves = 0;

	for (size_t i = 0; i < entry->change_count; i++)
		moves += entry->changes[i].before_count > 0;
	if (moves == 0)
		return;
	all = arena_alloc(r->arena, (entry->change_count + moves) * sizeof(*all));
	for (size_t i = 0; i < entry->change_count; i++) {
		struct change *change = &entry->changes[i];

		if (change->before_count > 0 && !change->half_of_move && change->table != NULL &&
		    may_move(change)) {
			all[count] = deletion_before(r->arena, change);
			resolve_refused_key(r, entry, &all[count]);
			count += all[count].bucket.data != NULL;
		}
		all[count++] = *change;
	}
	entry->changes = all;
	entry->change_count = count;
}
