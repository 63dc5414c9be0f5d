#include "tests/sim_refresh/play.h"

#include "common/clock.h"
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_US INT64_C(1700000000000000)
enum { DEPTH_MAX = 3 };

struct play play;

unsigned
below(unsigned n)
{
	return (unsigned)random_below(&play.random, n);
}

bool
one_in(unsigned n)
{
	return n > 0 && !play.calm && !play.outage && below(n) == 0;
}

void
note(const char *format, ...)
{
	va_list ap;

	if (!play.trace)
		return;
	printf("%9.3f ", (double)(play.now_us - START_US) / 1e6);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void
fail(const char *format, ...)
{
	va_list ap;

	printf("FAILED: seed %llu, after %.3f s: ", (unsigned long long)play.seed,
	    (double)(play.now_us - START_US) / 1e6);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

struct played_key *
key_of(struct str name)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		if (str_equal(name, str_of(play.keys[i].name)))
			return &play.keys[i];
	fail("the key %.*s is asked for", STR_ARGS(name));
}

static struct played_key *
some_key(void)
{
	if (play.loading != NULL && below(4) != 0)
		return play.loading;
	return &play.keys[below(PLAYED_KEYS)];
}

/* ---- the cache's fate ---- */

static void
snapshot(void)
{
	memcpy(play.snapshot, play.entries, sizeof(play.snapshot));
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		play.snapshot_told[i] = play.keys[i].told;
	play.has_snapshot = true;
}

/* What it lost is told again later: its markers, too. */
static void
fail_over(void)
{
	note("the cache fails over");
	memcpy(play.entries, play.snapshot, sizeof(play.snapshot));
	for (unsigned i = 0; i < PLAYED_KEYS; i++) {
		struct played_key *k = &play.keys[i];

		k->lost_to = k->told > k->lost_to ? k->told : k->lost_to;
		k->told = play.snapshot_told[i];
		mirror_put(k);
	}
	play.has_snapshot = play.scripts = false;
	redis_cut(NULL);
}

static void
restart_cache(void)
{
	note("the cache starts anew");
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		entry_remove(&play.keys[i]);
	play.has_snapshot = play.scripts = play.library = false;
	redis_cut(NULL);
}

static void
harm_cache(void)
{
	struct played_key *k = some_key();

	if (!play.evicts)
		return;
	if (one_in(play.loading != NULL ? 8 : 80)) {
		note("%s is evicted", k->name);
		entry_remove(k);
	}
	if (!play.has_snapshot && one_in(200))
		snapshot();
	else if (play.has_snapshot && one_in(300))
		fail_over();
	else if (one_in(3000))
		restart_cache();
}

/* ---- MySQL's ---- */

static void
set_weather(enum weather weather)
{
	static const char *const names[] = { "well", "slow", "failing", "hanging" };

	if (weather != play.weather)
		note("MySQL is %s", names[weather]);
	play.weather = weather;
}

static void
change_weather(void)
{
	if (play.now_us < play.weather_until_us || play.calm || play.outage)
		return;
	play.weather_until_us = play.now_us + 100000 + below(3000000);
	play.query_hangs = below(6) == 0;
	set_weather(below(2) == 0 ? WELL : (enum weather)below(4));
}

/* ---- processes ---- */

static void
start(struct process *p)
{
	unsigned index = (unsigned)(p - play.processes), life = p->life;
	struct process *before = play.running;

	*p = (struct process){ .index = index, .life = life + 1, .alive = true };
	play.running = p;
	p->r = refresh_make(&play.config, 1);
	play.running = before;
	play.births++;
	random_init(&p->r->random, random_u64(&play.random));
	p->r->members_in_cache = play.members_in_cache;
	snprintf(p->r->share.self, sizeof(p->r->share.self), "h/%u/%u", index, p->life);
	p->next_us = play.now_us + below(50000);
	p->member = true;
	note("p%u starts, life %u", index, p->life);
}

static void
end(struct process *p)
{
	note("p%u ends%s", p->index, p->dying ? ", killed" : "");
	p->member = p->alive = false;
	refresh_free(&p->r);
	p->start_us = play.now_us + below(3000000);
}

static void
take_turn(struct process *p)
{
	struct process *before = play.running;

	p->running = true;
	play.running = p;
	play.depth++;
	refresh_turn(p->r);
	if (!p->dying && one_in(600)) {
		refresh_members_leave(p->r);
		end(p);
	}
	play.depth--;
	play.running = before;
	p->running = false;
	p->next_us = play.now_us + REFRESH_TICK_MS * 1000;
	if (p->dying)
		end(p);
}

static void
turn_processes(void)
{
	for (unsigned i = 0; i < play.process_count; i++) {
		struct process *p = &play.processes[i];

		if (!p->alive && play.now_us >= p->start_us)
			start(p);
		if (p->running && one_in(5000))
			p->dying = true;
		if (p->alive && !p->running && play.depth < DEPTH_MAX && play.now_us >= p->next_us)
			take_turn(p);
	}
}

/* ---- time ---- */

static void
change_rows(void)
{
	struct played_key *k = some_key();

	/* the last ones are for the end */
	if (k->last < VERSIONS - 8 && one_in(play.loading != NULL ? 6 : 60))
		write_row(k, !k->fates[k->last].there || below(4) != 0);
	k = some_key();
	if (one_in(play.loading != NULL ? 3 : 12))
		tell_some(k);
	if (play.loading != NULL && one_in(4))
		read_key(play.loading);
}

void
pass(int64_t us)
{
	int64_t end_us = play.now_us + us;

	while (play.now_us < end_us) {
		int64_t step_us = 500 + below(12000);

		play.now_us += step_us < end_us - play.now_us ? step_us : end_us - play.now_us;
		clock_fake(play.now_us);
		play.steps++;
		change_weather();
		change_rows();
		harm_cache();
		load_all();
		read_all();
		turn_processes();
	}
}

/* ---- a schedule ---- */

static const struct config *
parsed_config(void)
{
	static struct config config;
	struct config_problems problems;

	if (config.table_count > 0)
		return &config;
	if (config_parse(&config, "refresh.yaml",
		STR("redis: { url: \"redis://127.0.0.1:6379\" }\n"
		    "mysql: { url: \"mysql://app@127.0.0.1:3306/shop\" }\n"
		    "http: { listen: \"off\" }\n"
		    "sources: [ { streams: s, tables: [v, l, p, h] } ]\n"
		    "tables:\n"
		    "  v: { version: ver, invalidate: [{ key: \"v:{id}\", mode: versioned }],\n"
		    "    refresh: { ttl: 2s, stale_max: 4s, threshold: 60, top: 10,\n"
		    "      warm: \"SELECT id FROM hot\", warm_every: 1s, on_invalidate: reload } "
		    "}\n"
		    "  l: { version: ver, invalidate: [{ key: \"l:{id}\", mode: versioned }],\n"
		    "    refresh: { ttl: 2s, stale_max: 4s, threshold: 60, top: 10,\n"
		    "      load: \"SELECT id, ver FROM `l` WHERE id IN (:keys)\" } }\n"
		    "  p: { invalidate: [\"p:{id}\"],\n"
		    "    refresh: { ttl: 2s, stale_max: 4s, threshold: 60, top: 10 } }\n"
		    "  h: { invalidate: [\"h:{id}\"], refresh: { ttl: 2s, stale_max: 4s, "
		    "threshold: 60,\n"
		    "    top: 10, format: hash } }\n"
		    "refresh: { half_life: 2s, slow_load: 100ms, failures: 3, open_for: 3s }\n"),
		&problems) != 0)
		fail("its configuration is refused: %s", problems.list[0].text);
	config_problems_deinit(&problems);
	return &config;
}

static void
set_up_keys(void)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++) {
		struct played_key *k = &play.keys[i];

		k->table = (enum table_kind)(i / KEYS);
		k->id = i % KEYS;
		snprintf(k->name, sizeof(k->name), "%c:%u", "vlph"[k->table], k -> id);
		k->read = k->id < 2;
		k->fates[1] = (struct fate){ play.now_us, k->read || below(4) != 0 };
		k->last = 1;
		mirror_put(k);
	}
}

static void
set_up(uint64_t seed, bool traced)
{
	static const int limits[] = { 2, 10, 100, 1000 };

	play = (struct play){ .seed = seed, .trace = traced, .now_us = START_US };
	random_init(&play.random, seed);
	clock_fake(play.now_us);
	play.config = *parsed_config();
	play.outage = below(6) == 0;
	play.config.refresh.max_loads_per_second = play.outage ? 1000 : limits[below(4)];
	play.hang = below(4);
	/* a time-out of several seconds is above stale_max here */
	play.config.mysql.timeout_ms = play.config.mysql.connect_timeout_ms =
	    play.hang > 0 && below(2) == 0 ? 5000 : 1000;

	play.evicts = below(3) != 0;
	play.lag_us = play.evicts ? 0 : 1 + below(1500000);
	play.cut_odds = below(2) == 0 ? 0 : 100 + below(3000);
	play.members_in_cache = below(2) == 0;
	/* one that waits can't go on before those that took their turns meanwhile */
	play.process_count = play.outage ? 1 : 1 + below(PROCESSES);
	set_up_keys();
	for (unsigned i = 0; i < play.process_count; i++)
		play.processes[i].start_us = play.now_us + below(2000000);
}

static void
calm_down(void)
{
	note("all is well");
	play.calm = true;
	play.query_hangs = false;
	play.lag_us = 0;
	set_weather(WELL);
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		if (play.keys[i].read && !play.keys[i].fates[play.keys[i].last].there)
			write_row(&play.keys[i], true);
	tell_all();
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		if (play.keys[i].told < play.keys[i].lost_to)
			fail("%s: what was lost is not told again", play.keys[i].name);
}

/* Is one of the popular keys this process's?  Who loads nothing doesn't learn that loads are quick again. */
static bool
has_keys(const struct process *p)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		if (play.keys[i].read &&
		    refresh_is_ours(&p->r->share, hot_key_hash(str_of(play.keys[i].name))))
			return true;
	return false;
}

/* Everybody is there, and may load what is popular. */
static bool
is_settled(void)
{
	for (unsigned i = 0; i < play.process_count; i++) {
		const struct process *p = &play.processes[i];

		if (!p->alive || p->r->share.other_count + 1 != play.process_count ||
		    (p->r->pace.rate < 10 && has_keys(p)))
			return false;
	}
	return true;
}

static void
begin_counting(void)
{
	note("from here on it counts");
	play.counting = true;
	play.calm_us = play.now_us;
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		play.keys[i].loads = play.keys[i].loaders = 0;
}

/* The next reader hits: nobody but the refresher loads it. */
static void
check_reload(void)
{
	struct played_key *k = &play.keys[below(2)];
	struct entry *e;
	int i;

	k->next_read_us = k->silent_until_us = play.now_us + 600000;
	write_row(k, true);
	tell_all();
	for (i = 0; i < 60 && !(e = entry_of(k))->value; i++)
		pass(10000);
	if (i == 60 || version_in(e->payload) != k->last)
		fail("%s was invalidated, and nobody loads it", k->name);
	/* by whoever told it */
	k->loaders = k->loads = 0;
}

static void
play_chaos(void)
{
	pass(8000000 + below(4000000));
	calm_down();
	pass(
	    7500000); /* where there was no row nobody looks for ten seconds, until the count begins */
	for (int i = 0; i < 60 && !is_settled(); i++)
		pass(1000000);
	if (!is_settled() && play.config.refresh.max_loads_per_second >= 10)
		fail("loads do not come back");
	if (!is_settled())
		return;
	pass(2 * TTL_MS * 1000);
	begin_counting();
	pass(2 * TTL_MS * 1000);
	check_reload();
	pass(TTL_MS * 3 / 2 * 1000);
	check_end();
}

/* Of all at once, first one way and then another, or of the one query. */
static void
begin_outage(void)
{
	if (play.hang == 0) {
		note("a query hangs");
		play.query_hangs = true;
		return;
	}
	set_weather(play.hang == 1 ? HANGING : FAILING);
	if (play.hang == 2)
		pass(below(TTL_MS * 1000));
	if (play.hang == 2)
		set_weather(HANGING);
}

/* Nobody takes MySQL for away because of one table's query. */
static void
check_breakers(void)
{
	for (unsigned i = 0; i < play.process_count; i++) {
		struct refresh_counters *counters = refresh_counters(play.processes[i].r);

		if (atomic_load(&counters->mysql_read.failures_total) > 0)
			fail("p%u takes a query that hangs for MySQL that fails", i);
	}
}

static void
play_outage(void)
{
	tell_all();
	pass(4 * TTL_MS * 1000 + below(2000000));
	play.counting = true;
	begin_outage();
	pass((TTL_MS + STALE_MAX_MS) * 1000 + below(2000000));
	if (play.query_hangs)
		check_breakers();
	play.counting = false;
	calm_down();
	play.outage = false;
	pass(5000000);
	begin_counting();
	pass(2 * TTL_MS * 1000);
	check_end();
}

void
play_run(uint64_t seed, bool traced)
{
	set_up(seed, traced);
	if (play.outage)
		play_outage();
	else
		play_chaos();
	for (unsigned i = 0; i < play.process_count; i++)
		if (play.processes[i].alive)
			end(&play.processes[i]);
	clock_fake(-1);
}
