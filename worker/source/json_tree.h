#ifndef WORKER_SOURCE_JSON_TREE_H
#define WORKER_SOURCE_JSON_TREE_H

#include "worker/change.h"

#include <yyjson.h>

/*
 * JSON from outside: parsed in place from a copy in the arena, numbers kept as written, so that texts
 * outlive the parser's own tree, which is json_tree_close'd before the decoder returns.
 */

/* MySQL's own limit for JSON. */
#define JSON_NESTING_MAX 100

/* Parse given; NULL with the entry refused (REASON_BAD_JSON).  `what` names the text in the sentence:
 * "the JSON". */
yyjson_doc *json_tree_open(struct entry *entry, struct arena *arena, struct str given,
    const char *what);
void json_tree_close(yyjson_doc *doc);

/* Of a name, a text or a number. */
struct str json_tree_text(yyjson_val *value);
/* As text; empty where it isn't there or isn't a text. */
struct str json_tree_as_text(yyjson_val *value);
/* As a number, 0 where it isn't there, isn't whole or doesn't fit. */
uint64_t json_tree_as_number(yyjson_val *value);
/* The member as text; empty where it isn't there or isn't a text. */
struct str json_tree_member(yyjson_val *object, const char *name);
/* The member's number, 0 where it isn't there, isn't whole or doesn't fit. */
uint64_t json_tree_number(yyjson_val *object, const char *name);
bool json_tree_is(yyjson_val *value, const char *text);

/* A value as it is: NULL, TEXT, NUMBER, BOOL, or a list or object as JSON text.  False: nested deeper
 * than JSON_NESTING_MAX. */
bool json_tree_value(yyjson_val *given, struct arena *arena, struct value *value);

#endif
