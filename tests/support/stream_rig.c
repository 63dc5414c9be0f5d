#include "tests/support/stream_rig.h"

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

struct stream_rig rig;

struct redis_reply *
call(const char *command)
{
	struct err err = { 0 };
	struct redis_reply *reply = redis_call(rig.redis, &rig.arena, &err, command);

	if (reply == NULL)
		print_error("%s: %s\n", command, err.text);
	assert_non_null(reply);
	return reply;
}

long long
integer(const char *command)
{
	return call(command)->integer;
}

static bool
start_server(void)
{
	struct err err = { 0 };
	int64_t end = clock_ms() + DEADLINE_MS;

	snprintf(rig.directory, sizeof(rig.directory), "/tmp/sluice-unit-XXXXXX");
	assert_non_null(mkdtemp(rig.directory));
	snprintf(rig.path, sizeof(rig.path), "%s/redis", rig.directory);
	rig.process = fork();
	if (rig.process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "w", stdout) != NULL)
			execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
			    rig.path, "--dir", rig.directory, "--save", "", "--appendonly", "no",
			    (char *)NULL);
		_exit(127);
	}
	rig.options = (struct redis_options){
		.socket = rig.path, .connect_timeout_ms = 1000, .timeout_ms = DEADLINE_MS
	};
	rig.redis = redis_new(&rig.options);
	while (redis_open(rig.redis, &err) != 0) {
		if (waitpid(rig.process, NULL, WNOHANG) == rig.process || clock_ms() > end)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

int
group_start(void **state)
{
	(void)state;
	arena_init(&rig.arena, 1 << 20);
	if (!start_server()) {
		redis_free(&rig.redis);
		rig.process = 0;
	}
	return 0;
}

int
group_end(void **state)
{
	char command[128];

	(void)state;
	if (rig.process > 0) {
		kill(rig.process, SIGKILL);
		waitpid(rig.process, NULL, 0);
	}
	redis_free(&rig.redis);
	arena_deinit(&rig.arena);
	snprintf(command, sizeof(command), "rm -rf %s", rig.directory);
	return system(command);
}

int
test_start(void **state)
{
	static const char *const names[LANES] = { "s:0", "s:1", "s:2", "s:3", "s:4", "s:5", "s:6",
		"s:7" };
	struct err err = { 0 };

	(void)state;
	if (rig.redis == NULL)
		return 0;
	memcpy(rig.names, names, sizeof(names));
	rig.source_config = (struct config_source){
		.streams = rig.names, .stream_count = LANES, .start = "beginning"
	};
	rig.config = (struct config){ .pool = "default",
		.group = "sluice-default",
		.redis = { .name = "redis",
		    .socket = rig.path,
		    .connect_timeout_ms = 1000,
		    .timeout_ms = DEADLINE_MS },
		.memory_bytes = MEMORY,
		.entry_max_bytes = 16 << 20,
		.batch_max_rows = 1000,
		.batch_max_bytes = 1 << 20 };
	call("FLUSHALL");
	rig.source = redis_stream_new(&rig.config, 0);
	assert_int_equal(rig.source->ops->open(rig.source, &err), 0);
	for (int i = 0; i < LANES; i++) {
		lane_init(&rig.lanes[i], &rig.config, &rig.source_config, (size_t)i, i);
		lane_open(&rig.lanes[i]);
	}
	return 0;
}

int
test_end(void **state)
{
	(void)state;
	if (rig.redis == NULL)
		return 0;
	arena_reset(&rig.arena);
	for (int i = 0; i < LANES; i++)
		rig.source->ops->close_lane(rig.source, &rig.lanes[i]);
	rig.source->ops->free(&rig.source);
	return 0;
}

/* ---- what a worker does ---- */

void
ask(size_t lanes, int block_ms)
{
	struct lane *open[LANES];
	struct err err = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < lanes; i++)
		if (rig.lanes[i].state == LANE_OPEN)
			open[count++] = &rig.lanes[i];
	assert_true(count > 0);
	assert_int_equal(rig.source->ops->request(rig.source, open, count, 1000, 1 << 20, block_ms,
			     &err),
	    0);
}

int
answer(struct delivery **delivery, struct err *err)
{
	int64_t end = clock_ms() + DEADLINE_MS;
	int got;

	while ((got = rig.source->ops->receive(rig.source, delivery, err)) == 0) {
		struct pollfd socket = { rig.source->ops->fd(rig.source), POLLIN, 0 };

		assert_true(clock_ms() < end);
		poll(&socket, 1, 100);
	}
	return got;
}

size_t
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
		e->lane->cursor = e->lane->position = e->lane->done = e->lane->answered = e->id;
		e->lane->passed++;
	}
	assert_int_equal(count, d->count);
	assert_true(arena_bytes(&d->arena) <= MEMORY / 3 + (256 << 10));
	rig.source->ops->recycle(rig.source, &d);
	return count;
}

size_t
take_all(size_t lanes, unsigned rounds)
{
	size_t count = 0;

	while (rounds-- > 0)
		count += take(lanes);
	return count;
}

enum look_result
look(int lane, struct ledger_row row, struct source_look *found)
{
	struct err err = { 0 };

	assert_int_equal(rig.source->ops->look(rig.source, &rig.lanes[lane], &row, found, &err), 0);
	return found->result;
}

struct ledger_row
row_of(const struct lane *lane)
{
	struct ledger_row row = { .found = true, .position = lane->position, .done = lane->done };

	memcpy(row.identity, lane->identity, sizeof(row.identity));
	return row;
}

void
settle(int lane)
{
	struct source_look found;
	struct err err = { 0 };
	struct ledger_row none = { 0 };
	struct lane *l = &rig.lanes[lane];

	assert_int_equal(look(lane, none, &found), LOOK_FRESH);
	l->position = l->done = l->cursor = found.start;
	rig.source->ops->new_identity(rig.source, l, l->identity);
	assert_int_equal(rig.source->ops->settle(rig.source, l, l->identity, &err), 0);
}

enum look_result
release(int lane, struct source_look *found)
{
	struct source_look mine;
	struct err err = { 0 };
	int status;

	if (found == NULL)
		found = &mine;
	status = rig.source->ops->release(rig.source, &rig.lanes[lane], found, &err);
	if (status != 0)
		print_error("%s\n", err.text);
	assert_int_equal(status, 0);
	return found->result;
}

long long
group_field(const char *stream, const char *field)
{
	char command[64];
	struct redis_reply *groups;

	assert_true(rig.source->ops->is_open(rig.source));
	snprintf(command, sizeof(command), "XINFO GROUPS %s", stream);
	poll(NULL, 0, 20); /* another connection's command: no order between the two but time */
	groups = call(command);
	assert_true(groups->count > 0);
	assert_int_equal(redis_pair(groups->element[0], field)->type, REDIS_INTEGER);
	return redis_pair(groups->element[0], field)->integer;
}

void
add_large(const char *stream, size_t bytes)
{
	char *data = malloc(bytes);
	struct str argv[] = { STR("XADD"), str_of(stream), STR("*"), STR("id"), STR("1"),
		STR("blob"), { data, bytes } };
	struct redis_reply *reply;
	struct err err = { 0 };

	memset(data, 'x', bytes);
	redis_queue(rig.redis, 7, argv);
	assert_int_equal(redis_flush(rig.redis, &err), 0);
	assert_int_equal(redis_receive(rig.redis, &rig.arena, DEADLINE_MS, &reply, &err), 1);
	assert_int_equal(reply->type, REDIS_STRING);
	free(data);
}
