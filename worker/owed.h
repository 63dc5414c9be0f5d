#ifndef WORKER_OWED_H
#define WORKER_OWED_H

#include "common/arena.h"
#include "common/str.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Cache keys that a batch owes and that its entries alone don't tell: rendered by the store from the
 * rows before and after its transaction, or recalled from sluice_outbox.  They point to nothing that a
 * newer schema frees.
 * Thread: the batch's.  Owns its keys.
 */
struct touched;
struct lane;
struct change;

/* What is known of a row's version, for mode versioned. */
struct told {
	bool anything; /* false: nothing happened to the row */
	bool unversioned, deleted;
	bool repeat;	/* it may have been told before */
	struct str log; /* of the places that stand for versions; empty: these are the row's */
	uint64_t at_ms; /* with log: the latest time in it */
	uint64_t version;
	uint64_t before; /* the highest told together with it that is lower; 0: none, or 0 */
	uint64_t lower;	 /* how many such there are */
	const struct change *newest; /* of that version; NULL: not known */
	uint64_t refused;	     /* the highest of those that are not written; 0: none, or 0 */
};

struct owed {
	const struct config_table *table;
	const struct config_template *template;
	struct str key;
	struct told told; /* modes versioned and populate */
	/* whose it is: only until the keys are sent; NULL where recalled */
	const struct touched *row;
	struct owed *next;
};

struct owed_list {
	struct arena arena;
	struct owed *first, *last;
	unsigned count;
};

void owed_init(struct owed_list *list);
void owed_deinit(struct owed_list *list);
void owed_reset(struct owed_list *list);
/* A copy, its key included. */
void owed_add(struct owed_list *list, const struct owed *owed);

/* What the row's changes say of its version, the refused ones aside, and those that left what the
 * template (its place) asks for as it was. */
struct told told_of(const struct touched *row, size_t template);

#endif
