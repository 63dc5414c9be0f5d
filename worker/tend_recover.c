#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

#define HOLD_MS_MIN 100
#define HOLD_MS_MAX 5000
#define MISMATCHES_MAX 3

/* ---- after something broke ---- */

/* An outage is no time in which a parent row could have come. */
static void
wait_anew(struct worker *w)
{
	size_t i;

	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->parent_wait_ms != 0 &&
		    clock_ms() - lane->parent_wait_ms < w->config->foreign_key_wait_ms)
			lane->parent_wait_ms = clock_ms();
	}
}

/* Nothing we read counts any more: the lanes start again from the ledger. */
static int
start_over(struct worker *w, struct err *err)
{
	size_t i;
	bool ours;

	worker_drop_read(w);
	/* all of them first: when the store fails halfway, none may go on behind what was dropped */
	for (i = 0; i < w->lane_count; i++) {
		lane_forget_waits(w->lanes[i]);
		w->lanes[i]->cursor = w->lanes[i]->answered;
		w->lanes[i]->unreleased_bytes = 0;
	}
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE &&
		    tend_read_place(w, w->lanes[i], &ours, err) != 0)
			return -1;
	tend_count_owned(w);
	return 0;
}

int
tend_mismatch(struct worker *w, struct err *err)
{
	size_t i;

	COUNT(w->counters.mismatches, 1);
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];
		struct ledger_row row = { 0 };

		if (lane->state == LANE_FREE)
			continue;
		if (w->store->ops->load(w->store, lane, false, &row, err) != 0)
			return -1;
		if (row.found && row.epoch == lane->epoch &&
		    position_compare(row.position, lane->position) == 0)
			continue;
		if (row.found && row.epoch == lane->epoch &&
		    position_compare(row.position, lane->position) < 0) {
			tend_rolled_back(w, lane, row.position);
			continue;
		}
		lane->mismatches++;
		if (row.found && row.epoch == lane->epoch && lane->mismatches < MISMATCHES_MAX)
			continue;
		if (w->store->ops->disown(w->store, lane, err) != 0)
			return -1;
		tend_lose(w, lane,
		    row.found ? "the ledger moved under us" : "its ledger row is gone");
	}
	tend_count_owned(w);
	return start_over(w, err);
}

/* Where the ledger has a lane. */
struct place {
	struct position position, done;
};

/* Where the ledger stands for the lanes of the batch being written: -1 before it, 1 behind it, 0
 * somewhere else or mixed. */
static int
where_is(const struct batch *b, struct lane *const *lanes, const struct place *places, size_t count)
{
	const struct batch_lane *bl;
	int where = 0;
	size_t i;

	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		int here;

		if (!bl->writes)
			continue;
		for (i = 0; i < count && lanes[i] != bl->lane; i++)
			;
		if (i == count)
			return 0;
		if (position_compare(places[i].position, bl->to) == 0)
			here = 1;
		else if (position_compare(places[i].position, bl->from) == 0)
			here = -1;
		else
			return 0;
		if (where != 0 && where != here)
			return 0;
		where = here;
	}
	return where != 0 ? where : -1; /* nothing to write: as good as before it */
}

/* The ledger's done is the truth: it may be further than we know (the reply to it was lost), or less
 * far (what we take for our COMMIT was another owner's of the same entries). */
static void
learn_done(struct lane *lane, struct position done)
{
	lane->done = done;
	if (position_compare(done, lane->answered) > 0)
		lane_answered_at(lane, done);
}

/* Own the lanes we had, again; fills places for those that are still ours and packs them together. */
static int
own_again(struct worker *w, struct lane **lanes, struct place *places, size_t *count,
    struct err *err)
{
	bool owned[1024];
	size_t i, kept = 0;

	if (*count > 0 && w->store->ops->own(w->store, lanes, *count, owned, err) != 0)
		return -1;
	for (i = 0; i < *count; i++) {
		struct ledger_row row = { 0 };

		if (!owned[i]) {
			tend_lose(w, lanes[i], "another owner took it while the store was away");
			continue;
		}
		if (w->store->ops->load(w->store, lanes[i], true, &row, err) != 0)
			return -1;
		if (!row.found) {
			if (lanes[i]->state != LANE_HALTED)
				tend_lose(w, lanes[i], "its ledger row is gone");
			continue;
		}
		if (tend_load_parked(w, lanes[i], err) != 0)
			return -1;
		if (position_compare(row.position, lanes[i]->position) < 0)
			tend_rolled_back(w, lanes[i], row.position);
		/* a store that went back counts the same epochs again, for other owners */
		if (row.epoch != lanes[i]->epoch + 1 || !row.ours_before) {
			worker_forget_invalidating(w, lanes[i]);
			lanes[i]->interrupted = true;
		}
		lanes[i]->epoch = row.epoch;
		lanes[i]->recall = lanes[i]->look_again = true;
		tend_learn_row(lanes[i], &row);
		lanes[kept] = lanes[i];
		places[kept++] = (struct place){ row.position, row.done };
	}
	*count = kept;
	return 0;
}

int
tend_recover(struct worker *w, struct err *err)
{
	struct lane *lanes[1024];
	struct place places[1024];
	size_t i, count = 0, before;
	bool committed, stale = false, interrupted = false;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE)
			lanes[count++] = w->lanes[i];
	before = count;
	/* a store that went back may have given the letters' ids to others: those applied are found again */
	w->replay.busy = w->replay.answered = false;
	wait_anew(w);
	if (own_again(w, lanes, places, &count, err) != 0)
		return -1;
	tend_count_owned(w);
	committed = w->writing != NULL && w->writing->state == BATCH_SEALED && count == before &&
	    where_is(w->writing, lanes, places, count) == 1;
	if (committed)
		worker_committed(w);
	for (i = 0; i < count; i++) {
		if (position_compare(places[i].position, lanes[i]->position) == 0)
			learn_done(lanes[i], places[i].done);
		else
			stale = true;
		interrupted |= lanes[i]->interrupted;
	}
	/* another owner may have written after a rollback what we had invalidated before it */
	if (!interrupted && (committed || (!stale && count == before)))
		return 0;
	COUNT(w->counters.mismatches, stale);
	return start_over(w, err);
}

int
tend_source_opened(struct worker *w, struct err *err)
{
	bool settled = w->store->ops->is_open(w->store) && !w->unsettled;
	size_t i;

	wait_anew(w);
	for (i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE)
			continue;
		/* without the store nothing can be settled */
		lane->look_again = true;
		if (settled && tend_look(w, lane, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- leaving ---- */

static int64_t
hold_for(struct worker *w, struct lane *lane, const struct batch_lane *bl)
{
	int64_t wait = HOLD_MS_MIN;
	int i;

	if (bl->leave_for_ms > 0)
		return bl->leave_for_ms;
	for (i = 0; i < lane->hold_tries && wait < HOLD_MS_MAX; i++)
		wait *= 2;
	lane->hold_tries++;
	return random_jitter(&w->random, wait < HOLD_MS_MAX ? wait : HOLD_MS_MAX);
}

/* Is something of the lane still to be written before the entry at which it leaves? */
static bool
has_more_before(const struct batch *b, const struct batch_lane *bl)
{
	const struct entry *e;

	for (e = b->first; e != NULL && bl->leave_at != NULL && e != bl->leave_at; e = e->next_kept)
		if (e->lane == bl->lane && !e->done_before)
			return true;
	return false;
}

/* It stands before this entry: by its id people can skip it, by its refusal they see why. */
static void
halt_before(struct worker *w, struct lane *lane, const struct batch_lane *bl)
{
	char at[POSITION_TEXT] = "?", text[512];
	const struct entry *e = bl->leave_at;

	if (e != NULL)
		entry_id_text(e, at);
	snprintf(text, sizeof(text), "at entry %s%s%s%s%s", at,
	    e != NULL && e->refusal.reason != NULL ? ": " : "",
	    e != NULL && e->refusal.reason != NULL ? e->refusal.reason : "",
	    e != NULL && e->refusal.text != NULL ? ": " : "",
	    e != NULL && e->refusal.text != NULL ? e->refusal.text : "");
	tend_halt(w, lane, bl->leave_why, text);
}

static void
log_held(const struct worker *w, const struct lane *lane, const struct batch_lane *bl, int64_t wait)
{
	bool table = bl->leave_table != NULL;

	log_event(LOG_WARN, "lane_held", "worker", "%d", w->index, "lane", "%s", lane->name, "why",
	    "%s", bl->leave_why, "wait_ms", "%lld", (long long)wait, "next", "%s",
	    "the other lanes go on", table ? "table" : NULL, "%s", bl->leave_table, "error", "%s",
	    bl->leave_text, NULL);
}

static void
leave_lane(struct worker *w, const struct batch *b, const struct batch_lane *bl)
{
	struct lane *lane = bl->lane;
	int64_t wait;

	if (lane->state == LANE_HALTED)
		return;
	/* A halted lane stands before the entry that halts it: `lane skip` goes past nothing else.  So
	 * what comes before is written first, and then it meets that entry again. */
	if (bl->leave_halts && !has_more_before(b, bl)) {
		halt_before(w, lane, bl);
		return;
	}
	wait = hold_for(w, lane, bl);
	if (strcmp(bl->leave_why, LANE_WHY_ROW_LOCK) == 0)
		lane->probe = true;
	if (strcmp(bl->leave_why, LANE_WHY_FOREIGN_KEY) == 0 &&
	    tend_wait_for_parents(w, lane, bl->leave_at->id))
		wait = HOLD_MS_MIN;
	lane_hold(lane, lane_why_of(bl->leave_why), clock_ms() + wait);
	log_held(w, lane, bl, wait);
}

void
tend_leaving(struct worker *w, struct batch *b)
{
	struct batch_lane *bl;

	w->store->ops->forget(w->store, w->filling);
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->leave_why == NULL)
			continue;
		batch_drop_lane(w->filling, bl->lane, NULL);
		leave_lane(w, b, bl);
	}
	w->store->ops->forget(w->store, b); /* with what it said about refused entries */
	batch_rebuild(b, b->schema);
	if (!batch_is_empty(b))
		return;
	worker_drop_writing(w);
}
