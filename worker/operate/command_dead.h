#ifndef WORKER_OPERATE_COMMAND_DEAD_H
#define WORKER_OPERATE_COMMAND_DEAD_H

#include "common/mysql.h"
#include "config/config.h"
#include "worker/operate/access.h"
#include "worker/operate/command.h"
#include "worker/store/letter_entry.h"
#include "worker/store/letter_find.h"
#include "worker/store/letter_payload.h"
#include "worker/store/session.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * `sluice dead`: dead letters listed, shown, marked for replay and dropped.  Nothing here applies
 * anything: marks are obeyed by the owner of the letter's lane, who alone knows what is in hand.
 */

/* The places of its options in the table of commands; those up to DEAD_ALL choose letters. */
enum dead_option {
	DEAD_LANE,
	DEAD_TABLE,
	DEAD_REASON,
	DEAD_STATE,
	DEAD_ID,
	DEAD_OLDER,
	DEAD_NEWER,
	DEAD_LIMIT,
	DEAD_ALL,
	DEAD_DRY_RUN,
	DEAD_FORCE,
	DEAD_JSON
};

struct dead_home;
struct letter_topic_reader;

/* What a `sluice dead` works on. */
struct dead_access {
	struct config config;
	struct access_mysql mysql;
	struct sql *sql;	      /* NULL: not open */
	struct letter_row *rows;      /* a page */
	const struct dead_home *home; /* of lanes that don't write; NULL: not open, or all write */
	struct arena arena;	      /* of what stands in letters */
	struct letter_entry *letters; /* the page, when it is of that home */
	struct access_redis redis_access; /* the stream's */
	struct redis *redis;
	struct position stream_after;
	struct letter_topic_reader *topic;
	bool topic_given; /* the only one */
	bool whole;	  /* payloads are wanted */
	struct letter_filter filter;
	const char *kept_id; /* only the letter of this id in that home; else all, unless */
	bool has_number;     /* only letters of MySQL are meant */
	uint64_t limit;	     /* 0: none */
	bool json, force, dry_run;
	uint64_t marked, dropped, invalidated;
};

/* What is done with a page of letters.  -1 without an error: stop. */
typedef int dead_page(struct dead_access *a, struct letter_row *rows, size_t count,
    struct err *err);

/* Understand the options; false with a sentence on stderr. */
bool dead_read_options(struct dead_access *a, const struct command_line *line);

#endif
