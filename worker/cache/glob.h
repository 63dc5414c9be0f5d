#ifndef WORKER_CACHE_GLOB_H
#define WORKER_CACHE_GLOB_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>

/*
 * The part of Redis' glob patterns that templates of mode scan use: * stands for any bytes, and \ takes
 * the byte behind it literally.  Nothing else is special to us, so all that is special to Redis
 * (* ? [ ] ^ \) is escaped in values.
 */
bool glob_matches(struct str pattern, struct str key);
/* Append text in which nothing is special to Redis but, with `stars`, its *. */
void glob_escape(struct buf *out, struct str text, bool stars);
/* How many bytes two patterns begin with alike, before any * and without half an escape. */
size_t glob_common(struct str a, struct str b);

#endif
