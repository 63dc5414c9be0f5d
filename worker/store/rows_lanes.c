#include "worker/store/rows_lanes.h"

#include "common/clock.h"
#include "worker/store/session.h"

#include <stdlib.h>
#include <string.h>

enum {
	CODE_LOCK_WAIT =
	    1205, /* MariaDB's answer to NOWAIT too; MySQL's where DDL holds the table */
	CODE_LOCK_NOWAIT = 3572, /* MySQL */
	LOCK_ROWS_MAX = 1000
};

static bool
names_table(const struct entry *entry, const struct table *table)
{
	for (size_t i = 0; i < entry->change_count; i++) {
		const struct change *c = &entry->changes[i];

		if (c->op != CHANGE_INVALIDATE && c->table == table)
			return true;
	}
	return false;
}

unsigned
lanes_leave_table(struct batch *batch, const struct table *table, const struct err *err)
{
	unsigned left = 0;

	for (struct entry *entry = batch->first; entry != NULL; entry = entry->next_kept) {
		if (!entry_is_applied(entry) || !names_table(entry, table))
			continue;
		batch_leave_table(batch, entry, table, err->text);
		left++;
	}
	return left;
}

bool
is_lock_wait(int code)
{
	return code == CODE_LOCK_WAIT || code == CODE_LOCK_NOWAIT;
}

static void
leave_locked(struct batch_lane *bl)
{
	bl->leave_why = LANE_WHY_ROW_LOCK;
	bl->leave_at = NULL;
}

/* The lane's rows as steps that only name a key, by table. */
struct keys {
	struct step *steps;
	struct step **order;
	unsigned count;
};

static int
compare_tables(const void *left, const void *right)
{
	const struct step *a = *(struct step *const *)left, *b = *(struct step *const *)right;

	if (a->shape->table != b->shape->table)
		return a->shape->table < b->shape->table ? -1 : 1;
	return (a > b) - (a < b);
}

static void
keys_init(struct keys *keys, const struct batch *batch, const struct lane *lane)
{
	*keys = (struct keys){ .steps = calloc(batch->changes + 1, sizeof(*keys->steps)),
		.order = calloc(batch->changes + 1, sizeof(struct step *)) };
	CHECK(keys->steps != NULL && keys->order != NULL);
	for (struct entry *entry = batch->first; entry != NULL; entry = entry->next_kept) {
		for (size_t i = 0;
		    entry->lane == lane && entry_is_applied(entry) && i < entry->change_count;
		    i++) {
			const struct change *c = &entry->changes[i];

			if (c->op == CHANGE_INVALIDATE || c->shape == NULL || c->whole_table)
				continue;
			CHECK(keys->count < batch->changes);
			keys->steps[keys->count] =
			    (struct step){ .shape = c->shape, .key = c->key };
			keys->order[keys->count] = &keys->steps[keys->count];
			keys->count++;
		}
	}
	qsort(keys->order, keys->count, sizeof(*keys->order), compare_tables);
}

static void
keys_deinit(struct keys *keys)
{
	free(keys->steps);
	free(keys->order);
}

/* As many as may share a statement: of one table. */
static unsigned
same_table(struct step *const *steps, unsigned count)
{
	unsigned n = 1;

	while (n < count && n < LOCK_ROWS_MAX && steps[n]->shape->table == steps[0]->shape->table)
		n++;
	return n;
}

/* 1 locked, 0 not, -1 the connection failed. */
static int
try_locks(struct writer *w, const struct keys *keys)
{
	for (unsigned from = 0; from < keys->count;) {
		struct statement s = { .steps = keys->order + from,
			.count = same_table(keys->order + from, keys->count - from),
			.bytes_max = w->limits->bytes_max,
			.mariadb = w->plan->mariadb };
		struct sql_result result;
		unsigned used;

		buf_reset(&w->text);
		used = statement_add_lock(&w->text, &s);
		from += used > 0 ? used : 1;
		if (used == 0)
			continue;
		w->report->statements++;
		if (sql_query(w->sql, (struct str){ w->text.data, w->text.len }, &result, w->err) ==
		    0) {
			sql_result_free(&result);
			continue;
		}
		if (is_lock_wait(w->err->code))
			return 1;
		if (w->err->class == ERR_RETRY)
			return -1;
		/* else the table is gone, or the like: the write itself will say so */
	}
	return 0;
}

enum write_result
lanes_probe(struct writer *w, bool all)
{
	unsigned left = 0;

	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
		struct keys keys;
		int locked;

		if (!bl->writes || bl->leave_why != NULL || !(all || bl->lane->probe))
			continue;
		keys_init(&keys, w->batch, bl->lane);
		locked = try_locks(w, &keys);
		keys_deinit(&keys);
		if (locked < 0)
			return WRITE_ERROR;
		if (locked > 0) {
			leave_locked(bl);
			left++;
		}
	}
	return left > 0 ? WRITE_LEAVE : WRITE_OK;
}

/* The lane's among these steps, into `list`. */
static unsigned
steps_of_lane(const struct lane *lane, struct step *const *steps, unsigned count,
    struct step **list)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++) {
		if (steps[i]->first_change->entry->lane == lane)
			list[found++] = steps[i];
	}
	return found;
}

/*
 * Write the part of each lane without waiting; those that would have to wait leave.  MySQL waits for a
 * second at least: there the search ends with the first found once it has lasted as long as a lock wait.
 */
static enum write_result
try_lanes(struct writer *w, struct step *const *steps, unsigned count, struct step **list)
{
	int64_t end_ms = clock_ms() + w->limits->lock_wait_ms;
	unsigned left = 0;

	for (struct batch_lane *bl = w->batch->lanes; bl != NULL; bl = bl->next) {
		unsigned of_lane = steps_of_lane(bl->lane, steps, count, list);

		if (!bl->writes || of_lane == 0 || (left > 0 && clock_ms() > end_ms))
			continue;
		if (writer_write(w, list, of_lane) != OUTCOME_STOPPED)
			continue;
		if (!sql_is_open(w->sql))
			return WRITE_ERROR;
		if (!is_lock_wait(w->err->code))
			continue;
		leave_locked(bl);
		left++;
	}
	return left > 0 ? WRITE_LEAVE : WRITE_OK;
}

/* Of the statement that waited in vain. */
static enum write_result
find_blocked(struct writer *w, struct step *const *sent, unsigned count)
{
	struct step **steps;
	enum write_result result;

	if (count == 1) {
		leave_locked(batch_lane_find(w->batch, sent[0]->first_change->entry->lane));
		return WRITE_LEAVE;
	}
	steps = calloc(2 * (size_t)count, sizeof(struct step *));
	CHECK(steps != NULL);
	memcpy(steps, sent, count * sizeof(struct step *));
	w->seeking = true;
	result = try_lanes(w, steps, count, steps + count);
	w->seeking = false;
	free(steps);
	return result;
}

enum write_result
lanes_leave_locked(struct writer *w)
{
	struct step *const *sent = w->sent;
	unsigned sent_count = w->sent_count;
	struct err waited = *w->err;
	enum write_result result;

	if (session_lock_wait(w->sql, 0, w->err) != 0)
		return WRITE_ERROR;
	result = lanes_probe(w, true);
	if (result == WRITE_OK)
		result = find_blocked(w, sent, sent_count);
	if (sql_is_open(w->sql) && session_lock_wait(w->sql, w->limits->lock_wait_ms, w->err) != 0)
		return WRITE_ERROR;
	if (result != WRITE_OK)
		return result;
	*w->err = waited;
	return WRITE_ERROR;
}
