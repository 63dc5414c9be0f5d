#include "worker/operate/dead_kept.h"

#include "common/clock.h"
#include "worker/batch.h"
#include "worker/cache/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1000 };

/* Everything that it takes to derive keys and to invalidate them, for one page. */
struct replay {
	struct dead_access *access;
	struct schema *schema;
	struct cache *cache;
	struct batch batch;
	struct lane *lanes;
	size_t lane_count;
	struct letter_list list;
};

static void
make_lanes(struct replay *r)
{
	const struct config *config = &r->access->config;

	r->lanes = calloc(config_lane_count(config) + 1, sizeof(*r->lanes));
	CHECK(r->lanes != NULL);
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count; j++)
			if (!config->sources[i].write)
				lane_init(&r->lanes[r->lane_count++], config, &config->sources[i],
				    j, 0);
}

/* pool/kafka/topic/partition, where a source names the topic. */
static struct lane *
find_partition(struct replay *r, const char *name)
{
	const struct config *config = &r->access->config;
	char topic[TOPIC_NAME_MAX + 1];
	const struct config_source *source;
	struct lane *lane;
	int partition;

	if (!lane_name_partition(config, name, topic, &partition))
		return NULL;
	source = config_source_of_topic(config, topic);
	lane = arena_zalloc(&r->list.arena, sizeof(*lane));
	if (source == NULL || source->write ||
	    !lane_init_partition(lane, config, source, topic, partition, 0))
		return NULL;
	return lane;
}

static struct lane *
find_lane(struct replay *r, const char *name)
{
	for (size_t i = 0; i < r->lane_count; i++)
		if (strcmp(r->lanes[i].name, name) == 0)
			return &r->lanes[i];
	return find_partition(r, name);
}

static void
say_stays(const struct letter_entry *letter, const char *why)
{
	fprintf(stderr, "sluice: letter %s stays: %s\n", letter->row.kept_id, why);
}

/* As if it were read again. */
static void
add_letter(struct replay *r, const struct letter_entry *from)
{
	struct letter *letter = arena_zalloc(&r->list.arena, sizeof(*letter));
	struct entry *e = &letter->entry;

	e->lane = find_lane(r, from->row.lane);
	if (e->lane == NULL) {
		say_stays(from, "no source of this configuration reads its lane");
		return;
	}
	if (!letter_payload_read(from->payload, &r->list.arena, &e->raw, &e->raw_count)) {
		say_stays(from, "its payload is not as sluice wrote it");
		return;
	}
	letter->id = (uint64_t)(from - r->access->letters);
	letter->action = LETTER_INVALIDATE;
	e->letter = letter;
	e->id = (struct position){ letter->id + 1, 0 };
	position_parse(str_of(from->row.entry), &e->place);
	e->at_ms = clock_wall_ms();
	if (r->list.last != NULL)
		r->list.last->next = letter;
	else
		r->list.first = letter;
	r->list.last = letter;
	r->list.count++;
}

static int
invalidate(struct replay *r, struct err *err)
{
	int answered;

	if (r->batch.touched == NULL)
		return 0;
	if (r->cache->ops->open(r->cache, err) != 0 ||
	    r->cache->ops->start(r->cache, &r->batch, err) != 0)
		return -1;
	while ((answered = r->cache->ops->poll(r->cache, POLL_MS, err)) == 0)
		;
	return answered < 0 ? -1 : 0;
}

/* Those whose keys are gone leave their home. */
static int
close_letters(struct replay *r, struct err *err)
{
	struct dead_access *a = r->access;

	for (const struct letter *l = r->list.first; l != NULL; l = l->next) {
		const struct letter_entry *from = &a->letters[l->id];
		uint64_t dropped = 0;

		if (l->entry.refusal.reason != NULL) {
			say_stays(from, l->entry.refusal.text);
			continue;
		}
		if (a->home->drop(a, from, 1, &dropped, err) != 0)
			return -1;
		a->invalidated += dropped;
	}
	return 0;
}

static void
replay_deinit(struct replay *r)
{
	batch_deinit(&r->batch);
	r->cache->ops->free(&r->cache);
	schema_free(&r->schema);
	arena_deinit(&r->list.arena);
	free(r->lanes);
}

int
dead_kept_replay(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	struct replay r = { .access = a,
		.schema = schema_new(&a->config),
		.cache = invalidate_new(&a->config, 0) };
	int status;

	(void)rows;
	arena_init(&r.list.arena, 0);
	batch_init(&r.batch);
	schema_load_config(r.schema);
	batch_reset(&r.batch, r.schema);
	make_lanes(&r);
	for (size_t i = 0; i < count; i++)
		add_letter(&r, &a->letters[i]);
	batch_take_letters(&r.batch, &r.list);
	batch_seal(&r.batch);
	batch_mark_written(&r.batch);
	status = invalidate(&r, err) == 0 ? close_letters(&r, err) : -1;
	replay_deinit(&r);
	return status;
}
