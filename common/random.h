#ifndef COMMON_RANDOM_H
#define COMMON_RANDOM_H

#include <stdint.h>

/* A small seeded generator (xoshiro256**, Blackman and Vigna 2018), for jitter, tests and the
 * simulation; never for secrets. */
struct random {
	uint64_t s[4];
};

void random_init(struct random *r, uint64_t seed);
/* From the kernel. */
uint64_t random_seed(void);
uint64_t random_u64(struct random *r);
/* 0 … n-1, n > 0. */
uint64_t random_below(struct random *r, uint64_t n);
/* 0 ≤ x < 1 */
double random_unit(struct random *r);
/* wait ± 25 %, for back-off. */
int64_t random_jitter(struct random *r, int64_t wait);

#endif
