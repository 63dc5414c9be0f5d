#ifndef WORKER_OPERATE_JSON_H
#define WORKER_OPERATE_JSON_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * JSON written piece by piece: json_open(j, "lanes", '['), values, json_close(j, ']').  The name is
 * NULL for a list's element and for the outermost value.  Commas are put as needed.
 */
struct json {
	struct buf *out;
	bool comma; /* a value stands before the place where we are */
};

void json_open(struct json *j, const char *name, char bracket);
void json_close(struct json *j, char bracket);
void json_text(struct json *j, const char *name, const char *text); /* NULL: null */
void json_number(struct json *j, const char *name, uint64_t number);
void json_real(struct json *j, const char *name, double number); /* three digits behind the point */
void json_bool(struct json *j, const char *name, bool value);
/* RFC 3339 in UTC with milliseconds; 0: null. */
void json_time(struct json *j, const char *name, int64_t wall_ms);
/* Text that is JSON already. */
void json_raw(struct json *j, const char *name, const char *json);

#endif
