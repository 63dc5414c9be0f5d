#include "worker/store/letter_stream.h"

#include "worker/store/dead_letter.h"
#include "worker/store/letter_home.h"
#include "worker/store/letter_orders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS_AT_ONCE = 100, KEEP_BYTES = 64 << 10, WORDS = 3 + 2 * (LETTER_FIELDS + 1) };

struct letter_stream {
	struct letter_home home; /* first: the store's pointer */
	const struct config *config;
	struct redis_options options;
	struct redis *redis;
	struct buf password, payload;
	struct arena arena;
	char name[32];
	struct letter_orders *orders;
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

/* ---- writing ---- */

static void
queue_letter(struct letter_stream *l, const struct entry *e)
{
	struct str words[WORDS] = { STR("XADD"), str_of(l->config->dead_stream), STR("*") };
	struct letter_field fields[LETTER_FIELDS];
	int count = 3;

	buf_reset(&l->payload);
	dead_letter_payload(e, &l->payload);
	letter_entry_fields(e, &l->arena, fields);
	for (size_t i = 0; i < LETTER_FIELDS; i++) {
		words[count++] = str_of(fields[i].name);
		words[count++] = fields[i].value;
	}
	words[count++] = STR("payload");
	words[count++] = (struct str){ l->payload.data, l->payload.len };
	redis_queue(l->redis, count, words);
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
		if (!letter_entry_is(e))
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

static int
stream_orders(struct letter_home *home, struct lane **lanes, size_t count,
    struct lane_order *orders, struct err *err)
{
	(void)err;
	return letter_orders_take(of(home)->orders, lanes, count, orders);
}

/* ---- the home ---- */

static void
stream_free(struct letter_home **home)
{
	struct letter_stream *l;

	if (*home == NULL)
		return;
	l = of(*home);
	letter_orders_free(&l->orders);
	redis_free(&l->redis);
	arena_deinit(&l->arena);
	buf_deinit(&l->password);
	buf_deinit(&l->payload);
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
	l->orders = letter_orders_new(config, l->redis, worker);
	return &l->home;
}
