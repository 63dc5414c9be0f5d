/* One schedule, step by step (race_play.h). */
#include "tests/integration/race_play.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct world world;

unsigned
below(unsigned n)
{
	return (unsigned)random_below(&world.random, n);
}

static bool
chance(unsigned percent)
{
	return below(100) < percent;
}

void
trace(const char *format, ...)
{
	va_list ap;

	if (!world.trace)
		return;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

static const char *
word_of(const struct redis_reply *reply, size_t at)
{
	if (reply->type != REDIS_ARRAY)
		return reply->text.data;
	return at < reply->count ? reply->element[at]->text.data : NULL;
}

static bool
says(const struct redis_reply *reply, const char *word)
{
	const char *first = word_of(reply, 0);

	return first != NULL && strcmp(first, word) == 0;
}

static void
keep(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text != NULL ? text : "");
}

/* ---- the database ---- */

/* What a loader reads now: the row as the primary has it, or a replica had it. */
static struct row
select_row(void)
{
	int64_t at_ms = world.now_ms;
	struct row row = { 0 };

	if (world.family->lag_ms == 0)
		return world.row;
	at_ms -= below((unsigned)world.family->lag_ms + 1);
	for (unsigned v = 1; v <= world.last_version; v++)
		if (world.fates[v].committed && world.fates[v].at_ms <= at_ms)
			row = world.fates[v].row;
	return row;
}

/* Apply a change: not below the row's version. */
static void
commit(const struct event *e)
{
	struct fate *f = &world.fates[e->version];

	if (e->poison) {
		f->refused = true;
		return;
	}
	if (e->version < world.row.version)
		return;
	if (!world.row.there)
		world.row.a = world.row.b = 0;
	world.row.version = e->version;
	world.row.there = !e->deleted;
	world.row.a = e->a != 0 ? e->a : world.row.a;
	world.row.b = e->b != 0 ? e->b : world.row.b;
	*f = (struct fate){
		.row = world.row, .at_ms = world.now_ms, .exists = true, .committed = true
	};
	trace("  committed %u: %u,%u%s", e->version, world.row.a, world.row.b,
	    e->deleted ? " deleted" : "");
}

static struct event
new_event(void)
{
	struct event e = { .version = ++world.last_version,
		.server = world.server,
		.place = ++world.place,
		.at_ms = (uint64_t)world.now_ms / 1000 * 1000 };

	world.fates[e.version].exists = true;
	return e;
}

static void
log_add(unsigned lane, struct event e)
{
	struct event_log *log = &world.logs[lane];

	log->events[log->count++] = e;
}

static bool
is_full(void)
{
	return world.last_version + 2 >= VERSIONS_MAX;
}

/* Somebody writes MySQL; the change is observed. */
static void
do_write(void)
{
	struct event e;

	if (is_full())
		return;
	e = new_event();
	e.deleted = world.family->deletes && world.row.there && chance(30);
	if (!e.deleted) {
		e.a = !world.family->puts || chance(30) ? e.version : 0;
		e.b = e.a == 0 || !world.row.there || chance(30) ? e.version : 0;
	}
	trace("write %u", e.version);
	commit(&e);
	log_add(LANE_OBSERVED, e);
	world.logs[LANE_OBSERVED].written = world.logs[LANE_OBSERVED].count;
}

/* Another server takes over, or this one's log begins again: places start anew, above or below. */
static void
do_new_log(void)
{
	if (!world.family->places)
		return;
	world.servers |= 1u << world.server;
	world.server = below(3);
	world.place = below(3);
	if ((world.servers & 1u << world.server) != 0)
		clock_move(1000); /* it takes a while: its events tell seconds */
	trace("the log of server %u begins", world.server);
}

/* The application asks for a change of one column, without the cache. */
static void
do_ask(void)
{
	struct event e;

	if (is_full() || !world.family->puts)
		return;
	e = new_event();
	e.b = e.version;
	e.poison = chance(15);
	trace("asked %u", e.version);
	log_add(LANE_ASKED, e);
}

/* ---- the application puts ---- */

static void
do_app_reads(void)
{
	const struct redis_reply *reply;
	const char *payload;

	if (!world.family->puts)
		return;
	world.app_has = false;
	reply = world.plain ? ask("GET %s", world.key) : ask("FCALL sluice_get 1 %s 1", world.key);
	payload = world.plain ? word_of(reply, 0) : says(reply, "HIT") ? word_of(reply, 1) : NULL;
	if (payload != NULL && strcmp(payload, "none") != 0) {
		check_value(payload);
		CHECK(sscanf(payload, "%u,%u,%u", &world.app.version, &world.app.a, &world.app.b) ==
		    3);
		keep(world.app_base, sizeof(world.app_base), word_of(reply, 2));
	} else {
		world.app = world.row;
		snprintf(world.app_base, sizeof(world.app_base), "%u", world.row.version);
	}
	world.app_has = world.app.version != 0;
	trace("the application read %u,%u,%u", world.app.version, world.app.a, world.app.b);
}

static void
do_put(void)
{
	const struct redis_reply *reply;
	struct event e;

	if (is_full() || !world.app_has)
		return;
	world.app_has = false;
	e = (struct event){ .version = world.last_version + 1 };
	e.a = e.version;
	e.poison = chance(15);
	if (world.plain)
		reply = ask("SET %s %u,%u,%u", world.key, e.version, e.a, world.app.b);
	else
		reply = ask("FCALL sluice_put 2 %s race:stream %u %s %u,%u,%u %u 1000000 g id 1",
		    world.key, e.version, world.app_base, e.version, e.a, world.app.b, TTL_MS);
	trace("put %u from %s: %s", e.version, world.app_base, word_of(reply, 0));
	if (!says(reply, "OK"))
		return;
	new_event();
	log_add(LANE_ASKED, e);
}

/* ---- readers and refreshers ---- */

static void
actor_looks(struct actor *c)
{
	unsigned lease_ms = chance(50) ? LEASE_MS : 50;
	const struct redis_reply *reply;
	const char *value;

	if (world.plain) {
		value = word_of(ask("GET %s", world.key), 0);
		if (value != NULL && !c->refresher)
			check_value(strcmp(value, "none") == 0 ? NULL : value);
		c->at = value == NULL || c->refresher ? HAS_LEASE : IDLE;
		return;
	}
	reply = c->refresher ?
	    ask("FCALL sluice_lease 1 %s %u %u", world.key, lease_ms, 2 * TTL_MS) :
	    ask("FCALL sluice_get 1 %s %u", world.key, lease_ms);
	trace("%s: %s", c->refresher ? "refresher" : "reader", word_of(reply, 0));
	if (says(reply, "HIT") || says(reply, "STALE"))
		check_value(word_of(reply, 1));
	c->at = says(reply, "LOAD") ? HAS_LEASE : IDLE;
	if (c->at == IDLE)
		return;
	keep(c->token, sizeof(c->token), word_of(reply, 1));
	keep(c->refresher ? c->stamp : c->floor, sizeof(c->stamp), word_of(reply, 2));
	if (c->refresher)
		keep(c->floor, sizeof(c->floor), word_of(reply, 3));
}

static void
actor_writes(struct actor *c)
{
	const struct redis_reply *reply;
	char payload[48], version[32];

	snprintf(version, sizeof(version), "%u", world.family->unversioned ? 1 : c->row.version);
	if (world.family->places)
		keep(version, sizeof(version), c->floor);
	snprintf(payload, sizeof(payload), "%u,%u,%u", c->row.version, c->row.a, c->row.b);
	c->at = IDLE;
	if (world.plain)
		reply = ask("SET %s %s", world.key, c->row.there ? payload : "none");
	else if (c->refresher && !c->row.there)
		reply = ask("FCALL sluice_release 1 %s %s", world.key, c->token);
	else if (c->refresher)
		reply = ask("FCALL sluice_refresh 1 %s %s %s %s %u", world.key, c->stamp, version,
		    payload, TTL_MS);
	else if (c->row.there)
		reply = ask("FCALL sluice_fill 1 %s %s %s %s %u 10 %u", world.key, c->token,
		    version, payload, TTL_MS, chance(50) ? 20000 : 0);
	else
		reply = ask("FCALL sluice_fill_none 1 %s %s %s %u", world.key, c->token, c->floor,
		    TTL_MS);
	trace("%s wrote %s: %s", c->refresher ? "refresher" : "reader", payload, word_of(reply, 0));
}

static void
do_act(void)
{
	struct actor *c = &world.actors[below(ACTORS)];

	/* those that have begun more often */
	for (unsigned i = 0; i < 2 && c->at == IDLE; i++)
		c = &world.actors[below(ACTORS)];
	if (c->at != IDLE && chance(4))
		c->at = IDLE; /* it died */
	else if (c->at == IDLE)
		actor_looks(c);
	else if (c->at == HAS_LEASE)
		c->row = select_row(), c->at = HAS_ROW;
	else
		actor_writes(c);
}

/* What stands there, over its time or not: nothing old may stay for anyone. */
static void
do_look(void)
{
	const struct redis_reply *reply =
	    world.plain ? ask("GET %s", world.key) : ask("HMGET %s p n", world.key);
	const char *value = word_of(reply, 0);

	if (value != NULL)
		check_value(strcmp(value, "none") == 0 ? NULL : value);
	else if (!world.plain && word_of(reply, 1) != NULL)
		check_value(NULL);
}

static void
do_stretch(void)
{
	const struct redis_reply *reply;

	if (world.plain)
		return;
	reply = ask("FCALL sluice_stretch 1 %s %s 3000", world.key, "");
	trace("stretched: %s", word_of(reply, 0));
}

/* The application changes the key's life, as it may. */
static void
do_meddle(void)
{
	if (!world.family->evicts || chance(50))
		ask("PERSIST %s", world.key);
	else
		ask("PEXPIRE %s %u", world.key, 1 + below(3000));
	trace("the application changed the key's life");
}

/* ---- workers ---- */

static void
do_commit(void)
{
	struct event_log *log = &world.logs[LANE_ASKED];

	if (log->written < log->count)
		commit(&log->events[log->written++]);
}

/* From `done` on, as after a crash too; sometimes it dies before it has the answers. */
static void
do_tell(void)
{
	unsigned lane = below(LOGS);
	struct event_log *log = &world.logs[lane];
	unsigned count = log->written - log->done;
	bool answered = !chance(15), repeat;
	struct reading read;

	if (count == 0)
		return;
	if (count > BATCH_MAX)
		count = BATCH_MAX;
	count = 1 + below(count);
	trace("worker %u%s", lane, answered ? "" : ", which dies");
	repeat = log->done < log->begun; /* a successor reads from done */
	read = worker_read(&log->events[log->done], count);
	worker_tell(&log->events[log->done], count, repeat ? NULL : &read, answered);
	if (log->begun < log->done + count)
		log->begun = log->done + count;
	if (answered)
		log->done += count;
}

/* One falls asleep with a batch while its successor goes on, or wakes. */
static void
do_sleep(void)
{
	unsigned z = below(ZOMBIES), lane = below(LOGS);
	struct event_log *log = &world.logs[lane];

	if (world.family->mode == MODE_POPULATE && !world.family->sleeps)
		return; /* the README's limit */
	if (world.zombie_count[z] > 0) {
		trace("an old worker wakes");
		worker_tell(world.zombies[z], world.zombie_count[z], &world.zombie_read[z], false);
		world.zombie_count[z] = 0;
		return;
	}
	if (log->written == log->done)
		return;
	world.zombie_count[z] = 1 + below(log->written - log->done);
	if (world.zombie_count[z] > BATCH_MAX)
		world.zombie_count[z] = BATCH_MAX;
	memcpy(world.zombies[z], &log->events[log->done],
	    world.zombie_count[z] * sizeof(struct event));
	world.zombie_read[z] = worker_read(world.zombies[z], world.zombie_count[z]);
}

/* A dead letter, or a whole lane, is told again. */
static void
do_again(void)
{
	struct event_log *log = &world.logs[below(LOGS)];

	if (log->done > 0) {
		trace("again");
		worker_tell(&log->events[below(log->done)], 1, NULL, false);
	}
}

/* ---- schedules ---- */

static void
do_time(void)
{
	static const unsigned steps_ms[] = { 1, 5, 40, 500, 1500, 3000, 6000, 11000, 61000,
		115000 };

	clock_move(steps_ms[below(chance(60) ? 5 : 10)]);
}

static const struct {
	void (*act)(void);
	unsigned weight;
} actions[] = { { do_act, 40 }, { do_look, 12 }, { do_write, 8 }, { do_ask, 5 },
	{ do_app_reads, 9 }, { do_put, 9 }, { do_commit, 8 }, { do_tell, 10 }, { do_sleep, 4 },
	{ do_again, 7 }, { cache_evict, 3 }, { do_time, 6 }, { do_stretch, 4 }, { do_meddle, 3 },
	{ cache_snapshot, 3 }, { cache_failover, 2 },
	{ do_new_log, 1 } /* the last of `places` alone */ };
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static void
step(void)
{
	unsigned sum = 0, at;

	for (size_t i = 0; i < ACTIONS - (world.family->places ? 0 : 1); i++)
		sum += actions[i].weight;
	at = below(sum);
	for (size_t i = 0;; at -= actions[i++].weight) {
		if (at < actions[i].weight) {
			actions[i].act();
			break;
		}
	}
	cache_see_replayed();
}

void
play(const struct family *family, uint64_t seed, bool plain, bool traced)
{
	int64_t now_ms = world.now_ms;

	world = (struct world){
		.family = family, .seed = seed, .plain = plain, .trace = traced, .now_ms = now_ms
	};
	random_init(&world.random, seed * 16 + (uint64_t)family->mode);
	snprintf(world.number, sizeof(world.number), "%llu", (unsigned long long)seed);
	snprintf(world.key, sizeof(world.key), "race:%s", world.number);
	world.fates[0] = (struct fate){ .committed = true, .told = true };
	for (unsigned i = 0; i < ACTORS; i++)
		world.actors[i].refresher = i >= ACTORS - 2;
	for (unsigned i = 0; i < STEPS && world.why[0] == '\0'; i++)
		step();
	ask("DEL %s race:stream", world.key);
}

void
play_open(int port, const char *file)
{
	cache_open(port, file);
	worker_open(port);
}

void
play_close(void)
{
	worker_close();
	cache_close();
}
