#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"

#include <string.h>

enum {
	MEMBER_MS = 800, /* between two looks at the pool: what is freed is ours within a second */
	STANDBY_MS = 5000,
	ORPHAN_MS = 6000,    /* a lane that no standby took either is anybody's */
	UNREAD_MS = 5000,    /* who can't read its lanes for so long gives them up */
	SWEEP_MS = 30000,    /* rows of the dead are kept so long */
	PATIENCE_MS = 10000, /* before one gives again, when what it gave came back */
	PATIENCE_MAX_MS = 600000
};

static unsigned
count_owned(const struct worker *w)
{
	unsigned owned = 0;

	for (size_t i = 0; i < w->lane_count; i++)
		owned += w->lanes[i]->state != LANE_FREE;
	return owned;
}

static bool
is_due(const struct worker *w)
{
	return w->tended_ms == 0 || w->share.looked_ms == 0 ||
	    clock_ms() - w->share.looked_ms >= (w->share.standby ? STANDBY_MS : MEMBER_MS);
}

int
tend_wait_ms(const struct worker *w, int block_ms)
{
	int64_t wait =
	    w->share.looked_ms + (w->share.standby ? STANDBY_MS : MEMBER_MS) - clock_ms();

	if (SEE(*w->stop) || w->table != NULL || wait > block_ms)
		return block_ms;
	return wait > 1 ? (int)wait : 1;
}

/* ---- who is there ---- */

/* What tells one list of members from another. */
static uint64_t
hash_members(const struct pool_view *view)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < view->count; i++) {
		const struct member *m = &view->members[i];

		for (const char *c = m->process; *c != '\0'; c++)
			hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
		hash = (hash ^ (unsigned)(m->workers << 12 | m->slot)) * 0x100000001b3u;
	}
	return hash;
}

static const struct member *
find_mine(const struct pool_view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->members[i].mine)
			return &view->members[i];
	return NULL;
}

/* Is another process there? */
static bool
has_others(const struct pool_view *view)
{
	for (size_t i = 1; i < view->count; i++)
		if (view->members[i].rank != view->members[0].rank)
			return true;
	return view->count > 0 && find_mine(view) == NULL;
}

static void
take_view(struct worker *w, const struct pool_view *view)
{
	unsigned lanes = (unsigned)config_lanes_of_kind(w->config, w->lanes[0]->source->write);
	unsigned processes = balance_share(view->members, view->count, lanes);
	const struct member *mine = find_mine(view);
	uint64_t hash = hash_members(view);

	w->share.quota = mine != NULL ? mine->share : 0;
	SHOW(w->counters.pool_members, (int)processes);
	SHOW(w->counters.lanes_share, (int)w->share.quota);
	if (hash == w->share.members_hash)
		return;
	w->share.members_hash = hash;
	w->share.patience_ms = w->share.give_ms = 0;
	log_event(LOG_INFO, "pool_changed", "worker", "%d", w->index, "processes", "%u", processes,
	    "lanes", "%u", lanes, "share", "%u", w->share.quota, NULL);
}

/* Rows of the dead are of use to people for a while, then to nobody. */
static int
sweep(struct worker *w, const struct pool_view *view, struct err *err)
{
	if (view->dead == 0) {
		w->share.dead_ms = 0;
		return 0;
	}
	if (w->share.dead_ms == 0)
		w->share.dead_ms = clock_ms();
	if (clock_ms() - w->share.dead_ms < SWEEP_MS)
		return 0;
	w->share.dead_ms = 0;
	return w->store->ops->sweep(w->store, err);
}

/* Be a member, and see who else is.  Our row may have been swept while we stood still. */
static int
look(struct worker *w, struct pool_view *view, struct err *err)
{
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (w->share.joined && w->store->ops->join(w->store, count_owned(w), err) != 0)
			return -1;
		if (w->store->ops->members(w->store, view, err) != 0)
			return -1;
		if (!w->share.joined || find_mine(view) != NULL)
			break;
	}
	w->pinged_ms = clock_ms();
	take_view(w, view);
	return sweep(w, view, err);
}

/* ---- giving ---- */

static bool
may_be_given(const struct worker *w, const struct lane *lane)
{
	return lane->state != LANE_FREE &&
	    (w->writing == NULL || batch_lane_find(w->writing, lane) == NULL);
}

/* What was read of it is somebody else's to read. */
static int
give_lane(struct worker *w, struct lane *lane, const char *why, struct err *err)
{
	if (w->store->ops->disown(w->store, lane, err) != 0)
		return -1;
	tend_log(w, LOG_INFO, "lane_given", lane, why, "another member takes it");
	worker_drop_lane(w, lane);
	w->source->ops->close_lane(w->source, lane);
	lane_free(lane);
	lane->unowned_ms = 0;
	return 0;
}

/* Does a member want it that has less than its share?  Then it will have one more. */
static bool
is_wanted(struct pool_view *view, const struct lane *lane)
{
	for (size_t i = 0; i < view->count; i++) {
		struct member *m = &view->members[i];

		if (m->mine || m->lanes >= m->share || !balance_may_own(m, lane->index))
			continue;
		m->lanes++;
		return true;
	}
	return false;
}

static int
give_surplus(struct worker *w, struct pool_view *view, struct err *err)
{
	unsigned owned = count_owned(w);
	size_t i;

	if (owned <= w->share.quota || clock_ms() < w->share.give_ms)
		return 0;
	if (tend_record(w, err) != 0)
		return -1;
	owned = count_owned(w);
	for (i = w->lane_count; i-- > 0 && owned > w->share.quota;) {
		struct lane *lane = w->lanes[i];

		if (!may_be_given(w, lane) || !is_wanted(view, lane))
			continue;
		if (give_lane(w, lane, "a member has less than its share", err) != 0)
			return -1;
		owned--;
	}
	return 0;
}

/* Leave the pool to those who can read. */
static int
step_out(struct worker *w, struct err *err)
{
	if (w->share.joined)
		log_event(LOG_WARN, "pool_left", "worker", "%d", w->index, "why", "%s",
		    "the source can't be read and others are there", "next", "%s",
		    "joins again when it can", NULL);
	w->share.joined = false;
	w->share.quota = 0;
	SHOW(w->counters.lanes_share, 0);
	if (w->store->ops->leave(w->store, err) != 0 || tend_record(w, err) != 0)
		return -1;
	for (size_t i = 0; i < w->lane_count; i++)
		if (may_be_given(w, w->lanes[i]) &&
		    give_lane(w, w->lanes[i], "we can't read it", err) != 0)
			return -1;
	tend_count_owned(w);
	return 0;
}

/* ---- taking ---- */

/*
 * Sort out which lanes nobody has, and since when; one of ours that somebody else has by now is lost
 * (two started it at once, or our heartbeat stood still).
 */
static int
find_unowned(struct worker *w, struct lane **lanes, size_t *count, struct err *err)
{
	bool unowned[1024];
	size_t i, kept = 0;

	if (w->store->ops->unowned(w->store, w->lanes, w->lane_count, unowned, err) != 0)
		return -1;
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state != LANE_FREE && !unowned[i])
			tend_lose(w, lane, "another member owns it");
		if (lane->state != LANE_FREE || !unowned[i]) {
			lane->unowned_ms = 0;
			/* what kept us from it is its owner's matter */
			if (lane->state == LANE_FREE)
				SHOW(lane->why, NULL);
			continue;
		}
		if (lane->unowned_ms == 0)
			lane->unowned_ms = clock_ms();
		lanes[kept++] = lane;
	}
	*count = kept;
	return 0;
}

/*
 * Up to our share, and beyond it what nobody took: another configuration or an older release may
 * divide the lanes in another way.
 */
static int
take_unowned(struct worker *w, bool *left, struct err *err)
{
	struct lane *lanes[1024];
	size_t i, count, wanted = 0;
	unsigned owned = count_owned(w), share = w->share.quota;

	if (find_unowned(w, lanes, &count, err) != 0)
		return -1;
	*left = count > 0;
	for (i = 0; i < count; i++) {
		bool is_orphan = clock_ms() - lanes[i]->unowned_ms >= ORPHAN_MS;

		if (owned + wanted >= share && !is_orphan)
			continue;
		if (is_orphan)
			lanes[i]->unowned_ms = clock_ms(); /* when it can't be adopted */
		lanes[wanted++] = lanes[i];
	}
	if (wanted == 0)
		return 0;
	if (tend_take(w, lanes, wanted, err) != 0)
		return -1;
	if (count_owned(w) <= share || count_owned(w) <= owned)
		return 0;
	w->share.patience_ms = w->share.patience_ms == 0 ? PATIENCE_MS : 2 * w->share.patience_ms;
	if (w->share.patience_ms > PATIENCE_MAX_MS)
		w->share.patience_ms = PATIENCE_MAX_MS;
	w->share.give_ms = clock_ms() + w->share.patience_ms;
	return 0;
}

/* ---- all of it ---- */

static bool
can_read(struct worker *w)
{
	if (w->source->ops->is_open(w->source)) {
		w->share.unread_ms = 0;
		w->share.joined = true;
		return true;
	}
	if (w->share.unread_ms == 0)
		w->share.unread_ms = clock_ms();
	return clock_ms() - w->share.unread_ms < UNREAD_MS;
}

int
tend_share(struct worker *w, struct err *err)
{
	struct pool_view view = { 0 };
	bool readable, left = false;

	if (SEE(*w->stop) || !is_due(w))
		return 0;
	w->share.looked_ms = clock_ms();
	readable = can_read(w);
	if (!w->share.joined && count_owned(w) == 0)
		return 0; /* not yet, or not any more */
	if (look(w, &view, err) != 0)
		return -1;
	if (!readable && has_others(&view))
		return step_out(w, err);
	if (give_surplus(w, &view, err) != 0)
		return -1;
	/* alone with all lanes there is nothing to take, and nobody to have taken them */
	if (w->source->ops->is_open(w->source) &&
	    (count_owned(w) < w->lane_count || has_others(&view)) &&
	    take_unowned(w, &left, err) != 0)
		return -1;
	w->share.standby = w->share.quota == 0 && count_owned(w) == 0 && !left;
	SHOW(w->counters.standby, w->share.standby);
	tend_count_owned(w);
	return w->share.joined ? w->store->ops->join(w->store, count_owned(w), err) : 0;
}

void
tend_leave(struct worker *w)
{
	struct err err = { 0 };
	size_t i;

	if (w->store->ops->is_open(w->store))
		w->store->ops->leave(w->store, &err);
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE && w->store->ops->is_open(w->store))
			w->store->ops->disown(w->store, w->lanes[i], &err);
	if (w->table != NULL)
		w->source->ops->leave(w->source, w->lanes, w->lane_count);
}
