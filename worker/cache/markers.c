#include "worker/cache/markers.h"

#include <string.h>

enum { PLACES = MARKER_BUCKETS + 1 };

void
markers_init(struct markers *m, const struct config *config)
{
	int longest_ms = 0;

	*m = (struct markers){ .max = (uint64_t)config->markers_max };
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count; j++) {
			const struct config_template *t = &config->tables[i].templates[j];

			if (t->mode == MODE_VERSIONED && t->marker_absent_ms > longest_ms)
				longest_ms = t->marker_absent_ms;
		}
	m->bucket_ms = longest_ms / MARKER_BUCKETS + 1;
}

/* Forget those whose time is over. */
static void
pass(struct markers *m, int64_t now_ms)
{
	int64_t bucket = now_ms / m->bucket_ms;

	if (bucket - m->bucket >= PLACES) {
		memset(m->counts, 0, sizeof(m->counts));
		m->alive = 0;
		m->bucket = bucket;
	}
	while (m->bucket < bucket) {
		m->bucket++;
		m->alive -= m->counts[m->bucket % PLACES];
		m->counts[m->bucket % PLACES] = 0;
	}
}

bool
markers_take(struct markers *m, int64_t now_ms)
{
	if (m->max == 0)
		return true;
	pass(m, now_ms);
	m->full = m->alive >= m->max;
	if (m->full)
		return false;
	m->counts[m->bucket % PLACES]++;
	m->alive++;
	return true;
}
