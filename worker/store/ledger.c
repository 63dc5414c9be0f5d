#include "worker/store/ledger.h"

#include "common/number.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum moved { MOVED_EPOCH, MOVED_FROM, MOVED_POSITION, MOVED_DONE, MOVED_LANES_OF_SOURCE };

/* A column's text into an array; what is too long was not written by us and is cut. */
static void
copy_cell(const struct sql_result *result, size_t row, size_t column, char *out, size_t size)
{
	snprintf(out, size, "%.*s", STR_ARGS(sql_cell(result, row, column)));
}

static void
add_position(struct buf *b, struct position p)
{
	char text[POSITION_TEXT];

	buf_printf(b, "'%s'", position_text(p, text));
}

/* --- the compare-and-set --- */

/* As VARBINARY sorts. */
static int
compare_steps(const void *a, const void *b)
{
	const struct ledger_step *x = a, *y = b;

	return strcmp(x->lane->name, y->lane->name);
}

static void
add_value(struct buf *b, enum moved what, const struct ledger_step *step)
{
	switch (what) {
	case MOVED_EPOCH:
		buf_add_u64(b, step->lane->epoch);
		break;
	case MOVED_FROM:
		add_position(b, step->from);
		break;
	case MOVED_POSITION:
		add_position(b, step->to);
		break;
	case MOVED_DONE:
		add_position(b, step->done);
		break;
	case MOVED_LANES_OF_SOURCE:
		buf_add_u64(b, step->lane->lanes_of_source);
		break;
	}
}

/* Is it the same for all lanes?  What moves never is. */
static bool
is_common(enum moved what, const struct ledger_step *steps, size_t count)
{
	const struct lane *first = steps[0].lane;

	for (size_t i = 1; i < count; i++) {
		const struct lane *lane = steps[i].lane;
		bool same = false;

		if (what == MOVED_EPOCH)
			same = lane->epoch == first->epoch;
		else if (what == MOVED_LANES_OF_SOURCE)
			same = lane->lanes_of_source == first->lanes_of_source;
		if (!same)
			return false;
	}
	return true;
}

/* column=what it is in the row of each lane */
static void
add_each(struct buf *b, enum moved what, const struct ledger_step *steps, size_t count)
{
	static const char *const columns[] = {
		[MOVED_EPOCH] = "epoch",
		[MOVED_FROM] = "position",
		[MOVED_POSITION] = "position",
		[MOVED_DONE] = "done",
		[MOVED_LANES_OF_SOURCE] = "lanes_of_source",
	};

	buf_add_str(b, columns[what]);
	buf_add_char(b, '=');
	if (is_common(what, steps, count)) {
		add_value(b, what, &steps[0]);
		return;
	}
	buf_add_str(b, "CASE lane");
	for (size_t i = 0; i < count; i++) {
		buf_add_str(b, " WHEN ");
		sql_add_binary(b, str_of(steps[i].lane->name));
		buf_add_str(b, " THEN ");
		add_value(b, what, &steps[i]);
	}
	buf_add_str(b, " END");
}

/* Of the lanes that have new ones: each that a batch moves. */
static void
add_checkpoints(struct buf *b, const struct ledger_step *steps, size_t count)
{
	char text[CHECKPOINTS_TEXT];
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct checkpoints checkpoints = steps[i].lane->checkpoints;

		if (!checkpoints.changed && steps[i].last.hash == 0)
			continue;
		if (steps[i].last.hash != 0)
			checkpoints.last = steps[i].last;
		buf_add_str(b, any ? " WHEN " : ",checkpoints=CASE lane WHEN ");
		sql_add_binary(b, str_of(steps[i].lane->name));
		buf_add_str(b, " THEN ");
		sql_add_text(b, str_of(checkpoints_text(&checkpoints, text)));
		any = true;
	}
	if (any)
		buf_add_str(b, " ELSE checkpoints END");
}

static void
add_advance(struct buf *b, const struct ledger_step *steps, size_t count)
{
	buf_add_str(b, "UPDATE sluice_ledger FORCE INDEX (PRIMARY) SET ");
	add_each(b, MOVED_POSITION, steps, count);
	buf_add_char(b, ',');
	add_each(b, MOVED_DONE, steps, count);
	buf_add_char(b, ',');
	add_each(b, MOVED_LANES_OF_SOURCE, steps, count);
	add_checkpoints(b, steps, count);
	buf_add_str(b, ",updated_at=UTC_TIMESTAMP(3) WHERE lane IN (");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(b, ',');
		sql_add_binary(b, str_of(steps[i].lane->name));
	}
	buf_add_str(b, ") AND ");
	add_each(b, MOVED_EPOCH, steps, count);
	buf_add_str(b, " AND ");
	add_each(b, MOVED_FROM, steps, count);
}

enum write_result
ledger_advance(struct sql *sql, struct ledger_step *steps, size_t count, struct err *err)
{
	struct sql_result result;
	struct buf update;

	CHECK(count > 0);
	qsort(steps, count, sizeof(*steps), compare_steps);
	buf_init(&update);
	add_advance(&update, steps, count);
	if (session_send(sql, &update, &result, err) != 0)
		return WRITE_ERROR;
	return result.matched == count ? WRITE_OK : WRITE_MISMATCH;
}

/* --- one lane's row --- */

static int
read_row(const struct sql_result *result, const struct lane *lane, const char *owner,
    struct ledger_row *row, struct err *err)
{
	uint64_t lanes_of_source;

	if (result->rows == 0)
		return 0;
	row->found = true;
	if (!number_u64(sql_cell(result, 0, 0), &row->epoch) ||
	    !position_parse(sql_cell(result, 0, 1), &row->position) ||
	    !position_parse(sql_cell(result, 0, 2), &row->done) ||
	    !number_u64(sql_cell(result, 0, 4), &lanes_of_source))
		return err_set(err, ERR_FATAL, 0, "the ledger row of lane %s is damaged",
		    lane->name);
	copy_cell(result, 0, 3, row->identity, sizeof(row->identity));
	row->lanes_of_source = (unsigned)lanes_of_source;
	copy_cell(result, 0, 5, row->halted, sizeof(row->halted));
	copy_cell(result, 0, 6, row->alarm, sizeof(row->alarm));
	checkpoints_parse(sql_cell(result, 0, 7), &row->checkpoints);
	row->outbox = str_equal(sql_cell(result, 0, 8), STR("1"));
	row->ours_before = owner != NULL && str_equal(sql_cell(result, 0, 9), str_of(owner));
	return 0;
}

static int
select_row(struct sql *sql, const struct lane *lane, const char *owner, struct ledger_row *row,
    struct err *err)
{
	struct sql_result result;
	struct buf select;
	int status;

	*row = (struct ledger_row){ 0 };
	buf_init(&select);
	buf_add_str(&select,
	    "SELECT epoch, position, done, source_identity, lanes_of_source,"
	    " halted, alarm, COALESCE(checkpoints, ''), EXISTS (SELECT 1 FROM sluice_outbox o WHERE"
	    " o.lane=sluice_ledger.lane), COALESCE(owner, '') FROM sluice_ledger WHERE lane=");
	sql_add_binary(&select, str_of(lane->name));
	buf_add_str(&select, " FOR UPDATE");
	if (session_send(sql, &select, &result, err) != 0)
		return -1;
	status = read_row(&result, lane, owner, row, err);
	sql_result_free(&result);
	return status;
}

static int
raise_epoch(struct sql *sql, const struct lane *lane, const char *owner, struct ledger_row *row,
    struct err *err)
{
	struct buf update;

	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger SET epoch=epoch+1, owner=");
	sql_add_text(&update, str_of(owner));
	buf_add_str(&update, ", updated_at=UTC_TIMESTAMP(3) WHERE lane=");
	sql_add_binary(&update, str_of(lane->name));
	if (session_send(sql, &update, NULL, err) != 0)
		return -1;
	row->epoch++;
	return 0;
}

int
ledger_load(struct sql *sql, const struct lane *lane, const char *owner, struct ledger_row *row,
    struct err *err)
{
	int status = select_row(sql, lane, owner, row, err);

	if (status == 0 && row->found && owner != NULL)
		status = raise_epoch(sql, lane, owner, row, err);
	return session_end(sql, status, err);
}

/* ON DUPLICATE KEY instead of INSERT IGNORE, which would turn every other error into a warning. */
static int
insert_row(struct sql *sql, const struct lane *lane, struct position start, const char *identity,
    const char *halted, struct err *err)
{
	struct buf insert;

	buf_init(&insert);
	buf_add_str(&insert,
	    "INSERT INTO sluice_ledger (lane, epoch, position, done,"
	    " source_identity, lanes_of_source, halted, updated_at) VALUES (");
	sql_add_binary(&insert, str_of(lane->name));
	buf_add_str(&insert, ", 0, ");
	add_position(&insert, start);
	buf_add_str(&insert, ", ");
	add_position(&insert, start);
	buf_add_str(&insert, ", ");
	sql_add_text(&insert, str_of(identity));
	buf_printf(&insert, ", %u, '%s', UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE lane=lane",
	    lane->lanes_of_source, halted);
	return session_send(sql, &insert, NULL, err);
}

int
ledger_start(struct sql *sql, const struct lane *lane, struct position start, const char *identity,
    struct err *err)
{
	return session_end(sql, insert_row(sql, lane, start, identity, "", err), err);
}

static int
update_marks(struct sql *sql, const struct lane *lane, const char *halted, const char *alarm,
    bool *ours, struct err *err)
{
	struct sql_result result;
	struct buf update;

	buf_init(&update);
	buf_printf(&update,
	    "UPDATE sluice_ledger SET halted='%s', alarm='%s', lanes_of_source=%u,"
	    " updated_at=UTC_TIMESTAMP(3) WHERE lane=",
	    halted, alarm, lane->lanes_of_source);
	sql_add_binary(&update, str_of(lane->name));
	buf_printf(&update, " AND epoch=%llu", (unsigned long long)lane->epoch);
	if (session_send(sql, &update, &result, err) != 0)
		return -1;
	*ours = result.matched == 1;
	return 0;
}

int
ledger_mark(struct sql *sql, const struct lane *lane, struct err *err)
{
	const char *why = lane->why;
	const char *halted = lane->state == LANE_HALTED && why != NULL ? why : "";
	char alarm[LANE_ALARM_MAX + 1];
	bool ours;
	int status;

	status =
	    update_marks(sql, lane, halted, lane_alarm_text(lane, lane->alarm, alarm), &ours, err);
	if (status == 0 && !ours) {
		if (lane->epoch == 0 && strcmp(halted, LANE_WHY_LEDGER_LOST) == 0)
			status = insert_row(sql, lane, (struct position){ 0, 0 }, "", halted, err);
		else
			status = err_set(err, ERR_RETRY, 0,
			    "the lane's ledger row has another owner by now");
	}
	return session_end(sql, status, err);
}

int
ledger_set_alarm(struct sql *sql, const struct lane *lane, const char *alarm, struct err *err)
{
	char text[LANE_ALARM_MAX + 1];
	struct buf update;

	buf_init(&update);
	buf_printf(&update,
	    "UPDATE sluice_ledger SET alarm='%s' WHERE lane=", lane_alarm_text(lane, alarm, text));
	sql_add_binary(&update, str_of(lane->name));
	return session_send(sql, &update, NULL, err);
}

int
ledger_identify(struct sql *sql, const struct lane *lane, const char *identity, struct err *err)
{
	struct buf update;

	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger SET source_identity=");
	sql_add_text(&update, str_of(identity));
	buf_add_str(&update, " WHERE lane=");
	sql_add_binary(&update, str_of(lane->name));
	buf_printf(&update, " AND epoch=%llu", (unsigned long long)lane->epoch);
	return session_end(sql, session_send(sql, &update, NULL, err), err);
}

/* --- many rows --- */

static int
read_places(const struct sql_result *result, struct ledger_place *list, struct err *err)
{
	uint64_t lanes_of_source;

	for (size_t i = 0; i < result->rows; i++) {
		copy_cell(result, i, 0, list[i].name, sizeof(list[i].name));
		if (!position_parse(sql_cell(result, i, 1), &list[i].done) ||
		    !number_u64(sql_cell(result, i, 2), &lanes_of_source) ||
		    !position_parse(sql_cell(result, i, 3), &list[i].position))
			return err_set(err, ERR_FATAL, 0, "the ledger row of lane %s is damaged",
			    list[i].name);
		list[i].lanes_of_source = (unsigned)lanes_of_source;
	}
	return 0;
}

int
ledger_places(struct sql *sql, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err)
{
	struct sql_result result;
	struct buf select;
	int status;

	*list = NULL;
	*count = 0;
	buf_init(&select);
	buf_add_str(&select,
	    "SELECT lane, done, lanes_of_source, position FROM sluice_ledger WHERE LEFT(lane, ");
	buf_add_u64(&select, strlen(prefix));
	buf_add_str(&select, ")=");
	sql_add_binary(&select, str_of(prefix));
	buf_add_str(&select, " ORDER BY lane");
	status = session_send(sql, &select, &result, err);
	if (status == 0) {
		*list = calloc(result.rows + 1, sizeof(**list));
		CHECK(*list != NULL);
		*count = result.rows;
		status = read_places(&result, *list, err);
		sql_result_free(&result);
	}
	status = session_end(sql, status, err);
	if (status != 0) {
		free(*list);
		*list = NULL;
		*count = 0;
	}
	return status;
}

static void
list_row(const struct sql_result *result, size_t i, struct ledger_listed *listed)
{
	copy_cell(result, i, 0, listed->name, sizeof(listed->name));
	copy_cell(result, i, 1, listed->position, sizeof(listed->position));
	copy_cell(result, i, 2, listed->done, sizeof(listed->done));
	copy_cell(result, i, 3, listed->owner, sizeof(listed->owner));
	copy_cell(result, i, 4, listed->halted, sizeof(listed->halted));
	copy_cell(result, i, 5, listed->alarm, sizeof(listed->alarm));
	copy_cell(result, i, 6, listed->command, sizeof(listed->command));
	copy_cell(result, i, 7, listed->updated_at, sizeof(listed->updated_at));
}

int
ledger_recount(struct sql *sql, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err)
{
	struct buf update;

	buf_init(&update);
	buf_printf(&update, "UPDATE sluice_ledger SET lanes_of_source=%u WHERE ", lanes_of_source);
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&update, i == 0 ? "(lane=" : " OR (lane=");
		sql_add_binary(&update, str_of(places[i].name));
		buf_printf(&update, " AND lanes_of_source=%u)", places[i].lanes_of_source);
	}
	return session_end(sql, session_send(sql, &update, NULL, err), err);
}

int
ledger_list(struct sql *sql, struct ledger_listed **list, size_t *count, struct err *err)
{
	struct sql_result result;

	*list = NULL;
	*count = 0;
	if (session_query(sql,
		STR("SELECT lane, position, done, owner, halted, alarm, command, updated_at"
		    " FROM sluice_ledger ORDER BY lane"),
		&result, err) != 0)
		return session_end(sql, -1, err);
	*list = calloc(result.rows + 1, sizeof(**list));
	CHECK(*list != NULL);
	for (*count = 0; *count < result.rows; ++*count)
		list_row(&result, *count, &(*list)[*count]);
	sql_result_free(&result);
	if (session_end(sql, 0, err) == 0)
		return 0;
	free(*list);
	*list = NULL;
	*count = 0;
	return -1;
}
