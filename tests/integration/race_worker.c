#include "tests/integration/race_play.h"

#include "common/clock.h"
#include "worker/cache/key_template.h"
#include "worker/read_back.h"
#include "worker/store/schema.h"

#include <stdlib.h>

/* The worker's invalidator on the server, with a batch made for it. */
static struct config config;
static struct config_template written;
static struct config_table users_config;
static struct key_template template;
static struct table table;
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

/* Our clock goes with the server's. */
static void
follow_clock(void)
{
	const struct redis_reply *time = ask("TIME");

	clock_fake(strtoll(time->element[0]->text.data, NULL, 10) * 1000000 +
	    strtoll(time->element[1]->text.data, NULL, 10));
}

/* As the worker does: connect where it isn't, send, and wait. */
static void
play_round(void)
{
	struct err err = { 0 };
	int got;

	follow_clock();
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

/* A change as the worker has it behind its transaction. */
struct told_change {
	struct change change;
	struct entry entry;
	char log[16];
};

static void
make_change(struct told_change *t, const struct event *e, struct value *key, bool repeat)
{
	*t = (struct told_change){ .entry = { .done_before = repeat } };
	if (e->poison)
		t->entry.refusal.reason = REASON_BAD_VALUE;
	t->change = (struct change){
		.op = e->deleted ? CHANGE_DELETE : CHANGE_UPSERT,
		.has_version = !world.family->unversioned && !world.family->places,
		.version = e->version,
		.table = &table,
		.key = key,
		.entry = &t->entry,
	};
	snprintf(t->log, sizeof(t->log), "%u/binlog", e->server);
	if (world.family->places)
		t->change.place = (struct log_place){ str_of(t->log), e->place, e->at_ms };
}

/* The row as their transaction left it, or as another's newer one did; sometimes it isn't read. */
struct reading
worker_read(const struct event *events, unsigned count)
{
	struct reading read = { .row = world.fates[0].row };

	if (world.family->mode != MODE_POPULATE)
		return read;
	follow_clock();
	for (unsigned i = 0; i < count; i++)
		if (world.fates[events[i].version].row.version > read.row.version)
			read.row = world.fates[events[i].version].row;
	/* told much later it may be, but it was read before it was committed */
	read.at_us = clock_us();
	if (below(4) == 0)
		read.row = world.row;
	else if (world.family->puts)
		read.at_us -= (world.now_ms - world.fates[read.row.version].at_ms) * 1000;
	read.there = read.row.there && below(8) != 0;
	return read;
}

static const struct row_now *
row_now(const struct reading *read, struct row_now *now, char text[48])
{
	if (read == NULL || !read->there)
		return NULL;
	snprintf(text, 48, "%u,%u,%u", read->row.version, read->row.a, read->row.b);
	trace("  has read %s", text);
	*now = (struct row_now){ .value = str_of(text), .version = read->row.version };
	batch.now_us = read->at_us;
	return now;
}

void
worker_tell(const struct event *events, unsigned count, const struct reading *read, bool answered)
{
	struct value key = { str_of(world.number), VALUE_TEXT };
	struct touched row = { .table = &table, .key = &key };
	struct told_change changes[BATCH_MAX];
	struct row_now now;
	char text[48];

	CHECK(count <= BATCH_MAX);
	written.mode = world.family->mode;
	written.populate_always = world.family->sleeps;
	for (unsigned i = 0; i < count; i++) {
		make_change(&changes[i], &events[i], &key, read == NULL);
		changes[i].change.next_of_touched = row.changes;
		row.changes = &changes[i].change;
		trace("  told %u%s", events[i].version, events[i].poison ? " (refused)" : "");
	}
	row.now = row_now(read, &now, text);
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
