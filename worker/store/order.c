#include "worker/store/order.h"

#include "common/number.h"
#include "worker/store/session.h"

#include <stdio.h>

const char *
order_text(const struct lane_order *order, char out[ORDER_TEXT])
{
	static const char *const verbs[] = {
		[ORDER_RESUME] = "resume",
		[ORDER_SKIP] = "skip",
		[ORDER_ACK] = "ack",
	};
	char at[POSITION_TEXT];

	CHECK(order->kind != ORDER_NONE && order->kind != ORDER_NOT_OURS);
	if (order->has_position)
		snprintf(out, ORDER_TEXT, "%s %s", verbs[order->kind],
		    position_text(order->position, at));
	else
		snprintf(out, ORDER_TEXT, "%s", verbs[order->kind]);
	return out;
}

/* Does text begin with the word?  *rest is what stands behind it and a blank. */
static bool
begins_with(struct str text, struct str word, struct str *rest)
{
	if (text.len < word.len || memcmp(text.data, word.data, word.len) != 0)
		return false;
	*rest = (struct str){ text.data + word.len, text.len - word.len };
	if (rest->len == 0)
		return true;
	if (rest->data[0] != ' ' || rest->len == 1)
		return false;
	rest->data++;
	rest->len--;
	return true;
}

bool
order_parse(struct str text, struct lane_order *out)
{
	struct str at;

	*out = (struct lane_order){ .kind = ORDER_NONE };
	if (begins_with(text, STR("resume"), &at))
		out->kind = ORDER_RESUME;
	else if (begins_with(text, STR("skip"), &at))
		out->kind = ORDER_SKIP;
	else if (begins_with(text, STR("ack"), &at))
		out->kind = ORDER_ACK;
	else
		return false;
	out->has_position = at.len > 0;
	if (out->has_position && (out->kind == ORDER_ACK || !position_parse(at, &out->position)))
		goto fail;
	if (out->kind == ORDER_SKIP && !out->has_position)
		goto fail;
	return true;
fail:
	*out = (struct lane_order){ .kind = ORDER_NONE };
	return false;
}

int
ledger_order_write(struct sql *sql, struct str lane, struct str text, struct err *err)
{
	struct lane_order order;
	struct sql_result result;
	struct buf update;
	int status;

	if (!order_parse(text, &order))
		return err_set(err, ERR_FATAL, 0,
		    "an order is resume, resume ID, skip ID or ack, with an ID like "
		    "1735689600000-0");
	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger SET command=");
	sql_add_text(&update, text);
	buf_add_str(&update, " WHERE lane=");
	sql_add_binary(&update, lane);
	status = session_query(sql, (struct str){ update.data, update.len }, &result, err);
	buf_deinit(&update);
	if (status == 0 && result.matched == 0)
		status = err_set(err, ERR_FATAL, 0,
		    "there is no lane of that name in the ledger;"
		    " `sluice lane list` shows them");
	return session_end(sql, status, err);
}

/* False: another order took its place meanwhile, or another owner the lane. */
static int
clear_order(struct sql *sql, const struct lane *lane, struct str text, bool *cleared,
    struct err *err)
{
	struct sql_result result;
	struct buf update;
	int status;

	buf_init(&update);
	buf_add_str(&update, "UPDATE sluice_ledger SET command='' WHERE lane=");
	sql_add_binary(&update, str_of(lane->name));
	buf_printf(&update, " AND epoch=%llu AND command=", (unsigned long long)lane->epoch);
	sql_add_text(&update, text);
	status = session_query(sql, (struct str){ update.data, update.len }, &result, err);
	buf_deinit(&update);
	*cleared = status == 0 && result.matched == 1;
	return status;
}

/* false: no lane to ask for. */
static bool
add_select(struct buf *select, struct lane **lanes, size_t count)
{
	const char *before = "SELECT lane, command, epoch FROM sluice_ledger WHERE lane IN (";
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (lanes[i] == NULL)
			continue;
		buf_add_str(select, any ? "," : before);
		sql_add_binary(select, str_of(lanes[i]->name));
		any = true;
	}
	buf_add_str(select, ") AND command<>''");
	return any;
}

static int
take_order(struct sql *sql, struct lane **lanes, size_t count, const struct sql_result *result,
    size_t row, struct lane_order *orders, struct err *err)
{
	struct str name = sql_cell(result, row, 0), text = sql_cell(result, row, 1);
	struct lane_order order;
	uint64_t epoch;
	bool cleared;

	if (!order_parse(text, &order))
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (lanes[i] == NULL || !str_equal(str_of(lanes[i]->name), name))
			continue;
		if (!number_u64(sql_cell(result, row, 2), &epoch) || epoch != lanes[i]->epoch) {
			orders[i].kind = ORDER_NOT_OURS;
			return 0;
		}
		if (clear_order(sql, lanes[i], text, &cleared, err) != 0)
			return -1;
		if (!lanes[i]->is_partition)
			order.position = position_of_stream(order.position);
		if (cleared)
			orders[i] = order;
		return 0;
	}
	return 0;
}

int
ledger_orders_take(struct sql *sql, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	struct sql_result result = { 0 };
	struct buf select;
	int status = 0;

	for (size_t i = 0; i < count; i++)
		orders[i] = (struct lane_order){ .kind = ORDER_NONE };
	buf_init(&select);
	if (add_select(&select, lanes, count)) {
		status = session_query(sql, (struct str){ select.data, select.len }, &result, err);
		for (size_t i = 0; status == 0 && i < result.rows; i++)
			status = take_order(sql, lanes, count, &result, i, orders, err);
		sql_result_free(&result);
		status = session_end(sql, status, err);
	}
	buf_deinit(&select);
	for (size_t i = 0; status != 0 && i < count; i++)
		orders[i] = (struct lane_order){ .kind = ORDER_NONE };
	return status;
}
