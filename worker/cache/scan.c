#include "worker/cache/scan.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/number.h"
#include "worker/cache/announce.h"
#include "worker/cache/glob.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_KEEP = 64 * 1024, MAP_KEEP = 4096, RETRY_MS = 200, RETRY_MAX_MS = 5000 };

struct pattern {
	const struct config_table *table;
	struct str text;
	struct pattern *next;
};

/* The patterns of one pass. */
struct patterns {
	struct arena arena;
	struct map seen;
	struct pattern *first;
	size_t count;
};

struct found {
	struct str key;
	const struct config_table *table;
	bool removed;
	struct found *next;
};

struct scan {
	struct cache *cache;
	const struct config *config;
	const struct redis_options *options;
	const struct untouched *untouched;
	struct redis *redis;
	struct patterns sets[2];
	struct patterns *now, *next; /* of the pass that runs; of the one behind it */
	bool running;
	uint64_t passes;
	char cursor[24];      /* of the step that runs, until it is through: */
	char next_cursor[24]; /* a step that failed is done again */
	struct buf match;     /* what all patterns of the pass have in common */
	char run_id[64];      /* of the server the cursor is of; "": not known */

	/* of one step */
	enum { STEP_NONE, STEP_SCAN, STEP_TYPE, STEP_UNLINK } step;
	struct arena arena;
	struct buf message;
	struct found *first, *asked; /* asked: whose TYPE is answered next */
	bool as_one;		     /* what goes and what is told of it are one transaction */
	bool apart;		     /* for good: keys of several slots can't be in one */
	int64_t progress_ms, next_ms;
	int failures; /* running */
};

static void
patterns_init(struct patterns *p)
{
	arena_init(&p->arena, ARENA_KEEP);
	map_init(&p->seen);
	p->first = NULL;
	p->count = 0;
}

static void
patterns_reset(struct patterns *p)
{
	map_reset(&p->seen, MAP_KEEP);
	arena_reset(&p->arena);
	p->first = NULL;
	p->count = 0;
}

struct scan *
scan_new(struct cache *cache, const struct config *config, const struct redis_options *options,
    const struct untouched *untouched)
{
	struct scan *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->cache = cache;
	s->config = config;
	s->options = options;
	s->untouched = untouched;
	s->redis = redis_new(options);
	patterns_init(&s->sets[0]);
	patterns_init(&s->sets[1]);
	s->now = &s->sets[0];
	s->next = &s->sets[1];
	arena_init(&s->arena, ARENA_KEEP);
	buf_init(&s->match);
	buf_init(&s->message);
	return s;
}

void
scan_free(struct scan **scan)
{
	struct scan *s = *scan;

	if (s == NULL)
		return;
	redis_free(&s->redis);
	for (int i = 0; i < 2; i++) {
		map_deinit(&s->sets[i].seen);
		arena_deinit(&s->sets[i].arena);
	}
	arena_deinit(&s->arena);
	buf_deinit(&s->match);
	buf_deinit(&s->message);
	free(s);
	*scan = NULL;
}

static void
show_counts(struct scan *s)
{
	struct counters *c = s->cache->counters;

	if (c == NULL)
		return;
	SHOW(c->scan_patterns, s->running ? s->now->count : 0);
	SHOW(c->scan_patterns_waiting, s->next->count);
}

uint64_t
scan_add(struct scan *s, const struct config_table *table, struct str pattern)
{
	struct patterns *to = s->next;
	struct pattern *p;

	if (map_get(&to->seen, pattern.data, pattern.len) == NULL) {
		p = arena_zalloc(&to->arena, sizeof(*p));
		p->table = table;
		p->text = arena_str(&to->arena, pattern.data, pattern.len);
		*map_at(&to->seen, p->text.data, p->text.len) = p;
		p->next = to->first;
		to->first = p;
		to->count++;
		show_counts(s);
	}
	return s->passes + (s->running ? 2 : 1);
}

/* ---- a pass ---- */

/* What SCAN is asked for: the one pattern, or what all begin with. */
static void
make_match(struct scan *s)
{
	struct str common = s->now->first->text;

	for (const struct pattern *p = s->now->first->next; p != NULL; p = p->next)
		common.len = glob_common(common, p->text);
	buf_reset(&s->match);
	buf_add(&s->match, common.data, common.len);
	if (s->now->count > 1)
		buf_add_char(&s->match, '*');
}

static void
rewind_pass(struct scan *s)
{
	snprintf(s->cursor, sizeof(s->cursor), "0");
	if (s->cache->counters != NULL)
		SHOW(s->cache->counters->scan_looked, 0);
}

static bool
begin_pass(struct scan *s)
{
	struct patterns *swap = s->now;

	if (s->running)
		return true;
	if (s->next->count == 0)
		return false;
	s->now = s->next;
	s->next = swap;
	patterns_reset(s->next);
	s->running = true;
	make_match(s);
	rewind_pass(s);
	show_counts(s);
	return true;
}

static void
end_pass(struct scan *s)
{
	s->passes++;
	s->running = false;
	if (s->cache->counters != NULL)
		COUNT(s->cache->counters->scan_passes, 1);
	show_counts(s);
}

/* ---- a step ---- */

static int
send_scan(struct scan *s, struct err *err)
{
	struct str match = { s->match.data, s->match.len };

	arena_reset(&s->arena);
	s->first = s->asked = NULL;
	redis_queuef(s->redis, "SCAN %s MATCH %b COUNT %lld", s->cursor, &match,
	    (long long)s->config->scan_step);
	s->step = STEP_SCAN;
	return redis_flush(s->redis, err);
}

static void
end_step(struct scan *s)
{
	int64_t rate = s->config->scan_max_keys_per_second;
	struct counters *c = s->cache->counters;

	s->step = STEP_NONE;
	s->failures = 0;
	memcpy(s->cursor, s->next_cursor, sizeof(s->cursor));
	if (rate > 0)
		s->next_ms =
		    clock_ms() + (int64_t)s->config->scan_step * 1000 * s->config->workers / rate;
	if (c != NULL) {
		COUNT(c->scan_looked, (uint64_t)s->config->scan_step);
		COUNT(c->scan_keys, (uint64_t)s->config->scan_step);
	}
	if (strcmp(s->cursor, "0") == 0)
		end_pass(s);
}

static const struct pattern *
pattern_of(const struct scan *s, struct str key)
{
	const struct pattern *p = s->now->first;

	while (p != NULL && !glob_matches(p->text, key))
		p = p->next;
	return p;
}

static void
add_found(struct scan *s, struct str key)
{
	const struct pattern *pattern = pattern_of(s, key);
	struct found *f;

	if (pattern == NULL)
		return;
	if (untouched_holds(s->untouched, key)) {
		if (s->cache->counters != NULL)
			COUNT(s->cache->counters->invalidations_skipped, 1);
		return;
	}
	f = arena_zalloc(&s->arena, sizeof(*f));
	f->key = key;
	f->table = pattern->table;
	f->next = s->first;
	s->first = f;
}

static int
take_keys(struct scan *s, const struct redis_reply *reply, struct err *err)
{
	const struct redis_reply *list;

	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    reply->element[1]->type != REDIS_ARRAY)
		return err_set(err, ERR_RETRY, 0, "SCAN answered something else");
	snprintf(s->next_cursor, sizeof(s->next_cursor), "%s", reply->element[0]->text.data);
	list = reply->element[1];
	for (size_t i = 0; i < list->count; i++)
		add_found(s, list->element[i]->text);
	if (s->first == NULL) {
		end_step(s);
		return 0;
	}
	for (const struct found *f = s->first; f != NULL; f = f->next)
		redis_queuef(s->redis, "TYPE %b", &f->key);
	s->step = STEP_TYPE;
	s->asked = s->first;
	return redis_flush(s->redis, err);
}

static void
count_removed(struct scan *s, const struct found *f)
{
	struct counters *c = s->cache->counters;

	if (c == NULL)
		return;
	COUNT(c->scan_removed, 1);
	COUNT(c->invalidated, 1);
	COUNT(c->tables[f->table - s->config->tables].invalidated, 1);
	COUNT(c->announced, announce_is_on(s->config));
}

static void
announce(struct scan *s, const struct found *f)
{
	struct announcement a = { .reason = "scan", .table = f->table->name, .key = f->key };
	struct str argv[ANNOUNCE_WORDS];

	redis_queue(s->redis, announce_command(s->config, &a, &s->message, argv), argv);
}

/* All types are known: what is no stream goes, and is told. */
static int
send_unlinks(struct scan *s, struct err *err)
{
	size_t removed = 0;

	for (const struct found *f = s->first; f != NULL; f = f->next) {
		if (!f->removed)
			continue;
		if (removed++ == 0 && s->as_one)
			redis_queuef(s->redis, "MULTI");
		redis_queuef(s->redis, "UNLINK %b", &f->key);
		if (announce_is_on(s->config))
			announce(s, f);
	}
	if (removed == 0) {
		end_step(s);
		return 0;
	}
	if (s->as_one)
		redis_queuef(s->redis, "EXEC");
	s->step = STEP_UNLINK;
	return redis_flush(s->redis, err);
}

static int
take_type(struct scan *s, const struct redis_reply *reply, struct err *err)
{
	struct found *f = s->asked;

	CHECK(f != NULL);
	s->asked = f->next;
	f->removed = !str_equal(reply->text, STR("stream")) && !str_equal(reply->text, STR("none"));
	if (!f->removed && str_equal(reply->text, STR("stream")) && s->cache->counters != NULL)
		COUNT(s->cache->counters->invalidations_skipped, 1);
	return s->asked == NULL ? send_unlinks(s, err) : 0;
}

static int
fail(struct scan *s, const struct redis_reply *reply, struct err *err)
{
	s->apart |= s->step == STEP_UNLINK && str_begins(reply->text, "CROSSSLOT");
	return redis_reply_error(reply, err);
}

/* The last answer may be that of EXEC. */
static int
take_removed(struct scan *s, const struct redis_reply *reply, struct err *err)
{
	for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
		if (reply->element[i]->type == REDIS_ERROR)
			return fail(s, reply->element[i], err);
	}
	if (redis_pending(s->redis) > 0)
		return 0;
	for (const struct found *f = s->first; f != NULL; f = f->next) {
		if (f->removed)
			count_removed(s, f);
	}
	end_step(s);
	return 0;
}

static int
take_reply(struct scan *s, const struct redis_reply *reply, struct err *err)
{
	if (reply->type == REDIS_ERROR)
		return fail(s, reply, err);
	switch (s->step) {
	case STEP_SCAN:
		return take_keys(s, reply, err);
	case STEP_TYPE:
		return take_type(s, reply, err);
	case STEP_UNLINK:
		return take_removed(s, reply, err);
	case STEP_NONE:
		break;
	}
	CHECK(false);
	return -1;
}

/* ---- the connection ---- */

/* Does the cursor mean anything to this server?  Only to the process that gave it. */
static void
know_server(struct scan *s)
{
	struct redis_reply *reply;
	struct err err = { 0 };
	char run_id[sizeof(s->run_id)] = "";
	const char *at;

	arena_reset(&s->arena);
	reply = redis_call(s->redis, &s->arena, &err, "INFO server");
	at = reply != NULL && reply->text.data != NULL ? strstr(reply->text.data, "run_id:") : NULL;
	if (at != NULL)
		snprintf(run_id, sizeof(run_id), "%.*s", (int)strcspn(at + 7, "\r\n"), at + 7);
	if (run_id[0] == '\0' || strcmp(run_id, s->run_id) != 0)
		rewind_pass(s);
	snprintf(s->run_id, sizeof(s->run_id), "%s", run_id);
	err_clear(&err);
	reply = redis_is_open(s->redis) ? redis_call(s->redis, &s->arena, &err, "DBSIZE") : NULL;
	if (s->cache->counters != NULL)
		SHOW(s->cache->counters->scan_of,
		    reply != NULL && reply->integer > 0 ? (uint64_t)reply->integer : 0);
}

/* May we?  EXEC alone, which is an error, first: whoever may begin a transaction must be able to end it. */
static void
know_transactions(struct scan *s)
{
	struct err err = { 0 };

	s->as_one = false;
	if (!announce_is_on(s->config) || s->apart || !redis_is_open(s->redis))
		return;
	redis_call(s->redis, &s->arena, &err, "EXEC");
	if (strstr(err.text, "without MULTI") == NULL)
		return;
	err_clear(&err);
	s->as_one = redis_call(s->redis, &s->arena, &err, "MULTI") != NULL &&
	    redis_call(s->redis, &s->arena, &err, "EXEC") != NULL;
}

static void
scan_failed(struct scan *s, const struct err *err)
{
	int64_t wait = RETRY_MS;

	for (int i = 0; i < s->failures && wait < RETRY_MAX_MS; i++)
		wait *= 2;
	if (s->failures++ == 0)
		log_event(LOG_WARN, "scan_failed", "class", "%s", err_class_name(err->class),
		    "error", "%s", err->text, "next", "%s", "the pass goes on once it can", NULL);
	if (s->cache->counters != NULL)
		COUNT(s->cache->counters->scan_failures, 1);
	redis_close(s->redis);
	s->step = STEP_NONE;
	s->next_ms = clock_ms() + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
}

static int
go_on(struct scan *s, struct err *err)
{
	struct redis_reply *reply;
	int got;

	if (s->step == STEP_NONE && (!begin_pass(s) || clock_ms() < s->next_ms))
		return 0;
	if (!redis_is_open(s->redis)) {
		if (redis_open(s->redis, err) != 0)
			return -1;
		know_server(s);
		know_transactions(s);
		if (!redis_is_open(s->redis))
			return err_set(err, ERR_RETRY, 0, "the cache went away");
	}
	if (s->step == STEP_NONE) {
		s->progress_ms = clock_ms();
		return send_scan(s, err);
	}
	while (redis_pending(s->redis) > 0) {
		got = redis_receive(s->redis, &s->arena, 0, &reply, err);
		if (got == 0 && clock_ms() - s->progress_ms > s->options->timeout_ms)
			return err_set(err, ERR_RETRY, 0, "the cache did not answer within %d ms",
			    s->options->timeout_ms);
		if (got <= 0)
			return got;
		s->progress_ms = clock_ms();
		if (take_reply(s, reply, err) != 0)
			return -1;
	}
	return 0;
}

void
scan_work(struct scan *s)
{
	struct err err = { 0 };

	if (go_on(s, &err) != 0)
		scan_failed(s, &err);
}

void
scan_show(const struct scan *s, struct cache_scan *out)
{
	int64_t wait = s->next_ms - clock_ms();
	bool idle = !s->running && s->next->count == 0;

	*out = (struct cache_scan){ .passes = s->passes, .fd = -1, .wait_ms = INT32_MAX };
	out->last = s->passes + s->running + (s->next->count > 0);
	out->full =
	    s->now->count * s->running + s->next->count >= (size_t)s->config->scan_max_patterns;
	if (s->step != STEP_NONE && redis_is_open(s->redis) && redis_pending(s->redis) > 0)
		out->fd = redis_fd(s->redis);
	else if (!idle)
		out->wait_ms = wait <= 0 ? 0 : (int)wait;
}
