#include "worker/cache/server_clock.h"

#include "common/clock.h"
#include "common/number.h"

int
server_clock_take(struct server_clock *clock, const struct redis_reply *reply, struct err *err)
{
	uint64_t seconds, us;

	clock->known = false;
	if (reply->type == REDIS_ERROR)
		return redis_reply_error(reply, err);
	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    !number_u64(reply->element[0]->text, &seconds) ||
	    !number_u64(reply->element[1]->text, &us))
		return err_set(err, ERR_RETRY, 0, "TIME answered something else");
	clock->ahead_us = (int64_t)(seconds * 1000000 + us) - clock_us();
	clock->known = true;
	return 0;
}

int
server_clock_ask(struct server_clock *clock, struct redis *redis, struct arena *a, struct err *err)
{
	const struct redis_reply *reply = redis_call(redis, a, err, "TIME");

	return reply == NULL ? -1 : server_clock_take(clock, reply, err);
}

uint64_t
server_clock_at_ms(const struct server_clock *clock, int64_t our_us)
{
	int64_t ms = (our_us + clock->ahead_us) / 1000;

	return clock->known && ms > 0 ? (uint64_t)ms : 0;
}
