#ifndef WORKER_CACHE_REFRESH_TABLE_H
#define WORKER_CACHE_REFRESH_TABLE_H

#include "common/arena.h"
#include "common/mysql.h"
#include "config/config.h"
#include "worker/cache/hot_keys.h"
#include "worker/cache/key_template.h"

/*
 * One table as the refresher sees it: its key columns, its template, its sketches, the SELECT that
 * loads its keys, and the value that a row makes.  Thread: the refresher's.
 */
enum { REFRESH_KEY_COLUMNS = 16 };

struct refresh_table {
	const struct config *config;
	const struct config_table *table;
	size_t index; /* in config->tables */
	struct hot_keys read, warm;
	struct hot_key **top; /* the most read, as of the last look */
	size_t top_count;
	int64_t warm_due_ms;
	double load_us;	  /* what a load takes, smoothed */
	int64_t least_ms; /* before its expiry a key is due, at the last look */
	size_t at_once;	  /* keys of one SELECT: fewer where their rows are large */
	bool suspected;	  /* its query failed, or was it MySQL? */
	unsigned failed;  /* it was the query, so often in a row */
	struct err why;

	/* from information_schema */
	bool ready;
	char key_names[REFRESH_KEY_COLUMNS][65];
	bool key_is_integer[REFRESH_KEY_COLUMNS];
	size_t key_count;
	struct key_template template;
};

void refresh_table_init(struct refresh_table *t, const struct config *config, size_t index);
void refresh_table_deinit(struct refresh_table *t);

/* Are its keys entries of the functions (modes versioned, populate)?  Else they are plain ones. */
bool refresh_is_versioned(const struct config_table *table);

/* Learn the primary key and compile the template.  FATAL: the table, its key or the template won't do,
 * and the sentence says why. */
int refresh_table_describe(struct refresh_table *t, struct sql *sql, struct err *err);

/* The values of the key columns that a cache key stands for; false: none of this table's. */
bool refresh_table_match(const struct refresh_table *t, struct str key, struct arena *arena,
    struct str values[REFRESH_KEY_COLUMNS]);

/* The SELECT for so many keys. */
void refresh_table_select(const struct refresh_table *t,
    const struct str (*values)[REFRESH_KEY_COLUMNS], size_t count, struct buf *out);

/* Where the columns of a result are. */
struct refresh_columns {
	int key[REFRESH_KEY_COLUMNS];
	int version; /* -1: none */
};
/* -1: the result lacks a column of the key, or one of `value`; err says which. */
int refresh_table_columns(const struct refresh_table *t, const struct sql_result *result,
    struct refresh_columns *out, struct err *err);
/* Does the version of each row order changes (or is there none)?  -1: err says what else it is. */
int refresh_table_versions(const struct refresh_table *t, const struct sql_result *result,
    const struct refresh_columns *columns, struct err *err);
/* That of one row; false: it has none, NULL or below 0. */
bool refresh_table_row_version(const struct sql_result *result, size_t row,
    const struct refresh_columns *columns, struct str *version);
/* The cache key of a row; false: a NULL in it. */
bool refresh_table_row_key(const struct refresh_table *t, const struct sql_result *result,
    size_t row, const struct refresh_columns *columns, struct buf *out);

/* Is this column of the result part of the value? */
bool refresh_table_has_value(const struct refresh_table *t, const char *column);
/* The value: the row as payload.h has it. */
void refresh_table_json(const struct refresh_table *t, const struct sql_result *result, size_t row,
    struct buf *out);

#endif
