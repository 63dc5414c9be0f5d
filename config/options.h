#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one table of options.  Reading, defaults, ranges, `sluice config`, the example file and the
 * README's table all come from it; an option that isn't here doesn't exist.
 */
enum option_type {
	OPTION_SECTION,	 /* a map of the options whose parent it is */
	OPTION_SERVER,	 /* the same, with the options of the section "redis" */
	OPTION_SOURCES,	 /* a list of maps with the options of "sources[]" */
	OPTION_TABLES,	 /* a map from a table's name to the options of "tables.*" */
	OPTION_LATER,	 /* known from the documentation, refused by name; doc: why, or NULL */
	OPTION_TEXT,	 /* const char *, min … max bytes */
	OPTION_NAME,	 /* the same, A-Z a-z 0-9 _ . - only: it becomes part of other names */
	OPTION_HOST,	 /* the same, a host name or an address */
	OPTION_SECRET,	 /* struct config_secret */
	OPTION_INT,	 /* int */
	OPTION_COUNT,	 /* int64_t */
	OPTION_DURATION, /* int, milliseconds */
	OPTION_SIZE,	 /* int64_t, bytes */
	OPTION_SAMPLE,	 /* int64_t: one in so many; 0: off */
	OPTION_WORD,	 /* an enum: the word's value */
	OPTION_BOOL,	 /* bool: the word's value */
	OPTION_BITS,	 /* unsigned: a list of words, their values or-ed */
	OPTION_FLAGS, /* a list of words, each setting the bool at the offset that is its value */
	OPTION_TEXTS, /* const char ** and a count: a list of texts */
	OPTION_PAIRS, /* struct config_pair * and a count: a map from text to text */
	OPTION_SETTINGS,      /* struct config_setting * and a count: the same, with places */
	OPTION_REDIS_URL,     /* parts of a struct config_redis */
	OPTION_MYSQL_URL,     /* parts of a struct config_mysql */
	OPTION_LISTEN,	      /* http_host and http_port */
	OPTION_STREAMS,	      /* streams and what belongs to them */
	OPTION_TOPICS,	      /* topics and what belongs to them */
	OPTION_SOURCE_TABLE,  /* const char *: a table's name */
	OPTION_SOURCE_TABLES, /* const char ** and a count: a list of them */
	OPTION_START,	      /* "beginning", "end" or a stream id */
	OPTION_VERSION,	      /* a column's name, or a map of "tables.*.version" */
	OPTION_TEMPLATES,     /* a list of texts or of maps of "tables.*.invalidate[]" */
	OPTION_REFRESH,	      /* a map of "tables.*.refresh" */
	OPTION_TYPES
};

struct option_word {
	const char *name; /* NULL ends the list */
	int value;
	bool later; /* known, but not in this release */
};

struct option {
	const char *parent; /* "" is the file's top */
	const char *name;
	enum option_type type;
	size_t offset; /* in the parent's struct; a section moves its children by it */
	size_t
	    count_offset; /* TEXTS, PAIRS, TEMPLATES: of the size_t with the number of elements */
	const char *fallback; /* the default as YAML; NULL: none */
	int64_t min, max;
	const struct option_word *words;
	const char *example; /* YAML for the example file where there is no default */
	bool shown;	     /* stands in the example file without a comment sign */
	const char *doc;     /* one sentence; NULL for a section that speaks for itself */
};

enum { OPTIONS_MAX = 192 };
extern const struct option options[]; /* ends with parent == NULL */

/* The option of that name below that parent, or NULL. */
const struct option *option_find(const char *parent, struct str name);
/* What was probably meant by a name that doesn't exist below that parent: an option there, else NULL. */
const struct option *option_nearest(const char *parent, struct str name);
/* An option of that name below another parent, or NULL. */
const struct option *option_elsewhere(const char *parent, struct str name);

/* The option of that path ("batch.max_rows"), or NULL. */
const struct option *option_of_path(struct str path);

/* "batch.max_rows", "sources[].format" */
void option_add_path(const struct option *option, struct buf *out);
/* What it wants: "a whole number from 1 to 64", "one of refuse, allow". */
void option_add_meaning(const struct option *option, struct buf *out);
/* The word of that value, or NULL. */
const char *option_word_of(const struct option *option, int value);

#endif
