#ifndef WORKER_POSITION_H
#define WORKER_POSITION_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A place in a lane: a stream id (milliseconds and sequence) or, later, a Kafka offset.
 * The text in the ledger is canonical ("1732-0"), so the compare-and-set can compare text.
 */
struct position {
	uint64_t major, minor;
};

#define POSITION_TEXT 48 /* room for the text and its NUL */

int position_compare(struct position a, struct position b);
/* "major-minor"; returns out. */
const char *position_text(struct position p, char out[POSITION_TEXT]);
bool position_parse(struct str text, struct position *out);

#endif
