#ifndef WORKER_CACHE_REFRESH_STEP_H
#define WORKER_CACHE_REFRESH_STEP_H

#include "worker/cache/refresh_work.h"

/*
 * One step of the refresher: what is due of one table, from the leases to the values.  Everything in
 * it lives in the refresher's arena and ends with the step.  Thread: the refresher's.
 */
enum { LOOK_AGAIN_MS = 1000, KEEP_EVERY_MS = 250, PATIENCE_LEAST_MS = 10 };

struct refresh_item {
	struct hot_key *k;
	struct hot_keys *of;
	struct str key;
	struct str values[REFRESH_KEY_COLUMNS];
	struct str token, stamp, version;
	int64_t most_ms, ttl_ms;
	size_t row;
	bool load, fill, found, reload;
	bool gave_back; /* the lease, before the value came */
};

struct refresh_step {
	struct refresh *r;
	struct refresh_table *t;
	struct refresh_item *items;
	size_t count, loads;
	bool versioned;
	bool waits; /* for MySQL, beyond patience */
	int64_t took_us;
	struct err err;
};

/* ---- when ---- */
/* How long before its expiry this key is to be loaded, of a TTL of ttl_ms. */
int64_t step_lead_ms(struct refresh_step *s, const struct refresh_item *i, int64_t ttl_ms);
/* Loads became much slower: what was to be loaded just before its expiry is so earlier. */
void step_bring_forward(struct refresh_step *s);
/* So much is left of its value: when to load it again. */
void step_set_expiry(struct refresh_step *s, struct refresh_item *i, int64_t left_ms);
void item_look_again(struct refresh_item *i, int64_t in_ms);

/* ---- commands to the cache, queued until the next flush ---- */
struct str step_number(struct refresh_step *s, int64_t n);
/* A function of versioned entries, or the script of plain ones with what it is to do. */
void step_call(struct refresh_step *s, const struct refresh_item *i, const char *name, size_t argc,
    const struct str *argv);
/* The next answer; NULL: the connection is gone, or the library is, which is the same for us. */
struct redis_reply *step_answer(struct refresh_step *s);
struct str reply_word(const struct redis_reply *reply, size_t at);
int64_t reply_number(const struct redis_reply *reply, size_t at);

/* ---- refresh_stretch.c ---- */
/* What is due and can't be loaded stays for its readers, as long as stale_max allows. */
void refresh_stretch(struct refresh_step *s);

#endif
