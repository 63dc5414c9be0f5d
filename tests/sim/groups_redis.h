#ifndef TESTS_SIM_GROUPS_REDIS_H
#define TESTS_SIM_GROUPS_REDIS_H

#include "common/redis.h"
#include "tests/sim/groups.h"

/*
 * The fake Redis of groups.h: groups_redis.c takes the place of common/redis.c, groups_server.c is the
 * server: what a consumer group needs, and what must hold when it is asked for.
 */
enum { GROUP_QUEUE = 4096 };

struct command {
	int argc;
	struct str *argv;
};

struct redis {
	const struct redis_options *options;
	struct group_process *process;
	int number;
	bool open;
	struct arena arena; /* of what is queued and answered */
	struct command queue[GROUP_QUEUE];
	size_t queued, sent, answered, taken; /* taken <= answered <= sent <= queued */
	struct redis_reply *replies[GROUP_QUEUE];
	int64_t ready_us, blocked_until_us;
	bool waits;  /* at the server, since it was sent */
	bool broken; /* which whoever has it has not noticed */
};

/* Let one command take effect.  NULL: it waits at the server. */
struct redis_reply *groups_execute(struct redis *r, const struct command *c);
struct redis_reply *groups_nil(struct redis *r);

#endif
