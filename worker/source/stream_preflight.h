#ifndef WORKER_SOURCE_STREAM_PREFLIGHT_H
#define WORKER_SOURCE_STREAM_PREFLIGHT_H

#include "common/err.h"
#include "common/str.h"
#include "worker/checkpoint.h"

#include <stdbool.h>

/*
 * Is this server fit to hold streams?  Read from INFO, because CONFIG is often denied.
 * No I/O here.
 */
struct preflight {
	int version;	  /* 7.0 is 700, 6.2 is 602; 0: not told */
	bool append_only; /* there is an append-only file */
};

/* The replication id, hexadecimal; "" where none is told. */
void info_history(struct str info, char history[HISTORY_MAX + 1]);

/* RETRY: a replica, or still loading.  FATAL: it may evict streams, and nobody said that it may. */
int preflight_judge(struct str info, bool eviction_allowed, struct preflight *out, struct err *err);

#endif
