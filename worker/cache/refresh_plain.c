#include "worker/cache/refresh_work.h"

/*
 * Plain keys: what is there is known by its hash, so that nothing large goes over the wire.  A value
 * with more time than it had to be due was written meanwhile, be it the same.
 *	see most | stretch ms | string stamp ttl most value | hash stamp ttl most field value...
 */
const char refresh_plain_script[] =
    "local key, what = KEYS[1], ARGV[1]\n"
    "local function seen()\n"
    "  local kind = redis.call('TYPE', key).ok\n"
    "  if kind == 'string' then return redis.sha1hex('s' .. redis.call('GET', key)) end\n"
    "  if kind ~= 'hash' then return nil end\n"
    "  local parts = redis.call('HGETALL', key)\n"
    "  for i, part in ipairs(parts) do parts[i] = #part .. ':' .. part end\n"
    "  return redis.sha1hex('h' .. table.concat(parts))\n"
    "end\n"
    "local left = redis.call('PTTL', key)\n"
    "if left == -2 then return {'ABSENT'} end\n"
    "if what == 'see' then\n"
    "  if left == -1 or left > tonumber(ARGV[2]) then return {'FRESH', left} end\n"
    "  local sha = seen()\n"
    "  if not sha then return {'FRESH', -1} end\n"
    "  return {'LOAD', '', sha, ''}\n"
    "end\n"
    "if what == 'stretch' then\n"
    "  if left >= 0 and left < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end\n"
    "  return {'OK'}\n"
    "end\n"
    "if left == -1 or left > tonumber(ARGV[4]) or seen() ~= ARGV[2] then return {'CHANGED'} end\n"
    "if what == 'string' then\n"
    "  redis.call('SET', key, ARGV[5], 'PX', ARGV[3])\n"
    "  return {'OK'}\n"
    "end\n"
    "redis.call('UNLINK', key)\n"
    "for i = 5, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end\n"
    "redis.call('PEXPIRE', key, ARGV[3])\n"
    "return {'OK'}\n";
