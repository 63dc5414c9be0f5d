#ifndef TESTS_DEMO_SHOP_H
#define TESTS_DEMO_SHOP_H

#include "common/arena.h"
#include "common/mysql.h"
#include "common/redis.h"
#include "tests/demo/model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * The demo's shop, a program of five parts:
 *	shop.c		adds changes to Redis Streams at a given rate and tells its parent how it goes
 *	reader.c	a thread that reads rows through the cache, as the shop's pages would
 *	slow.c		threads whose pages are slow to load a row, in both ways to invalidate
 *	floor.c		a thread that knows what no read may be older than
 *	check.c		compares every row, every cached key and the dead letters with the model
 */
struct shop_servers {
	struct redis_options redis;
	struct sql_options mysql;
};

/* ---- reader.c ---- */

struct reader {
	const struct shop_servers *servers;
	pthread_t thread;
	/* shared, atomic */
	_Atomic bool stop, failed;
	_Atomic uint64_t hits, misses, filled, dropped, unavailable;
};

/*
 * Plain cache-aside, made safe against its one race: after SET the row is read again, and the value
 * is dropped when the row has moved meanwhile or MySQL doesn't answer.
 */
void reader_start(struct reader *reader, const struct shop_servers *servers, uint64_t seed);
void reader_stop(struct reader *reader);

/* Open it where it is not, at most every 200 ms. */
bool reader_has_mysql(struct sql *sql, int64_t *tried_ms);

/* ---- floor.c ---- */

enum { SLOW_USERS = 250, SLOW_FIRST = 50 /* each of these changes about once a second */ };

/*
 * For each user the highest version of which it is certain that its keys were invalidated: a row was
 * read, then its lane's position, and since then the lane's `done` came that far.  A cached
 * value below its floor is stale, whatever was killed or stopped meanwhile.
 */
struct floors {
	const struct shop_servers *servers;
	pthread_t thread;
	/* shared, atomic */
	_Atomic bool stop;
	_Atomic uint64_t version[SLOW_USERS];
};

void floors_start(struct floors *floors, const struct shop_servers *servers);
void floors_stop(struct floors *floors);

/* ---- slow.c ---- */

enum { SLOW_READERS = 8 };

/* What the pages read in one way; a value below its user's floor is stale. */
struct slow_reads {
	_Atomic uint64_t reads, filled, refused, stale;
};

/*
 * Pages that take 2 to 10 ms between reading a row and storing it, as an application does that renders
 * it, or is out of processor.  Each page reads its user once by GET and SET, where sluice deletes the
 * key, and once by sluice_get and sluice_fill, where the key's mode is versioned.
 */
struct slow {
	const struct shop_servers *servers;
	struct floors floors;
	pthread_t threads[SLOW_READERS];
	/* shared, atomic */
	_Atomic bool stop, failed;
	struct slow_reads plain, versioned;
};

void slow_start(struct slow *slow, const struct shop_servers *servers, uint64_t seed);
void slow_stop(struct slow *slow);

/* ---- check.c ---- */

struct shop_verdict {
	uint64_t rows, wrong; /* a row that is missing, too many or different is wrong */
	uint64_t letters, letters_wrong;
	uint64_t cached, stale;
};

/* Prints the first few differences on standard output. */
int shop_check(const struct shop_servers *servers, const struct model *model,
    struct shop_verdict *verdict, struct err *err);

#endif
