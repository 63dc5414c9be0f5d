#ifndef WORKER_STORE_SCHEMA_LOAD_H
#define WORKER_STORE_SCHEMA_LOAD_H

#include "common/arena.h"
#include "worker/store/schema.h"

/*
 * Loading a schema, in parts: all tables together, a query each for tables, columns, indexes,
 * foreign keys, CHECKs and triggers, so that hundreds of tables cost no more round trips than one.
 *
 * What information_schema doesn't show to this account is taken to be there (schema_sight.c): the
 * table isn't folded, and the GRANT that would help is named.
 */
enum hidden { HIDDEN_CONSTRAINTS = 1, HIDDEN_TRIGGERS = 2 };

struct load_table {
	struct table *table;
	const char **expressions; /* per column: generated, or a computed default; else NULL */
	bool is_there;
	const char *engine, *type;
	unsigned long key_parts; /* of the primary key, prefixes and expressions included */
	bool sees_triggers;
	unsigned hidden;	/* enum hidden, added up */
	bool visiting, visited; /* for the rank */
};

struct load {
	const struct config *config;
	struct arena *arena; /* of the tables */
	struct sql *sql;
	bool mariadb;
	bool fold_names;   /* lower_case_table_names is not 0 */
	const char *names; /* 'a','b',… for IN (…) */
	const char *account;
	bool sees_database; /* all tables and what they reference, not only those with a right */
	bool
	    unseen_parent; /* a table changes with one that isn't configured, and there may be more */
	uint64_t hash;	   /* of all answers */
	struct load_table *tables;
	size_t count;
};

/* Run a query; each %s in it is where the names go.  Its answer is noted. */
int load_query(struct load *load, struct sql_result *result, struct err *err, const char *format);
/* Take it into the hash. */
void load_note(struct load *load, struct str text);
/* A copy of the cell; NULL for NULL. */
const char *load_text(struct load *load, const struct sql_result *result, size_t row,
    size_t column);
unsigned long load_number(const struct sql_result *result, size_t row, size_t column);
bool load_is(const struct sql_result *result, size_t row, size_t column, const char *text);
/* The configured table that a cell names, or NULL. */
struct load_table *load_find(struct load *load, struct str name);
/* The column of a loaded table that a cell names, or NULL. */
struct column *load_column(struct load_table *t, struct str name);

/* The parts, in this order. */
int load_sight(struct load *load, struct err *err);
int load_tables(struct load *load, struct err *err);
int load_columns(struct load *load, struct err *err);
int load_indexes(struct load *load, struct err *err);
int load_foreign_keys(struct load *load, struct err *err);
int load_checks(struct load *load, struct err *err);
int load_hidden_checks(struct load *load, struct err *err);
int load_triggers(struct load *load, struct err *err);
/* Whatever a generated column or a computed default is made of is guarded. */
void load_guard_expressions(struct load *load);
/* Something of the table can't be seen: it isn't folded. */
void load_hide(struct load_table *t, enum hidden what);
/* The GRANTs that would show it. */
void load_tell_hidden(struct load *load);
/* Parents before children. */
void load_rank(struct load *load);

/* The first thing that is wrong with a table becomes its problem; version column and templates are
 * set up on the way. */
void load_judge(struct load *load, struct load_table *t);

/* From information_schema.columns to a struct column (nothing but its own fields is read). */
struct column_facts {
	const char *data_type, *column_type, *default_text, *extra, *charset, *collation;
	bool nullable, generated, mariadb;
	unsigned long length, precision, scale, time_precision;
};
void column_describe(struct column *column, const struct column_facts *facts);
/* Are printable ASCII texts of this collation equal only when equal but for case? */
bool collation_is_plain(const char *collation);

#endif
