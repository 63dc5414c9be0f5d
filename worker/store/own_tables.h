#ifndef WORKER_STORE_OWN_TABLES_H
#define WORKER_STORE_OWN_TABLES_H

#include "common/buf.h"
#include "common/err.h"
#include "common/mysql.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The SQL of our own tables, sluice_*, in the schema of mysql.url.  Changes only add, so a process
 * works on the tables of the next version too and old and new run side by side during an upgrade;
 * the version after that is refused.
 *	sluice_ledger		one row per lane: how far it is written and invalidated
 *	sluice_outbox		cache keys that could not be derived again after a crash (outbox.h)
 *	sluice_dead_letter	entries that could not be applied, whole
 *	sluice_worker		the members of the pool
 *	sluice_parked		which keys of a lane wait behind which dead letters
 *	sluice_schema		the versions these tables have had
 */
#define OWN_TABLES_VERSION 3

enum { OWN_TABLES = 6 };
extern const char *const own_tables[OWN_TABLES];

/* What `sluice schema` prints; can be fed to the mysql client. */
void own_tables_print(struct buf *out);

/*
 * Make sure that they are there and that we understand them.  Looks first; creates (DDL: commits)
 * only what is missing and where `create` says so.  Where CREATE is denied they may still be there.
 * FATAL with a sentence for people where they are missing, unreadable or two versions newer.
 */
int own_tables_open(struct sql *sql, bool create, struct err *err);

/* FATAL for two versions newer than ours, and a sentence. */
int own_tables_check_version(uint64_t version, struct err *err);

#endif
