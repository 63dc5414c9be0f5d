/*
 * bare_writer PORT DATABASE KIND COUNT CONNECTIONS ROWS [SECONDS]
 *
 * What MySQL itself allows: COUNT changes of one kind (rows.h), ROWS of them to a statement of the form
 * that sluice uses, each statement a transaction; no Redis, no ledger, nothing to decode.  Connection
 * c writes the changes of the lanes that a worker would have.  ROWS 1 is an INSERT per write with
 * autocommit, as an app without write-behind does it.  Stops after SECONDS.
 * The password is in MYSQL_PWD.  Prints: changes seconds cpu_seconds
 */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "tests/bench/rows.h"

#include <mysql.h>
#include <pthread.h>
#include <sys/resource.h>

enum { CONNECTIONS_MAX = 16 };

struct bare {
	/* set before start */
	int port;
	const char *database;
	unsigned connection, connections, per_statement;
	int64_t stop_ms; /* 0: never */
	const struct rows *rows;
	pthread_barrier_t *ready;

	/* its thread only, until joined */
	MYSQL *mysql;
	struct buf text;
	uint64_t written;
};

static void
die(struct bare *b)
{
	fprintf(stderr, "bare_writer: %s\n", mysql_error(b->mysql));
	exit(1);
}

static void
query(struct bare *b, struct str text)
{
	if (mysql_real_query(b->mysql, text.data, (unsigned long)text.len) != 0)
		die(b);
}

static void
add_row(struct bare *b, const struct row *row)
{
	buf_add_char(&b->text, '(');
	buf_add_u64(&b->text, row->id);
	for (unsigned i = 0; i < row->count; i++) {
		const struct row_column *column = &row->columns[i];

		buf_add_str(&b->text, column->is_number ? "," : ",'");
		buf_add(&b->text, column->value.data, column->value.len);
		if (!column->is_number)
			buf_add_char(&b->text, '\'');
	}
	buf_add_char(&b->text, ')');
}

static void
add_head(struct bare *b, const struct row *row)
{
	if (b->rows->kind == ROW_PARTIAL) {
		buf_add_str(&b->text, "UPDATE (WITH v(k0,c0) AS (VALUES ");
		return;
	}
	buf_printf(&b->text, "INSERT INTO t (id");
	for (unsigned i = 0; i < row->count; i++)
		buf_printf(&b->text, ",%s", row->columns[i].name);
	buf_add_str(&b->text, ") VALUES ");
}

static void
add_tail(struct bare *b, const struct row *row)
{
	if (b->rows->kind == ROW_PARTIAL) {
		buf_add_str(&b->text,
		    ") SELECT * FROM v) v STRAIGHT_JOIN t ON t.id=v.k0"
		    " SET t.email=v.c0");
		return;
	}
	buf_add_str(&b->text, " ON DUPLICATE KEY UPDATE ");
	for (unsigned i = 0; i < row->count; i++) {
		const char *name = row->columns[i].name;

		if (b->rows->kind == ROW_INCR)
			buf_printf(&b->text, "%s=COALESCE(t.%s,0)+VALUES(%s),", name, name, name);
		else
			buf_printf(&b->text, "%s=VALUES(%s),", name, name);
	}
	b->text.len--;
}

static int
compare_rows(const void *left, const void *right)
{
	uint64_t a = (*(const struct row *const *)left)->id;
	uint64_t b = (*(const struct row *const *)right)->id;

	return a < b ? -1 : a > b;
}

/* In the order of the key, as anybody must who wants no deadlocks. */
static void
write_rows(struct bare *b, const struct row **rows, unsigned count)
{
	qsort(rows, count, sizeof(*rows), compare_rows);
	buf_reset(&b->text);
	add_head(b, rows[0]);
	for (unsigned i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(&b->text, ',');
		add_row(b, rows[i]);
	}
	add_tail(b, rows[0]);
	query(b, (struct str){ b->text.data, b->text.len });
	if (b->per_statement > 1)
		query(b, STR("COMMIT"));
	b->written += count;
}

static void
connect_to(struct bare *b)
{
	b->mysql = mysql_init(NULL);
	CHECK(b->mysql != NULL);
	if (mysql_real_connect(b->mysql, "127.0.0.1", "app", getenv("MYSQL_PWD"), b->database,
		(unsigned)b->port, NULL, 0) == NULL)
		die(b);
	query(b, STR("SET NAMES utf8mb4"));
	query(b, STR("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"));
	mysql_autocommit(b->mysql, b->per_statement == 1);
}

static void *
write_all(void *arg)
{
	struct bare *b = arg;
	struct row *rows = calloc(b->per_statement, sizeof(*rows));
	const struct row **sorted = calloc(b->per_statement, sizeof(*sorted));
	unsigned count = 0;

	CHECK(rows != NULL && sorted != NULL);
	mysql_thread_init();
	connect_to(b);
	pthread_barrier_wait(b->ready);
	for (uint64_t n = 0; n < b->rows->count; n++) {
		row_make(b->rows, n, &rows[count]);
		if (rows[count].id % b->connections != b->connection)
			continue;
		sorted[count] = &rows[count];
		if (++count < b->per_statement)
			continue;
		write_rows(b, sorted, count);
		count = 0;
		if (b->stop_ms != 0 && clock_ms() >= b->stop_ms)
			break;
	}
	if (count > 0)
		write_rows(b, sorted, count);
	mysql_close(b->mysql);
	mysql_thread_end();
	buf_deinit(&b->text);
	free(sorted);
	free(rows);
	return NULL;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
run(struct bare *bare, unsigned connections)
{
	pthread_t threads[CONNECTIONS_MAX];
	pthread_barrier_t ready;
	uint64_t written = 0;
	int64_t start_us;

	pthread_barrier_init(&ready, NULL, connections + 1);
	for (unsigned i = 0; i < connections; i++) {
		bare[i].ready = &ready;
		CHECK(pthread_create(&threads[i], NULL, write_all, &bare[i]) == 0);
	}
	pthread_barrier_wait(&ready);
	start_us = clock_us();
	for (unsigned i = 0; i < connections; i++) {
		pthread_join(threads[i], NULL);
		written += bare[i].written;
	}
	printf("%llu %.6f %.6f\n", (unsigned long long)written,
	    (double)(clock_us() - start_us) / 1e6, cpu_seconds());
	pthread_barrier_destroy(&ready);
}

int
main(int argc, char **argv)
{
	static struct bare bare[CONNECTIONS_MAX];
	static struct rows rows;
	enum row_kind kind;
	unsigned connections = argc > 5 ? (unsigned)atoi(argv[5]) : 0;

	if (argc < 7 || !row_kind_parse(argv[3], &kind) || kind == ROW_ZIPF ||
	    kind == ROW_VERSIONED || atoll(argv[4]) < 1 || connections < 1 ||
	    connections > CONNECTIONS_MAX || atoi(argv[6]) < 1) {
		fprintf(stderr,
		    "usage: bare_writer PORT DATABASE KIND COUNT CONNECTIONS ROWS [SECONDS]\n");
		return 2;
	}
	CHECK(mysql_library_init(0, NULL, NULL) == 0);
	rows_init(&rows, kind, (uint64_t)atoll(argv[4]));
	for (unsigned i = 0; i < connections; i++) {
		bare[i] = (struct bare){ .port = atoi(argv[1]),
			.database = argv[2],
			.connection = i,
			.connections = connections,
			.per_statement = (unsigned)atoi(argv[6]),
			.rows = &rows };
		if (argc > 7)
			bare[i].stop_ms = clock_ms() + 1000 * (int64_t)atoi(argv[7]);
		buf_init(&bare[i].text);
	}
	run(bare, connections);
	return 0;
}
