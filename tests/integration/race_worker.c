#include "tests/integration/race_play.h"

#include "worker/cache/key_template.h"
#include "worker/store/schema.h"

#include <stdlib.h>

/* The worker's invalidator on the server, with a batch made for it. */
static struct config config;
static struct config_template written;
static struct config_table users_config;
static struct key_template template;
static struct column columns[] = { { .name = "id", .kind = COLUMN_INT },
	{ .name = "ver", .kind = COLUMN_INT, .key_part = -1 },
	{ .name = "a", .kind = COLUMN_INT, .key_part = -1 },
	{ .name = "b", .kind = COLUMN_INT, .key_part = -1 } };
enum { COLUMN_VER = 1, COLUMN_A, COLUMN_B, SET_COLUMNS = 2 };
static const struct shape_column set_columns[] = { { .column = COLUMN_A }, { .column = COLUMN_B } };
static struct table table;
static const struct shape shape = {
	.table = &table, .kind = SHAPE_UPSERT, .count = SET_COLUMNS, .columns = set_columns
};
static struct batch batch;
static struct cache *cache;

static void
fail(const struct err *err)
{
	fprintf(stderr, "the invalidator: %s\n", err->text);
	exit(2);
}

void
worker_open(int port)
{
	static const char *const names[] = { "id" };

	written = (struct config_template){ .written = "race:{id}",
		.mode = MODE_VERSIONED,
		.marker_ms = MARKER_MS,
		.marker_absent_ms = ABSENT_MS,
		.quarantine_ms = QUARANTINE_MS,
		.ttl_ms = TTL_MS };
	users_config =
	    (struct config_table){ .name = "users", .templates = &written, .template_count = 1 };
	config = (struct config){ .cache = { .host = "127.0.0.1",
				      .port = port,
				      .connect_timeout_ms = 5000,
				      .timeout_ms = 60000 },
		.tables = &users_config,
		.table_count = 1 };
	CHECK(key_template_compile(&template, &written, names, 1, NULL) == 0);
	table = (struct table){ .name = "users",
		.config = &users_config,
		.columns = columns,
		.column_count = COLUMN_B + 1,
		.version_column = COLUMN_VER,
		.key_count = 1,
		.templates = &template,
		.template_count = 1 };
	batch.state = BATCH_WRITTEN;
	cache = invalidate_new(&config, 0);
}

void
worker_close(void)
{
	cache->ops->free(&cache);
	key_template_deinit(&template);
}

/* As the worker does: connect where it isn't, send, and wait. */
static void
play_round(void)
{
	struct err err = { 0 };
	int got;

	if (!cache->ops->is_open(cache) && cache->ops->open(cache, &err) != 0)
		fail(&err);
	if (cache->ops->start(cache, &batch, &err) != 0)
		fail(&err);
	while ((got = cache->ops->poll(cache, 1000, &err)) == 0)
		;
	if (got < 0)
		fail(&err);
}

static void
told(const struct event *e)
{
	world.fates[e->version].told = true;
	if (!e->poison && e->version > world.told)
		world.told = e->version;
}

/* A change as the worker has it behind its transaction.  An observed one holds the whole row. */
struct told_change {
	struct change change;
	struct entry entry;
	struct value values[SET_COLUMNS];
	char digits[SET_COLUMNS][12], log[16];
};

static void
make_change(struct told_change *t, const struct event *e, struct value *key, bool repeat)
{
	const struct row *row = &world.fates[e->version].row;

	*t = (struct told_change){ .entry = { .done_before = repeat } };
	snprintf(t->digits[0], sizeof(t->digits[0]), "%u", row->a);
	snprintf(t->digits[1], sizeof(t->digits[1]), "%u", row->b);
	for (unsigned i = 0; i < SET_COLUMNS; i++)
		t->values[i] = (struct value){ str_of(t->digits[i]), VALUE_NUMBER };
	if (e->poison)
		t->entry.refusal.reason = REASON_BAD_VALUE;
	t->change = (struct change){
		.op = e->deleted ? CHANGE_DELETE : CHANGE_UPSERT,
		.has_version = !world.family->unversioned && !world.family->places,
		.version = e->version,
		.table = &table,
		.shape = &shape,
		.values = t->values,
		.key = key,
		.entry = &t->entry,
	};
	snprintf(t->log, sizeof(t->log), "%u/binlog", e->server);
	if (world.family->places)
		t->change.place = (struct log_place){ str_of(t->log), e->place, e->at_ms };
}

void
worker_tell(const struct event *events, unsigned count, bool repeat, bool answered)
{
	struct value key = { str_of(world.number), VALUE_TEXT };
	struct touched row = { .table = &table, .key = &key };
	struct told_change changes[BATCH_MAX];

	CHECK(count <= BATCH_MAX);
	written.mode = world.family->mode;
	for (unsigned i = 0; i < count; i++) {
		make_change(&changes[i], &events[i], &key, repeat);
		changes[i].change.next_of_touched = row.changes;
		row.changes = &changes[i].change;
		trace("  told %u%s", events[i].version, events[i].poison ? " (refused)" : "");
	}
	if (world.plain) {
		ask("DEL %s", world.key);
	} else {
		batch.touched = &row;
		play_round();
		batch.touched = NULL;
	}
	for (unsigned i = 0; answered && i < count; i++)
		told(&events[i]);
}
