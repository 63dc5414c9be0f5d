#include "worker/store/letter_stream.h"

#include "common/clock.h"
#include "common/number.h"
#include "worker/store/dead_letter.h"
#include "worker/store/letter_home.h"
#include "worker/store/order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LETTERS_AT_ONCE = 100, KEEP_BYTES = 64 << 10, WORDS = 3 + 2 * 8 };

struct seen {
	const struct lane *lane;
	uint64_t order_ms;
};

struct letter_stream {
	struct letter_home home; /* first: the store's pointer */
	const struct config *config;
	struct redis_options options;
	struct redis *redis;
	struct buf password, payload, orders_key;
	struct arena arena;
	char name[32];
	struct seen *seen; /* which order each lane obeyed last */
	size_t seen_count;
};

static struct letter_stream *
of(struct letter_home *home)
{
	return (struct letter_stream *)home;
}

static const char *
password_of(void *arg)
{
	struct letter_stream *l = arg;

	return config_secret(&l->config->redis.password, &l->password);
}

void
letter_orders_key(const char *pool, struct buf *out)
{
	buf_printf(out, "sluice:%s:orders", pool);
}

/* ---- writing ---- */

static struct str
number_word(struct arena *a, long long n)
{
	return str_of(arena_printf(a, "%lld", n));
}

static void
queue_letter(struct letter_stream *l, const struct entry *e)
{
	char id[POSITION_TEXT];
	struct str words[WORDS] = { STR("XADD"), str_of(l->config->dead_stream), STR("*") };
	struct str operation = str_of(e->change_count > 0 ? change_op_name(e->changes[0].op) : "");

	buf_reset(&l->payload);
	dead_letter_payload(e, &l->payload);
	const struct str pairs[] = { STR("lane"), str_of(e->lane->name), STR("entry"),
		str_of(entry_id_text(e, id)), STR("table"), dead_letter_table(e), STR("operation"),
		operation, STR("reason"), str_of(e->refusal.reason), STR("message"),
		str_of(e->refusal.text != NULL ? e->refusal.text : ""), STR("created_at"),
		number_word(&l->arena, (long long)clock_wall_ms()), STR("payload"),
		{ l->payload.data, l->payload.len } };

	memcpy(words + 3, pairs, sizeof(pairs));
	redis_queue(l->redis, WORDS, words);
}

/* All replies to what was queued; the first error answer is the result. */
static int
hear(struct letter_stream *l, size_t replies, struct err *err)
{
	int status = 0;

	if (redis_flush(l->redis, err) != 0)
		return -1;
	for (; replies > 0; replies--) {
		struct redis_reply *reply;
		int got = redis_receive(l->redis, &l->arena, l->options.timeout_ms, &reply, err);

		if (got <= 0) {
			redis_close(l->redis);
			return got < 0 ?
			    -1 :
			    err_set(err, ERR_RETRY, ETIMEDOUT,
				"redis: no answer to XADD within %d ms", l->options.timeout_ms);
		}
		if (status == 0 && reply->type == REDIS_ERROR)
			status = redis_reply_error(reply, err);
	}
	return status;
}

static int
open(struct letter_stream *l, struct err *err)
{
	arena_reset(&l->arena);
	return redis_is_open(l->redis) ? 0 : redis_open(l->redis, err);
}

static bool
is_letter(const struct entry *e)
{
	return e->refusal.reason != NULL && !e->done_before;
}

static int
stream_write(struct letter_home *home, const struct entry *first, unsigned *written,
    struct err *err)
{
	struct letter_stream *l = of(home);
	size_t queued = 0;

	*written = 0;
	if (open(l, err) != 0)
		return -1;
	for (const struct entry *e = first; e != NULL; e = e->next_kept) {
		if (!is_letter(e))
			continue;
		queue_letter(l, e);
		++*written;
		if (++queued < LETTERS_AT_ONCE && l->payload.len < KEEP_BYTES)
			continue;
		if (hear(l, queued, err) != 0)
			return err_prefix(err, "dead letters");
		queued = 0;
		arena_reset(&l->arena);
	}
	if (queued > 0 && hear(l, queued, err) != 0)
		return err_prefix(err, "dead letters");
	buf_shrink(&l->payload, KEEP_BYTES);
	return 0;
}

/* ---- orders ---- */

static struct seen *
seen_of(struct letter_stream *l, const struct lane *lane, bool *fresh)
{
	for (size_t i = 0; i < l->seen_count; i++)
		if (l->seen[i].lane == lane)
			return &l->seen[i];
	*fresh = true;
	CHECK(l->seen_count < config_lane_count(l->config));
	l->seen[l->seen_count] = (struct seen){ .lane = lane };
	return &l->seen[l->seen_count++];
}

/* "1732000000000 resume": every process obeys it, those that run when it is given. */
static void
take_order(struct letter_stream *l, struct lane *lane, const struct redis_reply *reply,
    struct lane_order *order)
{
	bool fresh = false;
	struct seen *seen = seen_of(l, lane, &fresh);
	const char *blank =
	    reply->type == REDIS_STRING ? memchr(reply->text.data, ' ', reply->text.len) : NULL;
	uint64_t at_ms;

	*order = (struct lane_order){ .kind = ORDER_NONE };
	if (blank == NULL ||
	    !number_u64((struct str){ reply->text.data, (size_t)(blank - reply->text.data) },
		&at_ms) ||
	    at_ms <= seen->order_ms)
		return;
	seen->order_ms = at_ms;
	if (!fresh)
		order_parse(str_of(blank + 1), order);
}

static int
stream_orders(struct letter_home *home, struct lane **lanes, size_t count,
    struct lane_order *orders, struct err *err)
{
	struct letter_stream *l = of(home);
	struct redis_reply *reply;
	struct str *words;

	memset(orders, 0, count * sizeof(*orders));
	/* while it is away nothing is ordered, and nothing need wait for that */
	if (open(l, err) != 0) {
		err_clear(err);
		return 0;
	}
	words = arena_alloc(&l->arena, (2 + count) * sizeof(*words));
	words[0] = STR("HMGET");
	words[1] = (struct str){ l->orders_key.data, l->orders_key.len };
	for (size_t i = 0; i < count; i++)
		words[2 + i] = str_of(lanes[i]->name);
	redis_queue(l->redis, (int)(2 + count), words);
	if (redis_flush(l->redis, err) != 0 ||
	    redis_receive(l->redis, &l->arena, l->options.timeout_ms, &reply, err) <= 0) {
		redis_close(l->redis);
		err_clear(err);
		return 0;
	}
	for (size_t i = 0; reply->type == REDIS_ARRAY && i < count && i < reply->count; i++)
		take_order(l, lanes[i], reply->element[i], &orders[i]);
	return 0;
}

/* ---- the home ---- */

static void
stream_free(struct letter_home **home)
{
	struct letter_stream *l;

	if (*home == NULL)
		return;
	l = of(*home);
	redis_free(&l->redis);
	arena_deinit(&l->arena);
	buf_deinit(&l->password);
	buf_deinit(&l->payload);
	buf_deinit(&l->orders_key);
	free(l->seen);
	free(l);
	*home = NULL;
}

static const struct letter_home_ops stream_ops = {
	.write = stream_write,
	.orders = stream_orders,
	.free = stream_free,
};

struct letter_home *
letter_stream_new(const struct config *config, int worker)
{
	struct letter_stream *l = calloc(1, sizeof(*l));
	const struct config_redis *redis = &config->redis;

	CHECK(l != NULL);
	l->home.ops = &stream_ops;
	l->config = config;
	buf_init(&l->password);
	buf_init(&l->payload);
	buf_init(&l->orders_key);
	letter_orders_key(config->pool, &l->orders_key);
	arena_init(&l->arena, KEEP_BYTES);
	snprintf(l->name, sizeof(l->name), "sluice-dead-%d", worker);
	l->options = (struct redis_options){
		.host = redis->host,
		.port = redis->port,
		.socket = redis->socket,
		.user = redis->user,
		.password = password_of,
		.password_arg = l,
		.db = redis->db,
		.client_name = l->name,
		.connect_timeout_ms = redis->connect_timeout_ms,
		.timeout_ms = redis->timeout_ms,
	};
	l->redis = redis_new(&l->options);
	l->seen = calloc(config_lane_count(config) + 1, sizeof(*l->seen));
	CHECK(l->seen != NULL);
	return &l->home;
}
