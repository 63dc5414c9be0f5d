#include "worker/store/mysql_store.h"

#include "common/log.h"
#include "worker/store/own_tables.h"
#include "worker/store/type_board.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	STATEMENT_ROWS_MAX = 1000,
	MEMORY_PART = 8,     /* of the rows that are read back: a part of `memory` */
	PACKET_SPARE = 1024, /* what the protocol puts around a statement */
	PACKET_MIN = 64 << 10,
};

static const char *
read_password(void *arg)
{
	struct mysql_store *m = arg;

	return config_secret(&m->config->mysql.password, &m->password);
}

/* --- the session --- */

static void
take_facts(struct mysql_store *m, const struct session_facts *facts)
{
	uint64_t packet = facts->packet_max;

	/* the smallest that MySQL allows is 1 KiB; nobody's table is written with that */
	if (packet < PACKET_MIN)
		packet = PACKET_MIN;
	m->limits.bytes_max = (size_t)packet - PACKET_SPARE;
	bool beats = facts->wait_timeout_s != SESSION_WAIT_TIMEOUT_S;

	if (beats && !m->membership.beats)
		log_event(LOG_WARN, "heartbeat_ownership", "worker", "%d", m->worker,
		    "wait_timeout", "%llu", (unsigned long long)facts->wait_timeout_s, "why", "%s",
		    "something between us and the server swallowed our wait_timeout", "next", "%s",
		    "lanes are owned by a heartbeat in sluice_worker", NULL);
	membership_connected(&m->membership, beats);
}

/* Once a table, however often the schema is loaded: all workers see the same. */
static void
warn_hidden(struct mysql_store *m)
{
	size_t count;
	const struct table *tables = schema_tables(m->schema, &count);

	for (size_t i = 0; i < count && m->worker == 0; i++) {
		bool hidden = tables[i].hidden_grant != NULL;

		if (hidden && !m->warned[i])
			log_event(LOG_WARN, "table_not_folded", "table", "%s", tables[i].name,
			    "error", "%s",
			    "a part of its definition is hidden from this account; its changes are "
			    "written one by one, in order",
			    "next", "%s", tables[i].hidden_grant, NULL);
		m->warned[i] = hidden;
	}
}

static int
load_schema(struct mysql_store *m, struct err *err)
{
	const struct table *tables;
	size_t count;

	if (schema_load(m->schema, m->sql, err) != 0)
		return -1;
	warn_hidden(m);
	tables = schema_tables(m->schema, &count);
	type_board_post(tables, count);
	return 0;
}

/* The old session first: until it is gone, nothing read from the ledger is the last word. */
static int
mysql_open(struct store *store, struct err *err)
{
	struct mysql_store *m = mysql_of(store);
	struct session_facts facts;

	sql_close(m->sql);
	if (sql_open(m->sql, err) != 0)
		return -1;
	if (session_settle(m->sql, m->session_lock, err) != 0)
		goto fail;
	if (session_prepare(m->sql, m->config->lock_wait_ms, &facts, err) != 0)
		goto fail;
	take_facts(m, &facts);
	if (own_tables_open(m->sql, m->config->create_tables, err) != 0)
		goto fail;
	if (!schema_loaded(m->schema) && load_schema(m, err) != 0)
		goto fail;
	return 0;
fail:
	sql_close(m->sql);
	return -1;
}

static bool
mysql_is_open(const struct store *store)
{
	return sql_is_open(((const struct mysql_store *)store)->sql);
}

static int
mysql_ping(struct store *store, struct err *err)
{
	return session_query(mysql_of(store)->sql, STR("DO 0"), NULL, err);
}

static struct schema *
mysql_schema(struct store *store)
{
	return mysql_of(store)->schema;
}

static int
mysql_load_schema(struct store *store, struct err *err)
{
	return load_schema(mysql_of(store), err);
}

static int
mysql_look_schema(struct store *store, bool *changed, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return schema_look(m->schema, m->sql, changed, err);
}

/* --- the store --- */

static void
mysql_free(struct store **store)
{
	struct mysql_store *m;

	if (*store == NULL)
		return;
	m = mysql_of(*store);
	schema_free(&m->schema);
	sql_free(&m->sql);
	buf_deinit(&m->password);
	membership_deinit(&m->membership);
	free(m->steps);
	free(m->warned);
	free(m);
	*store = NULL;
}

static const struct store_ops mysql_ops = {
	.open = mysql_open,
	.is_open = mysql_is_open,
	.ping = mysql_ping,
	.schema = mysql_schema,
	.load_schema = mysql_load_schema,
	.look_schema = mysql_look_schema,
	.join = mysql_join,
	.leave = mysql_leave,
	.members = mysql_members,
	.sweep = mysql_sweep,
	.unowned = mysql_unowned,
	.own = mysql_own,
	.disown = mysql_disown,
	.load = mysql_load,
	.start = mysql_start,
	.parked_load = mysql_parked_load,
	.letters_due = mysql_letters_due,
	.letters_next = mysql_letters_next,
	.letters_read = mysql_letters_read,
	.letters_write = mysql_letters_write,
	.letters_close = mysql_letters_close,
	.letters_count = mysql_letters_count,
	.orders = mysql_orders,
	.move = mysql_move,
	.identify = mysql_identify,
	.mark = mysql_mark,
	.record = mysql_record,
	.list = mysql_list,
	.recount = mysql_recount,
	.prepare = mysql_prepare,
	.forget = mysql_forget,
	.recall = mysql_recall,
	.outbox_count = mysql_outbox_count,
	.write = mysql_write,
	.letters = mysql_letters,
	.free = mysql_free,
};

static void
set_options(struct mysql_store *m)
{
	const struct config_mysql *c = &m->config->mysql;

	m->options = (struct sql_options){
		.host = c->host,
		.port = c->port,
		.socket = c->socket,
		.user = c->user,
		.password = c->password.written != NULL ? read_password : NULL,
		.password_arg = m,
		.database = c->database,
		.connect_timeout_ms = c->connect_timeout_ms,
		.timeout_ms = c->timeout_ms,
	};
}

static void
set_limits(struct mysql_store *m)
{
	const struct config *c = m->config;

	m->limits = (struct rows_limits){
		.rows_max = (unsigned)(c->batch_max_rows < STATEMENT_ROWS_MAX ? c->batch_max_rows :
										STATEMENT_ROWS_MAX),
		.now_bytes_max = (size_t)(c->batch_max_bytes < c->memory_bytes / MEMORY_PART ?
			c->batch_max_bytes :
			c->memory_bytes / MEMORY_PART),
		.lock_wait_ms = c->lock_wait_ms,
		.foreign_key_wait_ms = c->foreign_key_wait_ms,
		.table_count = c->table_count,
		.config = c,
	};
}

struct store *
mysql_store_new(const struct config *config, int worker, sql_wait *wait, void *wait_arg)
{
	struct mysql_store *m = calloc(1, sizeof(*m));

	CHECK(m != NULL);
	m->store.ops = &mysql_ops;
	m->config = config;
	m->worker = worker;
	buf_init(&m->password);
	set_options(m);
	set_limits(m);
	session_lock_name(m->session_lock);
	membership_init(&m->membership, config, worker, m->session_lock);
	m->steps_max = config_lane_count(config) + WORKER_LANES_MAX;
	m->steps = calloc(m->steps_max + 1, sizeof(*m->steps));
	m->warned = calloc(config->table_count + 1, sizeof(*m->warned));
	CHECK(m->steps != NULL && m->warned != NULL);
	m->sql = sql_new(&m->options);
	sql_set_wait(m->sql, wait, wait_arg);
	m->schema = schema_new(config);
	return &m->store;
}
