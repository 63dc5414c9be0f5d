#include "worker/census.h"

#include "common/log.h"
#include "config/braces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "pool/source/", what the names of a source's lanes begin with. */
static size_t
lanes_prefix(const struct config *config, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s/%s/", config->pool, config->redis.name);
}

static bool
holds_more(struct worker *w, const char *stream, struct position done, int *holds, struct err *err)
{
	struct position last;

	if (w->source->ops->newest(w->source, stream, &last, err) < 0)
		return false;
	*holds = position_compare(last, done) > 0;
	return true;
}

/* Is this a stream that the source would have named under another number of lanes? */
static bool
is_of_source(const struct config_source *source, const char *stream)
{
	for (size_t i = 0; i < source->pattern_count; i++)
		if (braces_can_be(str_of(source->patterns[i]), str_of(stream)))
			return true;
	return false;
}

/* Keep the places of the lane's source that another number of lanes wrote. */
static size_t
keep_of_other_number(const struct lane *lane, struct ledger_place *places, size_t count,
    size_t skip)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (places[i].lanes_of_source != 0 &&
		    places[i].lanes_of_source != lane->lanes_of_source &&
		    is_of_source(lane->source, places[i].name + skip))
			places[kept++] = places[i];
	return kept;
}

int
census_settled(struct worker *w, const struct lane *lane, char *text, size_t size, struct err *err)
{
	struct ledger_place *places;
	char prefix[LANE_NAME_MAX + 1];
	size_t skip = lanes_prefix(w->config, prefix, sizeof(prefix)), count;
	int settled = 1, holds = 0;

	if (w->store->ops->list(w->store, prefix, &places, &count, err) != 0)
		return -1;
	count = keep_of_other_number(lane, places, count, skip);
	for (size_t i = 0; i < count && settled > 0; i++) {
		if (!holds_more(w, places[i].name + skip, places[i].done, &holds, err))
			settled = -1;
		else if (holds)
			settled = 0;
		if (settled == 0)
			snprintf(text, size,
			    "its source had %u lanes and has %u now, and %s holds entries beyond "
			    "its "
			    "done: drain them under the old number first",
			    places[i].lanes_of_source, lane->lanes_of_source, places[i].name);
	}
	if (settled == 1 && count > 0 &&
	    w->store->ops->recount(w->store, places, count, lane->lanes_of_source, err) != 0)
		settled = -1;
	free(places);
	return settled;
}

static bool
is_configured(const struct config *config, const char *stream)
{
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count; j++)
			if (strcmp(config->sources[i].streams[j], stream) == 0)
				return true;
	return false;
}

int
census_unread(struct worker *w, struct err *err)
{
	struct ledger_place *places;
	char prefix[LANE_NAME_MAX + 1];
	size_t skip = lanes_prefix(w->config, prefix, sizeof(prefix)), count;
	int unread = 0, holds = 0, status = 0;

	if (w->store->ops->list(w->store, prefix, &places, &count, err) != 0)
		return -1;
	for (size_t i = 0; i < count && status == 0; i++) {
		const char *stream = places[i].name + skip;

		if (is_configured(w->config, stream))
			continue;
		if (!holds_more(w, stream, places[i].done, &holds, err))
			status = -1;
		else if (holds) {
			unread++;
			log_event(LOG_ERROR, "lane_unread", "lane", "%s", places[i].name, "error",
			    "%s",
			    "it holds entries beyond its done and no source of the config names it",
			    "next", "%s", "add it to the config until it is drained", NULL);
		}
	}
	SHOW(w->counters.lanes_unread, unread);
	free(places);
	return status;
}
