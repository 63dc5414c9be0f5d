#ifndef WORKER_CACHE_KEY_HOLES_H
#define WORKER_CACHE_KEY_HOLES_H

#include "worker/cache/key_template.h"

/*
 * A key template read backwards, without a table at hand: its placeholders are its names, so that a
 * key tells which columns had which values.
 */
enum { KEY_HOLES_MAX = 16 };

struct key_holes {
	struct key_template template;
	char names[KEY_HOLES_MAX][65];
	size_t count;
};

/* -1: it has too many or too long names, or can't be compiled.  Free with key_holes_deinit. */
int key_holes_compile(struct key_holes *h, const struct config_template *config, struct err *err);
void key_holes_deinit(struct key_holes *h);

/* Was the key rendered from it?  The values then, by place in names (key_template_match).  Of mode scan:
 * does its pattern find the key?  There are no values then. */
bool key_holes_match(const struct key_holes *h, struct str key, struct arena *arena,
    struct str values[KEY_HOLES_MAX]);

/* The place of that column in names (without case, as in MySQL), or -1. */
int key_holes_find(const struct key_holes *h, const char *column);

#endif
