#ifndef WORKER_SOURCE_FORMAT_H
#define WORKER_SOURCE_FORMAT_H

#include "worker/change.h"

#include <stdbool.h>

/*
 * What the formats share: the names beginning with _, which are ours in every format, and the rule
 * that a name stands only once.
 */

/* Is this name one of ours (or meant to be)? */
static inline bool
format_is_control(struct str name)
{
	return name.len > 0 && name.data[0] == '_';
}

/* Which of our names a change has had so far; start with zeros. */
struct controls {
	unsigned seen;
	struct value null_names; /* _null as it came, VALUE_NULL kind: none */
};

void controls_init(struct controls *controls);

/* Take one of our fields into the change (or the entry: _at).  _null is only kept in controls.  -1:
 * the entry is refused: unknown, twice, or not a value of its kind. */
int controls_take(struct controls *controls, struct entry *entry, struct arena *arena,
    struct change *change, const struct field *field);

/* How many names a _null text has at most, and adding them behind change->fields (which has the
 * room) as VALUE_NULL. */
size_t format_null_count(struct str text);
int format_null_add(struct entry *entry, struct arena *arena, struct change *change,
    struct str text);
/* The same for one name. */
int format_null_add_name(struct entry *entry, struct arena *arena, struct change *change,
    struct str name);

/* No name twice among the change's fields? */
int format_check_names(struct entry *entry, struct arena *arena, const struct change *change);

#endif
