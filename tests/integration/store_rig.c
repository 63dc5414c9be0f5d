#include "tests/integration/store_rig.h"

#include "worker/store/rows.h"
#include "worker/store/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum write_result rows_answer = WRITE_OK;
const char *rows_refusal;
struct config_table table;

static struct config_source source;
static struct config config;

/* --- instead of rows.c --- */

void
rows_prepare(struct batch *batch, const struct rows_limits *limits, bool mariadb)
{
	(void)batch, (void)limits, (void)mariadb;
}

void
rows_forget(struct batch *batch)
{
	(void)batch;
}

enum write_result
rows_probe(struct sql *sql, struct batch *batch, const struct rows_limits *limits, struct err *err)
{
	(void)sql, (void)batch, (void)limits, (void)err;
	return WRITE_LEAVE;
}

enum write_result
rows_write(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct write_report *report, struct err *err)
{
	(void)limits, (void)report;
	if (sql_queryf(sql, NULL, err, "INSERT INTO `rows` (id) VALUES (%llu)",
		(unsigned long long)batch->first->id.major) != 0)
		return WRITE_ERROR;
	if (rows_refusal != NULL) {
		batch->first->refusal = (struct refusal){ .reason = rows_refusal,
			.code = 1264,
			.text = "Out of range",
			.of_write = true };
		batch->refused++;
	}
	return rows_answer;
}

enum write_result
rows_write_letters(struct sql *sql, struct batch *batch, const struct rows_limits *limits,
    struct write_report *report, struct err *err)
{
	(void)sql, (void)batch, (void)limits, (void)report, (void)err;
	return WRITE_OK;
}

/* --- servers --- */

/* The server keeps what was the connection, and neither the library's last words nor the end of our
 * socket reach it: a host that lost its power. */
static void
cut(struct wire *wire)
{
	int pair[2];

	CHECK(dup(wire->fd) >= 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(dup2(pair[0], wire->fd) == wire->fd);
	close(pair[0]);
}

static int
wait_or_cut(void *arg, int fd, int timeout_ms)
{
	struct wire *wire = arg;
	struct pollfd socket = { .fd = fd, .events = POLLIN };
	int ready = poll(&socket, 1, timeout_ms);

	wire->fd = fd;
	if (wire->results_until_cut == 0 || --wire->results_until_cut > 0)
		return ready;
	cut(wire);
	return -1;
}

static struct store *
new_store(int worker, struct wire *wire)
{
	return mysql_store_new(&config, worker, wait_or_cut, wire);
}

void
must(int status, const struct err *err)
{
	if (status == 0)
		return;
	fprintf(stderr, "failed: %s (class %s, code %d)\n", err->text, err_class_name(err->class),
	    err->code);
	exit(1);
}

static const char *
password(void *arg)
{
	(void)arg;
	return config.mysql.password.written;
}

static struct sql *
new_sql(void)
{
	static struct sql_options options;
	struct session_facts facts;
	struct err err = { 0 };
	struct sql *sql;

	options = (struct sql_options){ .host = config.mysql.host,
		.port = config.mysql.port,
		.user = config.mysql.user,
		.password = password,
		.database = config.mysql.database,
		.connect_timeout_ms = 5000,
		.timeout_ms = 10000 };
	sql = sql_new(&options);
	must(sql_open(sql, &err), &err);
	must(session_prepare(sql, 2000, &facts, &err), &err);
	return sql;
}

uint64_t
number_of(struct sql *sql, const char *select)
{
	struct sql_result result;
	struct err err = { 0 };
	uint64_t n;

	must(sql_query(sql, str_of(select), &result, &err), &err);
	n = strtoull(sql_cell(&result, 0, 0).data, NULL, 10);
	sql_result_free(&result);
	session_rollback(sql);
	return n;
}

void
make_lane(struct lane *lane, const char *name)
{
	*lane = (struct lane){ .source = &source, .lanes_of_source = 2 };
	snprintf(lane->name, sizeof(lane->name), "%s", name);
}

void
adopt(struct store *store, struct lane *lane)
{
	struct ledger_row row;
	struct err err = { 0 };

	must(store->ops->load(store, lane, true, &row, &err), &err);
	CHECK(row.found);
	lane->epoch = row.epoch;
	lane->position = row.position;
	lane->done = lane->answered = row.done;
}

static void
start(struct store *store, struct lane *lane, uint64_t major)
{
	struct err err = { 0 };

	must(store->ops->start(store, lane, (struct position){ major, 0 }, "id", &err), &err);
	adopt(store, lane);
}

struct ledger_row
look(struct store *store, struct lane *lane)
{
	struct ledger_row row;
	struct err err = { 0 };

	must(store->ops->load(store, lane, false, &row, &err), &err);
	return row;
}

void
fill(struct small_batch *s, struct lane *a, struct lane *b)
{
	struct lane *lanes[2] = { a, b };

	*s = (struct small_batch){ 0 };
	for (int i = 0; i < 2 && lanes[i] != NULL; i++) {
		s->entries[i] = (struct entry){ .lane = lanes[i], .id = { 10, 0 } };
		s->lanes[i] = (struct batch_lane){ .lane = lanes[i],
			.from = lanes[i]->position,
			.to = { 10, 0 },
			.done = lanes[i]->answered,
			.writes = true };
		/* lanes in the reverse order of their names */
		s->lanes[i].next = s->batch.lanes;
		s->batch.lanes = &s->lanes[i];
	}
	s->batch.first = &s->entries[0];
	if (b != NULL)
		s->entries[0].next_kept = &s->entries[1];
}

enum write_result
write_batch(struct store *store, struct small_batch *s, struct err *err)
{
	struct write_report report;

	err_clear(err);
	return store->ops->write(store, &s->batch, &report, err);
}

/* --- the scene --- */

void
scene_configure(char **argv)
{
	static const char *streams[] = { "a", "b", "lost" };

	source = (struct config_source){
		.written = "a", .streams = streams, .stream_count = 3, .table = "t"
	};
	table = (struct config_table){ .name = "t" };
	config = (struct config){ .pool = "p",
		.group = "sluice-p",
		.sources = &source,
		.source_count = 1,
		.tables = &table,
		.table_count = 1,
		.batch_max_rows = 100,
		.lock_wait_ms = 1500,
		.create_tables = true,
		.mysql = { .host = "127.0.0.1",
		    .port = atoi(argv[1]),
		    .user = argv[2],
		    .password = { argv[3] },
		    .database = argv[4],
		    .connect_timeout_ms = 5000,
		    .timeout_ms = 10000 } };
}

void
scene_open(struct scene *s)
{
	*s = (struct scene){ 0 };
	s->store = new_store(0, &s->wire);
	s->other = new_store(1, &s->other_wire);
	must(s->store->ops->open(s->store, &s->err), &s->err);
	must(s->other->ops->open(s->other, &s->err), &s->err);
	make_lane(&s->a, "p/redis/a'\\");
	make_lane(&s->b, "p/redis/b");
	start(s->store, &s->a, 5);
	start(s->store, &s->b, 6);
	s->sql = new_sql();
}

void
scene_close(struct scene *s)
{
	if (s->store != NULL)
		s->store->ops->free(&s->store);
	s->other->ops->free(&s->other);
	sql_free(&s->sql);
}
