#include "worker/tend.h"

#include "common/clock.h"
#include "worker/account.h"

#include <stdio.h>
#include <string.h>

#define HOLD_MS 5000 /* a key of the wrong type */

/* A row has room for one alarm; what the cache lost can wait, since nothing of the log depends on it. */
static void
show_alarm(struct lane *lane, const char *why)
{
	lane->cache_lost |= SEE(lane->alarm) == lane_why_of(LANE_WHY_CACHE_LOST);
	atomic_store(&lane->alarm, why);
}

void
tend_alarm(struct worker *w, struct lane *lane, const char *why, const char *text)
{
	if (atomic_load(&lane->alarm) == why)
		return;
	show_alarm(lane, why);
	tend_mark(w, lane);
	log_event(LOG_ERROR, "lane_alarm", "worker", "%d", w->index, "lane", "%s", lane->name,
	    "why", "%s", why, "error", "%s", text, "next", "%s",
	    "goes on; `sluice lane ack` clears it", NULL);
}

void
tend_cache_lost(struct worker *w, struct lane *lane)
{
	if (lane->cache_lost)
		return;
	lane->cache_lost =
	    SEE(lane->alarm) != NULL && SEE(lane->alarm) != lane_why_of(LANE_WHY_CACHE_LOST);
	if (lane->cache_lost)
		tend_mark(w, lane);
	else
		tend_alarm(w, lane, lane_why_of(LANE_WHY_CACHE_LOST),
		    tend_flushes(w) ?
			"not all that was lost can be invalidated again: the cache is emptied" :
			"the cache went back, and not all that it lost can be invalidated again "
			"(entries that were trimmed, a table that is gone, or keys that only rows "
			"tell): what it holds of them is old until its TTL");
}

void
tend_acknowledge(struct worker *w, struct lane *lane)
{
	bool lost = lane->cache_lost;

	lane->cache_lost = false;
	atomic_store(&lane->alarm, NULL);
	tend_mark(w, lane);
	tend_log(w, LOG_INFO, "lane_acknowledged", lane, "by order", "");
	if (lost)
		tend_cache_lost(w, lane);
}

/* Entries are lost; whoever said on_gap: halt wants to hear of it first. */
static void
alarm_loss(struct worker *w, struct lane *lane, const char *why, const struct source_look *look,
    bool loses)
{
	if (look->cannot_lift || (loses && lane->source->on_gap == ON_GAP_HALT)) {
		show_alarm(lane, why);
		tend_halt(w, lane, why, look->text);
	} else {
		tend_alarm(w, lane, why, look->text);
	}
}

/* What stood between done and position is gone with the keys that could be derived from it; what of
 * it is in hand goes on, and settle_bare does the rest. */
static void
skip_lost(struct lane *lane, const struct source_look *look)
{
	if (!look->nothing_left || position_compare(lane->answered, lane->position) >= 0)
		return;
	if (position_compare(lane->cursor, lane->answered) != 0) {
		checkpoints_add(&lane->checkpoints, lane->position, 0);
		return;
	}
	lane->cursor = lane->position;
	lane_answered_at(lane, lane->position);
	lane->unreleased_bytes = 0;
}

/* ---- what is in question ---- */

/* A page of entries as dead letters, together with the alarm and the checkpoint that says so: whoever
 * comes after a crash finds that one and goes on behind it. */
static int
write_page(struct worker *w, struct lane *lane, struct delivery *page, const char *why,
    struct position *after, struct err *err)
{
	struct checkpoints before = lane->checkpoints;
	struct entry *last = page->first;
	enum write_result result;

	CHECK(last != NULL);
	for (struct entry *e = page->first; e != NULL; e = e->next) {
		entry_refuse(e, &page->arena, REASON_FORK,
		    "its stream forked: whether it was applied can't be known");
		e->done_before = false;
		e->next_kept = e->next;
		last = e;
	}
	*after = last->id;
	checkpoints_add(&lane->checkpoints, last->id, checkpoint_hash(last));
	/* what is behind this page stays in question, also where an order had moved the lane */
	lane->checkpoints.last = (struct checkpoint){ lane->position, CHECKPOINT_NO_ENTRY };
	result = w->store->ops->letters(w->store, lane, page->first, why, err);
	if (result == WRITE_OK) {
		lane->checkpoints.changed = false;
		account_letters(w, page->first);
		return 0;
	}
	lane->checkpoints = before;
	if (result == WRITE_MISMATCH && tend_mismatch(w, err) == 0)
		err_set(err, ERR_RETRY, 0, "the lane's ledger row is not where we left it");
	return -1;
}

static int
settle_question(struct worker *w, struct lane *lane, const char *why,
    const struct source_look *look, struct err *err)
{
	struct position after = look->verified;

	worker_drop_unwritten(w, lane);
	for (;;) {
		struct delivery *page;
		int status;

		if (w->source->ops->range(w->source, lane, after, lane->position, &page, err) != 0)
			return -1;
		if (page == NULL)
			return 0;
		status = write_page(w, lane, page, why, &after, err);
		w->source->ops->recycle(w->source, &page);
		if (status != 0)
			return -1;
	}
}

/* The stream isn't the one we read: dead letters, then the lift, then the alarm; only at the end, so
 * that after a crash all of it is found again, the server's history. */
static int
obey_lost_history(struct worker *w, struct lane *lane, const char *why,
    const struct source_look *look, struct err *err)
{
	struct source_look seen = *look;

	worker_drop_unwritten(w, lane);
	if (look->in_question && settle_question(w, lane, why, look, err) != 0)
		return -1;
	if (w->source->ops->lift(w->source, lane, &seen.cannot_lift, err) != 0)
		return -1;
	checkpoints_add(&lane->checkpoints, lane->position, 0);
	lane->checkpoints.last.hash = 0;
	skip_lost(lane, look);
	alarm_loss(w, lane, why, &seen, true);
	return 0;
}

/* ---- a look ---- */

static int
obey(struct worker *w, struct lane *lane, const struct source_look *look, struct err *err)
{
	switch (look->result) {
	case LOOK_OK:
		skip_lost(lane, look);
		return 0;
	case LOOK_FRESH:
		return 0;
	case LOOK_LEDGER_LOST:
		tend_halt(w, lane, LANE_WHY_LEDGER_LOST, look->text);
		return 0;
	case LOOK_IDENTITY:
		tend_halt(w, lane, LANE_WHY_IDENTITY, look->text);
		return 0;
	case LOOK_WRONG_TYPE:
		lane_hold(lane, LANE_WHY_WRONG_TYPE, clock_ms() + HOLD_MS);
		tend_log(w, LOG_ERROR, "lane_held", lane, look->text, "looks again in 5 s");
		return 0;
	case LOOK_GAP:
		if (look->in_question)
			return obey_lost_history(w, lane, LANE_WHY_GAP, look, err);
		skip_lost(lane, look);
		alarm_loss(w, lane, LANE_WHY_GAP, look, true);
		return 0;
	case LOOK_STORE_ROLLBACK:
		lane->lost_to = (struct position){ 0, 0 };
		skip_lost(lane, look);
		alarm_loss(w, lane, LANE_WHY_STORE_ROLLBACK, look, look->loses);
		tend_lost_commits(w, lane, look);
		/* both servers at once */
		return look->in_question ? obey_lost_history(w, lane, LANE_WHY_FORK, look, err) : 0;
	case LOOK_ROLLBACK:
		return obey_lost_history(w, lane, LANE_WHY_ROLLBACK, look, err);
	case LOOK_FORK:
		return obey_lost_history(w, lane, LANE_WHY_FORK, look, err);
	}
	return 0;
}

int
tend_obey_look(struct worker *w, struct lane *lane, const struct source_look *look, struct err *err)
{
	if (obey(w, lane, look, err) != 0)
		return -1;
	lane->recall = false;
	if (look->history[0] != '\0' && look->result != LOOK_LEDGER_LOST &&
	    look->result != LOOK_IDENTITY && look->result != LOOK_WRONG_TYPE)
		checkpoints_set_history(&lane->checkpoints, look->history);
	return 0;
}

/* What is read and not written was perhaps read from another server: it is read again. */
static void
drop_doubtful(struct worker *w, struct lane *lane, const struct source_look *look)
{
	const char *before = lane->checkpoints.history;

	if (lane->doubtful || look->history[0] == '\0' || before[0] == '\0' ||
	    strcmp(before, look->history) != 0)
		worker_drop_unwritten(w, lane);
	lane->doubtful = false;
}

/* A lane that stands still: what the source lost is told and settled when it goes on.  What the store
 * lost is told now, because an order may move it. */
static void
hear_standing(struct worker *w, struct lane *lane, const struct source_look *look)
{
	lane->recall = false;
	if (look->result != LOOK_STORE_ROLLBACK ||
	    atomic_load(&lane->why) == lane_why_of(LANE_WHY_LEDGER_LOST))
		return;
	lane->lost_to = (struct position){ 0, 0 };
	tend_alarm(w, lane, LANE_WHY_STORE_ROLLBACK, look->text);
	tend_lost_commits(w, lane, look);
}

int
tend_look(struct worker *w, struct lane *lane, struct err *err)
{
	struct ledger_row row = { .found = true,
		.epoch = lane->epoch,
		.position = lane->position,
		.done = lane->done,
		.checkpoints = lane->checkpoints };
	struct source_look look = { 0 };

	lane->look_again = true;
	snprintf(row.identity, sizeof(row.identity), "%s", lane->identity);
	if (w->source->ops->look(w->source, lane, &row, &look, err) != 0)
		return -1;
	drop_doubtful(w, lane, &look);
	if (lane->state != LANE_OPEN && look.result != LOOK_OK) {
		hear_standing(w, lane, &look);
		return 0;
	}
	if (tend_obey_look(w, lane, &look, err) != 0) {
		if (!w->source->ops->is_open(w->source))
			return -1;
		tend_log(w, LOG_WARN, "look_failed", lane, err->text, "looks again");
		return 0;
	}
	lane->look_again = false;
	return 0;
}

/*
 * A position at which no entry stands (the stream was lifted to it): no batch ends there, so `done`
 * would stay behind it.  Once all in front of it is answered, it is done.
 */
static int
settle_bare(struct worker *w, struct lane *lane, struct err *err)
{
	struct delivery *page;

	if (checkpoints_stand_on_entry(&lane->checkpoints, lane->position) ||
	    position_compare(lane->answered, lane->position) >= 0 ||
	    position_compare(lane->answered, lane->cursor) != 0)
		return 0;
	if (w->source->ops->range(w->source, lane, lane->answered, lane->position, &page, err) != 0)
		return -1;
	if (page != NULL) {
		w->source->ops->recycle(w->source, &page);
		return 0;
	}
	lane->cursor = lane->position;
	lane_answered_at(lane, lane->position);
	return 0;
}

int
tend_look_again(struct worker *w, struct err *err)
{
	for (size_t i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];

		if (lane->state == LANE_FREE || !w->source->ops->is_open(w->source) ||
		    !w->store->ops->is_open(w->store))
			continue;
		if (lane->look_again && tend_look(w, lane, err) != 0)
			return -1;
		if (lane->state == LANE_OPEN && !lane->look_again && settle_bare(w, lane, err) != 0)
			return -1;
	}
	return 0;
}

bool
tend_is_unsure(const struct worker *w)
{
	bool open = w->source->ops->is_open(w->source);

	/* with the source away what was read is written, unless it may be of another history */
	for (size_t i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state == LANE_OPEN && w->lanes[i]->look_again &&
		    (open || w->lanes[i]->doubtful))
			return true;
	return false;
}

void
tend_rolled_back(struct worker *w, struct lane *lane, struct position to)
{
	bool known = lane->lost_to.major != 0 || lane->lost_to.minor != 0;

	if (!known || position_compare(to, lane->lost_from) < 0)
		lane->lost_from = to;
	if (!known || position_compare(lane->position, lane->lost_to) > 0)
		lane->lost_to = lane->position;
	worker_forget_invalidating(w, lane);
	tend_log(w, LOG_WARN, "store_rolled_back", lane, "the ledger is behind what was committed",
	    lane->outbox ?
		"starts again from the ledger; keys that only the lost outbox knew stay" :
		"starts again from the ledger");
}
