#include "worker/store/outbox.h"

#include "common/log.h"
#include "common/number.h"
#include "worker/store/session.h"

#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

/* Rows on their way into one INSERT after the other. */
struct inserts {
	struct sql *sql;
	size_t bytes_max;
	struct buf text;
	struct err *err;
};

static int
flush(struct inserts *in)
{
	int status = in->text.len > 0 ?
	    session_query(in->sql, (struct str){ in->text.data, in->text.len }, NULL, in->err) :
	    0;

	buf_reset(&in->text);
	return status;
}

static struct str
piece(const struct buf *whole, size_t at, size_t bytes)
{
	struct str s = { "", 0 };

	if (at < whole->len)
		s = (struct str){ whole->data + at,
			whole->len - at < bytes ? whole->len - at : bytes };
	return s;
}

struct outbox_row {
	const struct lane *lane;
	struct position position;
	uint64_t letter;
	struct buf keys, versions;
};

static int
add_part(struct inserts *in, const struct outbox_row *row, unsigned part, struct str keys,
    struct str versions)
{
	char position[POSITION_TEXT];

	if (in->text.len > 0 &&
	    in->text.len + 2 * (keys.len + versions.len) + 1024 > in->bytes_max && flush(in) != 0)
		return -1;
	buf_add_str(&in->text,
	    in->text.len > 0 ? "," :
			       "INSERT INTO sluice_outbox (lane, letter, major, minor, part,"
			       " position, cache_keys, versions) VALUES ");
	buf_add_char(&in->text, '(');
	sql_add_binary(&in->text, str_of(row->lane->name));
	buf_printf(&in->text, ",%llu,%llu,%llu,%u,'%s',", (unsigned long long)row->letter,
	    (unsigned long long)row->position.major, (unsigned long long)row->position.minor, part,
	    position_text(row->position, position));
	sql_add_binary(&in->text, keys);
	buf_add_char(&in->text, ',');
	sql_add_binary(&in->text, versions);
	buf_add_char(&in->text, ')');
	return 0;
}

/* Cut anywhere: whoever reads puts the parts together first. */
static int
add_row(struct inserts *in, const struct outbox_row *row)
{
	size_t bytes = in->bytes_max / 8, keys = 0, versions = 0;

	for (unsigned part = 0; part == 0 || keys < row->keys.len || versions < row->versions.len;
	    part++) {
		if (add_part(in, row, part, piece(&row->keys, keys, bytes),
			piece(&row->versions, versions, bytes)) != 0)
			return -1;
		keys += bytes;
		versions += bytes;
	}
	return 0;
}

/* Did the lane bring one of the row's changes that this transaction writes? */
static bool
is_of_lane(const struct owed *owed, const struct lane *lane)
{
	for (const struct change *c = owed->row->changes; c != NULL; c = c->next_of_touched) {
		if (c->entry->lane == lane && !c->entry->done_before &&
		    c->entry->refusal.reason == NULL)
			return true;
	}
	return false;
}

static int
write_row(struct inserts *in, const struct batch *batch, struct outbox_row *row, bool *written)
{
	int status = 0;

	buf_init(&row->keys);
	buf_init(&row->versions);
	for (const struct owed *owed = batch->owed.first; owed != NULL; owed = owed->next) {
		if (owed->row != NULL && is_of_lane(owed, row->lane))
			outbox_add(&row->keys, &row->versions, owed);
	}
	*written = row->keys.len > 0;
	if (*written)
		status = add_row(in, row);
	buf_deinit(&row->keys);
	buf_deinit(&row->versions);
	return status;
}

static const struct letter *
first_applied(const struct letter_list *list)
{
	for (const struct letter *l = list->first; l != NULL; l = l->next) {
		if (l->action == LETTER_APPLY && !l->refused)
			return l;
	}
	return NULL;
}

static int
write_letters(struct inserts *in, const struct batch *batch, struct letter_list *list)
{
	const struct letter *l = first_applied(list);
	struct outbox_row row;
	bool written;

	if (l == NULL)
		return 0;
	row = (struct outbox_row){
		.lane = l->entry.lane, .position = l->entry.lane->position, .letter = l->id
	};
	if (write_row(in, batch, &row, &written) != 0)
		return -1;
	list->outbox |= written;
	return 0;
}

int
outbox_write(struct sql *sql, struct batch *batch, struct letter_list *list, size_t bytes_max,
    struct err *err)
{
	struct inserts in = { .sql = sql, .bytes_max = bytes_max, .err = err };
	int status = 0;

	if (batch->owed.first == NULL)
		return 0;
	buf_init(&in.text);
	if (list != NULL)
		status = write_letters(&in, batch, list);
	for (struct batch_lane *bl = batch->lanes; bl != NULL && status == 0; bl = bl->next) {
		struct outbox_row row = { .lane = bl->lane, .position = bl->to };

		if (bl->writes)
			status = write_row(&in, batch, &row, &bl->outboxed);
	}
	if (status == 0)
		status = flush(&in);
	buf_deinit(&in.text);
	return status;
}

/* ---- deleting ---- */

static void
add_lane(struct buf *b, const struct lane *lane)
{
	buf_add_str(b, "lane=");
	sql_add_binary(b, str_of(lane->name));
}

/* Spelled out, so that the index is used. */
static void
add_beyond(struct buf *b, struct position p, const char *major, const char *minor)
{
	buf_printf(b, "(major%s%llu OR (major=%llu AND minor%s%llu))", major,
	    (unsigned long long)p.major, (unsigned long long)p.major, minor,
	    (unsigned long long)p.minor);
}

static bool
is_to_trim(const struct ledger_step *step)
{
	return step->lane->outbox && position_compare(step->done, step->lane->done) > 0;
}

int
outbox_trim(struct sql *sql, const struct ledger_step *steps, size_t count, struct err *err)
{
	struct buf b;
	size_t lanes = 0;

	for (size_t i = 0; i < count; i++)
		lanes += is_to_trim(&steps[i]);
	if (lanes == 0)
		return 0;
	buf_init(&b);
	buf_add_str(&b, "DELETE o FROM sluice_outbox o FORCE INDEX (PRIMARY) WHERE lane IN (");
	for (size_t i = 0, n = 0; i < count; i++) {
		if (!is_to_trim(&steps[i]))
			continue;
		buf_add_str(&b, n++ > 0 ? "," : "");
		sql_add_binary(&b, str_of(steps[i].lane->name));
	}
	buf_add_str(&b, ") AND letter=0 AND (");
	for (size_t i = 0, n = 0; i < count; i++) {
		if (!is_to_trim(&steps[i]))
			continue;
		buf_add_str(&b, n++ > 0 ? " OR (" : "(");
		add_lane(&b, steps[i].lane);
		buf_add_str(&b, " AND ");
		add_beyond(&b, steps[i].done, "<", "<=");
		buf_add_char(&b, ')');
	}
	buf_add_char(&b, ')');
	return session_send(sql, &b, NULL, err);
}

int
outbox_close(struct sql *sql, const struct letter_list *list, struct err *err)
{
	struct buf b;

	if (!list->outbox || list->last == NULL)
		return 0;
	buf_init(&b);
	buf_add_str(&b, "DELETE FROM sluice_outbox WHERE ");
	add_lane(&b, list->first->entry.lane);
	buf_printf(&b, " AND letter BETWEEN 1 AND %llu", (unsigned long long)list->last->id);
	return session_send(sql, &b, NULL, err);
}

/* ---- reading ---- */

/* One outbox row after the other, put together from its parts. */
static void
take_rows(const struct config *config, const struct lane *lane, const struct sql_result *result,
    struct owed_list *owed)
{
	struct buf keys, versions;

	buf_init(&keys);
	buf_init(&versions);
	for (size_t i = 0; i < result->rows; i++) {
		struct str k = sql_cell(result, i, 1), v = sql_cell(result, i, 2);

		buf_add(&keys, k.data, k.len);
		buf_add(&versions, v.data, v.len);
		if (i + 1 < result->rows && !str_equal(sql_cell(result, i + 1, 0), STR("0")))
			continue;
		if (!outbox_parse(config, (struct str){ keys.data, keys.len },
			(struct str){ versions.data, versions.len }, owed))
			log_event(LOG_ERROR, "outbox_damaged", "lane", "%s", lane->name, "error",
			    "%s",
			    "a row of sluice_outbox can't be read: its keys stay in the cache",
			    NULL);
		buf_reset(&keys);
		buf_reset(&versions);
	}
	buf_deinit(&keys);
	buf_deinit(&versions);
}

static int
read_rows(struct sql *sql, const struct config *config, const struct lane *lane, struct buf *where,
    struct batch *batch, size_t *rows, struct err *err)
{
	struct sql_result result;
	struct buf b;

	buf_init(&b);
	buf_add_str(&b,
	    "SELECT part, cache_keys, COALESCE(versions, '') FROM sluice_outbox WHERE ");
	add_lane(&b, lane);
	buf_add(&b, where->data, where->len);
	buf_add_str(&b, " ORDER BY letter, major, minor, part");
	buf_deinit(where);
	if (session_send(sql, &b, &result, err) != 0)
		return -1;
	take_rows(config, lane, &result, &batch->owed);
	*rows = result.rows;
	sql_result_free(&result);
	return 0;
}

/* The row that stands for the entry at `last`: the first at or behind it. */
static int
find_last(struct sql *sql, const struct lane *lane, struct position last, struct position *at,
    struct err *err)
{
	struct sql_result result;
	struct buf b;

	*at = last;
	buf_init(&b);
	buf_add_str(&b, "SELECT major, minor FROM sluice_outbox WHERE ");
	add_lane(&b, lane);
	buf_add_str(&b, " AND letter=0 AND ");
	add_beyond(&b, last, ">", ">=");
	buf_add_str(&b, " ORDER BY letter, major, minor LIMIT 1");
	if (session_send(sql, &b, &result, err) != 0)
		return -1;
	if (result.rows > 0 &&
	    (!number_u64(sql_cell(&result, 0, 0), &at->major) ||
		!number_u64(sql_cell(&result, 0, 1), &at->minor)))
		*at = last;
	sql_result_free(&result);
	return 0;
}

static int
recall_lane(struct sql *sql, const struct config *config, struct batch *batch,
    const struct batch_lane *bl, struct err *err)
{
	struct position to;
	struct buf where;
	size_t rows;

	if (find_last(sql, bl->lane, bl->last, &to, err) != 0)
		return -1;
	buf_init(&where);
	buf_add_str(&where, " AND letter=0 AND ");
	add_beyond(&where, bl->after, ">", ">");
	buf_add_str(&where, " AND ");
	add_beyond(&where, to, "<", "<=");
	return read_rows(sql, config, bl->lane, &where, batch, &rows, err);
}

static int
recall_letters(struct sql *sql, const struct config *config, struct batch *batch,
    struct letter_list *list, struct err *err)
{
	struct buf where;
	size_t rows;

	if (list->last == NULL)
		return 0;
	buf_init(&where);
	buf_printf(&where, " AND letter BETWEEN 1 AND %llu", (unsigned long long)list->last->id);
	if (read_rows(sql, config, list->first->entry.lane, &where, batch, &rows, err) != 0)
		return -1;
	list->outbox |= rows > 0;
	return 0;
}

int
outbox_recall(struct sql *sql, const struct config *config, struct batch *batch,
    struct letter_list *list, struct err *err)
{
	int status = list != NULL ? recall_letters(sql, config, batch, list, err) : 0;

	for (struct batch_lane *bl = batch->lanes; bl != NULL && status == 0; bl = bl->next) {
		if (bl->lane->outbox && position_compare(bl->after, bl->lane->position) < 0)
			status = recall_lane(sql, config, batch, bl, err);
	}
	return session_end(sql, status, err);
}

int
outbox_count(struct sql *sql, struct lane **lanes, size_t count, uint64_t *rows, struct err *err)
{
	struct sql_result result;
	struct buf b;

	*rows = 0;
	if (count == 0)
		return 0;
	buf_init(&b);
	buf_add_str(&b, "SELECT COUNT(*) FROM sluice_outbox WHERE part=0 AND lane IN (");
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&b, i > 0 ? "," : "");
		sql_add_binary(&b, str_of(lanes[i]->name));
	}
	buf_add_char(&b, ')');
	if (session_send(sql, &b, &result, err) != 0)
		return session_end(sql, -1, err);
	if (result.rows == 0 || !number_u64(sql_cell(&result, 0, 0), rows))
		*rows = 0;
	sql_result_free(&result);
	return session_end(sql, 0, err);
}
