#ifndef WORKER_SOURCE_SOURCE_H
#define WORKER_SOURCE_SOURCE_H

#include "common/err.h"
#include "worker/change.h"
#include "worker/lane.h"
#include "worker/store/store.h"

/*
 * A source of lanes: Redis Streams (redis_stream.c) or Kafka (kafka.c); the simulation has its own.  One source per worker, used by that worker's thread only.
 *
 * Reading is asked for and collected separately, so that it overlaps with the store: request sends,
 * receive collects without blocking.  The ledger alone says where reading starts; what the source
 * keeps about us (consumer group, identity key) is a notice board for people and a witness.
 */
struct source;
struct schema_memory;

/* What was found beside a lane that was just owned, or at a later look. */
enum look_result {
	LOOK_OK,
	LOOK_FRESH,	  /* no ledger row, and nothing says we were ever here: start it */
	LOOK_LEDGER_LOST, /* no ledger row, but traces of us: halt */
	LOOK_IDENTITY,	  /* another stream under the same name: halt */
	LOOK_GAP, /* entries we had not read are gone; `text` has the range; go on from `lifted` */
	LOOK_STORE_ROLLBACK, /* the ledger is behind what we told the source: MySQL lost commits */
	LOOK_ROLLBACK,	/* the stream ends before the ledger's place: the source lost its end */
	LOOK_FORK,	/* it goes on, but isn't the one that was read up to there */
	LOOK_WRONG_TYPE /* the key isn't a stream: hold */
};
struct source_look {
	enum look_result result;
	struct position start; /* FRESH: where to start, after the source's `start` */
	char identity[64];     /* of the stream, as it stands now; "" when it can't be known */
	char text[512];	       /* GAP, IDENTITY, …: the sentence for log and alarm */
	char history[HISTORY_MAX + 1]; /* of the server, as it is now; "" when it can't be known */
	/* Of the entries behind `verified` up to the ledger's position nobody can know whether they were
	 * applied: they must become dead letters before the stream is lifted and read on. */
	bool in_question;
	struct position verified;
	bool loses; /* STORE_ROLLBACK: entries are gone that would have to be applied again */
	bool anew;  /* GAP: the stream was deleted and begun anew */
	bool
	    nothing_left; /* GAP, …: no entry at or below the ledger's position is there any more */
	bool cannot_lift; /* GAP: last-generated-id is below position and XSETID was denied */
};

/* A change of what the group assigned to us. */
struct group_partition {
	const char *topic;
	int partition;
};
struct group_news {
	bool revoked; /* else assigned */
	bool lost;    /* somebody else may have them already */
	const struct group_partition *list;
	size_t count;
};

struct source_ops {
	int (*open)(struct source *source, struct err *err);
	bool (*is_open)(const struct source *source);
	void (*close)(struct source *source);

	/* A lane was owned (row as loaded): compare with what stands in the source. */
	int (*look)(struct source *source, struct lane *lane, const struct ledger_row *row,
	    struct source_look *look, struct err *err);
	/* After the ledger row was inserted: leave the identity key, then the group.  identity is what
	 * the row holds. */
	int (*settle)(struct source *source, struct lane *lane, const char *identity,
	    struct err *err);
	/* The stream is ours from now on, whatever identity stands beside it: an order after LOOK_IDENTITY. */
	int (*claim)(struct source *source, struct lane *lane, const char *identity,
	    struct err *err);
	/* A new identity for a fresh lane ("" where identity isn't kept). */
	void (*new_identity)(struct source *source, struct lane *lane, char identity[64]);

	/* Ask for the next entries of these lanes, behind their cursors: at most about max_rows and
	 * max_bytes in all; wait at the server for at most block_ms when there is nothing.  Nothing
	 * may be under way. */
	int (*request)(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
	    size_t max_bytes, int block_ms, struct err *err);
	bool (*requested)(const struct source *source);
	/* Collect: 1 a reply is complete (*delivery may be NULL: nothing new), 0 not yet, -1 lost.  A
	 * lane whose key has the wrong type or whose next entry is over entry_max is held or halted
	 * here, by name; the others go on. */
	int (*receive)(struct source *source, struct delivery **delivery, struct err *err);
	int (*fd)(const struct source *source); /* of what is under way; -1: none */
	/* Give a delivery's memory back. */
	void (*recycle)(struct source *source, struct delivery **delivery);

	/* Behind lane->done: move the notice board, look for gaps, trim.  At most once a second per
	 * lane is useful.  Fills lane's shared fields (lag, length).  Overlaps nothing: uses its own
	 * connection.  look as above (OK or GAP). */
	int (*release)(struct source *source, struct lane *lane, struct source_look *look,
	    struct err *err);
	/* Entries behind `after` up to `to`, as many as are handled in one go; NULL: none.  To be recycled. */
	int (*range)(struct source *source, struct lane *lane, struct position after,
	    struct position to, struct delivery **page, struct err *err);
	/* The same by the ids of the stream, also where the lane's places are others.  NULL: no stream. */
	int (*history)(struct source *source, struct lane *lane, struct position after,
	    struct position to, struct delivery **page, struct err *err);
	/* No new entry may get a place at or below the lane's position.  *cannot: the right is missing. */
	int (*lift)(struct source *source, struct lane *lane, bool *cannot, struct err *err);
	/* Wait until so many replicas have what was read so far; -1 where they don't. */
	int (*confirm)(struct source *source, struct lane *lane, int replicas, struct err *err);
	/* The last place that was ever given out in this stream, which need not be a lane of ours; 0-0
	 * when there is none.  1, with 0-0: we may not ask. */
	int (*newest)(struct source *source, const char *stream, struct position *last,
	    struct err *err);
	/* The lane is no longer ours. */
	void (*close_lane)(struct source *source, struct lane *lane);

	/* ---- where a group of consumers says who owns which lane; NULL elsewhere ---- */

	/* Keep the membership alive though nothing is read; also while the source isn't open.  Called
	 * at least each second, in the store's wait, too. */
	void (*serve)(struct source *source);
	/* What the group has said and nobody obeyed yet: true and *news, which stays until it is obeyed. */
	bool (*news)(struct source *source, struct group_news *news);
	/* It is obeyed: partitions that were taken away are no longer ours. */
	void (*obeyed)(struct source *source);
	/* How many lanes the topic of this one has now; 0: not known.  Where it isn't the topic that the
	 * lane's row names any more, look_again is set. */
	unsigned (*siblings)(struct source *source, struct lane *lane);
	/* Leave the group, after the notice board was written for these lanes. */
	void (*leave)(struct source *source, struct lane **lanes, size_t count);

	void (*free)(struct source **source);
};

struct source {
	const struct source_ops *ops;
};

struct source *redis_stream_new(const struct config *config, int worker);
/* Of the topics that are written, or of those that only invalidate. */
struct source *kafka_new(const struct config *config, int worker, bool writes);
/* The same streams read by a consumer group, for lanes that only invalidate (redis_group.h). */
struct source *redis_group_new(const struct config *config, int worker);

/* What decoding can do with less for. */
struct decode_aids {
	struct schema_memory *schemas; /* of the messages before; NULL: none are kept */
	const struct str *asked;       /* the columns that anybody asks an event for; NULL: all */
	size_t asked_count;
};

/*
 * Formats.  decode fills entry->changes from entry->raw, in arena; -1 with entry->refusal filled when
 * the entry can't be decoded.  Borrowed bytes of raw may be pointed into.
 */
int format_fields_decode(struct entry *entry, struct arena *arena);
int format_json_decode(struct entry *entry, struct arena *arena);
/* An entry that carries a change event (worker/source/event.h), by the format of its lane. */
int format_event_decode(struct entry *entry, struct arena *arena, const struct decode_aids *aids);
/* By the format of the entry's lane.  aids: or NULL. */
int format_decode(struct entry *entry, struct arena *arena, const struct decode_aids *aids);

#endif
