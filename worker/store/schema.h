#ifndef WORKER_STORE_SCHEMA_H
#define WORKER_STORE_SCHEMA_H

#include "common/err.h"
#include "common/mysql.h"
#include "common/number.h"
#include "config/config.h"
#include "worker/cache/key_template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tables we write, as information_schema tells them, for one worker.
 *
 * Loaded when the store opens and again when something doesn't fit (an unknown column, MySQL says
 * that a definition changed), or when a look says so: what has no error of its own, as a new trigger,
 * is seen by that alone.  A reload frees all tables: whatever points to one (changes, shapes,
 * steps) must have been dropped before.  Thread: its worker's.
 */
enum column_kind {
	COLUMN_INT, /* TINYINT … BIGINT, also YEAR */
	COLUMN_DECIMAL,
	COLUMN_FLOAT,  /* FLOAT, DOUBLE */
	COLUMN_TEXT,   /* CHAR, VARCHAR, TEXT, … */
	COLUMN_BINARY, /* BINARY, VARBINARY, BLOB, … */
	COLUMN_DATE,
	COLUMN_DATETIME, /* DATETIME, TIMESTAMP */
	COLUMN_TIME,
	COLUMN_ENUM, /* ENUM, SET */
	COLUMN_BIT,
	COLUMN_JSON, /* JSON; on MariaDB a text with CHECK json_valid(column) */
	COLUMN_OTHER
};

struct column {
	const char *name;
	enum column_kind kind;
	const char *type; /* column_type as the server writes it */
	bool is_unsigned, nullable, generated, auto_increment;
	bool required;	   /* NOT NULL, no default, not generated, not AUTO_INCREMENT */
	bool default_zero; /* the default is NULL or the number 0 */
	bool on_update;	   /* ON UPDATE CURRENT_TIMESTAMP: changes by itself when not set */
	bool
	    guarded; /* named by a CHECK (json_valid aside), a foreign key (either side), a secondary
				   UNIQUE, a generated column or another column's default */
	int128 low, high;	   /* COLUMN_INT: the range */
	unsigned precision, scale; /* DECIMAL; scale: also fractional digits of times */
	uint64_t length;	   /* TEXT: characters (bytes for TEXT/BLOB types); BINARY: bytes */
	bool length_in_bytes;
	const char *charset, *collation; /* TEXT and ENUM; NULL otherwise */
	bool exact_collation; /* binary collation: equal bytes, equal text (but trailing blanks) */
	bool plain_collation; /* printable ASCII compares equal only when equal but for case */
	int key_part;	      /* place in the primary key, or -1 */
	bool untold; /* of a schema without MySQL: nobody told its type (column_untold.h) */
};

/* What a change does to a row, by column: set or add.  Interned in a batch: equal shapes are the
 * same pointer, so a statement is the steps of one shape. */
enum shape_kind {
	SHAPE_UPSERT,
	SHAPE_UPDATE,
	SHAPE_DELETE,
	SHAPE_TRUNCATE /* every row goes */
};

/* On a table with given versions: which rows does a change apply to? */
enum shape_fence {
	FENCE_OLDER, /* those with a lower version or none: an equal one is a repeat */
	FENCE_EQUAL, /* those with the same version, too: an image may differ without a new version */
	FENCE_OFF    /* all; the change's version is NULL */
};

struct shape_column {
	uint16_t column; /* index in table->columns; ascending in the shape; no key columns */
	bool add;	 /* increment instead of set */
};

struct shape {
	struct table *table;
	enum shape_kind kind;
	enum shape_fence fence;
	unsigned id; /* within the batch */
	uint16_t count;
	const struct shape_column *columns;
	bool covers_required; /* an INSERT of these and the key needs no other column */
	bool guarded;	      /* sets or adds to a guarded column */
	bool adds;	      /* has an `add` column */
	bool foldable;	      /* no FLOAT or otherwise inexact `add` column */
	bool
	    sets_on_update; /* sets an ON UPDATE column: a later change that doesn't would change it too */
};

struct table {
	const char *name;
	const struct config_table *config;
	bool keys_only; /* of a schema without MySQL: its changes only derive cache keys */
	struct column *columns;
	unsigned column_count;
	unsigned key[16]; /* columns of the primary key, in key order */
	unsigned key_count;
	bool
	    key_unsure; /* a prefix of a column, or a type whose equality we don't know (FLOAT, BIT,
				   JSON, ENUM): every change of the table is a barrier */
	int version_column; /* -1: none */
	enum config_version version;
	bool ordered; /* triggers, cascading foreign keys, what we may not see, or fold: off: lane
				   order, no fold */
	bool writes_others; /* its triggers may: lane order across tables */
	bool has_unique;    /* a secondary UNIQUE index */
	bool has_check; /* a CHECK other than json_valid, or a generated column or functional index,
				   whose expressions refuse values just so */
	bool has_foreign_key;	      /* it references, or is referenced by, another table */
	unsigned rank;		      /* parents have a lower rank than their children */
	const struct table **parents; /* the configured tables it references */
	unsigned parent_count;
	const char
	    *hidden_grant; /* the GRANT without which folding can't know all; NULL: it does */
	struct key_template *templates;
	size_t template_count;
	/* Columns beside the key's: first those that templates name, in their lists of names behind the
	 * key's; then, where they read the row, those of their `when` and the stamped version. */
	const unsigned *reads;
	unsigned image_count, read_count;
	bool reads_row;	    /* a template is from_row */
	bool has_when;	    /* a template has `when` */
	bool has_versioned; /* one has mode versioned or populate */
	bool populates;	    /* one has mode populate: rows are read back (worker/read_back.h) */
	const char
	    *problem; /* why it can't be written (missing, no primary key, a view, not InnoDB,
				   unknown version column, template with an unknown column …); NULL: fine */
};

struct schema;

struct schema *schema_new(const struct config *config);
/* A loaded schema of tables made by hand, which are borrowed: for tests and the simulation. */
struct schema *schema_of_tables(const struct config *config, struct table *tables, size_t count);
void schema_free(struct schema **schema);

/* Make the tables of what the configuration says (schema_config.h), for lanes that only invalidate. */
void schema_load_config(struct schema *schema);
/* Was it made so? */
bool schema_keys_only(const struct schema *schema);
/* Then: what the columns that it knows are called in events.  NULL: it isn't known, or they are many. */
const struct str *schema_asked(const struct schema *schema, size_t *count);

/*
 * (Re)load all configured tables, in a transaction of its own.  -1 only when the server can't be
 * asked, and then the tables are those of before; what is wrong with one table is its `problem` and
 * keeps its lanes waiting, not the others.
 */
int schema_load(struct schema *schema, struct sql *sql, struct err *err);
/* Would schema_load find anything else than it did last time?  Changes nothing. */
int schema_look(struct schema *schema, struct sql *sql, bool *changed, struct err *err);
/* Has schema_load succeeded at least once? */
bool schema_loaded(const struct schema *schema);
/* By name (case as MySQL has it), or NULL. */
struct table *schema_table(struct schema *schema, struct str name);
struct table *schema_tables(struct schema *schema, size_t *count);
/* Does a table read the row? */
bool schema_reads_rows(const struct schema *schema);
/* Does a table have a template of mode populate? */
bool schema_populates(const struct schema *schema);
/* The column of that name (names compare without case, as in MySQL), or NULL. */
const struct column *table_column(const struct table *table, struct str name);

/* May this source bring a row that the table references? */
bool table_parent_comes_by(const struct table *table, const struct config_source *source);

#endif
