#ifndef TESTS_DEMO_MODEL_H
#define TESTS_DEMO_MODEL_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The shop's own idea of its tables.  Every change it sends is applied here at once, one by one, in
 * the order it is sent and by the rules of the README; at the end MySQL must hold exactly this.
 *	sessions	set-heavy with hot keys: upserts of all or some columns, deletes
 *	inventory	counters with hot items; stock is UNSIGNED, so a sale of more than there is must
 *			become a dead letter that leaves the row alone
 *	users		profiles with given versions: new, late and repeated ones, deletes
 * Thread: one at a time; the names of the tables and rows may be asked for by any.
 */
enum shop_table { SHOP_SESSIONS, SHOP_INVENTORY, SHOP_USERS, SHOP_TABLES };
enum {
	SESSIONS = 20000,
	ITEMS = 2000,
	USERS = 20000,
	SHOP_LANES = 8, /* of each table; as the demo's configuration has it */
	CHANGE_ARGS_MAX = 24,
	CHANGE_BYTES_MAX = 512
};

/* The command that adds a change to its stream. */
struct shop_change {
	struct str argv[CHANGE_ARGS_MAX];
	int argc;
	char bytes[CHANGE_BYTES_MAX];
	size_t len;
};

struct model;

struct model *model_new(uint64_t seed);
void model_free(struct model **model);

/* Make the shop's next change and apply it to the model. */
void model_next(struct model *model, struct shop_change *change);
/* Changes made, by table; those that must become dead letters. */
uint64_t model_changes(const struct model *model, enum shop_table table);
uint64_t model_refused(const struct model *model);

const char *shop_table_name(enum shop_table table);
size_t shop_table_rows(enum shop_table table); /* that can exist */
/* The primary key of a row, as text; `out` has 24 bytes. */
void shop_row_id(enum shop_table table, size_t row, char *out);
/* The reverse; false when no row of the shop has that key. */
bool shop_row_of_id(enum shop_table table, struct str id, size_t *row);
/* Of 0 … SHOP_LANES - 1. */
unsigned shop_row_lane(enum shop_table table, size_t row);
/* The cache key of a row, `out` has 40 bytes. */
void shop_cache_key(enum shop_table table, size_t row, char *out);
/* SQL for all columns of a row as one text. */
const char *shop_row_sql(enum shop_table table);
/* The same text from the model; false when the row should not exist. */
bool model_row_text(const struct model *model, enum shop_table table, size_t row, struct buf *out);

#endif
