#include "worker/store/dead_letter.h"
#include "worker/store/mysql_store.h"
#include "worker/store/outbox.h"

void
mysql_prepare(struct store *store, struct batch *batch)
{
	struct mysql_store *m = mysql_of(store);

	if (m->limits.bytes_max > 0)
		rows_prepare(batch, &m->limits, sql_is_mariadb(m->sql));
}

void
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

static enum write_result
write_letters(struct mysql_store *m, struct batch *batch, struct write_report *report,
    struct err *err)
{
	if (batch->refused == 0)
		return WRITE_OK;
	if (mark_halting(m, batch) || batch_check_poison(batch, m->config->poison_rate) ||
	    batch_check_parked(batch, m->config->max_parked))
		return WRITE_LEAVE;
	if (dead_letter_write(m->sql, batch, m->limits.bytes_max, &report->dead, err) != 0)
		return WRITE_ERROR;
	return WRITE_OK;
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
	if (result != WRITE_OK || (result = write_letters(m, batch, report, err)) != WRITE_OK)
		return result;
	if (outbox_write(m->sql, batch, NULL, m->limits.bytes_max, err) != 0 ||
	    outbox_trim(m->sql, m->steps, steps, err) != 0)
		return WRITE_ERROR;
	return WRITE_OK;
}

enum write_result
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

int
mysql_recall(struct store *store, struct batch *batch, struct letter_list *list, struct err *err)
{
	struct mysql_store *m = mysql_of(store);

	return outbox_recall(m->sql, m->config, batch, list, err);
}

int
mysql_outbox_count(struct store *store, struct lane **lanes, size_t count, uint64_t *rows,
    struct err *err)
{
	return outbox_count(mysql_of(store)->sql, lanes, count, rows, err);
}

/* The letters' transaction begins as a batch's: with a compare-and-set, here of a lane that stays. */
enum write_result
mysql_letters(struct store *store, struct lane *lane, struct entry *first, const char *alarm,
    struct err *err)
{
	struct mysql_store *m = mysql_of(store);
	struct batch batch = { .first = first };
	struct ledger_step step = {
		.lane = lane, .from = lane->position, .to = lane->position, .done = lane->done
	};
	enum write_result result = ledger_advance(m->sql, &step, 1, err);
	unsigned written;

	if (result == WRITE_OK &&
	    (ledger_set_alarm(m->sql, lane, alarm, err) != 0 ||
		dead_letter_write(m->sql, &batch, m->limits.bytes_max, &written, err) != 0))
		result = WRITE_ERROR;
	if (result != WRITE_OK) {
		session_rollback(m->sql);
		return result;
	}
	return session_commit(m->sql, err) == 0 ? WRITE_OK : WRITE_ERROR;
}
