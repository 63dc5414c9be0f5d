#include "tests/sim_refresh/play.h"

#include "common/err.h"
#include "common/log.h"
#include "common/number.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * sim_refresh [N] [--from SEED]	play N schedules (1,000; fewer under a sanitizer)
 * sim_refresh --seed SEED [--trace]	play one
 * sim_refresh --server PORT CLOCK ...	the same beside a real server (test_refresh_sim.py)
 */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer) || \
    defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SCHEDULES 200
#else
#define SCHEDULES 1000
#endif

/* A CHECK has failed: say where. */
static void
on_abort(int number)
{
	char text[96];
	int len = snprintf(text, sizeof(text), "FAILED: signal %d, seed %llu\n", number,
	    (unsigned long long)play.seed);

	fflush(stdout);
	if (write(STDOUT_FILENO, text, (size_t)len) < 0)
		_exit(2);
	_exit(1);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
play_many(uint64_t from, uint64_t count)
{
	uint64_t loads = 0, told = 0, stale = 0, misses = 0;
	double start = seconds();

	for (uint64_t i = 0; i < count; i++) {
		play_run(from + i, false);
		loads += play.loads;
		told += play.told;
		stale += play.stale;
		misses += play.misses;
	}
	CHECK(loads > count && told > count && stale > count && misses > count);
	printf("%.1f s, %llu keys loaded, %llu invalidations, %llu reads over the time\n",
	    seconds() - start, (unsigned long long)loads, (unsigned long long)told,
	    (unsigned long long)stale);
	printf("%llu schedules of refresh ahead, 0 failed\n", (unsigned long long)count);
}

static int
usage(void)
{
	fprintf(stderr,
	    "usage: sim_refresh [N] [--from SEED] | sim_refresh --seed SEED [--trace]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	uint64_t count = SCHEDULES, from = 1, seed = 0;
	bool one = false, traced = false;

	for (int i = 1; i < argc; i++) {
		struct str word = str_of(argv[i]), next = str_of(i + 1 < argc ? argv[i + 1] : NULL);

		if (str_equal(word, STR("--trace")))
			traced = true;
		else if (str_equal(word, STR("--seed")) && number_u64(next, &seed))
			one = ++i > 0;
		else if (str_equal(word, STR("--from")) && number_u64(next, &from))
			i++;
		else if (str_equal(word, STR("--server")) && i + 2 < argc) {
			mirror_open(atoi(argv[i + 1]), argv[i + 2]);
			i += 2;
		} else if (!number_u64(word, &count))
			return usage();
	}
	signal(SIGABRT, on_abort);
	log_init(traced ? LOG_INFO : LOG_ERROR + 1, LOG_LOGFMT);
	if (!one) {
		play_many(from, count);
		return 0;
	}
	play_run(seed, traced);
	printf("seed %llu: %llu steps, fine\n", (unsigned long long)seed,
	    (unsigned long long)play.steps);
	return 0;
}
