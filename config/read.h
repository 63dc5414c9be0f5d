#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "common/arena.h"
#include "common/str.h"
#include "config/options.h"
#include "config/parse.h"
#include "config/problem.h"

/*
 * From nodes to struct config, by the table of options.  read.c walks the maps, read_value.c
 * reads what is plain; read_server.c, read_source.c and read_table.c what has a form of its own.  Each
 * mistake is reported where it stands, and reading goes on.  What a later check (validate.c) needs
 * to know of places is kept here.
 */
enum { LIST_MAX = 1024 }; /* texts in a list, pairs in a map */

struct mention {
	const char *name;
	struct place at;
	struct mention *next;
};

struct mentions {
	struct mention *first, **tail;
};

struct reader {
	struct config *config;
	struct arena *arena;   /* the config's */
	struct arena *scratch; /* of this reading: nodes and the like */
	struct config_problems *problems;
	struct place
	    given[OPTIONS_MAX];	  /* by index in options[]: where a top or section option stands */
	bool broken[OPTIONS_MAX]; /* a mistake was reported below it */
	struct mentions lanes, topics, source_tables;
	size_t lane_count;
	bool cache_given;
};

/* One option at one place. */
struct reading {
	const struct option *option;
	const char
	    *where; /* the parent as a person sees it: "", "batch", "sources[0]", "tables.users" */
	const struct node *node;
	const struct node *map; /* that the node is in; NULL for a default */
	void *base;		/* the parent's struct */
};

typedef void read_function(struct reader *r, const struct reading *in);

void read_config(struct reader *r, const struct node *root);

/* Defaults of all options below a parent, sections included. */
void read_defaults(struct reader *r, const char *parent, void *base);
/* Every key of a map (null counts as an empty one). */
void read_map(struct reader *r, const struct node *map, const char *parent, const char *where,
    void *base);

/* "sources[0].format", for messages. */
const char *read_path(struct reader *r, const struct reading *in);
/* Report `what` is wrong at the node, with what was found and what the option means. */
void read_refuse(struct reader *r, const struct reading *in, const struct node *node);
/* Is it a scalar that isn't null?  Reports it when not. */
bool read_is_scalar(struct reader *r, const struct reading *in, const struct node *node);
/* The scalar, expanded, in the config's arena; reports and returns false when it can't be had, isn't
 * UTF-8, holds a NUL byte or isn't between the option's min and max bytes long. */
bool read_text(struct reader *r, const struct reading *in, const struct node *node,
    struct str *out);
/* The value of a word of the option; reports and returns false when it isn't one. */
bool read_word(struct reader *r, const struct reading *in, const struct node *node, int *value);
/* Report every placeholder of the scalar that can't be replaced; true when there is none. */
bool read_expand(struct reader *r, const struct reading *in, const struct node *node,
    struct buf *out);

/* The elements of a list; a lone scalar or map counts as a list of one.  Start with NULL. */
const struct node *read_next_element(const struct node *list, const struct node *last);
size_t read_count_elements(const struct node *list);

void mention_add(struct reader *r, struct mentions *list, const char *name, struct place at);

/* Where something of the option's struct is. */
static inline void *
read_field(const struct reading *in)
{
	return (char *)in->base + in->option->offset;
}

static inline size_t *
read_count_field(const struct reading *in)
{
	return (void *)((char *)in->base + in->option->count_offset);
}

read_function read_string, read_name, read_secret, read_int, read_int64, read_sample, read_enum,
    read_bool, read_bits, read_flags, read_texts;		      /* read_value.c */
read_function read_redis_url, read_mysql_url, read_host, read_listen; /* read_server.c */
read_function read_sources, read_streams, read_topics, read_source_table, read_source_tables,
    read_start; /* read_source.c */
read_function read_tables, read_pairs, read_settings, read_version, read_templates,
    read_refresh; /* read_table.c */

#endif
