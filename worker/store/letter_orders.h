#ifndef WORKER_STORE_LETTER_ORDERS_H
#define WORKER_STORE_LETTER_ORDERS_H

#include "common/redis.h"
#include "config/config.h"
#include "worker/lane.h"
#include "worker/store/store.h"

/*
 * Orders of `sluice lane` for lanes without a ledger: a hash of lane names on config_orders_server,
 * each with the wall clock and an order, "1732000000000 resume".  Nobody takes one out: whoever has
 * the lane when it is given obeys it once, and whoever takes the lane up later doesn't.
 *
 * Thread: its worker's.
 */
struct letter_orders;

/* The connection is borrowed from a home that has one to that server, else NULL: then it has its own. */
struct letter_orders *letter_orders_new(const struct config *config, struct redis *redis,
    int worker);
void letter_orders_free(struct letter_orders **orders);

/* As letter_home_ops.orders; while the server is away nothing is ordered. */
int letter_orders_take(struct letter_orders *o, struct lane **lanes, size_t count,
    struct lane_order *orders);

/* The key of that hash. */
void letter_orders_key(const char *pool, struct buf *out);

#endif
