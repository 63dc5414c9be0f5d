#include "worker/tend.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Producers that add a child and its parent by two connections mean no harm when the child is first. */
#define GRACE_MS 1000

/* Do entries of this lane have parents that this source may bring? */
static bool
brings_parents(struct worker *w, const struct lane *lane, const struct config_source *source)
{
	struct schema *schema = w->store->ops->schema(w->store);
	size_t i;

	for (i = 0; schema != NULL && i < lane->source->table_count; i++) {
		const struct table *table = schema_table(schema, str_of(lane->source->tables[i]));

		if (table != NULL && table_parent_comes_by(table, source))
			return true;
	}
	return false;
}

static struct position
place_of(const struct ledger_place *places, size_t count, size_t skip, const char *stream)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(places[i].name + skip, stream) == 0)
			return places[i].position;
	return (struct position){ 0, 0 };
}

/* Is all that is in these streams now written?  What can't be known is no. */
static bool
are_written(struct worker *w, const struct lane *lane, const struct config_source *source,
    const struct ledger_place *places, size_t count, size_t skip)
{
	struct position newest;
	struct err err = { 0 };
	size_t i;

	/* of partitions nobody asks: the wait ends by itself */
	if (config_has_topics(source) || w->table != NULL)
		return false;
	for (i = 0; i < source->stream_count; i++) {
		const char *stream = source->streams[i];

		if (strcmp(stream, lane->stream) == 0)
			continue;
		if (!w->source->ops->is_open(w->source) ||
		    w->source->ops->newest(w->source, stream, &newest, &err) != 0 ||
		    position_compare(newest, place_of(places, count, skip, stream)) > 0)
			return false;
	}
	return true;
}

/*
 * No parent can be on its way any more for what was in the lane before this moment, when all that is in
 * the parents' lanes now is written.  They may be other workers' and other processes'; the ledger and the
 * source know of all.
 */
static bool
are_parents_empty(struct worker *w, const struct lane *lane)
{
	char prefix[LANE_NAME_MAX + 1];
	struct ledger_place *places;
	struct err err = { 0 };
	size_t i, count, skip;
	bool empty = true;

	skip = (size_t)snprintf(prefix, sizeof(prefix), "%s/%s/", w->config->pool,
	    w->config->redis.name);
	if (w->store->ops->list(w->store, prefix, &places, &count, &err) != 0)
		return false;
	for (i = 0; i < w->config->source_count && empty; i++) {
		const struct config_source *source = &w->config->sources[i];

		if (brings_parents(w, lane, source))
			empty = are_written(w, lane, source, places, count, skip);
	}
	free(places);
	return empty;
}

/* The last place in the lane's stream; the orphan's own where that can't be known. */
static struct position
last_of(struct worker *w, const struct lane *lane, struct position orphan)
{
	struct position newest;
	struct err err = { 0 };

	if (!w->source->ops->is_open(w->source) ||
	    w->source->ops->newest(w->source, lane->stream, &newest, &err) != 0 ||
	    position_compare(newest, orphan) < 0)
		return orphan;
	return newest;
}

bool
tend_wait_for_parents(struct worker *w, struct lane *lane, struct position orphan)
{
	struct position last = last_of(w, lane, orphan);

	/*
	 * All that is in the stream now shares one wait, or each orphan of a backlog would wait by
	 * itself.  The stream says what that is, and not our clock, which may differ from the server's.
	 */
	if (lane->parent_wait_ms == 0 || orphan.major >= lane->parent_wait_id_ms) {
		lane->parent_wait_ms = clock_ms();
		lane->parent_wait_id_ms = last.major + 1;
	}
	if (clock_ms() - lane->parent_wait_ms < GRACE_MS || !are_parents_empty(w, lane))
		return false;
	lane->parents_past = last;
	return true;
}
