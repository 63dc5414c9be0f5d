#include "worker/read_back.h"

#include "worker/store/schema.h"

enum { NO_TEMPLATE = 64 }; /* no change left it as it was */

static bool
is_written(const struct touched *row)
{
	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		if (!c->entry->done_before && c->entry->refusal.reason == NULL)
			return true;
	}
	return false;
}

void
read_back_forget(struct batch *batch)
{
	if (arena_bytes(&batch->now) == 0)
		return;
	arena_reset(&batch->now);
	for (struct touched *t = batch->touched; t != NULL; t = t->next)
		t->now = NULL;
}

bool
read_back_wants(const struct touched *row)
{
	struct told told;

	if (!row->table->populates || row->whole || !is_written(row))
		return false;
	if (row->table->version != VERSION_GIVEN)
		return true;
	told = told_of(row, NO_TEMPLATE);
	return !told.unversioned && !told.deleted;
}

const struct row_now *
read_back_of(const struct touched *row, const struct told *told)
{
	const struct row_now *now = row != NULL ? row->now : NULL;

	if (now == NULL || told->unversioned || now->version < told->version ||
	    (told->deleted && now->version == told->version))
		return NULL;
	return now;
}
