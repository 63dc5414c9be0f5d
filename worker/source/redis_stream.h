#ifndef WORKER_SOURCE_REDIS_STREAM_H
#define WORKER_SOURCE_REDIS_STREAM_H

#include "common/buf.h"
#include "common/redis.h"
#include "worker/source/delivery_pool.h"
#include "worker/source/read_plan.h"
#include "worker/source/source.h"
#include "worker/source/stream_keep.h"
#include "worker/source/stream_look.h"

/*
 * Redis Streams as a source, shared by its files:
 *	redis_stream.c		the two connections, the operations' table
 *	stream_read.c		XREAD: requests, replies, memory
 *	stream_trace.c		look, settle: what stands beside a stream
 *	stream_release.c	trimming and the notice board
 *	stream_preflight.c	is this server fit?
 *	stream_fork.c		other histories: what verifies, what is in question, wait_replicas
 *	stream_look.c, read_plan.c	decisions without I/O
 *
 * `read` has at most one XREAD under way; everything else goes over `control`.  Losing either loses
 * both: the worker opens the source again and looks at its lanes.
 */

/* lane->source_state */
struct stream_lane {
	bool looked; /* memory holds something */
	struct stream_memory memory;
	bool settled;	    /* our traces were left: we may trim and move the group */
	bool identity_seen; /* the identity key was there; its absence means something */
	bool owes_identity; /* the key is to be left again (the alarm was raised) */

	/* reading */
	size_t entry_bytes; /* largest recent entry */
	bool alone;	    /* its last request failed or was too large: next one alone */
	bool faulty;	    /* ... and the fault was logged */

	/* release */
	struct stream_keep kept;	       /* where `done` was, as far back as `keep` */
	struct position oldest_of, oldest;     /* the first entry behind oldest_of is `oldest` */
	int64_t bytes_asked_ms;		       /* MEMORY USAGE */
	int64_t blocked_ms, blocked_logged_ms; /* another group keeps us from trimming since */
};

struct asked {
	struct lane *lane;
	struct position cursor;
};

struct redis_stream {
	struct source source; /* first: the worker's pointer */
	const struct config *config;
	int worker;
	char read_name[48], control_name[48];
	struct buf password;
	struct redis_options read_options, control_options;
	struct redis *read, *control;
	bool counts_reads;	       /* the server knows ENTRIESREAD (7.0) */
	char history[HISTORY_MAX + 1]; /* its replication id; "": not known */
	int64_t history_ms;	       /* when it was asked for */

	/* the request under way */
	bool requested;
	struct asked *asked;
	size_t asked_count, asked_max;
	unsigned asked_each; /* its COUNT */
	int64_t deadline_ms;
	size_t bytes_seen;
	struct delivery *incoming;
	struct delivery_pool pool;

	/* for the next one */
	size_t turn, busy;
	unsigned count;

	/* control */
	struct arena arena; /* replies of one operation */
	size_t owed;	    /* replies that nobody waits for */
};

struct redis_stream *redis_stream_of(const struct source *source);
/* The lane's state, made when it is first asked for. */
struct stream_lane *stream_lane(struct lane *lane);
/* In storage that holds zeros. */
void stream_init(struct redis_stream *s, const struct config *config, int worker);
void stream_deinit(struct redis_stream *s);
int stream_open(struct source *source, struct err *err);
/* Close both connections and forget the request under way. */
void stream_close(struct redis_stream *s);

/* True the first time in the life of the process. */
enum stream_warning {
	WARN_PERSISTENCE,
	WARN_OLD_SERVER,
	WARN_INFO,
	WARN_CONFIG,
	WARN_MEMORY,
	WARN_XINFO,
	WARN_IDENTITY,
	WARN_GROUP,
	WARN_TRIM,
	WARN_PENDING,
	WARN_RANGE,
	WARN_CLAIM,
	WARN_CONSUMERS
};
bool stream_warns(enum stream_warning warning);

/* ---- control ---- */

/* Start an operation: the replies of the one before are gone. */
void control_begin(struct redis_stream *s);
/* The next reply that somebody waits for. */
int control_receive(struct redis_stream *s, struct redis_reply **reply, struct err *err);
/*
 * The same for a reply that may be as large as the entries it holds: beyond a limit the connection
 * is opened anew, *cut is set and *reply is what came so far (elements NULL from some place on).
 */
int control_receive_entries(struct redis_stream *s, const struct redis_reply **reply, bool *cut,
    struct err *err);
/* All queued commands go out, and nobody waits for the last `unheard` replies. */
int control_send(struct redis_stream *s, size_t unheard, struct err *err);
/*
 * What an error reply means to an operation that can do without: -1 the server can't serve us now
 * (err is set; both connections are closed), 1 it was refused, 0 it isn't an error.
 */
int control_refused(struct redis_stream *s, const struct redis_reply *reply, struct err *err);
/* Log once a process that the right to do something is missing. */
void control_warn(enum stream_warning warning, const struct lane *lane,
    const struct redis_reply *reply, const char *next);

/* ---- the files' parts of struct source_ops ---- */

int stream_preflight(struct redis_stream *s, struct err *err);

int stream_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err);
int stream_receive(struct source *source, struct delivery **delivery, struct err *err);
void stream_recycle(struct source *source, struct delivery **delivery);
void stream_read_free(struct redis_stream *s);

int stream_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err);
int stream_claim(struct source *source, struct lane *lane, const char *identity, struct err *err);
int stream_settle(struct source *source, struct lane *lane, const char *identity, struct err *err);
int stream_newest(struct source *source, const char *stream, struct position *last,
    struct err *err);
void stream_new_identity(struct source *source, struct lane *lane, char identity[64]);

/* Ask for all facts about a lane.  with_pending: also what other groups have pending.  bytes (NULL:
 * don't ask): MEMORY USAGE, left alone where it can't be had. */
struct stream_question {
	bool with_pending;
	uint64_t *bytes;
};
int stream_facts_read(struct redis_stream *s, struct lane *lane,
    const struct stream_question *question, struct stream_facts *facts, struct err *err);
/* Lift the stream to the ledger's place (making it where it is missing). */
int stream_lift(struct redis_stream *s, struct lane *lane, const struct stream_info *info,
    struct position position, bool *cannot, struct err *err);
/* Leave the identity key, where there is none yet. */
int stream_leave_identity(struct redis_stream *s, struct lane *lane, const char *identity,
    struct err *err);

/* Once a second: is it still the same server history?  Where it isn't both connections are closed, so
 * that everything is looked at again. */
int stream_history(struct redis_stream *s, struct err *err);
/*
 * Does the stream still hold what was read up to the ledger's position?  Asked where the stream ends
 * before it, was begun anew, or the server has another history than the ledger's.  Fills verified and
 * in_question, and makes an OK or a GAP of it a FORK where an entry of ours is missing.
 */
int stream_verify(struct redis_stream *s, struct lane *lane, const struct ledger_row *row,
    const struct stream_facts *facts, struct source_look *look, struct err *err);
int stream_range(struct source *source, struct lane *lane, struct position after,
    struct position to, struct delivery **page, struct err *err);
int stream_lift_lane(struct source *source, struct lane *lane, bool *cannot, struct err *err);
/* Queue the notice board's own write: our group stands at `done`. */
void stream_write_board(struct redis_stream *s, const struct lane *lane,
    const struct stream_memory *memory);
int stream_confirm(struct source *source, struct lane *lane, int replicas, struct err *err);

/* ---- stream_read.c: what XREAD and XREADGROUP have in common ---- */

/* What the request under way asks for, and with which lane the next one begins. */
void stream_remember_asked(struct redis_stream *s, struct lane **lanes, size_t count,
    const struct read_plan *plan);
/* Does it ask for one entry of one lane? */
bool stream_asks_one(const struct redis_stream *s);
enum stream_read_result {
	STREAM_READ_LOST, /* both connections are closed */
	STREAM_READ_NOT_YET,
	STREAM_READ_REPLY,
	STREAM_READ_TOO_LARGE /* what has come of it is more than we may hold */
};
/* Read on while it comes, without waiting.  command: whose reply it is, for the error. */
enum stream_read_result stream_read_on(struct redis_stream *s, const char *command,
    struct redis_reply **reply, struct err *err);
/* An error reply: -1 where the source can't be read now (it is closed), 0 where a lane is at fault. */
int stream_read_error(struct redis_stream *s, const struct redis_reply *reply, struct err *err);
/* The lane's key is of another type: hold it, and say so once. */
void stream_hold_faulty(struct redis_stream *s, struct lane *lane, bool *faulty,
    const struct err *err);
/* One entry of a reply, [id, [name, value, …]]; NULL where the protocol says something else. */
struct entry *stream_entry(struct arena *a, struct lane *lane, const struct redis_reply *reply);
/* A delivery of nothing yet. */
struct delivery *stream_delivery(struct redis_stream *s);

int stream_release(struct source *source, struct lane *lane, struct source_look *look,
    struct err *err);

#endif
