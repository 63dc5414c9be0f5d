#ifndef WORKER_SOURCE_STREAM_LOOK_H
#define WORKER_SOURCE_STREAM_LOOK_H

#include "common/redis.h"
#include "worker/source/source.h"

/*
 * What stands in Redis about one stream, and what follows from it.  No I/O here: facts come in, a
 * decision and a sentence go out.
 *
 * How a loss is seen.  Our own trims leave the entry at `done` as a witness.  While the first entry
 * is at or below `done` nothing was cut off in front.  Where it isn't, counting tells: Redis 7
 * counts the entries ever added, so those added behind `done` are either there or gone.
 * max-deleted-entry-id tells of XDEL (and ignores XTRIM); a last-generated-id below the ledger
 * tells of a stream that is another one than it was.
 */

/* XINFO STREAM */
struct stream_info {
	bool known; /* we may ask */
	bool exists, wrong_type;
	uint64_t length;
	bool has_added; /* Redis 7 and newer */
	uint64_t added; /* entries ever added */
	struct position last_generated, max_deleted;
	bool has_first;
	struct position first;
};

/* XINFO GROUPS (and XPENDING of the others) */
struct stream_groups {
	bool known;
	bool ours; /* a group of our name is there */
	struct position delivered;
	bool counted;	  /* ours has a count */
	uint64_t read;	  /* entries ever added up to and including `delivered` */
	uint64_t pending; /* of ours: delivered and not acknowledged */
	bool others;
	struct position needed; /* others: the lowest place that one of them still needs */
	char holder[128];	/* and the name of that group */
};

/* The identity key */
enum identity_trace { IDENTITY_UNKNOWN /* or can't be kept */, IDENTITY_ABSENT, IDENTITY_FOUND };

struct stream_facts {
	struct stream_info info;
	struct stream_groups groups;
	enum identity_trace identity_trace;
	char identity[64]; /* FOUND */
};

/* What the last look left. */
struct stream_memory {
	struct position done; /* the lane's, then */
	bool counted;
	uint64_t count;		 /* entries ever added up to and including done */
	bool at_least;		 /* not counted, but so many at least */
	bool recalled;		 /* nobody's look: from the notice board */
	bool witnessed;		 /* the entry at done was there, or must have been */
	struct position deleted; /* max-deleted-entry-id as far as it was reported */
};

/*
 * Read a reply.  A partial one (elements NULL from some place on) is read as far as it goes: all
 * that we need stands before the contents of the first entry.
 */
void stream_info_read(const struct redis_reply *reply, struct stream_info *info);
/* Our own group's part, and the others' last-delivered-ids; *pending_count names of other groups
 * with pending entries go to pending[] (at most pending_max; borrowed from the reply).  Beyond
 * pending_max a group counts as needing everything. */
void stream_groups_read(const struct redis_reply *reply, const char *group,
    struct stream_groups *groups, struct str *pending, size_t pending_max, size_t *pending_count);
/* A group other than ours needs what is at and behind `place`. */
void stream_groups_need(struct stream_groups *groups, struct str name, struct position place);

/* Entries behind `done`; false where the stream alone can't tell. */
bool stream_beyond(const struct stream_info *info, struct position done, uint64_t *beyond);

/* What to remember of this look. */
struct stream_memory stream_remember(const struct stream_info *info, struct position done);
/* Where the stream alone doesn't tell (kept entries stand in front of `done`): count on from the look
 * before, `passed` entries lie between. */
void stream_count_on(struct stream_memory *memory, const struct stream_memory *before,
    struct position passed_from, uint64_t passed);
/* The same for a lane that we just became the owner of: as far as the notice board tells. */
struct stream_memory stream_recall(const struct stream_facts *facts, struct position done);

/* The ledger's place is above all that the stream will name next: it must be lifted. */
bool stream_is_behind(const struct stream_info *info, struct position position);

/*
 * Are entries gone that were behind memory->done and beyond the cursor?  Then true and a sentence.
 * (For deleted ones the cursor doesn't count: it may have passed them.)
 */
bool stream_gap(const struct stream_info *info, const struct stream_memory *memory,
    const struct lane *lane, struct position position, bool *anew, char *text, size_t size);

/* Everything that look decides: row (found or not) against facts.  -1: where the stream ends must
 * be known (start: end) and isn't. */
int stream_decide(const struct stream_facts *facts, const struct stream_memory *memory,
    const struct lane *lane, const struct ledger_row *row, struct source_look *look,
    struct err *err);

#endif
