#include "worker/operate/verify_walk.h"

#include "common/clock.h"
#include "common/random.h"
#include "worker/cache/hot_keys.h"
#include "worker/cache/verify_look.h"
#include "worker/operate/command.h"
#include "worker/operate/explain_entry.h"
#include "worker/operate/text_table.h"
#include "worker/operate/verify_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SCAN_COUNT = 500, SCANS_PER_LOOK = 10, WRONG_SHOWN = 100, CELL = 32 };

/* Of one template. */
struct tally {
	uint64_t keys, picked, checks, absent, wrong, unknown;
};

struct walk {
	const struct verify_walk_options *options;
	struct verify_eye eye;
	struct random random;
	struct arena page; /* the keys of one SCAN */
	struct tally *tallies;
	struct text_table wrong;
	uint64_t scanned, wrong_count;
	int64_t began_ms, looked;
	bool ended;
	struct err err;
	bool show_keys;
};

/* ---- pauses ---- */

static void
rest(int64_t ms)
{
	struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	if (ms > 0)
		nanosleep(&pause, NULL);
}

/* Of what is at most a second's worth, so that no session ends for want of work. */
static size_t
at_once(const struct walk *w, int64_t scale, size_t max)
{
	int64_t second = w->options->rate * scale;

	return second < (int64_t)max ? (size_t)second : max;
}

/* As many keys as the rate has allowed since the beginning, and ten times as many that are walked. */
static void
keep_rate(struct walk *w, size_t looked)
{
	int64_t walked = (int64_t)w->scanned / SCANS_PER_LOOK;

	w->looked += (int64_t)looked;
	if (walked < w->looked)
		walked = w->looked;
	rest(w->began_ms + walked * 1000 / w->options->rate - clock_ms());
}

/* ---- looking ---- */

static void
number_cell(char out[CELL], bool known, uint64_t number)
{
	out[0] = '\0';
	if (known)
		snprintf(out, CELL, "%llu", (unsigned long long)number);
}

static void
add_wrong(struct walk *w, const struct verify_template *t, struct str key,
    const struct verify_seen *seen)
{
	char shown[VERIFY_KEY_MAX + 1], row[CELL], value_hash[CELL] = "", row_hash[CELL] = "";
	struct buf entry = { 0 }, marker = { 0 };

	if (w->wrong_count++ >= WRONG_SHOWN)
		return;
	if (w->show_keys)
		snprintf(shown, sizeof(shown), "%.*s", STR_ARGS(key));
	else
		snprintf(shown, sizeof(shown), "%016llx", (unsigned long long)hot_key_hash(key));
	explain_version(str_of(seen->entry), &entry);
	explain_version(str_of(seen->marker), &marker);
	number_cell(row, seen->row_has_version, seen->row_version);
	if (seen->value_hash != 0) {
		snprintf(value_hash, CELL, "%016llx", (unsigned long long)seen->value_hash);
		snprintf(row_hash, CELL, "%016llx", (unsigned long long)seen->row_hash);
	}
	const char *cells[] = { t->table->name, t->template->written, shown, verify_what(seen),
		entry.data, marker.data, seen->row_there ? row : "no row", value_hash, row_hash };
	text_table_add(&w->wrong, cells);
	buf_deinit(&entry);
	buf_deinit(&marker);
}

static void
count(struct walk *w, const struct verify_template *t, struct str key, enum verify_verdict verdict,
    const struct verify_seen *seen)
{
	struct tally *tally = &w->tallies[t - w->eye.templates];

	if (verdict == VERIFY_UNKNOWN)
		tally->unknown++;
	else
		tally->checks++;
	tally->absent += verdict == VERIFY_ABSENT;
	tally->wrong += verdict == VERIFY_WRONG;
	if (verdict == VERIFY_WRONG)
		add_wrong(w, t, key, seen);
}

static int
look_again(struct walk *w, const struct verify_template *t, const struct str *keys,
    const struct verify_seen *first, size_t count_of)
{
	struct verify_seen seen[VERIFY_BATCH_MAX];

	if (count_of == 0)
		return 0;
	rest(VERIFY_CONFIRM_MS);
	if (verify_eye_look(&w->eye, t, keys, count_of, seen, &w->err) != 0)
		return -1;
	keep_rate(w, count_of);
	for (size_t i = 0; i < count_of; i++)
		count(w, t, keys[i], verify_confirm(t->template->mode, &first[i], &seen[i]),
		    &seen[i]);
	return 0;
}

static int
look_at(struct walk *w, const struct verify_template *t, const struct str *keys, size_t count_of)
{
	const struct verify_said nothing = { .versioned = false };
	struct verify_seen seen[VERIFY_BATCH_MAX], doubtful[VERIFY_BATCH_MAX];
	struct str again[VERIFY_BATCH_MAX];
	size_t n = 0;

	if (count_of == 0)
		return 0;
	if (verify_eye_look(&w->eye, t, keys, count_of, seen, &w->err) != 0)
		return -1;
	keep_rate(w, count_of);
	for (size_t i = 0; i < count_of; i++) {
		enum verify_verdict verdict = verify_judge(t->template->mode, &nothing, &seen[i]);

		if (verdict == VERIFY_SUSPECT) {
			doubtful[n] = seen[i];
			again[n++] = keys[i];
		} else {
			count(w, t, keys[i], verdict, &seen[i]);
		}
	}
	return look_again(w, t, again, doubtful, n);
}

/* ---- walking ---- */

static bool
is_picked(struct walk *w, const struct verify_template *t, struct str key)
{
	struct str values[KEY_HOLES_MAX];

	arena_reset(&w->eye.arena);
	if (key.len > VERIFY_KEY_MAX || !key_holes_match(&t->holes, key, &w->eye.arena, values))
		return false;
	w->tallies[t - w->eye.templates].keys++;
	if (w->options->sample > 1 && random_below(&w->random, (uint64_t)w->options->sample) != 0)
		return false;
	w->tallies[t - w->eye.templates].picked++;
	return true;
}

static bool
is_over(const struct walk *w)
{
	return w->options->for_ms > 0 && clock_ms() - w->began_ms >= w->options->for_ms;
}

static int
look_at_page(struct walk *w, const struct redis_reply *keys)
{
	struct str some[VERIFY_BATCH_MAX];

	size_t batch = at_once(w, 1, VERIFY_BATCH_MAX);

	w->scanned += keys->count;
	keep_rate(w, 0);
	for (size_t t = 0; t < w->eye.template_count; t++) {
		const struct verify_template *template = &w->eye.templates[t];
		size_t n = 0;

		for (size_t i = 0; i < keys->count && !is_over(w); i++) {
			if (!is_picked(w, template, keys->element[i]->text))
				continue;
			some[n++] = keys->element[i]->text;
			if (n < batch)
				continue;
			if (look_at(w, template, some, n) != 0)
				return -1;
			n = 0;
		}
		if (look_at(w, template, some, n) != 0)
			return -1;
	}
	return 0;
}

static int
walk(struct walk *w)
{
	char cursor[24] = "0";

	do {
		struct redis_reply *reply;

		arena_reset(&w->page);
		reply = redis_call(w->eye.redis, &w->page, &w->err, "SCAN %s COUNT %lld", cursor,
		    (long long)at_once(w, SCANS_PER_LOOK, SCAN_COUNT));
		if (reply == NULL || reply->type != REDIS_ARRAY || reply->count != 2)
			return -1;
		snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->text.data);
		if (look_at_page(w, reply->element[1]) != 0)
			return -1;
	} while (strcmp(cursor, "0") != 0 && !is_over(w));
	w->ended = strcmp(cursor, "0") == 0 && !is_over(w);
	return 0;
}

/* ---- the report ---- */

static void
add_tally(const struct verify_template *t, const struct tally *tally, struct text_table *table)
{
	char cells[7][CELL];

	snprintf(cells[0], CELL, "%s%.1f", tally->wrong == 0 ? ">= " : "",
	    verify_nines((double)tally->checks, (double)tally->wrong));
	number_cell(cells[1], true, tally->checks);
	number_cell(cells[2], true, tally->wrong);
	number_cell(cells[3], true, tally->absent);
	number_cell(cells[4], true, tally->unknown);
	number_cell(cells[5], true, tally->keys);
	const char *row[] = { t->table->name, t->template->written,
		config_mode_name(t->template->mode), cells[0], cells[1], cells[2], cells[3],
		cells[4], cells[5] };
	text_table_add(table, row);
}

static bool
report(struct walk *w)
{
	static const char *const heads[] = { "table", "template", "mode", "nines", "checks",
		"wrong", "no value", "not comparable", "keys", NULL };
	struct text_table table;
	struct buf out = { 0 };
	bool put;

	text_table_init(&table, heads);
	for (size_t i = 0; i < w->eye.template_count; i++)
		add_tally(&w->eye.templates[i], &w->tallies[i], &table);
	text_table_print(&table, &out);
	text_table_deinit(&table);
	buf_printf(&out, "\n%llu keys walked, 1/%lld of the table's looked at%s\n",
	    (unsigned long long)w->scanned, (long long)w->options->sample,
	    w->ended ? "" : "; the walk ended before all keys were seen");
	if (w->wrong_count > 0) {
		buf_add_char(&out, '\n');
		text_table_print(&w->wrong, &out);
		if (w->wrong_count > WRONG_SHOWN)
			buf_printf(&out, "%llu in all\n", (unsigned long long)w->wrong_count);
	}
	put = command_put(&out);
	buf_deinit(&out);
	return put;
}

static int
away(struct walk *w, const struct config *config)
{
	struct buf place = { 0 };
	bool cache = !redis_is_open(w->eye.redis) || sql_is_open(w->eye.rows.sql);

	if (cache)
		access_add_redis(&config->cache, &place);
	else
		access_add_mysql(&config->mysql, &place);
	fprintf(stderr, "sluice: %s %s: %s\n", cache ? "cache" : "mysql", place.data, w->err.text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

static int
run(struct walk *w, const struct config *config)
{
	if (w->eye.template_count == 0) {
		fputs("sluice: verify: can't be known: no template has mode versioned or "
		      "populate\n",
		    stderr);
		return EXIT_CODE_UNKNOWN;
	}
	if (redis_open(w->eye.redis, &w->err) != 0 || row_access_open(&w->eye.rows, &w->err) != 0 ||
	    walk(w) != 0)
		return away(w, config);
	if (!report(w))
		return EXIT_CODE_RUNTIME;
	return w->wrong_count > 0 ? EXIT_CODE_RUNTIME : EXIT_CODE_OK;
}

int
verify_walk(const struct config *config, const struct verify_walk_options *options)
{
	static const char *const heads[] = { "wrong key of", "template", "key", "what",
		"entry version", "marker", "row version", "value hash", "row hash", NULL };
	struct walk w = {
		.options = options, .began_ms = clock_ms(), .show_keys = config->show_keys
	};
	int code;

	sql_library_init();
	sql_thread_start();
	random_init(&w.random, random_seed());
	arena_init(&w.page, 0);
	verify_eye_init(&w.eye, config, options->table, "sluice-verify");
	w.tallies = calloc(w.eye.template_count + 1, sizeof(*w.tallies));
	CHECK(w.tallies != NULL);
	text_table_init(&w.wrong, heads);
	code = run(&w, config);
	text_table_deinit(&w.wrong);
	free(w.tallies);
	verify_eye_deinit(&w.eye);
	arena_deinit(&w.page);
	sql_thread_stop();
	return code;
}
