#ifndef WORKER_SOURCE_SCHEMA_MEMORY_H
#define WORKER_SOURCE_SCHEMA_MEMORY_H

#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <yyjson.h>

/*
 * The schema blocks that came last, parsed.  Connect's JsonConverter writes {"schema":S,"payload":P}, and
 * with every message of a table the same S again, often four fifths of it.  A message that begins as
 * one before it did is split by comparing bytes, and only its payload is parsed.
 *
 * At most SCHEMAS_KEPT of at most SCHEMA_BYTES_MAX each; a longer one, or one that is written with
 * spaces, is not split and parsed as any JSON.  One thread.
 */
enum { SCHEMAS_KEPT = 8, SCHEMA_BYTES_MAX = 64 << 10 };

struct schema_slot {
	char *head; /* of the message, up to P; NULL: none */
	size_t head_len;
	yyjson_doc *schema; /* S; numbers as written */
};

/* Begins as zeros. */
struct schema_memory {
	struct schema_slot slots[SCHEMAS_KEPT];
	unsigned recent, oldest;
};

/*
 * Split a text of that form.  *payload is the text of P and is not looked at: only when it is one JSON
 * value the whole text was JSON.  *schema stays until the next split that doesn't know its schema.
 * False: not of that form.
 */
bool schema_memory_split(struct schema_memory *memory, struct str text, yyjson_val **schema,
    struct str *payload);
void schema_memory_deinit(struct schema_memory *memory);

#endif
