#include "tests/sim_refresh/play.h"

#include "common/err.h"
#include "common/mysql.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes the place of common/mysql.c: a server that is well, slow, fails or hangs. */
enum { FD = 7000, ROWS = 16, COLUMNS = 5, CODE_LOST = 2013, CODE_BUSY = 1205, CODE_COLUMN = 1054 };

struct rows {
	const char *names[COLUMNS];
	size_t columns, count;
	char cells[ROWS][COLUMNS][48];
};

struct sql {
	struct process *process;
	const struct sql_options *options;
	sql_wait *wait;
	void *wait_arg;
	bool open;
	int64_t ready_us; /* its answer, if the server lives */
	bool of_query;	  /* what it is asked is the load of BY_QUERY */
};

static struct sql *asked; /* whose answer is waited for, innermost */

/* ---- connections ---- */

void
sql_thread_start(void)
{
}

void
sql_thread_stop(void)
{
}

struct sql *
sql_new(const struct sql_options *options)
{
	struct sql *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->process = play.running;
	s->options = options;
	return s;
}

void
sql_free(struct sql **s)
{
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
	s->open = false;
}

bool
sql_is_open(const struct sql *s)
{
	return s->open;
}

static int
lost(struct sql *s, struct err *err, const char *why)
{
	sql_close(s);
	mysql_call_failed(s->process);
	return err_set(err, ERR_RETRY, CODE_LOST, "mysql: %s", why);
}

int
sql_open(struct sql *s, struct err *err)
{
	int64_t end_us = play.now_us + s->options->connect_timeout_ms * INT64_C(1000);

	if (s->process->dying)
		return err_set(err, ERR_RETRY, CODE_LOST, "the end");
	check_mysql_call(s->process);
	pass(500 + below(2000));
	while (play.weather == HANGING && play.now_us < end_us)
		pass(5000);
	if (play.weather == HANGING || play.weather == FAILING)
		return lost(s, err, "can't connect");
	s->open = true;
	return 0;
}

/* ---- waiting ---- */

int
poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int64_t end_us = play.now_us + timeout_ms * INT64_C(1000);
	struct sql *s = asked;

	CHECK(count > 0 && s != NULL);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = 0;
	for (;;) {
		int64_t left_us = end_us - play.now_us, step_us = 500 + below(8000);

		bool hangs = play.weather == HANGING || (s->of_query && play.query_hangs);

		if (s->process->dying || (play.now_us >= s->ready_us && !hangs)) {
			fds[0].revents = POLLIN;
			return 1;
		}
		if (left_us <= 0)
			return 0;
		if (s->ready_us > play.now_us && s->ready_us - play.now_us < step_us)
			step_us = s->ready_us - play.now_us;
		pass(step_us < left_us ? step_us : left_us);
		asked = s;
	}
}

static int64_t
duration_us(void)
{
	if (play.weather == SLOW)
		return 1000 * (SLOW_LOAD_MS / 2 + below(900));
	return 200 + below(one_in(4) ? 60000 : 3000);
}

/* 0: the answer is there. */
static int
wait_for_answer(struct sql *s, struct err *err)
{
	struct sql *before = asked;
	int64_t from_us = play.now_us;
	bool late;
	int status;

	s->ready_us = play.now_us + duration_us();
	asked = s;
	status = s->wait(s->wait_arg, FD, s->options->timeout_ms);
	asked = before;
	play.loading = NULL;
	if (s->process->dying) {
		sql_close(s);
		return err_set(err, ERR_RETRY, CODE_LOST, "the end");
	}
	late = (play.now_us - from_us) / 1000 + 1 >= s->options->timeout_ms;
	if (s->of_query && late && (status == 0 || play.weather == FAILING)) {
		s->process->suspects = true;
		s->process->slow++;
		sql_close(s);
		return err_set(err, ERR_RETRY, CODE_LOST, "mysql: the query did not answer");
	}
	if (status <= 0)
		return lost(s, err, status < 0 ? "given up" : "no result in time");
	if (play.weather == FAILING)
		return lost(s, err, "gone away");
	return 0;
}

/* ---- results ---- */

static struct rows *
rows_new(struct sql_result *result, size_t columns, ...)
{
	struct rows *rows = calloc(1, sizeof(*rows));
	va_list ap;

	CHECK(rows != NULL);
	rows->columns = columns;
	va_start(ap, columns);
	for (size_t i = 0; i < columns; i++)
		rows->names[i] = va_arg(ap, const char *);
	va_end(ap);
	*result = (struct sql_result){ .columns = columns, .handle = rows };
	return rows;
}

static char (*row_new(struct rows *rows, struct sql_result *result))[48]
{
	CHECK(rows->count < ROWS);
	result->rows = rows->count + 1;
	return rows->cells[rows->count++];
}

void
sql_result_free(struct sql_result *result)
{
	free(result->handle);
	*result = (struct sql_result){ 0 };
}

struct str
sql_cell(const struct sql_result *result, size_t row, size_t column)
{
	const struct rows *rows = result->handle;

	CHECK(row < rows->count && column < rows->columns);
	return str_of(rows->cells[row][column]);
}

const char *
sql_column_name(const struct sql_result *result, size_t column)
{
	const struct rows *rows = result->handle;

	return rows->names[column];
}

enum sql_kind
sql_column_kind(const struct sql_result *result, size_t column)
{
	(void)result, (void)column;
	return SQL_NUMBER;
}

/* ---- statements ---- */

static void
answer_members(struct sql_result *result)
{
	struct rows *rows = rows_new(result, 5, "member", "lanes", "locked", "lives", "joined");

	for (unsigned i = 0; i < play.process_count; i++) {
		const struct process *p = &play.processes[i];
		char(*cells)[48];

		if (!p->member)
			continue;
		cells = row_new(rows, result);
		snprintf(cells[0], sizeof(*cells), "h/%u/%u/1/0", p->index, p->life);
		snprintf(cells[1], sizeof(*cells), "1");
		snprintf(cells[2], sizeof(*cells), "0");
		snprintf(cells[3], sizeof(*cells), "1");
		snprintf(cells[4], sizeof(*cells), "%u", p->life);
	}
}

static void
answer_warm(struct sql_result *result)
{
	struct rows *rows = rows_new(result, 1, "id");

	snprintf(row_new(rows, result)[0], 48, "%d", WARM_KEY);
}

static void
answer_key(struct sql_result *result)
{
	char(*cells)[48] = row_new(rows_new(result, 2, "column_name", "data_type"), result);

	snprintf(cells[0], sizeof(*cells), "id");
	snprintf(cells[1], sizeof(*cells), "bigint");
}

struct load {
	struct played_key *keys[KEYS];
	unsigned versions[KEYS];
	unsigned count;
};

static void
take_snapshot(struct load *load)
{
	for (unsigned i = 0; i < load->count; i++)
		load->versions[i] = select_version(load->keys[i]);
}

static void
answer_load(const struct load *load, struct sql_result *result)
{
	struct rows *rows = rows_new(result, 2, "id", "ver");

	for (unsigned i = 0; i < load->count; i++) {
		char(*cells)[48];

		if (load->versions[i] == 0)
			continue;
		cells = row_new(rows, result);
		snprintf(cells[0], sizeof(*cells), "%u", load->keys[i]->id);
		snprintf(cells[1], sizeof(*cells), "%u", load->versions[i]);
	}
}

static void
parse_load(const char *statement, struct load *load)
{
	const char *from = strstr(statement, "FROM `"), *at = strstr(statement, " IN (");
	char name[32], letter;

	CHECK(from != NULL && at != NULL && sscanf(from, "FROM `%c`", &letter) == 1);
	for (at += 5; *at != ')'; at += *at == ',') {
		snprintf(name, sizeof(name), "%c:%lu", letter, strtoul(at, NULL, 10));
		CHECK(load->count < KEYS);
		load->keys[load->count++] = key_of(str_of(name));
		at += strspn(at, "0123456789");
	}
}

static int
query_load(struct sql *s, const char *statement, struct sql_result *result, struct err *err)
{
	bool before = below(2) == 0;
	int64_t from_us = play.now_us;
	struct load load = { 0 };
	struct process *p = s->process;

	parse_load(statement, &load);
	check_asked(p, load.count);
	for (unsigned i = 0; i < load.count; i++) {
		load.keys[i]->loads++;
		load.keys[i]->loaders |= 1u << p->index;
	}
	take_snapshot(&load);
	s->of_query = load.keys[0]->table == BY_QUERY;
	play.loading = load.keys[below(load.count)];
	if (wait_for_answer(s, err) != 0)
		return -1;
	if (!before)
		take_snapshot(&load);
	if (one_in(60)) {
		mysql_call_failed(p);
		sql_close(s);
		return err_set(err, ERR_RETRY, CODE_LOST, "a single failure");
	}
	mysql_load_worked(p, play.now_us - from_us);
	if (load.keys[0]->table == BY_QUERY && one_in(40))
		return err_set(err, ERR_POISON, CODE_COLUMN, "Unknown column");
	play.loads += load.count;
	answer_load(&load, result);
	return 0;
}

int
sql_query(struct sql *s, struct str statement, struct sql_result *result, struct err *err)
{
	char text[2048];
	struct sql_result unwanted = { 0 };
	int code;

	CHECK(statement.len < sizeof(text));
	memcpy(text, statement.data, statement.len);
	text[statement.len] = '\0';
	*(result != NULL ? result : &unwanted) = (struct sql_result){ 0 };
	if (!s->open || s->process->dying)
		return sql_close(s), err_set(err, ERR_RETRY, CODE_LOST, "not connected");
	check_mysql_call(s->process);
	if (strstr(text, " IN (") != NULL)
		return query_load(s, text, result, err);
	if (strcmp(text, "COMMIT") == 0 || strcmp(text, "ROLLBACK") == 0)
		return 0;
	s->of_query = false;
	code = wait_for_answer(s, err);
	if (code != 0)
		return -1;
	if (strstr(text, "information_schema") != NULL) {
		mysql_load_worked(s->process, 0);
		answer_key(result);
	} else if (strstr(text, "FROM sluice_worker") != NULL) {
		answer_members(result);
	} else if (strstr(text, "FROM hot") != NULL) {
		answer_warm(result);
	} else {
		CHECK(strncmp(text, "SET SESSION", 11) == 0);
		/* MySQL lives: it was the query */
		s->process->failures = s->process->suspects ? 0 : s->process->failures;
		s->process->suspects = false;
	}
	return 0;
}

/* All that it answers fits. */
int
sql_query_most(struct sql *s, struct str statement, size_t max_bytes, struct sql_result *result,
    struct err *err)
{
	(void)max_bytes;
	return sql_query(s, statement, result, err);
}

int
sql_queryf(struct sql *s, struct sql_result *result, struct err *err, const char *format, ...)
{
	struct buf statement = { 0 };
	va_list ap;
	int status;

	va_start(ap, format);
	buf_vprintf(&statement, format, ap);
	va_end(ap);
	status = sql_query(s, (struct str){ statement.data, statement.len }, result, err);
	buf_deinit(&statement);
	return status;
}

/* what session.c is linked with, and nobody calls */

bool
sql_is_mariadb(const struct sql *s)
{
	(void)s;
	return true;
}
