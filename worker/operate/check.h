#ifndef WORKER_OPERATE_CHECK_H
#define WORKER_OPERATE_CHECK_H

#include "config/config.h"
#include "worker/store/ledger.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * `sluice check FILE --connect`: what only the servers know.  Nothing is changed on any of them:
 * rights are tried with statements that touch no row (WHERE 1=0, LIMIT 0) and commands that do
 * nothing, since reading SHOW GRANTS right (roles, wildcards, columns) is the server's business.
 *
 * Findings go to stderr, one a line, beginning FILE:line:column: where a line of the configuration
 * is the cause.
 */
struct check {
	const struct config *config;
	unsigned problems;	      /* it won't work like this */
	bool unreachable;	      /* a server couldn't be asked */
	struct ledger_listed *ledger; /* as MySQL has it; NULL without one */
	size_t ledger_count;
	char redis_run_id[48]; /* of `redis`; "": not known */
};

void check_problem(struct check *c, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void check_hint(struct check *c, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A server that can't be reached, or be logged in to. */
void check_unreachable(struct check *c, const char *server, const char *place, const char *why);

/* Tables of sources that don't write, by the configuration alone; asks no server. */
void check_keys(struct check *c);
/* Tables, columns, rights, clock; reads the ledger for check_redis. */
void check_mysql(struct check *c);
/* Eviction, persistence, clock, keys of the wrong type, rights; lanes in the ledger that nobody
 * reads. */
void check_redis(struct check *c);
/* Log in and the right to delete keys; does nothing where check_redis has done it. */
void check_cache(struct check *c);

/* Hint when a server's clock is off ours by more than two seconds. */
void check_clock(struct check *c, const char *server, int64_t server_wall_ms);

#endif
