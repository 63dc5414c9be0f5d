#ifndef WORKER_LANE_H
#define WORKER_LANE_H

#include "config/config.h"
#include "worker/change.h"
#include "worker/checkpoint.h"
#include "worker/parked.h"
#include "worker/position.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A lane: one ordered log (one Redis stream, one Kafka partition), the unit of order and of ownership.
 * A partition is its worker's while the consumer group assigned it: it gets a struct lane then, which
 * stays, and `holder` says which worker may touch it.
 *
 * Thread: its worker's, but for the fields below "shared", which pages and metrics read.
 *
 * Four places on the log, always done <= position <= cursor:
 *	done	  everything up to here is written and invalidated, as the ledger has it
 *	answered  the same, as we know it; the next transaction records it as done
 *	position  everything up to here is written, as the ledger has it
 *	cursor	  everything up to here is in a batch of ours; the next read starts here
 * An entry read at or below `position` is only invalidated again.
 */
enum lane_state {
	LANE_FREE,  /* somebody else's, or nobody's yet */
	LANE_OPEN,  /* ours, being read */
	LANE_HELD,  /* ours, waiting until hold_until_ms (row lock, parent row, table gone) */
	LANE_HALTED /* ours, waiting for an order (`sluice lane resume`) */
};
const char *lane_state_name(enum lane_state state);

/* Why a lane is held or halted, or what its alarm is; fixed words, a metric's label. */
#define LANE_WHY_ROW_LOCK "row_lock"
#define LANE_WHY_FOREIGN_KEY "foreign_key"
#define LANE_WHY_TABLE "table" /* gone, or no right */
#define LANE_WHY_POISON_RATE "poison_rate"
#define LANE_WHY_ON_POISON "on_poison"
#define LANE_WHY_MAX_PARKED "max_parked"
#define LANE_WHY_REPLAY "replay" /* held while dead letters are applied */
#define LANE_WHY_ENTRY_TOO_LARGE "entry_too_large"
#define LANE_WHY_LEDGER_LOST "ledger_lost"
#define LANE_WHY_GAP "gap"
#define LANE_WHY_IDENTITY "identity"
#define LANE_WHY_LANES_CHANGED "lanes_changed"
#define LANE_WHY_WRONG_TYPE "wrong_type"
#define LANE_WHY_REFUSED "refused" /* the server doesn't let us read it */
#define LANE_WHY_STORE_ROLLBACK "store_rollback"
#define LANE_WHY_ROLLBACK "rollback"
#define LANE_WHY_FORK "fork"

#define LANE_WHY_CACHE_LOST \
	"cache_lost" /* the cache went back, and not all is known that it lost */
#define LANE_WHY_PARTITIONS "partitions" /* its topic has more of them than before */
#define LANE_WHY_UNKNOWN "unknown" /* a newer sluice's, whose ledger row we read in an upgrade */
/* All of them, up to a NULL. */
extern const char *const lane_whys[];

#define LANE_NAME_MAX 255
#define TOPIC_NAME_MAX 249
#define WORKER_LANES_MAX 1024 /* of a worker */
#define LANES_ADDED_MAX 2048  /* of a process, beside those that the configuration names */

/* Which of the last 1,000 entries became dead letters. */
struct lane_recent {
	unsigned char bits[125];
	unsigned at, count, dead;
};
/* Count one entry; returns how many of the last 1,000 are dead letters. */
unsigned lane_recent_add(struct lane_recent *recent, bool dead);

/* Its keys are answered up to `at`, but for those that a pass of the cache's scan looks for. */
struct lane_wait {
	uint64_t pass;
	struct position at;
	uint64_t hash; /* as answered_hash, passed_from and passed are of `answered` */
	struct position passed_from;
	uint64_t passed;
};

/* Entries whose keys are invalidated again: the cache went back (tend_notes.c, tend_again.c). */
struct lane_again {
	bool on;
	struct position at, to; /* behind `at`, up to `to` */
	uint64_t pass;	  /* of the cache's scan, that those up to `at` wait for; 0: for none */
	uint64_t entries; /* so far */
	bool whole;	  /* nobody knows where it begins: with what the lane still holds */
	bool checked;	  /* whether the lane still holds all of it */
	bool misses;	  /* something of it can't be invalidated again */
	int64_t not_before_ms;
	int64_t give_up_ms; /* clock_ms until which a table is waited for; 0: none is missing */
};

struct lane {
	/* set before start */
	char name[LANE_NAME_MAX + 1]; /* pool/source/stream or pool/source/topic/partition */
	const char *stream;	      /* or topic */
	char topic[TOPIC_NAME_MAX + 1];
	bool is_partition; /* of a topic: the consumer group says who owns it */
	bool by_group;	   /* a stream that a consumer group reads: its places are ordinals */
	int partition;
	const struct config_source *source;
	unsigned lanes_of_source;
	bool came_later; /* a partition that its topic got after others of it had been read */
	int index;	 /* among all lanes of the process that write, or that don't */

	/* worker only */
	enum lane_state state;
	uint64_t epoch;
	struct position position, done, answered, cursor;
	struct position recording;   /* what `record` is about to make `done` */
	uint64_t answered_hash;	     /* of the entry at `answered`; 0: not known */
	struct position passed_from; /* so many entries are between this place and `answered` */
	uint64_t passed;
	struct lane_wait waits[2]; /* ascending: the pass that runs, the one behind it */
	unsigned wait_count;
	bool noting;	       /* the cache keeps how far it is answered, and `done` follows that */
	bool note_anew;	       /* its place was moved: what the cache keeps may be of before */
	struct position noted; /* as we know that the cache has it; 0-0: not read yet */
	/* by_group, ids of the stream: all up to here is answered, by whoever had it; the highest that we
	 * were given */
	struct position settled, taken;
	struct lane_again again;
	bool cache_lost; /* that alarm is to be raised, when another one is acknowledged */
	struct checkpoints checkpoints;	    /* as the ledger row has them, or is about to */
	struct position lost_from, lost_to; /* the store lost these commits; lost_to 0-0: none that
					       an alarm doesn't tell of */
	bool recall;	   /* owned anew: the notice board may know of commits that we don't */
	bool look_again;   /* not to be read before the source was looked at with a store at hand */
	bool interrupted;  /* another owner had it meanwhile: `answered` need not hold any more */
	bool doubtful;	   /* what was read of it may be another server's: another owner saw that */
	char identity[64]; /* as the ledger row has it */
	const char *marked;	/* what halts it, as the ledger row says; NULL: nothing */
	int mismatches;		/* compare-and-set, running */
	bool outbox;		/* sluice_outbox may hold keys of it beyond `done` */
	bool fresh;		/* the ledger row is ours of this moment: nothing was ever here */
	int64_t hold_until_ms;	/* HELD */
	int hold_tries;		/* consecutive holds, for the back-off */
	bool probe;		/* its rows were locked: look with NOWAIT before writing */
	int64_t parent_wait_ms; /* clock_ms when the shared wait for parents began; 0: none */
	uint64_t parent_wait_id_ms;   /* entries added before this share that wait */
	struct position parents_past; /* up to here no parent can come any more */
	int64_t unowned_ms;	      /* FREE: clock_ms since when nobody has it; 0: somebody has */
	int64_t unreleased_bytes;     /* entries beyond `answered`, for invalidate_lag_max */
	struct lane_recent recent;
	struct parked parked; /* its keys that wait behind dead letters, as committed */
	/* a pass through its open letters (tend_replay.c) */
	bool replay_due, replaying;
	int64_t replay_begun_ms, replay_not_before_ms;
	unsigned replay_steps, replay_moved; /* of this pass; letters that it did something about */
	uint64_t replay_after;		     /* letters up to this id were looked at */
	struct parked replay_blocked;	     /* keys of those among them that stay */
	bool unlisted_logged; /* that events of tables that the source doesn't list come here */
	void *source_state;   /* the source's own, freed by its close_lane */

	/* shared, atomic */
	_Atomic int holder; /* of a partition: the worker that may touch it and one more; 0: none */
	_Atomic int shown_worker;
	_Atomic int shown_state;			   /* enum lane_state */
	_Atomic(const char *) why;			   /* HELD, HALTED: a LANE_WHY; NULL */
	_Atomic(const char *) alarm;			   /* a LANE_WHY until acknowledged; NULL */
	_Atomic uint64_t shown_position_ms, shown_done_ms; /* position.major, done.major */
	_Atomic uint64_t shown_position_minor, shown_done_minor;
	_Atomic uint64_t lag; /* entries beyond done, as last seen */
	_Atomic uint64_t stream_length, stream_bytes;
	_Atomic int64_t
	    oldest_pending_ms; /* wall time the oldest pending change was added; 0: none */
	_Atomic uint64_t entries, dead;
	_Atomic uint64_t shown_parked;	/* keys */
	_Atomic int shown_again;	/* keys are invalidated again */
	_Atomic uint64_t again_entries; /* whose keys were */
	/* of lanes that only invalidate */
	_Atomic uint64_t pending;	  /* delivered to some consumer and not acknowledged */
	_Atomic uint64_t claimed;	  /* taken over from others */
	_Atomic uint64_t pending_deleted; /* gone from the stream before they were read */
};

/* Start the names and places of lane `index` of `config` in *lane. */
void lane_init(struct lane *lane, const struct config *config, const struct config_source *source,
    size_t stream, int index);

/* The same for a partition of a topic.  False: the name would be too long for the ledger. */
bool lane_init_partition(struct lane *lane, const struct config *config,
    const struct config_source *source, const char *topic, int partition, int index);
/* The topic (TOPIC_NAME_MAX bytes and a NUL) and partition of the lane that is called so, by its whole
 * name or without the pool and the server; false: it is no partition's. */
bool lane_name_partition(const struct config *config, const char *name, char *topic,
    int *partition);

/*
 * All lanes of the process: those of the configuration, then partitions as they are assigned.  None is
 * ever taken out, so that pages may read the first *count without a lock.
 */
struct lane_table {
	const struct config *config;
	struct lane *lanes;
	size_t max;
	_Atomic size_t *count;
	pthread_mutex_t adding;
};
/* How many lanes the process can come to have. */
size_t lanes_max(const struct config *config);
/* The lane of that partition, made where it is new.  NULL: there is no room, or its name is too long. */
struct lane *lane_table_partition(struct lane_table *table, const struct config_source *source,
    const char *topic, int partition);

/* Move the state (checked); publishes the shared fields. */
void lane_open(struct lane *lane);
void lane_free(struct lane *lane);
void lane_hold(struct lane *lane, const char *why, int64_t until_ms);
void lane_halt(struct lane *lane, const char *why);
/* The LANE_WHY word equal to this text (as read from a ledger row), or NULL for "". */
const char *lane_why_of(const char *text);
/*
 * The alarm as a ledger row has it: its word, and `,cache_lost` where that waits behind another one
 * ("gap,cache_lost").  What is lost of the cache stays known when `alarm` takes the lane's place for it.
 */
enum { LANE_ALARM_MAX = 31 };
const char *lane_alarm_text(const struct lane *lane, const char *alarm,
    char text[LANE_ALARM_MAX + 1]);
void lane_take_alarm(struct lane *lane, const char *text);
/* It is answered up to here, by other news than a batch of ours. */
void lane_answered_at(struct lane *lane, struct position answered);
/* It is answered up to here, but for what passes up to that one still look for (0: nothing); `place`
 * has no pass. */
void lane_answer(struct lane *lane, const struct lane_wait *place, uint64_t pass);
/* How far it is answered when the passes are left out. */
struct lane_wait lane_reached(const struct lane *lane);
/* The passes up to that one are through. */
void lane_passed(struct lane *lane, uint64_t pass);
/* It is read again from `answered`. */
void lane_forget_waits(struct lane *lane);
/* How far it may be recorded as done: what the cache doesn't know of itself could not be missed there. */
struct position lane_recordable(const struct lane *lane);
/* The connection to the cache was lost, and it may be a server that lacks the last invalidations: all
 * behind what it has noted is sent again. */
void lane_rewind(struct lane *lane);
/* The cache was emptied: it is answered as far as it is written, and nothing is noted there. */
void lane_flushed(struct lane *lane);
/* Nothing of it is invalidated again, or no more. */
void lane_end_again(struct lane *lane);
/* We were given this entry of a stream that a group reads. */
void lane_took(struct lane *lane, struct position id);
/* Up to where a stream's entries may have been answered. */
struct position lane_touched(const struct lane *lane);
/* Publish position and done for pages. */
void lane_show(struct lane *lane);

#endif
