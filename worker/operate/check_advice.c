#include "worker/operate/check_advice.h"

#include "common/number.h"

enum { BUSY_OPS = 50000 };

static void
advise_policy(struct check *c, struct str info, bool same)
{
	struct str policy = redis_info(info, "maxmemory_policy");
	uint64_t max = 0;

	redis_info_number(info, "maxmemory", &max);
	if (max == 0) {
		if (!same)
			check_hint(c, 0, 0,
			    "cache has no maxmemory: it grows until the machine has no memory; add "
			    "`maxmemory 2gb` (or so) and `maxmemory-policy allkeys-lfu`");
	} else if (str_equal(policy, STR("noeviction"))) {
		check_hint(c, 0, 0,
		    "cache refuses fills once it is full (maxmemory-policy noeviction); add "
		    "`maxmemory-policy %s`",
		    same ? "volatile-lfu" : "allkeys-lfu");
	}
}

static void
advise_threads(struct check *c, struct redis *redis, struct arena *a, struct str info)
{
	struct redis_reply *reply = redis_call(redis, a, NULL, "CONFIG GET io-threads");
	uint64_t ops = 0;

	redis_info_number(info, "instantaneous_ops_per_sec", &ops);
	if (ops < BUSY_OPS || reply == NULL || reply->type != REDIS_ARRAY || reply->count != 2 ||
	    !str_equal(reply->element[1]->text, STR("1")))
		return;
	check_hint(c, 0, 0,
	    "cache answers %llu commands a second with one thread; add `io-threads 4` on a machine "
	    "with as many cores",
	    (unsigned long long)ops);
}

void
check_advice(struct check *c, struct redis *redis, struct arena *a, bool same)
{
	struct redis_reply *info = redis_call(redis, a, NULL, "INFO");

	if (info == NULL || info->type != REDIS_STRING)
		return;
	advise_policy(c, info->text, same);
	if (redis_is_open(redis))
		advise_threads(c, redis, a, info->text);
}
