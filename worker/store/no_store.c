#include "worker/store/no_store.h"

#include "worker/store/type_board.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TYPES_WAITS = 20, TYPES_WAIT_MS = 100 };

/* What a ledger row would say. */
struct place {
	const struct lane *lane;
	bool found;
	uint64_t epoch;
	struct position position, done;
	char identity[64]; /* of the topic, as it was read */
};

struct no_store {
	struct store store; /* first: a struct store * is one of these */
	const struct config *config;
	struct schema *schema;
	uint64_t types_version; /* of the type board, when it was made */
	struct letter_home *home;
	struct place *places; /* room for every lane of the process */
	size_t place_count;
	struct member member;
	bool open;
};

static struct no_store *
of(struct store *store)
{
	return (struct no_store *)store;
}

static struct place *
place_of(struct store *store, const struct lane *lane)
{
	struct no_store *n = of(store);

	for (size_t i = 0; i < n->place_count; i++)
		if (n->places[i].lane == lane)
			return &n->places[i];
	CHECK(n->place_count < lanes_max(n->config));
	n->places[n->place_count] = (struct place){ .lane = lane };
	return &n->places[n->place_count++];
}

/* ---- the session that isn't ---- */

static void
load(struct no_store *n)
{
	n->types_version = type_board_version();
	schema_load_config(n->schema);
}

/* Where MySQL is configured it may tell types, and at a start it is asked just now. */
static void
wait_for_types(const struct no_store *n)
{
	for (int i = 0; i < TYPES_WAITS && n->config->has_mysql && type_board_version() == 0; i++)
		poll(NULL, 0, TYPES_WAIT_MS);
}

static int
no_open(struct store *store, struct err *err)
{
	(void)err;
	if (!schema_loaded(of(store)->schema)) {
		wait_for_types(of(store));
		load(of(store));
	}
	of(store)->open = true;
	return 0;
}

static bool
no_is_open(const struct store *store)
{
	return ((const struct no_store *)store)->open;
}

static int
no_ping(struct store *store, struct err *err)
{
	(void)store, (void)err;
	return 0;
}

static struct schema *
no_schema(struct store *store)
{
	return of(store)->schema;
}

static int
no_load_schema(struct store *store, struct err *err)
{
	(void)err;
	load(of(store));
	return 0;
}

static int
no_look_schema(struct store *store, bool *changed, struct err *err)
{
	(void)err;
	*changed = of(store)->types_version != type_board_version();
	return 0;
}

/* ---- the pool: every process reads all ---- */

static int
no_join(struct store *store, unsigned lanes, struct err *err)
{
	(void)err;
	of(store)->member.lanes = lanes;
	return 0;
}

static int
no_leave(struct store *store, struct err *err)
{
	(void)store, (void)err;
	return 0;
}

static int
no_members(struct store *store, struct pool_view *view, struct err *err)
{
	(void)err;
	*view = (struct pool_view){ .members = &of(store)->member, .count = 1 };
	return 0;
}

static int
no_unowned(struct store *store, struct lane **lanes, size_t count, bool *unowned, struct err *err)
{
	(void)store, (void)lanes, (void)err;
	for (size_t i = 0; i < count; i++)
		unowned[i] = true;
	return 0;
}

static int
no_disown(struct store *store, struct lane *lane, struct err *err)
{
	(void)err;
	place_of(store, lane)->found = false;
	return 0;
}

/* ---- places ---- */

static int
no_load(struct store *store, struct lane *lane, bool raise, struct ledger_row *row, struct err *err)
{
	struct place *p = place_of(store, lane);

	(void)err;
	p->epoch += raise;
	*row = (struct ledger_row){ .found = p->found,
		.ours_before = raise, /* nobody else has it */
		.epoch = p->epoch,
		.position = p->position,
		.done = p->done,
		.lanes_of_source = lane->lanes_of_source };
	snprintf(row->identity, sizeof(row->identity), "%s", p->identity);
	return 0;
}

static int
no_start(struct store *store, struct lane *lane, struct position start, const char *identity,
    struct err *err)
{
	struct place *p = place_of(store, lane);

	(void)err;
	p->found = true;
	p->position = p->done = start;
	snprintf(p->identity, sizeof(p->identity), "%s", identity);
	return 0;
}

static int
no_identify(struct store *store, struct lane *lane, const char *identity, struct err *err)
{
	struct place *p = place_of(store, lane);

	(void)err;
	snprintf(p->identity, sizeof(p->identity), "%s", identity);
	return 0;
}

static int
no_move(struct store *store, struct lane *lane, struct position to, struct err *err)
{
	struct place *p = place_of(store, lane);

	(void)err;
	p->position = p->done = to;
	if (position_compare(lane->answered, lane->position) < 0 &&
	    position_compare(lane->answered, to) < 0)
		p->done = lane->answered;
	return 0;
}

static enum write_result
no_record(struct store *store, struct lane **lanes, size_t count, struct err *err)
{
	(void)err;
	for (size_t i = 0; i < count; i++)
		place_of(store, lanes[i])->done = lanes[i]->recording;
	return WRITE_OK;
}

static int
no_orders(struct store *store, struct lane **lanes, size_t count, struct lane_order *orders,
    struct err *err)
{
	struct no_store *n = of(store);

	return n->home->ops->orders(n->home, lanes, count, orders, err);
}

static int
no_mark(struct store *store, struct lane *lane, struct err *err)
{
	(void)store, (void)lane, (void)err;
	return 0;
}

static int
no_list(struct store *store, const char *prefix, struct ledger_place **list, size_t *count,
    struct err *err)
{
	(void)store, (void)prefix, (void)err;
	*list = NULL;
	*count = 0;
	return 0;
}

static int
no_recount(struct store *store, const struct ledger_place *places, size_t count,
    unsigned lanes_of_source, struct err *err)
{
	(void)store, (void)places, (void)count, (void)lanes_of_source, (void)err;
	return 0;
}

/* ---- letters: `sluice dead` applies them itself ---- */

static int
no_letters_due(struct store *store, struct lane **lanes, size_t count, bool applied, bool *due,
    struct err *err)
{
	(void)store, (void)lanes, (void)applied, (void)err;
	memset(due, 0, count * sizeof(*due));
	return 0;
}

static int
no_letters_next(struct store *store, struct lane *lane, uint64_t after, struct letter_list *list,
    struct err *err)
{
	(void)store, (void)lane, (void)after, (void)list, (void)err;
	return 0;
}

static int
no_letters_read(struct store *store, struct letter_list *list, struct err *err)
{
	(void)store, (void)list, (void)err;
	return 0;
}

static enum write_result
no_letters_write(struct store *store, struct lane *lane, struct letter_list *list,
    struct batch *batch, bool closes, struct write_report *report, struct err *err)
{
	(void)store, (void)lane, (void)list, (void)batch, (void)closes, (void)err;
	*report = (struct write_report){ 0 };
	return WRITE_OK;
}

static int
no_letters_close(struct store *store, const struct letter_list *list, struct err *err)
{
	(void)store, (void)list, (void)err;
	return 0;
}

static int
no_letters_count(struct store *store, struct lane **lanes, size_t count,
    struct letter_count *counts, size_t *counted, struct err *err)
{
	(void)store, (void)lanes, (void)count, (void)counts, (void)err;
	*counted = 0;
	return 0;
}

static int
no_parked_load(struct store *store, struct lane *lane, struct err *err)
{
	(void)store, (void)err;
	parked_clear(&lane->parked);
	return 0;
}

static enum write_result
no_letters(struct store *store, struct lane *lane, struct entry *first, const char *alarm,
    struct err *err)
{
	struct no_store *n = of(store);
	unsigned written;

	(void)lane, (void)alarm;
	return n->home->ops->write(n->home, first, &written, err) == 0 ? WRITE_OK : WRITE_ERROR;
}

/* ---- a batch ---- */

static void
no_prepare(struct store *store, struct batch *batch)
{
	(void)store, (void)batch;
}

static int
no_recall(struct store *store, struct batch *batch, struct letter_list *list, struct err *err)
{
	(void)store, (void)batch, (void)list, (void)err;
	return 0;
}

static enum write_result
no_write(struct store *store, struct batch *batch, struct write_report *report, struct err *err)
{
	struct no_store *n = of(store);

	*report = (struct write_report){ 0 };
	batch_forget_tries(batch);
	if (batch->refused > 0 && batch_check_poison(batch, n->config->poison_rate))
		return WRITE_LEAVE;
	if (batch->refused > 0 &&
	    n->home->ops->write(n->home, batch->first, &report->dead, err) != 0)
		return WRITE_ERROR;
	for (const struct batch_lane *bl = batch->lanes; bl != NULL; bl = bl->next) {
		if (!bl->writes)
			continue;
		place_of(store, bl->lane)->position = bl->to;
		place_of(store, bl->lane)->done = bl->done;
	}
	return WRITE_OK;
}

static void
no_free(struct store **store)
{
	struct no_store *n;

	if (*store == NULL)
		return;
	n = of(*store);
	schema_free(&n->schema);
	n->home->ops->free(&n->home);
	free(n->places);
	free(n);
	*store = NULL;
}

static const struct store_ops no_ops = {
	.open = no_open,
	.is_open = no_is_open,
	.ping = no_ping,
	.schema = no_schema,
	.load_schema = no_load_schema,
	.look_schema = no_look_schema,
	.join = no_join,
	.leave = no_leave,
	.members = no_members,
	.sweep = no_leave,
	.unowned = no_unowned,
	.own = no_unowned,
	.disown = no_disown,
	.load = no_load,
	.start = no_start,
	.parked_load = no_parked_load,
	.letters_due = no_letters_due,
	.letters_next = no_letters_next,
	.letters_read = no_letters_read,
	.letters_write = no_letters_write,
	.letters_close = no_letters_close,
	.letters_count = no_letters_count,
	.orders = no_orders,
	.move = no_move,
	.identify = no_identify,
	.mark = no_mark,
	.record = no_record,
	.list = no_list,
	.recount = no_recount,
	.prepare = no_prepare,
	.forget = no_prepare,
	.recall = no_recall,
	.write = no_write,
	.letters = no_letters,
	.free = no_free,
};

struct store *
no_store_new(const struct config *config, struct letter_home **home)
{
	struct no_store *n = calloc(1, sizeof(*n));

	CHECK(n != NULL);
	n->store.ops = &no_ops;
	n->config = config;
	n->home = *home;
	*home = NULL;
	n->places = calloc(lanes_max(config) + 1, sizeof(*n->places));
	CHECK(n->places != NULL);
	n->schema = schema_new(config);
	n->member = (struct member){ .process = "this", .workers = 1, .mine = true };
	return &n->store;
}
