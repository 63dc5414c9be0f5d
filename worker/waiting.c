#include "worker/waiting.h"

#include "common/clock.h"

enum { SHOW_EVERY_MS = 1000 };

void
waiting_begin(struct worker *w)
{
	w->waiting_shown_ms = clock_ms();
	SHOW(w->counters.store_waits_since_ms, (uint64_t)w->waiting_shown_ms);
}

void
waiting_end(struct worker *w)
{
	SHOW(w->counters.store_waits_since_ms, 0);
}

/* What a lane has in the batches that are not written. */
struct pending {
	uint64_t entries, first_ms;
};

static void
add_pending(const struct batch *b, const struct lane *lane, struct pending *p)
{
	const struct batch_lane *bl = b != NULL ? batch_lane_find(b, lane) : NULL;
	const struct entry *e;

	if (bl == NULL || bl->entries == 0)
		return;
	p->entries += bl->entries;
	for (e = b->first; e != NULL && e->lane != lane; e = e->next_kept)
		;
	if (e != NULL && (p->first_ms == 0 || (uint64_t)e->at_ms < p->first_ms))
		p->first_ms = (uint64_t)e->at_ms;
}

/*
 * The lane is at least so far behind.  How many entries there are beyond what was read isn't asked;
 * the first of them came after the last look, so the newest is at most a second younger than it.
 */
static void
show_lane(struct worker *w, struct lane *lane)
{
	struct pending p = { 0 };
	struct position newest;
	struct err err = { 0 };

	add_pending(w->writing, lane, &p);
	add_pending(w->filling, lane, &p);
	if (!lane->is_partition && w->source->ops->is_open(w->source) &&
	    w->source->ops->newest(w->source, lane->stream, &newest, &err) == 0 &&
	    position_compare(newest, lane->cursor) > 0) {
		p.entries++;
		if (p.first_ms == 0)
			p.first_ms = newest.major;
	}
	if (p.entries > SEE(lane->lag))
		SHOW(lane->lag, p.entries);
	if (p.entries > 0 && SEE(lane->oldest_pending_ms) == 0)
		SHOW(lane->oldest_pending_ms, (int64_t)p.first_ms);
}

void
waiting_show(struct worker *w)
{
	size_t i;

	if (clock_ms() - w->waiting_shown_ms < SHOW_EVERY_MS)
		return;
	w->waiting_shown_ms = clock_ms();
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE)
			show_lane(w, w->lanes[i]);
}
