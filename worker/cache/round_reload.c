#include "worker/cache/refresh_ring.h"
#include "worker/cache/round.h"

bool
round_reloads(const struct round *r, const struct expected *e)
{
	return r->cache->reloads != NULL && e->table->refresh.on_invalidate &&
	    e->table->refresh.template == e->template;
}

/* KEPT: the value is as new; OK: it was written. */
void
round_reload(struct round *r, const struct expected *e, struct str answered)
{
	if (e->member.len > 0 && round_reloads(r, e) && !str_equal(answered, STR("KEPT")) &&
	    !str_equal(answered, STR("OK")))
		refresh_ring_put(r->cache->reloads, e->table, e->member);
}
