#include "common/random.h"

#include "common/err.h"

#include <sys/random.h>

static uint64_t
rotate(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* splitmix64, as the generator's authors advise: any seed, 0 too, gives a good state. */
void
random_init(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15u);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		r->s[i] = z ^ (z >> 31);
	}
}

uint64_t
random_seed(void)
{
	uint64_t seed;

	/* up to 256 bytes are never interrupted (getrandom(2)) */
	CHECK(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
	return seed;
}

uint64_t
random_u64(struct random *r)
{
	uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Values of the incomplete last stretch are drawn again: no bias. */
uint64_t
random_below(struct random *r, uint64_t n)
{
	uint64_t x, remainder;

	CHECK(n > 0);
	do {
		x = random_u64(r);
		remainder = x % n;
	} while (x - remainder > 0 - n);
	return remainder;
}

double
random_unit(struct random *r)
{
	return (double)(random_u64(r) >> 11) * 0x1.0p-53;
}

int64_t
random_jitter(struct random *r, int64_t wait)
{
	if (wait <= 0)
		return wait;
	return wait - wait / 4 + (int64_t)random_below(r, (uint64_t)(wait / 4) * 2 + 1);
}
