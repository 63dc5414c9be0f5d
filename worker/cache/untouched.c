#include "worker/cache/untouched.h"

static void
add(struct untouched *u, const char *name)
{
	*map_at(&u->names, name, strlen(name)) = u;
}

void
untouched_init(struct untouched *u, const struct config *config)
{
	map_init(&u->names);
	if (config->announce_stream != NULL)
		add(u, config->announce_stream);
	if (config->dead_stream != NULL)
		add(u, config->dead_stream);
	if (!config->cache_is_redis)
		return;
	for (size_t i = 0; i < config->source_count; i++) {
		const struct config_source *source = &config->sources[i];

		for (size_t j = 0; j < source->stream_count; j++)
			add(u, source->streams[j]);
	}
}

void
untouched_deinit(struct untouched *u)
{
	map_deinit(&u->names);
}

bool
untouched_holds(const struct untouched *u, struct str key)
{
	static const char ours[] = "sluice:";

	return (key.len >= sizeof(ours) - 1 && memcmp(key.data, ours, sizeof(ours) - 1) == 0) ||
	    map_get(&u->names, key.data, key.len) != NULL;
}
