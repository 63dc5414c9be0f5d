#include "common/mysql.h"
#include "worker/tend.h"

#define BLOCK_MS 1000

/* Is nothing of ours in work, and all that is invalidated recorded? */
static bool
is_finished(const struct worker *w)
{
	size_t i;

	if (w->writing != NULL || w->invalidating != NULL || !batch_is_empty(w->filling))
		return false;
	for (i = 0; i < w->lane_count; i++)
		if (w->lanes[i]->state != LANE_FREE &&
		    (position_compare(w->lanes[i]->answered, w->lanes[i]->done) > 0 ||
			w->lanes[i]->wait_count > 0))
			return false;
	return true;
}

bool
worker_run(struct worker *w)
{
	struct err err = { 0 };

	sql_thread_start();
	while (!SEE(*w->stop))
		worker_turn(w, BLOCK_MS);
	while (SEE(*w->stop) == 1 && !is_finished(w)) {
		worker_turn(w, 50);
		if (w->store->ops->is_open(w->store) && w->writing == NULL)
			tend_record(w, &err);
	}
	tend_leave(w);
	sql_thread_stop();
	return is_finished(w);
}
