#include "worker/operate/metrics.h"

#include "worker/operate/series.h"
#include "worker/operate/verify_page.h"

#include <stdlib.h>
#include <string.h>

static void
print_process(const struct snapshot *s, struct buf *out)
{
	series_head(out, "sluice_build_info", "gauge",
	    "Version and pool of this process; always 1.");
	buf_add_str(out, "sluice_build_info{version=\"" SLUICE_VERSION "\",pool=\"");
	series_add_label(out, s->config->pool);
	buf_add_str(out, "\"} 1\n");
	series_gauge(out, "process_start_time_seconds", "Start of the process since 1970.",
	    (double)s->started_wall_ms / 1000);
	series_gauge(out, "process_resident_memory_bytes", "Resident memory of the process.",
	    (double)s->resident_bytes);
	series_head(out, "process_cpu_seconds_total", "counter",
	    "User and system time of the process.");
	buf_printf(out, "process_cpu_seconds_total %.3f\n", s->cpu_seconds);
	series_gauge(out, "process_open_fds", "Open file descriptors.", (double)s->open_files);
	series_gauge(out, "sluice_workers", "Worker threads.", (double)s->worker_count);
	series_head(out, "sluice_worker_beat_age_seconds", "gauge",
	    "Since the worker's loop last turned; above 60 /livez answers 503.");
	for (size_t i = 0; i < s->worker_count; i++)
		buf_printf(out, "sluice_worker_beat_age_seconds{worker=\"%d\"} %.3f\n",
		    s->workers[i].index, s->workers[i].beat_age_seconds);
	series_gauge(out, "sluice_memory_bytes", "Held in batches and replies.",
	    (double)s->total.memory_bytes);
	series_gauge(out, "sluice_memory_limit_bytes", "`memory` of the configuration.",
	    (double)s->config->memory_bytes);
	series_counter(out, "sluice_log_lines_suppressed_total",
	    "Log lines (not events) dropped because an event repeated too often.",
	    s->log_lines_suppressed);
}

static void
print_invalidations(const struct snapshot *s, struct buf *out)
{
	const struct snapshot_total *t = &s->total;

	series_counter(out, "sluice_invalidated_total", "Cache keys invalidated.", t->invalidated);
	series_counter(out, "sluice_invalidations_skipped_total",
	    "Cache keys not touched because they name a lane or a key of sluice.",
	    t->invalidations_skipped);
	series_counter(out, "sluice_invalidations_refused_total",
	    "Cache keys not touched because they hold something else (WRONGTYPE).",
	    t->invalidations_refused);
	series_head(out, "sluice_invalidation_answers_total", "counter",
	    "Answers to versioned invalidations: NEW removed a value or found none, KEPT found "
	    "one as new, SAME and OLD had been told before.");
	for (int i = 0; invalidation_answer_name(i) != NULL; i++)
		series_value(out, "sluice_invalidation_answers_total", "answer",
		    invalidation_answer_name(i), t->invalidation_answers[i]);
	series_counter(out, "sluice_invalidations_repeated_total",
	    "Entries invalidated once more after a crash or an outage of the cache.",
	    t->invalidations_repeated);
	series_counter(out, "sluice_invalidated_again_total",
	    "Entries whose keys were invalidated again because the cache went back.",
	    t->invalidated_again);
	series_gauge(out, "sluice_outbox_rows",
	    "Batches whose keys of other columns wait in sluice_outbox, of our lanes.",
	    (double)t->outbox_rows);
	series_counter(out, "sluice_populated_total", "Cache entries written with the new row.",
	    t->populated);
	series_counter(out, "sluice_not_populated_total",
	    "Rows that could not be read back, or were more than a batch keeps, and were "
	    "invalidated instead.",
	    t->not_populated);
	series_counter(out, "sluice_markers_left_out_total",
	    "Versioned invalidations that left no marker on an absent key because of "
	    "markers_max.",
	    t->markers_left_out);
	series_counter(out, "sluice_announced_total", "Cache keys announced.", t->announced);
	series_gauge(out, "sluice_scan_patterns",
	    "Patterns of mode scan that are looked for or wait.",
	    (double)(t->scan_patterns + t->scan_patterns_waiting));
	series_counter(out, "sluice_scan_passes_total", "Passes over all keys that are through.",
	    t->scan_passes);
	series_counter(out, "sluice_scan_keys_total", "Keys looked at.", t->scan_keys);
	series_counter(out, "sluice_scan_removed_total", "Keys found and removed.",
	    t->scan_removed);
	series_counter(out, "sluice_scan_failures_total", "Steps that failed and were tried again.",
	    t->scan_failures);
	series_gauge(out, "sluice_scan_workers_full",
	    "Workers that don't read lanes with patterns because scan.max_patterns wait.",
	    (double)t->scan_full);
	series_gauge(out, "sluice_workers_paused_for_cache",
	    "Workers that stopped writing rows because invalidate_lag_max is reached.",
	    (double)t->workers_paused);
	series_gauge(out, "sluice_workers_owing_flush",
	    "Workers that empty the cache when it is back, since more than invalidate_lag_max "
	    "waits for it.",
	    (double)t->flushes_owed);
	series_counter(out, "sluice_cache_flushes_total",
	    "Times the cache was emptied (on_cache_lost: flush).", t->cache_flushes);
}

static void
print_work(const struct snapshot *s, struct buf *out)
{
	const struct snapshot_total *t = &s->total;

	series_counter(out, "sluice_batches_total", "Batches committed.", t->batches);
	series_counter(out, "sluice_entries_total", "Entries read.", t->entries);
	series_counter(out, "sluice_changes_total", "Changes read.", t->changes);
	series_counter(out, "sluice_folded_total", "Changes merged into another of their batch.",
	    t->folded);
	series_counter(out, "sluice_rows_total", "Rows inserted, changed or deleted.", t->rows);
	series_counter(out, "sluice_older_total",
	    "Changes refused because the row's version is the same or newer.", t->older);
	series_counter(out, "sluice_statements_total", "Statements sent for rows.", t->statements);
	series_counter(out, "sluice_retries_total", "Batches tried again.", t->retries);
	series_counter(out, "sluice_fenced_total",
	    "Lanes dropped because another owner moved the ledger.", t->fenced);
	series_counter(out, "sluice_mismatches_total",
	    "Transactions whose compare-and-set found another place in the ledger.", t->mismatches);
	series_counter(out, "sluice_one_by_one_total", "Batches written entry by entry.",
	    t->one_by_one);
	series_head(out, "sluice_dead_letters_total", "counter", "Dead letters, by reason.");
	for (int i = 0; dead_reason_name(i) != NULL; i++)
		series_value(out, "sluice_dead_letters_total", "reason", dead_reason_name(i),
		    t->dead_by_reason[i]);
	series_head(out, "sluice_dead_letters_open", "gauge",
	    "Letters open on the lanes of this process, by reason; counted each 10 s, at most "
	    "10,000 a worker.");
	for (int i = 0; dead_reason_name(i) != NULL; i++)
		series_value(out, "sluice_dead_letters_open", "reason", dead_reason_name(i),
		    t->dead_open_by_reason[i]);
	series_gauge(out, "sluice_dead_letter_stream_entries",
	    "Dead letters of sources with write: false, in the stream of `dead_letters`; of a "
	    "topic its records, with those that say a letter is gone.",
	    (double)s->dead_stream_entries);
	series_counter(out, "sluice_dead_letters_replayed_total", "Dead letters applied.",
	    t->replayed);
	series_counter(out, "sluice_dead_letters_refused_again_total",
	    "Dead letters refused when they were to be applied.", t->replays_refused);
	series_head(out, "sluice_events_passed_total", "counter",
	    "Change events passed over, by what they are.");
	for (int i = 0; passed_name(i) != NULL; i++)
		series_value(out, "sluice_events_passed_total", "kind", passed_name(i),
		    t->passed[i]);
	series_histogram(out, "sluice_batch_rows", "Entries of a batch.", &s->batch_rows);
	series_histogram(out, "sluice_batch_seconds",
	    "From a batch's first statement to its COMMIT.", &s->batch_seconds);
	series_histogram(out, "sluice_commit_lag_seconds",
	    "From the entry being added to its COMMIT.", &s->commit_lag_seconds);
}

/* Without refresh they are all 0: a board finds every series. */
static void
print_refresh(const struct snapshot *s, struct buf *out)
{
	const struct snapshot_refresh *r = &s->refresh;

	series_counter(out, "sluice_refresh_selects_total", "SELECTs that loaded keys.",
	    r->selects);
	series_counter(out, "sluice_refresh_asked_total", "Keys that they asked for.", r->asked);
	series_counter(out, "sluice_refresh_loaded_total", "Values written ahead of their expiry.",
	    r->loaded);
	series_counter(out, "sluice_refresh_reloaded_total",
	    "Those of them that followed an invalidation.", r->reloaded);
	series_counter(out, "sluice_refresh_lost_total",
	    "Loads thrown away because the key was invalidated or written meanwhile.", r->lost);
	series_counter(out, "sluice_refresh_older_total",
	    "Loads thrown away because a newer version is known.", r->older);
	series_counter(out, "sluice_refresh_duplicates_total",
	    "Loads thrown away because another process had loaded the key.", r->duplicates);
	series_counter(out, "sluice_refresh_absent_total", "Popular keys without a row.",
	    r->absent);
	series_counter(out, "sluice_refresh_stretches_total",
	    "Times that a popular value was kept for some more seconds.", r->stretches);
	series_counter(out, "sluice_refresh_over_budget_total",
	    "Keys that were due and had to wait for max_loads_per_second or a slow MySQL.",
	    r->over_budget);
	series_counter(out, "sluice_refresh_reads_total", "Reads counted, by their weight.",
	    r->reads);
	series_counter(out, "sluice_refresh_reads_unknown_total",
	    "Reads of keys that no table refreshes.", r->reads_unknown);
	series_gauge(out, "sluice_refresh_rate_limit", "Keys that may be loaded in a second now.",
	    (double)r->rate_limit);
	series_gauge(out, "sluice_refresh_last_load_seconds", "What the last SELECT took.",
	    r->last_load_seconds);
	series_gauge(out, "sluice_refresh_members", "Processes that share the popular keys.",
	    (double)r->members);
}

static void
print_cache(const struct snapshot *s, struct buf *out)
{
	const struct snapshot_cache *c = &s->cache;

	series_counter(out, "sluice_cache_hits_total",
	    "Reads of the cache by others that found a key.", c->hits);
	series_counter(out, "sluice_cache_misses_total",
	    "Reads of the cache by others that found none.", c->misses);
	series_gauge(out, "sluice_cache_memory_used_bytes", "used_memory of the cache.",
	    (double)c->used_bytes);
	series_gauge(out, "sluice_cache_memory_max_bytes",
	    "maxmemory of the cache; 0: no limit, or not known yet.", (double)c->max_bytes);
	series_gauge(out, "sluice_cache_evicted_keys",
	    "evicted_keys of the cache, since its start.", (double)c->evicted);
	series_gauge(out, "sluice_cache_expired_keys",
	    "expired_keys of the cache, since its start.", (double)c->expired);
	series_gauge(out, "sluice_cache_replicas", "Replicas of the cache.", (double)c->replicas);
	series_gauge(out, "sluice_cache_replica_lag_seconds", "Lag of the one furthest behind.",
	    c->replica_lag_seconds);
	series_gauge(out, "sluice_cache_ping_seconds", "What the last PING took.", c->ping_seconds);
	series_gauge(out, "sluice_cache_keys_without_ttl",
	    "Keys under our prefixes that never expire, in the last walk.", (double)c->without_ttl);
	series_gauge(out, "sluice_cache_large_keys", "Keys above 1 MiB, in the last walk.",
	    (double)c->large);
	series_gauge(out, "sluice_cache_largest_key_bytes", "The largest key of the last walk.",
	    (double)c->largest_bytes);
	series_counter(out, "sluice_cache_restarts_total",
	    "Other run ids or replication ids of the cache: it restarted or failed over.",
	    c->restarts);
	series_head(out, "sluice_cache_warning", "gauge", "1 while the warning holds.");
	for (int i = 0; i < CACHE_WARNINGS; i++)
		series_value(out, "sluice_cache_warning", "warning",
		    cache_warning_name((enum cache_warning)i), s->cache.warns[i]);
}

static void
print_dependencies(const struct snapshot *s, struct buf *out)
{
	series_head(out, "sluice_dependency_up", "gauge",
	    "1 while every worker's breaker is closed.");
	for (int i = 0; i < DEPENDENCIES; i++)
		if (s->breakers[i].used)
			series_value(out, "sluice_dependency_up", "dependency",
			    dependency_name((enum dependency)i),
			    s->breakers[i].state == BREAKER_CLOSED);
	series_head(out, "sluice_breaker_workers", "gauge",
	    "Workers, the refresher and the monitor, whose breaker is in this state.");
	for (int i = 0; i < DEPENDENCIES; i++)
		for (int state = BREAKER_CLOSED; s->breakers[i].used && state <= BREAKER_HALF_OPEN;
		    state++)
			buf_printf(out,
			    "sluice_breaker_workers{dependency=\"%s\",state=\"%s\"} %u\n",
			    dependency_name((enum dependency)i),
			    breaker_state_name((enum breaker_state)state),
			    s->breakers[i].workers_in[state]);
	series_head(out, "sluice_dependency_failures_total", "counter", "Failed calls.");
	for (int i = 0; i < DEPENDENCIES; i++)
		if (s->breakers[i].used)
			series_value(out, "sluice_dependency_failures_total", "dependency",
			    dependency_name((enum dependency)i), s->breakers[i].failures_total);
	series_gauge(out, "sluice_mysql_wait_seconds",
	    "How long MySQL has not answered the statement that waits longest; 0: none.",
	    s->total.mysql_waits_seconds);
	series_gauge(out, "sluice_redis_memory_used_bytes", "used_memory of the sources' Redis.",
	    (double)s->redis_used_bytes);
	series_gauge(out, "sluice_redis_memory_max_bytes",
	    "maxmemory of the sources' Redis; 0: no limit, or not known yet.",
	    (double)s->redis_max_bytes);
	series_gauge(out, "sluice_streams_bytes", "Memory of all lanes' streams, as last seen.",
	    (double)s->total.stream_bytes);
}

/* Lanes as series: one each, or one a source, or one in all. */
struct lane_row {
	struct buf label;
	uint64_t lag, length, bytes, entries, dead, alarms, parked_keys, pending, claimed,
	    pending_deleted;
	unsigned in_state[LANE_HALTED + 1];
	double oldest_pending_seconds;
};

static size_t
lane_row_of(const struct snapshot *s, size_t lane)
{
	if (s->lane_count <= METRIC_LANES_MAX)
		return lane;
	if (s->config->source_count > METRIC_LANES_MAX)
		return 0;
	return (size_t)(s->lanes[lane].source - s->config->sources);
}

static void
lane_row_label(const struct snapshot *s, const struct snapshot_lane *lane, struct buf *label)
{
	buf_reset(label);
	if (s->lane_count <= METRIC_LANES_MAX)
		buf_add_str(label, lane->name);
	else if (s->config->source_count > METRIC_LANES_MAX)
		buf_add_str(label, "all");
	else
		buf_printf(label, "%s/%s/%s", s->config->pool,
		    config_has_topics(lane->source) ? s->config->kafka.name : s->config->redis.name,
		    lane->source->written);
}

static void
lane_row_add(struct lane_row *row, const struct snapshot_lane *lane)
{
	row->lag += lane->lag;
	row->length += lane->stream_length;
	row->bytes += lane->stream_bytes;
	row->entries += lane->entries;
	row->dead += lane->dead;
	row->parked_keys += lane->parked_keys;
	row->pending += lane->pending;
	row->claimed += lane->claimed;
	row->pending_deleted += lane->pending_deleted;
	row->in_state[lane->state]++;
	row->alarms += lane->alarm != NULL;
	if (lane->oldest_pending_seconds > row->oldest_pending_seconds)
		row->oldest_pending_seconds = lane->oldest_pending_seconds;
}

static void
print_lane_state(const struct lane_row *rows, size_t count, struct buf *out)
{
	series_head(out, "sluice_lane_state", "gauge", "Lanes of this label in this state.");
	for (size_t i = 0; i < count; i++)
		for (int state = LANE_FREE; state <= LANE_HALTED; state++) {
			buf_add_str(out, "sluice_lane_state{lane=\"");
			series_add_label(out, rows[i].label.data);
			buf_printf(out, "\",state=\"%s\"} %u\n",
			    lane_state_name((enum lane_state)state), rows[i].in_state[state]);
		}
}

/* A metric that is one number of each lane_row or snapshot_table. */
struct column_series {
	const char *name, *type, *help;
	size_t offset; /* of a uint64_t */
};

static const struct column_series lane_series[] = {
	{ "sluice_lane_lag_entries", "gauge", "Entries not yet written and invalidated.",
	    offsetof(struct lane_row, lag) },
	{ "sluice_lane_entries_total", "counter", "Entries read.",
	    offsetof(struct lane_row, entries) },
	{ "sluice_lane_dead_letters_total", "counter", "Entries that became dead letters.",
	    offsetof(struct lane_row, dead) },
	{ "sluice_lane_parked_keys", "gauge", "Keys that wait behind dead letters.",
	    offsetof(struct lane_row, parked_keys) },
	{ "sluice_lane_pending_entries", "gauge",
	    "Lanes that only invalidate: read by some process and not acknowledged.",
	    offsetof(struct lane_row, pending) },
	{ "sluice_lane_claimed_total", "counter",
	    "Lanes that only invalidate: entries taken over from other processes.",
	    offsetof(struct lane_row, claimed) },
	{ "sluice_lane_pending_deleted_total", "counter",
	    "Lanes that only invalidate: entries deleted from the stream before they were read.",
	    offsetof(struct lane_row, pending_deleted) },
	{ "sluice_lane_stream_entries", "gauge", "Entries in the stream.",
	    offsetof(struct lane_row, length) },
	{ "sluice_lane_stream_bytes", "gauge", "Memory of the stream.",
	    offsetof(struct lane_row, bytes) },
	{ "sluice_lane_alarms", "gauge", "Alarms that nobody has acknowledged.",
	    offsetof(struct lane_row, alarms) },
};

static const struct column_series table_series[] = {
	{ "sluice_table_changes_total", "counter", "Changes read, by table.",
	    offsetof(struct snapshot_table, changes) },
	{ "sluice_table_folded_total", "counter", "Changes merged into another, by table.",
	    offsetof(struct snapshot_table, folded) },
	{ "sluice_table_older_total", "counter", "Changes refused by version, by table.",
	    offsetof(struct snapshot_table, older) },
	{ "sluice_table_dead_letters_total", "counter", "Dead letters, by table.",
	    offsetof(struct snapshot_table, dead) },
	{ "sluice_table_dead_letters_open", "gauge", "Letters open, by table.",
	    offsetof(struct snapshot_table, dead_open) },
	{ "sluice_table_invalidated_total", "counter", "Cache keys invalidated, by table.",
	    offsetof(struct snapshot_table, invalidated) },
	{ "sluice_table_reads_total", "counter", "Reads that sluice_get reported, by table.",
	    offsetof(struct snapshot_table, sampled) },
	{ "sluice_table_hits_total", "counter", "Those of them that found a value, by table.",
	    offsetof(struct snapshot_table, found) },
	{ "sluice_table_loaded_total", "counter", "Values written ahead of their expiry, by table.",
	    offsetof(struct snapshot_table, loaded) },
	{ "sluice_table_hot_keys", "gauge", "Keys read above the threshold, by table.",
	    offsetof(struct snapshot_table, hot) },
	{ "sluice_table_stretched_keys", "gauge",
	    "Popular values that are served over their time, by table.",
	    offsetof(struct snapshot_table, stretched) },
	{ "sluice_table_loads_refused", "gauge",
	    "1 while the table is not refreshed: its key or its query won't do, by table.",
	    offsetof(struct snapshot_table, refused) },
	{ "sluice_table_verify_checks_total", "counter", "Keys compared with their row, by table.",
	    offsetof(struct snapshot_table, verified_all) },
	{ "sluice_table_verify_wrong_total", "counter",
	    "Those of them that held something else than their row, by table.",
	    offsetof(struct snapshot_table, found_wrong_all) },
};

static uint64_t
number_at(const void *row, size_t offset)
{
	uint64_t number;

	memcpy(&number, (const char *)row + offset, sizeof(number));
	return number;
}

static void
print_lane_rows(const struct lane_row *rows, size_t count, struct buf *out)
{
	for (size_t j = 0; j < sizeof(lane_series) / sizeof(*lane_series); j++) {
		const struct column_series *series = &lane_series[j];
		series_head(out, series->name, series->type, series->help);
		for (size_t i = 0; i < count; i++)
			series_value(out, series->name, "lane", rows[i].label.data,
			    number_at(&rows[i], series->offset));
	}
	series_head(out, "sluice_lane_oldest_pending_seconds", "gauge",
	    "Age of the oldest pending change; 0: nothing pending.");
	for (size_t i = 0; i < count; i++)
		series_real(out, "sluice_lane_oldest_pending_seconds", "lane", rows[i].label.data,
		    rows[i].oldest_pending_seconds);
	print_lane_state(rows, count, out);
}

/* Lanes that wait, or with `alarms` those with an alarm, because of `why`. */
static unsigned
count_lanes(const struct snapshot *s, bool alarms, const char *why)
{
	unsigned count = 0;

	for (size_t i = 0; i < s->lane_count; i++) {
		const char *word = alarms ? s->lanes[i].alarm : s->lanes[i].why;

		count += word != NULL && strcmp(word, why) == 0;
	}
	return count;
}

static void
print_whys(const struct snapshot *s, struct buf *out)
{
	series_head(out, "sluice_lanes_waiting", "gauge", "Lanes held or halted, by why.");
	for (size_t j = 0; lane_whys[j] != NULL; j++)
		series_value(out, "sluice_lanes_waiting", "why", lane_whys[j],
		    count_lanes(s, false, lane_whys[j]));
	series_head(out, "sluice_alarms", "gauge",
	    "Lanes with an alarm not acknowledged, by alarm.");
	for (size_t j = 0; lane_whys[j] != NULL; j++)
		series_value(out, "sluice_alarms", "alarm", lane_whys[j],
		    count_lanes(s, true, lane_whys[j]));
}

static void
print_lanes(const struct snapshot *s, struct buf *out)
{
	size_t count = 0;
	struct lane_row *rows = calloc(METRIC_LANES_MAX, sizeof(*rows));

	CHECK(rows != NULL);
	for (size_t i = 0; i < s->lane_count; i++) {
		size_t at = lane_row_of(s, i);
		lane_row_label(s, &s->lanes[i], &rows[at].label);
		lane_row_add(&rows[at], &s->lanes[i]);
		if (at >= count)
			count = at + 1;
	}
	series_gauge(out, "sluice_pool_members", "Processes of the pool that are alive.",
	    s->total.pool_members);
	series_gauge(out, "sluice_standby", "This process has no lanes and needs none: 1, else 0.",
	    s->total.standby);
	series_gauge(out, "sluice_lanes_share", "Lanes that are this process's part of the pool.",
	    s->total.lanes_share);
	series_gauge(out, "sluice_lanes_owned", "Lanes that this process owns.",
	    s->total.lanes_owned);
	print_lane_rows(rows, count, out);
	print_whys(s, out);
	for (size_t i = 0; i < METRIC_LANES_MAX; i++)
		buf_deinit(&rows[i].label);
	free(rows);
}

static void
table_add(struct snapshot_table *to, const struct snapshot_table *from)
{
	to->changes += from->changes;
	to->folded += from->folded;
	to->older += from->older;
	to->dead += from->dead;
	to->dead_open += from->dead_open;
	to->invalidated += from->invalidated;
	to->sampled += from->sampled;
	to->found += from->found;
	to->loaded += from->loaded;
	to->hot += from->hot;
	to->stretched += from->stretched;
	to->verified_all += from->verified_all;
	to->found_wrong_all += from->found_wrong_all;
	to->refused += from->refused;
}

static void
print_tables(const struct snapshot *s, struct buf *out)
{
	struct snapshot_table rows[METRIC_TABLES_MAX + 1] = { 0 };
	size_t count = s->table_count;

	for (size_t i = 0; i < s->table_count; i++) {
		size_t at = i < METRIC_TABLES_MAX ? i : METRIC_TABLES_MAX;
		rows[at].name = i < METRIC_TABLES_MAX ? s->tables[i].name : "other";
		table_add(&rows[at], &s->tables[i]);
	}
	if (count > METRIC_TABLES_MAX + 1)
		count = METRIC_TABLES_MAX + 1;
	for (size_t j = 0; j < sizeof(table_series) / sizeof(*table_series); j++) {
		const struct column_series *series = &table_series[j];
		series_head(out, series->name, series->type, series->help);
		for (size_t i = 0; i < count; i++)
			series_value(out, series->name, "table", rows[i].name,
			    number_at(&rows[i], series->offset));
	}
}

void
metrics_print(const struct snapshot *s, struct buf *out)
{
	print_process(s, out);
	print_work(s, out);
	print_invalidations(s, out);
	print_refresh(s, out);
	verify_page_metrics(s, out);
	print_cache(s, out);
	print_dependencies(s, out);
	print_lanes(s, out);
	print_tables(s, out);
}
