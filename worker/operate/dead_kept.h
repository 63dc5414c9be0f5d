#ifndef WORKER_OPERATE_DEAD_KEPT_H
#define WORKER_OPERATE_DEAD_KEPT_H

#include "worker/operate/command_dead.h"

/*
 * The part of `sluice dead` that is about letters of lanes that don't write.  They are kept in a stream,
 * with ids such as s1735689600000-0 (dead_stream.c), or in a topic, with ids such as t0-41 (dead_topic.c).
 * Nobody owns them, so they are invalidated, or dropped, by the command itself.
 */
struct dead_home {
	int (*open)(struct dead_access *a, struct err *err);
	void (*close)(struct dead_access *a);
	/* Before the first of them. */
	void (*rewind)(struct dead_access *a);
	/* The next that match, into a->letters, what they hold in a->arena; *count 0: that was all. */
	int (*page)(struct dead_access *a, size_t *count, struct err *err);
	/* Take letters out; *dropped counts those that were there. */
	int (*drop)(struct dead_access *a, const struct letter_entry *letters, size_t count,
	    uint64_t *dropped, struct err *err);
	/* "redis 127.0.0.1:6379" */
	void (*add_place)(const struct dead_access *a, struct buf *out);
};
extern const struct dead_home dead_stream, dead_topic;

/* Open the home that the configuration has.  Returns an exit code, said on stderr. */
int dead_kept_open(struct dead_access *a);
void dead_kept_close(struct dead_access *a);

/* Call `page` with all letters that match, in the order they were written (in a topic, of each
 * partition), behind the `seen` of the other home; returns an exit code. */
int dead_kept_go_through(struct dead_access *a, dead_page *page, uint64_t *seen);

/* Count what matches into groups (room for LETTER_GROUPS_MAX of them); returns an exit code. */
int dead_kept_groups(struct dead_access *a, struct letter_group *groups, size_t *count);

/* Of the page that is being gone through: invalidate the keys of its letters at once and take out those
 * that aren't refused again (dead_replay.c); take all of them out. */
int dead_kept_replay(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err);
int dead_kept_drop(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err);

#endif
