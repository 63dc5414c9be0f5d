#ifndef WORKER_OPERATE_DEAD_STREAM_H
#define WORKER_OPERATE_DEAD_STREAM_H

#include "worker/operate/command_dead.h"

/*
 * The part of `sluice dead` that is about letters of lanes that don't write: entries of the stream
 * that `dead_letters.stream` names, with ids such as s1735689600000-0.  Nobody owns them, so they are
 * invalidated, or dropped, by the command itself.
 */

/* Open the Redis of the streams.  Returns an exit code, said on stderr. */
int dead_stream_open(struct dead_access *a);
void dead_stream_close(struct dead_access *a);

/* Call `page` with all letters that match, in the order they were written, behind the `seen` of the
 * other home; returns an exit code. */
int dead_stream_go_through(struct dead_access *a, dead_page *page, uint64_t *seen);

/* Count what matches into groups (room for LETTER_GROUPS_MAX of them); returns an exit code. */
int dead_stream_groups(struct dead_access *a, struct letter_group *groups, size_t *count);

/* Of the page that is being gone through: invalidate the keys of its letters at once and take out those
 * that aren't refused again; take all of them out. */
int dead_stream_replay(struct dead_access *a, struct letter_row *rows, size_t count,
    struct err *err);
int dead_stream_drop(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err);

#endif
