#ifndef WORKER_CACHE_KEY_TEMPLATE_H
#define WORKER_CACHE_KEY_TEMPLATE_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/str.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A cache key template, compiled: "user:{id}" is the text "user:" and column 0 of the key.
 * Two rows never share a key: in a template with more than one placeholder, one byte of each
 * separator (its first punctuation, ':' in "a:{x}:{y}") and '%' are escaped as %XX inside a value;
 * with one placeholder values appear as they are.  Placeholders without such a separator between
 * them are refused.  A NULL column makes no key.  With mode scan the text's * are wildcards, and all
 * else that a glob pattern takes for special is escaped (glob.h).
 */
struct key_part {
	struct str text; /* literal bytes before the placeholder */
	int column;	 /* index in the list of names given to the compiler; -1: none (the end) */
};

struct key_template {
	const struct config_template *config;
	struct key_part *parts;
	size_t part_count;
	bool escaped[256]; /* bytes that are %XX inside a value */
	bool one_row;	   /* holds every name: no two rows have this key */
	bool from_row;	   /* its keys or their versions want the row that MySQL holds */
};

/*
 * Compile `written` against the names.  On failure -1
 * and the sentence in err names the placeholder.  Free with key_template_deinit.
 */
int key_template_compile(struct key_template *t, const struct config_template *config,
    const char *const *names, size_t name_count, struct err *err);
void key_template_deinit(struct key_template *t);

/* Append the key of these values (values[i].data NULL: SQL NULL).  False: no key. */
bool key_template_render(const struct key_template *t, const struct str *values, struct buf *out);

/* The values that such a key was rendered from, by name (borrowed from the key, or in the arena where
 * something was escaped); those of names it doesn't hold stay as they are.  False: it is no key of
 * the template. */
bool key_template_match(const struct key_template *t, struct str key, struct arena *arena,
    struct str *values);

#endif
