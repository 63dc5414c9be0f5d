#include "worker/cache/refresh_step.h"

#include "common/clock.h"
#include "worker/operate/counters.h"

enum { STRETCH_MS = 3000, STRETCH_BEFORE_MS = 1000 };

/* How much longer its value may be kept, and no longer than it takes until somebody looks again; 0:
 * not now. */
static int64_t
stretch_ms(struct refresh_step *s, const struct hot_state *state, bool away, int64_t now_ms)
{
	int64_t turn_ms = (int64_t)(s->r->turn_us / 1000), most_ms = STRETCH_MS + 2 * turn_ms;
	int64_t end_ms = state->expires_ms + s->t->table->refresh.stale_max_ms;

	if (state->expires_ms == 0 || (!away && state->due_ms + 4 * REFRESH_TICK_MS > now_ms))
		return 0;
	if (state->expires_ms - now_ms > STRETCH_BEFORE_MS + turn_ms ||
	    state->lent_ms - now_ms > most_ms / 2)
		return 0;
	if (end_ms <= now_ms || state->lent_ms >= end_ms)
		return 0;
	return end_ms - now_ms < most_ms ? end_ms - now_ms : most_ms;
}

static void
send_stretch(struct refresh_step *s, const struct refresh_item *i, int64_t ms)
{
	struct str text = step_number(s, ms);

	if (s->versioned)
		step_call(s, i, "sluice_stretch", 2, (struct str[]){ STR(""), text });
	else
		step_call(s, i, "stretch", 1, &text);
}

void
refresh_stretch(struct refresh_step *s)
{
	struct refresh_table *t = s->t;
	bool away = !sql_is_open(s->r->sql) || SEE(s->r->counters.mysql_read.failures) > 0;
	int64_t now_ms = clock_ms(), ms;
	size_t sent = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used && sent < REFRESH_BATCH_MAX; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];
		struct refresh_item i = { .k = k, .key = hot_key_text(k) };

		if ((ms = stretch_ms(s, &k->state, away, now_ms)) == 0 ||
		    !refresh_is_hot(t, of, k, now_ms) || !refresh_is_ours(&s->r->share, k->hash))
			continue;
		k->state.lent_ms = now_ms + ms;
		sent++;
		send_stretch(s, &i, ms);
	}
	if (sent > 0 && redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	COUNT(s->r->counters.stretches, sent);
	while (sent-- > 0 && step_answer(s) != NULL)
		;
}
