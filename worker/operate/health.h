#ifndef WORKER_OPERATE_HEALTH_H
#define WORKER_OPERATE_HEALTH_H

#include "common/buf.h"
#include "worker/operate/snapshot.h"

#include <stdbool.h>

/*
 * Three questions about a snapshot, each answered with its reasons.
 *	live	every worker's loop has turned within BEAT_AGE_MAX_MS: else restart us
 *	ready	we run and aren't stopping, and what `ready_requires` lists answers.  A MySQL
 *		that is down never takes a sidecar's pod out of service unless the
 *		configuration says so
 *	healthy	live, every breaker closed, no lane halted, or held for longer than a row
 *		lock or a parent row takes, no alarm that nobody has acknowledged, rows not
 *		stopped for the cache, nothing pending for over PENDING_MAX_SECONDS
 * Warnings colour it, they never make it unhealthy.
 * Each appends a JSON list of sentences (empty when it is true) and returns the answer.
 */
enum { PENDING_MAX_SECONDS = 60 };

bool health_live(const struct snapshot *s, struct buf *reasons);
bool health_ready(const struct snapshot *s, struct buf *reasons);
bool health_healthy(const struct snapshot *s, struct buf *reasons);
/* What is worth a look: a JSON list too.  True: nothing is. */
bool health_warnings(const struct snapshot *s, struct buf *warnings);

#endif
