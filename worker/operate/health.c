#include "worker/operate/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A row lock may take lock_wait; what takes this much longer is no answer. */
enum { ANSWER_MS = 3000 };

/* So long a wrong key that `verify` found is a warning. */
enum { WRONG_WARNS_MS = 3600 * 1000 };

/* More lanes than this with something wrong are counted, not listed. */
enum { LISTED_MAX = 50 };

struct reasons {
	struct buf *out;
	unsigned count;
};

static void reason(struct reasons *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
reason(struct reasons *r, const char *format, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (r->count++ > 0)
		buf_add_char(r->out, ',');
	buf_add_json(r->out, text, strlen(text));
}

static void
look_at_workers(const struct snapshot *s, struct reasons *r)
{
	for (size_t i = 0; i < s->worker_count; i++)
		if (s->workers[i].stuck)
			reason(r, "worker %d has not turned for %.0f s", s->workers[i].index,
			    s->workers[i].beat_age_seconds);
}

/* Before mysql.timeout, which closes the connection and opens the breaker. */
static bool
hangs(const struct snapshot *s, enum dependency dependency)
{
	return dependency == DEPENDENCY_MYSQL &&
	    s->total.mysql_waits_seconds * 1000 > s->config->lock_wait_ms + ANSWER_MS;
}

static void
look_at_breakers(const struct snapshot *s, struct reasons *r)
{
	for (int i = 0; i < DEPENDENCIES; i++)
		if (s->breakers[i].state != BREAKER_CLOSED)
			reason(r, "%s is away: %s", dependency_name((enum dependency)i),
			    s->breakers[i].why);
		else if (hangs(s, (enum dependency)i))
			reason(r, "%s: no answer for %.0f s", dependency_name((enum dependency)i),
			    s->total.mysql_waits_seconds);
}

/* A row lock or a parent row on its way is an ordinary moment; if it lasts, the lane is behind. */
static bool
passes_by_itself(const char *why)
{
	return why != NULL &&
	    (strcmp(why, LANE_WHY_ROW_LOCK) == 0 || strcmp(why, LANE_WHY_FOREIGN_KEY) == 0 ||
		strcmp(why, LANE_WHY_REPLAY) == 0);
}

static void
look_at_lane(const struct snapshot_lane *lane, struct reasons *r)
{
	if (lane->state == LANE_HALTED)
		reason(r, "lane %s is halted: %s", lane->name, lane->why != NULL ? lane->why : "?");
	else if (lane->state == LANE_HELD && !passes_by_itself(lane->why))
		reason(r, "lane %s is held: %s", lane->name, lane->why != NULL ? lane->why : "?");
	else if (lane->state == LANE_FREE && lane->why != NULL)
		reason(r, "lane %s is not taken: %s", lane->name, lane->why);
	if (lane->alarm != NULL)
		reason(r, "lane %s has an alarm: %s", lane->name, lane->alarm);
	if (lane->state != LANE_FREE && lane->oldest_pending_seconds > (double)PENDING_MAX_SECONDS)
		reason(r, "lane %s is behind by %.0f s", lane->name, lane->oldest_pending_seconds);
}

static void
look_at_lanes(const struct snapshot *s, struct reasons *r)
{
	struct buf rest = { 0 };
	struct reasons more = { .out = &rest };
	unsigned before = r->count;

	for (size_t i = 0; i < s->lane_count; i++)
		look_at_lane(&s->lanes[i], r->count - before < LISTED_MAX ? r : &more);
	if (more.count > 0)
		reason(r, "and %u more about lanes", more.count);
	buf_deinit(&rest);
}

static bool
finish(struct reasons *r)
{
	buf_add_char(r->out, ']');
	return r->count == 0;
}

bool
health_live(const struct snapshot *s, struct buf *reasons)
{
	struct reasons r = { .out = reasons };

	buf_add_char(reasons, '[');
	look_at_workers(s, &r);
	return finish(&r);
}

static void
require(const struct snapshot *s, enum dependency dependency, struct reasons *r)
{
	const struct snapshot_breaker *b = &s->breakers[dependency];

	if (b->state != BREAKER_CLOSED)
		reason(r, "%s is away: %s", dependency_name(dependency), b->why);
	else if (hangs(s, dependency))
		reason(r, "%s: no answer for %.0f s", dependency_name(dependency),
		    s->total.mysql_waits_seconds);
	else if (!b->worked_ever)
		reason(r, "%s has not answered yet", dependency_name(dependency));
}

bool
health_ready(const struct snapshot *s, struct buf *reasons)
{
	struct reasons r = { .out = reasons };

	buf_add_char(reasons, '[');
	if (s->stopping)
		reason(&r, "stopping");
	if (s->config->ready_requires_mysql)
		require(s, DEPENDENCY_MYSQL, &r);
	if (s->config->ready_requires_redis)
		require(s, DEPENDENCY_REDIS, &r);
	if (s->config->ready_requires_kafka)
		require(s, DEPENDENCY_KAFKA, &r);
	if (s->config->ready_requires_cache)
		require(s, DEPENDENCY_CACHE, &r);
	return finish(&r);
}

bool
health_healthy(const struct snapshot *s, struct buf *reasons)
{
	struct reasons r = { .out = reasons };

	buf_add_char(reasons, '[');
	look_at_workers(s, &r);
	look_at_breakers(s, &r);
	if (s->total.workers_paused > 0)
		reason(&r, "rows have stopped: more than invalidate_lag_max waits for the cache");
	if (s->total.flushes_owed > 0)
		reason(&r,
		    "more than invalidate_lag_max waits for the cache, which is emptied when it "
		    "is back");
	look_at_lanes(s, &r);
	return finish(&r);
}

static bool
found_wrong(const struct snapshot *s)
{
	for (size_t i = 0; i < s->verify.key_count; i++)
		if (s->taken_wall_ms - s->verify.keys[i].seen_wall_ms < WRONG_WARNS_MS)
			return true;
	return false;
}

bool
health_warnings(const struct snapshot *s, struct buf *warnings)
{
	struct reasons r = { .out = warnings };

	buf_add_char(warnings, '[');
	for (int i = 0; i < CACHE_WARNINGS; i++)
		if (s->cache.warns[i])
			reason(&r, "%s", s->cache.warnings[i]);
	for (size_t i = 0; i < s->table_count; i++)
		if (s->tables[i].refused != 0)
			reason(&r, "table %s is not refreshed: %s", s->tables[i].name,
			    s->tables[i].load.why);
	if (s->refresh.stretched > 0)
		reason(&r, "%llu popular values are served over their time",
		    (unsigned long long)s->refresh.stretched);
	if (found_wrong(s))
		reason(&r, "keys were found that hold something else than their row: see `verify`");
	return finish(&r);
}
