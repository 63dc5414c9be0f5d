#include "common/resident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* By the mappings themselves: the counters in status may lag.  -1 where the kernel doesn't tell. */
static long
resident_kb(void)
{
	char line[256];
	long kb = -1;
	FILE *file = fopen("/proc/self/smaps_rollup", "r");

	while (file != NULL && kb < 0 && fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "Rss: %ld kB", &kb);
	if (file != NULL)
		fclose(file);
	return kb;
}

static const char written_at_load[] = "relocated";
static const char *const relocated = written_at_load;
static int written = 1;

static void
what_only_the_start_touched_is_given_back(void **state)
{
	long before = resident_kb();

	(void)state;
	if (before < 0)
		skip();
	resident_drop_code();
	assert_true(resident_kb() < before);
}

static void
what_the_process_has_written_stays(void **state)
{
	(void)state;
	written = 7;
	resident_drop_code();
	assert_int_equal(written, 7);
	assert_string_equal(relocated, "relocated");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_only_the_start_touched_is_given_back),
		cmocka_unit_test(what_the_process_has_written_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
