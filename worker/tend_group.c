#include "worker/tend.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lanes that are partitions: the consumer group says whose they are.  What it gives is taken up like a
 * lane of the pool (row, look, from `done`), only without a lock; what it takes is dropped where it
 * isn't committed, and let go before the group hears that it is.
 */
enum {
	AGAIN_MS = 5000, /* a lane that another owner wrote may be the group's next news */
	TOPICS_MS = 10000
};

static void
add_lane(struct worker *w, struct lane *lane)
{
	CHECK(w->lane_count < WORKER_LANES_MAX);
	w->lanes[w->lane_count++] = lane;
	lane->state = LANE_FREE;
	lane->unowned_ms = 0;
	SHOW(lane->shown_worker, w->index);
}

static void
take_out(struct worker *w, size_t place)
{
	memmove(&w->lanes[place], &w->lanes[place + 1],
	    (w->lane_count - place - 1) * sizeof(struct lane *));
	w->lane_count--;
}

/* Another worker of ours may not have heard yet that it lost it. */
static bool
hold(struct worker *w, struct lane *lane)
{
	int nobody = 0;

	return atomic_compare_exchange_strong(&lane->holder, &nobody, w->index + 1);
}

static void
take_awaited(struct worker *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->awaited.count; i++) {
		struct lane *lane = w->awaited.lanes[i];

		if (hold(w, lane))
			add_lane(w, lane);
		else
			w->awaited.lanes[kept++] = lane;
	}
	w->awaited.count = kept;
}

static void
log_refused(const struct worker *w, const struct group_partition *p, const char *why)
{
	log_event(LOG_ERROR, "partition_refused", "worker", "%d", w->index, "topic", "%s", p->topic,
	    "partition", "%d", p->partition, "error", "%s", why, "next", "%s", "nobody reads it",
	    NULL);
}

static void
assign(struct worker *w, const struct group_news *news)
{
	for (size_t i = 0; i < news->count; i++) {
		const struct group_partition *p = &news->list[i];
		const struct config_source *source = config_source_of_topic(w->config, p->topic);
		struct lane *lane = source != NULL ?
		    lane_table_partition(w->table, source, p->topic, p->partition) :
		    NULL;

		if (source == NULL)
			log_refused(w, p, "no source of the config names its topic");
		else if (source->write == w->invalidates)
			log_refused(w, p,
			    "the topic is of a source of the other kind (`write`); "
			    "no pattern may fit topics of both");
		else if (lane == NULL)
			log_refused(w, p, "there are too many lanes, or its name is too long");
		else if (w->lane_count + w->awaited.count >= WORKER_LANES_MAX)
			log_refused(w, p, "its worker has as many lanes as it can; add workers");
		else
			w->awaited.lanes[w->awaited.count++] = lane;
	}
	take_awaited(w);
	log_event(LOG_INFO, "partitions_assigned", "worker", "%d", w->index, "count", "%zu",
	    news->count, "lanes", "%zu", w->lane_count, NULL);
}

static bool
is_named(const struct group_news *news, const struct lane *lane)
{
	for (size_t i = 0; i < news->count; i++)
		if (news->list[i].partition == lane->partition &&
		    strcmp(news->list[i].topic, lane->stream) == 0)
			return true;
	return false;
}

/* What is committed and not yet invalidated is invalidated by the next owner, from `done`. */
static void
let_go(struct worker *w, struct lane *lane, const struct group_news *news)
{
	struct source_look look = { 0 };
	struct err err = { 0 };
	struct batch_lane *bl;

	if (lane->state != LANE_FREE) {
		if (!news->lost)
			w->source->ops->release(w->source, lane, &look, &err);
		tend_log(w, news->lost ? LOG_WARN : LOG_INFO, "lane_given", lane,
		    news->lost ? "the group lost us" : "the group gives it to another member",
		    "its next owner goes on from the ledger");
	}
	worker_forget_invalidating(w, lane);
	bl = w->writing != NULL && w->writing->state != BATCH_SEALED ?
	    batch_lane_find(w->writing, lane) :
	    NULL;
	if (bl != NULL)
		bl->after = (struct position){ UINT64_MAX, UINT64_MAX };
	worker_drop_unwritten(w, lane);
	w->store->ops->disown(w->store, lane, &err);
	w->source->ops->close_lane(w->source, lane);
	lane_free(lane);
	atomic_store(&lane->holder, 0);
}

/* The worker is between two batches: a COMMIT that was sent is answered, or its connection is gone. */
static void
revoke(struct worker *w, const struct group_news *news)
{
	struct err err = { 0 };

	if (!news->lost && w->store->ops->is_open(w->store) && !w->unsettled)
		tend_record(w, &err);
	for (size_t i = w->lane_count; i-- > 0;) {
		struct lane *lane = w->lanes[i];

		if (!is_named(news, lane))
			continue;
		let_go(w, lane, news);
		take_out(w, i);
	}
	for (size_t i = w->awaited.count; i-- > 0;)
		if (is_named(news, w->awaited.lanes[i]))
			w->awaited.lanes[i] = w->awaited.lanes[--w->awaited.count];
	tend_count_owned(w);
	log_event(news->lost ? LOG_WARN : LOG_INFO, "partitions_revoked", "worker", "%d", w->index,
	    "count", "%zu", news->count, "lanes", "%zu", w->lane_count, "lost", "%s",
	    news->lost ? "yes" : "no", NULL);
}

void
tend_group(struct worker *w)
{
	struct group_news news;

	if (w->table == NULL)
		return;
	w->source->ops->serve(w->source);
	while (w->source->ops->news(w->source, &news)) {
		if (news.revoked)
			revoke(w, &news);
		else
			assign(w, &news);
		w->source->ops->obeyed(w->source);
		w->tended_ms = 0;
	}
	take_awaited(w);
}

/* ---- taking up ---- */

/* More partitions than before: a key may have gone to another lane, past what waits in this one. */
void
tend_count_partitions(struct worker *w, struct lane *lane, unsigned before)
{
	char text[200];

	if (before == 0 || lane->lanes_of_source <= before)
		return;
	snprintf(text, sizeof(text),
	    "topic %s has %u partitions and had %u: changes of one key may come by two lanes, in "
	    "any "
	    "order",
	    lane->stream, lane->lanes_of_source, before);
	tend_alarm(w, lane, LANE_WHY_PARTITIONS, text);
}

unsigned
tend_partitions_before(struct worker *w, const struct lane *lane, struct err *err)
{
	char prefix[LANE_NAME_MAX + 1];
	struct ledger_place *places;
	unsigned least = 0;
	size_t count;

	snprintf(prefix, sizeof(prefix), "%s/%s/%s/", w->config->pool, w->config->kafka.name,
	    lane->stream);
	if (w->store->ops->list(w->store, prefix, &places, &count, err) != 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (places[i].lanes_of_source != 0 &&
		    (least == 0 || places[i].lanes_of_source < least))
			least = places[i].lanes_of_source;
	free(places);
	return least;
}

static bool
is_beside(const struct lane *lane, struct lane **lanes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(lanes[i]->stream, lane->stream) == 0)
			return true;
	return false;
}

static void
tell_new(struct lane *lane, unsigned before)
{
	lane->came_later |= before != 0 && lane->partition >= (int)before;
}

/* By the ledger, as it is before the first of them is taken: that counts anew. */
static void
find_new(struct worker *w, struct lane **came, size_t count)
{
	unsigned before = 0;

	for (size_t i = 0; i < count; i++) {
		struct err err = { 0 };

		if (i == 0 || strcmp(came[i]->stream, came[i - 1]->stream) != 0)
			before = tend_partitions_before(w, came[i], &err);
		tell_new(came[i], before);
	}
}

/* A topic may have grown, or be another one, while its lanes stayed ours: those beside the lanes that
 * came, or all. */
static void
look_at_topics(struct worker *w, struct lane **came, size_t count)
{
	for (size_t i = 0; i < w->lane_count; i++) {
		struct lane *lane = w->lanes[i];
		unsigned before = lane->lanes_of_source;

		if (lane->state == LANE_FREE || before == 0 ||
		    (count > 0 && !is_beside(lane, came, count)))
			continue;
		lane->lanes_of_source = w->source->ops->siblings(w->source, lane);
		if (lane->lanes_of_source == 0)
			lane->lanes_of_source = before;
		for (size_t j = 0; j < count; j++)
			if (strcmp(came[j]->stream, lane->stream) == 0)
				tell_new(came[j], before);
		tend_count_partitions(w, lane, before);
	}
}

static bool
is_to_be_taken(struct worker *w, struct lane *lane)
{
	if (lane->state != LANE_FREE ||
	    (lane->unowned_ms != 0 && clock_ms() - lane->unowned_ms < AGAIN_MS))
		return false;
	lane->lanes_of_source = w->source->ops->siblings(w->source, lane);
	lane->unowned_ms = clock_ms(); /* where it can't be taken */
	return lane->lanes_of_source != 0;
}

int
tend_assigned(struct worker *w, struct err *err)
{
	struct lane *lanes[WORKER_LANES_MAX];
	size_t count = 0;

	if (SEE(*w->stop) || !w->source->ops->is_open(w->source))
		return 0;
	for (size_t i = 0; i < w->lane_count; i++)
		if (is_to_be_taken(w, w->lanes[i]))
			lanes[count++] = w->lanes[i];
	if (count > 0) {
		find_new(w, lanes, count);
		look_at_topics(w, lanes, count);
	} else if (w->tended_ms == 0 || clock_ms() - w->topics_ms >= TOPICS_MS) {
		w->topics_ms = clock_ms();
		look_at_topics(w, NULL, 0);
	}
	return count > 0 ? tend_take(w, lanes, count, err) : 0;
}
