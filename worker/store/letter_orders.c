#include "worker/store/letter_orders.h"

#include "common/number.h"
#include "worker/store/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	const struct lane *lane;
	uint64_t order_ms;
};

struct letter_orders {
	const struct config *config;
	struct redis_options options; /* of our own connection */
	struct buf password, key;
	char name[32];
	struct redis *redis;
	bool own;
	struct arena arena;
	struct seen *seen; /* which order each lane obeyed last */
	size_t seen_count;
};

void
letter_orders_key(const char *pool, struct buf *out)
{
	buf_printf(out, "sluice:%s:orders", pool);
}

static struct seen *
seen_of(struct letter_orders *o, const struct lane *lane, bool *fresh)
{
	for (size_t i = 0; i < o->seen_count; i++)
		if (o->seen[i].lane == lane)
			return &o->seen[i];
	*fresh = true;
	CHECK(o->seen_count < lanes_max(o->config));
	o->seen[o->seen_count] = (struct seen){ .lane = lane };
	return &o->seen[o->seen_count++];
}

static void
take_order(struct letter_orders *o, struct lane *lane, const struct redis_reply *reply,
    struct lane_order *order)
{
	bool fresh = false;
	struct seen *seen = seen_of(o, lane, &fresh);
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

/* NULL: it is away, and nothing need wait for that. */
static struct redis_reply *
ask(struct letter_orders *o, struct lane **lanes, size_t count)
{
	struct redis_reply *reply;
	struct str *words;

	arena_reset(&o->arena);
	if (!redis_is_open(o->redis) && redis_open(o->redis, NULL) != 0)
		return NULL;
	words = arena_alloc(&o->arena, (2 + count) * sizeof(*words));
	words[0] = STR("HMGET");
	words[1] = (struct str){ o->key.data, o->key.len };
	for (size_t i = 0; i < count; i++)
		words[2 + i] = str_of(lanes[i]->name);
	redis_queue(o->redis, (int)(2 + count), words);
	if (redis_flush(o->redis, NULL) == 0 &&
	    redis_receive(o->redis, &o->arena, config_orders_server(o->config)->timeout_ms, &reply,
		NULL) > 0)
		return reply;
	redis_close(o->redis);
	return NULL;
}

int
letter_orders_take(struct letter_orders *o, struct lane **lanes, size_t count,
    struct lane_order *orders)
{
	struct redis_reply *reply = ask(o, lanes, count);

	memset(orders, 0, count * sizeof(*orders));
	if (reply == NULL || reply->type != REDIS_ARRAY)
		return 0;
	for (size_t i = 0; i < count && i < reply->count; i++)
		take_order(o, lanes[i], reply->element[i], &orders[i]);
	return 0;
}

static const char *
password_of(void *arg)
{
	struct letter_orders *o = arg;

	return config_secret(&config_orders_server(o->config)->password, &o->password);
}

static void
connect_alone(struct letter_orders *o, int worker)
{
	const struct config_redis *server = config_orders_server(o->config);

	snprintf(o->name, sizeof(o->name), "sluice-orders-%d", worker);
	o->options = (struct redis_options){
		.host = server->host,
		.port = server->port,
		.socket = server->socket,
		.user = server->user,
		.password = password_of,
		.password_arg = o,
		.db = server->db,
		.client_name = o->name,
		.connect_timeout_ms = server->connect_timeout_ms,
		.timeout_ms = server->timeout_ms,
	};
	o->redis = redis_new(&o->options);
	o->own = true;
}

struct letter_orders *
letter_orders_new(const struct config *config, struct redis *redis, int worker)
{
	struct letter_orders *o = calloc(1, sizeof(*o));

	CHECK(o != NULL);
	o->config = config;
	buf_init(&o->password);
	buf_init(&o->key);
	letter_orders_key(config->pool, &o->key);
	arena_init(&o->arena, 0);
	o->seen = calloc(lanes_max(config) + 1, sizeof(*o->seen));
	CHECK(o->seen != NULL);
	o->redis = redis;
	if (redis == NULL)
		connect_alone(o, worker);
	return o;
}

void
letter_orders_free(struct letter_orders **orders)
{
	struct letter_orders *o = *orders;

	if (o == NULL)
		return;
	if (o->own)
		redis_free(&o->redis);
	arena_deinit(&o->arena);
	buf_deinit(&o->password);
	buf_deinit(&o->key);
	free(o->seen);
	free(o);
	*orders = NULL;
}
