#include "worker/operate/verify_page.h"

#include "worker/operate/explain_entry.h"
#include "worker/operate/series.h"

#include <math.h>
#include <stdio.h>

double
verify_nines(double checks, double wrong)
{
	double ratio = checks / (wrong > 1 ? wrong : 1);

	return checks > 0 && ratio > 1 ? log10(ratio) : 0;
}

double
verify_chance(double sample, double picked, double dropped)
{
	double looked = picked > 0 ? (picked - dropped) / picked : 1;

	return sample >= 1 ? looked / sample : 0;
}

/* ---- taking ---- */

void
verify_page_take(struct snapshot *s, struct verify *verify)
{
	struct snapshot_verify *out = &s->verify;

	if (verify == NULL)
		return;
	struct verify_counters *c = verify_counters(verify);
	out->on = true;
	verify_told_counts(verify, &out->told, &out->picked, &out->ring);
	out->full = SEE(c->full);
	out->late = SEE(c->late);
	out->waiting = SEE(c->waiting);
	for (size_t i = 0; i < s->table_count; i++) {
		struct snapshot_table *table = &s->tables[i];

		for (int look = 0; look < VERIFY_LOOKS; look++) {
			table->verified[look] = SEE(c->tables[i].checks[look]);
			table->found_wrong[look] = SEE(c->tables[i].wrong[look]);
			out->checks[look] += table->verified[look];
			out->wrong[look] += table->found_wrong[look];
			table->verified_all += table->verified[look];
			table->found_wrong_all += table->found_wrong[look];
		}
		table->verified_absent = SEE(c->tables[i].absent);
		table->not_comparable = SEE(c->tables[i].unknown);
		out->unknown += table->not_comparable;
	}
	out->mysql = (enum breaker_state)SEE(c->mysql.state);
	out->cache = (enum breaker_state)SEE(c->cache.state);
	out->key_count = verify_wrong_keys(verify, out->keys);
}

/* ---- /status ---- */

static void
print_version(struct json *j, const char *name, const char *digits)
{
	struct buf text = { 0 };

	if (digits[0] == '\0') {
		json_text(j, name, NULL);
		return;
	}
	explain_version(str_of(digits), &text);
	json_text(j, name, text.data);
	buf_deinit(&text);
}

static void
print_u64(struct json *j, const char *name, bool known, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	json_text(j, name, known ? text : NULL);
}

static void
print_hash(struct json *j, const char *name, uint64_t hash)
{
	char text[24];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)hash);
	json_text(j, name, hash != 0 ? text : NULL);
}

/* Versions as text: a double would lose what is above 2^53. */
static void
print_wrong(const struct verify_wrong *w, struct json *j)
{
	char change[POSITION_TEXT];

	json_open(j, NULL, '{');
	json_text(j, "table", w->table->name);
	json_text(j, "template", w->template->written);
	json_text(j, "key", w->key);
	json_text(j, "within", verify_look_name(w->look));
	json_text(j, "what", w->what);
	print_version(j, "entry_version", w->seen.entry);
	print_version(j, "marker", w->seen.marker);
	json_bool(j, "row", w->seen.row_there);
	print_u64(j, "row_version", w->seen.row_has_version, w->seen.row_version);
	print_hash(j, "value_hash", w->seen.value_hash);
	print_hash(j, "row_hash", w->seen.row_hash);
	print_u64(j, "told_version", w->said.versioned, w->said.version);
	json_bool(j, "told_deleted", w->said.deleted);
	json_text(j, "lane", w->lane);
	json_text(j, "entry", w->lane != NULL ? position_text(w->change, change) : NULL);
	json_bool(j, "entry_or_before", w->up_to);
	json_time(j, "told", w->told_wall_ms);
	json_time(j, "seen", w->seen_wall_ms);
	json_close(j, '}');
}

static bool
has_checkable(const struct config_table *table)
{
	for (size_t i = 0; i < table->template_count; i++)
		if (mode_is_versioned(table->templates[i].mode))
			return true;
	return false;
}

static void
print_looks(const struct snapshot_table *table, struct json *j)
{
	for (unsigned look = 0; look < VERIFY_LOOKS; look++) {
		json_open(j, verify_look_name(look), '{');
		json_number(j, "checks", table->verified[look]);
		json_number(j, "wrong", table->found_wrong[look]);
		json_real(j, "nines",
		    verify_nines((double)table->verified[look], (double)table->found_wrong[look]));
		json_close(j, '}');
	}
}

static void
print_tables(const struct snapshot *s, struct json *j)
{
	json_open(j, "tables", '{');
	for (size_t i = 0; i < s->table_count; i++) {
		if (!has_checkable(&s->config->tables[i]))
			continue;
		json_open(j, s->tables[i].name, '{');
		print_looks(&s->tables[i], j);
		json_number(j, "absent", s->tables[i].verified_absent);
		json_number(j, "not_comparable", s->tables[i].not_comparable);
		json_close(j, '}');
	}
	json_close(j, '}');
	json_open(j, "not_checkable", '[');
	for (size_t i = 0; i < s->table_count; i++)
		for (size_t k = 0; k < s->config->tables[i].template_count; k++) {
			const struct config_template *t = &s->config->tables[i].templates[k];

			if (mode_is_versioned(t->mode) || t->mode == MODE_NONE)
				continue;
			json_open(j, NULL, '{');
			json_text(j, "table", s->tables[i].name);
			json_text(j, "template", t->written);
			json_text(j, "mode", config_mode_name(t->mode));
			json_close(j, '}');
		}
	json_close(j, ']');
}

void
verify_page_status(const struct snapshot *s, struct json *j)
{
	const struct snapshot_verify *v = &s->verify;

	if (!v->on)
		return;
	json_open(j, "verify", '{');
	json_number(j, "sample", (uint64_t)s->config->verify.sample);
	json_number(j, "rate", (uint64_t)s->config->verify.rate);
	json_number(j, "waiting", v->waiting);
	json_number(j, "waiting_max", (uint64_t)s->config->verify.waiting);
	json_number(j, "told", v->told);
	json_number(j, "picked", v->picked);
	json_number(j, "dropped_ring", v->ring);
	json_number(j, "dropped_full", v->full);
	json_number(j, "late", v->late);
	json_number(j, "not_comparable", v->unknown);
	json_text(j, "mysql", breaker_state_name(v->mysql));
	json_text(j, "cache", breaker_state_name(v->cache));
	print_tables(s, j);
	json_open(j, "wrong", '[');
	for (size_t i = 0; i < v->key_count; i++)
		print_wrong(&v->keys[i], j);
	json_close(j, ']');
	json_close(j, '}');
}

/* ---- metrics ---- */

void
verify_page_metrics(const struct snapshot *s, struct buf *out)
{
	const struct snapshot_verify *v = &s->verify;

	series_counter(out, "sluice_verify_told_total",
	    "Invalidations that `verify` could look at again.", v->told);
	series_counter(out, "sluice_verify_picked_total", "Those that its sample picked.",
	    v->picked);
	series_head(out, "sluice_verify_dropped_total", "counter",
	    "Not looked at: no room on the way (ring) or to wait (full), or a look came too late.");
	series_value(out, "sluice_verify_dropped_total", "why", "ring", v->ring);
	series_value(out, "sluice_verify_dropped_total", "why", "full", v->full);
	series_value(out, "sluice_verify_dropped_total", "why", "late", v->late);
	series_gauge(out, "sluice_verify_waiting", "Keys that wait for their next look.",
	    (double)v->waiting);
	series_head(out, "sluice_verify_checks_total", "counter",
	    "Keys compared with their row, by how long after the invalidation.");
	for (unsigned look = 0; look < VERIFY_LOOKS; look++)
		series_value(out, "sluice_verify_checks_total", "within", verify_look_name(look),
		    v->checks[look]);
	series_head(out, "sluice_verify_wrong_total", "counter",
	    "Those of them that held something else than their row.");
	for (unsigned look = 0; look < VERIFY_LOOKS; look++)
		series_value(out, "sluice_verify_wrong_total", "within", verify_look_name(look),
		    v->wrong[look]);
	series_counter(out, "sluice_verify_not_comparable_total",
	    "Keys looked at that can't be compared: no version, a put write that is pending, not "
	    "an entry of the functions.",
	    v->unknown);
}
