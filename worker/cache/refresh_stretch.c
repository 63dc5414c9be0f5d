#include "worker/cache/refresh_step.h"

#include "common/clock.h"
#include "worker/operate/counters.h"

enum { STRETCH_MS = 3000, STRETCH_BEFORE_MS = 1000 };

/* A turn may take so long; one that has to connect may have to wait for that. */
static int64_t
turn_ms(const struct refresh *r)
{
	int64_t ms = (int64_t)(r->turn_us / 1000), connect_ms = r->own.mysql.connect_timeout_ms;

	return !sql_is_open(r->sql) && connect_ms > ms ? connect_ms : ms;
}

/* How much longer its value may be kept, and no longer than it takes until somebody looks again; 0:
 * not now. */
static int64_t
stretch_ms(struct refresh_step *s, const struct hot_state *state, bool away, int64_t now_ms)
{
	int64_t before_ms =
	    s->waits ? KEEP_EVERY_MS + REFRESH_TICK_MS : STRETCH_BEFORE_MS + turn_ms(s->r);
	int64_t most_ms = STRETCH_MS + 2 * turn_ms(s->r);
	int64_t end_ms = state->expires_ms + s->t->table->refresh.stale_max_ms;

	if (state->expires_ms == 0 || (!away && state->due_ms + 4 * REFRESH_TICK_MS > now_ms))
		return 0;
	if (state->expires_ms - now_ms > before_ms || state->lent_ms - now_ms > most_ms / 2)
		return 0;
	if (end_ms <= now_ms || state->lent_ms >= end_ms)
		return 0;
	return end_ms - now_ms < most_ms ? end_ms - now_ms : most_ms;
}

/* What is just being loaded of that key, or NULL. */
static struct refresh_item *
item_of(const struct refresh_step *loading, const struct hot_key *k)
{
	for (size_t n = 0; loading != NULL && n < loading->count; n++)
		if (loading->items[n].k == k && loading->items[n].load)
			return &loading->items[n];
	return NULL;
}

/* Returns how many commands that is.  Where its load is waited for the lease is given back, for which
 * readers would wait, and the value that comes may be written over what was given more time. */
static size_t
send_stretch(struct refresh_step *s, const struct refresh_item *i, int64_t ms)
{
	struct refresh_item *loading = item_of(s->r->loading, i->k);
	struct str text = step_number(s, ms);
	size_t sent = 1;

	if (loading != NULL && loading->most_ms < ms + 100)
		loading->most_ms = ms + 100;
	if (loading != NULL && s->versioned && !loading->gave_back) {
		loading->gave_back = true;
		step_call(s, i, "sluice_release", 1, &loading->token);
		sent++;
	}
	if (s->versioned)
		step_call(s, i, "sluice_stretch", 2, (struct str[]){ STR(""), text });
	else
		step_call(s, i, "stretch", 1, &text);
	return sent;
}

void
refresh_stretch(struct refresh_step *s)
{
	struct refresh_table *t = s->t;
	bool away =
	    s->waits || !sql_is_open(s->r->sql) || SEE(s->r->counters.mysql_read.failures) > 0;
	int64_t now_ms = clock_ms(), ms;
	size_t sent = 0, commands = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used && sent < REFRESH_BATCH_MAX; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];
		struct refresh_item i = { .k = k, .key = hot_key_text(k) };

		if ((ms = stretch_ms(s, &k->state, away, now_ms)) == 0 ||
		    !refresh_is_hot(t, of, k, now_ms) || !refresh_is_ours(&s->r->share, k->hash))
			continue;
		k->state.lent_ms = now_ms + ms;
		commands += send_stretch(s, &i, ms);
		sent++;
	}
	if (sent > 0 && redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	COUNT(s->r->counters.stretches, sent);
	while (commands-- > 0 && step_answer(s) != NULL)
		;
}
