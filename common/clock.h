#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/*
 * Time.  Production reads the kernel's clocks; tests and the simulation set a fake one for the whole
 * process, so that no test ever sleeps.  Thread: any (the fake: one).
 */

/* Monotonic; for intervals and deadlines. */
int64_t clock_ms(void);
int64_t clock_us(void);
/* Wall time, since 1970. */
int64_t clock_wall_ms(void);

/* Set (and move) the fake: monotonic and wall time both answer `us`.  A negative us ends it. */
void clock_fake(int64_t us);

#endif
