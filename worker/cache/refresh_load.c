#include "common/clock.h"
#include "common/map.h"
#include "common/number.h"
#include "worker/cache/refresh_step.h"
#include "worker/operate/counters.h"

#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 5000, CODE_READ_ONLY = 1792 };

/* ---- what is due ---- */

static void
add_item(struct refresh_step *s, struct hot_keys *of, struct hot_key *k, int64_t now_ms)
{
	struct refresh_item *i = &s->items[s->count];

	*i = (struct refresh_item){
		.k = k, .of = of, .key = hot_key_text(k), .reload = k->state.reload
	};
	if (!refresh_table_match(s->t, i->key, &s->r->arena, i->values)) {
		item_look_again(i, LOOK_AGAIN_MS);
		return;
	}
	/* what has become due may be loaded although it isn't quite over */
	int64_t left_ms = k->state.expires_ms - now_ms;
	i->most_ms = step_lead_ms(s, i, s->t->table->refresh.ttl_ms) + 2 * REFRESH_TICK_MS;
	if (k->state.expires_ms != 0 && left_ms > 0 && left_ms + 100 > i->most_ms)
		i->most_ms = left_ms + 100;
	/* a plain one was given more time than it has */
	if (k->state.lent_ms > now_ms && k->state.lent_ms - now_ms + 100 > i->most_ms)
		i->most_ms = k->state.lent_ms - now_ms + 100;
	if (i->reload)
		i->most_ms = 0;
	s->count++;
}

struct due {
	struct hot_key *k;
	struct hot_keys *of;
};

static int
compare_due(const void *a, const void *b)
{
	const struct due *x = a, *y = b;
	int64_t first_ms = x->k->state.due_ms, second_ms = y->k->state.due_ms;

	return first_ms < second_ms ? -1 : first_ms > second_ms ? 1 : 0;
}

/* What has been due for longest comes first: where the budget isn't enough for all, the most popular
 * would otherwise be loaded over and over and the others never. */
static void
collect(struct refresh_step *s)
{
	struct refresh_table *t = s->t;
	struct due *due =
	    arena_alloc(&s->r->arena, (t->top_count + t->warm.used + 1) * sizeof(*due));
	int64_t now_ms = clock_ms();
	uint64_t hot = 0, stretched = 0;
	size_t count = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];

		if (!refresh_is_hot(t, of, k, now_ms))
			continue;
		hot++;
		stretched += k->state.lent_ms > now_ms && k->state.expires_ms < now_ms;
		if (k->state.due_ms <= now_ms &&
		    (k->state.reload || refresh_is_ours(&s->r->share, k->hash)))
			due[count++] = (struct due){ k, of };
	}
	qsort(due, count, sizeof(*due), compare_due);
	for (size_t n = 0; n < count && s->count < REFRESH_BATCH_MAX; n++)
		add_item(s, due[n].of, due[n].k, now_ms);
	SHOW(s->r->counters.tables[t->index].hot, hot);
	SHOW(s->r->counters.tables[t->index].stretched, stretched);
}

/* ---- leases ---- */

static void
take_lease(struct refresh_step *s, struct refresh_item *i, const struct redis_reply *reply)
{
	struct str what = reply_word(reply, 0);
	struct hot_state *state = &i->k->state;
	bool was_lost = state->lost;

	state->lost = false;
	if (str_equal(what, STR("LOAD"))) {
		i->load = true;
		i->token = reply_word(reply, 1);
		i->stamp = reply_word(reply, 2);
		i->version = reply_word(reply, 3);
	} else if (str_equal(what, STR("FRESH"))) {
		int64_t left_ms = reply_number(reply, 1);

		/* alone in the pool it was a reader's, behind an invalidation */
		if (was_lost && s->r->share.other_count > 0)
			COUNT(s->r->counters.duplicates, 1);
		else if (was_lost)
			COUNT(s->r->counters.lost, 1);
		state->reload = false;
		if (left_ms < 0)
			item_look_again(i, 60000);
		else
			step_set_expiry(s, i, left_ms);
		state->lent_ms = 0;
	} else if (str_equal(what, STR("WAIT"))) {
		item_look_again(i,
		    reply_number(reply, 1) < LOOK_AGAIN_MS ? reply_number(reply, 1) + 1 :
							     LOOK_AGAIN_MS);
	} else {
		/* or what is loaded is given up to keep a value that isn't there */
		state->expires_ms = state->lent_ms = 0;
		i->fill = str_equal(what, STR("ABSENT")) && s->versioned &&
		    (i->reload || i->of == &s->t->warm);
		if (i->fill)
			return;
		if (was_lost)
			COUNT(s->r->counters.lost, 1);
		item_look_again(i, LOOK_AGAIN_MS / 2);
	}
}

/* Ask for all leases; what is absent and may be loaded asks as a reader does. */
static int
ask_leases(struct refresh_step *s)
{
	struct redis_reply *reply;
	struct str lease = step_number(s, LEASE_MS);

	for (size_t n = 0; n < s->count; n++) {
		struct refresh_item *i = &s->items[n];
		struct str most = step_number(s, i->most_ms);

		if (s->versioned)
			step_call(s, i, "sluice_lease", 2, (struct str[]){ lease, most });
		else
			step_call(s, i, "see", 1, &most);
	}
	COUNT(s->r->counters.looks, s->count);
	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return -1;
	}
	for (size_t n = 0; n < s->count; n++) {
		if ((reply = step_answer(s)) == NULL)
			return -1;
		take_lease(s, &s->items[n], reply);
	}
	for (size_t n = 0; n < s->count; n++)
		if (s->items[n].fill)
			step_call(s, &s->items[n], "sluice_get", 1, &lease);
	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return -1;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct refresh_item *i = &s->items[n];

		if (!i->fill)
			continue;
		if ((reply = step_answer(s)) == NULL)
			return -1;
		i->load = str_equal(reply_word(reply, 0), STR("LOAD"));
		i->token = reply_word(reply, 1);
		i->version = reply_word(reply, 2);
		if (!i->load)
			item_look_again(i, LOOK_AGAIN_MS / 2);
	}
	return 0;
}

/* ---- the SELECT ---- */

static int
send_select(struct refresh_step *s, struct sql_result *result)
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
	s->r->loading = s;
	status = sql_query_most(s->r->sql, (struct str){ select.data, select.len },
	    refresh_answer_max(s->r), result, &s->err);
	s->r->loading = NULL;
	s->took_us = clock_us() - from_us;
	buf_deinit(&select);
	COUNT(s->r->counters.selects, 1);
	COUNT(s->r->counters.asked, count);
	SHOW(s->r->counters.last_load_us, (uint64_t)s->took_us);
	pace_loaded(&s->r->pace, s->took_us);
	SHOW(s->r->counters.rate_limit, (uint64_t)s->r->pace.rate);
	s->t->load_us = quick_to_rise(s->t->load_us, s->took_us);
	return status;
}

/* ---- writing ---- */

static void
write_hash(struct refresh_step *s, struct refresh_item *i, const struct sql_result *result,
    size_t row)
{
	struct str *words = arena_alloc(&s->r->arena, (2 * result->columns + 10) * sizeof(*words));
	int count = 0;

	words[count++] = STR("EVALSHA");
	words[count++] = str_of(s->r->script_sha);
	words[count++] = STR("1");
	words[count++] = i->key;
	words[count++] = STR("hash");
	words[count++] = i->stamp;
	words[count++] = step_number(s, i->ttl_ms);
	words[count++] = step_number(s, i->most_ms);
	for (size_t c = 0; c < result->columns; c++) {
		struct str cell = sql_cell(result, row, c);

		if (cell.data == NULL || !refresh_table_has_value(s->t, sql_column_name(result, c)))
			continue;
		words[count++] = str_of(sql_column_name(result, c));
		words[count++] = cell;
	}
	redis_queue(s->r->redis, count, words);
}

/* Whoever else has the key doesn't hear of what is loaded here for an invalidation: that must not be
 * over before they look again. */
static int64_t
ttl_of(struct refresh_step *s, const struct refresh_item *i)
{
	int64_t ttl_ms = s->t->table->refresh.ttl_ms;

	if (refresh_is_ours(&s->r->share, i->k->hash))
		return ttl_jitter_ms(&s->r->random, ttl_ms);
	return ttl_jitter_most_ms(ttl_ms);
}

static void
write_row(struct refresh_step *s, struct refresh_item *i, const struct sql_result *result,
    size_t row, const struct refresh_columns *columns)
{
	const struct config_refresh *refresh = &s->t->table->refresh;
	struct str version, ttl, stale = step_number(s, refresh->stale_for_ms);
	struct buf value = { 0 };

	i->ttl_ms = ttl_of(s, i);
	ttl = step_number(s, i->ttl_ms);
	if (!refresh_table_row_version(result, row, columns, &version))
		version = i->version;
	if (refresh->format == VALUE_AS_HASH) {
		write_hash(s, i, result, row);
		return;
	}
	refresh_table_json(s->t, result, row, &value);
	struct str json = { value.data, value.len };
	if (!s->versioned)
		step_call(s, i, "string", 4,
		    (struct str[]){ i->stamp, ttl, step_number(s, i->most_ms), json });
	else if (i->fill)
		step_call(s, i, "sluice_fill", 6,
		    (struct str[]){ i->token, version, json, ttl, STR("0"), stale });
	else
		step_call(s, i, "sluice_refresh", 6,
		    (struct str[]){ i->stamp, version, json, ttl, STR("0"), stale });
	buf_deinit(&value);
}

/* No such row: a lease is given back, an absent key learns that there is nothing. */
static void
write_nothing(struct refresh_step *s, struct refresh_item *i)
{
	COUNT(s->r->counters.absent, 1);
	if (i->fill)
		step_call(s, i, "sluice_fill_none", 3,
		    (struct str[]){
			i->token, i->version, step_number(s, s->t->table->refresh.ttl_ms) });
	else if (s->versioned)
		step_call(s, i, "sluice_release", 1, &i->token);
}

static void
take_written(struct refresh_step *s, struct refresh_item *i, const struct redis_reply *reply)
{
	struct hot_state *state = &i->k->state;
	struct str what = reply_word(reply, 0);

	state->reload = false;
	if (!i->found) {
		item_look_again(i, 10 * LOOK_AGAIN_MS);
		state->expires_ms = state->lent_ms = 0;
	} else if (str_equal(what, STR("OK"))) {
		COUNT(s->r->counters.loaded, 1);
		COUNT(s->r->counters.tables[s->t->index].loaded, 1);
		if (i->reload)
			COUNT(s->r->counters.reloaded, 1);
		state->loaded_wall_ms = clock_wall_ms();
		state->load_us = s->took_us;
		state->lent_ms = 0;
		step_set_expiry(s, i, i->ttl_ms);
	} else if (str_equal(what, STR("OLD"))) {
		COUNT(s->r->counters.older, 1);
		item_look_again(i, LOOK_AGAIN_MS);
	} else if (str_equal(what, STR("CHANGED"))) {
		/* the next look tells whether it is gone or loaded by somebody else */
		state->lost = true;
		item_look_again(i, 0);
	} else {
		COUNT(s->r->counters.lost, 1);
		item_look_again(i, LOOK_AGAIN_MS / 2);
	}
}

/* Which row is whose; the commands go out in the order of the items. */
static void
send_values(struct refresh_step *s, const struct sql_result *result,
    const struct refresh_columns *columns)
{
	struct map by_key;
	struct buf key = { 0 };

	map_init(&by_key);
	for (size_t n = 0; n < s->count; n++)
		if (s->items[n].load)
			*map_at(&by_key, s->items[n].key.data, s->items[n].key.len) = &s->items[n];
	for (size_t row = 0; row < result->rows; row++) {
		buf_reset(&key);
		struct refresh_item *i = refresh_table_row_key(s->t, result, row, columns, &key) ?
		    map_get(&by_key, key.data, key.len) :
		    NULL;
		if (i == NULL || i->found)
			continue;
		i->found = true;
		i->row = row;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct refresh_item *i = &s->items[n];

		if (i->load && i->found)
			write_row(s, i, result, i->row, columns);
		else if (i->load)
			write_nothing(s, i);
	}
	buf_deinit(&key);
	map_deinit(&by_key);
}

static void
take_values(struct refresh_step *s)
{
	struct redis_reply *reply;
	struct redis_reply nothing = { .type = REDIS_NIL };

	if (redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	for (size_t n = 0; n < s->count; n++) {
		struct refresh_item *i = &s->items[n];

		if (!i->load)
			continue;
		reply = i->found || s->versioned ? step_answer(s) : &nothing;
		if (reply == NULL)
			return;
		take_written(s, i, reply);
	}
}

/* They go on without us. */
static void
give_up(struct refresh_step *s)
{
	size_t given = 0;

	for (size_t n = 0; n < s->count; n++) {
		struct refresh_item *i = &s->items[n];

		if (!i->load)
			continue;
		item_look_again(i, LOOK_AGAIN_MS);
		if (!s->versioned || i->gave_back || !redis_is_open(s->r->redis))
			continue;
		step_call(s, i, "sluice_release", 1, &i->token);
		given++;
	}
	if (given > 0 && redis_flush(s->r->redis, &s->err) != 0)
		refresh_cache_failed(s->r, &s->err);
	while (given-- > 0 && step_answer(s) != NULL)
		;
}

/* What fails is the query's fault, MySQL's, or as long as MySQL says nothing else the query's. */
static void
select_failed(struct refresh_step *s)
{
	struct refresh *r = s->r;
	/* it waits in whole milliseconds */
	bool answered = sql_is_open(r->sql), writes = s->err.code == CODE_READ_ONLY,
	     late = s->took_us / 1000 + 1 >= r->own.mysql.timeout_ms;

	if (answered && (writes || sql_is_statements_fault(s->err.code)))
		refresh_table_refused(r, s->t, &s->err);
	else if ((answered || late) && s->t->table->refresh.load != NULL)
		refresh_table_suspected(r, s->t, &s->err);
	else
		refresh_mysql_failed(r, &s->err);
	give_up(s);
}

/* So many keys of the table are too many, or one is. */
static void
answer_cut(struct refresh_step *s)
{
	if (s->loads > 1)
		s->t->at_once = s->loads / 2;
	else {
		err_set(&s->err, ERR_FATAL, 0,
		    "tables.%s.refresh: what is loaded for one key takes more than %zu bytes, a"
		    " quarter of memory",
		    s->t->table->name, refresh_answer_max(s->r));
		refresh_table_refused(s->r, s->t, &s->err);
	}
	give_up(s);
}

/* The load is asked for its columns at each SELECT: they wait for somebody to change it. */
static void
load_rows(struct refresh_step *s)
{
	struct refresh_columns columns;
	struct sql_result result = { 0 };

	if (send_select(s, &result) != 0) {
		select_failed(s);
		return;
	}
	if (result.cut)
		answer_cut(s);
	else if (refresh_table_columns(s->t, &result, &columns, &s->err) != 0 ||
	    refresh_table_versions(s->t, &result, &columns, &s->err) != 0) {
		refresh_table_refused(s->r, s->t, &s->err);
		give_up(s);
	} else if (!redis_is_open(s->r->redis)) {
		refresh_table_worked(s->r, s->t);
		give_up(s); /* it went while MySQL was waited for */
	} else {
		refresh_table_worked(s->r, s->t);
		s->t->at_once += s->t->at_once < REFRESH_BATCH_MAX;
		send_values(s, &result, &columns);
		take_values(s);
	}
	sql_result_free(&result);
}

/* As many as the budget allows; the others stay due. */
static void
within_budget(struct refresh_step *s)
{
	size_t allowed;

	if (s->count > s->t->at_once)
		s->count = s->t->at_once;
	allowed = pace_take(&s->r->pace, s->count);
	if (allowed < s->count)
		COUNT(s->r->counters.over_budget, s->count - allowed);
	s->count = allowed;
}

void
refresh_load(struct refresh *r, struct refresh_table *t)
{
	struct refresh_step s = { .r = r, .t = t };
	struct breaker *own = &r->counters.tables[t->index].load;
	bool loads, mysql;

	arena_reset(&r->arena);
	loads = breaker_ready(own) && refresh_cache_ready(r);
	/* before the values are looked at: it may stretch them, or find that the query is to blame */
	mysql = loads && refresh_mysql_ready(r) && breaker_ready(own);
	loads = loads && redis_is_open(r->redis);
	s.versioned = refresh_is_versioned(t->table);
	s.items = arena_alloc(&r->arena, REFRESH_BATCH_MAX * sizeof(*s.items));
	step_bring_forward(&s);
	collect(&s);
	if (loads && mysql) {
		within_budget(&s);
		if (s.count > 0 && ask_leases(&s) != 0)
			return;
		for (size_t n = 0; n < s.count; n++)
			s.loads += s.items[n].load;
		pace_give(&r->pace, s.count - s.loads);
		if (s.loads > 0)
			load_rows(&s);
	}
	if (loads && redis_is_open(r->redis))
		refresh_stretch(&s);
}
