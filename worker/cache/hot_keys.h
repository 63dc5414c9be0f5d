#ifndef WORKER_CACHE_HOT_KEYS_H
#define WORKER_CACHE_HOT_KEYS_H

#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The keys of a table that are read most, in fixed memory: Space-Saving (Metwally, Agrawal and El
 * Abbadi, ICDT 2005) over counts that decay exponentially (forward decay: Cormode, Shkapenyuk,
 * Srivastava and Xu, ICDE 2009).
 *
 * With m counters and N the decayed sum of all weights, a key's count is too high by at most its
 * `error`, which is at most N/m, and never too low; a key whose true count is above N/m has a
 * counter.  A key that is read no more loses half of its count with each half-life.
 *
 * Decay alone would keep what was read a lot among the top for long: two half-lives after all readers
 * moved on, the old keys still hold a quarter of their counts, and the new ones three.  So what has
 * missed a half-life and ten of its reads is forgotten (hot_keys_forget): its count is 0, and the
 * above holds for the reads since then.
 *
 * Memory: everything is allocated at once, about 290 bytes a counter.  Keys longer than HOT_KEY_BYTES
 * are not counted.  Thread: its owner's.
 */
enum { HOT_KEY_BYTES = 160 };

/* What the refresher knows of a key; zero when a counter changes its key. */
struct hot_state {
	int64_t looked_ms;  /* clock_ms when its TTL was last seen; 0: never */
	int64_t expires_ms; /* clock_ms when its value is over its time; 0: there is none */
	int64_t due_ms;	    /* when to load it again, or else look again */
	int64_t lent_ms;    /* the value is stretched until then; 0: it isn't */
	int64_t loaded_wall_ms;
	int64_t load_us; /* what its last load took */
	bool lost;	 /* somebody else wrote it under our last load */
	bool reload;	 /* it was invalidated: load it now */
};

struct hot_key {
	struct hot_state state;
	uint64_t hash;
	double count, error; /* in units of the scale */
	int64_t read_ms;     /* when it was told last, */
	double weight;	     /* and of how many reads */
	uint32_t heap;	     /* its place there */
	uint16_t len;
	char text[HOT_KEY_BYTES];
};

struct hot_keys {
	struct hot_key *keys;
	uint32_t *heap;	  /* places in keys[], the lowest count first */
	uint32_t *slots;  /* open addressing: place in keys[] + 1 */
	size_t max, used; /* counters */
	size_t slot_count;
	int64_t half_life_ms, epoch_ms;
	double total; /* of all weights, in units of the scale */
	double
	    floor; /* the highest count that a counter was taken with: no key without one has more */
	uint64_t too_long;
};

void hot_keys_init(struct hot_keys *h, size_t counters, int64_t half_life_ms);
void hot_keys_deinit(struct hot_keys *h);
/* Bytes that it holds, whatever was counted. */
size_t hot_keys_bytes(const struct hot_keys *h);

/* The key was read `weight` times at now_ms (clock_ms, never falling).  Its counter, or NULL when the
 * key is too long; valid until the next add. */
struct hot_key *hot_keys_add(struct hot_keys *h, struct str key, double weight, int64_t now_ms);
/* The key's counter, or NULL. */
struct hot_key *hot_keys_find(struct hot_keys *h, struct str key);
void hot_keys_clear(struct hot_keys *h);

/* The decayed count and how much of it may be other keys'. */
double hot_key_count(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms);
double hot_key_error(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms);
/* Reads a second that are surely its own: a key read r times a second comes to a count of r *
 * half-life / ln 2. */
double hot_key_rate(const struct hot_keys *h, const struct hot_key *key, int64_t now_ms);

/* Set the counts of keys that are read no more to 0: not told of for a half-life, in which that would
 * have happened HOT_KEY_MISSES times at the rate they had.  Returns how many.  A pass over all. */
enum { HOT_KEY_MISSES = 10 };
size_t hot_keys_forget(struct hot_keys *h, int64_t now_ms);

/* The counters with the highest sure counts, highest first, none that is 0; returns how many (at most
 * max). */
size_t hot_keys_top(struct hot_keys *h, struct hot_key **out, size_t max);

static inline struct str
hot_key_text(const struct hot_key *key)
{
	return (struct str){ key->text, key->len };
}

/* The same number for the same bytes in every process. */
uint64_t hot_key_hash(struct str key);

#endif
