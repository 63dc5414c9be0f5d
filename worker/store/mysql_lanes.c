#include "worker/store/letter_replay.h"
#include "worker/store/mysql_store.h"
#include "worker/store/order.h"
#include "worker/store/outbox.h"

enum { NO_SUCH_TABLE = 1146 };

/* --- the pool --- */

int
mysql_join(struct store *store, unsigned lanes, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_join(&m->membership, m->sql, lanes, err);
}

int
mysql_leave(struct store *store, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_leave(&m->membership, m->sql, err);
}

int
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

int
mysql_sweep(struct store *store, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_sweep(&m->membership, m->sql, err);
}

int
mysql_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return membership_unowned(&m->membership, m->sql, lanes, count, unowned, err);
}

/* --- lanes --- */

int
mysql_own(struct store *store, struct lane **lanes, size_t count, bool *owned, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	/* of a worker's lanes all are partitions, or none */
	if (count > 0 && lanes[0]->is_partition) {
		for (size_t i = 0; i < count; i++)
			owned[i] = true;
		return 0;
	}
	return membership_own(&m->membership, m->sql, lanes, count, owned, err);
}

/* A session that is gone took its locks with it. */
int
mysql_disown(struct store *store, struct lane *lane, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	if (!sql_is_open(m->sql) || lane->is_partition)
		return 0;
	return membership_disown(&m->membership, m->sql, lane, err);
}

int
mysql_load(struct store *store, struct lane *lane, bool raise, struct ledger_row *row,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return ledger_load(m->sql, lane, raise ? m->membership.name : NULL, row, err);
}

int
mysql_start(struct store *store, struct lane *lane, struct position start, const char *identity,
    struct err *err)
{
	return ledger_start(mysql_of(store)->sql, lane, start, identity, err);
}

int
mysql_parked_load(struct store *store, struct lane *lane, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return session_end(m->sql, letter_parked_read(m->sql, lane->name, &lane->parked, err), err);
}

/* --- letters --- */

int
mysql_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err)
{
	return letters_due(mysql_of(store)->sql, lanes, count, applied, due, err);
}

int
mysql_letters_next(struct store *store, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err)
{
	return letters_next(mysql_of(store)->sql, lane, after, list, err);
}

int
mysql_letters_read(struct store *store, struct letter_list *list, struct err *err)
{
	return letters_read(mysql_of(store)->sql, list, err);
}

int
mysql_letters_close(struct store *store, const struct letter_list *list, struct err *err)
{
	return letters_close(mysql_of(store)->sql, list, err);
}

int
mysql_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err)
{
	return letters_count(mysql_of(store)->sql, lanes, count, counts, counted, err);
}

enum write_result
mysql_letters_write(struct store *store, struct lane *lane, struct letter_list *list,
    struct batch *batch, bool closes, struct write_report *report, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return letters_write(m->sql, lane, list, batch, &m->limits, closes, report, err);
}

int
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

int
mysql_identify(struct store *store, struct lane *lane, const char *identity, struct err *err)
{
	return ledger_identify(mysql_of(store)->sql, lane, identity, err);
}

int
mysql_mark(struct store *store, struct lane *lane, struct err *err)
{
	return ledger_mark(mysql_of(store)->sql, lane, err);
}

/* A transaction of nothing but ledger rows. */
static enum write_result
advance_alone(struct mysql_store *m, struct ledger_step *steps, size_t count, struct err *err)
{
	enum write_result result = ledger_advance(m->sql, steps, count, err);

	if (result == WRITE_OK && outbox_trim(m->sql, steps, count, err) != 0)
		result = WRITE_ERROR;
	if (result != WRITE_OK) {
		session_rollback(m->sql);
		return result;
	}
	return session_commit(m->sql, err) == 0 ? WRITE_OK : WRITE_ERROR;
}

int
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

enum write_result
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

int
mysql_list(struct store *store, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err)
{
	return ledger_places(mysql_of(store)->sql, prefix, list, count, err);
}

int
mysql_recount(struct store *store, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err)
{
	return ledger_recount(mysql_of(store)->sql, places, count, lanes_of_source, err);
}
