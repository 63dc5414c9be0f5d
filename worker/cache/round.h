#ifndef WORKER_CACHE_ROUND_H
#define WORKER_CACHE_ROUND_H

#include "common/arena.h"
#include "common/map.h"
#include "common/redis.h"
#include "worker/batch.h"
#include "worker/cache/announce.h"
#include "worker/cache/cache.h"
#include "worker/cache/library.h"
#include "worker/cache/markers.h"
#include "worker/cache/scan.h"
#include "worker/cache/server_clock.h"
#include "worker/cache/untouched.h"
#include "worker/cache/verify_ring.h"

/*
 * One round: the commands that invalidate the keys of a written batch, and what their answers mean.
 * Each key is sent once a round, in the way that its template's mode says, the keys of the rows
 * before and after where the changes have them or the store found them (worker/owed.h):
 *	delete		UNLINK, many keys a command
 *	versioned	sluice_invalidate with the highest version of the row's changes, where the
 *			table has none with their highest place in one log, or without either where
 *			a change has none or left the row's version as it was
 *	generation	sluice_generation_raise; table the same, of the table's one key
 *	tag		the members of the set, page by page; see tag.h
 *	populate	sluice_populate with the row as it was read back (worker/read_back.h), else as
 *			versioned
 *	scan		nothing of the round's: the pattern is remembered, see scan.h
 * What was invalidated is announced (announce.h) in the same round.
 * Answers come in the order of the commands, so what is expected is a queue.  A key that names a
 * lane's stream (where the cache is the source's server and database) or begins with "sluice:" is
 * counted and left alone, and so is one that holds something else (WRONGTYPE).  Any other error
 * answer fails the round: nothing is remembered, the whole of it is sent again.
 * Thread: its worker's.
 */
enum { KEYS_PER_COMMAND = 128 };

struct tag; /* tag.c's */

/* To be announced once the key is answered. */
struct announced {
	struct announcement a;
	bool repeat; /* some change of it may have been told before a crash */
	const struct announced *next;
};

struct expected {
	enum {
		EXPECT_UNLINK,
		EXPECT_CALL, /* a function with the template's key */
		EXPECT_POPULATE,
		EXPECT_REFUSED,
		EXPECT_CLOCK,
		EXPECT_ANNOUNCED,
		EXPECT_TIME, /* the rest: tag.c's */
		EXPECT_MEMBERS,
		EXPECT_MEMBER,
		EXPECT_MEMBER_TOLD,
		EXPECT_LEFT
	} what;
	const struct config_table *table;
	const struct config_template *template;
	struct str member;		   /* of a tag; the key that is populated */
	uint64_t version, before, lower;   /* of what is populated, as told_of has them */
	const struct announced *announced; /* NULL: nothing is */
	const struct verify_told *check;   /* NULL: it isn't looked at again */
	struct expected *next;
};

struct round {
	/* set before start */
	struct cache *cache; /* for its counters */
	const struct config *config;
	struct redis *redis;
	const struct library *library;
	const struct untouched *untouched;
	struct scan *scan; /* NULL: no template has mode scan */
	struct markers markers;
	struct server_clock clock; /* where rows are populated: as old as the last answer */

	/* of one round */
	struct arena arena; /* keys and what is expected, then replies */
	struct map seen;    /* keys that more than one row has */
	struct buf key, message;
	struct str unlink[1 + KEYS_PER_COMMAND];
	int unlink_count; /* words of it */
	const struct announced *unlinked;
	const struct batch *batch; /* while it is sent */
	const struct change *by;   /* what the key that is sent is told of; NULL: not known */
	const struct touched *row; /* whose it is; NULL: not known */
	size_t unlink_bytes, queued_bytes;
	bool populates; /* some row */
	struct expected *first, *last;
	struct arena tags_arena;
	struct tag *tags; /* whose members are still to be invalidated */
};

/* All is borrowed; untouched and scan are set by the caller. */
void round_init(struct round *r, struct cache *cache, const struct config *config,
    struct redis *redis, const struct library *library);
void round_deinit(struct round *r);

/* Send the invalidations of a WRITTEN batch; nothing may be pending. */
int round_start(struct round *r, const struct batch *batch, struct err *err);

/* The next reply, from r->arena.  It may send more commands. */
int round_answer(struct round *r, const struct redis_reply *reply, struct err *err);

/* ---- for tag.c ---- */

/* Queue a command and what its answer is for; write when much is queued. */
int round_send(struct round *r, const struct expected *expected, int argc, const struct str *argv,
    struct err *err);
/* May the key be touched?  Counts it, as invalidated or as skipped. */
bool round_may_touch(struct round *r, const struct config_table *table, struct str key);
/* Announce a key, if anything is; the answer is for *expected. */
int round_announce(struct round *r, const struct announcement *a, const struct expected *expected,
    struct err *err);
/* Count and name a key that holds something else. */
void round_refused(struct round *r, const struct expected *expected);

/* ---- for round.c ---- */

/* How long the key's marker is to live where the key is absent (markers.h). */
int round_marker_absent_ms(struct round *r, const struct config_template *t,
    const struct told *told);

/* Is the rendered key, about to be sent, looked at again (verify.h)?  NULL: no. */
const struct verify_told *round_check(struct round *r, const struct expected *expected,
    const struct told *told);
/* It was answered. */
void round_checked(struct round *r, const struct expected *e);

/* Does the refresher hear of the key (on_invalidate: reload)?  It does, if the answer leaves no value. */
bool round_reloads(const struct round *r, const struct expected *e);
void round_reload(struct round *r, const struct expected *e, struct str answered);

/* Announce all keys that this answer was about. */
int round_announce_all(struct round *r, const struct expected *e, struct err *err);
/* The same for an answer to a versioned one: an older one is news to nobody; one told before is where
 * the worker that told it may have died before it announced it. */
int round_announce_versioned(struct round *r, const struct expected *e, struct str answer,
    struct err *err);

#endif
