#ifndef TESTS_SUPPORT_STREAM_RIG_H
#define TESTS_SUPPORT_STREAM_RIG_H

#include "worker/source/redis_stream.h"

#include <sys/types.h>

/*
 * The source against a private redis-server on a socket of its own, with eight lanes s:0 … s:7;
 * every test is skipped where there is no server.  Waiting is for a condition, with a deadline.
 * For cmocka; one rig a program.
 */
enum { LANES = 8, DEADLINE_MS = 20000, MEMORY = 32 << 20, LARGE = 1000000 };

struct stream_rig {
	char directory[64], path[96];
	pid_t process;
	struct redis_options options;
	struct redis *redis; /* the test's own connection; NULL: there is no server */
	struct arena arena;
	const char *names[LANES];
	struct config_source source_config;
	struct config config;
	struct source *source;
	struct lane lanes[LANES];
};
extern struct stream_rig rig;

#define NEEDS_SERVER()                 \
	do {                           \
		(void)state;           \
		if (rig.redis == NULL) \
			skip();        \
	} while (0)

/* For cmocka: the server; an empty server, a new source and eight open lanes. */
int group_start(void **state);
int group_end(void **state);
int test_start(void **state);
int test_end(void **state);

/* One command, so that a test reads like a session with redis-cli; it must not be refused. */
struct redis_reply *call(const char *command);
long long integer(const char *command);
/* XADD with a value of that many bytes. */
void add_large(const char *stream, size_t bytes);
/* A number of the stream's first group. */
long long group_field(const char *stream, const char *field);

/* What a worker does.  ask: of the first `lanes` lanes those that are open. */
void ask(size_t lanes, int block_ms);
int answer(struct delivery **delivery, struct err *err);
/* One round, or several; all that comes is taken: cursor, position and done move on.  Returns how
 * many entries came. */
size_t take(size_t lanes);
size_t take_all(size_t lanes, unsigned rounds);
enum look_result look(int lane, struct ledger_row row, struct source_look *found);
struct ledger_row row_of(const struct lane *lane);
/* A lane that nobody ever saw becomes ours. */
void settle(int lane);
/* found may be NULL. */
enum look_result release(int lane, struct source_look *found);

#endif
