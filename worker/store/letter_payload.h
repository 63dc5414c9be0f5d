#ifndef WORKER_STORE_LETTER_PAYLOAD_H
#define WORKER_STORE_LETTER_PAYLOAD_H

#include "common/arena.h"
#include "common/str.h"
#include "worker/change.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Read a dead letter's payload (worker/store/dead_letter.h) back into the fields of its entry, in
 * `arena`.  False when it isn't one: somebody has edited it.
 */
bool letter_payload_read(struct str payload, struct arena *arena, struct field **fields,
    size_t *count);

#endif
