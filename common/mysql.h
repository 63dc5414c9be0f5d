#ifndef COMMON_MYSQL_H
#define COMMON_MYSQL_H

#include "common/buf.h"
#include "common/err.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One connection to MySQL or MariaDB, over either client library; the only room that sees mysql.h.
 *
 * sql_query sends, waits and reads.  The wait is a function of the caller's when one is set: that is
 * how a worker does other work while MySQL executes.  After a failure of the connection (a time-out
 * included) it is closed; sql_open opens it again.  No CLIENT_FOUND_ROWS: sql_result tells matched
 * and changed rows apart.  No LOCAL INFILE, no multi statements, no automatic reconnect.
 * Thread: its owner's; call sql_thread_start/stop in each thread that uses one.
 */
struct sql_options {
	const char *host;
	int port;
	const char *socket; /* wins over host when not NULL */
	const char *user;
	const char *(*password)(void *arg); /* called at each open; NULL: none */
	void *password_arg;
	const char *database;
	int connect_timeout_ms;
	int timeout_ms; /* the longest wait for one result */
};

/* What a statement did, or the rows it returned (buffered; all text). */
struct sql_result {
	uint64_t affected;	      /* changed rows as the server counts them */
	uint64_t matched;	      /* UPDATE: "Rows matched"; else = affected */
	uint64_t records, duplicates; /* of a multi-row INSERT; 0 without mysql_info() */
	unsigned warnings;
	size_t rows, columns;
	bool cut;     /* there were more rows (sql_query_most) */
	void *handle; /* of the buffered rows; sql_result_free */
};

struct sql;

/* Wait until fd is readable; at most timeout_ms.  Returns 1 readable, 0 time-out, -1 give up. */
typedef int sql_wait(void *arg, int fd, int timeout_ms);
/* One that also ends, giving up, when the descriptor that arg points to is readable: so the end of a
 * process interrupts a SELECT. */
int sql_wait_or_wake(void *wake_fd, int fd, int timeout_ms);

void sql_library_init(void); /* once, before the first thread */
void sql_thread_start(void);
void sql_thread_stop(void);

struct sql *sql_new(const struct sql_options *options);
void sql_free(struct sql **s);
void sql_set_wait(struct sql *s, sql_wait *wait, void *arg);

/* err: RETRY when it can't be reached, FATAL when access is denied or the database is unknown. */
int sql_open(struct sql *s, struct err *err);
void sql_close(struct sql *s);
bool sql_is_open(const struct sql *s);
bool sql_is_mariadb(const struct sql *s); /* kept after close */

/* One statement at a time.  result may be NULL.  err->code is the server's error number; the class
 * comes from sql_class (a trigger's own number is 1644 here).  The text is the server's message with
 * every quoted value removed. */
int sql_query(struct sql *s, struct str statement, struct sql_result *result, struct err *err);
int sql_queryf(struct sql *s, struct sql_result *result, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* for statements of ours without foreign values */
/* A SELECT that isn't ours, whose answer may be of any size and without an end.  The result holds its first
 * rows, of max_bytes and one row at most; when it is cut it has cells but no names or kinds of columns, and
 * the connection is closed: nobody reads the rest.  The hook that waits may give up between rows, and all of
 * them must come within the time-out for one result. */
int sql_query_most(struct sql *s, struct str statement, size_t max_bytes, struct sql_result *result,
    struct err *err);
/* A SELECT whose rows are not held: take sees each of them as the last of *result, which is valid until
 * it returns.  All are taken, or the answer is -1. */
typedef void sql_take(void *arg, const struct sql_result *result);
int sql_query_each(struct sql *s, struct str statement, sql_take *take, void *arg, struct err *err);
/* Free the rows. */
void sql_result_free(struct sql_result *result);
/* The cell; data == NULL means NULL.  Valid until sql_result_free. */
struct str sql_cell(const struct sql_result *result, size_t row, size_t column);
/* Names as the server gave them. */
const char *sql_column_name(const struct sql_result *result, size_t column);

/* How a cell's text is to be read. */
enum sql_kind { SQL_NUMBER, SQL_TEXT, SQL_BYTES, SQL_JSON };
enum sql_kind sql_column_kind(const struct sql_result *result, size_t column);

/* The class of a server or client error code (design: retry, poison, fatal; unknown is retry). */
enum err_class sql_class(int code);

/* Is an error of this code the statement's own fault, whoever asks and whenever?  false: of the server's state
 * (locks, limits, time-outs, read-only) or of the connection. */
bool sql_is_statements_fault(int code);

/* Quoted and escaped, for a session with character set utf8mb4 and backslash escapes on. */
void sql_add_text(struct buf *b, struct str value);	 /* 'text' */
void sql_add_binary(struct buf *b, struct str value);	 /* _binary'bytes' */
void sql_add_identifier(struct buf *b, struct str name); /* `name`, ` doubled */

#endif
