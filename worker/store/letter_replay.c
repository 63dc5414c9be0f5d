#include "worker/store/letter_replay.h"

#include "common/number.h"
#include "worker/store/letter_find.h"
#include "worker/store/letter_payload.h"
#include "worker/store/outbox.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 100000 /* of one step's letters; a single one has fewer */ };

const char *const letter_states[LETTER_STATES] = {
	[LETTER_IS_PARKED] = LETTER_PARKED,
	[LETTER_IS_REPLAY] = LETTER_REPLAY,
	[LETTER_IS_FORCE] = LETTER_FORCE,
	[LETTER_IS_DROP] = LETTER_DROP,
	[LETTER_IS_APPLIED] = LETTER_APPLIED,
};

static void
add_lanes(struct buf *b, struct lane **lanes, size_t count)
{
	buf_add_str(b, "lane IN (");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(b, ',');
		sql_add_binary(b, str_of(lanes[i]->name));
	}
	buf_add_char(b, ')');
}

int
letters_due(struct sql *sql, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err)
{
	struct sql_result result;
	struct buf select;

	memset(due, 0, count * sizeof(*due));
	if (count == 0)
		return 0;
	buf_init(&select);
	buf_add_str(&select, "SELECT DISTINCT lane FROM sluice_dead_letter WHERE ");
	add_lanes(&select, lanes, count);
	buf_printf(&select, " AND state IN ('%s','%s','%s'%s)", LETTER_REPLAY, LETTER_FORCE,
	    LETTER_DROP, applied ? ",'" LETTER_APPLIED "'" : "");
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	for (size_t row = 0; row < result.rows; row++) {
		for (size_t i = 0; i < count; i++)
			due[i] |= str_equal(sql_cell(&result, row, 0), str_of(lanes[i]->name));
	}
	sql_result_free(&result);
	return session_end(sql, 0, err);
}

/* ---- reading ---- */

/* By state, so that each part comes out of its index in order and no part is sorted whole. */
static void
add_next(struct buf *b, const struct lane *lane, uint64_t after)
{
	buf_add_str(b,
	    "SELECT l.id, l.entry, l.state, l.reason, l.chunks, LENGTH(l.payload)"
	    " FROM sluice_dead_letter l JOIN (");
	for (int i = 0; i < LETTER_STATES; i++) {
		buf_add_str(b, i > 0 ? " UNION ALL (" : "(");
		buf_add_str(b, "SELECT id FROM sluice_dead_letter WHERE lane=");
		sql_add_binary(b, str_of(lane->name));
		buf_printf(b, " AND state='%s' AND id>%llu ORDER BY id LIMIT %d)", letter_states[i],
		    (unsigned long long)after, LETTERS_STEP);
	}
	buf_printf(b, ") n ON n.id=l.id ORDER BY l.id LIMIT %d", LETTERS_STEP);
}

static enum letter_state
state_of(struct str text)
{
	for (int i = 0; i < LETTER_STATES; i++) {
		if (str_equal(text, str_of(letter_states[i])))
			return (enum letter_state)i;
	}
	return LETTER_STATES;
}

static int
add_letter(const struct sql_result *result, size_t i, struct lane *lane, struct letter_list *list,
    struct err *err)
{
	struct letter *l = arena_zalloc(&list->arena, sizeof(*l));

	l->state = state_of(sql_cell(result, i, 2));
	if (!number_u64(sql_cell(result, i, 0), &l->id) || l->state == LETTER_STATES ||
	    !position_parse(sql_cell(result, i, 1), &l->place) ||
	    !number_u64(sql_cell(result, i, 4), &l->chunks) ||
	    !number_u64(sql_cell(result, i, 5), &l->bytes))
		return err_set(err, ERR_RETRY, 0, "a dead letter's row is damaged");
	l->follows = str_equal(sql_cell(result, i, 3), STR(REASON_PARKED));
	l->forked = str_equal(sql_cell(result, i, 3), STR(REASON_FORK));
	l->bytes *= l->chunks;
	l->entry.letter = l;
	l->entry.lane = lane;
	l->entry.id = l->place;
	l->entry.at_ms = (int64_t)l->place.major;
	if (list->last != NULL)
		list->last->next = l;
	else
		list->first = l;
	list->last = l;
	list->count++;
	return 0;
}

unsigned
letters_add_ids(struct buf *b, const struct letter_list *list, const char *column,
    letter_wanted *wanted)
{
	unsigned count = 0;

	buf_printf(b, " WHERE %s IN (", column);
	for (const struct letter *l = list->first; l != NULL; l = l->next) {
		if (!wanted(l))
			continue;
		if (count++ > 0)
			buf_add_char(b, ',');
		buf_add_u64(b, l->id);
	}
	buf_add_char(b, ')');
	return count;
}

static bool
is_any(const struct letter *l)
{
	(void)l;
	return true;
}

static bool
is_taken(const struct letter *l)
{
	return l->action == LETTER_APPLY || l->action == LETTER_INVALIDATE;
}

/* What stands behind this letter is read with the next step. */
static void
cut_before(struct letter_list *list, uint64_t id)
{
	struct letter *l = list->first;

	CHECK(l->id != id);
	for (list->count = 1; l->next != NULL && l->next->id != id; l = l->next)
		list->count++;
	l->next = NULL;
	list->last = l;
}

/* Both are in the order of the ids. */
static int
take_keys(const struct sql_result *result, struct letter_list *list, struct err *err)
{
	struct letter *l = list->first;
	uint64_t id = 0;

	for (size_t i = 0; i < result->rows; i++) {
		struct str hash = sql_cell(result, i, 1);

		if (!number_u64(sql_cell(result, i, 0), &id) || hash.len != sizeof(struct park_key))
			return err_set(err, ERR_RETRY, 0, "a row of sluice_parked is damaged");
		while (l->id < id && l->next != NULL)
			l = l->next;
		CHECK(l->id == id);
		if (l->keys == NULL) {
			size_t rows = i + 1;

			while (rows < result->rows &&
			    str_equal(sql_cell(result, rows, 0), sql_cell(result, i, 0)))
				rows++;
			l->keys = arena_alloc(&list->arena, (rows - i) * sizeof(*l->keys));
		}
		memcpy(l->keys[l->key_count++].bytes, hash.data, hash.len);
	}
	if (result->rows == KEYS_MAX)
		cut_before(list, id);
	return 0;
}

static int
read_keys(struct sql *sql, struct letter_list *list, struct err *err)
{
	struct sql_result result;
	struct buf select;
	int status;

	buf_init(&select);
	buf_add_str(&select, "SELECT letter, key_hash FROM sluice_parked");
	letters_add_ids(&select, list, "letter", is_any);
	buf_printf(&select, " ORDER BY letter LIMIT %d", KEYS_MAX);
	if (session_send(sql, &select, &result, err) != 0)
		return -1;
	status = take_keys(&result, list, err);
	sql_result_free(&result);
	return status;
}

int
letters_next(struct sql *sql, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err)
{
	struct sql_result result;
	struct buf select;
	int status = 0;

	buf_init(&select);
	add_next(&select, lane, after);
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	for (size_t i = 0; i < result.rows && status == 0; i++)
		status = add_letter(&result, i, lane, list, err);
	sql_result_free(&result);
	if (status == 0 && list->count > 0)
		status = read_keys(sql, list, err);
	return session_end(sql, status, err);
}

/* One that somebody has edited is an entry without fields, which is refused. */
static void
take_payload(struct letter_list *list, struct letter *l, struct str payload)
{
	if (!letter_payload_read(payload, &list->arena, &l->entry.raw, &l->entry.raw_count))
		l->entry.raw_count = 0;
}

static bool
is_whole(const struct letter *l)
{
	return is_taken(l) && l->chunks <= 1;
}

static int
read_whole(struct sql *sql, struct letter_list *list, struct err *err)
{
	struct sql_result result;
	struct buf select;
	uint64_t id;

	buf_init(&select);
	buf_add_str(&select, "SELECT id, payload FROM sluice_dead_letter");
	if (letters_add_ids(&select, list, "id", is_whole) == 0) {
		buf_deinit(&select);
		return 0;
	}
	if (session_send(sql, &select, &result, err) != 0)
		return session_end(sql, -1, err);
	for (size_t i = 0; i < result.rows; i++) {
		for (struct letter *l = list->first; l != NULL; l = l->next) {
			if (number_u64(sql_cell(&result, i, 0), &id) && l->id == id)
				take_payload(list, l, sql_cell(&result, i, 1));
		}
	}
	sql_result_free(&result);
	return session_end(sql, 0, err);
}

static int
read_chunked(struct sql *sql, struct letter_list *list, struct letter *l, struct err *err)
{
	struct letter_row row = { .id = l->id, .chunks = l->chunks };
	struct buf payload;
	int status;

	snprintf(row.lane, sizeof(row.lane), "%s", l->entry.lane->name);
	position_text(l->place, row.entry);
	buf_init(&payload);
	status = letter_payload(sql, &row, &payload, err);
	if (status == 0)
		take_payload(list, l, (struct str){ payload.data, payload.len });
	buf_deinit(&payload);
	return status;
}

int
letters_read(struct sql *sql, struct letter_list *list, struct err *err)
{
	if (read_whole(sql, list, err) != 0)
		return -1;
	for (struct letter *l = list->first; l != NULL; l = l->next) {
		if (is_taken(l) && l->chunks > 1 && read_chunked(sql, list, l, err) != 0)
			return -1;
	}
	return 0;
}

/* ---- closing and counting ---- */

int
letters_close(struct sql *sql, const struct letter_list *list, struct err *err)
{
	struct buf b;

	buf_init(&b);
	buf_add_str(&b, "UPDATE sluice_dead_letter SET state='" LETTER_CLOSED "'");
	if (letters_add_ids(&b, list, "id", is_taken) == 0) {
		buf_deinit(&b);
		return 0;
	}
	buf_add_str(&b, " AND state='" LETTER_APPLIED "'");
	return session_end(sql,
	    session_send(sql, &b, NULL, err) != 0 ? -1 : outbox_close(sql, list, err), err);
}

int
letters_count(struct sql *sql, struct lane **lanes, size_t count, struct letter_count *counts,
    size_t *counted, struct err *err)
{
	struct sql_result result;
	struct buf b;

	*counted = 0;
	if (count == 0)
		return 0;
	buf_init(&b);
	buf_add_str(&b,
	    "SELECT COALESCE(table_name, ''), reason, COUNT(*) FROM"
	    " (SELECT table_name, reason FROM sluice_dead_letter WHERE ");
	add_lanes(&b, lanes, count);
	buf_printf(&b,
	    " AND state IN ('%s','%s','%s','%s') AND chunk=0 LIMIT %d) l GROUP BY 1, 2 LIMIT %d",
	    LETTER_DEAD, LETTER_PARKED, LETTER_REPLAY, LETTER_FORCE, LETTERS_COUNTED_MAX,
	    LETTER_COUNTS_MAX);
	if (session_send(sql, &b, &result, err) != 0)
		return session_end(sql, -1, err);
	for (; *counted < result.rows; ++*counted) {
		struct letter_count *c = &counts[*counted];

		snprintf(c->table, sizeof(c->table), "%.*s",
		    STR_ARGS(sql_cell(&result, *counted, 0)));
		snprintf(c->reason, sizeof(c->reason), "%.*s",
		    STR_ARGS(sql_cell(&result, *counted, 1)));
		if (!number_u64(sql_cell(&result, *counted, 2), &c->count))
			c->count = 0;
	}
	sql_result_free(&result);
	return session_end(sql, 0, err);
}

int
letter_parked_read(struct sql *sql, const char *lane, struct parked *parked, struct err *err)
{
	struct sql_result result;
	struct park_key *keys;
	struct buf select;

	buf_init(&select);
	/* nothing waits for a letter that somebody has deleted by hand */
	buf_add_str(&select,
	    "SELECT DISTINCT p.key_hash FROM sluice_parked p JOIN sluice_dead_letter l"
	    " ON l.id=p.letter WHERE p.lane=");
	sql_add_binary(&select, str_of(lane));
	if (session_send(sql, &select, &result, err) != 0)
		return -1;
	keys = calloc(result.rows + 1, sizeof(*keys));
	CHECK(keys != NULL);
	for (size_t i = 0; i < result.rows; i++) {
		struct str cell = sql_cell(&result, i, 0);

		CHECK(cell.len == sizeof(keys[i].bytes));
		memcpy(keys[i].bytes, cell.data, cell.len);
	}
	parked_replace(parked, keys, result.rows);
	free(keys);
	sql_result_free(&result);
	return 0;
}
