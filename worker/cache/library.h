#ifndef WORKER_CACHE_LIBRARY_H
#define WORKER_CACHE_LIBRARY_H

#include "common/arena.h"
#include "common/err.h"
#include "common/redis.h"
#include "common/str.h"

/*
 * The function library of the versioned entries (functions.lua, whose head is its manual), as it was
 * when sluice was built.  On a server whose user may not load functions the same source runs as a
 * script.  Thread: any; library_load its connection's.
 */
enum library_form { LIBRARY_FUNCTIONS, LIBRARY_SCRIPT };

struct library {
	enum library_form form;
	char sha[41]; /* SCRIPT: what EVALSHA is called with */
};

struct str library_source(void);
/* "1.0": a later minor number only adds. */
struct str library_version(void);

/*
 * Make sure that the server has the library, ours or a newer one of the same major version, which is
 * never replaced; else that it has the script.  Nothing else may be pending.  Replies live in *a.
 * -1: neither can be had, and the class says whether trying again may help.
 */
int library_load(struct redis *redis, struct library *library, struct arena *a, struct err *err);

/* Does this error reply say that the server lost the library (a restart, a failover, a flush)? */
bool library_is_lost(struct str error);

/*
 * The first words of a call of a function with one key: FCALL name 1 key, or EVALSHA sha 1 key name.
 * Returns how many there are (at most LIBRARY_WORDS); the arguments follow them.
 */
enum { LIBRARY_WORDS = 5 };
int library_call(const struct library *library, struct str name, struct str key, struct str *argv);

#endif
