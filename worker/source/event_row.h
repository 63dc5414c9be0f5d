#ifndef WORKER_SOURCE_EVENT_ROW_H
#define WORKER_SOURCE_EVENT_ROW_H

#include "worker/source/event.h"

#include <yyjson.h>

/*
 * What the decoders of Maxwell, Canal and DMS share: one JSON object without types is a row, and a
 * key is some of its columns.  -1: the entry is refused.
 */

/* Parse the message into an object of that format; NULL with the entry refused. */
yyjson_doc *event_open(struct entry *entry, struct arena *arena, struct str value);

/* The columns of an object. */
int event_row(struct entry *entry, struct arena *arena, yyjson_val *row, enum change_origin origin,
    struct image *image);
/* The columns that a list of names names, out of rows (the first that has one). */
void event_key(struct arena *arena, yyjson_val *names, const struct image *row, struct image *key);
const struct field *image_field(const struct image *image, struct str name);

int event_refuse(struct entry *entry, struct arena *arena, const char *sentence);

#endif
