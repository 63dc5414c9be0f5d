#ifndef TESTS_INTEGRATION_FOLD_MODEL_H
#define TESTS_INTEGRATION_FOLD_MODEL_H

#include "common/mysql.h"
#include "common/random.h"
#include "config/config.h"
#include "worker/change.h"

/*
 * What fold_property plays: small tables of every awkward kind, random sequences of entries on them,
 * and way (A), each entry by itself in the plainest SQL, with nothing of statement.c or the fold.
 */
enum {
	ENTRIES_MAX = 60,
	OPERATIONS_MAX = 3, /* of a list entry */
	FIELDS_MAX = 6
};

#define STAMP "1000000000000000" /* what a stamped version of a created row is shown as */

struct model_column {
	const char *name;
	const char *values[12]; /* "": NULL (`_null`); a NULL pointer ends */
	const char *increments[6];
};

struct model_table {
	const char *name, *ddl, *seed;
	const char *free_ddl; /* without what lets one row refuse another */
	const char *key[2];
	const char *keys[2][8];
	const char *options; /* in the configuration */
	enum config_version version;
	bool binary; /* not in JSON, where it would be base64 */
	bool child;  /* has a foreign key: all its entries, and its parents', by one lane */
	struct model_column columns[6];
};

extern const struct model_table model_tables[];
extern const unsigned model_table_count;

/* Operations, and the entries they come in */

struct operation {
	const struct model_table *table;
	enum change_op op;
	uint64_t version;
	const char *key[2];
	const struct model_column *columns[FIELDS_MAX];
	const char *values[FIELDS_MAX];
	unsigned count;
};

struct model_entry {
	struct operation operations[OPERATIONS_MAX];
	unsigned count; /* above 1: one JSON list */
	unsigned lane;
	bool refused, heals; /* in A; by other rows' doing */
};

struct sequence {
	struct model_entry entries[ENTRIES_MAX];
	unsigned count;
};

/* Few tables and keys at a time, so that changes meet. */
void make_sequence(struct random *r, struct sequence *sequence);
/* (A), committed; says of each entry whether it was refused. */
void apply_plainly(struct sql *sql, struct sequence *sequence);
/* One operation of it; the caller's transaction. */
int apply_operation(struct sql *sql, const struct operation *o, struct err *err);
bool is_other_rows_doing(int code);
/* Ends the program where status isn't 0. */
void must(int status, const struct err *err, const char *what);

#endif
