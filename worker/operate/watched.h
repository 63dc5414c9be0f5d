#ifndef WORKER_OPERATE_WATCHED_H
#define WORKER_OPERATE_WATCHED_H

#include "config/config.h"
#include "worker/lane.h"
#include "worker/worker.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What pages, metrics and the monitor look at: the running process.  The supervisor fills it before
 * the first thread starts and it outlives all of them.  Everything is read through the atomic
 * fields of lanes and counters; looking never holds a worker up.
 */
struct watched {
	const struct config *config;
	struct lane *lanes;
	_Atomic size_t lane_count; /* grows where partitions are assigned; struct lane_table */
	struct worker *workers;
	size_t worker_count;
	int64_t started_ms, started_wall_ms;
	const _Atomic int *stop;
	struct refresh *refresh; /* NULL: none */
	struct verify *verify;	 /* NULL: none */
	struct monitor *monitor; /* NULL: none (tests) */
};

#endif
