#ifndef WORKER_POSITION_H
#define WORKER_POSITION_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A place in a lane: a stream id (milliseconds and sequence) or a Kafka offset, which is the one of the
 * last record and has POSITION_OFFSET as its minor part, so that "nothing yet" (0-0, for both) sorts
 * before offset 0.  The text in the ledger is canonical ("1732-0", "41"), so the compare-and-set can
 * compare text.
 */
#define POSITION_OFFSET UINT64_C(0x6f66667365747321) /* no stream has so many entries in one ms */

struct position {
	uint64_t major, minor;
};

#define POSITION_TEXT 48 /* room for the text and its NUL */

/* Nothing yet? */
static inline bool
position_is_none(struct position p)
{
	return p.major == 0 && p.minor == 0;
}

int position_compare(struct position a, struct position b);
/* "major-minor", an offset as a bare number; returns out. */
const char *position_text(struct position p, char out[POSITION_TEXT]);
bool position_parse(struct str text, struct position *out);
/* A text may leave out "-0" where a stream id is meant. */
struct position position_of_stream(struct position p);

/* The place of the record at this offset; below 0: nothing yet. */
struct position position_of_offset(int64_t offset);
/* The offset behind this place. */
int64_t position_next_offset(struct position p);

#endif
