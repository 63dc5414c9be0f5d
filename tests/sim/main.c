#include "tests/sim/groups.h"
#include "tests/sim/sim.h"

#include "common/log.h"
#include "common/number.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * sim [N] [--from SEED]	play N schedules (10,000; fewer under a sanitizer), the regression list first
 * sim --seed SEED [--trace]	play one, call by call
 * With --groups only those of consumer groups, with --kafka only those of Kafka; otherwise a tenth as
 * many of either come first.
 */
#define SEEDS_FILE "tests/sim/seeds"
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define SCHEDULES 500
#elif defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SCHEDULES 2000
#else
#define SCHEDULES 10000
#endif

/* A CHECK of the worker has failed: say where. */
static void
on_abort(int number)
{
	char text[96];
	int len = snprintf(text, sizeof(text), "FAILED: signal %d, seed %" PRIu64 "\n", number,
	    world.seed);

	fflush(stdout);
	if (write(STDOUT_FILENO, text, (size_t)len) < 0)
		_exit(2);
	_exit(1);
}

static uint64_t
play_known(uint64_t *calls)
{
	FILE *file = fopen(SEEDS_FILE, "r");
	uint64_t count = 0;
	char line[256];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *end;
		uint64_t seed = strtoull(line, &end, 10);

		if (end == line)
			continue;
		world_run(strstr(end, "kafka: ") != NULL ? PLAYED_KAFKA : PLAYED_STREAMS, seed,
		    false);
		*calls += world.calls;
		count++;
	}
	fclose(file);
	return count;
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Lanes that only invalidate. */
static void
play_groups(uint64_t from, uint64_t count)
{
	double start = seconds();
	uint64_t calls = 0;

	for (uint64_t i = 0; i < count; i++) {
		groups_run(from + i, false);
		calls += world.calls;
	}
	printf("%.1f s, %" PRIu64 " calls, %" PRIu64 " schedules of lanes that only invalidate, 0 "
	       "failed\n",
	    seconds() - start, calls, count);
}

static void
play_kafka(uint64_t from, uint64_t count)
{
	double start = seconds();
	uint64_t calls = 0;

	for (uint64_t i = 0; i < count; i++) {
		world_run(PLAYED_KAFKA, from + i, false);
		calls += world.calls;
	}
	printf("%.1f s, %" PRIu64 " calls, %" PRIu64 " schedules of Kafka, 0 failed\n",
	    seconds() - start, calls, count);
}

static void
play_many(uint64_t from, uint64_t count)
{
	double start = seconds();
	uint64_t calls = 0, known = play_known(&calls);

	for (uint64_t i = 0; i < count; i++) {
		world_run(PLAYED_STREAMS, from + i, false);
		calls += world.calls;
	}
	printf("%.1f s, %" PRIu64 " calls, %" PRIu64 " known seeds\n", seconds() - start, calls,
	    known);
	printf("%" PRIu64 " schedules, 0 failed\n", count + known);
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: sim [--groups | --kafka] [N] [--from SEED] |\n"
	    "       sim [--groups | --kafka] --seed SEED [--trace]\n");
	exit(2);
}

int
main(int argc, char **argv)
{
	uint64_t count = SCHEDULES, from = 1, seed = 0;
	bool one = false, traced = false, of_groups = false, of_kafka = false;

	for (int i = 1; i < argc; i++) {
		struct str word = str_of(argv[i]), next = str_of(i + 1 < argc ? argv[i + 1] : NULL);

		if (str_equal(word, STR("--trace")))
			traced = true;
		else if (str_equal(word, STR("--groups")))
			of_groups = true;
		else if (str_equal(word, STR("--kafka")))
			of_kafka = true;
		else if (str_equal(word, STR("--seed")) && number_u64(next, &seed))
			one = ++i > 0;
		else if (str_equal(word, STR("--from")) && number_u64(next, &from))
			i++;
		else if (!number_u64(word, &count))
			usage();
	}
	signal(SIGABRT, on_abort);
	log_init(traced ? LOG_INFO : LOG_ERROR + 1, LOG_LOGFMT);
	if (!one) {
		bool all = !of_groups && !of_kafka;

		if (all || of_groups)
			play_groups(from, all ? count / 10 : count);
		if (all || of_kafka)
			play_kafka(from, all ? count / 10 : count);
		if (all)
			play_many(from, count);
		return 0;
	}
	if (of_groups)
		groups_run(seed, traced);
	else
		world_run(of_kafka ? PLAYED_KAFKA : PLAYED_STREAMS, seed, traced);
	printf("seed %" PRIu64 ": %" PRIu64 " calls, fine\n", seed, world.calls);
	return 0;
}
