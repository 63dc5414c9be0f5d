#include "worker/store/lane_beat.h"

#include "common/buf.h"
#include "worker/store/session.h"

#include <string.h>

static void
mark_found(const struct sql_result *result, struct lane **lanes, size_t count, bool *theirs)
{
	for (size_t row = 0; row < result->rows; row++)
		for (size_t i = 0; i < count; i++)
			if (lanes[i] != NULL &&
			    str_equal(sql_cell(result, row, 0), str_of(lanes[i]->name)))
				theirs[i] = true;
}

/* The members that live by a heartbeat, but for us; for a row l of the ledger. */
static void
add_owner_lives(struct buf *b, const char *me)
{
	buf_add_str(b,
	    "EXISTS (SELECT 1 FROM sluice_worker w WHERE w.member=CAST(l.owner AS BINARY)"
	    " AND w.session_lock='' AND w.member<>");
	sql_add_binary(b, str_of(me));
	buf_printf(b, " AND w.beat_at > UTC_TIMESTAMP(3) - INTERVAL %d SECOND)", LANE_BEAT_TTL_S);
}

int
lane_beat_find(struct sql *sql, const char *me, struct lane **lanes, size_t count, bool *theirs,
    struct err *err)
{
	struct sql_result result;
	struct buf select;
	int status;

	for (size_t i = 0; i < count; i++)
		theirs[i] = false;
	buf_init(&select);
	buf_add_str(&select, "SELECT l.lane FROM sluice_ledger l WHERE l.lane IN (''");
	for (size_t i = 0; i < count; i++) {
		if (lanes[i] == NULL)
			continue;
		buf_add_char(&select, ',');
		sql_add_binary(&select, str_of(lanes[i]->name));
	}
	buf_add_str(&select, ") AND ");
	add_owner_lives(&select, me);
	status = session_send(sql, &select, &result, err);
	if (status == 0) {
		mark_found(&result, lanes, count, theirs);
		sql_result_free(&result);
	}
	return session_end(sql, status, err);
}

static int
has_row(struct sql *sql, const struct lane *lane, bool *found, struct err *err)
{
	struct sql_result result;
	struct buf select;

	buf_init(&select);
	buf_add_str(&select, "SELECT 1 FROM sluice_ledger WHERE lane=");
	sql_add_binary(&select, str_of(lane->name));
	if (session_send(sql, &select, &result, err) != 0)
		return -1;
	*found = result.rows > 0;
	sql_result_free(&result);
	return 0;
}

int
lane_beat_take(struct sql *sql, const char *me, const struct lane *lane, bool *owned,
    struct err *err)
{
	struct sql_result result = { 0 };
	struct buf update;
	bool found = true;
	int status;

	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger l SET epoch=epoch+1, owner=");
	sql_add_text(&update, str_of(me));
	buf_add_str(&update, ", updated_at=UTC_TIMESTAMP(3) WHERE lane=");
	sql_add_binary(&update, str_of(lane->name));
	buf_add_str(&update, " AND NOT ");
	add_owner_lives(&update, me);
	status = session_send(sql, &update, &result, err);
	if (status == 0 && result.matched == 0)
		status = has_row(sql, lane, &found, err);
	*owned = status == 0 && (result.matched == 1 || !found);
	return session_end(sql, status, err);
}

int
lane_beat_give(struct sql *sql, const char *me, const struct lane *lane, struct err *err)
{
	struct buf update;

	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger SET owner='' WHERE lane=");
	sql_add_binary(&update, str_of(lane->name));
	buf_add_str(&update, " AND owner=");
	sql_add_text(&update, str_of(me));
	return session_end(sql, session_send(sql, &update, NULL, err), err);
}
