#ifndef WORKER_STORE_ORDER_H
#define WORKER_STORE_ORDER_H

#include "common/err.h"
#include "common/mysql.h"
#include "common/str.h"
#include "worker/store/store.h"

/*
 * Orders of `sluice lane`: a text in the lane's ledger row, taken out by the lane's owner.
 *	resume		go on where the ledger stands
 *	resume 1-0	go on behind 1-0
 *	skip 1-0	go on behind 1-0, which was never applied
 *	ack		the alarm is known
 */
#define ORDER_TEXT 64

/* The text of an order that isn't ORDER_NONE; returns out. */
const char *order_text(const struct lane_order *order, char out[ORDER_TEXT]);
/* False when the text is no order. */
bool order_parse(struct str text, struct lane_order *out);

/* Leave an order in the row of the lane of that name; an older one is replaced.  FATAL when there
 * is no such lane or the text is no order. */
int ledger_order_write(struct sql *sql, struct str lane, struct str text, struct err *err);

/*
 * Take the orders out of the rows of the lanes that aren't NULL; the others get ORDER_NONE.  What
 * was read is what is cleared: an order that replaces it meanwhile is there for the next call.  A
 * row with another epoch has another owner, who takes it (ORDER_NOT_OURS).  A text of a later release stays where it is.
 */
int ledger_orders_take(struct sql *sql, struct lane **lanes, size_t count,
    struct lane_order *orders, struct err *err);

#endif
