#ifndef WORKER_STORE_MEMBER_H
#define WORKER_STORE_MEMBER_H

#include "common/err.h"
#include "common/mysql.h"
#include "worker/balance.h"
#include "worker/lane.h"
#include "worker/store/session.h"
#include "worker/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A worker as a member of its pool: its row in sluice_worker, who else is there, and which lanes it
 * owns as one.
 *
 * A member lives as long as its session holds the lock that the row names, and owns a lane by the
 * lane's user lock (lane_lock.h).  Where the server kept its own wait_timeout (a proxy swallowed
 * ours) a stopped process would hold its locks for hours; there a member lives by its heartbeat: the
 * row's lock is "", it writes beat_at with each look, and it owns a lane as long as the ledger's
 * `owner` names it (lane_beat.h).  Both kinds respect each other.
 *
 * A member's name is "host/pid/random/workers/slot".  Rows of the dead are deleted by the others.
 * Thread: its worker's.
 */
#define MEMBER_NAME_MAX (MEMBER_PROCESS_MAX + 24)

struct membership {
	/* set before start */
	const struct config *config;
	const char *session_lock;
	char process[MEMBER_PROCESS_MAX];
	char name[MEMBER_NAME_MAX]; /* also who we are in the ledger */
	int workers, slot;

	bool beats; /* we live by our heartbeat */
	bool there; /* our row is, as far as we know */
	unsigned lanes;
	int64_t beat_ms;     /* clock_ms of our last heartbeat */
	struct member *list; /* the live ones, as last seen */
	size_t count, room;
	char (*dead)[MEMBER_NAME_MAX]; /* rows of those that are gone */
	size_t dead_count;
};

void membership_init(struct membership *m, const struct config *config, int worker,
    const char *session_lock);
void membership_deinit(struct membership *m);

/* A session begins; it lives by the server's time-out, or else by heartbeats. */
void membership_connected(struct membership *m, bool beats);

/*
 * Be a member that owns so many lanes.  Writes only where that is news, or the heartbeat is due.
 * RETRY, with the connection closed, when the heartbeat comes so late that others may have taken our
 * lanes: they must be owned again.
 */
int membership_join(struct membership *m, struct sql *sql, unsigned lanes, struct err *err);
int membership_leave(struct membership *m, struct sql *sql, struct err *err);
/* Who lives in our pool: m->list until the next call.  One SELECT. */
int membership_look(struct membership *m, struct sql *sql, struct err *err);
/* Delete the rows of those that the last look found dead. */
int membership_sweep(struct membership *m, struct sql *sql, struct err *err);

/* Which lanes does nobody own, as far as one can see? */
int membership_unowned(struct membership *m, struct sql *sql, struct lane **lanes, size_t count,
    bool *unowned, struct err *err);
/* As store.h's own and disown. */
int membership_own(struct membership *m, struct sql *sql, struct lane **lanes, size_t count,
    bool *owned, struct err *err);
int membership_disown(struct membership *m, struct sql *sql, const struct lane *lane,
    struct err *err);

#endif
