#ifndef WORKER_SOURCE_LOOKS_LIKE_H
#define WORKER_SOURCE_LOOKS_LIKE_H

#include "worker/change.h"

#include <yyjson.h>

/*
 * A wrong `format:` shall be said at the first event, with what the event looks like and what to set.
 * Both return -1 with the entry refused (REASON_WRONG_FORMAT), else 0.
 */
enum looks { LOOKS_DEBEZIUM, LOOKS_MAXWELL, LOOKS_CANAL, LOOKS_DMS };

/* Bytes that no JSON begins with: Avro, Protobuf, the text of a Connect struct. */
int looks_like_binary(struct entry *entry, struct arena *arena, struct str value,
    enum looks expected);
/* An object of another format than the expected one; what is of none is 0. */
int looks_like_other(struct entry *entry, struct arena *arena, yyjson_val *root,
    enum looks expected);

#endif
