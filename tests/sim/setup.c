#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/clock.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>

/* What a seed decides before it begins. */
#define START_US INT64_C(1700000000000000)
enum { FIELD_LANES_MAX = 3 };

void
sim_parse(struct config *config, const char *name, const char *text)
{
	struct config_problems problems;

	if (config_parse(config, name, str_of(text), &problems) != 0) {
		for (size_t i = 0; i < problems.count; i++)
			printf("%d: %s\n", problems.list[i].line, problems.list[i].text);
		sim_fail("its configuration is refused");
	}
	config_problems_deinit(&problems);
}

/* Read by the real parser, once for each shape: lanes with fields, a lane with lists in JSON. */
static const struct config *
config_of(unsigned field_lanes, bool json)
{
	static struct config configs[FIELD_LANES_MAX + 1][2];
	struct config *config = &configs[field_lanes][json];
	char text[2048];

	if (config->source_count > 0)
		return config;
	snprintf(text, sizeof(text),
	    "redis: { url: \"redis://127.0.0.1:6379\" }\n"
	    "mysql: { url: \"mysql://app@127.0.0.1:3306/shop\" }\n"
	    "http: { listen: \"off\" }\n"
	    "sources:\n"
	    "  - { streams: \"f:{0..%u}\", tables: [stock, profile, checked, logged] }\n"
	    "%s"
	    "tables:\n"
	    "  stock: { invalidate: [\"stock:{id}\", \"stockn:{n}\"] }\n"
	    "  profile:\n"
	    "    version: ver\n"
	    "    invalidate:\n"
	    "      - { key: \"profile:{id}\", mode: populate, ttl: 1h, populate: always }\n"
	    "  checked: { invalidate: [\"checked:{id}\"] }\n"
	    "  logged: {}\n",
	    field_lanes - 1,
	    json ? "  - { streams: j, format: json, tables: [stock, profile, checked, logged] }\n" :
		   "");
	sim_parse(config, "sim.yaml", text);
	return config;
}

static int
one_of(const int *values, unsigned count)
{
	return values[below(count)];
}

/* Returns whether tables may park. */
static bool
choose_streams(void)
{
	unsigned field_lanes = 1 + below(FIELD_LANES_MAX);
	bool parks = below(3) == 0;

	world.config = *config_of(field_lanes, below(2) == 0);
	world.lanes = (unsigned)config_lane_count(&world.config);
	return parks;
}

static void
choose_config(void)
{
	static const int rows[] = { 1, 2, 3, 5, 8, 13, 50, 1000 };
	static const int delays[] = { 0, 1, 20, 200 };
	static const int rates[] = { 0, 0, 0, 3, 8 };
	static const int most_parked[] = { 1000, 1000, 20, 8 };
	bool parks = world.kafka ? kafka_choose() : choose_streams();

	memcpy(world.tables, world.config.tables, sizeof(world.tables));
	world.config.tables = world.tables;
	images_set_up();
	populate_set_up();
	world.config.batch_max_rows = one_of(rows, 8);
	world.config.batch_max_delay_ms = one_of(delays, 4);
	if (below(4) == 0)
		world.config.batch_max_bytes = 100 + below(2000);
	world.config.poison_rate = one_of(rates, 5);
	world.config.cache.timeout_ms = 1000;
	if (below(8) == 0)
		world.config.invalidate_lag_max_bytes = 200 + below(4000);
	if (below(8) == 0)
		world.config.max_rows_per_second = 20 + below(500);
	for (unsigned t = 0; t < TABLES; t++) {
		world.tables_used[t] = below(3) != 0;
		if (below(12) == 0)
			world.tables[t].on_poison = ON_POISON_HALT;
		else if (parks && below(3) != 0)
			world.tables[t].on_poison = ON_POISON_PARK;
	}
	/* one that waits and one that doesn't change its trigger's row in another order */
	world.tables_used[LOGGED] &= !parks;
	world.config.max_parked = one_of(most_parked, 4);
	world.tables_used[below(LOGGED)] = true;
	if (world.invalidates)
		kafka_choose_tables();
	world.counting = below(5) == 0;
	if (world.counting)
		world.config.batch_max_rows = 1000;
	world.keys = world.lanes * 2 + below(KEYS_MAX - world.lanes * 2 + 1);
}

static unsigned
odds(unsigned most)
{
	return below(2) == 0 ? 0 : below(most);
}

static void
choose_odds(void)
{
	world.odds = (struct odds){
		.crash = odds(500),
		.others = odds(12000),
		.cut = odds(1200),
		.cut_commit = odds(12000),
		.retry = odds(1500),
		.two_owners = below(4) == 0 ? below(20000) : 0,
		.row_lock = odds(8000),
		.schema = odds(4000),
		.slow = odds(1500),
		.order = odds(20000),
		.stop = odds(300),
		.lost_request = odds(1000),
		.cache_lost = odds(6000),
		.one_by_one = odds(6000),
		.mark = odds(40000),
	};
}

static void
choose_window(int64_t window[2], unsigned one_in)
{
	window[0] = window[1] = 0;
	if (below(one_in) != 0)
		return;
	window[0] = world.now_us + below((unsigned)(world.calm_us - world.now_us));
	window[1] = window[0] + below(6000000);
}

static void
choose_times(void)
{
	world.now_us = START_US;
	world.calm_us = world.now_us + 1000000 + below(9000000);
	world.deadline_us = world.calm_us + INT64_C(1200000000);
	clock_fake(world.now_us);
	choose_window(world.store_down_us, 3);
	choose_window(world.source_down_us, 3);
	choose_window(world.cache_down_us, 3);
	choose_window(world.broken_us, 5);
	world.broken_table = (int)below(TABLES);
	world.alter_us = world.now_us + below((unsigned)(world.calm_us - world.now_us));
}

void
world_set_up(enum played played, uint64_t seed, bool traced)
{
	memset(&world, 0, sizeof(world));
	memset(&sim_kafka, 0, sizeof(sim_kafka));
	world.seed = seed;
	world.trace = traced;
	random_init(&world.random, seed);
	world.kafka = played == PLAYED_KAFKA;
	world.invalidates = world.kafka && below(3) == 0;
	arena_init(&world.arena, 0);
	choose_times();
	choose_config();
	choose_odds();
	for (unsigned l = 0; l < LANES_MAX; l++)
		world.lane_lock[l] = -1;
	world.processes = 1 + below(PROCESSES_MAX);
	for (unsigned i = 0; i < PROCESSES_MAX; i++) {
		world.process[i].index = (int)i;
		world.process[i].start_us = world.now_us + below(2000000);
	}
	world.process[0].start_us = world.now_us;
	make_entries();
	choose_histories();
	notes_choose();
	trace("seed %llu: %u lanes, %u processes, calm after %.1f s", (unsigned long long)seed,
	    world.lanes, world.processes, (double)(world.calm_us - world.now_us) / 1e6);
}

void
world_tear_down(void)
{
	for (int i = 0; i < SESSIONS_MAX; i++)
		session_kill(i);
	letters_forget(&world.snapshot);
	free(world.letters);
	free(world.log);
	arena_deinit(&world.arena);
}
