#ifndef WORKER_STORE_STORE_H
#define WORKER_STORE_STORE_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/balance.h"
#include "worker/batch.h"
#include "worker/lane.h"
#include "worker/letter.h"
#include "worker/store/schema.h"

/*
 * A store: where rows go and the ledger lives.  The real one is MySQL (mysql_store.c); the
 * simulation has its own.  One store per worker, used by that worker's thread only.
 *
 * Exactly once rests on one thing: the first statement of every transaction moves the ledger row of
 * every lane of the batch from the place we believe in to the new one, and fails when any of them
 * isn't there (compare-and-set on position and epoch).
 *
 * After any error of class RETRY that closed the connection nobody knows whether COMMIT happened:
 * the worker calls open (which makes sure the old session is gone), owns its lanes again, loads
 * their rows and compares.
 */
struct store;

/* A lane's row of the ledger. */
struct ledger_row {
	bool found;
	bool ours_before; /* with `raise`: it was us who raised it last */
	uint64_t epoch;
	struct position position, done;
	char identity[64]; /* the source's, "" when not known */
	unsigned lanes_of_source;
	char halted[32];		/* a LANE_WHY, "" when not halted */
	char alarm[LANE_ALARM_MAX + 1]; /* as lane_alarm_text has it; "" when none */
	bool outbox;			/* keys of it wait in sluice_outbox */
	struct checkpoints checkpoints;
};

/* Where the ledger says that some lane stands. */
struct ledger_place {
	char name[LANE_NAME_MAX + 1];
	struct position position, done;
	unsigned lanes_of_source;
};

/* An order left in the ledger row by `sluice lane`. */
enum order_kind {
	ORDER_NONE,
	ORDER_RESUME,
	ORDER_SKIP,
	ORDER_ACK,
	ORDER_NOT_OURS /* it is there for another owner: the row has another epoch */
};
struct lane_order {
	enum order_kind kind;
	bool has_position;
	struct position position; /* resume --start, skip */
};

/* Who lives in our pool. */
struct pool_view {
	struct member
	    *members; /* the store's, until the next look; the caller may sort and fill it */
	size_t count;
	size_t dead; /* rows of members that are gone */
};

enum write_result {
	WRITE_OK,	  /* committed */
	WRITE_MISMATCH,	  /* the compare-and-set found another place; nothing was written */
	WRITE_LEAVE,	  /* nothing was written; the lanes with leave_why set must leave first */
	WRITE_ONE_BY_ONE, /* nothing was written; write it again with batch->one_by_one */
	WRITE_SCHEMA,	  /* nothing was written; a definition changed: load the schema, rebuild */
	WRITE_ERROR	  /* nothing is known (connection lost) or nothing was written; see err */
};

/* What a committed batch did, for the counters. */
struct write_report {
	unsigned rows;	/* rows inserted, changed or deleted */
	unsigned older; /* refused by version: an older or an equal one */
	unsigned dead;	/* dead letters written */
	unsigned statements;
	unsigned not_read; /* rows that are invalidated where mode populate would write them */
};

struct store_ops {
	/* Connect, make sure our old session is gone, set the session up, create our tables where
	 * allowed, load the schema when it never was. */
	int (*open)(struct store *store, struct err *err);
	bool (*is_open)(const struct store *store);
	/* Keep the session alive (our locks live with it). */
	int (*ping)(struct store *store, struct err *err);
	struct schema *(*schema)(struct store *store);
	int (*load_schema)(struct store *store, struct err *err);
	/* Is what load_schema would load another schema?  Reads only; between transactions. */
	int (*look_schema)(struct store *store, bool *changed, struct err *err);

	/* Be a member of the pool that owns so many lanes; called again and again, it writes only what
	 * is news, or the heartbeat. */
	int (*join)(struct store *store, unsigned lanes, struct err *err);
	/* Be none any more; the lanes are given back one by one. */
	int (*leave)(struct store *store, struct err *err);
	int (*members)(struct store *store, struct pool_view *view, struct err *err);
	/* Forget the members that the last look found dead. */
	int (*sweep)(struct store *store, struct err *err);
	/* Which lanes has nobody else?  A hint: the next moment somebody may. */
	int (*unowned)(struct store *store, struct lane **lanes, size_t count, bool *unowned,
	    struct err *err);
	/* Try to become the owner of lanes: owned[i] says which are ours now.  Never waits. */
	int (*own)(struct store *store, struct lane **lanes, size_t count, bool *owned,
	    struct err *err);
	int (*disown)(struct store *store, struct lane *lane, struct err *err);

	/* Read the lane's row under a lock.  raise: also raise the epoch (we just became the owner)
	 * and write our name and lanes_of_source; row holds the new epoch. */
	int (*load)(struct store *store, struct lane *lane, bool raise, struct ledger_row *row,
	    struct err *err);
	/* Insert the row of a lane that never had one (nothing happens where one is); start = both
	 * position and done. */
	int (*start)(struct store *store, struct lane *lane, struct position start,
	    const char *identity, struct err *err);
	/* Read the lane's parked keys into lane->parked. */
	int (*parked_load)(struct store *store, struct lane *lane, struct err *err);

	/* Which of these lanes have letters that are marked, or (applied) not yet closed? */
	int (*letters_due)(struct store *store, struct lane **lanes, size_t count, bool applied,
	    bool *due, struct err *err);
	/* The lane's open letters behind id `after`, at most LETTERS_STEP, without what they hold. */
	int (*letters_next)(struct store *store, struct lane *lane, uint64_t after,
	    struct letter_list *list, struct err *err);
	/* Read what the letters to apply or to invalidate hold into their entries. */
	int (*letters_read)(struct store *store, struct letter_list *list, struct err *err);
	/*
	 * One transaction: compare-and-set of the lane at its unchanged place, then what each letter's
	 * action says, in order, one by one; the lane's parked keys as they are after it.  A letter
	 * whose state has changed meanwhile stays.  One refused again blocks those behind it, which
	 * stay too.  What is applied is closed at once (`closes`), or `applied` until letters_close.
	 */
	enum write_result (*letters_write)(struct store *store, struct lane *lane,
	    struct letter_list *list, struct batch *batch, bool closes, struct write_report *report,
	    struct err *err);
	/* The cache keys of what was applied are gone. */
	int (*letters_close)(struct store *store, const struct letter_list *list, struct err *err);
	/* How many are open on these lanes, at most LETTERS_COUNTED_MAX of them, by table and reason. */
	int (*letters_count)(struct store *store, struct lane **lanes, size_t count,
	    struct letter_count *counts, size_t *counted, struct err *err);
	/* Take the lane's order out of its row, for each lane with lanes[i] != NULL; never one that is
	 * meant for another owner. */
	int (*orders)(struct store *store, struct lane **lanes, size_t count,
	    struct lane_order *orders, struct err *err);
	/* Set position (and done) by order (`skip`, `resume --start`, a lift), compare-and-set.  done
	 * never moves over what is written and not yet invalidated. */
	int (*move)(struct store *store, struct lane *lane, struct position to, struct err *err);
	/* The lane is of this source from now on. */
	int (*identify)(struct store *store, struct lane *lane, const char *identity,
	    struct err *err);
	/* Write lane->why / lane->alarm into the row, so that they outlive us. */
	int (*mark)(struct store *store, struct lane *lane, struct err *err);
	/* Record lane->recording as done (and the checkpoints, where they changed), in a transaction of
	 * its own.  A mismatch is WRITE_MISMATCH. */
	enum write_result (*record)(struct store *store, struct lane **lanes, size_t count,
	    struct err *err);

	/* All lanes of this pool and source that the ledger knows: rows whose name begins with prefix.
	 * The list is the caller's to free(). */
	int (*list)(struct store *store, const char *prefix, struct ledger_place **list,
	    size_t *count, struct err *err);

	/* These rows belong to a source that has this many lanes now. */
	int (*recount)(struct store *store, const struct ledger_place *places, size_t count,
	    unsigned lanes_of_source, struct err *err);

	/* Build what can be built before the transaction starts (called while the store is busy with
	 * another batch); forget frees it. */
	void (*prepare)(struct store *store, struct batch *batch);
	void (*forget)(struct store *store, struct batch *batch);
	/*
	 * The keys that sluice_outbox holds of the entries that the batch has at or below their lane's
	 * position (of a batch that replays: of these letters), added to batch->owed.
	 */
	int (*recall)(struct store *store, struct batch *batch, struct letter_list *list,
	    struct err *err);
	/* How many rows of the outbox wait for these lanes. */
	int (*outbox_count)(struct store *store, struct lane **lanes, size_t count, uint64_t *rows,
	    struct err *err);
	/* One transaction: compare-and-set of the lanes that write (batch_lane.from -> to, and done),
	 * rows, dead letters, COMMIT.  batch_place was called.  Where templates need the rows: these are
	 * read before and after, their keys added to batch->owed and written into the outbox.  Where a template
	 * has mode populate, the rows that read_back_wants, into touched->now. */
	enum write_result (*write)(struct store *store, struct batch *batch,
	    struct write_report *report, struct err *err);

	/* Entries of one lane (by next_kept, each refused) as dead letters, with the lane's checkpoints
	 * and this alarm in its row, in a transaction of their own that leaves position and done where
	 * they are. */
	enum write_result (*letters)(struct store *store, struct lane *lane, struct entry *first,
	    const char *alarm, struct err *err);

	void (*free)(struct store **store);
};

struct store {
	const struct store_ops *ops;
};

/* The MySQL store of one worker.  `wait` is called whenever it waits for the server, with the fd to
 * wait for: the worker reads its source meanwhile. */
struct store *mysql_store_new(const struct config *config, int worker, sql_wait *wait,
    void *wait_arg);

#endif
