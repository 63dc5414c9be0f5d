#include "common/clock.h"
#include "common/log.h"
#include "common/number.h"
#include "worker/cache/refresh_work.h"
#include "worker/operate/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES_PER_TICK = 5000, ENTRIES_PER_TICK = 5000, LISTEN_AGAIN_MS = 2000 };

/* ---- what the workers invalidated ---- */

static void
reload(struct refresh *r, const struct config_table *table, struct str key)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[i];
		struct hot_keys *both[] = { &t->read, &t->warm };

		for (int j = 0; j < 2 && t->table == table; j++) {
			struct hot_key *k = hot_keys_find(both[j], key);

			if (k == NULL || !refresh_is_hot(t, both[j], k, now_ms))
				continue;
			k->state.reload = true;
			k->state.due_ms = 0;
			return;
		}
	}
}

void
refresh_take_rings(struct refresh *r)
{
	const struct config_table *table;
	struct str key;

	for (size_t i = 0; i < r->ring_count; i++)
		while (refresh_ring_next(refresh_ring(r, i), &table, &key)) {
			reload(r, table, key);
			refresh_ring_taken(refresh_ring(r, i));
		}
}

/* ---- counting ---- */

/* reported: by sluice_get, which knows whether a value was there. */
static void
count_read(struct refresh *r, struct str key, uint64_t weight, bool reported, bool found)
{
	struct str values[REFRESH_KEY_COLUMNS];
	struct refresh_table *t = NULL;

	for (size_t i = 0; i < r->table_count && t == NULL; i++)
		if (refresh_table_match(&r->tables[i], key, &r->arena, values))
			t = &r->tables[i];
	if (t == NULL) {
		COUNT(r->counters.reads_unknown, weight);
		return;
	}
	hot_keys_add(&t->read, key, (double)weight, clock_ms());
	COUNT(r->counters.reads, weight);
	if (!reported)
		return;
	COUNT(r->counters.tables[t->index].reads, weight);
	if (found)
		COUNT(r->counters.tables[t->index].found, weight);
}

/* "20 H user:7" */
static void
take_message(struct refresh *r, struct str text)
{
	const char *blank = memchr(text.data, ' ', text.len);
	size_t digits = blank != NULL ? (size_t)(blank - text.data) : 0;
	uint64_t weight;

	if (digits == 0 || text.len < digits + 4 || blank[2] != ' ' ||
	    !number_u64((struct str){ text.data, digits }, &weight) || weight > 1000000)
		return;
	count_read(r, (struct str){ blank + 3, text.len - digits - 3 }, weight, true,
	    blank[1] == 'H');
}

static bool
listener_ready(struct refresh *r)
{
	struct err err = { 0 };

	if (redis_is_open(r->listener))
		return true;
	if (clock_ms() < r->listen_ms)
		return false;
	r->listen_ms = clock_ms() + random_jitter(&r->random, LISTEN_AGAIN_MS);
	arena_reset(&r->partial);
	if (redis_open(r->listener, &err) != 0)
		return false; /* the other connection to the same server says so */
	redis_queuef(r->listener, "SUBSCRIBE sluice:reads");
	redis_listen(r->listener);
	return redis_flush(r->listener, &err) == 0;
}

static void
hear(struct refresh *r)
{
	struct redis_reply *reply;
	struct err err = { 0 };

	if (!r->config->refresh.sampling || !listener_ready(r))
		return;
	for (int i = 0; i < MESSAGES_PER_TICK; i++) {
		if (redis_receive(r->listener, &r->partial, 0, &reply, &err) <= 0)
			return;
		if (reply->type == REDIS_ERROR) {
			log_event(LOG_WARN, "refresh_reads_refused", "error", "%s",
			    reply->text.data, NULL);
			redis_close(r->listener);
			return;
		}
		if (reply->type == REDIS_ARRAY && reply->count == 3 &&
		    str_equal(reply->element[0]->text, STR("message")))
			take_message(r, reply->element[2]->text);
		arena_reset(&r->partial);
		arena_reset(&r->arena);
	}
}

/* An entry: the key in field k, and n where it stands for another number of reads. */
static void
take_entry(struct refresh *r, const struct redis_reply *fields)
{
	uint64_t weight = (uint64_t)r->config->refresh.sample, n;
	const struct redis_reply *key = NULL;

	for (size_t i = 0; i + 1 < fields->count; i += 2) {
		const struct redis_reply *name = fields->element[i],
					 *value = fields->element[i + 1];

		if (str_equal(name->text, STR("k")))
			key = value;
		else if (str_equal(name->text, STR("n")) && number_u64(value->text, &n) &&
		    n <= 1000000)
			weight = n;
	}
	if (key != NULL)
		count_read(r, key->text, weight, false, false);
}

/* The newest id there is: where reading begins, so that a restart doesn't count reads again. */
static int
find_end(struct refresh *r, struct err *err)
{
	struct str stream = str_of(r->config->refresh.reads);
	struct redis_reply *reply =
	    redis_call(r->redis, &r->arena, err, "XREVRANGE %b + - COUNT 1", &stream);

	if (reply == NULL)
		return -1;
	if (reply->type == REDIS_ARRAY && reply->count > 0)
		snprintf(r->read_id, sizeof(r->read_id), "%s",
		    reply->element[0]->element[0]->text.data);
	else
		snprintf(r->read_id, sizeof(r->read_id), "0-0");
	return 0;
}

static void
read_stream(struct refresh *r)
{
	struct str stream = str_of(r->config->refresh.reads);
	struct redis_reply *reply;
	struct err err = { 0 };

	if (r->config->refresh.reads == NULL || !refresh_cache_ready(r))
		return;
	arena_reset(&r->arena);
	if (r->read_id[0] == '\0' && find_end(r, &err) != 0)
		goto fail;
	reply = redis_call(r->redis, &r->arena, &err, "XREAD COUNT %lld STREAMS %b %s",
	    (long long)ENTRIES_PER_TICK, &stream, r->read_id);
	if (reply == NULL)
		goto fail;
	if (reply->type != REDIS_ARRAY || reply->count == 0)
		return;
	const struct redis_reply *entries = reply->element[0]->element[1];
	for (size_t i = 0; i < entries->count; i++) {
		const struct redis_reply *entry = entries->element[i];

		snprintf(r->read_id, sizeof(r->read_id), "%s", entry->element[0]->text.data);
		if (entry->count > 1 && entry->element[1]->type == REDIS_ARRAY)
			take_entry(r, entry->element[1]);
	}
	return;
fail:
	if (!redis_is_open(r->redis))
		refresh_cache_failed(r, &err);
	else
		log_event(LOG_WARN, "refresh_reads_refused", "error", "%s", err.text, NULL);
}

void
refresh_reads(struct refresh *r)
{
	arena_reset(&r->arena);
	hear(r);
	read_stream(r);
	arena_reset(&r->arena);
}

/* ---- the warm list ---- */

static void
warm_table(struct refresh *r, struct refresh_table *t)
{
	struct sql_result result = { 0 };
	struct str values[REFRESH_KEY_COLUMNS];
	struct buf key = { 0 };
	struct err err = { 0 };
	size_t max = (size_t)t->table->refresh.top;

	if (sql_query_most(r->sql, str_of(t->table->refresh.warm), refresh_answer_max(r), &result,
		&err) != 0) {
		if (!sql_is_open(r->sql))
			refresh_mysql_failed(r, &err);
		log_event(LOG_WARN, "refresh_warm_failed", "table", "%s", t->table->name, "error",
		    "%s", err.text, NULL);
		return;
	}
	hot_keys_clear(&t->warm);
	for (size_t i = 0; i < result.rows && i < max && result.columns >= t->key_count; i++) {
		for (size_t j = 0; j < t->key_count; j++)
			values[j] = sql_cell(&result, i, j);
		buf_reset(&key);
		if (key_template_render(&t->template, values, &key))
			hot_keys_add(&t->warm, (struct str){ key.data, key.len }, 1, clock_ms());
	}
	if (result.columns < t->key_count || result.rows > max)
		log_event(LOG_WARN, "refresh_warm_cut", "table", "%s", t->table->name, "rows",
		    "%zu", result.rows, "why", "%s",
		    result.rows > max ? "more than top" : "fewer columns than the primary key has",
		    NULL);
	sql_result_free(&result);
	buf_deinit(&key);
}

void
refresh_warm(struct refresh *r)
{
	for (size_t i = 0; i < r->table_count; i++) {
		struct refresh_table *t = &r->tables[i];

		if (t->table->refresh.warm == NULL || !t->ready || clock_ms() < t->warm_due_ms ||
		    !refresh_mysql_ready(r))
			continue;
		t->warm_due_ms =
		    clock_ms() + random_jitter(&r->random, t->table->refresh.warm_every_ms);
		warm_table(r, t);
	}
}
