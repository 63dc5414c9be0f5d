#ifndef WORKER_SOURCE_REDIS_GROUP_H
#define WORKER_SOURCE_REDIS_GROUP_H

#include "worker/source/group_log.h"
#include "worker/source/redis_stream.h"

/*
 * Redis Streams as a source of lanes that only invalidate: a plain consumer group, sluice-POOL, of
 * which every worker of every process is a consumer.  Any of them reads any entry; an entry is
 * acknowledged once its keys are answered; what another consumer has held for longer than
 * `claim_after` is taken over.
 *	redis_group.c	the operations' table, connections, the end
 *	group_read.c	XREADGROUP, XRANGE of what is read again, XACK
 *	group_tend.c	the group and what it says; entries of others; trimming; dead consumers
 *	group_log.c	what we hold, as an ordered log
 *
 * An entry's place (entry->id) is its ordinal among all that this worker got of the stream; its id is
 * entry->place.  So `position` and `done` of such a lane count entries.
 */
enum {
	GROUP_ASK_MAX = 512, /* ids that are read again in one request */
	GROUP_CONSUMER = 192
};

/* lane->source_state */
struct group_lane {
	struct group_log log;
	size_t entry_bytes;	     /* largest recent entry */
	bool alone;		     /* its last request failed or was too large: next one alone */
	bool faulty;		     /* ... and the fault was logged */
	bool joined;		     /* the group was there, or made by us */
	bool gone;		     /* ... and no more when we looked again */
	char cursor[POSITION_TEXT];  /* of XAUTOCLAIM */
	struct position lost_behind; /* entries behind this were reported as lost */
	int64_t consumers_ms, bytes_ms;
};

struct redis_group {
	struct redis_stream stream; /* first: the worker's pointer */
	char consumer[GROUP_CONSUMER];

	/* the request under way: of new entries (the stream's `asked`), or of ids of one lane */
	bool asks_ids;
	struct position asked_places[GROUP_ASK_MAX];
	size_t ids_asked, ids_taken;
	size_t acks; /* replies to XACK that come first */
	struct entry **tail;
};

static inline struct redis_group *
redis_group_of(const struct source *source)
{
	return (struct redis_group *)redis_stream_of(source);
}

struct group_lane *group_lane(struct lane *lane);

/* ---- group_read.c ---- */
int group_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err);
int group_receive(struct source *source, struct delivery **delivery, struct err *err);
/* Queue XACKs of what is answered on this connection; returns how many commands. */
size_t group_queue_acks(struct redis_group *g, struct lane *lane, struct redis *redis,
    struct arena *arena);

/* ---- group_tend.c ---- */
int group_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err);
int group_release(struct source *source, struct lane *lane, struct source_look *look,
    struct err *err);
/* Acknowledge what is answered, and take our consumer's name out where it holds nothing. */
void group_leave(struct redis_group *g, struct lane *lane);

#endif
