#include "worker/cache/round.h"

#include "common/clock.h"
#include "common/log.h"

int
round_marker_absent_ms(struct round *r, const struct config_template *t, const struct told *told)
{
	bool was_full = r->markers.full;

	/* where no version is told none is left */
	if (t->mode != MODE_VERSIONED || t->marker_absent_ms == 0 || told->unversioned ||
	    markers_take(&r->markers, clock_ms()))
		return t->marker_absent_ms;
	if (r->cache->counters != NULL)
		COUNT(r->cache->counters->markers_left_out, 1);
	if (!was_full)
		log_event(LOG_WARN, "markers_max", "max", "%llu",
		    (unsigned long long)r->markers.max, "next", "%s",
		    "keys that are not in the cache get no marker until older ones are gone", NULL);
	return 0;
}
