#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include "common/arena.h"
#include "common/str.h"
#include "config/problem.h"

#include <stdbool.h>

/*
 * YAML as a tree of nodes that know where they stand; the only file that sees libyaml.
 *
 * What a configuration doesn't need is refused by name, because each is a way to hide or to multiply
 * content: anchors and aliases, tags, several documents, keys that are not text, nesting deeper than
 * 16, files over 1 MiB.  A key written twice is reported, and only the first stays in the tree.
 */
enum { PARSE_BYTES_MAX = 1024 * 1024, PARSE_DEPTH_MAX = 16 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP, NODE_REFUSED /* already reported */ };

struct node {
	enum node_kind kind;
	struct place at;
	struct str text;	/* SCALAR: as written, quotes and escapes resolved; NUL behind */
	bool plain;		/* SCALAR: without quotes */
	size_t count;		/* LIST, MAP: children */
	struct node *first;	/* LIST, MAP: the first child */
	struct node *next;	/* the next child of the same parent */
	const struct node *key; /* a child of a map: its key, a scalar */
};

/* The document's root, in the arena; NULL when it can't be read as YAML (problems say why). */
struct node *parse_yaml(struct str text, struct arena *arena, struct config_problems *problems);

/* The value behind a key of a map, or NULL. */
const struct node *node_find(const struct node *map, const char *key);
/* An unquoted nothing, `~` or `null`. */
bool node_is_null(const struct node *node);
/* "a list", "a map", "text": for messages. */
const char *node_kind_name(const struct node *node);

#endif
