#include "worker/worker.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/account.h"
#include "worker/rate.h"
#include "worker/tend.h"
#include "worker/waiting.h"
#include "worker/worker_answers.h"
#include "worker/worker_batches.h"
#include "worker/worker_confirm.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define BLOCK_MS 1000 /* the longest XREAD; also how soon a lane that was just owned is read */
#define PING_MS 3000
#define REPLAY_BLOCK_MS 20
#define UNSURE_MS 100 /* until what must be looked at first is */
#define SHORT_MS 1    /* statements answered within it are not worth reading meanwhile */
#define WAKE_MS 1000  /* how often at least a wait is shown to last */

/*
 * ---- the data path, top to bottom ----
 *
 *	worker_turn
 *	  store_ready	connect, settle what became of the last batch
 *	  tend_lanes	ownership, orders, notice board (tend.c)
 *	  tend_replay	dead letters applied again (tend_replay.c)
 *	  start_write	seal what was filled
 *	  write_batch	ledger, rows, dead letters, COMMIT	   meanwhile worker_wait -> fill
 *	  invalidate	send the keys; collect the answers
 *	  fill		request, receive, decode, fold
 */
static bool store_ready(struct worker *w);
static bool source_ready(struct worker *w);
static bool may_write(struct worker *w);
static void start_write(struct worker *w);
static void write_batch(struct worker *w);
static void invalidate(struct worker *w, int timeout_ms);
static void fill(struct worker *w, int timeout_ms);
static bool is_full(const struct worker *w);

static int
least(int a, int64_t b)
{
	return a < b ? a : (int)b;
}

void
worker_turn(struct worker *w, int block_ms)
{
	SHOW(w->counters.beat_ms, (uint64_t)clock_ms());
	tend_group(w);
	if (!store_ready(w)) {
		fill(w, least(block_ms, breaker_wait_ms(&w->counters.mysql)));
		return;
	}
	source_ready(w); /* lanes can be taken in the same turn */
	tend_lanes(w);
	if (tend_is_unsure(w)) {
		fill(w, least(block_ms, UNSURE_MS));
		return;
	}
	invalidate(w, 0);
	if (tend_replay(w) || tend_again(w)) {
		invalidate(w, 0);
		block_ms = w->invalidating == NULL ? 0 : block_ms;
	}
	if (may_write(w))
		start_write(w);
	if (w->writing != NULL && w->confirm_ms > clock_ms())
		fill(w, least(block_ms, w->confirm_ms - clock_ms()));
	else if (w->writing != NULL && breaker_ready(&w->counters.mysql))
		write_batch(w);
	else if (w->writing != NULL)
		fill(w, least(block_ms, breaker_wait_ms(&w->counters.mysql)));
	else
		fill(w, tend_wait_ms(w, block_ms));
}

/* ---- the store ---- */

static bool
store_failed(struct worker *w, const char *event, const struct err *err)
{
	breaker_failed(&w->counters.mysql, err->text);
	COUNT(w->counters.retries, 1);
	log_event(LOG_WARN, event, "worker", "%d", w->index, "class", "%s",
	    err_class_name(err->class), "code", "%d", err->code, "wait_ms", "%lld",
	    (long long)breaker_wait_ms(&w->counters.mysql), "error", "%s", err->text, NULL);
	return false;
}

static bool
store_ready(struct worker *w)
{
	struct err err = { 0 };

	if (w->store->ops->is_open(w->store) && !w->unsettled) {
		if (clock_ms() - w->pinged_ms < (w->share.standby ? 2 * PING_MS : PING_MS))
			return true;
		w->pinged_ms = clock_ms();
		if (w->store->ops->ping(w->store, &err) == 0)
			return true;
		return store_failed(w, "store_lost", &err);
	}
	if (!breaker_ready(&w->counters.mysql))
		return false;
	w->unsettled = true;
	if (!w->store->ops->is_open(w->store) && w->store->ops->open(w->store, &err) != 0)
		return store_failed(w, "store_unreachable", &err);
	if (w->filling->schema == NULL) {
		batch_reset(w->filling, w->store->ops->schema(w->store));
		w->schema_ms = clock_ms();
	}
	w->pinged_ms = clock_ms();
	if (tend_recover(w, &err) != 0)
		return store_failed(w, "store_lost", &err);
	w->unsettled = false;
	w->tended_ms = 0;
	return true;
}

/* ---- writing ---- */

/*
 * How long to go on filling while the store is free.  Nothing is held back when the last COMMIT is
 * longer ago than max_delay; under a steady stream batches are that far apart, or full.
 */
static int
seal_wait_ms(const struct worker *w)
{
	int64_t now = clock_ms(), since = w->filling->opened_ms;

	if (w->written_ms < since)
		since = w->written_ms;
	if (is_full(w) || SEE(*w->stop) || now - since >= w->config->batch_max_delay_ms)
		return 0;
	return (int)(w->config->batch_max_delay_ms - (now - since));
}

static bool
may_write(struct worker *w)
{
	if (w->writing != NULL || batch_is_empty(w->filling) || worker_spare(w) == NULL)
		return false;
	return seal_wait_ms(w) == 0 && rate_allows(w);
}

static void
start_write(struct worker *w)
{
	batch_seal(w->filling);
	w->writing = w->filling;
	w->filling = worker_spare(w);
	batch_reset(w->filling, w->store->ops->schema(w->store));
}

/* The batch is committed: count it and move the lanes' places. */
static void
written(struct worker *w, struct batch *b, const struct write_report *report)
{
	struct batch_lane *bl;

	account_written(w, b, report);
	batch_park_written(b);
	for (bl = b->lanes; bl != NULL; bl = bl->next) {
		if (bl->writes) {
			bl->lane->position = bl->to;
			bl->lane->done = bl->done;
			bl->lane->mismatches = 0;
			bl->lane->checkpoints.last = (struct checkpoint){ bl->to, bl->last_hash };
			bl->lane->checkpoints.changed = false;
		}
		bl->lane->hold_tries = 0;
		bl->lane->probe = false;
		lane_show(bl->lane);
	}
	w->rate_credit -= (double)b->steps;
	w->written_ms = clock_ms();
	batch_mark_written(b);
}

void
worker_committed(struct worker *w)
{
	log_event(LOG_INFO, "commit_settled", "worker", "%d", w->index, "rows", "%u",
	    w->writing->steps, "next", "%s", "the lost reply of COMMIT was yes", NULL);
	written(w, w->writing, &(struct write_report){ 0 });
}

static enum write_result
try_write(struct worker *w, struct write_report *report, struct err *err)
{
	enum write_result result;

	if (!worker_look_again(w, err))
		return WRITE_ERROR;
	if (batch_parked_moved(w->writing))
		worker_rebuild(w, w->writing);
	batch_place(w->writing);
	if (!worker_recall(w, w->writing, NULL, err))
		return WRITE_ERROR;
	if (batch_check_tables(w->writing))
		return WRITE_LEAVE;
	if (w->writing->writes == 0)
		return WRITE_OK;
	w->overlapping = true;
	result = w->store->ops->write(w->store, w->writing, report, err);
	w->overlapping = false;
	w->pinged_ms = clock_ms();
	return result;
}

static void
write_batch(struct worker *w)
{
	struct batch *b = w->writing;
	struct write_report report = { 0 };
	struct err err = { 0 };

	if (!worker_confirmed(w, b))
		return;
	if (b->state == BATCH_SEALED) { /* else it turned out to be committed: tend_recover */
		switch (try_write(w, &report, &err)) {
		case WRITE_OK:
			break;
		case WRITE_ONE_BY_ONE:
			COUNT(w->counters.one_by_one, 1);
			b->one_by_one = true;
			return;
		case WRITE_LEAVE:
			tend_leaving(w, b);
			return;
		case WRITE_SCHEMA:
			if (worker_load_schema(w, &err) != 0)
				store_failed(w, "schema_load", &err);
			return;
		case WRITE_MISMATCH:
			if (tend_mismatch(w, &err) != 0)
				store_failed(w, "store_lost", &err);
			return;
		case WRITE_ERROR:
			store_failed(w, "store_retry", &err);
			return;
		}
		if (breaker_worked(&w->counters.mysql))
			log_event(LOG_INFO, "store_works", "worker", "%d", w->index, NULL);
		written(w, b, &report);
	}
	worker_await_answers(w);
	w->invalidating = b;
	w->writing = NULL;
	invalidate(w, 0);
}

/* ---- invalidating ---- */

/* The keys are derived again from `done`.  No failure: counting it would put off the next try. */
static void
cache_owes(struct worker *w)
{
	w->rewind = true;
	if (w->invalidating->replays)
		w->replay.busy = false; /* its letters are found again */
	worker_empty(w, w->invalidating);
	w->invalidating = NULL;
}

static void
cache_failed(struct worker *w, const struct err *err)
{
	worker_cache_failed(w, err);
	w->cache->ops->close(w->cache);
	cache_owes(w);
}

static int
start_invalidating(struct worker *w, struct batch *b, struct err *err)
{
	if (!w->cache->ops->is_open(w->cache) && w->cache->ops->open(w->cache, err) != 0)
		return -1;
	return w->cache->ops->start(w->cache, b, err);
}

static void
invalidate(struct worker *w, int timeout_ms)
{
	struct batch *b = w->invalidating;
	struct err err = { 0 };
	int answered;

	if (b == NULL)
		return;
	if (!batch_has_keys(b) && !b->keys_sent) {
		worker_invalidated(w);
		return;
	}
	if (!b->keys_sent) {
		if (!w->cache->ops->is_open(w->cache) && !breaker_ready(&w->counters.cache)) {
			cache_owes(w);
			return;
		}
		if (start_invalidating(w, b, &err) != 0) {
			cache_failed(w, &err);
			return;
		}
		b->keys_sent = true;
		b->keys_sent_ms = clock_ms();
	}
	answered = w->cache->ops->poll(w->cache, timeout_ms, &err);
	if (answered == 0 && clock_ms() - b->keys_sent_ms > w->config->cache.timeout_ms)
		answered = err_set(&err, ERR_RETRY, 0, "no answer within %d ms",
		    w->config->cache.timeout_ms);
	if (answered < 0) {
		cache_failed(w, &err);
	} else if (answered > 0) {
		worker_cache_worked(w);
		worker_invalidated(w);
	}
}

void
worker_await_answers(struct worker *w)
{
	while (w->invalidating != NULL && w->cache->ops->is_open(w->cache))
		invalidate(w, 100);
}

/* The cache is back: read again what was written but not invalidated. */
static void
rewind_lanes(struct worker *w)
{
	struct err err = { 0 };
	size_t i;

	if (!w->rewind || w->writing != NULL || w->invalidating != NULL ||
	    !breaker_ready(&w->counters.cache))
		return;
	if (!w->cache->ops->is_open(w->cache) && w->cache->ops->open(w->cache, &err) != 0) {
		breaker_failed(&w->counters.cache, err.text);
		return;
	}
	if (tend_flush(w, &err) != 0) {
		worker_cache_failed(w, &err);
		return;
	}
	if (breaker_worked(&w->counters.cache))
		log_event(LOG_INFO, "cache_connected", "worker", "%d", w->index, "next", "%s",
		    "invalidating again from done", NULL);
	w->rewind = false;
	worker_empty(w, w->filling);
	for (i = 0; i < w->lane_count; i++) {
		if (w->lanes[i]->state != LANE_FREE)
			lane_rewind(w->lanes[i]);
	}
}

/* ---- filling ---- */

static bool
source_ready(struct worker *w)
{
	struct err err = { 0 };

	if (w->source->ops->is_open(w->source))
		return true;
	if (!breaker_ready(w->source_breaker))
		return false;
	if (w->source->ops->open(w->source, &err) != 0 || tend_source_opened(w, &err) != 0) {
		worker_source_failed(w, &err);
		return false;
	}
	w->tended_ms = 0; /* lanes can be looked at now */
	if (breaker_worked(w->source_breaker))
		log_event(LOG_INFO, "source_connected", "worker", "%d", w->index, NULL);
	return true;
}

void
worker_source_failed(struct worker *w, const struct err *err)
{
	w->source->ops->close(w->source);
	COUNT(w->counters.retries, 1);
	breaker_failed(w->source_breaker, err->text);
	log_event(LOG_WARN, "source_unreachable", "worker", "%d", w->index, "wait_ms", "%lld",
	    (long long)breaker_wait_ms(w->source_breaker), "error", "%s", err->text, NULL);
}

static bool
is_full(const struct worker *w)
{
	return w->filling->state != BATCH_OPEN || w->filling->schema == NULL || w->filling->full ||
	    w->filling->steps >= rate_rows_max(w) ||
	    w->filling->bytes >= (size_t)w->config->batch_max_bytes;
}

/* While the cache is away rows go on, up to a limit. */
static bool
is_paused(struct worker *w)
{
	int64_t bytes = 0;
	size_t i;

	for (i = 0; i < w->lane_count && w->rewind; i++)
		bytes += w->lanes[i]->unreleased_bytes;
	bool beyond = bytes * w->config->workers > w->config->invalidate_lag_max_bytes;
	if (beyond && tend_flushes(w))
		tend_lag_flushes(w);
	SHOW(w->counters.paused_for_cache, beyond && !tend_flushes(w));
	return SEE(w->counters.paused_for_cache);
}

/* What a partition brought and the batch has no room for is fetched again: better not asked for. */
static unsigned
room_rows(const struct worker *w)
{
	unsigned rows = rate_rows_max(w);

	return w->table != NULL && w->filling->steps < rows ? rows - w->filling->steps : rows;
}

/* Ask for what is behind the cursors of the open lanes. */
static int
request(struct worker *w, int block_ms, struct err *err)
{
	struct lane *open[1024];
	size_t i, count = 0;

	if (w->source->ops->requested(w->source) || is_full(w) || is_paused(w) || SEE(*w->stop))
		return 0;
	for (i = 0; i < w->lane_count && count < 1024; i++)
		if (w->lanes[i]->state == LANE_OPEN && !w->lanes[i]->look_again &&
		    !worker_scan_holds(w, w->lanes[i]))
			open[count++] = w->lanes[i];
	if (count == 0)
		return 0;
	if (tend_is_replaying(w)) /* its lane is to be read again within moments */
		block_ms = least(block_ms, REPLAY_BLOCK_MS);
	return w->source->ops->request(w->source, open, count, room_rows(w),
	    (size_t)w->config->batch_max_bytes - w->filling->bytes, block_ms, err);
}

/* Take what has arrived, and ask for more while there is room. */
static void
collect(struct worker *w)
{
	struct delivery *delivery = NULL;
	struct err err = { 0 };
	int got;

	if (!w->source->ops->is_open(w->source) || w->filling->state != BATCH_OPEN ||
	    w->filling->schema == NULL || !w->source->ops->requested(w->source))
		return;
	got = w->source->ops->receive(w->source, &delivery, &err);
	if (got < 0) {
		worker_source_failed(w, &err);
		return;
	}
	if (got == 0 || delivery == NULL)
		return;
	batch_take(w->filling, &delivery, rate_rows_max(w), (size_t)w->config->batch_max_bytes);
	if (request(w, BLOCK_MS, &err) != 0)
		worker_source_failed(w, &err);
	else if (is_full(w))
		w->store->ops->prepare(w->store, w->filling);
}

static void
fill(struct worker *w, int timeout_ms)
{
	struct pollfd fds[4] = { { .fd = SEE(*w->stop) ? -1 : w->wake_fd, .events = POLLIN } };
	struct err err = { 0 };
	nfds_t count = 1;
	int fd;

	rewind_lanes(w);
	if (source_ready(w) && request(w, BLOCK_MS, &err) != 0)
		worker_source_failed(w, &err);
	fd = w->source->ops->is_open(w->source) ? w->source->ops->fd(w->source) : -1;
	if (fd >= 0 && !is_full(w))
		fds[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	fd = w->invalidating != NULL ? w->cache->ops->fd(w->cache) : -1;
	if (fd >= 0)
		fds[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	worker_scan(w);
	if (w->scan.fd >= 0)
		fds[count++] = (struct pollfd){ .fd = w->scan.fd, .events = POLLIN };
	timeout_ms = least(timeout_ms, w->scan.wait_ms);
	if (!batch_is_empty(w->filling) && w->store->ops->is_open(w->store) && w->writing == NULL &&
	    timeout_ms > seal_wait_ms(w))
		timeout_ms = seal_wait_ms(w) > 0 ? seal_wait_ms(w) : 5; /* 5: max_rows_per_second */
	if (timeout_ms > 0)
		poll(fds, count, timeout_ms);
	collect(w);
	invalidate(w, 0);
}

/*
 * The store waits for fd: meanwhile read the source and the cache's answers.  Not at once: while the
 * ledger is moved, which is short, a batch would be begun to be read, and the rows behind it would
 * wait for that.
 */
static int
wait_meanwhile(struct worker *w, int fd, int timeout_ms)
{
	int64_t end = clock_ms() + timeout_ms;
	struct pollfd store = { .fd = fd, .events = POLLIN };
	struct err err = { 0 };

	if (w->overlapping && poll(&store, 1, SHORT_MS) > 0)
		return 1;
	if (w->overlapping && w->source->ops->is_open(w->source) && request(w, BLOCK_MS, &err) != 0)
		worker_source_failed(w, &err);
	for (;;) {
		struct pollfd fds[3] = { { .fd = fd, .events = POLLIN } };
		int64_t left = end - clock_ms();
		nfds_t count = 1;
		int ready, other;

		other = w->overlapping && !is_full(w) && w->source->ops->is_open(w->source) &&
			w->source->ops->requested(w->source) ?
		    w->source->ops->fd(w->source) :
		    -1;
		if (other >= 0)
			fds[count++] = (struct pollfd){ .fd = other, .events = POLLIN };
		other =
		    w->overlapping && w->invalidating != NULL ? w->cache->ops->fd(w->cache) : -1;
		if (other >= 0)
			fds[count++] = (struct pollfd){ .fd = other, .events = POLLIN };
		ready = poll(fds, count, left > 0 ? least(WAKE_MS, left) : 0);
		if (ready < 0 && errno != EINTR)
			return -1;
		SHOW(w->counters.beat_ms, (uint64_t)clock_ms());
		if (w->table != NULL)
			w->source->ops->serve(w->source);
		if (fds[0].revents != 0)
			return 1;
		if (clock_ms() >= end || SEE(*w->stop) == 2)
			return 0;
		waiting_show(w);
		if (ready > 0 && w->overlapping) {
			collect(w);
			invalidate(w, 0);
		}
	}
}

int
worker_wait(void *arg, int fd, int timeout_ms)
{
	struct worker *w = arg;
	int ready;

	waiting_begin(w);
	ready = wait_meanwhile(w, fd, timeout_ms);
	waiting_end(w);
	return ready;
}
