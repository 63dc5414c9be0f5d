#include "worker/store/letter_replay.h"

#include "common/err.h"
#include "common/number.h"
#include "worker/store/ledger.h"
#include "worker/store/letter_find.h"
#include "worker/store/outbox.h"
#include "worker/store/session.h"

static bool
is_moved(const struct letter *l)
{
	return l->action != LETTER_STAYS;
}

static int
lock(struct sql *sql, struct letter_list *list, struct err *err)
{
	struct sql_result result;
	struct buf select;
	size_t at = 0;
	uint64_t id = 0;

	buf_init(&select);
	buf_add_str(&select, "SELECT id, state FROM sluice_dead_letter");
	if (letters_add_ids(&select, list, "id", is_moved) == 0) {
		buf_deinit(&select);
		return 0;
	}
	buf_add_str(&select, " ORDER BY id FOR UPDATE");
	if (session_send(sql, &select, &result, err) != 0)
		return -1;
	for (struct letter *l = list->first; l != NULL; l = l->next) {
		if (!is_moved(l))
			continue;
		while (at < result.rows && number_u64(sql_cell(&result, at, 0), &id) && id < l->id)
			at++;
		if (at == result.rows || id != l->id ||
		    !str_equal(sql_cell(&result, at, 1), str_of(letter_states[l->state])))
			l->action = LETTER_STAYS;
	}
	sql_result_free(&result);
	return 0;
}

static bool
is_applied(const struct letter *l)
{
	return l->action == LETTER_APPLY && !l->refused;
}

static bool
is_dropped(const struct letter *l)
{
	return l->action == LETTER_DROP_IT;
}

static bool
leaves_keys(const struct letter *l)
{
	return (is_applied(l) || is_dropped(l)) && l->key_count > 0;
}

static int
change_all(struct sql *sql, const struct letter_list *list, const char *statement,
    const char *column, letter_wanted *wanted, struct err *err)
{
	struct buf b;

	buf_init(&b);
	buf_add_str(&b, statement);
	if (letters_add_ids(&b, list, column, wanted) > 0)
		return session_send(sql, &b, NULL, err);
	buf_deinit(&b);
	return 0;
}

/* At most so many characters; it may name what a producer chose. */
static void
add_message(struct buf *b, const char *text)
{
	struct str s = str_of(text);
	size_t characters = 0, len = 0;

	for (; len < s.len && characters <= 500; len++)
		characters += ((unsigned char)s.data[len] & 0xc0) != 0x80;
	sql_add_text(b, str_is_utf8(s, NULL) ? (struct str){ s.data, len } : STR("(not UTF-8)"));
}

/* Refused again, or not even tried: open as before. */
static int
put_back(struct sql *sql, const struct letter *l, struct err *err)
{
	struct buf b;

	buf_init(&b);
	buf_printf(&b,
	    "UPDATE sluice_dead_letter SET state='%s', updated_at=UTC_TIMESTAMP(3), "
	    "attempts=attempts+1",
	    l->key_count > 0 ? LETTER_PARKED : LETTER_DEAD);
	if (l->refused) {
		buf_printf(&b, ", reason='%s', code=%d", l->entry.refusal.reason,
		    l->entry.refusal.code);
		buf_add_str(&b, ", message=");
		add_message(&b, l->entry.refusal.text != NULL ? l->entry.refusal.text : "");
	} else {
		buf_add_str(&b, ", message=");
		add_message(&b, l->denied);
	}
	buf_printf(&b, " WHERE id=%llu", (unsigned long long)l->id);
	return session_send(sql, &b, NULL, err);
}

static int
drop_chunks(struct sql *sql, const struct letter *l, struct err *err)
{
	char entry[POSITION_TEXT];
	struct buf b;

	buf_init(&b);
	buf_add_str(&b, "DELETE FROM sluice_dead_letter WHERE lane=");
	sql_add_binary(&b, str_of(l->entry.lane->name));
	buf_printf(&b, " AND entry='%s' AND id>%llu AND chunk>0 ORDER BY id LIMIT %llu",
	    position_text(l->place, entry), (unsigned long long)l->id,
	    (unsigned long long)l->chunks - 1);
	return session_send(sql, &b, NULL, err);
}

static int
settle(struct sql *sql, const struct letter_list *list, bool closes, struct err *err)
{
	for (const struct letter *l = list->first; l != NULL; l = l->next) {
		if ((l->refused || l->action == LETTER_DENY) && put_back(sql, l, err) != 0)
			return -1;
		if (is_dropped(l) && l->chunks > 1 && drop_chunks(sql, l, err) != 0)
			return -1;
	}
	if (change_all(sql, list,
		closes ? "UPDATE sluice_dead_letter SET state='" LETTER_CLOSED "',"
			 " updated_at=UTC_TIMESTAMP(3), attempts=attempts+1" :
			 "UPDATE sluice_dead_letter SET state='" LETTER_APPLIED "',"
			 " updated_at=UTC_TIMESTAMP(3), attempts=attempts+1",
		"id", is_applied, err) != 0 ||
	    change_all(sql, list, "DELETE FROM sluice_dead_letter", "id", is_dropped, err) != 0)
		return -1;
	return change_all(sql, list, "DELETE FROM sluice_parked", "letter", leaves_keys, err);
}

/* Everything between the transaction's beginning and its COMMIT. */
static enum write_result
write_open(struct sql *sql, struct lane *lane, struct letter_list *list, struct batch *batch,
    const struct rows_limits *limits, bool closes, struct write_report *report, struct err *err)
{
	struct ledger_step step = {
		.lane = lane, .from = lane->position, .to = lane->position, .done = lane->done
	};
	enum write_result result = ledger_advance(sql, &step, 1, err);

	if (result != WRITE_OK)
		return result;
	if (lock(sql, list, err) != 0)
		return WRITE_ERROR;
	result = rows_write_letters(sql, batch, limits, report, err);
	if (result == WRITE_OK &&
	    (settle(sql, list, closes, err) != 0 ||
		outbox_write(sql, batch, list, limits->bytes_max, err) != 0))
		return WRITE_ERROR;
	return result;
}

enum write_result
letters_write(struct sql *sql, struct lane *lane, struct letter_list *list, struct batch *batch,
    const struct rows_limits *limits, bool closes, struct write_report *report, struct err *err)
{
	struct parked after = { .keys = NULL };
	enum write_result result = write_open(sql, lane, list, batch, limits, closes, report, err);

	if (result == WRITE_OK && letter_parked_read(sql, lane->name, &after, err) != 0)
		result = WRITE_ERROR;
	if (result != WRITE_OK)
		session_rollback(sql);
	else if (session_commit(sql, err) != 0)
		result = WRITE_ERROR;
	if (result == WRITE_OK)
		parked_replace(&lane->parked, after.keys, after.count);
	parked_deinit(&after);
	return result;
}
