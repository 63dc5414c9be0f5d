#ifndef WORKER_TEND_H
#define WORKER_TEND_H

#include "common/log.h"
#include "worker/worker.h"

/*
 * Tending: everything a worker does about its lanes beside the data path.  Becoming their owner,
 * comparing ledger and source when it does, orders, alarms, the notice board, and what to believe
 * after a lost connection.
 *
 *	tend_own.c	becoming the owner of a lane, and what its ledger row says of it
 *	tend_share.c	the pool: which lanes to take and to give
 *	tend_group.c	the same where a consumer group says it
 *	tend.c		once a second: orders, holds, done, notice board
 *	tend_replay.c	dead letters applied again
 *	tend_notes.c	what the cache keeps of how far keys are answered; seeing that it went back
 *	tend_again.c	invalidating again what it lost
 *	tend_flush.c	emptying it where that can't be
 *	tend_look.c	what a look at the source asks for: alarms, and what a lost history leaves behind
 *	tend_recover.c	lost connections, fenced lanes, lanes that leave a batch
 *	tend_parents.c	children whose parents may come by another lane
 */

/* Once a second: take and give lanes, wake held ones, obey orders, record done, look and trim. */
void tend_lanes(struct worker *w);

/*
 * After the store was opened again: own every lane anew, read its row and settle what became of the
 * batch being written.  A batch whose COMMIT turns out to have happened is marked WRITTEN; one that
 * did not is kept for the next try; where another owner wrote meanwhile everything read is dropped
 * and the lanes start from the ledger.  -1: the store is gone again.
 */
int tend_recover(struct worker *w, struct err *err);

/* The compare-and-set found another place: read the rows, drop what was read, go on from there. */
int tend_mismatch(struct worker *w, struct err *err);

/* Look at every lane of ours after the source was opened again. */
int tend_source_opened(struct worker *w, struct err *err);

/* Record `answered` as done where it is ahead.  -1: the store failed. */
int tend_record(struct worker *w, struct err *err);

/* Leave the pool and let our lanes go (shutdown). */
void tend_leave(struct worker *w);

/* Hold or halt the lanes that the store said must leave, and take them out of the batches. */
void tend_leaving(struct worker *w, struct batch *b);

/* Halt a lane, remember it in the ledger, log it. */
void tend_halt(struct worker *w, struct lane *lane, const char *why, const char *text);

/*
 * Our part of the pool, when a look is due (members about each second, standbys every 5 s): join, see
 * who is there, give what others lack, take what is free.  Lanes are given only while a member wants
 * them and taken beyond our share only when nobody else does, so nothing wanders.  A source that
 * can't be read for 5 s is left to others.  -1: the store failed.
 */
int tend_share(struct worker *w, struct err *err);
/* First thing in a turn: let go of partitions that the group takes away, take note of those it gives.
 * Nothing where lanes are streams. */
void tend_group(struct worker *w);
/* Take up partitions that were given.  -1: the store failed. */
int tend_assigned(struct worker *w, struct err *err);
/* How long the worker may wait before the next look is due; at most block_ms. */
int tend_wait_ms(const struct worker *w, int block_ms);

/* Apply dead letters that are marked, one step of one lane, unless a batch is being written or
 * invalidated.  True: it did, and there may be more; its batch is to be invalidated like any other. */
bool tend_replay(struct worker *w);
/* Is a lane held for that? */
bool tend_is_replaying(const struct worker *w);

/*
 * Compare what the cache keeps of our lanes with what was answered, and leave there how far it is now,
 * where that is news or 2 s have gone by; waits for the answers of the keys under way.  A lane whose note
 * went back has its keys invalidated again from there.
 */
void tend_notes(struct worker *w);
/* Is what the cache keeps of this lane to be looked after?  What its owner begins with. */
bool tend_is_noted(const struct worker *w, const struct lane *lane);
/* Leave there how far they are now, whatever it says. -1: the cache was lost. */
int tend_note_answered(struct worker *w, struct err *err);
/*
 * on_cache_lost: flush (tend_flush.c).  Is it set, and possible?  Is the cache to be emptied before anything
 * else is invalidated?  More waits for it than may: it is.
 */
bool tend_flushes(const struct worker *w);
bool tend_owes_flush(const struct worker *w);
void tend_lag_flushes(struct worker *w);
/* Empty it where that is owed, the cache being open with nothing under way.  -1: it was lost meanwhile. */
int tend_flush(struct worker *w, struct err *err);
/* Invalidate again, a step of one lane, unless a batch is being written or invalidated.  True: its
 * batch is to be invalidated like any other. */
bool tend_again(struct worker *w);
/* Its keys are answered. */
void tend_again_answered(struct worker *w, const struct batch *b);

/* A lane must be looked at before it is read or written on (the source was opened while the store
 * was away). */
bool tend_is_unsure(const struct worker *w);

/* ---- between the files ---- */

/* How many partitions the ledger says that the lane's topic had, the least of any lane; 0: no lane. */
unsigned tend_partitions_before(struct worker *w, const struct lane *lane, struct err *err);
/* Alarm where there are more of them now. */
void tend_count_partitions(struct worker *w, struct lane *lane, unsigned before);

/* Read the lane's parked keys; whatever pass through its letters there was begins anew. */
int tend_load_parked(struct worker *w, struct lane *lane, struct err *err);
/* Count the open letters of our lanes, every now and then. */
int tend_count_letters(struct worker *w, struct err *err);
/* Find the lanes whose letters were marked. */
int tend_find_marked(struct worker *w, struct err *err);

void tend_log(struct worker *w, enum log_level level, const char *event, const struct lane *lane,
    const char *why, const char *next);
/* Write what halts or alarms the lane into its row; best effort. */
void tend_mark(struct worker *w, struct lane *lane);
/* The ledger's are the truth: a page of dead letters whose COMMIT was in doubt may have left one, or
 * the store lost some.  Where it knows another server's history than we do, the lane is looked at again. */
void tend_learn_row(struct lane *lane, const struct ledger_row *row);
/* Another owner has it. */
void tend_lose(struct worker *w, struct lane *lane, const char *why);
/* Read the row of a lane of ours and stand there, unless another owner raised its epoch: then the
 * lane is lost and *ours false. */
int tend_read_place(struct worker *w, struct lane *lane, bool *ours, struct err *err);
/* Try to become the owner of these lanes, which nobody seems to own. */
int tend_take(struct worker *w, struct lane **lanes, size_t count, struct err *err);
/*
 * The lane leaves for the sake of this entry, whose parent isn't there: begin the lane's wait for
 * parents, or look whether one can still come.  True when none can (lane->parents_past): the next
 * refusal is the last.
 */
bool tend_wait_for_parents(struct worker *w, struct lane *lane, struct position orphan);
void tend_count_owned(struct worker *w);
/* Not all that the cache lost can be had again: the alarm, now or when the one that stands is
 * acknowledged. */
void tend_cache_lost(struct worker *w, struct lane *lane);
/* MySQL lost commits, and the keys of some can't be had again: the cache is emptied, if it may be. */
void tend_lost_commits(struct worker *w, struct lane *lane, const struct source_look *look);
/* What stands is acknowledged. */
void tend_acknowledge(struct worker *w, struct lane *lane);
/* An alarm that lets the lane go on. */
void tend_alarm(struct worker *w, struct lane *lane, const char *why, const char *text);
/*
 * Do what a look at the source asks for: alarm, hold, halt, or nothing.  What is in question becomes
 * dead letters first, for which the store must be settled.  -1: store or source failed; look again.
 */
int tend_obey_look(struct worker *w, struct lane *lane, const struct source_look *look,
    struct err *err);
/* Look at a lane of ours and obey.  -1: the source is gone; where the store failed, look_again stays. */
int tend_look(struct worker *w, struct lane *lane, struct err *err);
/* Look at the open lanes that look_again names; let `done` reach a place without an entry. */
int tend_look_again(struct worker *w, struct err *err);
/* The ledger is at `to`, behind what we know that was committed: the store lost it. */
void tend_rolled_back(struct worker *w, struct lane *lane, struct position to);

#endif
