#include "worker/operate/snapshot.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/operate/verify_page.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const char *
dependency_name(enum dependency dependency)
{
	static const char *const names[DEPENDENCIES] = { "mysql", "redis", "cache", "kafka",
		"mysql_read" };

	return dependency < DEPENDENCIES ? names[dependency] : NULL;
}

static void
take_lane(struct snapshot *s, const struct watched *watched, size_t i)
{
	struct lane *lane = &watched->lanes[i];
	struct snapshot_lane *out = &s->lanes[i];
	int64_t oldest_ms = SEE(lane->oldest_pending_ms);

	out->name = lane->name;
	out->stream = lane->stream;
	out->source = lane->source;
	out->worker = SEE(lane->shown_worker);
	out->state = (enum lane_state)SEE(lane->shown_state);
	out->why = SEE(lane->why);
	out->alarm = SEE(lane->alarm);
	out->position =
	    (struct position){ SEE(lane->shown_position_ms), SEE(lane->shown_position_minor) };
	out->done = (struct position){ SEE(lane->shown_done_ms), SEE(lane->shown_done_minor) };
	out->lag = SEE(lane->lag);
	out->stream_length = SEE(lane->stream_length);
	out->stream_bytes = SEE(lane->stream_bytes);
	out->entries = SEE(lane->entries);
	out->dead = SEE(lane->dead);
	out->parked_keys = SEE(lane->shown_parked);
	out->again = SEE(lane->shown_again) != 0;
	out->again_entries = SEE(lane->again_entries);
	out->pending = SEE(lane->pending);
	out->claimed = SEE(lane->claimed);
	out->pending_deleted = SEE(lane->pending_deleted);
	/* clocks of producers may run ahead of ours */
	if (oldest_ms > 0 && oldest_ms < s->taken_wall_ms)
		out->oldest_pending_seconds = (double)(s->taken_wall_ms - oldest_ms) / 1000;

	s->total.lanes_in[out->state]++;
	s->total.alarms += out->alarm != NULL;
	s->total.stream_bytes += out->stream_bytes;
	if (out->state == LANE_FREE)
		return; /* somebody else's: what we saw of it last is old */
	s->total.lag += out->lag;
	if (out->oldest_pending_seconds > s->total.oldest_pending_seconds)
		s->total.oldest_pending_seconds = out->oldest_pending_seconds;
}

static int
breaker_badness(enum breaker_state state)
{
	return state == BREAKER_OPEN ? 2 : state == BREAKER_HALF_OPEN ? 1 : 0;
}

static void
take_breaker(struct snapshot_breaker *out, struct breaker *b)
{
	bool first = !out->used;
	enum breaker_state state = (enum breaker_state)atomic_load(&b->state);
	unsigned failures = atomic_load(&b->failures);

	out->used = true;
	out->workers_in[state]++;
	out->failures_total += atomic_load(&b->failures_total);
	out->worked_ever = (first || out->worked_ever) && atomic_load(&b->worked_ever) != 0;
	if (failures > out->failures)
		out->failures = failures;
	if (!first && breaker_badness(state) <= breaker_badness(out->state))
		return;
	out->state = state;
	out->since_wall_ms = atomic_load(&b->since_wall_ms);
	breaker_why(b, out->why, sizeof(out->why));
}

static void
take_histogram(struct snapshot_histogram *out, const struct histogram *h)
{
	out->bounds = h->bounds;
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		out->counts[i] += SEE(h->counts[i]);
	out->sum += (double)SEE(h->sum_us) / histogram_scale(h);
}

static void
take_counters(struct snapshot *s, struct counters *c, bool invalidates)
{
	struct snapshot_total *total = &s->total;

	total->batches += SEE(c->batches);
	total->entries += SEE(c->entries);
	total->changes += SEE(c->changes);
	total->folded += SEE(c->folded);
	total->rows += SEE(c->rows);
	total->older += SEE(c->older);
	total->statements += SEE(c->statements);
	total->retries += SEE(c->retries);
	total->fenced += SEE(c->fenced);
	total->mismatches += SEE(c->mismatches);
	total->invalidated += SEE(c->invalidated);
	total->invalidations_skipped += SEE(c->invalidations_skipped);
	total->invalidations_repeated += SEE(c->invalidations_repeated);
	total->invalidated_again += SEE(c->invalidated_again);
	total->invalidations_refused += SEE(c->invalidations_refused);
	for (int i = 0; i < INVALIDATION_ANSWERS; i++)
		total->invalidation_answers[i] += SEE(c->invalidation_answers[i]);
	total->populated += SEE(c->populated);
	total->not_populated += SEE(c->not_populated);
	total->markers_left_out += SEE(c->markers_left_out);
	total->announced += SEE(c->announced);
	total->scan_patterns += SEE(c->scan_patterns);
	total->scan_patterns_waiting += SEE(c->scan_patterns_waiting);
	total->scan_looked += SEE(c->scan_looked);
	total->scan_of += SEE(c->scan_patterns) > 0 ? SEE(c->scan_of) : 0;
	total->scan_passes += SEE(c->scan_passes);
	total->scan_keys += SEE(c->scan_keys);
	total->scan_removed += SEE(c->scan_removed);
	total->scan_failures += SEE(c->scan_failures);
	total->scan_full += SEE(c->scan_full);
	total->one_by_one += SEE(c->one_by_one);
	total->replayed += SEE(c->replayed);
	total->replays_refused += SEE(c->replays_refused);
	total->memory_bytes += SEE(c->memory_bytes);
	total->lanes_owned += SEE(c->lanes_owned);
	/* every process reads all that only invalidates */
	total->lanes_share += invalidates ? SEE(c->lanes_owned) : SEE(c->lanes_share);
	if (SEE(c->pool_members) > total->pool_members)
		total->pool_members = SEE(c->pool_members);
	total->outbox_rows += SEE(c->outbox_rows);
	total->workers_paused += SEE(c->paused_for_cache) != 0;
	total->flushes_owed += SEE(c->flush_owed) != 0;
	total->cache_flushes += SEE(c->cache_flushes);
	for (int i = 0; i < DEAD_REASONS; i++) {
		total->dead_by_reason[i] += SEE(c->dead_by_reason[i]);
		total->dead += SEE(c->dead_by_reason[i]);
		total->dead_open_by_reason[i] += SEE(c->dead_open_by_reason[i]);
		total->dead_open += SEE(c->dead_open_by_reason[i]);
	}
	for (int i = 0; i < PASSED_KINDS; i++)
		total->passed[i] += SEE(c->passed[i]);
	for (size_t i = 0; i < c->table_count && i < s->table_count; i++) {
		s->tables[i].changes += SEE(c->tables[i].changes);
		s->tables[i].folded += SEE(c->tables[i].folded);
		s->tables[i].older += SEE(c->tables[i].older);
		s->tables[i].dead += SEE(c->tables[i].dead);
		s->tables[i].dead_open += SEE(c->tables[i].dead_open);
		s->tables[i].invalidated += SEE(c->tables[i].invalidated);
	}
	take_histogram(&s->batch_rows, &c->batch_rows);
	take_histogram(&s->batch_seconds, &c->batch_seconds);
	take_histogram(&s->commit_lag_seconds, &c->commit_lag_seconds);
}

static double
seconds_since(uint64_t since_ms)
{
	int64_t ms = clock_ms() - (int64_t)since_ms;

	return since_ms != 0 && ms > 0 ? (double)ms / 1000 : 0;
}

static void
take_worker(struct snapshot *s, const struct watched *watched, size_t i)
{
	struct worker *worker = &watched->workers[i];
	struct counters *c = &worker->counters;
	struct snapshot_worker *out = &s->workers[i];
	int64_t beat_ms = (int64_t)SEE(c->beat_ms);

	if (beat_ms == 0)
		beat_ms = watched->started_ms; /* it hasn't turned yet */
	int64_t age_ms = clock_ms() - beat_ms;
	out->index = worker->index;
	out->lanes = worker->table != NULL ? SEE(c->lanes_owned) : (int)worker->lane_count;
	out->lanes_owned = SEE(c->lanes_owned);
	out->beat_age_seconds = age_ms > 0 ? (double)age_ms / 1000 : 0;
	out->mysql_waits_seconds = seconds_since(SEE(c->store_waits_since_ms));
	if (out->mysql_waits_seconds > s->total.mysql_waits_seconds)
		s->total.mysql_waits_seconds = out->mysql_waits_seconds;
	out->stuck = age_ms > BEAT_AGE_MAX_MS;
	/* without MySQL what a worker stores is dead letters, in Redis */
	take_breaker(&s->breakers[worker->invalidates ? DEPENDENCY_REDIS : DEPENDENCY_MYSQL],
	    &c->mysql);
	if (worker->table != NULL)
		take_breaker(&s->breakers[DEPENDENCY_KAFKA], &c->kafka);
	else
		take_breaker(&s->breakers[DEPENDENCY_REDIS], &c->redis);
	take_breaker(&s->breakers[DEPENDENCY_CACHE], &c->cache);
	take_counters(s, c, worker->invalidates);
}

static void
take_refresh(struct snapshot *s, struct refresh *refresh)
{
	struct snapshot_refresh *out = &s->refresh;

	s->breakers[DEPENDENCY_MYSQL_READ].worked_ever = true;
	if (refresh == NULL)
		return;
	struct refresh_counters *c = refresh_counters(refresh);
	out->on = true;
	out->selects = SEE(c->selects);
	out->asked = SEE(c->asked);
	out->loaded = SEE(c->loaded);
	out->reloaded = SEE(c->reloaded);
	out->lost = SEE(c->lost);
	out->older = SEE(c->older);
	out->duplicates = SEE(c->duplicates);
	out->absent = SEE(c->absent);
	out->stretches = SEE(c->stretches);
	out->reads = SEE(c->reads);
	out->reads_unknown = SEE(c->reads_unknown);
	out->over_budget = SEE(c->over_budget);
	out->rate_limit = SEE(c->rate_limit);
	out->members = SEE(c->members);
	out->last_load_seconds = (double)SEE(c->last_load_us) / 1e6;
	for (size_t i = 0; i < s->table_count; i++) {
		s->tables[i].sampled = SEE(c->tables[i].reads);
		s->tables[i].found = SEE(c->tables[i].found);
		s->tables[i].loaded = SEE(c->tables[i].loaded);
		s->tables[i].hot = SEE(c->tables[i].hot);
		s->tables[i].stretched = SEE(c->tables[i].stretched);
		if (SEE(c->tables[i].on) != 0)
			take_breaker(&s->tables[i].load, &c->tables[i].load);
		s->tables[i].refused =
		    s->tables[i].load.used && s->tables[i].load.state != BREAKER_CLOSED;
		out->hot += s->tables[i].hot;
		out->stretched += s->tables[i].stretched;
	}
	out->key_count = refresh_keys(refresh, out->keys);
	take_breaker(&s->breakers[DEPENDENCY_MYSQL_READ], &c->mysql_read);
	take_breaker(&s->breakers[DEPENDENCY_CACHE], &c->cache);
}

static void
take_cache(struct snapshot_cache *out, const struct cache_view *view)
{
	out->known = SEE(view->seen_wall_ms) != 0;
	out->used_bytes = SEE(view->used_bytes);
	out->max_bytes = SEE(view->max_bytes);
	out->evicted = SEE(view->evicted);
	out->expired = SEE(view->expired);
	out->hits = SEE(view->hits);
	out->misses = SEE(view->misses);
	out->hit_permille = SEE(view->hit_permille);
	out->replicas = SEE(view->replicas);
	out->replica_lag_seconds = (double)SEE(view->replica_lag_ms) / 1000;
	out->ping_seconds = (double)SEE(view->ping_us) / 1e6;
	out->persistence_failed = SEE(view->persistence_failed) != 0;
	out->without_ttl = SEE(view->without_ttl);
	out->large = SEE(view->large);
	out->largest_bytes = SEE(view->largest_bytes);
	out->walks = SEE(view->walks);
	out->keys_walked = SEE(view->keys_walked);
	out->restarts = SEE(view->restarts);
	for (int i = 0; i < CACHE_WARNINGS; i++)
		out->warns[i] = cache_warning(view, (enum cache_warning)i, out->warnings[i],
		    (int)sizeof(out->warnings[i]));
}

static void
take_monitor(struct snapshot *s, struct monitor *monitor)
{
	s->cache.hit_permille = -1;
	if (monitor == NULL)
		return;
	struct monitor_view *view = monitor_view(monitor);
	take_cache(&s->cache, &view->cache_view);
	if (config_reads_streams(s->config))
		take_breaker(&s->breakers[DEPENDENCY_REDIS], &view->redis);
	if (config_has_templates(s->config))
		take_breaker(&s->breakers[DEPENDENCY_CACHE], &view->cache);
	for (int i = 0; i < RATES; i++)
		s->rates[i] = (double)SEE(view->rates_thousandths[i]) / 1000;
	s->redis_used_bytes = SEE(view->redis_used_bytes);
	s->redis_max_bytes = SEE(view->redis_max_bytes);
	s->dead_stream_entries = SEE(view->dead_stream_entries);
}

static uint64_t
resident_bytes(void)
{
	unsigned long size, resident;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(file);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (directory == NULL)
		return 0;
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void *
rows_of(size_t count, size_t bytes)
{
	void *rows = calloc(count > 0 ? count : 1, bytes);

	CHECK(rows != NULL);
	return rows;
}

void
snapshot_take(struct snapshot *s, const struct watched *watched)
{
	memset(s, 0, sizeof(*s));
	s->config = watched->config;
	s->taken_wall_ms = clock_wall_ms();
	s->started_wall_ms = watched->started_wall_ms;
	s->uptime_seconds = (double)(clock_ms() - watched->started_ms) / 1000;
	s->stopping = watched->stop != NULL && atomic_load(watched->stop) != 0;

	s->worker_count = watched->worker_count;
	s->workers = rows_of(s->worker_count, sizeof(*s->workers));
	s->lane_count = atomic_load(&watched->lane_count);
	s->lanes = rows_of(s->lane_count, sizeof(*s->lanes));
	s->table_count = watched->config->table_count;
	s->tables = rows_of(s->table_count, sizeof(*s->tables));

	for (size_t i = 0; i < s->table_count; i++)
		s->tables[i].name = watched->config->tables[i].name;
	for (size_t i = 0; i < s->lane_count; i++)
		take_lane(s, watched, i);
	s->total.standby = s->worker_count > 0;
	for (size_t i = 0; i < s->worker_count; i++) {
		take_worker(s, watched, i);
		s->total.standby &= SEE(watched->workers[i].counters.standby) != 0;
	}
	take_refresh(s, watched->refresh);
	verify_page_take(s, watched->verify);
	take_monitor(s, watched->monitor);
	s->resident_bytes = resident_bytes();
	s->open_files = open_files();
	s->cpu_seconds = cpu_seconds();
	s->log_lines_suppressed = log_suppressed();
}

void
snapshot_deinit(struct snapshot *s)
{
	free(s->workers);
	free(s->lanes);
	free(s->tables);
	memset(s, 0, sizeof(*s));
}
