/*
 * race_families PORT SHIFT-FILE FROM COUNT [FAMILY]: COUNT schedules a family (race_play.h) from seed FROM on, a
 * tenth as many of them with plain DEL and SET.  Prints a line a family; the first old value of each
 * with its seed.  COUNT 1 prints the schedule.  test_races.py starts it.
 */
#include "tests/integration/race_play.h"

#include <stdlib.h>
#include <string.h>

static const struct family families[] = {
	{ .name = "versioned",
	    .text = "any order, readers of the primary",
	    .mode = MODE_VERSIONED,
	    .deletes = true,
	    .evicts = true },
	{ .name = "replica",
	    .text = "readers of a replica that lags less than a marker lives",
	    .mode = MODE_VERSIONED,
	    .deletes = true,
	    .lag_ms = ABSENT_MS - 100 },
	{ .name = "put",
	    .text = "values put with their writes, and others that write past them",
	    .mode = MODE_VERSIONED,
	    .puts = true,
	    .evicts = true },
	{ .name = "populate",
	    .text = "rows written into the cache",
	    .mode = MODE_POPULATE,
	    .deletes = true,
	    .evicts = true },
	{ .name = "populate_put",
	    .text = "rows written into the cache, and values put with their writes",
	    .mode = MODE_POPULATE,
	    .puts = true },
	{ .name = "asleep",
	    .text = "rows written by workers that slept, also where nobody has read them",
	    .mode = MODE_POPULATE,
	    .deletes = true,
	    .sleeps = true },
	{ .name = "unversioned",
	    .text = "a version that doesn't rise, replicas that lag less than the quarantine",
	    .mode = MODE_VERSIONED,
	    .unversioned = true,
	    .lag_ms = QUARANTINE_MS - 100 },
	{ .name = "places",
	    .text =
		"no version but places in the log, which begins again on this or another server",
	    .mode = MODE_VERSIONED,
	    .places = true,
	    .evicts = true },
	{ .name = "failover",
	    .text = "the cache falls back, and what it lost is told again",
	    .mode = MODE_VERSIONED,
	    .deletes = true,
	    .evicts = true,
	    .failover = true },
	{ .name = "beyond",
	    .text = "a replica that lags longer than the marker lives, evictions",
	    .mode = MODE_VERSIONED,
	    .deletes = true,
	    .evicts = true,
	    .lag_ms = 5 * ABSENT_MS,
	    .bounded = true },
	{ .name = "places_replica",
	    .text = "places, and a replica that lags: a reader can't say how old its row is",
	    .mode = MODE_VERSIONED,
	    .places = true,
	    .deletes = true,
	    .lag_ms = ABSENT_MS - 100,
	    .bounded = true },
};
enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

/* Returns how many schedules read an old value. */
static unsigned
play_many(const struct family *family, uint64_t from, unsigned count, bool plain)
{
	unsigned stale = 0, hits = 0, in_bound = 0;
	char why[256] = "";

	for (unsigned i = 0; i < count; i++) {
		play(family, from + i, plain, count == 1);
		hits += world.hits;
		in_bound += world.in_bound;
		stale += world.stale > 0;
		if (world.stale > 0 && why[0] == '\0')
			snprintf(why, sizeof(why), " seed %llu: %.200s",
			    (unsigned long long)world.seed, world.why);
	}
	printf("%s %s %u %u %u %u%s\n", family->name, plain ? "plain" : "functions", count, hits,
	    stale, in_bound, why);
	fflush(stdout);
	return stale;
}

int
main(int argc, char **argv)
{
	uint64_t from;
	unsigned count;

	if (argc < 5)
		return 2;
	play_open(atoi(argv[1]), argv[2]);
	from = strtoull(argv[3], NULL, 10);
	count = (unsigned)atoi(argv[4]);
	for (unsigned f = 0; f < FAMILIES; f++) {
		if (argc > 5 && strcmp(argv[5], families[f].name) != 0)
			continue;
		play_many(&families[f], from, count, false);
		if (count > 1)
			play_many(&families[f], from, count / 10 + 1, true);
	}
	play_close();
	return 0;
}
