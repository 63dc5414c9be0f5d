#include "worker/cache/refresh_work.h"

#include <stdio.h>
#include <string.h>

/*
 * One key holds the members of a pool, each with the time of its last heartbeat by the server's clock,
 * and expires with the last of them.  Keys of their own, one a member, could only be found by
 * walking over the whole cache.
 */
const char refresh_members_script[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
    "if ARGV[2] == '0' then return redis.call('ZREM', KEYS[1], ARGV[1]) end\n"
    "redis.call('ZADD', KEYS[1], now, ARGV[1])\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return redis.call('ZRANGE', KEYS[1], 0, 255)\n";

/* A member that is silent for so long is gone; each tells of itself once a second. */
#define MEMBER_MS "5000"

static struct redis_reply *
call(struct refresh *r, const char *ms, struct err *err)
{
	char name[160];

	snprintf(name, sizeof(name), "sluice:%.128s:members", r->config->pool);
	struct str key = str_of(name), self = str_of(r->share.self);
	return redis_call(r->redis, &r->arena, err, "EVALSHA %s 1 %b %b %s", r->members_sha, &key,
	    &self, ms);
}

void
refresh_members_look(struct refresh *r)
{
	char(*list)[MEMBER_PROCESS_MAX];
	struct redis_reply *reply;
	struct err err = { 0 };
	size_t count = 0;

	if (!refresh_cache_ready(r))
		return;
	arena_reset(&r->arena);
	reply = call(r, MEMBER_MS, &err);
	if (reply == NULL || reply->type != REDIS_ARRAY) {
		if (!redis_is_open(r->redis) || strstr(err.text, "NOSCRIPT") != NULL)
			refresh_cache_failed(r, &err);
		else
			refresh_members_unknown(r, &err);
		return;
	}
	list = arena_alloc(&r->arena, (reply->count + 1) * sizeof(*list));
	for (size_t i = 0; i < reply->count; i++)
		snprintf(list[count++], sizeof(*list), "%.*s", STR_ARGS(reply->element[i]->text));
	refresh_share_set(r, list, count);
}

void
refresh_members_leave(struct refresh *r)
{
	struct err err = { 0 };

	if (r->members_sha[0] != '\0' && redis_is_open(r->redis))
		(void)call(r, "0", &err);
}
