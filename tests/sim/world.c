#include "tests/sim/groups.h"
#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/clock.h"
#include "common/err.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Time, chance, and processes that take turns, stand still and die. */
enum { DEPTH_MAX = PROCESSES_MAX, AGE_US = 20000, OPERATOR_US = 500000 };

struct world world;

static int64_t aged_us, operated_us, read_us, told_us;
static struct process *running;

struct process *
process_running(void)
{
	return running;
}

/* ---- what it says ---- */

void
trace(const char *format, ...)
{
	va_list ap;

	if (!world.trace)
		return;
	printf("%12.6f %*s", (double)(world.now_us % 1000000000000) / 1e6, world.depth, "");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void
sim_fail(const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	printf("FAILED: ");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n  seed %llu; again, call by call: sim %s--seed %llu --trace\n",
	    (unsigned long long)world.seed, world.played, (unsigned long long)world.seed);
	fflush(stdout);
	_exit(1);
}

/* ---- chance ---- */

unsigned
below(unsigned n)
{
	return (unsigned)random_below(&world.random, n);
}

bool
chance(unsigned odds)
{
	return !world.calm && odds > 0 && below(65536) < odds;
}

bool
is_down(const int64_t window[2])
{
	return !world.calm && world.now_us >= window[0] && world.now_us < window[1];
}

unsigned
lane_of(unsigned table, unsigned key)
{
	return table == LOGGED ? 0 : key % world.lanes;
}

/* ---- time ---- */

static void
add_due(void)
{
	if (world.kafka) {
		logs_add_due();
		return;
	}
	for (unsigned l = 0; l < world.lanes; l++) {
		struct stream *s = &world.streams[l];

		while (s->added < s->count && s->entries[s->added].at_us <= world.now_us)
			s->added++;
	}
}

static bool
is_halted(unsigned lane, const char **why)
{
	*why = NULL;
	for (unsigned i = 0; i < world.processes; i++) {
		const struct process *p = &world.process[i];

		if (!p->alive || p->lanes[lane].state != LANE_HALTED)
			continue;
		*why = atomic_load(&p->lanes[lane].why);
		return true;
	}
	return false;
}

static bool
is_row_locked(unsigned lane)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (world.sessions[i].tx.open && world.sessions[i].tx.moved[lane])
			return true;
	}
	return false;
}

/* The first entry behind the ledger's place: what stands in the way of a halted lane; now and then,
 * by mistake, one that was passed long ago. */
static bool
skip_place(unsigned lane, struct position *place)
{
	const struct stream *s = &world.streams[lane];
	unsigned i = 0;

	while (i < s->added &&
	    (position_compare(s->entries[i].id, world.ledger[lane].position) <= 0 ||
		!is_visible(s, i)))
		i++;
	if (i > 0 && chance(8192))
		i = below(i);
	if (i == s->added)
		return false;
	*place = s->entries[i].id;
	return true;
}

/* Somebody looks after halted lanes, not always wisely. */
static void
operate(unsigned lane)
{
	struct lane_order *order = &world.ledger[lane].order;
	const char *why;
	bool halted = is_halted(lane, &why);

	if ((!world.ledger[lane].found && !world.invalidates) || order->kind != ORDER_NONE ||
	    is_row_locked(lane) || (world.kafka && log_order_waits(lane)))
		return;
	if (!(halted && world.calm) && !chance(world.odds.order))
		return;
	order->has_position = false;
	if (!halted && (world.kafka || below(4) == 0))
		order->kind = ORDER_ACK;
	else if (world.kafka && log_order_place(lane, why, &order->position)) {
		order->kind = ORDER_RESUME;
		order->has_position = true;
	} else if (world.invalidates ||
	    (halted && why != NULL && strcmp(why, LANE_WHY_ON_POISON) != 0 && !chance(8192)))
		order->kind = ORDER_RESUME;
	else if (skip_place(lane, &order->position) && (halted || below(8) == 0)) {
		order->kind = ORDER_SKIP;
		order->has_position = true;
	} else {
		order->position = (struct position){ 0, 0 };
		order->kind = ORDER_RESUME;
	}
	trace("operator: order %d for lane %u", (int)order->kind, lane);
}

static void
server_is_down(void)
{
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (world.sessions[i].in_doubt && below(2) == 0)
			session_commit_now(i);
		session_kill(i);
	}
}

void
pass(int64_t us)
{
	world.now_us += us;
	clock_fake(world.now_us);
	if (running != NULL && running->running && world.kafka)
		kafka_client_waits(running, us);
	if (!world.calm && world.now_us >= world.calm_us) {
		world.calm = true;
		trace("nothing goes wrong from now on");
	}
	add_due();
	histories_pass();
	notes_pass();
	if (world.now_us - aged_us >= AGE_US) {
		aged_us = world.now_us;
		sessions_age();
		if (is_down(world.store_down_us))
			server_is_down();
	}
	if (world.kafka && world.now_us - told_us >= AGE_US) {
		told_us = world.now_us;
		logs_tick();
		coordinator_tick();
	}
	if (world.now_us - read_us >= AGE_US) {
		read_us = world.now_us;
		readers_read();
		if (chance(world.odds.row_lock))
			world.foreign_lock_us[below(TABLES)][below(KEYS_MAX)] =
			    world.now_us + below(3000000);
	}
	if (world.now_us - operated_us >= OPERATOR_US) {
		operated_us = world.now_us;
		for (unsigned l = 0; l < world.lanes; l++)
			operate(l);
		mark_letters();
	}
}

/* ---- processes ---- */

static void
start_streams(struct process *p)
{
	unsigned lane = 0;

	for (size_t i = 0; i < world.config.source_count; i++) {
		const struct config_source *source = &world.config.sources[i];

		for (size_t j = 0; j < source->stream_count; j++, lane++) {
			lane_init(&p->lanes[lane], &world.config, source, j, (int)lane);
			p->lane_list[lane] = &p->lanes[lane];
		}
	}
	worker_init(&p->worker, &world.config, 0, p->lane_list, lane, &p->stop);
	fake_store_init(p);
	fake_source_init(p);
	fake_cache_init(p);
}

static void
process_start(struct process *p)
{
	struct process *before = running;

	p->life++;
	p->alive = true;
	p->running = false;
	atomic_store(&p->stop, 0);
	running = p;
	if (world.kafka)
		kafka_process_start(p);
	else
		start_streams(p);
	running = before;
	random_init(&p->worker.random, random_u64(&world.random));
	trace("p%d starts, life %u", p->index, p->life);
}

static void
process_end(struct process *p, const char *how)
{
	trace("p%d ends: %s", p->index, how);
	p->running = false;
	if (world.kafka)
		kafka_process_end(p);
	else
		worker_deinit(&p->worker);
	p->alive = false;
	p->start_us = world.now_us + below(world.calm ? 500000 : 3000000);
}

/* SIGTERM, or a turn of the loop. */
static void
take_turn(struct process *p)
{
	bool done;

	if (!chance(world.odds.stop)) {
		worker_turn(&p->worker, 1000);
		return;
	}
	trace("p%d is asked to stop", p->index);
	atomic_store(&p->stop, 1);
	p->give_up_us = world.now_us + 5000000;
	done = worker_run(&p->worker);
	process_end(p, done ? "stopped with nothing left" : "stopped with work left");
}

/* setjmp in a function of its own, whose variables nobody changes. */
static void
process_step(struct process *p)
{
	struct process *volatile before = running;

	p->running = true;
	running = p;
	world.depth++;
	if (setjmp(p->crash) == 0)
		take_turn(p);
	else
		process_end(p, "crashed");
	world.depth--;
	p->running = false;
	running = before;
}

static struct process *
somebody_else(void)
{
	unsigned first = below(world.processes);

	for (unsigned i = 0; i < world.processes; i++) {
		struct process *p = &world.process[(first + i) % world.processes];

		if (!p->alive && !world.ending && world.now_us >= p->start_us)
			process_start(p);
		if (p->alive && !p->running)
			return p;
	}
	return NULL;
}

/* Whoever calls stands still while others take some turns. */
static void
let_others(unsigned turns)
{
	struct process *p;

	while (turns-- > 0 && world.depth < DEPTH_MAX && (p = somebody_else()) != NULL)
		process_step(p);
}

static void
maybe_crash(struct process *p, const char *what, const char *when)
{
	if (!p->running || !chance(world.odds.crash))
		return;
	trace("p%d crashes %s %s", p->index, when, what);
	longjmp(p->crash, 1);
}

void
call_begins(struct process *p, const char *what)
{
	world.calls++;
	trace("p%d %s", p->index, what);
	hear_alarms(p);
	pass(5 + below(100));
	if (atomic_load(&p->stop) == 1 && world.now_us > p->give_up_us)
		atomic_store(&p->stop, 2);
	maybe_crash(p, what, "before");
	if (chance(world.odds.others))
		let_others(1 + (below(10) == 0 ? below(40) : below(4)));
}

void
call_ends(struct process *p, const char *what)
{
	maybe_crash(p, what, "after");
	if (chance(world.odds.others))
		let_others(1 + below(4));
}

/* ---- waiting: the poll of worker.c ---- */

static bool
is_ready(int fd)
{
	const struct process *p;

	if (fd < 0)
		return false;
	p = &world.process[fd % 100];
	switch (fd / 100) {
	case 1:
		return p->store.waiting && world.now_us >= p->store.answer_us;
	case 2:
		return source_is_ready(&p->source);
	case 3:
		return p->cache.sent && world.now_us >= p->cache.answer_us;
	case KAFKA_FD / 100:
		return kafka_client_is_ready(p);
	default:
		return false;
	}
}

static int
count_ready(struct pollfd *fds, nfds_t count)
{
	int ready = 0;

	for (nfds_t i = 0; i < count; i++) {
		fds[i].revents = is_ready(fds[i].fd) ? POLLIN : 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* glibc says that poll only writes what it is given; who sees this inlined believes it */
static bool __attribute__((noinline))
is_of_the_log(struct pollfd *fds, nfds_t count)
{
	return count == 1 && fds->fd == STDERR_FILENO;
}

/* Takes the place of the C library's: nobody waits here but workers for their fakes, and the log for its
 * reader, which takes no time: a schedule is the same with its trace. */
int
poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int64_t end_us = world.now_us + timeout_ms * INT64_C(1000);

	if (is_of_the_log(fds, count))
		return 1;
	if (groups_are_played())
		return groups_poll(fds, count, timeout_ms);
	for (;;) {
		int ready = count_ready(fds, count);
		int64_t left_us = end_us - world.now_us, step_us = 200 + below(20000);

		if (ready > 0 || left_us <= 0)
			return ready;
		if (world.depth < DEPTH_MAX && below(2) == 0)
			let_others(1);
		pass(step_us < left_us ? step_us : left_us);
	}
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t bytes);
int
__poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t bytes)
{
	CHECK(bytes >= count * sizeof(*fds));
	return poll(fds, count, timeout_ms);
}

/* ---- a run ---- */

/* A lane that was read before the stream was looked at, that dead letters hold up, or that is settled
 * when an order lets it go on, is yet to be. */
static bool
is_unsure(unsigned l)
{
	for (unsigned i = 0; i < world.processes; i++) {
		const struct lane *lane = &world.process[i].lanes[l];

		if (world.process[i].alive && lane->look_again && lane->state != LANE_FREE)
			return true;
	}
	return false;
}

static bool
is_quiet(void)
{
	if (world.invalidates)
		return kafka_is_quiet();
	for (unsigned l = 0; l < world.lanes; l++) {
		const struct stream *s = &world.streams[l];
		const struct ledger *ledger = &world.ledger[l];
		struct position last = last_entry(s);
		const char *why;

		if (s->count == 0 ||
		    ((world.forked || world.kafka) && position_compare(ledger->position, last) > 0))
			last = ledger->position;

		/* one that is halted is let go on */
		if (s->added < s->count || !ledger->found || is_unsure(l) || is_halted(l, &why) ||
		    (world.tell_rollback[l] && !world.told_rollback[l]) ||
		    (world.tell_fork[l] && !world.told_fork[l]) ||
		    position_compare(ledger->position, last) != 0 ||
		    position_compare(ledger->done, last) != 0)
			return false;
	}
	for (int i = 0; i < SESSIONS_MAX; i++) {
		if (world.sessions[i].tx.open)
			return false;
	}
	if (sim_kafka.tell_growth && !sim_kafka.told_growth)
		return false;
	/* it is yet to go back */
	return !world.snapshot.taken && notes_rest() && letters_rest();
}

static void
fail_unrest(void)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		char position[POSITION_TEXT], done[POSITION_TEXT], last[POSITION_TEXT];
		const struct stream *s = &world.streams[l];

		printf("lane %u: position %s done %s last %s lock %d\n", l,
		    position_text(world.ledger[l].position, position),
		    position_text(world.ledger[l].done, done), position_text(last_place(s), last),
		    world.lane_lock[l]);
		for (unsigned i = 0; i < world.processes; i++) {
			struct process *p = &world.process[i];
			const char *why = atomic_load(&p->lanes[l].why);

			if (p->alive)
				printf("  p%u: %s %s, answered %s cursor %s\n", i,
				    lane_state_name(p->lanes[l].state), why != NULL ? why : "",
				    position_text(p->lanes[l].answered, position),
				    position_text(p->lanes[l].cursor, done));
		}
	}
	for (unsigned l = 0; l < world.lanes; l++)
		printf("lane %u: rollback to tell %d told %d, fork to tell %d told %d, unsure %d\n",
		    l, world.tell_rollback[l], world.told_rollback[l], world.tell_fork[l],
		    world.told_fork[l], is_unsure(l));
	if (world.kafka)
		coordinator_print();
	printf("snapshot waits %d, letters rest %d\n", world.snapshot.taken, letters_rest());
	sim_fail("it does not come to rest");
}

/* A clean end: nothing may be left. */
static void
stop_all(void)
{
	world.ending = true;
	for (unsigned i = 0; i < world.processes; i++) {
		struct process *p = &world.process[i];

		if (!p->alive)
			continue;
		atomic_store(&p->stop, 1);
		p->give_up_us = world.now_us + 60000000;
		p->running = true;
		running = p;
		if (!worker_run(&p->worker))
			sim_fail("p%u could not stop", i);
		process_end(p, "at the end");
		running = NULL;
	}
}

static bool
is_at_rest(void)
{
	return world.calm && is_quiet() &&
	    (world.kafka ? coordinator_is_balanced() : pool_is_balanced());
}

void
world_run(enum played played, uint64_t seed, bool traced)
{
	aged_us = operated_us = read_us = told_us = 0;
	running = NULL;
	world_set_up(played, seed, traced);
	while (!is_at_rest()) {
		struct process *p = somebody_else();

		if (world.now_us > world.deadline_us)
			fail_unrest();
		if (p != NULL)
			process_step(p);
		else
			pass(10000);
	}
	stop_all();
	if (world.invalidates)
		kafka_compare();
	else
		compare_with_model();
	world_tear_down();
}
