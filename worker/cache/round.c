#include "worker/cache/round.h"

#include "common/log.h"
#include "worker/cache/tag.h"
#include "worker/read_back.h"

#include <stdio.h>

enum {
	COMMAND_BYTES = 256 * 1024, /* keys of one UNLINK, about */
	QUEUE_BYTES = 64 * 1024,    /* sent when this much waits */
	ARENA_KEEP = 256 * 1024,
	KEY_COLUMNS = 16,
	MAP_KEEP = 16 * 1024,
	CALL_ARGUMENTS = 12,
	/* what sluice_invalidate takes when it isn't told */
	MARKER_MS = 60000,
	MARKER_ABSENT_MS = 2000,
	QUARANTINE_MS = 5000
};

void
round_init(struct round *r, struct cache *cache, const struct config *config, struct redis *redis,
    const struct library *library)
{
	*r = (struct round){ .cache = cache, .config = config, .redis = redis, .library = library };
	map_init(&r->seen);
	markers_init(&r->markers, config);
	arena_init(&r->arena, ARENA_KEEP);
	arena_init(&r->tags_arena, ARENA_KEEP);
	buf_init(&r->key);
	buf_init(&r->message);
}

void
round_deinit(struct round *r)
{
	map_deinit(&r->seen);
	arena_deinit(&r->arena);
	arena_deinit(&r->tags_arena);
	buf_deinit(&r->key);
	buf_deinit(&r->message);
}

/* ---- sending ---- */

int
round_send(struct round *r, const struct expected *expected, int argc, const struct str *argv,
    struct err *err)
{
	struct expected *e = arena_alloc(&r->arena, sizeof(*e));

	*e = *expected;
	e->next = NULL;
	if (r->last != NULL)
		r->last->next = e;
	else
		r->first = e;
	r->last = e;
	redis_queue(r->redis, argc, argv);
	for (int i = 0; i < argc; i++)
		r->queued_bytes += argv[i].len;
	if (r->queued_bytes < QUEUE_BYTES)
		return 0;
	r->queued_bytes = 0;
	return redis_flush(r->redis, err);
}

bool
round_may_touch(struct round *r, const struct config_table *table, struct str key)
{
	struct counters *counters = r->cache->counters;
	bool may = !untouched_holds(r->untouched, key);

	if (counters == NULL)
		return may;
	if (may) {
		COUNT(counters->invalidated, 1);
		COUNT(counters->tables[table - r->config->tables].invalidated, 1);
	} else {
		COUNT(counters->invalidations_skipped, 1);
	}
	return may;
}

static int
send_unlink(struct round *r, struct err *err)
{
	struct expected expected = { .what = EXPECT_UNLINK, .announced = r->unlinked };
	int words = r->unlink_count;

	if (words == 1)
		return 0;
	r->unlink_count = 1;
	r->unlink_bytes = 0;
	r->unlinked = NULL;
	return round_send(r, &expected, words, r->unlink, err);
}

static int
add_unlink(struct round *r, struct str key, struct announced *announced, struct err *err)
{
	struct str copy = arena_str(&r->arena, key.data, key.len);

	r->unlink[r->unlink_count++] = copy;
	if (announced != NULL) {
		announced->a.key = copy;
		announced->next = r->unlinked;
		r->unlinked = announced;
	}
	r->unlink_bytes += key.len;
	if (r->unlink_count == 1 + KEYS_PER_COMMAND || r->unlink_bytes >= COMMAND_BYTES)
		return send_unlink(r, err);
	return 0;
}

/* A function's call under way: its words, and room for the numbers among them. */
struct call {
	struct str argv[LIBRARY_WORDS + CALL_ARGUMENTS];
	char digits[CALL_ARGUMENTS][24];
	int argc, arguments;
};

static void
add_number(struct call *call, uint64_t n)
{
	char *digits = call->digits[call->arguments++];
	int len = snprintf(digits, sizeof(call->digits[0]), "%llu", (unsigned long long)n);

	call->argv[call->argc++] = (struct str){ digits, (size_t)len };
}

static void
add_word(struct call *call, struct str word)
{
	call->arguments++;
	call->argv[call->argc++] = word;
}

static int
send_versioned(struct round *r, const struct expected *expected, struct str key,
    const struct told *told, struct err *err)
{
	const struct config_template *t = expected->template;
	struct expected told_key = *expected;
	bool by_place = !told->unversioned && told->log.len > 0;
	bool tells_before = !told->unversioned && !by_place && told->before > 0;
	int absent_ms = round_marker_absent_ms(r, t, told);
	struct call call = { 0 };

	if (round_reloads(r, expected))
		told_key.member = arena_str(&r->arena, key.data, key.len);
	call.argc = library_call(r->library, STR("sluice_invalidate"), key, call.argv);
	if (told->unversioned)
		add_word(&call, STR(""));
	else
		add_number(&call, told->version);
	add_word(&call, told->deleted ? STR("deleted") : STR("row"));
	if (t->marker_ms != MARKER_MS || absent_ms != MARKER_ABSENT_MS ||
	    t->quarantine_ms != QUARANTINE_MS || tells_before || by_place) {
		add_number(&call, (uint64_t)t->marker_ms);
		add_number(&call, (uint64_t)absent_ms);
		add_number(&call, (uint64_t)t->quarantine_ms);
	}
	if (by_place) {
		add_word(&call, STR("")); /* before and lower are those of values that were put */
		add_word(&call, STR(""));
		add_word(&call, told->log);
		add_number(&call, told->at_ms);
	} else if (tells_before) {
		add_number(&call, told->before);
		if (told->lower > 1)
			add_number(&call, told->lower);
	}
	return round_send(r, &told_key, call.argc, call.argv, err);
}

/* What is to be announced of the rendered key; NULL: nothing. */
static struct announced *
announced_of(struct round *r, const struct expected *expected, const struct told *told,
    bool one_row)
{
	bool versioned = mode_is_versioned(expected->template->mode);
	struct announced *announced;

	if (!announce_is_on(r->config) || expected->template->mode == MODE_TAG)
		return NULL;
	announced = arena_zalloc(&r->arena, sizeof(*announced));
	announced->repeat = told->repeat;
	announced->a = (struct announcement){
		.table = expected->table->name,
		.key = arena_str(&r->arena, r->key.data, r->key.len),
		.reason = versioned && told->unversioned ? "unversioned" :
		    one_row && told->deleted		 ? "deleted" :
							   "changed",
		.has_version =
		    one_row && told->anything && !told->unversioned && told->log.len == 0,
		.version = told->version,
	};
	return announced;
}

/* A value that was put with this version (sluice_put) is that of a row that will never be. */
static int
send_refused(struct round *r, const struct expected *expected, const struct told *told,
    struct err *err)
{
	/* whoever has a copy of it can't tell by the row's version */
	struct told gone = { .anything = true, .unversioned = true, .repeat = told->repeat };
	struct expected refused = { .what = EXPECT_REFUSED,
		.table = expected->table,
		.template = expected->template,
		.announced = announced_of(r, expected, &gone, true) };
	struct str key = { r->key.data, r->key.len };
	struct call call = { 0 };

	call.argc = library_call(r->library, STR("sluice_invalidate"), key, call.argv);
	add_number(&call, told->refused);
	add_word(&call, STR("refused"));
	return round_send(r, &refused, call.argc, call.argv, err);
}

/* The row as it was read back; without that it is told as with mode versioned. */
static int
send_populate(struct round *r, struct expected *expected, struct str key, const struct told *told,
    struct err *err)
{
	const struct config_template *t = expected->template;
	const struct row_now *now = read_back_of(r->row, told);
	struct call call = { 0 };
	bool above, tells_before;

	if (now == NULL)
		return send_versioned(r, expected, key, told, err);
	/* what a value that was put later is told by, should this row not be written */
	above = now->version > told->version;
	expected->before = above ? told->version : told->before;
	expected->lower = told->lower + above;
	tells_before = above || told->before > 0;
	expected->what = EXPECT_POPULATE;
	expected->member = arena_str(&r->arena, key.data, key.len);
	expected->version = now->version;
	call.argc = library_call(r->library, STR("sluice_populate"), key, call.argv);
	add_number(&call, now->version);
	add_word(&call, now->value);
	add_number(&call, (uint64_t)t->ttl_ms);
	add_word(&call, STR("")); /* jitter */
	add_word(&call, STR("")); /* stale_for */
	add_number(&call, (uint64_t)t->marker_ms);
	add_number(&call, t->populate_always);
	add_number(&call, (uint64_t)t->marker_absent_ms);
	add_number(&call, server_clock_at_ms(&r->clock, r->batch->now_us));
	if (t->quarantine_ms != QUARANTINE_MS || tells_before)
		add_number(&call, (uint64_t)t->quarantine_ms);
	if (tells_before) {
		add_number(&call, expected->before);
		if (expected->lower > 1)
			add_number(&call, expected->lower);
	}
	r->populates = true;
	return round_send(r, expected, call.argc, call.argv, err);
}

/* No room for a value: the old one goes, as it must. */
static int
populate_refused(struct round *r, const struct expected *e, struct err *err)
{
	struct expected expected = *e;
	struct told told = { .version = e->version, .before = e->before, .lower = e->lower };

	expected.what = EXPECT_CALL;
	expected.member = (struct str){ NULL, 0 };
	return send_versioned(r, &expected, e->member, &told, err);
}

static int
send_generation(struct round *r, const struct expected *expected, struct str key, struct err *err)
{
	struct call call = { 0 };

	call.argc = library_call(r->library, STR("sluice_generation_raise"), key, call.argv);
	if (expected->template->ttl_ms > 0)
		add_number(&call, (uint64_t)expected->template->ttl_ms);
	return round_send(r, expected, call.argc, call.argv, err);
}

/* The key that was rendered, in its template's way. */
static int
send_key(struct round *r, struct expected *expected, const struct told *told, bool once,
    bool one_row, struct err *err)
{
	struct str key = { r->key.data, r->key.len };
	struct announced *announced;

	if (!once && map_get(&r->seen, key.data, key.len) != NULL)
		return 0;
	if (!round_may_touch(r, expected->table, key))
		return 0;
	if (!once)
		*map_at(&r->seen, arena_copy(&r->arena, key.data, key.len), key.len) = r;
	expected->announced = announced = announced_of(r, expected, told, one_row);
	expected->check = round_check(r, expected, told);
	switch (expected->template->mode) {
	case MODE_DELETE:
		return add_unlink(r, key, announced, err);
	case MODE_VERSIONED:
		return send_versioned(r, expected, key, told, err);
	case MODE_POPULATE:
		return send_populate(r, expected, key, told, err);
	case MODE_GENERATION:
	case MODE_TABLE:
		return send_generation(r, expected, key, err);
	case MODE_TAG:
		tag_add(r, expected, key);
		return 0;
	case MODE_SCAN:
	case MODE_NONE:
		break;
	}
	return 0;
}

/* The pattern that was rendered: the lanes that brought the row's changes wait for its pass. */
static void
add_pattern(struct round *r, const struct touched *row)
{
	uint64_t pass =
	    scan_add(r->scan, row->table->config, (struct str){ r->key.data, r->key.len });

	for (const struct change *c = row->changes; c != NULL; c = c->next_of_touched) {
		struct batch_lane *bl = batch_lane_find(r->batch, c->entry->lane);

		if (bl != NULL)
			bl->scan_pass = pass;
	}
}

/* The template's key, with these values for its names. */
static int
send_rendered(struct round *r, const struct touched *row, size_t place, const struct str *values,
    struct err *err)
{
	const struct key_template *template = &row->table->templates[place];
	struct expected expected = {
		.what = EXPECT_CALL, .table = row->table->config, .template = template->config
	};
	bool versioned = mode_is_versioned(template->config->mode);
	struct told told = { 0 };

	if (versioned || announce_is_on(r->config))
		told = told_of(row, place);
	if (versioned && !told.anything && told.refused == 0)
		return 0;
	buf_reset(&r->key);
	if (!key_template_render(template, values, &r->key))
		return 0;
	if (template->config->mode == MODE_SCAN) {
		add_pattern(r, row);
		return 0;
	}
	if (versioned && told.refused > told.version &&
	    !untouched_holds(r->untouched, (struct str){ r->key.data, r->key.len }) &&
	    send_refused(r, &expected, &told, err) != 0)
		return -1;
	if (versioned && !told.anything)
		return 0;
	r->by = told.newest != NULL ? told.newest : row->changes;
	r->row = row;
	/* a row's images may have one key */
	return send_key(r, &expected, &told,
	    template->one_row && (versioned || row->images == NULL), template->one_row, err);
}

static int
send_images(struct round *r, const struct touched *row, size_t place, struct err *err)
{
	for (const struct touched_image *i = row->images; i != NULL; i = i->next) {
		if (!change_left(i->unchanged, place) &&
		    send_rendered(r, row, place, i->values, err) != 0)
			return -1;
	}
	return 0;
}

/* No row: only the keys that name no column. */
static int
send_table(struct round *r, const struct touched *row, struct err *err)
{
	for (size_t i = 0; i < row->table->template_count; i++) {
		const struct key_template *template = &row->table->templates[i];

		if (template->config->mode != MODE_NONE && template->part_count == 1 &&
		    send_rendered(r, row, i, NULL, err) != 0)
			return -1;
	}
	return 0;
}

static int
send_row(struct round *r, const struct touched *row, struct err *err)
{
	const struct table *table = row->table;
	struct str values[KEY_COLUMNS];
	bool plain = row->plain || row->images == NULL;

	if (row->whole)
		return send_table(r, row, err);
	CHECK(table->key_count <= KEY_COLUMNS &&
	    (!plain || table->image_count == 0 || table->reads_row || table->keys_only));
	for (unsigned i = 0; i < table->key_count; i++)
		values[i] =
		    row->key[i].kind == VALUE_NULL ? (struct str){ NULL, 0 } : row->key[i].text;
	for (size_t i = 0; i < table->template_count; i++) {
		enum config_mode mode = table->templates[i].config->mode;

		if (mode == MODE_NONE || table->templates[i].from_row)
			continue;
		if ((plain || mode_is_versioned(mode)) &&
		    send_rendered(r, row, i, values, err) != 0)
			return -1;
		if (!mode_is_versioned(mode) && send_images(r, row, i, err) != 0)
			return -1;
	}
	return 0;
}

/* What the store found, or recalled.  Of a versioned key the highest version counts: all are sent. */
static int
send_owed(struct round *r, const struct owed *owed, struct err *err)
{
	struct expected expected = {
		.what = EXPECT_CALL, .table = owed->table, .template = owed->template
	};

	r->by = owed->told.newest;
	r->row = owed->row;
	buf_reset(&r->key);
	buf_add(&r->key, owed->key.data, owed->key.len);
	if (owed->template->mode == MODE_SCAN) {
		uint64_t pass = scan_add(r->scan, owed->table, owed->key);

		for (struct batch_lane *bl = r->batch->lanes; bl != NULL; bl = bl->next)
			bl->scan_pass = pass;
		return 0;
	}
	return send_key(r, &expected, &owed->told, mode_is_versioned(owed->template->mode),
	    mode_is_versioned(owed->template->mode), err);
}

/* How the clocks stand, for rounds to come. */
static int
ask_time(struct round *r, struct err *err)
{
	struct str time[] = { STR("TIME") };

	return r->populates ?
	    round_send(r, &(struct expected){ .what = EXPECT_CLOCK }, 1, time, err) :
	    0;
}

/* With nothing under way: the next page of a tag, in memory of its own, however large the set is. */
static int
next_tag(struct round *r, struct err *err)
{
	if (r->first != NULL || r->tags == NULL)
		return 0;
	map_reset(&r->seen, MAP_KEEP);
	arena_reset(&r->arena);
	return tag_ask(r, err);
}

int
round_start(struct round *r, const struct batch *batch, struct err *err)
{
	CHECK(batch->state == BATCH_WRITTEN && redis_pending(r->redis) == 0);
	arena_reset(&r->arena);
	arena_reset(&r->tags_arena);
	map_reset(&r->seen, MAP_KEEP);
	r->first = r->last = NULL;
	r->tags = NULL;
	r->unlinked = NULL;
	r->batch = batch;
	r->unlink[0] = STR("UNLINK");
	r->unlink_count = 1;
	r->unlink_bytes = r->queued_bytes = 0;
	r->populates = false;
	for (const struct touched *row = batch->touched; row != NULL; row = row->next)
		if (send_row(r, row, err) != 0)
			return -1;
	for (const struct owed *owed = batch->owed.first; owed != NULL; owed = owed->next)
		if (send_owed(r, owed, err) != 0)
			return -1;
	if (send_unlink(r, err) != 0 || ask_time(r, err) != 0 || next_tag(r, err) != 0)
		return -1;
	return redis_flush(r->redis, err);
}

/* ---- answers ---- */

void
round_refused(struct round *r, const struct expected *expected)
{
	if (r->cache->counters != NULL)
		COUNT(r->cache->counters->invalidations_refused, 1);
	log_event(LOG_WARN, "invalidation_refused", "table", "%s", expected->table->name, "key",
	    "%s", expected->template->written, "error", "%s", "WRONGTYPE: it holds something else",
	    "next", "%s", "it is left alone", NULL);
}

static void
count_answer(struct round *r, struct str answer)
{
	struct counters *counters = r->cache->counters;

	for (int i = 0; counters != NULL && invalidation_answer_name(i) != NULL; i++)
		if (str_equal(answer, str_of(invalidation_answer_name(i))))
			COUNT(counters->invalidation_answers[i], 1);
}

static int
fail(const struct redis_reply *reply, struct err *err)
{
	if (library_is_lost(reply->text))
		return err_set(err, ERR_RETRY, 0,
		    "the cache has lost the function library; it is loaded again");
	return redis_reply_error(reply, err);
}

static bool
is_wrong_type(const struct redis_reply *reply)
{
	return reply->type == REDIS_ERROR && reply->text.len >= 9 &&
	    memcmp(reply->text.data, "WRONGTYPE", 9) == 0;
}

static int
take_answer(struct round *r, const struct expected *e, const struct redis_reply *reply,
    struct err *err)
{
	bool wrong_type = is_wrong_type(reply);

	if (e->what == EXPECT_POPULATE && redis_reply_is_oom(reply))
		return populate_refused(r, e, err);
	if (reply->type == REDIS_ERROR && !wrong_type)
		return fail(reply, err);
	switch (e->what) {
	case EXPECT_UNLINK:
		return wrong_type ? fail(reply, err) : round_announce_all(r, e, err);
	case EXPECT_POPULATE:
		if (wrong_type) {
			round_refused(r, e);
			return 0;
		}
		if (r->cache->counters != NULL)
			COUNT(r->cache->counters->populated, str_equal(reply->text, STR("OK")));
		round_reload(r, e, reply->text);
		round_checked(r, e);
		return round_announce_versioned(r, e, reply->text, err);
	case EXPECT_REFUSED:
		return wrong_type ? 0 : round_announce_versioned(r, e, reply->text, err);
	case EXPECT_CLOCK:
		return server_clock_take(&r->clock, reply, err);
	case EXPECT_ANNOUNCED:
		return wrong_type ? fail(reply, err) : 0;
	case EXPECT_CALL:
		if (wrong_type) {
			round_refused(r, e);
			return 0;
		}
		if (!mode_is_versioned(e->template->mode))
			return round_announce_all(r, e, err);
		count_answer(r, reply->text);
		round_reload(r, e, reply->text);
		round_checked(r, e);
		return round_announce_versioned(r, e, reply->text, err);
	case EXPECT_MEMBER_TOLD:
		return wrong_type ? fail(reply, err) : tag_answer(r, e, reply, false, err);
	case EXPECT_TIME:
	case EXPECT_MEMBERS:
	case EXPECT_MEMBER:
	case EXPECT_LEFT:
		return tag_answer(r, e, reply, wrong_type, err);
	}
	CHECK(false);
	return -1;
}

int
round_answer(struct round *r, const struct redis_reply *reply, struct err *err)
{
	const struct expected *e = r->first;

	CHECK(e != NULL);
	r->first = e->next;
	if (r->first == NULL)
		r->last = NULL;
	if (take_answer(r, e, reply, err) != 0)
		return -1;
	return next_tag(r, err);
}
