#include "worker/store/letter_find.h"

#include "common/number.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- conditions ---- */

static void
add_text(struct buf *b, const char *column, const char *value)
{
	if (value == NULL)
		return;
	buf_printf(b, " AND %s=", column);
	sql_add_text(b, str_of(value));
}

static void
add_lane(struct buf *b, const char *lane)
{
	char tail[LANE_NAME_MAX + 2];

	if (lane == NULL)
		return;
	snprintf(tail, sizeof(tail), "/%s", lane);
	buf_add_str(b, " AND (lane=");
	sql_add_binary(b, str_of(lane));
	buf_printf(b, " OR RIGHT(lane, %zu)=", strlen(tail));
	sql_add_binary(b, str_of(tail));
	buf_add_char(b, ')');
}

static void
add_age(struct buf *b, const char *compare, int64_t ms)
{
	if (ms > 0)
		buf_printf(b, " AND created_at%sUTC_TIMESTAMP(3) - INTERVAL %lld MICROSECOND",
		    compare, (long long)ms * 1000);
}

static void
add_filter(struct buf *b, const struct letter_filter *f, uint64_t after)
{
	uint64_t from = f->id_from > after ? f->id_from : after + 1;

	buf_printf(b, " FROM sluice_dead_letter WHERE chunk=0 AND id>=%llu",
	    (unsigned long long)from);
	if (f->id_to > 0)
		buf_printf(b, " AND id<=%llu", (unsigned long long)f->id_to);
	add_lane(b, f->lane);
	add_text(b, "table_name", f->table);
	add_text(b, "reason", f->reason);
	if (f->state == NULL)
		buf_add_str(b, " AND state<>'" LETTER_CLOSED "'");
	else if (strcmp(f->state, "all") != 0)
		add_text(b, "state", f->state);
	add_age(b, "<=", f->older_ms);
	add_age(b, ">=", f->newer_ms);
}

/* ---- reading ---- */

static void
copy_cell(const struct sql_result *result, size_t row, size_t column, char *out, size_t size)
{
	struct str cell = sql_cell(result, row, column);

	snprintf(out, size, "%.*s", cell.data != NULL ? (int)cell.len : 0,
	    cell.data != NULL ? cell.data : "");
}

static uint64_t
number_of(const struct sql_result *result, size_t row, size_t column)
{
	uint64_t n;

	return number_u64(sql_cell(result, row, column), &n) ? n : 0;
}

int
letters_groups(struct sql *sql, const struct letter_filter *filter, struct letter_group **groups,
    size_t *count, struct err *err)
{
	struct sql_result result;
	struct buf select;

	*groups = NULL;
	*count = 0;
	buf_init(&select);
	buf_add_str(&select, "SELECT COALESCE(table_name, ''), reason, state, COUNT(*)");
	add_filter(&select, filter, 0);
	buf_printf(&select, " GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT %d",
	    LETTER_GROUPS_MAX);
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	*groups = calloc(result.rows + 1, sizeof(**groups));
	CHECK(*groups != NULL);
	for (size_t i = 0; i < result.rows; i++) {
		struct letter_group *g = &(*groups)[i];

		copy_cell(&result, i, 0, g->table, sizeof(g->table));
		copy_cell(&result, i, 1, g->reason, sizeof(g->reason));
		copy_cell(&result, i, 2, g->state, sizeof(g->state));
		g->count = number_of(&result, i, 3);
	}
	*count = result.rows;
	sql_result_free(&result);
	if (session_end(sql, 0, err) == 0)
		return 0;
	free(*groups);
	*groups = NULL;
	*count = 0;
	return -1;
}

static void
read_row(const struct sql_result *result, size_t i, struct letter_row *row)
{
	row->id = number_of(result, i, 0);
	copy_cell(result, i, 1, row->lane, sizeof(row->lane));
	copy_cell(result, i, 2, row->entry, sizeof(row->entry));
	row->chunks = number_of(result, i, 3);
	copy_cell(result, i, 4, row->table, sizeof(row->table));
	copy_cell(result, i, 5, row->operation, sizeof(row->operation));
	copy_cell(result, i, 6, row->reason, sizeof(row->reason));
	row->code = number_of(result, i, 7);
	copy_cell(result, i, 8, row->message, sizeof(row->message));
	copy_cell(result, i, 9, row->state, sizeof(row->state));
	copy_cell(result, i, 10, row->created_at, sizeof(row->created_at));
	row->attempts = number_of(result, i, 11);
	copy_cell(result, i, 12, row->updated_at, sizeof(row->updated_at));
}

int
letters_page(struct sql *sql, const struct letter_filter *filter, uint64_t after,
    struct letter_row *rows, size_t *count, struct err *err)
{
	struct sql_result result;
	struct buf select;

	*count = 0;
	buf_init(&select);
	buf_add_str(&select,
	    "SELECT id, lane, entry, chunks, table_name, operation, reason, code, message, state,"
	    " created_at, attempts, updated_at");
	add_filter(&select, filter, after);
	buf_printf(&select, " ORDER BY id LIMIT %d", LETTERS_PAGE);
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	CHECK(result.rows <= LETTERS_PAGE);
	for (; *count < result.rows; ++*count)
		read_row(&result, *count, &rows[*count]);
	sql_result_free(&result);
	return session_end(sql, 0, err);
}

/* The chunks behind the first one of a letter. */
static void
add_more_chunks(struct buf *b, const struct letter_row *row)
{
	buf_add_str(b, " FROM sluice_dead_letter WHERE lane=");
	sql_add_binary(b, str_of(row->lane));
	buf_add_str(b, " AND entry=");
	sql_add_text(b, str_of(row->entry));
	buf_printf(b, " AND id>%llu AND chunk>0 ORDER BY id LIMIT %llu",
	    (unsigned long long)row->id, (unsigned long long)row->chunks - 1);
}

static int
add_payload(struct sql *sql, struct buf *select, struct buf *out, struct err *err)
{
	struct sql_result result;

	if (session_send(sql, select, &result, err) != 0)
		return -1;
	for (size_t i = 0; i < result.rows; i++) {
		struct str part = sql_cell(&result, i, 0);

		buf_add(out, part.data, part.len);
	}
	sql_result_free(&result);
	return 0;
}

int
letter_payload(struct sql *sql, const struct letter_row *row, struct buf *out, struct err *err)
{
	struct buf select;
	int status;

	buf_init(&select);
	buf_printf(&select, "SELECT payload FROM sluice_dead_letter WHERE id=%llu",
	    (unsigned long long)row->id);
	status = add_payload(sql, &select, out, err);
	if (status == 0 && row->chunks > 1) {
		buf_init(&select);
		buf_add_str(&select, "SELECT payload");
		add_more_chunks(&select, row);
		status = add_payload(sql, &select, out, err);
	}
	return session_end(sql, status, err);
}

/* ---- acting ---- */

static void
add_ids(struct buf *b, const struct letter_row *rows, size_t count)
{
	buf_add_str(b, " WHERE id IN (");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(b, ',');
		buf_add_u64(b, rows[i].id);
	}
	buf_add_char(b, ')');
}

/* from: a condition on the letter as it is. */
static int
change_state(struct sql *sql, const struct letter_row *rows, size_t count, const char *to,
    const char *from, uint64_t *changed, struct err *err)
{
	struct sql_result result;
	struct buf update;

	buf_init(&update);
	buf_printf(&update, "UPDATE sluice_dead_letter SET state='%s', updated_at=UTC_TIMESTAMP(3)",
	    to);
	add_ids(&update, rows, count);
	buf_printf(&update, " AND %s", from);
	if (session_send(sql, &update, &result, err) != 0)
		return -1;
	*changed += result.affected;
	return 0;
}

int
letters_mark(struct sql *sql, const struct letter_row *rows, size_t count, bool force,
    uint64_t *marked, struct err *err)
{
	if (count == 0)
		return 0;
	return session_end(sql,
	    change_state(sql, rows, count, force ? LETTER_FORCE : LETTER_REPLAY,
		force ? "state IN ('" LETTER_DEAD "','" LETTER_PARKED "','" LETTER_REPLAY
			"') AND reason<>'" REASON_PARKED "'" :
			"state IN ('" LETTER_DEAD "','" LETTER_PARKED
			"') AND reason<>'" REASON_PARKED "'",
		marked, err),
	    err);
}

/* The first chunk decides: whoever deletes it deletes the others. */
static int
delete_chunked(struct sql *sql, const struct letter_row *row, uint64_t *dropped, struct err *err)
{
	struct sql_result result;
	struct buf statement;

	buf_init(&statement);
	buf_add_str(&statement, "DELETE FROM sluice_dead_letter");
	add_ids(&statement, row, 1);
	buf_add_str(&statement, " AND state IN ('" LETTER_DEAD "','" LETTER_CLOSED "')");
	if (session_send(sql, &statement, &result, err) != 0)
		return -1;
	if (result.affected == 0)
		return 0;
	++*dropped;
	buf_init(&statement);
	buf_add_str(&statement, "DELETE");
	add_more_chunks(&statement, row);
	return session_send(sql, &statement, NULL, err);
}

static int
delete_rows(struct sql *sql, const struct letter_row *rows, size_t count, uint64_t *dropped,
    struct err *err)
{
	struct sql_result result;
	struct buf statement;

	for (size_t i = 0; i < count; i++) {
		if (rows[i].chunks > 1 && delete_chunked(sql, &rows[i], dropped, err) != 0)
			return -1;
	}
	buf_init(&statement);
	buf_add_str(&statement, "DELETE FROM sluice_dead_letter");
	add_ids(&statement, rows, count);
	buf_add_str(&statement,
	    " AND chunks=1 AND state IN ('" LETTER_DEAD "','" LETTER_CLOSED "')");
	if (session_send(sql, &statement, &result, err) != 0)
		return -1;
	*dropped += result.affected;
	return 0;
}

int
letters_drop(struct sql *sql, const struct letter_row *rows, size_t count, uint64_t *dropped,
    uint64_t *marked, struct err *err)
{
	int status;

	if (count == 0)
		return 0;
	status = delete_rows(sql, rows, count, dropped, err);
	if (status == 0)
		status = change_state(sql, rows, count, LETTER_DROP,
		    "state IN ('" LETTER_PARKED "','" LETTER_REPLAY "','" LETTER_FORCE "')", marked,
		    err);
	return session_end(sql, status, err);
}
