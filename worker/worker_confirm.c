#include "worker/worker_confirm.h"

#include "common/clock.h"
#include "common/log.h"

#define RETRY_MS 100

bool
worker_confirmed(struct worker *w, const struct batch *b)
{
	struct err err = { 0 };

	if (w->config->wait_replicas == 0 || b->state != BATCH_SEALED || b->writes == 0)
		return true;
	w->confirm_ms = clock_ms() + RETRY_MS;
	if (!w->source->ops->is_open(w->source))
		return false; /* fill opens it */
	if (w->source->ops->confirm(w->source, b->lanes->lane, w->config->wait_replicas, &err) ==
	    0) {
		w->confirm_ms = 0;
		if (breaker_worked(w->source_breaker))
			log_event(LOG_INFO, "replicas_confirm", "worker", "%d", w->index, NULL);
		return true;
	}
	if (!w->source->ops->is_open(w->source)) {
		worker_source_failed(w, &err);
		return false;
	}
	COUNT(w->counters.retries, 1);
	breaker_failed(w->source_breaker, err.text);
	w->confirm_ms = clock_ms() + breaker_wait_ms(w->source_breaker);
	log_event(LOG_WARN, "replicas_missing", "worker", "%d", w->index, "wait_ms", "%lld",
	    (long long)breaker_wait_ms(w->source_breaker), "error", "%s", err.text, NULL);
	return false;
}
