#include "worker/operate/dead_stream.h"

#include "common/clock.h"
#include "worker/batch.h"
#include "worker/cache/cache.h"
#include "worker/operate/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1000 };

static int
failed(const struct dead_access *a, const struct err *err)
{
	struct buf place = { 0 };

	access_add_redis(&a->config.redis, &place);
	fprintf(stderr, "sluice: redis %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

int
dead_stream_open(struct dead_access *a)
{
	struct err err = { 0 };

	access_redis_init(&a->redis_access, &a->config.redis, "sluice-dead");
	a->redis = redis_new(&a->redis_access.options);
	arena_init(&a->arena, 0);
	a->letters = calloc(LETTERS_PAGE, sizeof(*a->letters));
	CHECK(a->letters != NULL);
	return redis_open(a->redis, &err) == 0 ? EXIT_CODE_OK : failed(a, &err);
}

void
dead_stream_close(struct dead_access *a)
{
	if (a->redis == NULL)
		return;
	redis_free(&a->redis);
	access_redis_deinit(&a->redis_access);
	arena_deinit(&a->arena);
	free(a->letters);
}

/* One page into a->letters; *next as in letter_stream_page. */
static int
read_page(struct dead_access *a, struct position after, size_t *count, struct position *next,
    struct err *err)
{
	struct position from = after;

	arena_reset(&a->arena);
	if (a->has_stream_id) { /* the place before it */
		if (position_compare(after, a->stream_id) >= 0) {
			*count = 0;
			return 0;
		}
		from = a->stream_id;
		from.major -= from.minor == 0;
		from.minor--;
	}
	if (letter_stream_page(a->redis, a->config.dead_stream, &a->filter, from, &a->arena,
		a->letters, count, next, err) != 0)
		return -1;
	if (a->has_stream_id) {
		*count = *count > 0 && position_compare(a->letters[0].id, a->stream_id) == 0;
		*next = a->stream_id;
	}
	return 0;
}

int
dead_stream_go_through(struct dead_access *a, dead_page *page, uint64_t *seen)
{
	struct position after = { 0, 0 }, next = { 0, 0 };
	struct err err = { 0 };
	size_t count;

	for (;;) {
		if (read_page(a, after, &count, &next, &err) != 0)
			return failed(a, &err);
		if (a->limit > 0 && count > a->limit - *seen)
			count = (size_t)(a->limit - *seen);
		if (count == 0)
			return EXIT_CODE_OK;
		after = next;
		*seen += count;
		for (size_t i = 0; i < count; i++)
			a->rows[i] = a->letters[i].row;
		if (page(a, a->rows, count, &err) != 0)
			return err.class == ERR_NONE ? EXIT_CODE_RUNTIME : failed(a, &err);
	}
}

static void
add_to_groups(struct letter_group *groups, size_t *count, const struct letter_row *row)
{
	size_t i = 0;

	while (i < *count &&
	    (strcmp(groups[i].table, row->table) != 0 ||
		strcmp(groups[i].reason, row->reason) != 0 ||
		strcmp(groups[i].state, row->state) != 0))
		i++;
	if (i == *count && *count < LETTER_GROUPS_MAX) {
		groups[i] = (struct letter_group){ .count = 0 };
		memcpy(groups[i].table, row->table, sizeof(groups[i].table));
		memcpy(groups[i].reason, row->reason, sizeof(groups[i].reason));
		memcpy(groups[i].state, row->state, sizeof(groups[i].state));
		++*count;
	}
	if (i < *count)
		groups[i].count++;
}

int
dead_stream_groups(struct dead_access *a, struct letter_group *groups, size_t *count)
{
	struct position after = { 0, 0 }, next = { 0, 0 };
	struct err err = { 0 };
	size_t read;

	for (;;) {
		if (read_page(a, after, &read, &next, &err) != 0)
			return failed(a, &err);
		if (read == 0)
			return EXIT_CODE_OK;
		after = next;
		for (size_t i = 0; i < read; i++)
			add_to_groups(groups, count, &a->letters[i].row);
	}
}

/* ---- replay ---- */

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

static struct lane *
find_lane(const struct replay *r, const char *name)
{
	for (size_t i = 0; i < r->lane_count; i++)
		if (strcmp(r->lanes[i].name, name) == 0)
			return &r->lanes[i];
	return NULL;
}

static void
say_stays(const struct letter_entry *letter, const char *why)
{
	fprintf(stderr, "sluice: letter %s stays: %s\n", letter->row.stream_id, why);
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

/* Those whose keys are gone leave the stream. */
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
		if (letter_stream_drop(a->redis, a->config.dead_stream, from, 1, &dropped, err) !=
		    0)
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
dead_stream_replay(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
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

int
dead_stream_drop(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	(void)rows;
	return letter_stream_drop(a->redis, a->config.dead_stream, a->letters, count, &a->dropped,
	    err);
}
