#ifndef WORKER_STORE_MYSQL_STORE_H
#define WORKER_STORE_MYSQL_STORE_H

#include "common/buf.h"
#include "worker/store/ledger.h"
#include "worker/store/member.h"
#include "worker/store/rows.h"
#include "worker/store/session.h"
#include "worker/store/store.h"

/*
 * The MySQL store, shared by its files:
 *	mysql_store.c	the session, the operations' table
 *	mysql_lanes.c	the pool, lanes and their ledger rows, dead letters that are there
 *	mysql_batch.c	a batch as one transaction
 * What each operation promises stands in store.h.
 */
struct mysql_store {
	struct store store; /* first: a struct store * is one of these */
	const struct config *config;
	int worker;
	struct sql_options options;
	struct buf password;
	struct sql *sql;
	struct schema *schema;
	struct rows_limits limits; /* bytes_max 0: never opened */
	struct ledger_step *steps; /* room for every lane of the process */
	size_t steps_max;
	bool *warned; /* by place in config->tables */
	char session_lock[SESSION_LOCK_MAX];
	struct membership membership;
};

static inline struct mysql_store *
mysql_of(struct store *store)
{
	return (struct mysql_store *)store;
}

/* ---- mysql_lanes.c ---- */
int mysql_join(struct store *store, unsigned lanes, struct err *err);
int mysql_leave(struct store *store, struct err *err);
int mysql_members(struct store *store, struct pool_view *view, struct err *err);
int mysql_sweep(struct store *store, struct err *err);
int mysql_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned,
    struct err *err);
int mysql_own(struct store *store, struct lane **lanes, size_t count, bool *owned, struct err *err);
int mysql_disown(struct store *store, struct lane *lane, struct err *err);
int mysql_load(struct store *store, struct lane *lane, bool raise, struct ledger_row *row,
    struct err *err);
int mysql_start(struct store *store, struct lane *lane, struct position start, const char *identity,
    struct err *err);
int mysql_parked_load(struct store *store, struct lane *lane, struct err *err);
int mysql_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied,
    bool *due, struct err *err);
int mysql_letters_next(struct store *store, struct lane *lane, uint64_t after,
    struct letter_list *list, struct err *err);
int mysql_letters_read(struct store *store, struct letter_list *list, struct err *err);
int mysql_letters_close(struct store *store, const struct letter_list *list, struct err *err);
int mysql_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err);
enum write_result mysql_letters_write(struct store *store, struct lane *lane,
    struct letter_list *list, struct batch *batch, bool closes, struct write_report *report,
    struct err *err);
int mysql_orders(struct store *store, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err);
int mysql_identify(struct store *store, struct lane *lane, const char *identity, struct err *err);
int mysql_mark(struct store *store, struct lane *lane, struct err *err);
int mysql_move(struct store *store, struct lane *lane, struct position to, struct err *err);
enum write_result mysql_record(struct store *store, struct lane **lanes, size_t count,
    struct err *err);
int mysql_list(struct store *store, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err);
int mysql_recount(struct store *store, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err);

/* ---- mysql_batch.c ---- */
void mysql_prepare(struct store *store, struct batch *batch);
void mysql_forget(struct store *store, struct batch *batch);
int mysql_recall(struct store *store, struct batch *batch, struct letter_list *list,
    struct err *err);
int mysql_outbox_count(struct store *store, struct lane **lanes, size_t count, uint64_t *rows,
    struct err *err);
enum write_result mysql_write(struct store *store, struct batch *batch, struct write_report *report,
    struct err *err);
enum write_result mysql_letters(struct store *store, struct lane *lane, struct entry *first,
    const char *alarm, struct err *err);

#endif
