#ifndef WORKER_STORE_SESSION_H
#define WORKER_STORE_SESSION_H

#include "common/buf.h"
#include "common/err.h"
#include "common/mysql.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Our session at the server: its settings, the end of the one before it, and how its transactions
 * end.  autocommit is off, so whoever read something ends the transaction too: no snapshot and no
 * metadata lock outlives a call.
 *
 * In-doubt COMMIT.  Each session holds a user lock of a random name, always the same for one store.
 * A server frees user locks only after the session's transaction was committed or rolled back, so
 * once the next session has that lock, what the one before it was doing is settled.  The lock also
 * says which session to kill; a thread id alone may by then belong to a stranger (a restarted
 * server counts from 1 again, and a name may lead to another server).
 */
#define SESSION_LOCK_MAX 64 /* MySQL's limit for the name of a user lock, with room for a NUL */
#define SESSION_WAIT_TIMEOUT_S 10

/* A random name, "sluice-session:…". */
void session_lock_name(char out[SESSION_LOCK_MAX]);

/* Kill the session that holds `lock`, wait until it is gone, and hold the lock ourselves. */
int session_settle(struct sql *sql, const char *lock, struct err *err);

/* What the server says about the session after session_prepare. */
struct session_facts {
	uint64_t packet_max;	 /* max_allowed_packet */
	uint64_t wait_timeout_s; /* not SESSION_WAIT_TIMEOUT_S: a proxy swallowed our SET */
};

/*
 * What we need, whatever the server's defaults: strict mode, READ COMMITTED, UTC, utf8mb4, English
 * messages (values are cut out of them and counts are read from them), short waits for locks,
 * autocommit off.  Read back: FATAL where a proxy swallowed it.
 */
int session_prepare(struct sql *sql, int lock_wait_ms, struct session_facts *facts,
    struct err *err);

/* Wait so long for locks from now on.  0: not at all (MySQL: the one second that is its least). */
int session_lock_wait(struct sql *sql, int lock_wait_ms, struct err *err);

/*
 * A statement on our own tables.  A data error there is ours, not a datum's: POISON becomes RETRY.
 * After an error of a server that became read-only the connection is closed, so that the next one
 * may find its successor.
 */
int session_query(struct sql *sql, struct str statement, struct sql_result *result,
    struct err *err);
/* The same, and the buffer is given back. */
int session_send(struct sql *sql, struct buf *statement, struct sql_result *result,
    struct err *err);

/* An error RETRY; the connection is closed wherever it isn't sure that nothing was committed. */
int session_commit(struct sql *sql, struct err *err);
/* After it no transaction is open: where the server can't say so, the connection is closed. */
void session_rollback(struct sql *sql);
/* Commit when status is 0, else roll back and leave err as it is; 0 or -1. */
int session_end(struct sql *sql, int status, struct err *err);

#endif
