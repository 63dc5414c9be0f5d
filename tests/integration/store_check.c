/*
 * store_check PORT USER PASSWORD DATABASE CHECK: the real MySQL store on a real server, without the
 * rest of sluice.  Writing rows is replaced by one INSERT of the batch's first entry into `rows`,
 * which shows what was committed.  test_store.py starts it.
 */
#include "worker/store/dead_letter.h"
#include "worker/store/ledger.h"
#include "worker/store/order.h"
#include "worker/store/rows.h"
#include "worker/store/session.h"
#include "worker/store/store.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection whose client is gone without the server knowing. */
struct wire {
	int fd;
	int results_until_cut; /* before which result; 0: never */
};

static struct config_source source;
static struct config_table table;
static struct config config;
static enum write_result rows_answer = WRITE_OK;
static const char *rows_refusal;

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

/* --- support --- */

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

static void
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

static uint64_t
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

static void
make_lane(struct lane *lane, const char *name)
{
	*lane = (struct lane){ .source = &source, .lanes_of_source = 2 };
	snprintf(lane->name, sizeof(lane->name), "%s", name);
}

static void
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

static struct ledger_row
look(struct store *store, struct lane *lane)
{
	struct ledger_row row;
	struct err err = { 0 };

	must(store->ops->load(store, lane, false, &row, &err), &err);
	return row;
}

/* One entry per lane, at id 10-0. */
struct small_batch {
	struct batch batch;
	struct batch_lane lanes[2];
	struct entry entries[2];
};

static void
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

static enum write_result
write_batch(struct store *store, struct small_batch *s, struct err *err)
{
	struct write_report report;

	err_clear(err);
	return store->ops->write(store, &s->batch, &report, err);
}

/* --- the checks --- */

struct scene {
	struct wire wire, other_wire;
	struct store *store, *other;
	struct lane a, b;
	struct sql *sql;
	struct err err;
};

static void
set_scene(struct scene *s)
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

static void
a_batch_moves_its_lanes_and_commits_its_rows(struct scene *s)
{
	struct small_batch batch;

	s->a.answered = (struct position){ 5, 7 };
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).position.major == 10);
	CHECK(look(s->store, &s->a).done.minor == 7);
	CHECK(look(s->store, &s->b).position.major == 10);
	CHECK(look(s->store, &s->b).done.major == 6);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 1);
}

static void
one_lane_elsewhere_and_nothing_is_written(struct scene *s)
{
	struct small_batch batch;

	s->b.position.minor = 1;
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_MISMATCH);
	CHECK(look(s->store, &s->a).position.major == 5);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
	s->b.position.minor = 0;
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
}

static void
an_owner_of_yesterday_is_fenced(struct scene *s)
{
	struct small_batch batch;
	struct lane a = s->a, *lane = &s->a;

	adopt(s->other, &a);
	CHECK(a.epoch == s->a.epoch + 1);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_MISMATCH);
	s->a.recording = (struct position){ 5, 1 };
	CHECK(s->store->ops->record(s->store, &lane, 1, &s->err) == WRITE_MISMATCH);
	CHECK(s->store->ops->move(s->store, &s->a, (struct position){ 7, 0 }, &s->err) == -1);
	CHECK(s->store->ops->mark(s->store, &s->a, &s->err) == -1 && s->err.class == ERR_RETRY);
	CHECK(look(s->other, &a).position.major == 5 && look(s->other, &a).done.minor == 0);
	fill(&batch, &a, NULL);
	CHECK(write_batch(s->other, &batch, &s->err) == WRITE_OK);
}

static void
whatever_the_rows_answer_but_ok_leaves_nothing(struct scene *s)
{
	const enum write_result answers[] = { WRITE_LEAVE, WRITE_ONE_BY_ONE, WRITE_SCHEMA,
		WRITE_ERROR };
	struct small_batch batch;

	for (int i = 0; i < 4; i++) {
		rows_answer = answers[i];
		fill(&batch, &s->a, NULL);
		CHECK(write_batch(s->store, &batch, &s->err) == answers[i]);
		CHECK(s->store->ops->is_open(s->store));
		CHECK(look(s->other, &s->a).position.major == 5);
	}
	rows_answer = WRITE_OK;
	s->a.probe = true;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_LEAVE);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
}

static void
a_lane_has_one_owner(struct scene *s)
{
	struct lane *lanes[3] = { &s->a, NULL, &s->b };
	bool owned[3];

	must(s->store->ops->own(s->store, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && !owned[1] && owned[2]);
	must(s->store->ops->own(s->store, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && owned[2]);
	must(s->other->ops->own(s->other, lanes, 3, owned, &s->err), &s->err);
	CHECK(!owned[0] && !owned[2]);
	/* taken twice, given back once */
	must(s->store->ops->disown(s->store, &s->a, &s->err), &s->err);
	must(s->other->ops->own(s->other, lanes, 3, owned, &s->err), &s->err);
	CHECK(owned[0] && !owned[2]);
	must(s->store->ops->ping(s->store, &s->err), &s->err);
}

static void
lanes_of_a_dead_session_are_free(struct scene *s)
{
	struct lane *lanes[1] = { &s->a };
	bool owned = false;

	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	CHECK(owned);
	s->store->ops->free(&s->store);
	owned = false;
	for (int i = 0; i < 500 && !owned; i++) {
		must(s->other->ops->own(s->other, lanes, 1, &owned, &s->err), &s->err);
		poll(NULL, 0, owned ? 0 : 10);
	}
	CHECK(owned);
}

/* The server still executes for a client that is gone: the row is locked until it is killed. */
static void
an_open_transaction_of_the_old_session_is_gone_after_open(struct scene *s)
{
	struct small_batch batch;
	struct lane *lanes[1] = { &s->a };
	bool owned;

	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	s->wire.results_until_cut = 1; /* the compare-and-set's */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR && s->err.class == ERR_RETRY);
	CHECK(!s->store->ops->is_open(s->store));
	must(s->store->ops->open(s->store, &s->err), &s->err);
	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	CHECK(owned);
	CHECK(look(s->store, &s->a).position.major == 5);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
}

static void
a_commit_whose_answer_was_lost_is_found_in_the_ledger(struct scene *s)
{
	struct small_batch batch;

	s->wire.results_until_cut = 3; /* compare-and-set, the row, COMMIT */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR && s->err.class == ERR_RETRY);
	CHECK(!s->store->ops->is_open(s->store));
	must(s->store->ops->open(s->store, &s->err), &s->err);
	CHECK(look(s->store, &s->a).position.major == 10);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 1);
}

static void
a_row_that_is_there_is_not_started_again(struct scene *s)
{
	struct ledger_row row;

	must(s->store->ops->start(s->store, &s->a, (struct position){ 99, 0 }, "other", &s->err),
	    &s->err);
	row = look(s->store, &s->a);
	CHECK(row.position.major == 5 && strcmp(row.identity, "id") == 0 &&
	    row.lanes_of_source == 2);
}

static void
another_number_of_lanes_stays_until_the_lane_moves(struct scene *s)
{
	struct small_batch batch;

	s->a.lanes_of_source = 4;
	adopt(s->other, &s->a);
	CHECK(look(s->store, &s->a).lanes_of_source == 2);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->other, &batch, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).lanes_of_source == 4);
}

static void
done_is_recorded_and_moved(struct scene *s)
{
	struct lane *lanes[2] = { &s->a, &s->b };
	struct ledger_row row;

	s->a.position = (struct position){ 5, 0 };
	must(s->store->ops->move(s->store, &s->a, (struct position){ 8, 2 }, &s->err), &s->err);
	row = look(s->store, &s->a);
	CHECK(row.position.major == 8 && row.position.minor == 2 && row.done.minor == 2);
	adopt(s->store, &s->a);
	s->a.done = (struct position){ 7, 0 };
	s->a.recording = (struct position){ 8, 1 };
	s->b.recording = s->b.done;
	CHECK(s->store->ops->record(s->store, lanes, 2, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).done.minor == 1 && look(s->store, &s->b).done.major == 6);
}

static void
an_order_is_taken_once(struct scene *s)
{
	struct lane *lanes[3] = { NULL, &s->a, &s->b };
	struct lane_order orders[3];
	struct ledger_listed *list;
	size_t count;

	must(ledger_order_write(s->sql, str_of(s->b.name), STR("resume"), &s->err), &s->err);
	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	/* nothing changes, and yet it is there */
	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	CHECK(ledger_order_write(s->sql, STR("nobody"), STR("ack"), &s->err) == -1);
	CHECK(ledger_order_write(s->sql, str_of(s->b.name), STR("dance"), &s->err) == -1);
	must(ledger_list(s->sql, &list, &count, &s->err), &s->err);
	CHECK(count == 2 && strcmp(list[0].name, s->a.name) == 0 &&
	    strcmp(list[1].done, "6-0") == 0);
	CHECK(strcmp(list[1].command, "skip 7-1") == 0 && strstr(list[1].owner, "/0") != NULL);
	free(list);
	must(s->store->ops->orders(s->store, lanes, 3, orders, &s->err), &s->err);
	CHECK(orders[0].kind == ORDER_NONE && orders[1].kind == ORDER_NONE);
	CHECK(orders[2].kind == ORDER_SKIP && orders[2].position.major == 7);
	must(s->store->ops->orders(s->store, lanes, 3, orders, &s->err), &s->err);
	CHECK(orders[2].kind == ORDER_NONE);
	must(s->store->ops->orders(s->store, lanes, 1, orders, &s->err), &s->err);
}

static void
an_order_is_for_the_lanes_owner(struct scene *s)
{
	struct lane *stale[1] = { &s->b };
	struct lane_order order;
	struct lane taken = s->b;
	struct lane *owner[1] = { &taken };
	struct ledger_row row;

	must(ledger_order_write(s->sql, str_of(s->b.name), STR("skip 7-1"), &s->err), &s->err);
	must(s->other->ops->load(s->other, &taken, true, &row, &s->err), &s->err);
	taken.epoch = row.epoch;
	must(s->store->ops->orders(s->store, stale, 1, &order, &s->err), &s->err);
	CHECK(order.kind == ORDER_NOT_OURS);
	must(s->other->ops->orders(s->other, owner, 1, &order, &s->err), &s->err);
	CHECK(order.kind == ORDER_SKIP);
}

static void
marks_outlive_us(struct scene *s)
{
	struct ledger_row row;
	struct lane lost;

	s->a.state = LANE_HALTED;
	s->a.why = LANE_WHY_ON_POISON;
	s->a.alarm = LANE_WHY_GAP;
	must(s->store->ops->mark(s->store, &s->a, &s->err), &s->err);
	row = look(s->other, &s->a);
	CHECK(strcmp(row.halted, LANE_WHY_ON_POISON) == 0 && strcmp(row.alarm, LANE_WHY_GAP) == 0);
	s->a.state = LANE_OPEN;
	s->a.alarm = NULL;
	must(s->store->ops->mark(s->store, &s->a, &s->err), &s->err);
	row = look(s->other, &s->a);
	CHECK(row.halted[0] == '\0' && row.alarm[0] == '\0');

	make_lane(&lost, "p/redis/lost");
	CHECK(!look(s->store, &lost).found);
	lost.state = LANE_HALTED;
	lost.why = LANE_WHY_LEDGER_LOST;
	must(s->store->ops->mark(s->store, &lost, &s->err), &s->err);
	row = look(s->store, &lost);
	CHECK(row.found && strcmp(row.halted, LANE_WHY_LEDGER_LOST) == 0 &&
	    row.position.major == 0);
	must(ledger_order_write(s->sql, str_of(lost.name), STR("resume 4-0"), &s->err), &s->err);
}

static void
a_refused_entry_is_a_letter_in_the_same_transaction(struct scene *s)
{
	struct small_batch batch;

	rows_refusal = REASON_OUT_OF_RANGE;
	fill(&batch, &s->a, NULL);
	rows_answer = WRITE_ERROR;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM sluice_dead_letter") == 0);
	rows_answer = WRITE_OK;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(number_of(s->sql,
		  "SELECT COUNT(*) FROM sluice_dead_letter WHERE reason='out_of_range'"
		  " AND code=1264 AND entry='10-0' AND state='dead'") == 1);
	/* of an earlier try: found anew, or not */
	rows_refusal = NULL;
	fill(&batch, &s->b, NULL);
	batch.entries[0].id.major = 11;
	batch.entries[0].refusal = (struct refusal){
		.reason = REASON_BAD_VALUE, .code = 1366, .text = "", .of_write = true
	};
	batch.batch.refused = 1;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM sluice_dead_letter") == 1);
}

static void
on_poison_halt_takes_the_lane_out(struct scene *s)
{
	struct small_batch batch;

	table.on_poison = ON_POISON_HALT;
	for (int i = 0; i < 2; i++) { /* refused by us: before, by the server: inside */
		fill(&batch, &s->a, &s->b);
		rows_refusal = i == 1 ? REASON_OUT_OF_RANGE : NULL;
		if (i == 0) {
			batch.entries[0].refusal =
			    (struct refusal){ .reason = REASON_NO_KEY, .text = "no key" };
			batch.batch.refused = 1;
		}
		CHECK(write_batch(s->store, &batch, &s->err) == WRITE_LEAVE);
		CHECK(batch.lanes[0].leave_halts && batch.lanes[0].leave_at == &batch.entries[0]);
		CHECK(strcmp(batch.lanes[0].leave_why, LANE_WHY_ON_POISON) == 0);
		CHECK(batch.lanes[1].leave_why == NULL);
		CHECK(look(s->store, &s->a).position.major == 5);
	}
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
}

static void
a_batch_that_writes_nothing_needs_no_transaction(struct scene *s)
{
	struct small_batch batch;

	fill(&batch, &s->a, NULL);
	batch.lanes[0].writes = false;
	s->wire.results_until_cut = 1;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(s->wire.results_until_cut == 1);
}

/* test_store.py puts the chunks together again. */
static void
a_letter_larger_than_a_statement_comes_in_chunks(struct scene *s)
{
	static char large[100000];
	struct field fields[] = { { STR("data"), { { large, sizeof(large) }, VALUE_TEXT } } };
	struct change change = { .op = CHANGE_INCR,
		.table_name = STR("hostile'); DROP TABLE users; --") };
	struct entry entries[2] = { 0 };
	struct batch batch = { .first = &entries[0] };
	unsigned written;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i % 3 == 0 ? '\'' : i % 251);
	for (int i = 0; i < 2; i++)
		entries[i] = (struct entry){ .lane = &s->a,
			.id = { 1, (uint64_t)i },
			.raw = fields,
			.raw_count = 1,
			.changes = &change,
			.change_count = 1,
			.refusal = { REASON_BAD_VALUE, 0, "caf\xc3\xa9" } };
	entries[0].next_kept = &entries[1];
	entries[1].refusal.text = "cut in two: \xc3";
	entries[1].raw_count = 0;
	must(dead_letter_write(s->sql, &batch, 20000, &written, &s->err), &s->err);
	CHECK(written == 2);
	must(session_commit(s->sql, &s->err), &s->err);
}

static void
a_read_only_server_is_left(struct scene *s)
{
	struct small_batch batch;

	printf("ready\n");
	fflush(stdout);
	CHECK(getchar() == '\n'); /* test_store.py has set it read-only */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR);
	CHECK(s->err.class == ERR_RETRY && !s->store->ops->is_open(s->store));
}

static void
opens(struct scene *s)
{
	(void)s;
}

static const struct check {
	const char *name;
	void (*run)(struct scene *s);
} checks[] = {
#define A_CHECK(name) { #name, name }
	A_CHECK(a_batch_moves_its_lanes_and_commits_its_rows),
	A_CHECK(one_lane_elsewhere_and_nothing_is_written),
	A_CHECK(an_owner_of_yesterday_is_fenced),
	A_CHECK(whatever_the_rows_answer_but_ok_leaves_nothing),
	A_CHECK(a_lane_has_one_owner),
	A_CHECK(lanes_of_a_dead_session_are_free),
	A_CHECK(an_open_transaction_of_the_old_session_is_gone_after_open),
	A_CHECK(a_commit_whose_answer_was_lost_is_found_in_the_ledger),
	A_CHECK(a_row_that_is_there_is_not_started_again),
	A_CHECK(another_number_of_lanes_stays_until_the_lane_moves),
	A_CHECK(done_is_recorded_and_moved),
	A_CHECK(an_order_is_taken_once),
	A_CHECK(an_order_is_for_the_lanes_owner),
	A_CHECK(marks_outlive_us),
	A_CHECK(a_refused_entry_is_a_letter_in_the_same_transaction),
	A_CHECK(on_poison_halt_takes_the_lane_out),
	A_CHECK(a_batch_that_writes_nothing_needs_no_transaction),
	A_CHECK(a_letter_larger_than_a_statement_comes_in_chunks),
	A_CHECK(a_read_only_server_is_left),
	A_CHECK(opens),
};

static void
configure(char **argv)
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

int
main(int argc, char **argv)
{
	struct scene s;

	if (argc != 6)
		return 2;
	configure(argv);
	sql_library_init();
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (strcmp(checks[i].name, argv[5]) != 0)
			continue;
		set_scene(&s);
		checks[i].run(&s);
		if (s.store != NULL)
			s.store->ops->free(&s.store);
		s.other->ops->free(&s.other);
		sql_free(&s.sql);
		return 0;
	}
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && strcmp(argv[5], "list") == 0;
	    i++)
		printf("%s\n", checks[i].name);
	return strcmp(argv[5], "list") == 0 ? 0 : 2;
}
