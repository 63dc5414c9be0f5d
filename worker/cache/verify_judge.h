#ifndef WORKER_CACHE_VERIFY_JUDGE_H
#define WORKER_CACHE_VERIFY_JUDGE_H

#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Is what the cache holds as new as its row?  The row is read first, then the entry: an entry that is
 * older than a row read before it was older then.  That alone need not be wrong: a change that was
 * committed a moment ago may still be on its way to the cache.  So what isn't sure at once is looked at
 * a second time VERIFY_CONFIRM_MS later, and is wrong when it is still older than the row was at the
 * first look.
 *
 * Mode versioned is compared by version, populate by version and content.  Nothing there is right: no
 * reader gets an old value.  No I/O here.
 */
enum { VERIFY_CONFIRM_MS = 2000, VERIFY_VERSION_TEXT = 22 };

/* What the invalidation said. */
struct verify_said {
	bool versioned; /* false: the unversioned form */
	bool deleted;
	uint64_t version;
};

/* One look. */
struct verify_seen {
	bool row_there, row_has_version;
	uint64_t row_version;
	bool other;   /* it can't be compared: no entry of the functions, or no key of a row */
	bool value;   /* the entry has a payload */
	bool none;    /* ... or says that there is no such row */
	bool pending; /* a put write that isn't settled */
	bool partial; /* the template has `when`: not every newer row invalidates */
	char entry[VERIFY_VERSION_TEXT], marker[VERIFY_VERSION_TEXT]; /* 21 digits, or "" */
	bool differs;		       /* populate: other content than the row's */
	uint64_t value_hash, row_hash; /* populate: of the contents */
};

enum verify_verdict {
	VERIFY_RIGHT,
	VERIFY_ABSENT,	/* nothing there, which is right too */
	VERIFY_UNKNOWN, /* it can't be compared */
	VERIFY_SUSPECT, /* look again */
	VERIFY_WRONG
};

enum verify_verdict verify_judge(enum config_mode mode, const struct verify_said *said,
    const struct verify_seen *seen);
/* The second look of what was SUSPECT: never SUSPECT again. */
enum verify_verdict verify_confirm(enum config_mode mode, const struct verify_seen *first,
    const struct verify_seen *second);

/* What is wrong, as a word: older, ahead (of the row), no_row, row (where the entry says there is none),
 * content. */
const char *verify_what(const struct verify_seen *seen);

#endif
