#ifndef WORKER_OPERATE_BREAKER_H
#define WORKER_OPERATE_BREAKER_H

#include "common/random.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A breaker: the state of one dependency as one worker sees it.  On the write path it is the
 * retry's own state: closed while calls succeed; open for the back-off (100 ms doubling to 5 s, ±
 * 25 %) after a failure; half-open for the one try after that (Nygard, Release It!, 2007).
 * That of loads counts: so many failures in a row open it, for a time of its own, and a failed try
 * opens it again.  Thread: its worker's; pages read the atomic fields.
 */
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
const char *breaker_state_name(enum breaker_state state);

struct breaker {
	/* worker only */
	struct random *random;
	unsigned failures_max; /* opens with so many; 0: with the first, for the back-off */
	int64_t open_ms;       /* with failures_max: for so long, ± 25 % */
	int64_t wait_ms, until_ms;
	/* shared, atomic */
	_Atomic int state;
	_Atomic int64_t since_wall_ms; /* when the state last left or reached closed */
	_Atomic unsigned failures;     /* in a row */
	_Atomic uint64_t failures_total;
	_Atomic int worked_ever; /* a call has succeeded since start; readiness asks */
	char why[256];		 /* why it isn't closed; under lock, read with breaker_why */
	_Atomic int lock;
};

void breaker_init(struct breaker *b, struct random *random);
/* The other kind. */
void breaker_init_counting(struct breaker *b, struct random *random, unsigned failures_max,
    int64_t open_ms);
/* May we try now?  Moves open to half-open when the back-off is over. */
bool breaker_ready(struct breaker *b);
/* Milliseconds until it may be tried; 0: now. */
int64_t breaker_wait_ms(const struct breaker *b);
/* Each returns true when it left or reached closed (worth a log line): a failed try while it is
 * open or half-open only lengthens the back-off and answers false. */
bool breaker_failed(struct breaker *b, const char *why);
bool breaker_worked(struct breaker *b);
/* A copy of why. */
void breaker_why(struct breaker *b, char *out, int size);

#endif
