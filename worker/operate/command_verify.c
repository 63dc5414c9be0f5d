#include "common/number.h"
#include "config/unit.h"
#include "worker/cache/verify.h"
#include "worker/operate/command.h"
#include "worker/operate/http_client.h"
#include "worker/operate/page_value.h"
#include "worker/operate/text_table.h"
#include "worker/operate/verify_page.h"
#include "worker/operate/verify_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

/* `sluice verify`: what the running verifier found, or a walk over the cache by the command itself. */
enum { OPTION_ONCE, OPTION_TABLE, OPTION_SAMPLE_OF, OPTION_RATE, OPTION_FOR };
enum { RATE = 1000, CELL = 48 };

struct report {
	const char *table; /* NULL: all */
	yyjson_doc *before, *now;
	struct buf out;
	uint64_t checks, wrong;
};

static int
usage(const char *text)
{
	fprintf(stderr, "sluice: verify: %s\n", text);
	return EXIT_CODE_USAGE;
}

static yyjson_val *
verify_of(yyjson_doc *page)
{
	return yyjson_obj_get(yyjson_doc_get_root(page), "verify");
}

/* ---- the report of a running sluice ---- */

/* Since the page before, where there is one. */
static double
number_since(const struct report *r, const char *table, const char *look, const char *name)
{
	double number = 0;

	for (int before = 0; before < 2; before++) {
		yyjson_val *v = verify_of(before ? r->before : r->now);

		if (table != NULL)
			v = yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(v, "tables"), table),
			    look);
		number += (before ? -1 : 1) * page_number(v, name);
	}
	/* it was started anew meanwhile */
	return number > 0 ? number : 0;
}

static void
add_look(struct report *r, const char *name, const char *look, struct text_table *t)
{
	double checks = number_since(r, name, look, "checks");
	double wrong = number_since(r, name, look, "wrong");
	char nines[CELL], check_text[CELL], wrong_text[CELL];

	snprintf(nines, CELL, "%s%.1f nines", wrong > 0 ? "" : "at least ",
	    verify_nines(checks, wrong));
	snprintf(check_text, CELL, "%.0f", checks);
	snprintf(wrong_text, CELL, "%.0f", wrong);
	const char *cells[] = { name, checks > 0 ? nines : "not known yet", look, check_text,
		wrong_text };
	text_table_add(t, cells);
	r->checks += (uint64_t)checks;
	r->wrong += (uint64_t)wrong;
}

static void
add_tables(struct report *r)
{
	static const char *const heads[] = { "table", "right", "within", "checks", "wrong", NULL };
	yyjson_obj_iter iter = yyjson_obj_iter_with(yyjson_obj_get(verify_of(r->now), "tables"));
	struct text_table t;
	yyjson_val *name;

	text_table_init(&t, heads);
	while ((name = yyjson_obj_iter_next(&iter)) != NULL) {
		if (r->table != NULL && strcmp(yyjson_get_str(name), r->table) != 0)
			continue;
		for (unsigned look = 0; look < VERIFY_LOOKS; look++)
			add_look(r, yyjson_get_str(name), verify_look_name(look), &t);
	}
	text_table_print(&t, &r->out);
	text_table_deinit(&t);
}

/* At least one of k dropped invalidations, each by itself with a chance of p. */
static double
one_of(double p, int k)
{
	double none = 1;

	for (int i = 0; i < k; i++)
		none *= 1 - p;
	return 100 * (1 - none);
}

static void
add_chance(struct report *r)
{
	yyjson_val *v = verify_of(r->now);
	double dropped = page_number(v, "dropped_ring") + page_number(v, "dropped_full");
	double p = verify_chance(page_number(v, "sample"), page_number(v, "picked"), dropped);

	buf_printf(&r->out,
	    "\nsample 1/%.0f: of %.0f invalidations %.0f were picked; %.0f keys wait for their "
	    "next "
	    "look\n",
	    page_number(v, "sample"), page_number(v, "told"), page_number(v, "picked"),
	    page_number(v, "waiting"));
	if (dropped + page_number(v, "late") > 0)
		buf_printf(&r->out,
		    "not looked at: %.0f keys for want of room, %.0f looks because they came too "
		    "late\n",
		    dropped, page_number(v, "late"));
	if (strcmp(page_text(v, "mysql"), "closed") != 0 ||
	    strcmp(page_text(v, "cache"), "closed") != 0)
		buf_printf(&r->out, "its breakers: mysql %s, cache %s\n", page_text(v, "mysql"),
		    page_text(v, "cache"));
	if (page_number(v, "not_comparable") > 0)
		buf_printf(&r->out, "not comparable: %.0f looks\n",
		    page_number(v, "not_comparable"));
	buf_printf(&r->out,
	    "an invalidation that is dropped is found with a chance of %.3g %%, one of ten with "
	    "%.3g %%, of a thousand with %.3g %%\n",
	    100 * p, one_of(p, 10), one_of(p, 1000));
}

static void
add_not_checkable(struct report *r)
{
	yyjson_arr_iter iter =
	    yyjson_arr_iter_with(yyjson_obj_get(verify_of(r->now), "not_checkable"));
	yyjson_val *one;

	while ((one = yyjson_arr_iter_next(&iter)) != NULL)
		if (r->table == NULL || strcmp(page_text(one, "table"), r->table) == 0)
			buf_printf(&r->out,
			    "not checkable: %s, template %s: keys of mode %s don't tell their "
			    "version\n",
			    page_text(one, "table"), page_text(one, "template"),
			    page_text(one, "mode"));
}

static const char *
version_text(yyjson_val *w, const char *name)
{
	const char *text = page_text(w, name);

	return text[0] != '\0' ? text : "none";
}

static void
add_wrong_key(struct report *r, yyjson_val *w)
{
	const char *told = page_text(w, "told_version"), *row = page_text(w, "row_version");

	buf_printf(&r->out, "\nwrong: %s, template %s, key %s, %s after: %s\n",
	    page_text(w, "table"), page_text(w, "template"), page_text(w, "key"),
	    page_text(w, "within"), page_text(w, "what"));
	buf_printf(&r->out, "  found   entry of version %s, marker %s, row %s%s\n",
	    version_text(w, "entry_version"), version_text(w, "marker"),
	    row[0] != '\0'				  ? "of version " :
		yyjson_get_bool(yyjson_obj_get(w, "row")) ? "without a version" :
							    "not there",
	    row);
	if (page_text(w, "value_hash")[0] != '\0')
		buf_printf(&r->out, "  hashes  value %s, row %s\n", page_text(w, "value_hash"),
		    page_text(w, "row_hash"));
	buf_printf(&r->out, "  change  %s%s%s%s of %s, told as %s%s at %s\n",
	    page_text(w, "lane")[0] != '\0' ? "entry " : "not known", page_text(w, "entry"),
	    yyjson_get_bool(yyjson_obj_get(w, "entry_or_before")) ? " or one before it" : "",
	    page_text(w, "lane")[0] != '\0' ? "" : ", it was told from the outbox",
	    page_text(w, "lane")[0] != '\0' ? page_text(w, "lane") : "no lane",
	    told[0] != '\0' ? told : "unversioned",
	    yyjson_get_bool(yyjson_obj_get(w, "told_deleted")) ? " deleted" : "",
	    page_text(w, "told"));
}

static void
add_wrong_keys(struct report *r)
{
	yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(verify_of(r->now), "wrong"));
	const char *since = page_text(yyjson_doc_get_root(r->before), "time");
	yyjson_val *one;

	while ((one = yyjson_arr_iter_next(&iter)) != NULL)
		if ((r->table == NULL || strcmp(page_text(one, "table"), r->table) == 0) &&
		    strcmp(page_text(one, "seen"), since) >= 0)
			add_wrong_key(r, one);
}

static int
print_report(struct report *r)
{
	if (verify_of(r->now) == NULL) {
		fputs("sluice: verify: can't be known: that sluice doesn't look at keys again; "
		      "`verify: { sample: 1/1000 }` makes it, and --once walks over the cache\n",
		    stderr);
		return EXIT_CODE_UNKNOWN;
	}
	add_tables(r);
	add_chance(r);
	add_not_checkable(r);
	add_wrong_keys(r);
	if (!command_put(&r->out))
		return EXIT_CODE_RUNTIME;
	if (r->checks == 0)
		return EXIT_CODE_UNKNOWN;
	return r->wrong > 0 ? EXIT_CODE_RUNTIME : EXIT_CODE_OK;
}

/* NULL, said on stderr. */
static yyjson_doc *
get_page(const struct http_address *address, int *code)
{
	struct buf body = { 0 };
	struct err err = { 0 };
	yyjson_doc *page = NULL;
	int status = http_get(address, "/status", &body, &err);

	if (status < 0) {
		fprintf(stderr, "sluice: %s\n", err.text);
		*code = EXIT_CODE_UNREACHABLE;
	} else {
		page = status == 200 ? yyjson_read(body.data, body.len, 0) : NULL;
		if (yyjson_obj_get(yyjson_doc_get_root(page), "lanes") == NULL) {
			fputs("sluice: the answer is not the status of a sluice\n", stderr);
			yyjson_doc_free(page);
			page = NULL;
			*code = EXIT_CODE_RUNTIME;
		}
	}
	buf_deinit(&body);
	return page;
}

static int
ask(const struct command_line *line, int64_t for_ms)
{
	struct report r = { .table = line->options[OPTION_TABLE] };
	struct http_address address;
	int code = command_address(line, &address);

	if (code != EXIT_CODE_OK)
		return code;
	if (for_ms > 0) {
		struct timespec pause = { for_ms / 1000, (long)(for_ms % 1000) * 1000000 };

		if ((r.before = get_page(&address, &code)) == NULL)
			return code;
		nanosleep(&pause, NULL);
	}
	r.now = get_page(&address, &code);
	if (r.now != NULL)
		code = print_report(&r);
	yyjson_doc_free(r.before);
	yyjson_doc_free(r.now);
	buf_deinit(&r.out);
	return code;
}

/* ---- the walk ---- */

static int
walk(const struct command_line *line, struct verify_walk_options *options)
{
	const char *table = line->options[OPTION_TABLE];
	struct config config;
	int code = EXIT_CODE_OK;

	if (line->word_count == 0)
		return usage("--once wants a FILE");
	if (!command_load(&config, line->words[0], true))
		return EXIT_CODE_CONFIG;
	options->table = table != NULL ? config_table(&config, str_of(table)) : NULL;
	if (table != NULL && options->table == NULL)
		code = usage("there is no such table under `tables`");
	else if (!config.has_mysql)
		code = usage("the configuration has no mysql, so there is no row to compare with");
	else
		code = verify_walk(&config, options);
	config_deinit(&config);
	return code;
}

int
command_verify(const struct command_line *line)
{
	struct verify_walk_options options = { .sample = 1, .rate = RATE };
	const char *sample = line->options[OPTION_SAMPLE_OF], *rate = line->options[OPTION_RATE];
	const char *duration = line->options[OPTION_FOR];
	bool once = line->options[OPTION_ONCE] != NULL;

	if (!once && (sample != NULL || rate != NULL))
		return usage("--sample and --rate belong to --once; a running sluice has its own, "
			     "under `verify`");
	if (sample != NULL && (!unit_sample(str_of(sample), &options.sample) || options.sample < 1))
		return usage("--sample wants 1/n");
	if (rate != NULL &&
	    (!number_i64(str_of(rate), &options.rate) || options.rate < 1 ||
		options.rate > 1000000))
		return usage("--rate wants a number of keys a second, 1 to 1000000");
	if (duration != NULL &&
	    (unit_duration(str_of(duration), &options.for_ms) != UNIT_OK || options.for_ms < 1))
		return usage("--for wants a duration such as 10s or 5m");
	return once ? walk(line, &options) : ask(line, options.for_ms);
}
