#include "tests/sim/groups.h"

#include "common/clock.h"
#include "tests/sim/sim.h"
#include "worker/source/redis_group.h"
#include "worker/store/no_store.h"

#include <stdio.h>
#include <stdlib.h>

#define START_US INT64_C(1700000000000000)

struct groups groups;

static bool played;
static struct group_process *now_running;

bool
groups_are_played(void)
{
	return played;
}

struct group_process *
groups_running(void)
{
	return now_running;
}

/* ---- what a seed decides ---- */

static const struct config *
parsed_config(void)
{
	static struct config config;
	struct config_problems problems;

	if (config.source_count > 0)
		return &config;
	if (config_parse(&config, "groups.yaml",
		STR("redis: { url: \"redis://127.0.0.1:6379\" }\n"
		    "http: { listen: \"off\" }\n"
		    "sources:\n"
		    "  - { streams: \"g:{0..1}\", table: t, write: false, claim_after: 1s }\n"
		    "tables: { t: { invalidate: [\"k:{id}\"] } }\n"),
		&problems) != 0)
		sim_fail("its configuration is refused");
	config_problems_deinit(&problems);
	return &config;
}

static unsigned
odds(unsigned most)
{
	return below(2) == 0 ? 0 : below(most);
}

static void
choose_entries(struct group_stream *s, unsigned number)
{
	int64_t at_us = world.now_us;

	snprintf(s->name, sizeof(s->name), "g:%u", number);
	s->count = 1 + below(GROUP_ENTRIES);
	for (unsigned i = 0; i < s->count; i++) {
		at_us += below(4) == 0 ? below(300000) : below(2000);
		s->entries[i] = (struct group_entry){ .id = { 1000 + i, 0 },
			.at_us = at_us,
			.key = below(GROUP_KEYS),
			.bad = below(20) == 0,
			.holder = -1 };
	}
}

static void
set_up(uint64_t seed, bool traced)
{
	static const int rows[] = { 1, 2, 5, 13, 1000 };

	memset(&world, 0, sizeof(world));
	memset(&groups, 0, sizeof(groups));
	world.seed = seed;
	world.played = "--groups ";
	world.trace = traced;
	random_init(&world.random, seed);
	world.now_us = START_US;
	world.calm_us = world.now_us + 500000 + below(9000000);
	world.deadline_us = world.calm_us + INT64_C(300000000);
	clock_fake(world.now_us);
	groups.config = *parsed_config();
	groups.config.batch_max_rows = rows[below(5)];
	groups.config.batch_max_delay_ms = below(2) == 0 ? 0 : 20;
	groups.config.poison_rate = 0;
	world.odds = (struct odds){
		.crash = odds(600), .others = odds(12000), .cut = odds(3000), .stop = odds(300)
	};
	if (below(3) == 0) {
		groups.down_us[0] = world.now_us + below(4000000);
		groups.down_us[1] = groups.down_us[0] + below(4000000);
	}
	groups.destroys = below(8) == 0;
	for (unsigned i = 0; i < GROUP_STREAMS; i++)
		choose_entries(&groups.streams[i], i);
	groups.processes = 1 + below(GROUP_PROCESSES);
	for (unsigned i = 0; i < groups.processes; i++) {
		groups.process[i].index = (int)i;
		groups.process[i].start_us = world.now_us + below(2000000);
	}
	played = true;
}

/* ---- time ---- */

static void
harm(struct group_stream *s)
{
	unsigned i = s->added > 0 ? below(s->added) : 0;

	if (chance(60) && s->added > 0 && !s->entries[i].acked) {
		trace("%s: entry %u is deleted", s->name, i);
		s->entries[i].deleted = true;
	}
	if (!groups.destroys || !chance(20) || !s->group)
		return;
	trace("%s: the group is destroyed", s->name);
	s->group = false;
	for (i = 0; i < s->added; i++)
		s->entries[i].holder = -1;
	for (i = 0; i < s->consumer_count; i++)
		s->consumers[i].there = false;
}

void
groups_pass(int64_t us)
{
	world.now_us += us;
	clock_fake(world.now_us);
	world.calm |= world.now_us >= world.calm_us;
	for (unsigned i = 0; i < GROUP_STREAMS; i++) {
		struct group_stream *s = &groups.streams[i];

		for (; s->added < s->count && s->entries[s->added].at_us <= world.now_us;
		    s->added++)
			s->entries[s->added].added_tick = ++groups.ticks;
		harm(s);
	}
	if (is_down(groups.down_us))
		groups_cut_all(NULL);
	groups_serve_all();
}

/* ---- processes ---- */

static void
start(struct group_process *p)
{
	struct group_process *before = now_running;
	struct letter_home *home;

	p->life++;
	p->alive = true;
	atomic_store(&p->stop, 0);
	for (unsigned i = 0; i < GROUP_STREAMS; i++) {
		lane_init(&p->lanes[i], &groups.config, &groups.config.sources[0], i, (int)i);
		p->lane_list[i] = &p->lanes[i];
	}
	worker_init(&p->worker, &groups.config, 0, p->lane_list, GROUP_STREAMS, &p->stop);
	random_init(&p->worker.random, random_u64(&world.random));
	p->worker.invalidates = true;
	now_running = p;
	home = letter_stream_new(&groups.config, 0);
	p->worker.source = redis_group_new(&groups.config, 0);
	p->worker.store = no_store_new(&groups.config, &home);
	p->worker.cache = invalidate_new(&groups.config, 0);
	p->worker.cache->counters = &p->worker.counters;
	/* what it takes from the machine is the seed's, here */
	snprintf(redis_group_of(p->worker.source)->consumer, GROUP_CONSUMER, "p%d/%u", p->index,
	    p->life);
	now_running = before;
	trace("p%d starts, life %u", p->index, p->life);
}

/* A process that crashed says nothing more; one that stopped leaves its groups. */
static void
end(struct group_process *p, const char *how, bool crashed)
{
	trace("p%d ends: %s", p->index, how);
	p->running = false;
	if (crashed)
		groups_cut_all(p);
	for (unsigned i = 0; i < GROUP_STREAMS; i++)
		p->worker.source->ops->close_lane(p->worker.source, &p->lanes[i]);
	worker_deinit(&p->worker);
	p->alive = false;
	p->start_us = world.now_us + below(world.calm ? 500000 : 3000000);
}

static void
take_turn(struct group_process *p)
{
	if (!chance(world.odds.stop)) {
		worker_turn(&p->worker, 1000);
		return;
	}
	trace("p%d is asked to stop", p->index);
	atomic_store(&p->stop, 1);
	p->give_up_us = world.now_us + 5000000;
	worker_run(&p->worker);
	end(p, "stopped", false);
}

/* setjmp in a function of its own, whose variables nobody changes. */
static void
step(struct group_process *p)
{
	struct group_process *volatile before = now_running;

	p->running = true;
	groups.depth++;
	now_running = p;
	if (setjmp(p->crash) == 0)
		take_turn(p);
	else
		end(p, "crashed", true);
	now_running = before;
	groups.depth--;
	p->running = false;
}

static struct group_process *
somebody_else(void)
{
	unsigned first = below(groups.processes);

	for (unsigned i = 0; i < groups.processes; i++) {
		struct group_process *p = &groups.process[(first + i) % groups.processes];

		if (!p->alive && !world.ending && world.now_us >= p->start_us)
			start(p);
		if (p->alive && !p->running)
			return p;
	}
	return NULL;
}

/* Who stands still meanwhile doesn't outlast what nothing disturbs any more: a turn may last a second. */
static void
let_others(unsigned turns)
{
	struct group_process *p;

	while (turns-- > 0 && (turns < 4 || !world.calm) && groups.depth < GROUP_PROCESSES &&
	    (p = somebody_else()) != NULL)
		step(p);
}

void
groups_call(const char *what)
{
	struct group_process *p = now_running;

	world.calls++;
	groups_pass(5 + below(100));
	if (p == NULL || !p->running)
		return;
	trace("p%d %s", p->index, what);
	if (atomic_load(&p->stop) == 1 && world.now_us > p->give_up_us)
		atomic_store(&p->stop, 2);
	if (chance(world.odds.crash))
		longjmp(p->crash, 1);
	if (chance(world.odds.others))
		let_others(1 + (below(10) == 0 ? below(400) : below(4)));
}

int
groups_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int64_t end_us = world.now_us + timeout_ms * INT64_C(1000);

	for (;;) {
		int64_t left_us = end_us - world.now_us, step_us = 200 + below(20000);
		int ready = 0;

		for (nfds_t i = 0; i < count; i++) {
			fds[i].revents = groups_fd_ready(fds[i].fd) ? POLLIN : 0;
			ready += fds[i].revents != 0;
		}
		if (ready > 0 || left_us <= 0)
			return ready;
		if (below(2) == 0)
			let_others(1);
		groups_pass(step_us < left_us ? step_us : left_us);
	}
}

/* ---- a run ---- */

static bool
all_alive(void)
{
	for (unsigned i = 0; i < groups.processes; i++)
		if (!groups.process[i].alive)
			return false;
	return true;
}

static bool
is_of_the_dead(const struct group_consumer *consumer)
{
	char name[GROUP_CONSUMER];

	for (unsigned i = 0; i < groups.processes; i++) {
		const struct group_process *p = &groups.process[i];

		snprintf(name, sizeof(name), "p%d/%u", p->index, p->life);
		if (p->alive && strcmp(name, consumer->name) == 0)
			return false;
	}
	return consumer->there;
}

/* Everything is read and nothing pending, and only those who live are in the group. */
static bool
at_rest(void)
{
	for (unsigned i = 0; i < GROUP_STREAMS; i++) {
		const struct group_stream *s = &groups.streams[i];

		if (s->added < s->count || !s->group || s->delivered < s->added)
			return false;
		for (unsigned j = 0; j < s->added; j++)
			if (s->entries[j].holder >= 0)
				return false;
		for (unsigned j = 0; j < s->consumer_count; j++)
			if (is_of_the_dead(&s->consumers[j]))
				return false;
	}
	return all_alive() && !groups_any_broken();
}

static void
check_all_read(void)
{
	for (unsigned i = 0; i < GROUP_STREAMS; i++)
		for (unsigned j = 0; j < groups.streams[i].count; j++) {
			const struct group_entry *e = &groups.streams[i].entries[j];

			if (!e->acked && !e->deleted)
				sim_fail("g:%u: entry %u was never acknowledged", i, j);
		}
}

static void
fail_unrest(void)
{
	for (unsigned i = 0; i < GROUP_STREAMS; i++) {
		const struct group_stream *s = &groups.streams[i];

		printf("%s: %u added, %u delivered, group %d\n", s->name, s->added, s->delivered,
		    s->group);
		for (unsigned j = 0; j < s->added; j++)
			if (s->entries[j].holder >= 0)
				printf("  %u is pending with %s\n", j,
				    s->consumers[s->entries[j].holder].name);
		for (unsigned j = 0; j < s->consumer_count; j++)
			if (s->consumers[j].there)
				printf("  consumer %s\n", s->consumers[j].name);
	}
	sim_fail("it does not come to rest");
}

/* Who holds nothing and has a connection leaves no name in the groups of the lanes it had: of one that it lost with
 * its connection, and didn't get again, another member takes the name out. */
static void
check_left(const struct group_process *p, const bool had[GROUP_STREAMS])
{
	char name[GROUP_CONSUMER];

	snprintf(name, sizeof(name), "p%d/%u", p->index, p->life);
	for (unsigned i = 0; i < GROUP_STREAMS; i++)
		for (unsigned j = 0; had[i] && j < groups.streams[i].consumer_count; j++)
			if (groups.streams[i].consumers[j].there &&
			    strcmp(groups.streams[i].consumers[j].name, name) == 0)
				sim_fail("%s stays in the group", name);
}

static void
stop_all(void)
{
	world.ending = true;
	for (unsigned i = 0; i < groups.processes; i++) {
		struct group_process *p = &groups.process[i];
		bool open, had[GROUP_STREAMS];

		if (!p->alive)
			continue;
		atomic_store(&p->stop, 1);
		p->give_up_us = world.now_us + 60000000;
		p->running = true;
		now_running = p;
		if (!worker_run(&p->worker))
			sim_fail("p%u could not stop", i);
		open = p->worker.source->ops->is_open(p->worker.source);
		for (unsigned j = 0; j < GROUP_STREAMS; j++)
			had[j] = p->lanes[j].source_state != NULL;
		end(p, "at the end", false);
		if (open)
			check_left(p, had);
		now_running = NULL;
	}
}

void
groups_run(uint64_t seed, bool traced)
{
	set_up(seed, traced);
	while (!world.calm || !at_rest()) {
		struct group_process *p = somebody_else();

		if (world.now_us > world.deadline_us)
			fail_unrest();
		if (p != NULL)
			step(p);
		else
			groups_pass(10000);
	}
	check_all_read();
	stop_all();
	played = false;
}
