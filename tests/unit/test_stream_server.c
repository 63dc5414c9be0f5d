#include "worker/source/redis_stream.h"

#include "common/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * The source against a private redis-server on a socket of its own; every test is skipped where
 * there is none.  Waiting is for a condition, with a deadline.
 */
enum { LANES = 8, DEADLINE_MS = 20000, MEMORY = 32 << 20, LARGE = 1000000 };

static struct {
	char directory[64], path[96];
	pid_t process;
	struct redis_options options;
	struct redis *redis; /* the test's own connection */
	struct arena arena;
	const char *names[LANES];
	struct config_source source_config;
	struct config config;
	struct source *source;
	struct lane lanes[LANES], *open[LANES];
} t;

static struct redis_reply *
call(const char *command)
{
	struct err err = { 0 };
	struct redis_reply *reply = redis_call(t.redis, &t.arena, &err, command);

	if (reply == NULL)
		print_error("%s: %s\n", command, err.text);
	assert_non_null(reply);
	return reply;
}

/* A line of words, so that a test reads like a session with redis-cli. */
static long long
integer(const char *command)
{
	return call(command)->integer;
}

static bool
start_server(void)
{
	struct err err = { 0 };
	int64_t end = clock_ms() + DEADLINE_MS;

	snprintf(t.directory, sizeof(t.directory), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(t.directory));
	snprintf(t.path, sizeof(t.path), "%s/redis", t.directory);
	t.process = fork();
	if (t.process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "w", stdout) != NULL)
			execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", t.path,
			    "--dir", t.directory, "--save", "", "--appendonly", "no", (char *)NULL);
		_exit(127);
	}
	t.options = (struct redis_options){ .socket = t.path, .connect_timeout_ms = 1000,
		.timeout_ms = DEADLINE_MS };
	t.redis = redis_new(&t.options);
	while (redis_open(t.redis, &err) != 0) {
		if (waitpid(t.process, NULL, WNOHANG) == t.process || clock_ms() > end)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

static int
group_start(void **state)
{
	(void)state;
	arena_init(&t.arena, 1 << 20);
	if (!start_server()) {
		redis_free(&t.redis);
		t.process = 0;
	}
	return 0;
}

static int
group_end(void **state)
{
	char command[128];

	(void)state;
	if (t.process > 0) {
		kill(t.process, SIGKILL);
		waitpid(t.process, NULL, 0);
	}
	redis_free(&t.redis);
	arena_deinit(&t.arena);
	snprintf(command, sizeof(command), "rm -rf %s", t.directory);
	return system(command);
}

static int
test_start(void **state)
{
	static const char *const names[LANES] = { "s:0", "s:1", "s:2", "s:3", "s:4", "s:5", "s:6", "s:7" };
	struct err err = { 0 };

	(void)state;
	if (t.redis == NULL)
		return 0;
	memcpy(t.names, names, sizeof(names));
	t.source_config = (struct config_source){ .streams = t.names, .stream_count = LANES,
		.start = "beginning" };
	t.config = (struct config){ .pool = "default", .redis = { .name = "redis", .socket = t.path,
		.connect_timeout_ms = 1000, .timeout_ms = DEADLINE_MS }, .memory_bytes = MEMORY,
		.entry_max_bytes = 16 << 20, .batch_max_rows = 1000, .batch_max_bytes = 1 << 20 };
	call("FLUSHALL");
	t.source = redis_stream_new(&t.config, 0);
	assert_int_equal(t.source->ops->open(t.source, &err), 0);
	for (int i = 0; i < LANES; i++) {
		lane_init(&t.lanes[i], &t.config, &t.source_config, (size_t)i, i);
		lane_open(&t.lanes[i]);
		t.open[i] = &t.lanes[i];
	}
	return 0;
}

static int
test_end(void **state)
{
	(void)state;
	if (t.redis == NULL)
		return 0;
	arena_reset(&t.arena);
	for (int i = 0; i < LANES; i++)
		t.source->ops->close_lane(t.source, &t.lanes[i]);
	t.source->ops->free(&t.source);
	return 0;
}

/* ---- what a worker does ---- */

static void
ask(size_t lanes, int block_ms)
{
	struct lane *open[LANES];
	struct err err = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < lanes; i++)
		if (t.lanes[i].state == LANE_OPEN)
			open[count++] = &t.lanes[i];
	assert_true(count > 0);
	assert_int_equal(t.source->ops->request(t.source, open, count, 1000, 1 << 20, block_ms, &err), 0);
}

static int
answer(struct delivery **delivery, struct err *err)
{
	int64_t end = clock_ms() + DEADLINE_MS;
	int got;

	while ((got = t.source->ops->receive(t.source, delivery, err)) == 0) {
		struct pollfd socket = { t.source->ops->fd(t.source), POLLIN, 0 };

		assert_true(clock_ms() < end);
		poll(&socket, 1, 100);
	}
	return got;
}

/* One round; all that comes is taken: cursors, positions and dones move on.  Returns the entries. */
static size_t
take(size_t lanes)
{
	struct delivery *d = NULL;
	struct err err = { 0 };
	size_t count = 0;

	ask(lanes, 0);
	assert_int_equal(answer(&d, &err), 1);
	if (d == NULL)
		return 0;
	for (struct entry *e = d->first; e != NULL; e = e->next, count++) {
		assert_true(position_compare(e->id, e->lane->cursor) > 0);
		e->lane->cursor = e->lane->position = e->lane->done = e->id;
	}
	assert_int_equal(count, d->count);
	assert_true(arena_bytes(&d->arena) <= MEMORY / 3 + (256 << 10));
	t.source->ops->recycle(t.source, &d);
	return count;
}

static size_t
take_all(size_t lanes, unsigned rounds)
{
	size_t count = 0;

	while (rounds-- > 0)
		count += take(lanes);
	return count;
}

static enum look_result
look(int lane, struct ledger_row row, struct source_look *found)
{
	struct err err = { 0 };

	assert_int_equal(t.source->ops->look(t.source, &t.lanes[lane], &row, found, &err), 0);
	return found->result;
}

static struct ledger_row
row_of(const struct lane *lane)
{
	struct ledger_row row = { .found = true, .position = lane->position, .done = lane->done };

	memcpy(row.identity, lane->identity, sizeof(row.identity));
	return row;
}

/* A lane that nobody ever saw becomes ours. */
static void
settle(int lane)
{
	struct source_look found;
	struct err err = { 0 };
	struct ledger_row none = { 0 };
	struct lane *l = &t.lanes[lane];

	assert_int_equal(look(lane, none, &found), LOOK_FRESH);
	l->position = l->done = l->cursor = found.start;
	t.source->ops->new_identity(t.source, l, l->identity);
	assert_int_equal(t.source->ops->settle(t.source, l, l->identity, &err), 0);
}

static enum look_result
release(int lane, struct source_look *found)
{
	struct source_look mine;
	struct err err = { 0 };
	int status;

	if (found == NULL)
		found = &mine;
	status = t.source->ops->release(t.source, &t.lanes[lane], found, &err);
	if (status != 0)
		print_error("%s\n", err.text);
	assert_int_equal(status, 0);
	return found->result;
}

/* The first group's value of that name; the answer to what release sent last is not waited for by
 * it, so the test does. */
static long long
group_field(const char *stream, const char *field)
{
	char command[64];
	struct redis_reply *groups;

	assert_true(t.source->ops->is_open(t.source));
	snprintf(command, sizeof(command), "XINFO GROUPS %s", stream);
	poll(NULL, 0, 20); /* another connection's command: no order between the two but time */
	groups = call(command);
	assert_true(groups->count > 0);
	assert_int_equal(redis_pair(groups->element[0], field)->type, REDIS_INTEGER);
	return redis_pair(groups->element[0], field)->integer;
}

static void
add_large(const char *stream, size_t bytes)
{
	char *data = malloc(bytes);
	struct str argv[] = { STR("XADD"), str_of(stream), STR("*"), STR("id"), STR("1"), STR("blob"),
		{ data, bytes } };
	struct redis_reply *reply;
	struct err err = { 0 };

	memset(data, 'x', bytes);
	redis_queue(t.redis, 7, argv);
	assert_int_equal(redis_flush(t.redis, &err), 0);
	assert_int_equal(redis_receive(t.redis, &t.arena, DEADLINE_MS, &reply, &err), 1);
	assert_int_equal(reply->type, REDIS_STRING);
	free(data);
}

#define NEEDS_SERVER() \
	do { \
		(void)state; \
		if (t.redis == NULL) \
			skip(); \
	} while (0)

/* ---- reading ---- */

static void
entries_arrive_in_order_with_their_fields(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	call("XADD s:0 5-1 id 1 name Bob");
	call("XADD s:0 5-2 id 2");
	call("XADD s:1 4-0 id 3");
	ask(2, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 3);
	assert_ptr_equal(d->first->lane, &t.lanes[0]);
	assert_int_equal(d->first->id.minor, 1);
	assert_int_equal(d->first->at_ms, 5);
	assert_int_equal(d->first->raw_count, 2);
	assert_true(str_equal(d->first->raw[1].name, STR("name")));
	assert_true(str_equal(d->first->raw[1].value.text, STR("Bob")));
	assert_int_equal(d->first->next->id.minor, 2);
	assert_ptr_equal(d->first->next->next->lane, &t.lanes[1]);
	assert_null(d->first->next->next->next);
	t.source->ops->recycle(t.source, &d);
	assert_null(d);
}

static void
binary_values_arrive_byte_for_byte(void **state)
{
	static const char bytes[] = "\0\r\n$-1\r\n\xff";
	struct str argv[] = { STR("XADD"), STR("s:0"), STR("*"), STR("id"), { bytes, sizeof(bytes) } };
	struct redis_reply *reply;
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	redis_queue(t.redis, 5, argv);
	assert_int_equal(redis_flush(t.redis, &err), 0);
	assert_int_equal(redis_receive(t.redis, &t.arena, DEADLINE_MS, &reply, &err), 1);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_true(str_equal(d->first->raw[0].value.text, argv[4]));
	t.source->ops->recycle(t.source, &d);
}

static void
nothing_new_is_no_delivery(void **state)
{
	NEEDS_SERVER();
	assert_int_equal(take(LANES), 0);
	assert_false(t.source->ops->requested(t.source));
	assert_int_equal(t.source->ops->fd(t.source), -1);
}

static void
a_waiting_request_answers_when_something_comes(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(2, DEADLINE_MS);
	assert_int_equal(t.source->ops->receive(t.source, &d, &err), 0);
	call("XADD s:1 * id 1");
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	t.source->ops->recycle(t.source, &d);
}

static void
entries_of_a_lane_that_moved_or_left_meanwhile_are_dropped(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	call("XADD s:0 5-1 id 1");
	call("XADD s:1 5-1 id 1");
	call("XADD s:2 5-1 id 1");
	ask(3, 0);
	t.lanes[0].cursor = (struct position){ 5, 1 };
	lane_free(&t.lanes[1]);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	assert_ptr_equal(d->first->lane, &t.lanes[2]);
	t.source->ops->recycle(t.source, &d);
}

static void
a_key_of_another_type_holds_its_lane_and_no_other(void **state)
{
	NEEDS_SERVER();
	call("SET s:1 x");
	for (int i = 0; i < 50; i++) {
		call("XADD s:0 * id 1");
		call("XADD s:2 * id 1");
	}
	assert_int_equal(take_all(3, 12), 100);
	assert_int_equal(t.lanes[1].state, LANE_HELD);
	assert_string_equal(atomic_load(&t.lanes[1].why), LANE_WHY_WRONG_TYPE);
	call("DEL s:1");
	call("XADD s:1 * id 1");
	lane_open(&t.lanes[1]);
	assert_int_equal(take_all(3, 4), 1);
	assert_int_equal(t.lanes[1].state, LANE_OPEN);
}

static void
a_backlog_of_small_entries_is_read_in_few_replies(void **state)
{
	size_t count = 0, rounds = 0;
	struct err err = { 0 };
	struct redis_reply *reply;

	NEEDS_SERVER();
	for (int i = 0; i < 5000; i++)
		redis_queuef(t.redis, "XADD s:0 * id %lld name Bob", (long long)i);
	assert_int_equal(redis_flush(t.redis, &err), 0);
	while (redis_pending(t.redis) > 0)
		assert_int_equal(redis_receive(t.redis, &t.arena, DEADLINE_MS, &reply, &err), 1);
	for (; count < 5000; rounds++)
		count += take(LANES);
	assert_int_equal(count, 5000);
	assert_true(rounds <= 16);
}

static void
large_entries_of_all_lanes_flow_within_the_memory_limit(void **state)
{
	size_t count = 0, rounds = 0;

	NEEDS_SERVER();
	for (int n = 0; n < 20; n++) {
		for (int i = 0; i < LANES; i++)
			add_large(t.names[i], LARGE);
		arena_reset(&t.arena);
	}
	for (; count < 20 * LANES && rounds < 1000; rounds++)
		count += take(LANES);
	assert_int_equal(count, 20 * LANES);
	for (int i = 0; i < LANES; i++)
		assert_int_equal(t.lanes[i].state, LANE_OPEN);
}

static void
an_entry_over_entry_max_halts_its_lane_and_no_other(void **state)
{
	char text[POSITION_TEXT];
	struct position before;

	NEEDS_SERVER();
	t.config.entry_max_bytes = 4 << 20;
	call("XADD s:1 1-0 id 1");
	add_large("s:1", 40 << 20);
	call("XADD s:1 * id 3");
	for (int i = 0; i < 20; i++)
		call("XADD s:2 * id 1");
	assert_int_equal(take_all(3, 12), 21);
	assert_int_equal(t.lanes[1].state, LANE_HALTED);
	assert_string_equal(atomic_load(&t.lanes[1].why), LANE_WHY_ENTRY_TOO_LARGE);
	before = t.lanes[1].cursor;
	assert_string_equal(position_text(before, text), "1-0");
	call("XADD s:2 * id 1");
	assert_int_equal(take(3), 1);
}

static void
an_entry_just_over_entry_max_is_refused_only_when_those_before_it_are_written(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	t.config.entry_max_bytes = 100000;
	call("XADD s:0 1-0 id 1");
	add_large("s:0", 100001);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(d->count, 1);
	t.source->ops->recycle(t.source, &d);
	t.lanes[0].cursor = (struct position){ 1, 0 };
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_null(d);
	assert_int_equal(t.lanes[0].state, LANE_HELD);
	t.lanes[0].position = t.lanes[0].cursor;
	lane_open(&t.lanes[0]);
	ask(1, 0);
	assert_int_equal(answer(&d, &err), 1);
	assert_int_equal(t.lanes[0].state, LANE_HALTED);
}

static void
an_entry_of_very_many_small_fields_counts_as_it_is_held(void **state)
{
	enum { WORDS = 400000 };
	struct str *argv = calloc(3 + WORDS, sizeof(*argv));
	struct redis_reply *reply;
	struct err err = { 0 };

	NEEDS_SERVER();
	t.config.entry_max_bytes = 4 << 20;
	argv[0] = STR("XADD");
	argv[1] = STR("s:0");
	argv[2] = STR("*");
	for (int i = 0; i < WORDS; i++)
		argv[3 + i] = STR("x");
	redis_queue(t.redis, 3 + WORDS, argv);
	assert_int_equal(redis_flush(t.redis, &err), 0);
	assert_int_equal(redis_receive(t.redis, &t.arena, DEADLINE_MS, &reply, &err), 1);
	free(argv);
	assert_int_equal(take_all(1, 1) + (t.lanes[0].state == LANE_OPEN ? take(1) : 0), 0);
	assert_int_equal(t.lanes[0].state, LANE_HALTED);
}

static void
a_lost_server_is_an_error_to_retry(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(1, DEADLINE_MS);
	call("CLIENT KILL TYPE normal");
	assert_int_equal(answer(&d, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_false(t.source->ops->is_open(t.source));
	assert_false(t.source->ops->requested(t.source));
	assert_int_equal(t.source->ops->open(t.source, &err), 0);
	assert_int_equal(redis_open(t.redis, &err), 0);
	assert_int_equal(take(1), 0);
}

static void
a_silent_server_is_given_up_at_the_deadline(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };
	struct redis_stream *s = redis_stream_of(t.source);

	NEEDS_SERVER();
	s->read_options.timeout_ms = 100;
	call("CLIENT PAUSE 600 ALL");
	ask(1, 0);
	assert_int_equal(answer(&d, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	call("PING");
}

static void
a_demoted_server_is_given_up(void **state)
{
	struct delivery *d = NULL;
	struct err err = { 0 };

	NEEDS_SERVER();
	ask(1, DEADLINE_MS);
	assert_int_equal(t.source->ops->receive(t.source, &d, &err), 0);
	call("REPLICAOF 127.0.0.1 1");
	if (answer(&d, &err) == 1) /* what a server does to blocked readers differs */
		assert_null(d);
	t.source->ops->close(t.source);
	assert_int_equal(t.source->ops->open(t.source, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	call("REPLICAOF NO ONE");
}

/* ---- looking ---- */

static void
a_fresh_lane_leaves_its_identity_and_its_group(void **state)
{
	struct source_look found;
	struct ledger_row none = { 0 };

	NEEDS_SERVER();
	settle(0);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_OK);
	assert_string_equal(found.identity, t.lanes[0].identity);
	/* the ledger forgot it */
	assert_int_equal(look(0, none, &found), LOOK_LEDGER_LOST);
	call("DEL sluice:default:id:s:0");
	assert_int_equal(look(0, none, &found), LOOK_LEDGER_LOST);
}

static void
another_lanes_identity_stops_it(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	call("SET sluice:default:id:s:0 other");
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_IDENTITY);
}

static void
a_key_of_another_type_is_named(void **state)
{
	struct source_look found;
	struct ledger_row none = { 0 };

	NEEDS_SERVER();
	call("LPUSH s:0 x");
	assert_int_equal(look(0, none, &found), LOOK_WRONG_TYPE);
}

/* Read and apply `count` entries of lane 0, release it. */
static void
apply(int count)
{
	for (int i = 0; i < count; i++)
		call("XADD s:0 * id 1");
	assert_int_equal(take_all(1, 4), count);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_flushed_server_is_a_gap_and_the_stream_is_lifted(void **state)
{
	struct source_look found;
	struct err err = { 0 };

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	t.source->ops->close_lane(t.source, &t.lanes[0]);
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_GAP);
	assert_false(found.cannot_lift);
	assert_int_equal(t.source->ops->settle(t.source, &t.lanes[0], t.lanes[0].identity, &err), 0);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	/* an id below the ledger's place is refused now */
	assert_null(redis_call(t.redis, &t.arena, &err, "XADD s:0 5-0 id 1"));
	call("XADD s:0 * id 1");
	assert_int_equal(take(1), 1);
}

static void
a_flush_while_running_is_one_gap(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	assert_int_equal(release(0, &found), LOOK_GAP);
	assert_non_null(strstr(found.text, "s:0"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(release(0, &found), LOOK_OK);
	assert_int_equal(integer("EXISTS sluice:default:id:s:0"), 1);
	apply(5);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_flush_that_new_entries_hide_is_still_one_gap(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("FLUSHALL");
	call("XADD s:0 9999999999999-0 id 1");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(take(1), 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_deleted_stream_is_one_gap_although_it_was_begun_anew(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("DEL s:0");
	call("XADD s:0 9999999999999-0 id 1");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_foreign_trim_of_unread_entries_is_one_gap(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	for (int i = 0; i < 10; i++)
		call("XADD s:0 * id 1");
	call("XTRIM s:0 MAXLEN 4");
	assert_int_equal(release(0, &found), LOOK_GAP);
	assert_non_null(strstr(found.text, "6 entries"));
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(take(1), 4);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_foreign_trim_of_applied_entries_is_none_also_for_the_next_owner(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XADD s:0 * id 1");
	call("XTRIM s:0 MAXLEN 1");
	t.source->ops->close_lane(t.source, &t.lanes[0]);
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_OK);
	call("XTRIM s:0 MAXLEN 0");
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_GAP);
}

static void
a_deleted_unread_entry_is_one_gap(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XADD s:0 9999999999999-0 id 1");
	call("XADD s:0 9999999999999-1 id 1");
	call("XDEL s:0 9999999999999-0");
	assert_int_equal(release(0, NULL), LOOK_GAP);
	assert_int_equal(release(0, NULL), LOOK_OK);
}

static void
a_gap_found_while_the_lane_is_held_is_told_later(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	lane_hold(&t.lanes[0], LANE_WHY_ROW_LOCK, 0);
	call("DEL s:0");
	release(0, NULL);
	lane_open(&t.lanes[0]);
	assert_int_equal(release(0, NULL), LOOK_GAP);
}

/* ---- releasing ---- */

static void
at_rest_the_witness_is_left_and_the_lag_is_zero(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(100);
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(atomic_load(&t.lanes[0].lag), 0);
	assert_int_equal(atomic_load(&t.lanes[0].oldest_pending_ms), 0);
	assert_true(atomic_load(&t.lanes[0].stream_bytes) > 0);
}

static void
under_way_the_lag_is_what_is_not_done(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 1; i <= 50; i++) {
		char command[64];

		snprintf(command, sizeof(command), "XADD s:0 %d-0 id 1", 1000 + i);
		call(command);
	}
	t.lanes[0].cursor = t.lanes[0].position = t.lanes[0].done = (struct position){ 1020, 0 };
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 30);
	assert_int_equal(atomic_load(&t.lanes[0].lag), 30);
	assert_int_equal(atomic_load(&t.lanes[0].stream_length), 31);
	assert_int_equal(atomic_load(&t.lanes[0].oldest_pending_ms), 1021);
}

static void
what_another_group_needs_is_not_trimmed(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 1; i <= 10; i++) {
		char command[64];

		snprintf(command, sizeof(command), "XADD s:0 %d-0 id 1", i);
		call(command);
	}
	call("XGROUP CREATE s:0 another 0");
	call("XREADGROUP GROUP another me COUNT 6 STREAMS s:0 >");
	call("XACK s:0 another 1-0 2-0 3-0");
	assert_int_equal(take(1), 10);
	assert_int_equal(release(0, NULL), LOOK_OK);
	/* 4-0 is pending there */
	assert_int_equal(integer("XLEN s:0"), 7);
	call("XACK s:0 another 4-0 5-0 6-0");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(integer("XLEN s:0"), 5);
	call("XGROUP DESTROY s:0 another");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

static void
a_destroyed_group_is_made_again_with_its_count(void **state)
{
	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("XGROUP DESTROY s:0 sluice-default");
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_int_equal(group_field("s:0", "lag"), 0);
	assert_int_equal(group_field("s:0", "entries-read"), 10);
}

static void
entries_that_are_large_do_not_make_looking_expensive(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 0; i < 3; i++)
		add_large("s:0", 6 << 20);
	assert_true(take_all(1, 2) >= 1);
	assert_int_equal(release(0, NULL), LOOK_OK);
	assert_true(arena_bytes(&redis_stream_of(t.source)->arena) < 8 << 20);
	assert_true(atomic_load(&t.lanes[0].oldest_pending_ms) > 0);
	assert_int_equal(atomic_load(&t.lanes[0].stream_length), 1 + atomic_load(&t.lanes[0].lag));
	assert_int_equal(group_field("s:0", "lag"), atomic_load(&t.lanes[0].lag));
}

static void
what_may_not_be_done_is_done_without(void **state)
{
	static const char *const denied[] = { "ACL SETUSER default -xtrim", "ACL SETUSER default -xgroup",
		"ACL SETUSER default -xinfo", "ACL SETUSER default -memory", "ACL SETUSER default -set",
		"ACL SETUSER default -get", "ACL SETUSER default -info", "ACL SETUSER default -xpending" };
	struct source_look found;
	struct err err = { 0 };

	NEEDS_SERVER();
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		call("ACL SETUSER default +@all");
		call("FLUSHALL");
		t.source->ops->close_lane(t.source, &t.lanes[0]);
		t.lanes[0].done = t.lanes[0].position = t.lanes[0].cursor = (struct position){ 0, 0 };
		call(denied[i]);
		t.source->ops->close(t.source);
		assert_int_equal(t.source->ops->open(t.source, &err), 0);
		settle(0);
		apply(10);
		assert_int_equal(release(0, NULL), LOOK_OK);
		/* and it is no gap to the next owner that we may not leave traces */
		t.source->ops->close_lane(t.source, &t.lanes[0]);
		assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_OK);
	}
	call("ACL SETUSER default +@all");
}

static void
a_stream_that_may_not_be_lifted_says_so(void **state)
{
	struct source_look found;

	NEEDS_SERVER();
	settle(0);
	apply(10);
	call("ACL SETUSER default -xsetid");
	call("DEL s:0");
	assert_int_equal(look(0, row_of(&t.lanes[0]), &found), LOOK_GAP);
	assert_true(found.cannot_lift);
	call("ACL SETUSER default +@all");
}

static void
a_server_out_of_memory_is_still_read(void **state)
{
	NEEDS_SERVER();
	settle(0);
	for (int i = 0; i < 10; i++)
		call("XADD s:0 * id 1");
	call("CONFIG SET maxmemory 1");
	assert_int_equal(take(1), 10);
	assert_int_equal(release(0, NULL), LOOK_OK);
	call("CONFIG SET maxmemory 0");
	assert_int_equal(integer("XLEN s:0"), 1);
	assert_int_equal(group_field("s:0", "lag"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_start, test_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_arrive_in_order_with_their_fields),
		TEST(binary_values_arrive_byte_for_byte),
		TEST(nothing_new_is_no_delivery),
		TEST(a_waiting_request_answers_when_something_comes),
		TEST(entries_of_a_lane_that_moved_or_left_meanwhile_are_dropped),
		TEST(a_key_of_another_type_holds_its_lane_and_no_other),
		TEST(a_backlog_of_small_entries_is_read_in_few_replies),
		TEST(large_entries_of_all_lanes_flow_within_the_memory_limit),
		TEST(an_entry_over_entry_max_halts_its_lane_and_no_other),
		TEST(an_entry_just_over_entry_max_is_refused_only_when_those_before_it_are_written),
		TEST(an_entry_of_very_many_small_fields_counts_as_it_is_held),
		TEST(a_lost_server_is_an_error_to_retry),
		TEST(a_silent_server_is_given_up_at_the_deadline),
		TEST(a_demoted_server_is_given_up),
		TEST(a_fresh_lane_leaves_its_identity_and_its_group),
		TEST(another_lanes_identity_stops_it),
		TEST(a_key_of_another_type_is_named),
		TEST(a_flushed_server_is_a_gap_and_the_stream_is_lifted),
		TEST(a_flush_while_running_is_one_gap),
		TEST(a_flush_that_new_entries_hide_is_still_one_gap),
		TEST(a_deleted_stream_is_one_gap_although_it_was_begun_anew),
		TEST(a_foreign_trim_of_unread_entries_is_one_gap),
		TEST(a_foreign_trim_of_applied_entries_is_none_also_for_the_next_owner),
		TEST(a_deleted_unread_entry_is_one_gap),
		TEST(a_gap_found_while_the_lane_is_held_is_told_later),
		TEST(at_rest_the_witness_is_left_and_the_lag_is_zero),
		TEST(under_way_the_lag_is_what_is_not_done),
		TEST(what_another_group_needs_is_not_trimmed),
		TEST(a_destroyed_group_is_made_again_with_its_count),
		TEST(entries_that_are_large_do_not_make_looking_expensive),
		TEST(what_may_not_be_done_is_done_without),
		TEST(a_stream_that_may_not_be_lifted_says_so),
		TEST(a_server_out_of_memory_is_still_read),
	};

	return cmocka_run_group_tests(tests, group_start, group_end);
}
