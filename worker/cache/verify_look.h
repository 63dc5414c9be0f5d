#ifndef WORKER_CACHE_VERIFY_LOOK_H
#define WORKER_CACHE_VERIFY_LOOK_H

#include "worker/cache/key_holes.h"
#include "worker/cache/verify_wait.h"
#include "worker/operate/row_access.h"

/*
 * Looking at keys and their rows, many of one template with one SELECT and one pipeline: first the
 * rows, then what the cache holds (verify_judge.h says why).  Reads only.  Thread: its owner's, with
 * connections of its own.
 */
enum { VERIFY_BATCH_MAX = 100 };

/* A template whose keys can be compared with their rows. */
struct verify_template {
	const struct config_table *table;
	const struct config_template *template;
	struct key_holes holes;
};

struct verify_eye {
	struct config own; /* the configuration, with less patience */
	struct verify_template *templates;
	size_t template_count;
	struct row_access rows;
	struct access_redis access;
	struct redis *redis;
	struct arena arena;	/* of one look */
	uint64_t found, absent; /* keys that were read, for those who count hits */
	size_t key_bytes;	/* about what a key's value and row take, of mode populate */
};

/* Of all tables, or of `only`.  The configuration is borrowed. */
void verify_eye_init(struct verify_eye *eye, const struct config *config,
    const struct config_table *only, const char *client_name);
void verify_eye_deinit(struct verify_eye *eye);

/*
 * How many of so many keys of mode populate one SELECT takes: their values and rows are held until they
 * are compared, about VERIFY_LOOK_BYTES in all.  Learns from each look; it begins with one.
 */
enum { VERIFY_LOOK_BYTES = 1024 * 1024 };
size_t verify_eye_share(const struct verify_eye *eye, size_t keys);
void verify_eye_learn(struct verify_eye *eye, size_t keys, size_t bytes);

/*
 * What is there, for at most VERIFY_BATCH_MAX keys of that template.  Both connections must be open.
 * Rows are found by MySQL's own equality: a key whose row has another spelling is asked for alone.
 * -1: something is away; the connection that failed is closed.
 */
int verify_eye_look(struct verify_eye *eye, const struct verify_template *template,
    const struct str *keys, size_t count, struct verify_seen *seen, struct err *err);

#endif
