#include "worker/operate/status.h"

#include "worker/operate/health.h"
#include "worker/operate/json.h"
#include "worker/operate/verify_page.h"

#include <string.h>

static void print_warnings(const struct snapshot *s, struct json *j);

static void
print_workers(const struct snapshot *s, struct json *j)
{
	json_open(j, "workers", '[');
	for (size_t i = 0; i < s->worker_count; i++) {
		const struct snapshot_worker *w = &s->workers[i];
		json_open(j, NULL, '{');
		json_number(j, "index", (uint64_t)w->index);
		json_number(j, "lanes", (uint64_t)w->lanes);
		json_number(j, "lanes_owned", (uint64_t)w->lanes_owned);
		json_real(j, "beat_age_seconds", w->beat_age_seconds);
		json_bool(j, "stuck", w->stuck);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
print_lanes(const struct snapshot *s, struct json *j)
{
	char text[POSITION_TEXT];

	json_open(j, "lanes", '[');
	for (size_t i = 0; i < s->lane_count; i++) {
		const struct snapshot_lane *lane = &s->lanes[i];
		json_open(j, NULL, '{');
		json_text(j, "name", lane->name);
		json_text(j, "source", lane->source->written);
		json_text(j, "stream", lane->stream);
		json_number(j, "worker", (uint64_t)lane->worker);
		json_text(j, "state", lane_state_name(lane->state));
		json_text(j, "why", lane->why);
		json_text(j, "alarm", lane->alarm);
		json_text(j, "position", position_text(lane->position, text));
		json_text(j, "done", position_text(lane->done, text));
		json_number(j, "lag", lane->lag);
		json_real(j, "oldest_pending_seconds", lane->oldest_pending_seconds);
		json_number(j, "entries", lane->entries);
		json_number(j, "dead", lane->dead);
		json_number(j, "parked_keys", lane->parked_keys);
		json_bool(j, "invalidates_again", lane->again);
		json_number(j, "invalidated_again", lane->again_entries);
		json_bool(j, "writes", lane->source->write);
		json_number(j, "pending", lane->pending);
		json_number(j, "claimed", lane->claimed);
		json_number(j, "pending_deleted", lane->pending_deleted);
		json_number(j, "stream_entries", lane->stream_length);
		json_number(j, "stream_bytes", lane->stream_bytes);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
print_breaker(const struct snapshot_breaker *b, const char *name, struct json *j)
{
	json_open(j, name, '{');
	json_text(j, "state", breaker_state_name(b->state));
	json_time(j, "since", b->since_wall_ms);
	json_number(j, "failures", b->failures);
	json_number(j, "failures_total", b->failures_total);
	json_text(j, "why", b->state == BREAKER_CLOSED ? NULL : b->why);
	json_close(j, '}');
}

static void
print_tables(const struct snapshot *s, struct json *j)
{
	json_open(j, "tables", '{');
	for (size_t i = 0; i < s->table_count; i++) {
		const struct snapshot_table *table = &s->tables[i];
		json_open(j, table->name, '{');
		json_number(j, "changes", table->changes);
		json_number(j, "folded", table->folded);
		json_number(j, "older", table->older);
		json_number(j, "dead", table->dead);
		json_number(j, "dead_open", table->dead_open);
		json_number(j, "invalidated", table->invalidated);
		if (table->sampled > 0)
			json_real(j, "hit_rate", (double)table->found / (double)table->sampled);
		if (s->refresh.on) {
			json_number(j, "loaded", table->loaded);
			json_number(j, "hot", table->hot);
			json_number(j, "stretched", table->stretched);
		}
		if (table->load.used)
			print_breaker(&table->load, "load", j);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void
print_breakers(const struct snapshot *s, struct json *j)
{
	json_open(j, "breakers", '{');
	for (int i = 0; i < DEPENDENCIES; i++)
		if (s->breakers[i].used)
			print_breaker(&s->breakers[i], dependency_name((enum dependency)i), j);
	json_close(j, '}');
}

/* Letters that are open now, by what there are any of. */
static void
print_open(const struct snapshot *s, struct json *j)
{
	json_open(j, "dead_open_by_reason", '{');
	for (int i = 0; dead_reason_name(i) != NULL; i++)
		if (s->total.dead_open_by_reason[i] > 0)
			json_number(j, dead_reason_name(i), s->total.dead_open_by_reason[i]);
	json_close(j, '}');
	json_open(j, "dead_open_by_table", '{');
	for (size_t i = 0; i < s->table_count; i++)
		if (s->tables[i].dead_open > 0)
			json_number(j, s->tables[i].name, s->tables[i].dead_open);
	json_close(j, '}');
}

static void
print_totals(const struct snapshot *s, struct json *j)
{
	const struct snapshot_total *t = &s->total;

	json_open(j, "totals", '{');
	json_number(j, "batches", t->batches);
	json_number(j, "entries", t->entries);
	json_number(j, "changes", t->changes);
	json_number(j, "folded", t->folded);
	json_number(j, "rows", t->rows);
	json_number(j, "older", t->older);
	json_number(j, "dead", t->dead);
	json_number(j, "dead_open", t->dead_open);
	json_number(j, "dead_stream_entries", s->dead_stream_entries);
	json_number(j, "replayed", t->replayed);
	json_number(j, "replays_refused", t->replays_refused);
	json_number(j, "statements", t->statements);
	json_number(j, "retries", t->retries);
	json_number(j, "fenced", t->fenced);
	json_number(j, "mismatches", t->mismatches);
	json_number(j, "one_by_one", t->one_by_one);
	json_number(j, "invalidated", t->invalidated);
	json_number(j, "invalidations_skipped", t->invalidations_skipped);
	json_number(j, "invalidations_refused", t->invalidations_refused);
	json_number(j, "invalidations_repeated", t->invalidations_repeated);
	json_number(j, "invalidated_again", t->invalidated_again);
	json_number(j, "populated", t->populated);
	json_number(j, "not_populated", t->not_populated);
	json_number(j, "markers_left_out", t->markers_left_out);
	json_number(j, "announced", t->announced);
	json_number(j, "lag", t->lag);
	json_real(j, "oldest_pending_seconds", t->oldest_pending_seconds);
	json_real(j, "mysql_waits_seconds", t->mysql_waits_seconds);
	json_number(j, "lanes_owned", (uint64_t)t->lanes_owned);
	json_number(j, "lanes_share", (uint64_t)t->lanes_share);
	json_number(j, "alarms", (uint64_t)t->alarms);
	json_number(j, "outbox_rows", t->outbox_rows);
	json_number(j, "workers_paused_for_cache", (uint64_t)t->workers_paused);
	json_number(j, "workers_owing_flush", (uint64_t)t->flushes_owed);
	json_number(j, "cache_flushes", t->cache_flushes);
	json_number(j, "log_lines_suppressed", s->log_lines_suppressed);
	json_close(j, '}');
	json_open(j, "dead_by_reason", '{');
	for (int i = 0; dead_reason_name(i) != NULL; i++)
		json_number(j, dead_reason_name(i), t->dead_by_reason[i]);
	json_close(j, '}');
	print_open(s, j);
	json_open(j, "events_passed", '{');
	for (int i = 0; passed_name(i) != NULL; i++)
		json_number(j, passed_name(i), t->passed[i]);
	json_close(j, '}');
}

static void
print_scan(const struct snapshot *s, struct json *j)
{
	const struct snapshot_total *t = &s->total;

	json_open(j, "scan", '{');
	json_number(j, "patterns", t->scan_patterns);
	json_number(j, "patterns_waiting", t->scan_patterns_waiting);
	json_number(j, "looked_keys", t->scan_looked);
	json_number(j, "of_keys", t->scan_of);
	json_number(j, "passes", t->scan_passes);
	json_number(j, "removed", t->scan_removed);
	json_number(j, "failures", t->scan_failures);
	json_number(j, "workers_full", (uint64_t)t->scan_full);
	json_close(j, '}');
}

static void
print_warnings(const struct snapshot *s, struct json *j)
{
	struct buf warnings = { 0 };

	health_warnings(s, &warnings);
	json_raw(j, "warnings", warnings.data);
	buf_deinit(&warnings);
}

/* What no way of invalidating can make race-free. */
static void
print_bounded(const struct snapshot *s, struct json *j)
{
	json_open(j, "bounded", '[');
	for (size_t i = 0; i < s->config->table_count; i++)
		if (config_is_bounded(&s->config->tables[i]))
			json_text(j, NULL, s->config->tables[i].name);
	json_close(j, ']');
}

static void
print_cache(const struct snapshot *s, struct json *j)
{
	const struct snapshot_cache *c = &s->cache;

	json_open(j, "cache", '{');
	json_bool(j, "known", c->known);
	if (c->hit_permille >= 0)
		json_real(j, "hit_rate", (double)c->hit_permille / 1000);
	json_number(j, "used_bytes", c->used_bytes);
	json_number(j, "max_bytes", c->max_bytes);
	json_number(j, "evicted", c->evicted);
	json_number(j, "expired", c->expired);
	json_number(j, "replicas", c->replicas);
	json_real(j, "replica_lag_seconds", c->replica_lag_seconds);
	json_bool(j, "persistence_failed", c->persistence_failed);
	json_real(j, "ping_seconds", c->ping_seconds);
	json_number(j, "keys_walked", c->keys_walked);
	json_number(j, "walks", c->walks);
	json_number(j, "without_ttl", c->without_ttl);
	json_number(j, "large_keys", c->large);
	json_number(j, "largest_bytes", c->largest_bytes);
	json_close(j, '}');
}

static void
print_hot_key(const struct refresh_key *key, struct json *j)
{
	json_open(j, NULL, '{');
	json_text(j, "table", key->table->name);
	json_text(j, "key", key->key);
	json_real(j, "rate", key->rate);
	if (key->ttl_ms != INT64_MIN)
		json_real(j, "ttl_seconds", (double)key->ttl_ms / 1000);
	json_time(j, "loaded", key->loaded_wall_ms);
	json_real(j, "load_seconds", (double)key->load_us / 1e6);
	json_bool(j, "stretched", key->stretched);
	json_bool(j, "ours", key->ours);
	json_close(j, '}');
}

static void
print_refresh(const struct snapshot *s, struct json *j)
{
	const struct snapshot_refresh *r = &s->refresh;

	if (!r->on)
		return;
	json_open(j, "refresh", '{');
	json_number(j, "members", r->members);
	json_number(j, "hot", r->hot);
	json_number(j, "stretched", r->stretched);
	json_number(j, "selects", r->selects);
	json_number(j, "asked", r->asked);
	json_number(j, "loaded", r->loaded);
	json_number(j, "reloaded", r->reloaded);
	json_number(j, "lost", r->lost);
	json_number(j, "older", r->older);
	json_number(j, "duplicates", r->duplicates);
	json_number(j, "absent", r->absent);
	json_number(j, "stretches", r->stretches);
	json_number(j, "reads", r->reads);
	json_number(j, "reads_unknown", r->reads_unknown);
	json_number(j, "over_budget", r->over_budget);
	json_number(j, "rate_limit", r->rate_limit);
	json_real(j, "last_load_seconds", r->last_load_seconds);
	json_open(j, "keys", '[');
	for (size_t i = 0; i < r->key_count; i++)
		print_hot_key(&r->keys[i], j);
	json_close(j, ']');
	json_close(j, '}');
}

static void
print_machine(const struct snapshot *s, struct json *j)
{
	json_open(j, "rates", '{');
	for (int i = 0; i < RATES; i++)
		json_real(j, rate_name((enum rate)i), s->rates[i]);
	json_close(j, '}');
	json_open(j, "memory", '{');
	json_number(j, "held_bytes", s->total.memory_bytes);
	json_number(j, "limit_bytes", (uint64_t)s->config->memory_bytes);
	json_number(j, "resident_bytes", s->resident_bytes);
	json_number(j, "redis_used_bytes", s->redis_used_bytes);
	json_number(j, "redis_max_bytes", s->redis_max_bytes);
	json_number(j, "streams_bytes", s->total.stream_bytes);
	json_close(j, '}');
	json_real(j, "cpu_seconds", s->cpu_seconds);
}

void
status_print(const struct snapshot *s, struct buf *out)
{
	struct json j = { .out = out };
	struct buf reasons = { 0 };
	bool healthy = health_healthy(s, &reasons);

	json_open(&j, NULL, '{');
	json_text(&j, "pool", s->config->pool);
	json_text(&j, "version", SLUICE_VERSION);
	json_time(&j, "time", s->taken_wall_ms);
	json_real(&j, "uptime_seconds", s->uptime_seconds);
	json_bool(&j, "stopping", s->stopping);
	json_number(&j, "pool_members", (uint64_t)s->total.pool_members);
	json_bool(&j, "standby", s->total.standby);
	json_bool(&j, "healthy", healthy);
	json_raw(&j, "reasons", reasons.data);
	print_warnings(s, &j);
	print_bounded(s, &j);
	print_workers(s, &j);
	print_lanes(s, &j);
	print_tables(s, &j);
	print_breakers(s, &j);
	print_totals(s, &j);
	print_scan(s, &j);
	print_refresh(s, &j);
	verify_page_status(s, &j);
	print_cache(s, &j);
	print_machine(s, &j);
	json_close(&j, '}');
	buf_add_char(out, '\n');
	buf_deinit(&reasons);
}

bool
status_print_health(const struct snapshot *s, struct buf *out)
{
	struct json j = { .out = out };
	struct buf reasons = { 0 };
	bool healthy = health_healthy(s, &reasons);

	json_open(&j, NULL, '{');
	json_bool(&j, "healthy", healthy);
	json_raw(&j, "reasons", reasons.data);
	print_warnings(s, &j);
	print_bounded(s, &j);
	json_number(&j, "lag", s->total.lag);
	json_real(&j, "oldest_pending_seconds", s->total.oldest_pending_seconds);
	print_breakers(s, &j);
	json_open(&j, "lanes", '{');
	for (int state = LANE_FREE; state <= LANE_HALTED; state++)
		json_number(&j, lane_state_name((enum lane_state)state),
		    (uint64_t)s->total.lanes_in[state]);
	json_close(&j, '}');
	json_number(&j, "alarms", (uint64_t)s->total.alarms);
	json_number(&j, "dead_open", s->total.dead_open);
	json_number(&j, "dead_stream_entries", s->dead_stream_entries);
	print_open(s, &j);
	json_close(&j, '}');
	buf_add_char(out, '\n');
	buf_deinit(&reasons);
	return healthy;
}
