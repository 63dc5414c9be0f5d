#include "worker/cache/round.h"

/* The key of which the next commands are is to be looked at again, if the sample picks it. */
const struct verify_told *
round_check(struct round *r, const struct expected *expected, const struct told *told)
{
	const struct batch_lane *lane = r->batch->lanes;
	struct verify_told *check;

	if (r->cache->checks == NULL || !mode_is_versioned(expected->template->mode) ||
	    !verify_ring_picks(r->cache->checks))
		return NULL;
	check = arena_zalloc(&r->arena, sizeof(*check));
	check->table = expected->table;
	check->template = expected->template;
	check->key = arena_str(&r->arena, r->key.data, r->key.len);
	check->said = (struct verify_said){ .versioned = !told->unversioned && told->log.len == 0,
		.deleted = told->deleted,
		.version = told->version };
	if (r->by != NULL) {
		check->lane = r->by->entry->lane;
		check->change = r->by->entry->id;
	} else if (lane != NULL && lane->next == NULL) {
		/* its change isn't remembered: recalled, or read after the write */
		check->lane = lane->lane;
		check->change = lane->last;
		check->up_to = true;
	}
	return check;
}

void
round_checked(struct round *r, const struct expected *e)
{
	if (e->check != NULL)
		verify_ring_put(r->cache->checks, e->check);
}
