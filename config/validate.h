#ifndef CONFIG_VALIDATE_H
#define CONFIG_VALIDATE_H

#include "config/read.h"

/* What no single option shows: required options, limits that depend on each other, tables and lanes
 * named in one place and not in the other, keys that could be somebody else's. */
void validate(struct reader *r, struct place top);
/* The part of it about `invalidate`: what a mode wants, one pattern in two tables, keys that could be
 * a stream or ours. */
void validate_templates(struct reader *r);
/* The part about `refresh` of tables: the template it finds, and what suits that one's mode. */
void validate_refresh(struct reader *r);
/* The part about `dead_letters`: one home, which no lane and no source is. */
void validate_letters(struct reader *r);

#endif
