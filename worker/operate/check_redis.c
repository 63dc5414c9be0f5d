#include "common/number.h"
#include "worker/operate/access.h"
#include "worker/operate/check_acl.h"
#include "worker/operate/check_advice.h"

#include <stdio.h>
#include <string.h>

struct redis_check {
	struct check *check;
	struct redis *redis;
	struct arena arena;
	const char *server;
	struct acl_check acl;
};

/* ---- the server ---- */

static void
check_memory(struct redis_check *r, struct str info)
{
	const struct config *config = r->check->config;
	struct str policy = redis_info(info, "maxmemory_policy");
	uint64_t max = 0;

	redis_info_number(info, "maxmemory", &max);
	if (policy.len <= 8 || memcmp(policy.data, "allkeys-", 8) != 0)
		return;
	if (max > 0 && !config->eviction_allowed)
		check_problem(r->check, 0, 0,
		    "redis evicts streams when memory runs out (maxmemory-policy %.*s): set "
		    "volatile-lru or noeviction there, or eviction: allow here",
		    STR_ARGS(policy));
	else
		check_hint(r->check, 0, 0,
		    "redis may evict streams (maxmemory-policy %.*s)%s; volatile-lru and "
		    "noeviction never do",
		    STR_ARGS(policy), max == 0 ? " once it has a maxmemory" : "");
}

static void
check_persistence(struct redis_check *r)
{
	struct redis_reply *save, *append;

	save = redis_call(r->redis, &r->arena, NULL, "CONFIG GET save");
	append = redis_call(r->redis, &r->arena, NULL, "CONFIG GET appendonly");
	if (save == NULL || append == NULL)
		return; /* CONFIG may be denied: then nobody knows */
	const struct redis_reply *points = redis_pair(save, "save"),
				 *on = redis_pair(append, "appendonly");
	if (points != NULL && points->text.len == 0 && on != NULL && str_equal(on->text, STR("no")))
		check_hint(r->check, 0, 0,
		    "redis has no persistence (no appendonly, no save): a restart loses what isn't "
		    "written yet");
}

static void
check_server(struct redis_check *r)
{
	struct err err = { 0 };
	struct redis_reply *info = redis_call(r->redis, &r->arena, &err, "INFO");
	struct redis_reply *now = redis_call(r->redis, &r->arena, NULL, "TIME");

	if (info == NULL) {
		check_hint(r->check, 0, 0,
		    "eviction policy and role are not checked: INFO: %s (ACL rule +info)",
		    err.text);
	} else {
		snprintf(r->check->redis_run_id, sizeof(r->check->redis_run_id), "%.*s",
		    STR_ARGS(redis_info(info->text, "run_id")));
		check_memory(r, info->text);
		if (str_equal(redis_info(info->text, "role"), STR("slave")))
			check_problem(r->check, 0, 0,
			    "redis is a replica: sluice trims and marks, so it needs the "
			    "primary");
	}
	int64_t seconds, us;
	if (now != NULL && now->count == 2 && number_i64(now->element[0]->text, &seconds) &&
	    number_i64(now->element[1]->text, &us))
		check_clock(r->check, "redis", seconds * 1000 + us / 1000);
	check_persistence(r);
}

/* ---- streams ---- */

static void
check_stream(struct redis_check *r, const struct config_source *source, const char *stream)
{
	struct str key = str_of(stream);
	struct err err = { 0 };
	struct redis_reply *type = redis_call(r->redis, &r->arena, &err, "TYPE %b", &key);

	/* TYPE may be denied: only we ask for it */
	if (type != NULL && !str_equal(type->text, STR("stream")) &&
	    !str_equal(type->text, STR("none"))) {
		check_problem(r->check, source->line, source->column,
		    "the key %s is a %.*s, not a stream", stream, STR_ARGS(type->text));
		return;
	}
	if (source->write)
		acl_check_stream(&r->acl, r->check->config->pool, stream);
	else
		acl_check_group(&r->acl, stream);
}

static void
check_streams(struct redis_check *r)
{
	const struct config *config = r->check->config;

	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count && redis_is_open(r->redis);
		    j++) {
			check_stream(r, &config->sources[i], config->sources[i].streams[j]);
			arena_reset(&r->arena);
		}
}

/* ---- lanes that nobody reads ---- */

static bool
is_configured(const struct config *config, struct str stream)
{
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count; j++)
			if (str_equal(str_of(config->sources[i].streams[j]), stream))
				return true;
	return false;
}

/* What is behind the first part of a lane's name; no data when that is another. */
static const char *
behind(const char *lane, struct str part)
{
	size_t len = strcspn(lane, "/");

	return lane[len] == '/' && str_equal((struct str){ lane, len }, part) ? lane + len + 1 :
										NULL;
}

/* The stream of a ledger row of that pool and server; no data when it is another's. */
static struct str
stream_of(struct str pool, struct str server, const char *lane)
{
	const char *rest = behind(lane, pool);

	if (rest != NULL)
		rest = behind(rest, server);
	return rest != NULL ? str_of(rest) : (struct str){ NULL, 0 };
}

/* Has the stream entries behind `done`? */
static bool
has_backlog(struct redis_check *r, struct str stream, const char *done)
{
	struct str from = str_of(done);
	struct redis_reply *entries =
	    redis_call(r->redis, &r->arena, NULL, "XREAD COUNT 1 STREAMS %b %b", &stream, &from);

	return entries != NULL && entries->type == REDIS_ARRAY && entries->count > 0;
}

static void
check_ledger(struct redis_check *r)
{
	const struct check *c = r->check;

	for (size_t i = 0; i < c->ledger_count && redis_is_open(r->redis); i++) {
		struct str stream = stream_of(str_of(c->config->pool),
		    str_of(c->config->redis.name), c->ledger[i].name);
		if (stream.data == NULL || is_configured(c->config, stream))
			continue;
		if (has_backlog(r, stream, c->ledger[i].done))
			check_problem(r->check, 0, 0,
			    "lane %s holds entries behind %s and no source of this configuration "
			    "reads it: list its "
			    "stream, or empty it",
			    c->ledger[i].name, c->ledger[i].done);
		arena_reset(&r->arena);
	}
}

/* ---- other pools on the same streams ---- */

/* Has another pool a group there?  The ledger alone doesn't say which server it means. */
static bool
is_read_by(struct redis_check *r, struct str stream, const char *group)
{
	struct redis_reply *groups =
	    redis_call(r->redis, &r->arena, NULL, "XINFO GROUPS %b", &stream);

	return redis_group(groups, group) != NULL;
}

/* One is enough to see the mistake. */
static void
check_other_pools(struct redis_check *r)
{
	const struct check *c = r->check;
	char group[LANE_NAME_MAX + sizeof("sluice-")];

	for (size_t i = 0; i < c->ledger_count && redis_is_open(r->redis); i++) {
		const char *lane = c->ledger[i].name;
		int pool_len = (int)strcspn(lane, "/");
		struct str pool = { lane, (size_t)pool_len },
			   stream = stream_of(pool, str_of(c->config->redis.name), lane);

		if (stream.data == NULL || str_equal(pool, str_of(c->config->pool)) ||
		    !is_configured(c->config, stream))
			continue;
		snprintf(group, sizeof(group), "sluice-%.*s", pool_len, lane);
		if (is_read_by(r, stream, group)) {
			check_hint(r->check, 0, 0,
			    "stream %.*s is read by pool %.*s, too, whose ledger is in the same "
			    "database: "
			    "where both write the same tables each change is applied twice; one "
			    "installation has one `pool` in all its files",
			    STR_ARGS(stream), pool_len, lane);
			return;
		}
		arena_reset(&r->arena);
	}
}

/* ---- cache ---- */

/* The key that a template makes from a value no row has. */
static void
add_probe_key(const char *template, struct buf *out)
{
	for (; *template != '\0'; template ++) {
		if ((*template == '{' || *template == '}') && template[1] == *template) {
			buf_add_char(out, *template ++);
		} else if (*template == '{') {
			buf_add_str(out, "\x01sluice-check");
			template += strcspn(template, "}");
			if (*template == '\0')
				return;
		} else {
			buf_add_char(out, *template);
		}
	}
}

/* A command that finds nothing or can't be carried out, if it is allowed. */
static bool
is_allowed(struct redis_check *r, const char *command)
{
	struct err err = { 0 };

	return !redis_is_open(r->redis) || redis_call(r->redis, &r->arena, &err, command) != NULL ||
	    err.class != ERR_FATAL;
}

/* Functions, or else scripts: library.h. */
static void
try_functions(struct redis_check *r)
{
	bool there = redis_call(r->redis, &r->arena, NULL, "FCALL sluice_version 0") != NULL;
	bool fcall = there || is_allowed(r, "FCALL sluice_version 0");
	bool load = there || is_allowed(r, "FUNCTION LOAD no-library");
	bool evalsha = is_allowed(r, "EVALSHA 0000000000000000000000000000000000000000 0");
	bool script = is_allowed(r, "SCRIPT LOAD (");

	if ((fcall && load) || (evalsha && script))
		return;
	check_problem(r->check, 0, 0,
	    "%s: the user may call neither functions nor scripts, and a template's mode needs "
	    "them:%s%s, or%s%s",
	    r->server, fcall ? "" : " +fcall", load ? "" : " +function|load",
	    evalsha ? "" : " +evalsha", script ? "" : " +script|load");
}

static void
try_announce(struct redis_check *r)
{
	const struct config *config = r->check->config;
	struct redis_reply *type;

	acl_check_announce(&r->acl, config);
	if (config->announce_stream == NULL || !redis_is_open(r->redis))
		return;
	/* TYPE may be denied: only we ask for it */
	type = redis_call(r->redis, &r->arena, NULL, "TYPE %s", config->announce_stream);
	if (type != NULL && !str_equal(type->text, STR("stream")) &&
	    !str_equal(type->text, STR("none")))
		check_problem(r->check, 0, 0,
		    "%s: announce.stream: the key %s is a %.*s, not a stream", r->server,
		    config->announce_stream, STR_ARGS(type->text));
}

static void
try_scan(struct redis_check *r)
{
	struct err err = { 0 };

	redis_call(r->redis, &r->arena, &err, "SCAN 0 COUNT 1");
	if (err.class == ERR_FATAL)
		check_problem(r->check, 0, 0,
		    "%s: the user may not look for keys, and a template's mode needs it: +scan "
		    "+type "
		    "+unlink, and +info +dbsize where a pass is to go on after a lost connection",
		    r->server);
}

static void
try_cache_rights(struct redis_check *r)
{
	const struct config *config = r->check->config;
	struct buf probe = { 0 };

	if (config_needs_functions(config))
		try_functions(r);
	if (config_has_mode(config, MODE_SCAN))
		try_scan(r);
	try_announce(r);
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count && redis_is_open(r->redis);
		    j++) {
			const struct config_template *template = &config->tables[i].templates[j];
			if (strchr(template->written, '{') == NULL)
				continue; /* without a placeholder it would be a real key */
			buf_reset(&probe);
			add_probe_key(template->written, &probe);
			acl_check_key(&r->acl, (struct str){ probe.data, probe.len }, template);
			arena_reset(&r->arena);
		}
	buf_deinit(&probe);
}

/* ---- together ---- */

static void
check_one(struct check *c, const struct config_redis *config, const char *server,
    void (*look)(struct redis_check *r))
{
	struct redis_check r = { .check = c, .server = server };
	struct access_redis access;
	struct buf place = { 0 };
	struct err err = { 0 };

	access_redis_init(&access, config, "sluice-check");
	access_add_redis(config, &place);
	arena_init(&r.arena, 1024 * 1024);
	r.redis = redis_new(&access.options);
	r.acl = (struct acl_check){
		.check = c, .redis = r.redis, .arena = &r.arena, .server = config, .name = server
	};
	if (redis_open(r.redis, &err) != 0) {
		/* it is there and says no */
		if (err.class == ERR_FATAL)
			check_problem(c, 0, 0, "%s at %s: %s", server, place.data, err.text);
		else
			check_unreachable(c, server, place.data, err.text);
	} else {
		look(&r);
		if (!redis_is_open(r.redis))
			check_unreachable(c, server, place.data,
			    "the connection was lost while asking");
	}
	redis_free(&r.redis);
	arena_deinit(&r.arena);
	buf_deinit(&place);
	access_redis_deinit(&access);
}

/* The same server, and the same user with the same rights. */
static bool
cache_is_asked_with_redis(const struct config *config)
{
	const char *one = config->redis.user, *other = config->cache.user;

	return config->cache_is_redis && (one == NULL) == (other == NULL) &&
	    (one == NULL || strcmp(one, other) == 0);
}

/* What lanes that don't write have there. */
static void
check_home(struct redis_check *r, const struct config_redis *server)
{
	const struct config *config = r->check->config;

	if (!config_invalidates(config) || !redis_is_open(r->redis))
		return;
	if (config->dead_stream != NULL && server == &config->redis)
		acl_check_dead_stream(&r->acl, config->dead_stream);
	if (config_orders_server(config) == server)
		acl_check_orders(&r->acl, config->pool);
	arena_reset(&r->arena);
}

static void
look_at_redis(struct redis_check *r)
{
	check_server(r);
	check_streams(r);
	check_home(r, &r->check->config->redis);
	check_ledger(r);
	check_other_pools(r);
	if (cache_is_asked_with_redis(r->check->config))
		try_cache_rights(r);
	if (r->check->config->cache_is_redis && redis_is_open(r->redis))
		check_advice(r->check, r->redis, &r->arena, true);
}

/* By another name it may be the same one.  FLUSHDB has no such option, and says so behind the rights. */
static void
check_flush(struct redis_check *r)
{
	const struct check *c = r->check;
	struct redis_reply *info;
	struct err err = { 0 };

	if (c->config->on_cache_lost != ON_CACHE_LOST_FLUSH || !redis_is_open(r->redis))
		return;
	info = redis_call(r->redis, &r->arena, NULL, "INFO server");
	if (info != NULL && c->redis_run_id[0] != '\0' &&
	    c->config->redis.db == c->config->cache.db &&
	    str_equal(redis_info(info->text, "run_id"), str_of(c->redis_run_id)))
		check_problem(r->check, 0, 0,
		    "on_cache_lost: flush: cache and redis are the same server and database by "
		    "two names; give the cache one of its own");
	if (redis_is_open(r->redis) &&
	    redis_call(r->redis, &r->arena, &err, "FLUSHDB no-option") == NULL &&
	    err.class == ERR_FATAL)
		check_problem(r->check, 0, 0,
		    "cache: a right is missing: +flushdb, for on_cache_lost: flush");
}

static void
look_at_cache(struct redis_check *r)
{
	check_home(r, &r->check->config->cache);
	check_flush(r);
	try_cache_rights(r);
	if (!r->check->config->cache_is_redis && redis_is_open(r->redis))
		check_advice(r->check, r->redis, &r->arena, false);
}

static bool
uses_redis(const struct config *config)
{
	return config_reads_streams(config) || (config->has_redis && config_invalidates(config));
}

void
check_redis(struct check *c)
{
	if (uses_redis(c->config))
		check_one(c, &c->config->redis, "redis", look_at_redis);
}

void
check_cache(struct check *c)
{
	bool asked = uses_redis(c->config) && cache_is_asked_with_redis(c->config);

	if (!asked && (config_reads_streams(c->config) || config_has_templates(c->config)))
		check_one(c, &c->config->cache, "cache", look_at_cache);
}
