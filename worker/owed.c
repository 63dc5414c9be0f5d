#include "worker/owed.h"

#include "worker/batch.h"

#define KEEP_BYTES (256 * 1024)

void
owed_init(struct owed_list *list)
{
	*list = (struct owed_list){ .first = NULL };
	arena_init(&list->arena, KEEP_BYTES);
}

void
owed_deinit(struct owed_list *list)
{
	arena_deinit(&list->arena);
}

void
owed_reset(struct owed_list *list)
{
	if (list->count == 0)
		return;
	arena_reset(&list->arena);
	list->first = list->last = NULL;
	list->count = 0;
}

void
owed_add(struct owed_list *list, const struct owed *owed)
{
	struct owed *copy = arena_alloc(&list->arena, sizeof(*copy));

	*copy = *owed;
	copy->key.data = arena_copy(&list->arena, owed->key.data, owed->key.len);
	copy->next = NULL;
	if (list->last != NULL)
		list->last->next = copy;
	else
		list->first = copy;
	list->last = copy;
	list->count++;
}

/* What orders the change among those of its row: the row's version, else its place in a log. */
static bool
find_order(const struct touched *row, const struct change *c, struct told *told, uint64_t *order)
{
	bool first = !told->anything;

	*order = c->has_version ? c->version : c->place.number;
	if (c->has_version)
		return !c->version_stands && told->log.len == 0;
	if (row->table->version != VERSION_NONE || c->place.log.len == 0 ||
	    (!first && !str_equal(told->log, c->place.log)))
		return false;
	told->log = c->place.log;
	if (c->place.at_ms > told->at_ms)
		told->at_ms = c->place.at_ms;
	return true;
}

/* A place that isn't above another of the log, and yet later: the log began again in between. */
static bool
log_began_again(const struct touched *row, const struct told *told)
{
	uint64_t at_ms = 0;

	if (told->log.len == 0)
		return false;
	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		if (c->place.number == told->version && c->place.at_ms > at_ms)
			at_ms = c->place.at_ms;
	}
	return at_ms < told->at_ms;
}

struct told
told_of(const struct touched *row, size_t template)
{
	struct told told = { 0 };

	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		bool deleted = c->op == CHANGE_DELETE;
		uint64_t order;

		told.repeat |= c->entry->done_before || c->entry->letter != NULL;
		if (c->entry->refusal.reason != NULL && c->has_version && c->version > told.refused)
			told.refused = c->version;
		if (c->entry->refusal.reason != NULL || change_left(c->unchanged, template))
			continue;
		if (!find_order(row, c, &told, &order)) {
			told.unversioned = true;
		} else if (order > told.version) {
			told.before = told.version;
			told.version = order, told.deleted = deleted, told.newest = c;
		} else if (order == told.version) {
			told.deleted |= deleted;
		} else if (order > told.before) {
			told.before = order;
		}
		told.anything = true;
	}
	told.unversioned |= log_began_again(row, &told);
	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched)
		told.lower += c->has_version && c->version < told.version;
	/* what was put behind it was computed from what will never be */
	if (told.refused < told.version && told.refused > told.before)
		told.before = told.refused;
	return told;
}
