#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/census.h"

#include <stdio.h>
#include <string.h>

void
tend_log(struct worker *w, enum log_level level, const char *event, const struct lane *lane,
    const char *why, const char *next)
{
	char position[POSITION_TEXT];

	log_event(level, event, "worker", "%d", w->index, "lane", "%s", lane->name, "position",
	    "%s", position_text(lane->position, position), "why", "%s", why, "next", "%s", next,
	    NULL);
}

/* ---- states that outlive us ---- */

/* Best effort: when the store is away the mark is written with the next one. */
void
tend_mark(struct worker *w, struct lane *lane)
{
	struct err err = { 0 };

	if (!w->store->ops->is_open(w->store))
		return;
	if (w->store->ops->mark(w->store, lane, &err) == 0)
		lane->marked = lane->state == LANE_HALTED ? atomic_load(&lane->why) : NULL;
	else
		log_event(LOG_WARN, "mark_failed", "worker", "%d", w->index, "lane", "%s",
		    lane->name, "error", "%s", err.text, NULL);
}

void
tend_halt(struct worker *w, struct lane *lane, const char *why, const char *text)
{
	lane_halt(lane, why);
	tend_mark(w, lane);
	log_event(LOG_ERROR, "lane_halted", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "why", "%s", why, "error", "%s", text, "next", "%s",
	    "waits for `sluice lane resume` or `skip`", NULL);
}

/* ---- becoming the owner ---- */

/* The lane stands where its row says; it is read from `done`. */
static void
place(struct lane *lane, const struct ledger_row *row)
{
	lane->epoch = row->epoch;
	lane->position = row->position;
	lane->done = lane->cursor = row->done;
	lane->checkpoints = row->checkpoints;
	lane_forget_waits(lane);
	lane_answered_at(lane, row->done);
	lane->unreleased_bytes = 0;
	lane->interrupted = false;
	lane->outbox = row->outbox;
	snprintf(lane->identity, sizeof(lane->identity), "%s", row->identity);
	lane_show(lane);
}

void
tend_learn_row(struct lane *lane, const struct ledger_row *row)
{
	char history[HISTORY_MAX + 1];

	memcpy(history, lane->checkpoints.history, sizeof(history));
	lane->outbox |= row->outbox;
	lane->checkpoints = row->checkpoints;
	if (row->checkpoints.history[0] == '\0')
		checkpoints_set_history(&lane->checkpoints, history);
	else if (strcmp(row->checkpoints.history, history) != 0)
		lane->look_again = lane->doubtful = true;
	/* what we wrote, and heard no answer to */
	if (row->alarm[0] != '\0' && atomic_load(&lane->alarm) == NULL)
		lane_take_alarm(lane, row->alarm);
}

void
tend_lose(struct worker *w, struct lane *lane, const char *why)
{
	COUNT(w->counters.fenced, 1);
	tend_log(w, LOG_WARN, "lane_lost", lane, why, "another owner goes on with it");
	worker_forget_invalidating(w, lane);
	worker_drop_lane(w,
	    lane); /* what is left of it must not meet the lane when it comes back */
	w->source->ops->close_lane(w->source, lane);
	lane_free(lane);
	lane->unowned_ms = lane->is_partition ? clock_ms() : 0;
}

/*
 * Read a lane's row and go on from there.  With another epoch it has another owner by now: taking that
 * over would make two of one epoch.
 */
int
tend_read_place(struct worker *w, struct lane *lane, bool *ours, struct err *err)
{
	struct ledger_row row = { 0 };

	*ours = false;
	if (w->store->ops->load(w->store, lane, false, &row, err) != 0)
		return -1;
	if (!row.found)
		return 0;
	if (row.epoch == lane->epoch) {
		if (tend_load_parked(w, lane, err) != 0)
			return -1;
		tend_learn_row(lane, &row);
		row.checkpoints = lane->checkpoints;
		place(lane, &row);
		*ours = true;
		return 0;
	}
	if (w->store->ops->disown(w->store, lane, err) != 0)
		return -1;
	tend_lose(w, lane, "its ledger row has another owner");
	return 0;
}

/* A lane that never had a row: insert it, then leave the traces that say so. */
static int
start_lane(struct worker *w, struct lane *lane, struct ledger_row *row,
    const struct source_look *look, struct err *err)
{
	char identity[64] = "";

	if (look->identity[0] != '\0')
		snprintf(identity, sizeof(identity), "%s", look->identity);
	else
		w->source->ops->new_identity(w->source, lane, identity);
	if (w->store->ops->start(w->store, lane, look->start, identity, err) != 0)
		return -1;
	return w->store->ops->load(w->store, lane, true, row, err);
}

/* A source of streams may have had another number of lanes; of a topic's the ledger knows one. */
static int
settle_number(struct worker *w, struct lane *lane, unsigned *partitions_before, struct err *err)
{
	char text[400];
	int settled;

	*partitions_before = 0;
	if (lane->is_partition) {
		*partitions_before = tend_partitions_before(w, lane, err);
		return w->store->ops->is_open(w->store) ? 0 : -1;
	}
	settled = census_settled(w, lane, text, sizeof(text), err);
	if (settled != 0)
		return settled > 0 ? 0 : -1;
	atomic_store(&lane->why, LANE_WHY_LANES_CHANGED);
	return err_set(err, ERR_RETRY, 0, "lanes_changed: %s", text);
}

/*
 * Traces beside a lane without a row are those of another owner, where one by heartbeat began the lane
 * between our look at the ledger and that at the source.
 */
static int
begun_meanwhile(struct worker *w, struct lane *lane, const struct source_look *look,
    const struct ledger_row *row, struct err *err)
{
	struct ledger_row now = { 0 };

	if (look->result != LOOK_LEDGER_LOST || row->found)
		return 0;
	if (w->store->ops->load(w->store, lane, false, &now, err) != 0)
		return -1;
	return now.found ? err_set(err, ERR_RETRY, 0, "another owner began it meanwhile") : 0;
}

/* The lock is ours: ledger row, then the source beside it, then read. */
static int
adopt_lane(struct worker *w, struct lane *lane, struct err *err)
{
	struct ledger_row row = { 0 };
	struct source_look look = { 0 };
	unsigned partitions_before;

	if (settle_number(w, lane, &partitions_before, err) != 0)
		return -1;
	if (w->store->ops->load(w->store, lane, true, &row, err) != 0)
		return -1;
	if (tend_load_parked(w, lane, err) != 0)
		return -1;
	place(lane, &row);
	lane->noting = tend_is_noted(w, lane);
	lane->noted = (struct position){ 0, 0 };
	lane->note_anew = false;
	lane->settled = lane->taken = (struct position){ 0, 0 };
	lane_end_again(lane);
	lane->parent_wait_ms = 0; /* of an earlier time as its owner */
	lane_take_alarm(lane, row.alarm);
	lane_open(lane);
	if (w->source->ops->look(w->source, lane, &row, &look, err) != 0 ||
	    begun_meanwhile(w, lane, &look, &row, err) != 0) {
		lane_free(lane);
		return -1;
	}
	if (look.result == LOOK_WRONG_TYPE && !row.found) {
		lane_free(lane);
		atomic_store(&lane->why, LANE_WHY_WRONG_TYPE);
		return err_set(err, ERR_RETRY, 0, "wrong_type: %s", look.text);
	}
	if (look.result == LOOK_FRESH) {
		/* another owner may have written since we looked: what it parked is behind our epoch */
		if (start_lane(w, lane, &row, &look, err) != 0 ||
		    tend_load_parked(w, lane, err) != 0) {
			lane_free(lane);
			return -1;
		}
		place(lane, &row);
		lane->note_anew = true;
	}
	if (row.halted[0] != '\0') {
		lane_halt(lane, lane_why_of(row.halted));
		lane->marked = atomic_load(&lane->why);
		/* when it goes on */
		lane->look_again = look.in_question || look.nothing_left ||
		    look.result == LOOK_ROLLBACK || look.result == LOOK_FORK;
		if (look.result == LOOK_GAP ||
		    (look.result == LOOK_STORE_ROLLBACK &&
			strcmp(row.halted, LANE_WHY_LEDGER_LOST) != 0))
			tend_alarm(w, lane,
			    look.result == LOOK_GAP ? LANE_WHY_GAP : LANE_WHY_STORE_ROLLBACK,
			    look.text);
		if (look.result == LOOK_STORE_ROLLBACK)
			tend_lost_commits(w, lane, &look);
	} else if (tend_obey_look(w, lane, &look, err) != 0) {
		lane_free(lane);
		return -1;
	}
	if (row.found && look.result != LOOK_LEDGER_LOST && look.result != LOOK_IDENTITY &&
	    look.result != LOOK_WRONG_TYPE &&
	    w->source->ops->settle(w->source, lane, row.identity, err) != 0) {
		lane_free(lane);
		return -1;
	}
	tend_count_partitions(w, lane, partitions_before);
	tend_log(w, LOG_INFO, "lane_owned", lane, lane_state_name(lane->state), "reads from done");
	return 0;
}

static size_t
lanes_in(struct worker *w, enum lane_state state, struct lane **out)
{
	size_t i, count = 0;

	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state == state)
			out[count++] = w->lanes[i];
	return count;
}

void
tend_count_owned(struct worker *w)
{
	struct lane *lanes[1024];

	SHOW(w->counters.lanes_owned, (int)(w->lane_count - lanes_in(w, LANE_FREE, lanes)));
}

static int
give_back(struct worker *w, struct lane **lanes, const bool *owned, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (owned[i] && w->store->ops->disown(w->store, lanes[i], err) != 0)
			return -1;
	return 0;
}

int
tend_take(struct worker *w, struct lane **lanes, size_t count, struct err *err)
{
	bool owned[1024];
	size_t i;

	if (w->store->ops->own(w->store, lanes, count, owned, err) != 0)
		return -1;
	for (i = 0; i < count; i++) {
		struct err look_err = { 0 };

		if (!owned[i])
			continue;
		if (adopt_lane(w, lanes[i], &look_err) == 0)
			continue;
		/* what was seen of it is old when it is tried again */
		w->source->ops->close_lane(w->source, lanes[i]);
		if (!w->store->ops->is_open(w->store)) {
			*err = look_err;
			return -1;
		}
		if (!w->source->ops->is_open(w->source)) {
			worker_source_failed(w, &look_err);
			return give_back(w, lanes + i, owned + i, count - i, err);
		}
		if (give_back(w, &lanes[i], &owned[i], 1, err) != 0)
			return -1;
		tend_log(w, LOG_WARN, "lane_not_adopted", lanes[i], look_err.text, "tries again");
	}
	tend_count_owned(w);
	return 0;
}
