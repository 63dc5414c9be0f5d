#ifndef WORKER_OPERATE_STATUS_H
#define WORKER_OPERATE_STATUS_H

#include "common/buf.h"
#include "worker/operate/snapshot.h"

/*
 * A snapshot as JSON, for /status and for `sluice status`.  Names only get added:
 *	{pool, version, time, uptime_seconds, stopping, healthy, reasons[], warnings[],
 *	 pool_members: processes of the pool, standby: no lanes here and none needed,
 *	 workers: [{index, lanes, lanes_owned, beat_age_seconds, stuck}],
 *	 lanes: [{name, source, stream, worker, state, why, alarm, position, done, lag,
 *	          oldest_pending_seconds, entries, dead, stream_entries, stream_bytes}],
 *	 tables: {NAME: {changes, folded, older, dead, invalidated}},
 *	 refresh (where a table has it): {members, hot, stretched, selects, asked, loaded, …,
 *	          keys: [{table, key, rate, ttl_seconds, loaded, load_seconds, stretched, ours}]},
 *	 breakers: {mysql|redis|cache|mysql_read: {state, since, failures, failures_total, why}},
 *	 totals: {…}, dead_by_reason: {REASON: n}, events_passed: {KIND: n},
 *	 rates: {entries, changes, rows, batches, invalidated},
 *	 memory: {held_bytes, limit_bytes, resident_bytes, redis_used_bytes, redis_max_bytes,
 *	          streams_bytes}, cpu_seconds}
 * A lane of state `free` is read by nobody here: its numbers are what was last seen.
 */
void status_print(const struct snapshot *s, struct buf *out);

/* The body of /healthz: {healthy, reasons[], warnings[], lag, oldest_pending_seconds, breakers, lanes: {state:
 * n}, alarms}.  Returns whether it is healthy. */
bool status_print_health(const struct snapshot *s, struct buf *out);

/* A small page for people; all text escaped, nothing loaded from elsewhere. */
void page_print(const struct snapshot *s, struct buf *out);

#endif
