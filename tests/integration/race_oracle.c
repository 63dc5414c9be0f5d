#include "tests/integration/race_play.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void is_old(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void
is_old(const char *format, ...)
{
	va_list ap;

	if (world.lost || world.family->bounded)
		world.in_bound++;
	if (world.lost)
		return;
	world.stale++;
	va_start(ap, format);
	if (world.why[0] == '\0')
		vsnprintf(world.why, sizeof(world.why), format, ap);
	va_end(ap);
	trace("OLD: %s", world.why);
}

/* Is all told that made the row what it was with this version? */
static bool
is_all_told(unsigned version)
{
	for (unsigned v = 1; v <= version; v++)
		if (world.fates[v].exists && !world.fates[v].told)
			return false;
	return true;
}

/* "No such row" has to have been true at some time since the last change that was told. */
static void
check_no_row(void)
{
	const struct fate *f = world.fates;
	bool ever = world.told == 0 ? true : f[world.told].committed && !f[world.told].row.there;

	for (unsigned v = world.told + 1; v <= world.last_version && !ever; v++)
		ever = f[v].committed && !f[v].row.there;
	if (!ever && f[world.told].committed)
		is_old("no such row, but %u is told", world.told);
}

void
check_value(const char *payload)
{
	unsigned version, a, b;
	const struct fate *f;

	world.hits++;
	if (payload == NULL) {
		check_no_row();
		return;
	}
	CHECK(sscanf(payload, "%u,%u,%u", &version, &a, &b) == 3 && version < VERSIONS_MAX);
	f = &world.fates[version];
	trace("  read %s, told %u", payload, world.told);
	if (version < world.told)
		is_old("%s is read, but %u is told", payload, world.told);
	else if (f->refused && f->told)
		is_old("%s is read, which was refused", payload);
	else if (f->committed && is_all_told(version) && (f->row.a != a || f->row.b != b))
		is_old("%s is read, but it is %u,%u,%u", payload, version, f->row.a, f->row.b);
}
