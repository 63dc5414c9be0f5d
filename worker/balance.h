#ifndef WORKER_BALANCE_H
#define WORKER_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Who gets how many lanes of a pool.  A member is one worker of one process; in a process of W
 * workers lane i can only be its worker i % W's (the worker's slot).  Every member computes the same
 * shares from the same list, so nobody has to be asked.
 *
 * No input or output, no clock.  Thread: any.
 */
#define MEMBER_PROCESS_MAX 128
struct member {
	char process[MEMBER_PROCESS_MAX]; /* the same for all workers of a process */
	int workers, slot;		  /* of that process; which of them */
	uint64_t joined_us;
	unsigned lanes; /* that it says it owns */
	bool mine;	/* it is the one who asks */
	bool beats;	/* lives by its heartbeat, not by its session */

	/* filled by balance_share */
	unsigned rank; /* of its process, the one that joined first is 0 */
	unsigned share;
};

/*
 * Fill share for all members, and sort them by rank and slot.  The lanes are dealt one by one to the
 * process that has the fewest and a member for that lane, in order of rank; so processes whose every
 * slot has a member differ by at most one lane, who joins takes as little as possible from each, and
 * the shares add up to `lanes` unless no member can have one of them.  Returns the number of
 * processes.
 */
unsigned balance_share(struct member *members, size_t count, unsigned lanes);

/* May this member own the lane of that index (among all lanes of the configuration)? */
bool balance_may_own(const struct member *member, int lane);

#endif
