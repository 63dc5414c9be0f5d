#include "worker/cache/refresh_step.h"

#include "common/clock.h"
#include "worker/operate/counters.h"

enum { STRETCH_MS = 3000, STRETCH_BEFORE_MS = 1000 };

void
refresh_stretch(struct refresh_step *s)
{
	struct refresh_table *t = s->t;
	int64_t now_ms = clock_ms(), stale_ms = t->table->refresh.stale_max_ms;
	struct str stretch_ms = step_number(s, STRETCH_MS);
	bool away = !sql_is_open(s->r->sql) || SEE(s->r->counters.mysql_read.failures) > 0;
	size_t sent = 0;

	for (size_t n = 0; n < t->top_count + t->warm.used && sent < REFRESH_BATCH_MAX; n++) {
		bool read = n < t->top_count;
		struct hot_keys *of = read ? &t->read : &t->warm;
		struct hot_key *k = read ? t->top[n] : &t->warm.keys[n - t->top_count];
		struct hot_state *state = &k->state;
		struct refresh_item i = { .k = k, .key = hot_key_text(k) };

		if ((!away && state->due_ms + 4 * REFRESH_TICK_MS > now_ms) ||
		    state->expires_ms == 0 || state->expires_ms - now_ms > STRETCH_BEFORE_MS ||
		    now_ms - state->expires_ms + STRETCH_MS > stale_ms ||
		    state->lent_ms - now_ms > STRETCH_MS / 2 || !refresh_is_hot(t, of, k, now_ms) ||
		    !refresh_is_ours(&s->r->share, k->hash))
			continue;
		state->lent_ms = now_ms + STRETCH_MS;
		sent++;
		if (s->versioned)
			step_call(s, &i, "sluice_stretch", 2,
			    (struct str[]){ STR(""), stretch_ms });
		else
			step_call(s, &i, "stretch", 1, &stretch_ms);
	}
	if (sent > 0 && redis_flush(s->r->redis, &s->err) != 0) {
		refresh_cache_failed(s->r, &s->err);
		return;
	}
	COUNT(s->r->counters.stretches, sent);
	while (sent-- > 0 && step_answer(s) != NULL)
		;
}
