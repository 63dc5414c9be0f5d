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

struct told
told_of(const struct touched *row, size_t template)
{
	struct told told = { 0 };

	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		bool deleted = c->op == CHANGE_DELETE;

		if (c->entry->refusal.reason != NULL && c->has_version && c->version > told.refused)
			told.refused = c->version;
		if (c->entry->refusal.reason != NULL || change_left(c->unchanged, template))
			continue;
		told.anything = true;
		told.repeat |= c->entry->done_before || c->entry->letter != NULL;
		if (!c->has_version || c->version_stands) {
			told.unversioned = true;
		} else if (c->version > told.version) {
			told.before = told.version;
			told.version = c->version, told.deleted = deleted, told.newest = c;
		} else if (c->version == told.version) {
			told.deleted |= deleted;
		} else if (c->version > told.before) {
			told.before = c->version;
		}
	}
	/* what was put behind it was computed from what will never be */
	if (told.refused < told.version && told.refused > told.before)
		told.before = told.refused;
	return told;
}
