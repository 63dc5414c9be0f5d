#ifndef CONFIG_BRACES_H
#define CONFIG_BRACES_H

#include "common/arena.h"
#include "common/err.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Text with holes, the same for stream names ("wb:users:{0..7}") and key templates ("user:{id}"):
 * {{ and }} are literal braces, what stands between { and } is a hole.
 */
enum { STREAMS_MAX = 1024 };

enum brace_kind { BRACE_END, BRACE_TEXT, BRACE_HOLE, BRACE_BAD };

struct brace {
	enum brace_kind kind;
	struct str text; /* TEXT: one literal byte; HOLE: what stands inside */
};

/* Take the next piece off *rest.  BAD: a brace without its partner, or one inside a hole. */
struct brace brace_next(struct str *rest);

/* Is it well formed, and how many holes has it (holes may be NULL)? */
int braces_check(struct str written, size_t *holes, struct err *err);

/* All stream names that the text stands for, in the arena; *ranged: there was an {a..b}.  Refuses
 * holes that aren't ranges and more than STREAMS_MAX names. */
struct braces_names {
	const char **name;
	size_t count;
	bool ranged;
};
int braces_expand(struct str written, struct arena *arena, struct braces_names *out,
    struct err *err);

/* Can a well-formed template, its holes filled with any text, be this key? begin with this prefix? */
bool braces_can_be(struct str template, struct str key);
bool braces_can_begin(struct str template, struct str prefix);

#endif
