#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/number.h"
#include "worker/cache/refresh_work.h"
#include "worker/operate/counters.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_AGAIN_MS = 1000, STRETCH_MS = 3000, STRETCH_BEFORE_MS = 1000, LEASE_MS = 5000 };

struct item {
	struct hot_key *k;
	struct hot_keys *of;
	struct str key;
	struct str values[REFRESH_KEY_COLUMNS];
	struct str token, stamp, version;
	int64_t most_ms, ttl_ms;
	size_t row;
	bool load, fill, found, reload;
};

struct step {
	struct refresh *r;
	struct refresh_table *t;
	struct item *items;
	size_t count, loads;
	bool versioned;
	int64_t took_us;
	struct err err;
};

bool
refresh_is_hot(const struct refresh_table *t, const struct hot_keys *h, const struct hot_key *k,
    int64_t now_ms)
{
	return h == &t->warm ||
	    hot_key_rate(h, k, now_ms) * 60 >= (double)t->table->refresh.threshold;
}

/* ---- what is due ---- */

static int64_t
lead_ms(struct step *s, const struct item *i, int64_t ttl_ms)
{
	struct refresh_table *t = s->t;
	int64_t sixteenth = t->table->refresh.ttl_ms / 16;

	return xfetch_lead_ms(&s->r->random, t->load_us / 1000,
	    hot_key_rate(i->of, i->k, clock_ms()),
	    sixteenth < REFRESH_FLOOR_MS ? sixteenth : REFRESH_FLOOR_MS, ttl_ms);
}

static void
set_expiry(struct step *s, struct item *i, int64_t left_ms)
{
	struct hot_state *state = &i->k->state;
	int64_t now_ms = clock_ms(), ttl_ms = s->t->table->refresh.ttl_ms, again_ms;

	state->expires_ms = now_ms + left_ms;
	state->due_ms = state->expires_ms - lead_ms(s, i, ttl_ms);
	state->looked_ms = now_ms;
	/* the application may write it anew meanwhile, with another TTL */
	again_ms = now_ms + (ttl_ms / 2 > LOOK_AGAIN_MS ? ttl_ms / 2 : LOOK_AGAIN_MS);
	if (state->due_ms > again_ms && left_ms > 2 * ttl_ms)
		state->due_ms = again_ms;
}

static void
look_again(struct item *i, int64_t in_ms)
{
	i->k->state.due_ms = clock_ms() + in_ms;
	i->k->state.reload = false;
}

static void
add_item(struct step *s, struct hot_keys *of, struct hot_key *k, int64_t now_ms)
{
	struct item *i = &s->items[s->count];

	*i = (struct item){ .k = k, .of = of, .key = hot_key_text(k), .reload = k->state.reload };
	if (!refresh_table_match(s->t, i->key, &s->r->arena, i->values)) {
		look_again(i, LOOK_AGAIN_MS);
		return;
	}
	/* what has become due may be loaded although it isn't quite over */
	int64_t left_ms = k->state.expires_ms - now_ms;
	i->most_ms = lead_ms(s, i, s->t->table->refresh.ttl_ms) + 2 * REFRESH_TICK_MS;
	if (k->state.expires_ms != 0 && left_ms > 0 && left_ms + 100 > i->most_ms)
		i->most_ms = left_ms + 100;
	/* a plain one was given more time than it has */
	if (k->state.lent_ms > now_ms && k->state.lent_ms - now_ms + 100 > i->most_ms)
		i->most_ms = k->state.lent_ms - now_ms + 100;
	if (i->reload)
		i->most_ms = 0;
	s->count++;
}

static void
collect(struct step *s)
{
	struct refresh_table *t = s->t;
	int64_t now_ms = clock_ms();
	uint64_t hot = 0, stretched = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];

		if (!refresh_is_hot(t, of, k, now_ms))
			continue;
		hot++;
		stretched += k->state.lent_ms > now_ms && k->state.expires_ms < now_ms;
		if (s->count < REFRESH_BATCH_MAX && k->state.due_ms <= now_ms &&
		    (k->state.reload || refresh_is_ours(&s->r->share, k->hash)))
			add_item(s, of, k, now_ms);
	}
	SHOW(s->r->counters.tables[t->index].hot, hot);
	SHOW(s->r->counters.tables[t->index].stretched, stretched);
}

/* ---- commands to the cache ---- */

static struct str
number_text(struct step *s, int64_t n)
{
	return str_of(arena_printf(&s->r->arena, "%lld", (long long)n));
}

/* A function of versioned entries, or the script of plain ones with what it is to do. */
static void
call(struct step *s, const struct item *i, const char *name, size_t argc, const struct str *argv)
{
	struct str words[LIBRARY_WORDS + 8];
	int count = 0;

	CHECK(argc <= 8);
	if (s->versioned) {
		count = library_call(&s->r->library, str_of(name), i->key, words);
	} else {
		words[count++] = STR("EVALSHA");
		words[count++] = str_of(s->r->script_sha);
		words[count++] = STR("1");
		words[count++] = i->key;
		words[count++] = str_of(name);
	}
	for (size_t j = 0; j < argc; j++)
		words[count++] = argv[j];
	redis_queue(s->r->redis, count, words);
}

/* The next answer; NULL: the connection is gone, or the library is, which is the same for us. */
static struct redis_reply *
answer(struct step *s)
{
	struct redis_reply *reply = NULL;
	int got =
	    redis_receive(s->r->redis, &s->r->arena, s->r->own.cache.timeout_ms, &reply, &s->err);

	if (got == 0)
		err_set(&s->err, ERR_RETRY, 0, "the cache did not answer");
	if (got > 0 && reply->type != REDIS_ERROR)
		return reply;
	if (got > 0 && !library_is_lost(reply->text) &&
	    strncmp(reply->text.data, "WRONGTYPE", 9) == 0)
		return reply;
	if (got > 0)
		redis_reply_error(reply, &s->err);
	refresh_cache_failed(s->r, &s->err);
	return NULL;
}

static struct str
word(const struct redis_reply *reply, size_t at)
{
	if (reply->type == REDIS_ARRAY)
		return at < reply->count ? reply->element[at]->text : (struct str){ NULL, 0 };
	return at == 0 ? reply->text : (struct str){ NULL, 0 };
}

static int64_t
number_at(const struct redis_reply *reply, size_t at)
{
	return reply->type == REDIS_ARRAY && at < reply->count ? reply->element[at]->integer : 0;
}

/* ---- leases ---- */

static void
take_lease(struct step *s, struct item *i, const struct redis_reply *reply)
{
	struct str what = word(reply, 0);
	struct hot_state *state = &i->k->state;
	bool was_lost = state->lost;

	state->lost = false;
	if (str_equal(what, STR("LOAD"))) {
		i->load = true;
		i->token = word(reply, 1);
		i->stamp = word(reply, 2);
		i->version = word(reply, 3);
	} else if (str_equal(what, STR("FRESH"))) {
		int64_t left_ms = number_at(reply, 1);

		/* alone in the pool it was a reader's, behind an invalidation */
		if (was_lost && s->r->share.other_count > 0)
			COUNT(s->r->counters.duplicates, 1);
		else if (was_lost)
			COUNT(s->r->counters.lost, 1);
		state->reload = false;
		if (left_ms < 0)
			look_again(i, 60000);
		else
			set_expiry(s, i, left_ms);
		state->lent_ms = 0;
	} else if (str_equal(what, STR("WAIT"))) {
		look_again(i,
		    number_at(reply, 1) < LOOK_AGAIN_MS ? number_at(reply, 1) + 1 : LOOK_AGAIN_MS);
	} else if (str_equal(what, STR("ABSENT")) && s->versioned &&
	    (i->reload || i->of == &s->t->warm)) {
		i->fill = true;
	} else {
		if (was_lost)
			COUNT(s->r->counters.lost, 1);
		state->expires_ms = state->lent_ms = 0;
		look_again(i, LOOK_AGAIN_MS / 2);
	}
}

/* Ask for all leases; what is absent and may be loaded asks as a reader does. */
static int
ask_leases(struct step *s)
{
	struct redis_reply *reply;
	struct str lease = number_text(s, LEASE_MS);

	for (size_t n = 0; n < s->count; n++) {
		struct item *i = &s->items[n];
		struct str most = number_text(s, i->most_ms);

		if (s->versioned)
			call(s, i, "sluice_lease", 2, (struct str[]){ lease, most });
		else
			call(s, i, "see", 1, &most);
	}
	COUNT(s->r->counters.looks, s->count);
	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return -1;
	}
	for (size_t n = 0; n < s->count; n++) {
		if ((reply = answer(s)) == NULL)
			return -1;
		take_lease(s, &s->items[n], reply);
	}
	for (size_t n = 0; n < s->count; n++)
		if (s->items[n].fill)
			call(s, &s->items[n], "sluice_get", 1, &lease);
	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return -1;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct item *i = &s->items[n];

		if (!i->fill)
			continue;
		if ((reply = answer(s)) == NULL)
			return -1;
		i->load = str_equal(word(reply, 0), STR("LOAD"));
		i->token = word(reply, 1);
		i->version = word(reply, 2);
		if (!i->load)
			look_again(i, LOOK_AGAIN_MS / 2);
	}
	return 0;
}

/* ---- the SELECT ---- */

static int
send_select(struct step *s, struct sql_result *result)
{
	struct str(*values)[REFRESH_KEY_COLUMNS] =
	    arena_alloc(&s->r->arena, (s->loads + 1) * sizeof(*values));
	struct buf select = { 0 };
	size_t count = 0;
	int status;

	for (size_t n = 0; n < s->count; n++)
		if (s->items[n].load)
			memcpy(values[count++], s->items[n].values, sizeof(*values));
	refresh_table_select(s->t, (const struct str(*)[REFRESH_KEY_COLUMNS])values, count,
	    &select);
	int64_t from_us = clock_us();
	status = sql_query(s->r->sql, (struct str){ select.data, select.len }, result, &s->err);
	s->took_us = clock_us() - from_us;
	buf_deinit(&select);
	COUNT(s->r->counters.selects, 1);
	COUNT(s->r->counters.asked, count);
	SHOW(s->r->counters.last_load_us, (uint64_t)s->took_us);
	pace_loaded(&s->r->pace, s->took_us);
	SHOW(s->r->counters.rate_limit, (uint64_t)s->r->pace.rate);
	/* quick to learn that it became slow, slow to forget */
	s->t->load_us = (double)s->took_us > s->t->load_us ?
	    (double)s->took_us :
	    0.8 * s->t->load_us + 0.2 * (double)s->took_us;
	return status;
}

/* ---- writing ---- */

static void
write_hash(struct step *s, struct item *i, const struct sql_result *result, size_t row)
{
	struct str *words = arena_alloc(&s->r->arena, (2 * result->columns + 9) * sizeof(*words));
	int count = 0;

	words[count++] = STR("EVALSHA");
	words[count++] = str_of(s->r->script_sha);
	words[count++] = STR("1");
	words[count++] = i->key;
	words[count++] = STR("hash");
	words[count++] = i->stamp;
	words[count++] = number_text(s, i->ttl_ms);
	for (size_t c = 0; c < result->columns; c++) {
		struct str cell = sql_cell(result, row, c);

		if (cell.data == NULL || !refresh_table_has_value(s->t, sql_column_name(result, c)))
			continue;
		words[count++] = str_of(sql_column_name(result, c));
		words[count++] = cell;
	}
	redis_queue(s->r->redis, count, words);
}

static void
write_row(struct step *s, struct item *i, const struct sql_result *result, size_t row,
    const struct refresh_columns *columns)
{
	const struct config_refresh *refresh = &s->t->table->refresh;
	struct str version = i->version, ttl, stale = number_text(s, refresh->stale_for_ms);
	struct buf value = { 0 };

	i->ttl_ms = ttl_jitter_ms(&s->r->random, refresh->ttl_ms);
	ttl = number_text(s, i->ttl_ms);
	if (columns->version >= 0 && sql_cell(result, row, (size_t)columns->version).data != NULL)
		version = sql_cell(result, row, (size_t)columns->version);
	if (refresh->format == VALUE_AS_HASH) {
		write_hash(s, i, result, row);
		return;
	}
	refresh_table_json(s->t, result, row, &value);
	struct str json = { value.data, value.len };
	if (!s->versioned)
		call(s, i, "string", 3, (struct str[]){ i->stamp, ttl, json });
	else if (i->fill)
		call(s, i, "sluice_fill", 6,
		    (struct str[]){ i->token, version, json, ttl, STR("0"), stale });
	else
		call(s, i, "sluice_refresh", 6,
		    (struct str[]){ i->stamp, version, json, ttl, STR("0"), stale });
	buf_deinit(&value);
}

/* No such row: a lease is given back, an absent key learns that there is nothing. */
static void
write_nothing(struct step *s, struct item *i)
{
	COUNT(s->r->counters.absent, 1);
	if (i->fill)
		call(s, i, "sluice_fill_none", 3,
		    (struct str[]){
			i->token, i->version, number_text(s, s->t->table->refresh.ttl_ms) });
	else if (s->versioned)
		call(s, i, "sluice_release", 1, &i->token);
}

static void
take_written(struct step *s, struct item *i, const struct redis_reply *reply)
{
	struct hot_state *state = &i->k->state;
	struct str what = word(reply, 0);

	state->reload = false;
	if (!i->found) {
		look_again(i, 10 * LOOK_AGAIN_MS);
		state->expires_ms = 0;
	} else if (str_equal(what, STR("OK"))) {
		COUNT(s->r->counters.loaded, 1);
		COUNT(s->r->counters.tables[s->t->index].loaded, 1);
		if (i->reload)
			COUNT(s->r->counters.reloaded, 1);
		state->loaded_wall_ms = clock_wall_ms();
		state->load_us = s->took_us;
		state->lent_ms = 0;
		set_expiry(s, i, i->ttl_ms);
	} else if (str_equal(what, STR("OLD"))) {
		COUNT(s->r->counters.older, 1);
		look_again(i, LOOK_AGAIN_MS);
	} else if (str_equal(what, STR("CHANGED"))) {
		/* the next look tells whether it is gone or loaded by somebody else */
		state->lost = true;
		look_again(i, 0);
	} else {
		COUNT(s->r->counters.lost, 1);
		look_again(i, LOOK_AGAIN_MS / 2);
	}
}

/* Which row is whose; the commands go out in the order of the items. */
static void
send_values(struct step *s, const struct sql_result *result, const struct refresh_columns *columns)
{
	struct map by_key;
	struct buf key = { 0 };

	map_init(&by_key);
	for (size_t n = 0; n < s->count; n++)
		if (s->items[n].load)
			*map_at(&by_key, s->items[n].key.data, s->items[n].key.len) = &s->items[n];
	for (size_t row = 0; row < result->rows; row++) {
		buf_reset(&key);
		struct item *i = refresh_table_row_key(s->t, result, row, columns, &key) ?
		    map_get(&by_key, key.data, key.len) :
		    NULL;
		if (i == NULL || i->found)
			continue;
		i->found = true;
		i->row = row;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct item *i = &s->items[n];

		if (i->load && i->found)
			write_row(s, i, result, i->row, columns);
		else if (i->load)
			write_nothing(s, i);
	}
	buf_deinit(&key);
	map_deinit(&by_key);
}

static void
take_values(struct step *s)
{
	struct redis_reply *reply;
	struct redis_reply nothing = { .type = REDIS_NIL };

	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct item *i = &s->items[n];

		if (!i->load)
			continue;
		reply = i->found || s->versioned ? answer(s) : &nothing;
		if (reply == NULL)
			return;
		take_written(s, i, reply);
	}
}

/* They go on without us. */
static void
give_leases_back(struct step *s)
{
	size_t given = 0;

	for (size_t n = 0; n < s->count; n++) {
		struct item *i = &s->items[n];

		if (!i->load)
			continue;
		look_again(i, LOOK_AGAIN_MS);
		if (!s->versioned)
			continue;
		call(s, i, "sluice_release", 1, &i->token);
		given++;
	}
	if (redis_flush(s->r->redis, &s->err) != 0)
		refresh_cache_failed(s->r, &s->err);
	while (given-- > 0 && answer(s) != NULL)
		;
}

/* The load is asked for its columns at each SELECT: a FATAL one waits for somebody to change it. */
static void
load_rows(struct step *s)
{
	struct refresh_columns columns;
	struct sql_result result = { 0 };

	if (send_select(s, &result) != 0) {
		refresh_mysql_failed(s->r, &s->err);
		give_leases_back(s);
		return;
	}
	if (breaker_worked(&s->r->counters.mysql_read))
		log_event(LOG_INFO, "refresh_goes_on", "dependency", "%s", "mysql_read", NULL);
	if (refresh_table_columns(s->t, &result, &columns, &s->err) != 0) {
		log_event(LOG_ERROR, "refresh_impossible", "table", "%s", s->t->table->name,
		    "error", "%s", s->err.text, NULL);
		give_leases_back(s);
	} else {
		send_values(s, &result, &columns);
		take_values(s);
	}
	sql_result_free(&result);
}

/* What is due and can't be loaded stays for its readers, as long as stale_max allows. */
static void
stretch(struct step *s)
{
	struct refresh_table *t = s->t;
	int64_t now_ms = clock_ms(), stale_ms = t->table->refresh.stale_max_ms;
	struct str stretch_ms = number_text(s, STRETCH_MS);
	bool away = !sql_is_open(s->r->sql) || SEE(s->r->counters.mysql_read.failures) > 0;
	size_t sent = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used && sent < REFRESH_BATCH_MAX; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];
		struct hot_state *state = &k->state;
		struct item i = { .k = k, .key = hot_key_text(k) };

		if ((!away && state->due_ms + 4 * REFRESH_TICK_MS > now_ms) ||
		    state->expires_ms == 0 || state->expires_ms - now_ms > STRETCH_BEFORE_MS ||
		    now_ms - state->expires_ms + STRETCH_MS > stale_ms ||
		    state->lent_ms - now_ms > STRETCH_MS / 2 || !refresh_is_hot(t, of, k, now_ms) ||
		    !refresh_is_ours(&s->r->share, k->hash))
			continue;
		state->lent_ms = now_ms + STRETCH_MS;
		sent++;
		if (s->versioned)
			call(s, &i, "sluice_stretch", 2, (struct str[]){ STR(""), stretch_ms });
		else
			call(s, &i, "stretch", 1, &stretch_ms);
	}
	if (sent > 0 && redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	COUNT(s->r->counters.stretches, sent);
	while (sent-- > 0 && answer(s) != NULL)
		;
}

/* As many as the budget allows; the others stay due. */
static void
within_budget(struct step *s)
{
	size_t allowed = pace_take(&s->r->pace, s->count);

	if (allowed < s->count)
		COUNT(s->r->counters.over_budget, s->count - allowed);
	s->count = allowed;
}

void
refresh_load(struct refresh *r, struct refresh_table *t)
{
	struct step s = { .r = r, .t = t };

	arena_reset(&r->arena);
	s.versioned = t->table->refresh.template->mode == MODE_VERSIONED;
	s.items = arena_alloc(&r->arena, REFRESH_BATCH_MAX * sizeof(*s.items));
	collect(&s);
	if (!refresh_cache_ready(r))
		return;
	if (refresh_mysql_ready(r)) {
		within_budget(&s);
		if (s.count > 0 && ask_leases(&s) != 0)
			return;
		for (size_t n = 0; n < s.count; n++)
			s.loads += s.items[n].load;
		pace_give(&r->pace, s.count - s.loads);
		if (s.loads > 0)
			load_rows(&s);
	}
	if (redis_is_open(r->redis))
		stretch(&s);
}
