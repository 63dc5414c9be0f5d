#include "worker/store/store.h"

#include "common/log.h"
#include "worker/store/dead_letter.h"
#include "worker/store/ledger.h"
#include "worker/store/letter_replay.h"
#include "worker/store/member.h"
#include "worker/store/order.h"
#include "worker/store/own_tables.h"
#include "worker/store/rows.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	STATEMENT_ROWS_MAX = 1000,
	PACKET_SPARE = 1024, /* what the protocol puts around a statement */
	PACKET_MIN = 64 << 10,
	NO_SUCH_TABLE = 1146,
};

struct mysql_store {
	struct store store; /* first: a struct store * is one of these */
	const struct config *config;
	int worker;
	struct sql_options options;
	struct buf password;
	struct sql *sql;
	struct schema *schema;
	struct rows_limits limits; /* bytes_max 0: never opened */
	struct ledger_step *steps; /* room for every lane of the process */
	size_t steps_max;
	bool *warned; /* by place in config->tables */
	char session_lock[SESSION_LOCK_MAX];
	struct membership membership;
};

static struct mysql_store *
mysql_of(struct store *store)
{
	return (struct mysql_store *)store;
}

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
	if (session_end(m->sql, schema_load(m->schema, m->sql, err), err) != 0)
		return -1;
	warn_hidden(m);
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

	return session_end(m->sql, schema_look(m->schema, m->sql, changed, err), err);
}

/* --- the pool --- */

static int
mysql_join(struct store *store, unsigned lanes, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_join(&m->membership, m->sql, lanes, err);
}

static int
mysql_leave(struct store *store, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_leave(&m->membership, m->sql, err);
}

static int
mysql_members(struct store *store, struct pool_view *view, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	if (membership_look(&m->membership, m->sql, err) != 0)
		return -1;
	*view = (struct pool_view){ .members = m->membership.list,
		.count = m->membership.count,
		.dead = m->membership.dead_count };
	return 0;
}

static int
mysql_sweep(struct store *store, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_sweep(&m->membership, m->sql, err);
}

static int
mysql_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_unowned(&m->membership, m->sql, lanes, count, unowned, err);
}

/* --- lanes --- */

static int
mysql_own(struct store *store, struct lane **lanes, size_t count, bool *owned, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_own(&m->membership, m->sql, lanes, count, owned, err);
}

/* A session that is gone took its locks with it. */
static int
mysql_disown(struct store *store, struct lane *lane, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	if (!sql_is_open(m->sql))
		return 0;
	return membership_disown(&m->membership, m->sql, lane, err);
}

static int
mysql_load(struct store *store, struct lane *lane, bool raise, struct ledger_row *row,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return ledger_load(m->sql, lane, raise ? m->membership.name : NULL, row, err);
}

static int
mysql_start(struct store *store, struct lane *lane, struct position start, const char *identity,
    struct err *err)
{
	return ledger_start(mysql_of(store)->sql, lane, start, identity, err);
}

static int
mysql_parked_load(struct store *store, struct lane *lane, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return session_end(m->sql, letter_parked_read(m->sql, lane->name, &lane->parked, err), err);
}

/* --- letters --- */

static int
mysql_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err)
{
	return letters_due(mysql_of(store)->sql, lanes, count, applied, due, err);
}

static int
mysql_letters_next(struct store *store, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err)
{
	return letters_next(mysql_of(store)->sql, lane, after, list, err);
}

static int
mysql_letters_read(struct store *store, struct letter_list *list, struct err *err)
{
	return letters_read(mysql_of(store)->sql, list, err);
}

static int
mysql_letters_close(struct store *store, const struct letter_list *list, struct err *err)
{
	return letters_close(mysql_of(store)->sql, list, err);
}

static int
mysql_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err)
{
	return letters_count(mysql_of(store)->sql, lanes, count, counts, counted, err);
}

static enum write_result
mysql_letters_write(struct store *store, struct lane *lane, struct letter_list *list,
    struct batch *batch, bool closes, struct write_report *report, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return letters_write(m->sql, lane, list, batch, &m->limits, closes, report, err);
}

static int
mysql_orders(struct store *store, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	if (ledger_orders_take(m->sql, lanes, count, orders, err) == 0)
		return 0;
	/* the ledger is gone: the next session makes it again, and its lanes halt */
	if (err->code == NO_SUCH_TABLE)
		sql_close(m->sql);
	return -1;
}

static int
mysql_mark(struct store *store, struct lane *lane, struct err *err)
{
	return ledger_mark(mysql_of(store)->sql, lane, err);
}

/* A transaction of nothing but ledger rows. */
static enum write_result
advance_alone(struct mysql_store *m, struct ledger_step *steps, size_t count, struct err *err)
{
	enum write_result result = ledger_advance(m->sql, steps, count, err);

	if (result != WRITE_OK) {
		session_rollback(m->sql);
		return result;
	}
	return session_commit(m->sql, err) == 0 ? WRITE_OK : WRITE_ERROR;
}

static int
mysql_move(struct store *store, struct lane *lane, struct position to, struct err *err)
{
	struct ledger_step step = { .lane = lane, .from = lane->position, .to = to, .done = to };

	if (position_compare(lane->answered, lane->position) < 0 &&
	    position_compare(lane->answered, to) < 0)
		step.done = lane->answered;

	switch (advance_alone(mysql_of(store), &step, 1, err)) {
	case WRITE_OK:
		return 0;
	case WRITE_MISMATCH:
		return err_set(err, ERR_RETRY, 0, "the lane's ledger row is not where we left it");
	case WRITE_LEAVE:
	case WRITE_ONE_BY_ONE:
	case WRITE_SCHEMA:
	case WRITE_ERROR:
		break;
	}
	return -1;
}

static enum write_result
mysql_record(struct store *store, struct lane **lanes, size_t count, struct err *err)
{
	struct mysql_store *m = mysql_of(store);
	size_t steps = 0;

	for (size_t i = 0; i < count; i++) {
		const struct lane *lane = lanes[i];

		if (lane == NULL ||
		    (position_compare(lane->recording, lane->done) <= 0 &&
			!lane->checkpoints.changed))
			continue;
		CHECK(steps < m->steps_max);
		m->steps[steps++] = (struct ledger_step){ .lane = lane,
			.from = lane->position,
			.to = lane->position,
			.done = lane->recording };
	}
	return steps > 0 ? advance_alone(m, m->steps, steps, err) : WRITE_OK;
}

static int
mysql_list(struct store *store, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err)
{
	return ledger_places(mysql_of(store)->sql, prefix, list, count, err);
}

static int
mysql_recount(struct store *store, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err)
{
	return ledger_recount(mysql_of(store)->sql, places, count, lanes_of_source, err);
}

/* --- a batch --- */

static void
mysql_prepare(struct store *store, struct batch *batch)
{
	struct mysql_store *m = mysql_of(store);

	if (m->limits.bytes_max > 0)
		rows_prepare(batch, &m->limits, sql_is_mariadb(m->sql));
}

static void
mysql_forget(struct store *store, struct batch *batch)
{
	(void)store;
	rows_forget(batch);
}

static size_t
take_steps(struct mysql_store *m, const struct batch *batch)
{
	size_t steps = 0;

	for (const struct batch_lane *l = batch->lanes; l != NULL; l = l->next) {
		if (!l->writes)
			continue;
		CHECK(steps < m->steps_max);
		m->steps[steps++] = (struct ledger_step){ .lane = l->lane,
			.from = l->from,
			.to = l->to,
			.done = l->done,
			.last = { l->to, l->last_hash } };
	}
	return steps;
}

static bool
table_halts(const struct mysql_store *m, struct str name)
{
	const struct config_table *table = name.len > 0 ? config_table(m->config, name) : NULL;

	return table != NULL && table->on_poison == ON_POISON_HALT;
}

/* An entry that couldn't be decoded counts for its source's table. */
static bool
halts_on_poison(const struct mysql_store *m, const struct entry *entry)
{
	const struct config_source *source = entry->lane->source;
	struct str of_source = str_of(source != NULL ? source->table : NULL);

	for (size_t i = 0; i < entry->change_count; i++) {
		struct str name = entry->changes[i].table_name;

		if (table_halts(m, name.len > 0 ? name : of_source))
			return true;
	}
	return entry->change_count == 0 && table_halts(m, of_source);
}

/* Lanes whose first dead letter halts them.  True when there is one. */
static bool
mark_halting(const struct mysql_store *m, struct batch *batch)
{
	bool any = false;

	if (batch->refused == 0)
		return false;
	for (struct entry *entry = batch->first; entry != NULL; entry = entry->next_kept) {
		struct batch_lane *l;

		if (entry->refusal.reason == NULL || entry->done_before || entry_is_parked(entry) ||
		    !halts_on_poison(m, entry))
			continue;
		l = batch_lane_find(batch, entry->lane);
		if (l == NULL || l->leave_why != NULL)
			continue;
		l->leave_why = LANE_WHY_ON_POISON;
		l->leave_at = entry;
		l->leave_halts = true;
		any = true;
	}
	return any;
}

static bool
wants_probe(const struct batch *batch)
{
	for (const struct batch_lane *l = batch->lanes; l != NULL; l = l->next) {
		if (l->writes && l->lane->probe)
			return true;
	}
	return false;
}

/* A lane is back that was locked: if it still is, the others must not wait for that once more. */
static enum write_result
write_probing(struct mysql_store *m, struct batch *batch, struct write_report *report,
    struct err *err)
{
	enum write_result result;

	if (session_lock_wait(m->sql, 0, err) != 0)
		return WRITE_ERROR;
	result = rows_probe(m->sql, batch, &m->limits, err);
	if (result == WRITE_OK)
		result = rows_write(m->sql, batch, &m->limits, report, err);
	if (sql_is_open(m->sql) && session_lock_wait(m->sql, m->config->lock_wait_ms, err) != 0)
		return WRITE_ERROR;
	return result;
}

/* Everything between the transaction's beginning and its COMMIT. */
static enum write_result
write_open(struct mysql_store *m, struct batch *batch, size_t steps, struct write_report *report,
    struct err *err)
{
	enum write_result result = ledger_advance(m->sql, m->steps, steps, err);

	if (result == WRITE_OK && wants_probe(batch))
		result = write_probing(m, batch, report, err);
	else if (result == WRITE_OK)
		result = rows_write(m->sql, batch, &m->limits, report, err);
	if (result != WRITE_OK)
		return result;
	if (batch->refused == 0)
		return WRITE_OK;
	if (mark_halting(m, batch) || batch_check_poison(batch, m->config->poison_rate) ||
	    batch_check_parked(batch, m->config->max_parked))
		return WRITE_LEAVE;
	if (dead_letter_write(m->sql, batch, m->limits.bytes_max, &report->dead, err) != 0)
		return WRITE_ERROR;
	return WRITE_OK;
}

static enum write_result
mysql_write(struct store *store, struct batch *batch, struct write_report *report, struct err *err)
{
	struct mysql_store *m = mysql_of(store);
	enum write_result result;
	size_t steps;

	*report = (struct write_report){ 0 };
	batch_forget_tries(batch);
	if (mark_halting(m, batch))
		return WRITE_LEAVE;
	steps = take_steps(m, batch);
	if (steps == 0)
		return WRITE_OK;
	result = write_open(m, batch, steps, report, err);
	if (result != WRITE_OK) {
		session_rollback(m->sql);
		return result;
	}
	return session_commit(m->sql, err) == 0 ? WRITE_OK : WRITE_ERROR;
}

/* The letters' transaction begins as a batch's: with a compare-and-set, here of a lane that stays. */
static enum write_result
mysql_letters(struct store *store, struct lane *lane, struct entry *first, struct err *err)
{
	struct mysql_store *m = mysql_of(store);
	struct batch batch = { .first = first };
	struct ledger_step step = {
		.lane = lane, .from = lane->position, .to = lane->position, .done = lane->done
	};
	enum write_result result = ledger_advance(m->sql, &step, 1, err);
	unsigned written;

	if (result == WRITE_OK &&
	    dead_letter_write(m->sql, &batch, m->limits.bytes_max, &written, err) != 0)
		result = WRITE_ERROR;
	if (result != WRITE_OK) {
		session_rollback(m->sql);
		return result;
	}
	return session_commit(m->sql, err) == 0 ? WRITE_OK : WRITE_ERROR;
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
	.mark = mysql_mark,
	.record = mysql_record,
	.list = mysql_list,
	.recount = mysql_recount,
	.prepare = mysql_prepare,
	.forget = mysql_forget,
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
	m->steps_max = config_lane_count(config);
	m->steps = calloc(m->steps_max + 1, sizeof(*m->steps));
	m->warned = calloc(config->table_count + 1, sizeof(*m->warned));
	CHECK(m->steps != NULL && m->warned != NULL);
	m->sql = sql_new(&m->options);
	sql_set_wait(m->sql, wait, wait_arg);
	m->schema = schema_new(config);
	return &m->store;
}
