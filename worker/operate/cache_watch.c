#include "worker/operate/cache_watch.h"

#include "common/arena.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/number.h"
#include "config/braces.h"
#include "worker/cache/refresh.h"
#include "worker/cache/verify.h"
#include "worker/operate/access.h"
#include "worker/operate/counters.h"

#include <stdio.h>
#include <string.h>

enum { INFO_EVERY_MS = 10000, WALK_EVERY_MS = 600000, READS_MIN = 100 };
enum { RESTARTED_MS = 3600000, APPEND_MS = 1000 /* appendfsync everysec */ };
enum { HIT_PERMILLE_MIN = 800, MEMORY_PERCENT_MAX = 80, LAG_MS_MAX = 10000, PING_US_MAX = 100000 };
#define LARGE_BYTES (1024 * 1024)

const char *
cache_warning_name(enum cache_warning warning)
{
	static const char *const names[CACHE_WARNINGS] = { "hit_rate", "memory", "replica_lag",
		"min_replicas", "persistence", "slow", "large_keys", "without_ttl", "restarted" };

	return warning < CACHE_WARNINGS ? names[warning] : NULL;
}

bool
cache_warning(const struct cache_view *v, enum cache_warning warning, char *out, int size)
{
	uint64_t used = SEE(v->used_bytes), max = SEE(v->max_bytes);
	unsigned long long number = 0;
	const char *format = NULL;
	int permille = SEE(v->hit_permille);

	if (size > 0)
		out[0] = '\0';
	if (SEE(v->seen_wall_ms) == 0)
		return false;
	switch (warning) {
	case CACHE_WARN_HIT_RATE:
		number = (unsigned long long)(permille > 0 ? permille / 10 : 0);
		format = permille >= 0 && permille < HIT_PERMILLE_MIN ?
		    "the cache's hit rate is %llu %%" :
		    NULL;
		break;
	case CACHE_WARN_MEMORY:
		number = max > 0 ? used * 100 / max : 0;
		format = number > MEMORY_PERCENT_MAX ? "the cache uses %llu %% of maxmemory" : NULL;
		break;
	case CACHE_WARN_REPLICA_LAG:
		number = SEE(v->replica_lag_ms) / 1000;
		format = SEE(v->replica_lag_ms) > LAG_MS_MAX ?
		    "a replica of the cache is %llu s behind" :
		    NULL;
		break;
	case CACHE_WARN_MIN_REPLICAS:
		number = SEE(v->good_replicas);
		format = number < SEE(v->min_replicas) ?
		    "the cache has %llu good replicas, fewer than min-replicas-to-write" :
		    NULL;
		break;
	case CACHE_WARN_PERSISTENCE:
		format = SEE(v->persistence_failed) != 0 ?
		    "the cache's last save or append-only rewrite failed" :
		    NULL;
		break;
	case CACHE_WARN_SLOW:
		number = SEE(v->ping_us) / 1000;
		format = SEE(v->ping_us) > PING_US_MAX ? "the cache took %llu ms for a PING" : NULL;
		break;
	case CACHE_WARN_LARGE_KEYS:
		number = SEE(v->large);
		format = number > 0 ? "%llu keys of the cache hold more than 1 MiB" : NULL;
		break;
	case CACHE_WARN_WITHOUT_TTL:
		number = SEE(v->without_ttl);
		format = number > 0 ? "%llu keys under our prefixes never expire" : NULL;
		break;
	case CACHE_WARN_RESTARTED:
		number = (uint64_t)(SEE(v->restart_wall_ms) - SEE(v->lost_from_wall_ms)) / 1000;
		format = SEE(v->restarts) > 0 &&
			clock_wall_ms() - SEE(v->restart_wall_ms) < RESTARTED_MS ?
		    "the cache restarted or failed over: invalidations of %llu s may be lost" :
		    NULL;
		break;
	case CACHE_WARNINGS:
		break;
	}
	if (format == NULL)
		return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, (size_t)size, format, number);
#pragma GCC diagnostic pop
	return true;
}

void
cache_watch_init(struct cache_watch *w, const struct watched *watched, struct cache_view *view)
{
	*w = (struct cache_watch){
		.watched = watched, .config = watched->config, .view = view, .cursor = "0"
	};
	SHOW(view->hit_permille, -1);
}

/* ---- INFO ---- */

static uint64_t
info_number(struct str info, const char *name)
{
	uint64_t number = 0;

	return redis_info_number(info, name, &number) ? number : 0;
}

/* Reads of ours that found something, since the start. */
static uint64_t
own_reads(const struct cache_watch *w)
{
	uint64_t own = w->own_reads + w->stream_reads;

	if (w->watched->refresh != NULL)
		own += SEE(refresh_counters(w->watched->refresh)->looks);
	if (w->watched->verify != NULL)
		own += SEE(verify_counters(w->watched->verify)->found);
	return own;
}

/* ... and that found nothing: only the verifier asks for what may be absent. */
static uint64_t
own_misses(const struct cache_watch *w)
{
	return w->watched->verify != NULL ? SEE(verify_counters(w->watched->verify)->absent) : 0;
}

static void
take_hit_rate(struct cache_watch *w, struct str info)
{
	uint64_t own = own_reads(w), ours = own - w->own_before;
	uint64_t missed = own_misses(w), our_misses = missed - w->own_misses_before;
	uint64_t hits = info_number(info, "keyspace_hits");
	uint64_t misses = info_number(info, "keyspace_misses");
	uint64_t new_hits = hits - w->hits_before, new_misses = misses - w->misses_before;

	w->own_before = own;
	w->own_misses_before = missed;
	new_hits -= ours < new_hits ? ours : new_hits;
	new_misses -= our_misses < new_misses ? our_misses : new_misses;
	/* a server that restarted counts anew */
	if (w->counted && hits >= w->hits_before && misses >= w->misses_before) {
		SHOW(w->view->hits, SEE(w->view->hits) + new_hits);
		SHOW(w->view->misses, SEE(w->view->misses) + new_misses);
		SHOW(w->view->hit_permille,
		    new_hits + new_misses >= READS_MIN ?
			(int)(new_hits * 1000 / (new_hits + new_misses)) :
			-1);
	}
	w->hits_before = hits;
	w->misses_before = misses;
	w->counted = true;
}

/* slave0:ip=…,state=online,offset=123,lag=0 */
static void
take_replicas(struct cache_watch *w, struct str info)
{
	uint64_t count = info_number(info, "connected_slaves"), worst_s = 0;

	for (uint64_t i = 0; i < count && i < 64; i++) {
		char name[24];
		uint64_t lag = 0;

		snprintf(name, sizeof(name), "slave%llu", (unsigned long long)i);
		struct str line = redis_info(info, name);
		const char *at = line.data != NULL ? memmem(line.data, line.len, "lag=", 4) : NULL;
		size_t left = at != NULL ? (size_t)(line.data + line.len - at) - 4 : 0, digits = 0;

		while (digits < left && at[4 + digits] >= '0' && at[4 + digits] <= '9')
			digits++;
		if (at != NULL && number_u64((struct str){ at + 4, digits }, &lag) && lag > worst_s)
			worst_s = lag;
	}
	SHOW(w->view->replicas, count);
	SHOW(w->view->replica_lag_ms, worst_s * 1000);
	SHOW(w->view->good_replicas, info_number(info, "min_slaves_good_slaves"));
}

static bool
is_another(const char *before, struct str now)
{
	return before[0] != '\0' && now.len > 0 && !str_equal(str_of(before), now);
}

static void
remember(char *out, size_t size, struct str text)
{
	if (text.len > 0)
		snprintf(out, size, "%.*s", STR_ARGS(text));
}

/* What came back is as old as the last save, or misses what no replica and no file had yet. */
static void
tell_restart(struct cache_watch *w, const char *what)
{
	struct cache_view *v = w->view;
	int64_t now_ms = clock_wall_ms();
	int64_t from_ms = w->seen_wall_ms - APPEND_MS - (int64_t)SEE(v->replica_lag_ms);

	if (!w->appends && w->saved_wall_ms > 0 && w->saved_wall_ms < from_ms)
		from_ms = w->saved_wall_ms;
	SHOW(v->lost_from_wall_ms, from_ms);
	SHOW(v->restart_wall_ms, now_ms);
	SHOW(v->restarts, SEE(v->restarts) + 1);
	log_event(LOG_ERROR, "cache_restarted", "changed", "%s", what, "window_seconds", "%lld",
	    (long long)((now_ms - from_ms) / 1000), "from_unix_ms", "%lld", (long long)from_ms,
	    "next", "%s",
	    "goes on; what the lanes' notes in the cache show as lost is invalidated again "
	    "(cache_went_back)",
	    NULL);
}

static void
look_for_restart(struct cache_watch *w, struct str info)
{
	struct str run = redis_info(info, "run_id");
	struct str replication = redis_info(info, "master_replid");

	if (is_another(w->run_id, run))
		tell_restart(w, "run_id");
	else if (is_another(w->replication_id, replication))
		tell_restart(w, "master_replid");
	remember(w->run_id, sizeof(w->run_id), run);
	remember(w->replication_id, sizeof(w->replication_id), replication);
	w->seen_wall_ms = clock_wall_ms();
	w->saved_wall_ms = (int64_t)info_number(info, "rdb_last_save_time") * 1000;
	w->appends = info_number(info, "aof_enabled") == 1;
}

void
cache_watch_info(struct cache_watch *w, struct str info)
{
	struct cache_view *v = w->view;
	struct str save = redis_info(info, "rdb_last_bgsave_status");
	struct str rewrite = redis_info(info, "aof_last_write_status");

	look_for_restart(w, info);
	SHOW(v->used_bytes, info_number(info, "used_memory"));
	SHOW(v->max_bytes, info_number(info, "maxmemory"));
	SHOW(v->evicted, info_number(info, "evicted_keys"));
	SHOW(v->expired, info_number(info, "expired_keys"));
	SHOW(v->persistence_failed, str_equal(save, STR("err")) || str_equal(rewrite, STR("err")));
	take_hit_rate(w, info);
	take_replicas(w, info);
	SHOW(v->seen_wall_ms, clock_wall_ms());
}

/* cmdstat_xread:calls=12,usec=… */
static void
count_stream_reads(struct cache_watch *w, struct redis *redis, struct arena *arena)
{
	struct redis_reply *reply;
	uint64_t calls = 0;

	if (!w->config->cache_is_redis ||
	    (reply = redis_call(redis, arena, NULL, "INFO commandstats")) == NULL ||
	    reply->type != REDIS_STRING)
		return;
	struct str line = redis_info(reply->text, "cmdstat_xread");
	const char *comma = line.data != NULL ? memchr(line.data, ',', line.len) : NULL;
	if (comma == NULL || line.len < 6 ||
	    !number_u64((struct str){ line.data + 6, (size_t)(comma - line.data) - 6 }, &calls))
		return;
	w->stream_reads = calls * config_lane_count(w->config);
}

static void
ask_info(struct cache_watch *w, struct redis *redis)
{
	struct redis_reply *reply;
	struct arena arena;

	if (w->asked_ms != 0 && clock_ms() - w->asked_ms < INFO_EVERY_MS)
		return;
	w->asked_ms = clock_ms();
	arena_init(&arena, 0);
	int64_t from_us = clock_us();
	if (redis_call(redis, &arena, NULL, "PING") != NULL)
		SHOW(w->view->ping_us, (uint64_t)(clock_us() - from_us));
	if (redis_is_open(redis))
		count_stream_reads(w, redis, &arena);
	/* all sections that we read are in the default set; only that is understood by old servers */
	if (redis_is_open(redis) && (reply = redis_call(redis, &arena, NULL, "INFO")) != NULL &&
	    reply->type == REDIS_STRING)
		cache_watch_info(w, reply->text);
	if (redis_is_open(redis) &&
	    (reply = redis_call(redis, &arena, NULL, "CONFIG GET min-replicas-to-write")) != NULL &&
	    reply->type == REDIS_ARRAY && reply->count == 2) {
		uint64_t number = 0;
		number_u64(reply->element[1]->text, &number);
		SHOW(w->view->min_replicas, number);
	}
	arena_deinit(&arena);
}

/* ---- the walk ---- */

bool
cache_watch_is_ours(const struct config *config, struct str key)
{
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count; j++) {
			const struct config_template *t = &config->tables[i].templates[j];

			if ((t->mode == MODE_DELETE || t->mode == MODE_VERSIONED) &&
			    braces_can_be(str_of(t->written), key))
				return true;
		}
	return false;
}

static void
end_walk(struct cache_watch *w)
{
	SHOW(w->view->large, w->large);
	SHOW(w->view->largest_bytes, w->largest);
	SHOW(w->view->without_ttl, w->without_ttl);
	SHOW(w->view->walks, SEE(w->view->walks) + 1);
	w->large = w->largest = w->without_ttl = w->walked = 0;
}

static void
look_at_key(struct cache_watch *w, struct redis *redis, struct arena *arena, struct str key)
{
	struct redis_reply *bytes =
	    redis_call(redis, arena, NULL, "MEMORY USAGE %b SAMPLES 1", &key);

	w->walked++;
	if (bytes != NULL && bytes->type == REDIS_INTEGER) {
		uint64_t size = (uint64_t)bytes->integer;
		w->large += size > LARGE_BYTES;
		if (size > w->largest)
			w->largest = size;
	}
	if (!redis_is_open(redis) || !cache_watch_is_ours(w->config, key))
		return;
	w->own_reads++;
	struct redis_reply *ttl = redis_call(redis, arena, NULL, "PTTL %b", &key);
	w->without_ttl += ttl != NULL && ttl->type == REDIS_INTEGER && ttl->integer == -1;
}

/* One step a second, and after a whole walk a rest of ten minutes. */
static void
walk(struct cache_watch *w, struct redis *redis)
{
	struct redis_reply *reply;
	struct err err = { 0 };
	struct arena arena;
	bool begins = strcmp(w->cursor, "0") == 0;

	if (w->denied || !redis_is_open(redis) ||
	    (begins && w->begun_ms != 0 && clock_ms() - w->begun_ms < WALK_EVERY_MS))
		return;
	if (begins)
		w->begun_ms = clock_ms();
	arena_init(&arena, 0);
	reply = redis_call(redis, &arena, &err, "SCAN %s COUNT %lld", w->cursor,
	    (long long)CACHE_KEYS_PER_TICK);
	if (reply != NULL && reply->type == REDIS_ARRAY && reply->count == 2) {
		const struct redis_reply *keys = reply->element[1];
		snprintf(w->cursor, sizeof(w->cursor), "%s", reply->element[0]->text.data);
		/* a crowded bucket may hold more than was asked for */
		for (size_t i = 0;
		    i < keys->count && i < (size_t)2 * CACHE_KEYS_PER_TICK && redis_is_open(redis);
		    i++)
			look_at_key(w, redis, &arena, keys->element[i]->text);
		SHOW(w->view->keys_walked, w->walked);
		if (strcmp(w->cursor, "0") == 0)
			end_walk(w);
	} else if (redis_is_open(redis)) {
		w->denied = true;
		log_event(LOG_INFO, "cache_walk_denied", "error", "%s", err.text, "next", "%s",
		    "large keys and keys without a TTL are not looked for", NULL);
	}
	arena_deinit(&arena);
}

void
cache_watch_turn(struct cache_watch *w, struct redis *redis)
{
	ask_info(w, redis);
	walk(w, redis);
}
