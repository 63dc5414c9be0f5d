#ifndef WORKER_STORE_ENUM_TEXT_H
#define WORKER_STORE_ENUM_TEXT_H

#include "common/arena.h"
#include "common/str.h"

#include <stdbool.h>

/* Is this the type of an ENUM or SET, as MySQL writes it: enum('a','it''s')? */
bool enum_is_type(struct str type);

/* Is text one of the members?  Where a backslash is about, nobody knows: false. */
bool enum_has_member(struct str type, struct str text);

/* What the binlog's number of such a column stands for: an ENUM's member by its place from 1 (0 is the
 * empty text), a SET's members by its bits.  False: the text is no number or beyond the members, or
 * the type is written with backslashes, whose meaning depends on the server's sql_mode. */
bool enum_number_text(struct str type, struct str number, struct arena *arena, struct str *out);

#endif
