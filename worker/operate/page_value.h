#ifndef WORKER_OPERATE_PAGE_VALUE_H
#define WORKER_OPERATE_PAGE_VALUE_H

#include <yyjson.h>

/* Members of /status, for commands that print it: "" and 0 where there is none of that type. */
const char *page_text(yyjson_val *object, const char *name);
double page_number(yyjson_val *object, const char *name);

#endif
