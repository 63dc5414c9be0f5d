#include "common/mysql.h"

#include "common/arena.h"
#include "common/clock.h"
#include "common/mysql_error.h"

#include <errno.h>
#include <mysql.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { CODE_GONE = 2006, CODE_LOST = 2013, LOOK_EVERY_MS = 50 };

struct sql {
	const struct sql_options *options;
	MYSQL *handle; /* NULL: closed */
	sql_wait *wait;
	void *wait_arg;
	struct buf statement; /* of sql_queryf */
	bool mariadb;	      /* of the last session */
};

/* Buffered rows and the one that is being looked at. */
struct rows {
	MYSQL_RES *result; /* NULL: given up, there are no names of columns */
	MYSQL_ROW row;
	unsigned long *lengths;
	size_t at; /* index of row */
	struct str *
	    *taken; /* the cells of sql_query_most, in `held`; NULL: all rows are in result */
	size_t taken_max;
	struct arena held;
};

void
sql_library_init(void)
{
	CHECK(mysql_library_init(0, NULL, NULL) == 0);
}

void
sql_thread_start(void)
{
	CHECK(mysql_thread_init() == 0);
}

void
sql_thread_stop(void)
{
	mysql_thread_end();
}

struct sql *
sql_new(const struct sql_options *options)
{
	struct sql *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->options = options;
	buf_init(&s->statement);
	return s;
}

void
sql_free(struct sql **s)
{
	if (*s == NULL)
		return;
	sql_close(*s);
	buf_deinit(&(*s)->statement);
	free(*s);
	*s = NULL;
}

void
sql_set_wait(struct sql *s, sql_wait *wait, void *arg)
{
	s->wait = wait;
	s->wait_arg = arg;
}

void
sql_close(struct sql *s)
{
	if (s->handle != NULL)
		mysql_close(s->handle);
	s->handle = NULL;
}

bool
sql_is_open(const struct sql *s)
{
	return s->handle != NULL;
}

bool
sql_is_mariadb(const struct sql *s)
{
	return s->mariadb;
}

static int
fail(struct sql *s, struct err *err, int code, const char *text)
{
	sql_close(s);
	return err_set(err, ERR_RETRY, code, "mysql: %s", text);
}

/* The library's error.  After some of them the connection is of no use any more. */
static int
fail_handle(struct sql *s, struct err *err)
{
	int code = sql_error_code((int)mysql_errno(s->handle), mysql_sqlstate(s->handle));
	char text[sizeof(err->text)];

	sql_error_text(code, mysql_error(s->handle), text, sizeof(text));
	if (sql_error_is_connection(code))
		sql_close(s);
	return err_set(err, sql_class(code), code, "mysql: %s", text);
}

static unsigned
seconds_of(int ms)
{
	return ms <= 0 ? 1 : ((unsigned)ms + 999) / 1000;
}

/* Where the two client libraries differ. */
static void
set_library_options(MYSQL *handle)
{
#ifdef LIBMARIADB
	/* from 3.4 on it would refuse a server without TLS */
	char off = 0;

	mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &off);
#else
	/* caching_sha2_password without TLS; the MariaDB client does it unasked */
	bool on = true;

	mysql_options(handle, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &on);
#endif
}

static int
handle_socket(MYSQL *handle)
{
#ifdef LIBMARIADB
	return (int)mysql_get_socket(handle);
#else
	return (int)handle->net.fd;
#endif
}

int
sql_open(struct sql *s, struct err *err)
{
	const struct sql_options *options = s->options;
	const char *password =
	    options->password != NULL ? options->password(options->password_arg) : NULL;
	unsigned connect_seconds = seconds_of(options->connect_timeout_ms);
	unsigned result_seconds = seconds_of(options->timeout_ms) + 2, off = 0;
	unsigned port = options->socket != NULL ? 0 : (unsigned)options->port;

	sql_close(s);
	s->handle = mysql_init(NULL);
	CHECK(s->handle != NULL);
	mysql_options(s->handle, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
	/* for a server that stops in the middle of a result; sql_query's own wait is the rule */
	mysql_options(s->handle, MYSQL_OPT_READ_TIMEOUT, &result_seconds);
	mysql_options(s->handle, MYSQL_OPT_WRITE_TIMEOUT, &result_seconds);
	mysql_options(s->handle, MYSQL_OPT_LOCAL_INFILE, &off);
	mysql_options(s->handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	set_library_options(s->handle);
	if (mysql_real_connect(s->handle, options->socket != NULL ? NULL : options->host,
		options->user, password, options->database, port, options->socket, 0) == NULL) {
		fail_handle(s, err);
		sql_close(s);
		return -1;
	}
	s->mariadb = strstr(mysql_get_server_info(s->handle), "MariaDB") != NULL;
	return 0;
}

/* Wait without a hook. */
static int
wait_poll(int fd, int timeout_ms)
{
	struct pollfd socket = { .fd = fd, .events = POLLIN };
	int64_t deadline_ms = clock_ms() + timeout_ms;
	int status;

	while ((status = poll(&socket, 1, timeout_ms)) < 0 && errno == EINTR) {
		timeout_ms = (int)(deadline_ms - clock_ms());
		if (timeout_ms < 0)
			return 0;
	}
	return status;
}

static int
wait_result(struct sql *s, struct err *err)
{
	int fd = handle_socket(s->handle), timeout_ms = s->options->timeout_ms, status;
	char text[64];

	status = s->wait != NULL ? s->wait(s->wait_arg, fd, timeout_ms) : wait_poll(fd, timeout_ms);
	if (status > 0)
		return 0;
	if (status < 0)
		return fail(s, err, CODE_LOST, "the wait for a result was given up");
	snprintf(text, sizeof(text), "no result within %d ms", timeout_ms);
	return fail(s, err, CODE_LOST, text);
}

/* The number behind a label of mysql_info(), or `without`. */
static uint64_t
info_number(const char *info, const char *label, uint64_t without)
{
	const char *at = info != NULL ? strstr(info, label) : NULL;

	return at != NULL ? strtoull(at + strlen(label), NULL, 10) : without;
}

static void
result_take(struct sql *s, MYSQL_RES *buffered, struct sql_result *result)
{
	const char *info = mysql_info(s->handle);
	struct rows *rows;

	*result = (struct sql_result){ .warnings = mysql_warning_count(s->handle) };
	if (buffered == NULL) {
		result->affected = mysql_affected_rows(s->handle);
		result->matched = info_number(info, "Rows matched: ", result->affected);
		result->records = info_number(info, "Records: ", 0);
		result->duplicates = info_number(info, "Duplicates: ", 0);
		return;
	}
	rows = calloc(1, sizeof(*rows));
	CHECK(rows != NULL);
	rows->result = buffered;
	result->rows = (size_t)mysql_num_rows(buffered);
	result->columns = mysql_num_fields(buffered);
	result->handle = rows;
}

/* A procedure's further results, which nobody asked for; they must be read all the same. */
static int
drain(struct sql *s, struct err *err)
{
	while (mysql_more_results(s->handle)) {
		MYSQL_RES *more;

		if (mysql_next_result(s->handle) > 0)
			return fail_handle(s, err);
		more = mysql_use_result(s->handle);
		if (more != NULL) /* unread, however many rows they are */
			mysql_free_result(more);
		else if (mysql_field_count(s->handle) > 0)
			return fail_handle(s, err);
	}
	return 0;
}

/* Up to the first packet of its result. */
static int
send_query(struct sql *s, struct str statement, struct err *err)
{
	if (s->handle == NULL)
		return fail(s, err, CODE_GONE, "not connected");
	if (mysql_send_query(s->handle, statement.data, (unsigned long)statement.len) != 0)
		return fail_handle(s, err);
	if (wait_result(s, err) != 0)
		return -1;
	return mysql_read_query_result(s->handle) != 0 ? fail_handle(s, err) : 0;
}

int
sql_query(struct sql *s, struct str statement, struct sql_result *result, struct err *err)
{
	struct sql_result unwanted;
	MYSQL_RES *buffered;

	if (result == NULL)
		result = &unwanted;
	*result = (struct sql_result){ 0 };
	if (send_query(s, statement, err) != 0)
		return -1;
	buffered = mysql_store_result(s->handle);
	if (buffered == NULL && mysql_field_count(s->handle) > 0)
		return fail_handle(s, err);
	result_take(s, buffered, result);
	if (drain(s, err) != 0) {
		sql_result_free(result);
		return -1;
	}
	if (result == &unwanted)
		sql_result_free(result);
	return 0;
}

/* The row just fetched. */
static void
rows_take(struct rows *rows, struct sql_result *result)
{
	const unsigned long *lengths = mysql_fetch_lengths(rows->result);
	struct str *cells = arena_alloc(&rows->held, result->columns * sizeof(*cells));

	for (size_t c = 0; c < result->columns; c++)
		cells[c] = rows->row[c] == NULL ? (struct str){ NULL, 0 } :
						  arena_str(&rows->held, rows->row[c], lengths[c]);
	if (result->rows == rows->taken_max) {
		rows->taken_max = 2 * rows->taken_max + 64;
		struct str **more = realloc(rows->taken, rows->taken_max * sizeof(*more));

		CHECK(more != NULL);
		rows->taken = more;
	}
	rows->taken[result->rows++] = cells;
}

/*
 * The rest of the answer stays where it is.  Without the socket's end the library would read it all; and
 * without a reset the server, whose window is full, would not hear of that end for a minute, and hold the
 * query's tables.
 */
static void
rows_leave(struct sql *s, struct rows *rows)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(handle_socket(s->handle), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	shutdown(handle_socket(s->handle), SHUT_RDWR);
	mysql_free_result(rows->result);
	rows->result = NULL;
	sql_close(s);
}

/* -1: it didn't come in time, or nobody waits for it any more. */
static int
rows_take_most(struct sql *s, struct rows *rows, size_t max_bytes, struct sql_result *result)
{
	int64_t looked_ms = clock_ms(), end_ms = looked_ms + s->options->timeout_ms;

	while (!result->cut && (rows->row = mysql_fetch_row(rows->result)) != NULL) {
		int64_t now_ms = clock_ms();

		rows_take(rows, result);
		result->cut =
		    arena_bytes(&rows->held) + rows->taken_max * sizeof(*rows->taken) > max_bytes;
		if (now_ms - looked_ms < LOOK_EVERY_MS)
			continue;
		looked_ms = now_ms;
		if (now_ms > end_ms ||
		    (s->wait != NULL && s->wait(s->wait_arg, handle_socket(s->handle), 0) < 0))
			return -1;
	}
	return 0;
}

int
sql_query_most(struct sql *s, struct str statement, size_t max_bytes, struct sql_result *result,
    struct err *err)
{
	MYSQL_RES *answer;
	struct rows *rows;
	int status = 0;

	*result = (struct sql_result){ 0 };
	if (send_query(s, statement, err) != 0)
		return -1;
	answer = mysql_use_result(s->handle);
	if (answer == NULL && mysql_field_count(s->handle) > 0)
		return fail_handle(s, err);
	result_take(s, answer, result);
	if ((rows = result->handle) == NULL)
		return drain(s, err);
	result->rows = 0;
	if (rows_take_most(s, rows, max_bytes, result) != 0) {
		rows_leave(s, rows);
		status = fail(s, err, CODE_LOST, "the rows were not all here in time");
	} else if (result->cut)
		rows_leave(s, rows);
	else if (mysql_errno(s->handle) != 0)
		status = fail_handle(s, err);
	else
		status = drain(s, err);
	if (status != 0)
		sql_result_free(result);
	return status;
}

int
sql_query_each(struct sql *s, struct str statement, sql_take *take, void *arg, struct err *err)
{
	struct rows rows = { .result = NULL };
	struct sql_result result = { .handle = &rows };
	bool failed;

	if (send_query(s, statement, err) != 0)
		return -1;
	rows.result = mysql_use_result(s->handle);
	if (rows.result == NULL)
		return mysql_field_count(s->handle) > 0 ? fail_handle(s, err) : drain(s, err);
	result.columns = mysql_num_fields(rows.result);
	while ((rows.row = mysql_fetch_row(rows.result)) != NULL) {
		rows.lengths = mysql_fetch_lengths(rows.result);
		rows.at = result.rows++;
		take(arg, &result);
	}
	failed = mysql_errno(s->handle) != 0;
	mysql_free_result(rows.result);
	return failed ? fail_handle(s, err) : drain(s, err);
}

int
sql_queryf(struct sql *s, struct sql_result *result, struct err *err, const char *format, ...)
{
	va_list ap;

	buf_reset(&s->statement);
	va_start(ap, format);
	buf_vprintf(&s->statement, format, ap);
	va_end(ap);
	return sql_query(s, (struct str){ s->statement.data, s->statement.len }, result, err);
}

void
sql_result_free(struct sql_result *result)
{
	struct rows *rows = result->handle;

	if (rows != NULL) {
		mysql_free_result(rows->result);
		arena_deinit(&rows->held);
		free(rows->taken);
	}
	free(rows);
	*result = (struct sql_result){ 0 };
}

/* Rows are a linked list: the next one is a step, any other a walk from the first. */
static void
rows_seek(struct rows *rows, size_t row)
{
	if (rows->row != NULL && rows->at == row)
		return;
	if (rows->row == NULL || rows->at + 1 != row)
		mysql_data_seek(rows->result, row);
	rows->row = mysql_fetch_row(rows->result);
	CHECK(rows->row != NULL);
	rows->lengths = mysql_fetch_lengths(rows->result);
	rows->at = row;
}

struct str
sql_cell(const struct sql_result *result, size_t row, size_t column)
{
	struct rows *rows = result->handle;

	CHECK(row < result->rows && column < result->columns);
	if (rows->taken != NULL)
		return rows->taken[row][column];
	rows_seek(rows, row);
	if (rows->row[column] == NULL)
		return (struct str){ NULL, 0 };
	return (struct str){ rows->row[column], rows->lengths[column] };
}

const char *
sql_column_name(const struct sql_result *result, size_t column)
{
	struct rows *rows = result->handle;

	CHECK(column < result->columns && rows->result != NULL);
	return mysql_fetch_field_direct(rows->result, (unsigned)column)->name;
}

/* MariaDB's JSON is a text, which a newer server says in an attribute of its own. */
static bool
is_json(const MYSQL_FIELD *field)
{
#if defined(LIBMARIADB) && defined(MARIADB_FIELD_ATTR_LAST)
	MARIADB_CONST_STRING attribute;

	if (mariadb_field_attr(&attribute, field, MARIADB_FIELD_ATTR_FORMAT_NAME) == 0 &&
	    str_equal((struct str){ attribute.str, attribute.length }, STR("json")))
		return true;
#endif
	return field->type == MYSQL_TYPE_JSON;
}

enum sql_kind
sql_column_kind(const struct sql_result *result, size_t column)
{
	enum { CHARSET_BINARY = 63 };
	struct rows *rows = result->handle;

	CHECK(column < result->columns);
	const MYSQL_FIELD *field = mysql_fetch_field_direct(rows->result, (unsigned)column);
	if (is_json(field))
		return SQL_JSON;
	if (field->type == MYSQL_TYPE_BIT || field->type == MYSQL_TYPE_GEOMETRY)
		return SQL_BYTES;
	if ((IS_NUM(field->type) && field->type != MYSQL_TYPE_TIMESTAMP) ||
	    field->type == MYSQL_TYPE_NEWDECIMAL)
		return SQL_NUMBER;
	if (field->charsetnr != CHARSET_BINARY || field->type == MYSQL_TYPE_DATE ||
	    field->type == MYSQL_TYPE_TIME || field->type == MYSQL_TYPE_DATETIME ||
	    field->type == MYSQL_TYPE_TIMESTAMP || field->type == MYSQL_TYPE_NEWDATE ||
	    field->type == MYSQL_TYPE_NULL)
		return SQL_TEXT;
	return SQL_BYTES;
}
