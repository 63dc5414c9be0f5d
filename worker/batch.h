#ifndef WORKER_BATCH_H
#define WORKER_BATCH_H

#include "common/map.h"
#include "worker/change.h"
#include "worker/lane.h"
#include "worker/letter.h"
#include "worker/owed.h"
#include "worker/source/schema_memory.h"
#include "worker/store/resolve.h"

/*
 * A batch: entries of a worker's lanes, folded per key; one transaction, one round of invalidations,
 * one release.  It only moves forward:
 *	OPEN -> SEALED -> WRITTEN -> INVALIDATED -> (reset) OPEN
 * Thread: its worker's.  Owns the deliveries, entries and changes it holds.
 *
 * Fold.  One law: applying the folded batch gives, on every possible table, the rows and the dead
 * letters that applying the entries one by one in lane order would have given.  Each bucket (what
 * may be one row by the server's own equality) has an ordered list of steps.  A change merges into
 * the last step of its bucket where one change says the same on every table, else it becomes a step
 * of its own, a round later.  Steps of one round touch different rows, so they may be written in
 * any order, many to a statement.  A step remembers its first change: when the server refuses the
 * step, the bucket's changes from there on are applied one by one.
 */
enum batch_state { BATCH_OPEN, BATCH_SEALED, BATCH_WRITTEN, BATCH_INVALIDATED };

struct step {
	const struct shape *shape;
	struct value *values; /* one per column of the shape; `add` columns: the sum as text */
	struct sum *sums;     /* with shape->adds: one per column */
	struct value *key;
	uint64_t version; /* given versions */
	unsigned changes; /* how many became this step (those dropped behind it not counted) */
	unsigned round;
	bool alone; /* must not share a statement */
	struct bucket *bucket;
	struct change *first_change;
	struct step *next;	   /* of its bucket */
	struct step *next_written; /* free for the store */
};

struct bucket {
	struct table *table;
	struct step *first, *last;
	struct change *first_change, *last_change; /* by next_of_key */
	struct bucket *next;			   /* in order of first appearance */
	struct touched *touched; /* distinct spellings of its key, by next_of_bucket */
	bool has_list_entry;	 /* a change of an entry with several changes is among them */
	bool refused; /* free for the store: a step was refused, later ones are skipped */
	uint64_t assured_version; /* given: an upsert or incr of this version stands in the list */
	bool has_assured_version;
	unsigned assured_round; /* of the step that made it so */
};

/* Per lane of the batch: where the compare-and-set goes from and to. */
struct batch_lane {
	struct lane *lane;
	struct position after, last; /* the lane's cursor before its first entry; its last entry */
	const struct entry *last_entry;
	uint64_t last_hash;	    /* its checkpoint_hash, where it is to be written */
	struct position from, to;   /* ledger position before and after; set by batch_place */
	struct position done;	    /* what this transaction records as done; set by batch_place */
	unsigned parked_generation; /* of the lane's parked keys when its first entry was folded */
	bool writes;		    /* to > from (else only invalidated again) */
	bool outboxed;		    /* the store wrote keys of it to its outbox in this try */
	unsigned entries;
	size_t bytes;
	uint64_t scan_pass; /* the cache's: done waits for the end of this pass; 0: for none */
	/* filled by the store when the lane must leave the batch */
	const char *leave_why;		      /* LANE_WHY_…, NULL: stays */
	const char *leave_table, *leave_text; /* LANE_WHY_TABLE: which one, and what is wrong */
	struct entry *leave_at; /* this entry and all later ones of the lane leave; NULL: all */
	int64_t leave_for_ms;	/* how long to hold the lane; 0: the lane's back-off */
	bool leave_halts;
	struct batch_lane *next;
};

/* What a table's key templates name of a row, as it was before or after one change. */
struct touched_image {
	const struct str *values; /* by the templates' names */
	uint64_t unchanged;	  /* templates (bit = place) that the change left as they were */
	struct touched_image *next;
};

/* A cache key's row: distinct tables and keys of the batch, for the invalidations. */
struct touched {
	struct table *table;
	const struct value *key;
	struct str exact;
	struct change *changes;	      /* all of this spelling, by next_of_touched */
	struct touched_image *images; /* NULL: its templates name the key alone */
	const struct row_now *now; /* as its transaction leaves it (read_back.h); NULL: not read */
	bool plain;		   /* with images: some change has none */
	bool whole;		   /* no row: the keys that stand for the whole table */
	struct touched *next, *next_of_bucket;
};

/* One table of the batch. */
struct batch_table {
	unsigned next;		/* a round later than any step of the table */
	unsigned barrier;	/* no new step may be in an earlier round */
	unsigned folded;	/* changes merged into others */
	unsigned older;		/* changes dropped behind a newer version */
	unsigned refused_older; /* rows that MySQL had newer; the store's, of its last try */
};

struct batch {
	enum batch_state state;
	struct arena arena;
	struct delivery *deliveries;
	struct entry *first,
	    *last; /* kept entries of all lanes in the order delivered, by next_kept */
	struct batch_lane *lanes;
	struct bucket *buckets, *last_bucket;
	struct touched *touched;
	struct owed_list owed; /* keys that the store found, or recalled; of the last try */
	struct arena now;      /* what it read back; of the last try */
	int64_t now_us;	       /* clock_us before that */
	bool reads_no_rows;    /* such reading ended an earlier try: the next ones go without */
	struct map bucket_map;
	struct batch_table *tables; /* by place in the schema's tables */
	struct batch_lane *recent_lane;
	struct resolver resolver;
	struct schema_memory schemas;
	struct schema *schema;
	unsigned entries, writes, changes, folded, older, steps, rounds;
	unsigned refused; /* 0: surely no entry and no bucket is refused */
	struct parked
	    blocked;	   /* keys of entries refused by decoding, resolving or for a parked key */
	bool parks;	   /* a table of the schema has on_poison: park */
	size_t bytes;	   /* of the entries as delivered */
	bool full;	   /* something was left out for want of room */
	int64_t opened_ms; /* clock_ms of the first entry */
	int64_t sealed_ms;
	bool wants_schema; /* something was refused that a newer schema might know */
	bool has_problem;  /* a change is of a table that can't be written */
	bool schema_tried; /* the schema was loaded for this batch already */
	bool replays;	   /* its entries are dead letters applied again */
	struct lane
	    *again; /* its entries are of this lane, whose keys go again; NULL: they aren't */
	struct position again_after, again_to; /* between these */
	bool one_by_one; /* write in lane order, entry by entry (the slow, plain way) */
	bool keys_sent;	 /* its invalidations are under way */
	int64_t keys_sent_ms;
	void *prepared; /* the store's: statements built ahead; freed by its forget */
};

void batch_init(struct batch *b);
void batch_deinit(struct batch *b);

/* Drop everything; OPEN and empty.  The schema is the one to resolve against from now on. */
void batch_reset(struct batch *b, struct schema *schema);

/*
 * Take a delivery (NULL afterwards) and add its entries whose lane is still open and whose place
 * follows the lane's cursor; moves the cursors.  Stops adding at max_rows or max_bytes: what is
 * left over is read again.  The batch must be OPEN.
 */
void batch_take(struct batch *b, struct delivery **delivery, unsigned max_rows, size_t max_bytes);

/*
 * Take the entries of letters that are to be applied, or only invalidated, into an empty batch: no lane
 * moves.  The letters must outlive it.
 */
void batch_take_letters(struct batch *b, struct letter_list *list);

/* Add entries of a lane that are written and answered, to invalidate their keys again: no lane moves.
 * The batch must be OPEN; it holds nothing else. */
void batch_take_again(struct batch *b, struct lane *lane, struct delivery **delivery);
/* Has some row of it keys that its entries don't tell? */
bool batch_misses_keys(const struct batch *b);

/*
 * Decode, resolve and fold again from the entries as delivered: after a newer schema was loaded or
 * when lanes left.  Entries of lanes that leave (batch_lane.leave_why) are dropped, and their
 * cursors go back.  Keeps the state (OPEN or SEALED).
 */
void batch_rebuild(struct batch *b, struct schema *schema);

bool batch_is_empty(const struct batch *b);
/* Must keys be invalidated for it? */
bool batch_has_keys(const struct batch *b);
/* Must rows be read for the keys of what it writes? */
bool batch_reads_rows(const struct batch *b);
struct batch_lane *batch_lane_find(const struct batch *b, const struct lane *lane);

/* Drop the lane's entries from `at` on (NULL: all), fold the rest again. */
void batch_drop_lane(struct batch *b, struct lane *lane, struct entry *at);

/* Just before a write: fill from, to, done and writes of each lane from the lane's position and
 * answered, as they are now. */
void batch_place(struct batch *b);

/* Forget what the server refused in an earlier try; what decoding and resolving refused (it has no
 * code) stays. */
void batch_forget_tries(struct batch *b);

/* Lanes with a change of a table that can't be written (table->problem) must leave, at that entry.
 * True when there is one.  The worker asks before it writes, so a store never meets such a table. */
bool batch_check_tables(struct batch *b);

/* The lane leaves at this entry for the sake of a table: it can't be written because of `text`. */
void batch_leave_table(struct batch *b, struct entry *e, const struct table *table,
    const char *text);

/*
 * Would the refused entries of this batch bring a lane above `rate` dead letters among its last 1,000
 * entries?  Then the lane's leave_why is LANE_WHY_POISON_RATE with leave_at the entry that does, and
 * the answer is true.  For the store, after the rows and before the dead letters.  rate 0: never.
 */
bool batch_check_poison(struct batch *b, int rate);

/* Were keys of its lanes parked or freed since they were folded?  Then rebuild it before a write. */
bool batch_parked_moved(const struct batch *b);
/* Does this entry, which is refused, park its keys?  Sets refusal.parks. */
bool batch_parks(struct batch *b, struct entry *entry);
/* It is committed: what its letters park waits from now on. */
void batch_park_written(const struct batch *b);
/* For the store, after the rows: would a lane have more than `max` parked keys?  As the one below,
 * with LANE_WHY_MAX_PARKED. */
bool batch_check_parked(struct batch *b, int max);

/* What the batch keeps about a table of its schema. */
struct batch_table *batch_table(struct batch *b, const struct table *table);

void batch_seal(struct batch *b);
void batch_mark_written(struct batch *b);
void batch_mark_invalidated(struct batch *b);

#endif
