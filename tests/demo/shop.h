#ifndef TESTS_DEMO_SHOP_H
#define TESTS_DEMO_SHOP_H

#include "common/mysql.h"
#include "common/redis.h"
#include "tests/demo/model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * The demo's shop, a program of three parts:
 *	shop.c		adds changes to Redis Streams at a given rate and tells its parent how it goes
 *	reader.c	a thread that reads rows through the cache, as the shop's pages would
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
