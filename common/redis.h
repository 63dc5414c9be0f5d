#ifndef COMMON_REDIS_H
#define COMMON_REDIS_H

#include "common/arena.h"
#include "common/err.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One connection to Redis or Valkey (RESP2), over hiredis; the only room that sees hiredis.
 *
 * Commands are queued with redis_queue and go out with redis_flush; replies come back in order with
 * redis_receive, parsed straight into an arena of the caller's.  Requests and replies overlap as the
 * caller likes; redis_pending says how many replies are owed.
 *
 * Any failure of the connection, a time-out included, closes it (a late reply must never be taken
 * for another command's); redis_is_open is then false and redis_open opens it again.  The address is
 * resolved and `${file:}` secrets are read again at each open.  An error *reply* (-WRONGTYPE …) is a
 * reply, not a failure.  Thread: its owner's.
 */
struct redis_options {
	const char *host; /* or a socket */
	int port;
	const char *socket; /* wins over host when not NULL */
	const char *user;   /* NULL: none */
	/* Returns the password (NULL: none); called at each open: a changed file is seen. */
	const char *(*password)(void *arg);
	void *password_arg;
	int db;
	const char *client_name; /* CLIENT SETNAME, failure ignored */
	int connect_timeout_ms;
	int timeout_ms; /* the longest wait for a reply in redis_call */
};

enum redis_type { REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_NIL, REDIS_ARRAY };

struct redis_reply {
	enum redis_type type;
	int64_t integer;
	struct str text;	      /* STRING, STATUS, ERROR; NUL behind */
	size_t count;		      /* ARRAY */
	struct redis_reply **element; /* ARRAY; element[i] may be NULL while the reply is partial */
};

struct redis;

/* Options are borrowed for the connection's life. */
struct redis *redis_new(const struct redis_options *options);
void redis_free(struct redis **r);

/* Connect, AUTH, SELECT, SETNAME.  Closes what was open.  err: RETRY when it can't be reached or is
 * LOADING, FATAL when the password or the database is refused. */
int redis_open(struct redis *r, struct err *err);
void redis_close(struct redis *r);
bool redis_is_open(const struct redis *r);
/* -1 when closed. */
int redis_fd(const struct redis *r);

/* Queue one command.  Never blocks.  The connection must be open. */
void redis_queue(struct redis *r, int argc, const struct str *argv);
/* The same from words separated by blanks; %s takes const char *, %b takes struct str *, %lld
 * takes long long, %llu unsigned long long. */
void redis_queuef(struct redis *r, const char *format, ...);
/* Write all that is queued (waits at most timeout_ms for the socket). */
int redis_flush(struct redis *r, struct err *err);
/* After a subscription was queued: what comes is unasked, as many replies are pending as one likes to
 * receive, until the connection closes. */
void redis_listen(struct redis *r);
/* Replies not yet received. */
size_t redis_pending(const struct redis *r);

/*
 * One reply into *a: 1 a reply, 0 none complete after waiting timeout_ms (the connection stays
 * good), -1 the connection is gone.  With timeout_ms 0 it doesn't wait and reads the socket once, at
 * most 128 KiB, so that the caller can look at redis_partial before a huge reply is in memory.
 * Once redis_partial shows a reply that has begun, *a must stay the same and not be reset until it
 * is whole or the connection closed; this is checked.  More than one reply may have been read: call
 * it before waiting for redis_fd.
 */
int redis_receive(struct redis *r, struct arena *a, int timeout_ms, struct redis_reply **reply,
    struct err *err);
/* The part of the next reply that has been parsed so far, or NULL; and the bytes read for it. */
const struct redis_reply *redis_partial(const struct redis *r, size_t *bytes);

/* Queue, flush and wait for the one reply; nothing else may be pending.  An error reply is -1 too
 * with its text (class by its prefix: LOADING READONLY MASTERDOWN CLUSTERDOWN TRYAGAIN NOREPLICAS
 * OOM BUSY MISCONF UNBLOCKED are RETRY; NOPERM NOAUTH WRONGPASS FATAL; the rest POISON) and leaves
 * the connection open. */
struct redis_reply *redis_call(struct redis *r, struct arena *a, struct err *err,
    const char *format, ...);
/* An error reply as an err, by the same rule. */
int redis_reply_error(const struct redis_reply *reply, struct err *err);
/* Is it the error that there is no room? */
bool redis_reply_is_oom(const struct redis_reply *reply);

/* The value behind a name in a flat array of pairs (XINFO, CONFIG GET), or NULL. */
const struct redis_reply *redis_pair(const struct redis_reply *array, const char *name);
/* The group of that name in a reply of XINFO GROUPS, or NULL; NULL for an error and for no reply. */
const struct redis_reply *redis_group(const struct redis_reply *groups, const char *name);
/* A line `name:value` of an INFO reply; text without data when there is none. */
struct str redis_info(struct str info, const char *name);
bool redis_info_number(struct str info, const char *name, uint64_t *out);

#endif
