#ifndef WORKER_SOURCE_LOG_PLACE_H
#define WORKER_SOURCE_LOG_PLACE_H

#include "worker/source/event.h"

/*
 * Where a change stands in the binary log of its server: what orders the changes of a row that has no
 * version, for invalidations only (mode versioned; the entry compares, see functions.lua).
 *
 * A place is a number that rises with the log: of a GTID its last part (uuid:57, uuid:tag:57,
 * 0-1-57), else the file's number and the position in it.  Its log is the server that wrote the
 * change, and the GTID's source or the file's base name: only places of one log compare.  Rows with the
 * same place were committed together.
 *
 * Only lanes that don't write use them: what is loaded then is the very database whose log it is.  Where
 * we write, an event that comes again makes the row older for a while, and a reader who loads it meanwhile
 * would have the marker of the newer one.
 *
 * A place is known where the event tells server, log and time (Debezium of MySQL and MariaDB, Maxwell
 * with output_server_id and output_binlog_position), and the change isn't a row that a snapshot found.
 */

/* Names in arena.  A log of no length: it isn't known. */
void log_place_of(const struct event *event, struct arena *arena, struct log_place *place);

#endif
