#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "config/config.h"

/*
 * The process: lanes from the configuration, workers with their sources, stores and caches, the
 * pages, and the signals.  Lane i belongs to worker i modulo workers (no more workers than lanes).
 *
 *	SIGTERM, SIGINT	stop reading, finish what is read, exit; at shutdown_timeout give up.
 *			A second one exits at once
 *	SIGHUP		ignored, with a log line: a configuration is read once
 *
 * No server needs to be there at start: the workers wait, and say for what.
 * Main thread only.  Signals are blocked before the first thread and read here.
 */

/* Run until told to stop.  Returns the exit code: 0 all done, 1 could not start, 75 stopped with
 * work left (the log says which lanes). */
int supervisor_run(const struct config *config);

#endif
