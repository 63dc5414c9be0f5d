#ifndef TESTS_SIM_GROUPS_H
#define TESTS_SIM_GROUPS_H

#include "worker/worker.h"

#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Lanes that only invalidate: real workers with their real source (consumer groups), store and cache,
 * on a fake Redis behind common/redis.h.  Processes crash, stand still and lose their connections at
 * every call; commands are lost before or after they took effect.  What must hold:
 *	an entry is acknowledged only after its key went, or its dead letter was written, since it was
 *	added
 *	in the end nothing is pending, and every entry was read
 *	a consumer's name leaves the group only when it holds nothing, and those of the dead do leave
 * Time and chance are the world's (sim.h).
 */
enum {
	GROUP_STREAMS = 2,
	GROUP_ENTRIES = 120,
	GROUP_KEYS = 6,
	GROUP_PROCESSES = 3,
	GROUP_CONNECTIONS = 32,
	GROUP_CONSUMERS = 200,
	GROUP_NAME = 200
};

struct group_entry {
	struct position id;
	int64_t at_us; /* when it is added */
	unsigned key;
	bool bad;     /* a dead letter */
	bool deleted; /* by somebody (XDEL) */
	bool lost;    /* nobody can read it any more: the group was destroyed behind it */
	bool acked, lettered;
	uint64_t added_tick;
	int holder; /* a consumer; -1: not pending */
	int64_t held_us;
};

struct group_consumer {
	bool there;
	char name[GROUP_NAME];
	int64_t seen_us;
};

struct group_stream {
	char name[16];
	struct group_entry entries[GROUP_ENTRIES];
	unsigned count, added, delivered;
	bool group;
	struct group_consumer consumers[GROUP_CONSUMERS];
	unsigned consumer_count;
};

struct group_process {
	int index;
	unsigned life;
	bool alive, running;
	struct worker worker;
	struct lane lanes[GROUP_STREAMS];
	struct lane *lane_list[GROUP_STREAMS];
	_Atomic int stop;
	jmp_buf crash;
	int64_t start_us, give_up_us;
};

struct groups {
	struct config config;
	struct group_stream streams[GROUP_STREAMS];
	struct group_process process[GROUP_PROCESSES];
	unsigned processes, depth;
	uint64_t ticks, gone_tick[GROUP_KEYS];
	unsigned acked, letters;
	int64_t down_us[2];
	bool destroys;
};
extern struct groups groups;

/* Play one schedule. */
void groups_run(uint64_t seed, bool traced);
/* poll() while one is played: see world.c. */
bool groups_are_played(void);
int groups_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
void groups_pass(int64_t us);
/* A command goes out or an answer comes in: others may take their turns, this process may crash. */
void groups_call(const char *what);
/* The connections of a process that is no more. */
void groups_cut_all(const struct group_process *p);
/* Whoever is running; NULL: nobody. */
struct group_process *groups_running(void);
bool groups_fd_ready(int fd);
/* Commands that wait at the server are answered when something came, or their time is over. */
void groups_serve_all(void);
/* Is there a connection of a source whose loss nobody has noticed? */
bool groups_any_broken(void);

#endif
