#include "worker/cache/refresh_step.h"

#include "common/clock.h"

#include <string.h>

bool
refresh_is_hot(const struct refresh_table *t, const struct hot_keys *h, const struct hot_key *k,
    int64_t now_ms)
{
	return h == &t->warm ||
	    hot_key_rate(h, k, now_ms) * 60 >= (double)t->table->refresh.threshold;
}

/* ---- when ---- */

int64_t
refresh_lead_least_ms(int64_t ttl_ms)
{
	return ttl_ms / 16 < REFRESH_FLOOR_MS ? ttl_ms / 16 : REFRESH_FLOOR_MS;
}

/* What is due waits for the turn that goes on: of other tables, of who is there. */
static int64_t
floor_ms(const struct refresh_step *s)
{
	return refresh_lead_least_ms(s->t->table->refresh.ttl_ms) + (int64_t)(s->r->turn_us / 1000);
}

int64_t
step_lead_ms(struct refresh_step *s, const struct refresh_item *i, int64_t ttl_ms)
{
	return xfetch_lead_ms(&s->r->random, s->t->load_us / 1000,
	    hot_key_rate(i->of, i->k, clock_ms()), floor_ms(s), ttl_ms);
}

static void
bring_forward(struct hot_state *state, int64_t least_ms)
{
	if (state->expires_ms != 0 && state->due_ms > state->expires_ms - least_ms)
		state->due_ms = state->expires_ms - least_ms;
}

void
step_bring_forward(struct refresh_step *s)
{
	struct refresh_table *t = s->t;
	int64_t least_ms = (int64_t)(t->load_us / 1000) + floor_ms(s);

	if (least_ms > t->table->refresh.ttl_ms / 2)
		least_ms = t->table->refresh.ttl_ms / 2;
	if (least_ms > 2 * t->least_ms && t->least_ms != 0) {
		for (size_t n = 0; n < t->top_count; n++)
			bring_forward(&t->top[n]->state, least_ms);
		for (size_t n = 0; n < t->warm.used; n++)
			bring_forward(&t->warm.keys[n].state, least_ms);
	}
	t->least_ms = least_ms;
}

void
step_set_expiry(struct refresh_step *s, struct refresh_item *i, int64_t left_ms)
{
	struct hot_state *state = &i->k->state;
	int64_t now_ms = clock_ms(), ttl_ms = s->t->table->refresh.ttl_ms, again_ms;

	state->expires_ms = now_ms + left_ms;
	state->due_ms = state->expires_ms - step_lead_ms(s, i, ttl_ms);
	state->looked_ms = now_ms;
	/* the application may write it anew meanwhile, with another TTL */
	again_ms = now_ms + (ttl_ms / 2 > LOOK_AGAIN_MS ? ttl_ms / 2 : LOOK_AGAIN_MS);
	if (state->due_ms > again_ms && left_ms > 2 * ttl_ms)
		state->due_ms = again_ms;
}

void
item_look_again(struct refresh_item *i, int64_t in_ms)
{
	i->k->state.due_ms = clock_ms() + in_ms;
	i->k->state.reload = false;
}

/* ---- commands to the cache ---- */

struct str
step_number(struct refresh_step *s, int64_t n)
{
	return str_of(arena_printf(&s->r->arena, "%lld", (long long)n));
}

void
step_call(struct refresh_step *s, const struct refresh_item *i, const char *name, size_t argc,
    const struct str *argv)
{
	struct str words[LIBRARY_WORDS + 8];
	int count = 0;

	CHECK(argc <= 8);
	if (s->versioned) {
		count = library_call(&s->r->library, str_of(name), i->key, words);
	} else {
		words[count++] = STR("EVALSHA");
		words[count++] = str_of(s->r->script_sha);
		words[count++] = STR("1");
		words[count++] = i->key;
		words[count++] = str_of(name);
	}
	for (size_t j = 0; j < argc; j++)
		words[count++] = argv[j];
	redis_queue(s->r->redis, count, words);
}

struct redis_reply *
step_answer(struct refresh_step *s)
{
	struct redis_reply *reply = NULL;
	int got =
	    redis_receive(s->r->redis, &s->r->arena, s->r->own.cache.timeout_ms, &reply, &s->err);

	if (got == 0)
		err_set(&s->err, ERR_RETRY, 0, "the cache did not answer");
	if (got > 0 && reply->type != REDIS_ERROR)
		return reply;
	if (got > 0 && !library_is_lost(reply->text) &&
	    strncmp(reply->text.data, "WRONGTYPE", 9) == 0)
		return reply;
	if (got > 0)
		redis_reply_error(reply, &s->err);
	refresh_cache_failed(s->r, &s->err);
	return NULL;
}

struct str
reply_word(const struct redis_reply *reply, size_t at)
{
	if (reply->type == REDIS_ARRAY)
		return at < reply->count ? reply->element[at]->text : (struct str){ NULL, 0 };
	return at == 0 ? reply->text : (struct str){ NULL, 0 };
}

int64_t
reply_number(const struct redis_reply *reply, size_t at)
{
	return reply->type == REDIS_ARRAY && at < reply->count ? reply->element[at]->integer : 0;
}
