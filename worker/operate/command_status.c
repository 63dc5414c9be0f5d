#include "worker/operate/command.h"
#include "worker/operate/http_client.h"
#include "worker/operate/page_value.h"
#include "worker/operate/text_table.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yyjson.h>

static const char default_url[] = "127.0.0.1:9180";

int
command_address(const struct command_line *line, struct http_address *address)
{
	const char *word = line->word_count > 0 ? line->words[0] : default_url;
	struct config config;
	struct stat file;

	if (stat(word, &file) != 0 && http_address_parse(word, address))
		return EXIT_CODE_OK;
	if (strncmp(word, "http", 4) == 0 && strstr(word, "://") != NULL) {
		fprintf(stderr,
		    "sluice: %s is no URL of a sluice; one looks like http://127.0.0.1:9180\n",
		    word);
		return EXIT_CODE_USAGE;
	}
	if (!command_load(&config, word, true))
		return EXIT_CODE_CONFIG;
	bool known = http_address_of(&config, address);
	if (!known)
		fprintf(stderr, "sluice: %s: http.listen is %s; give the URL instead\n", word,
		    config.http_host == NULL ? "off" : "port 0, so the log has the real one");
	config_deinit(&config);
	return known ? EXIT_CODE_OK : EXIT_CODE_USAGE;
}

/* ---- the page as a table ---- */

static const char *
age_text(double seconds, char out[32])
{
	if (seconds <= 0)
		out[0] = '\0';
	else if (seconds < 120)
		snprintf(out, 32, "%.1f s", seconds);
	else if (seconds < 7200)
		snprintf(out, 32, "%.0f min", seconds / 60);
	else
		snprintf(out, 32, "%.1f h", seconds / 3600);
	return out;
}

static void
print_head(yyjson_val *root, struct buf *out)
{
	char age[32];
	yyjson_val *rates = yyjson_obj_get(root, "rates"), *totals = yyjson_obj_get(root, "totals");
	yyjson_val *memory = yyjson_obj_get(root, "memory");

	buf_printf(out, "pool %s, sluice %s, up %s, %s\n", page_text(root, "pool"),
	    page_text(root, "version"), age_text(page_number(root, "uptime_seconds"), age),
	    yyjson_get_bool(yyjson_obj_get(root, "stopping"))	 ? "stopping" :
		yyjson_get_bool(yyjson_obj_get(root, "healthy")) ? "healthy" :
								   "not healthy");
	buf_printf(out, "%.0f lanes here, share %.0f, %.0f processes in the pool%s\n",
	    page_number(totals, "lanes_owned"), page_number(totals, "lanes_share"),
	    page_number(root, "pool_members"),
	    yyjson_get_bool(yyjson_obj_get(root, "standby")) ? ", standing by" : "");
	buf_printf(out, "%.0f changes/s  %.0f rows/s  %.1f batches/s  %.0f keys invalidated/s\n",
	    page_number(rates, "changes"), page_number(rates, "rows"),
	    page_number(rates, "batches"), page_number(rates, "invalidated"));
	buf_printf(out,
	    "lag %.0f entries  %.0f folded  %.0f older  %.0f dead letters  %.0f retries  "
	    "%.1f MiB resident\n",
	    page_number(totals, "lag"), page_number(totals, "folded"), page_number(totals, "older"),
	    page_number(totals, "dead"), page_number(totals, "retries"),
	    page_number(memory, "resident_bytes") / (1024 * 1024));
}

static void
print_verify(yyjson_val *root, struct buf *out)
{
	yyjson_val *verify = yyjson_obj_get(root, "verify"), *table;
	yyjson_obj_iter iter = yyjson_obj_iter_with(yyjson_obj_get(verify, "tables"));
	static const char *const looks[] = { "1s", "1m", "5m" };
	double checks = 0, wrong = 0;

	if (verify == NULL)
		return;
	while ((table = yyjson_obj_iter_next(&iter)) != NULL)
		for (size_t i = 0; i < sizeof(looks) / sizeof(*looks); i++) {
			yyjson_val *look = yyjson_obj_get(yyjson_obj_iter_get_val(table), looks[i]);

			checks += page_number(look, "checks");
			wrong += page_number(look, "wrong");
		}
	buf_printf(out, "verify 1/%.0f: %.0f checks, %.0f wrong, %.0f keys wait for a look\n",
	    page_number(verify, "sample"), checks, wrong, page_number(verify, "waiting"));
}

static void
print_reasons(yyjson_val *root, struct buf *out)
{
	yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "reasons"));
	yyjson_val *reason;

	while ((reason = yyjson_arr_iter_next(&iter)) != NULL)
		buf_printf(out, "! %s\n", yyjson_get_str(reason));
}

static void
print_bounded(yyjson_val *root, struct buf *out)
{
	yyjson_val *bounded = yyjson_obj_get(root, "bounded"), *table;
	yyjson_arr_iter iter = yyjson_arr_iter_with(bounded);
	const char *before = "bounded, not race-free (versioned, and no version): ";

	while ((table = yyjson_arr_iter_next(&iter)) != NULL) {
		buf_printf(out, "%s%s", before, yyjson_get_str(table));
		before = ", ";
	}
	if (yyjson_arr_size(bounded) > 0)
		buf_add_char(out, '\n');
}

static void
print_breakers(yyjson_val *root, struct buf *out)
{
	static const char *const heads[] = { "dependency", "breaker", "since", "failures", "why",
		NULL };
	yyjson_obj_iter iter = yyjson_obj_iter_with(yyjson_obj_get(root, "breakers"));
	struct text_table table;
	yyjson_val *name;

	text_table_init(&table, heads);
	while ((name = yyjson_obj_iter_next(&iter)) != NULL) {
		yyjson_val *breaker = yyjson_obj_iter_get_val(name);
		char failures[32];
		snprintf(failures, sizeof(failures), "%.0f",
		    page_number(breaker, "failures_total"));
		const char *cells[] = { yyjson_get_str(name), page_text(breaker, "state"),
			page_text(breaker, "since"), failures, page_text(breaker, "why") };
		text_table_add(&table, cells);
	}
	text_table_print(&table, out);
	text_table_deinit(&table);
}

static void
print_lanes(yyjson_val *root, struct buf *out)
{
	static const char *const heads[] = { "lane", "state", "why", "alarm", "lag", "oldest",
		"entries", "dead", "done", NULL };
	yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "lanes"));
	struct text_table table;
	yyjson_val *lane;

	text_table_init(&table, heads);
	while ((lane = yyjson_arr_iter_next(&iter)) != NULL) {
		char lag[32], entries[32], dead[32], age[32];
		snprintf(lag, sizeof(lag), "%.0f", page_number(lane, "lag"));
		snprintf(entries, sizeof(entries), "%.0f", page_number(lane, "entries"));
		snprintf(dead, sizeof(dead), "%.0f", page_number(lane, "dead"));
		const char *cells[] = { page_text(lane, "name"), page_text(lane, "state"),
			page_text(lane, "why"), page_text(lane, "alarm"), lag,
			age_text(page_number(lane, "oldest_pending_seconds"), age), entries, dead,
			page_text(lane, "done") };
		text_table_add(&table, cells);
	}
	text_table_print(&table, out);
	text_table_deinit(&table);
}

static int
print_status(const struct buf *body)
{
	yyjson_doc *document = yyjson_read(body->data, body->len, 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	struct buf out = { 0 };

	if (yyjson_obj_get(root, "lanes") == NULL) {
		fputs("sluice: the answer is not the status of a sluice\n", stderr);
		yyjson_doc_free(document);
		return EXIT_CODE_RUNTIME;
	}
	print_head(root, &out);
	print_verify(root, &out);
	print_reasons(root, &out);
	print_bounded(root, &out);
	buf_add_char(&out, '\n');
	print_breakers(root, &out);
	buf_add_char(&out, '\n');
	print_lanes(root, &out);
	yyjson_doc_free(document);
	bool put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

int
command_status(const struct command_line *line)
{
	const char *probe = line->options[0], *path = "/status";
	struct http_address address;
	struct buf body = { 0 };
	struct err err = { 0 };

	if (probe != NULL && strcmp(probe, "live") == 0) {
		path = "/livez";
	} else if (probe != NULL && strcmp(probe, "ready") == 0) {
		path = "/readyz";
	} else if (probe != NULL) {
		fprintf(stderr, "sluice: --probe is live or ready, not %s\n", probe);
		return EXIT_CODE_USAGE;
	}
	int code = command_address(line, &address);
	if (code != EXIT_CODE_OK)
		return code;
	int status = http_get(&address, path, &body, &err);
	if (status < 0) {
		fprintf(stderr, "sluice: %s\n", err.text);
		code = EXIT_CODE_UNREACHABLE;
	} else if (status != 200) {
		fprintf(stderr, "%s", body.data);
		code = EXIT_CODE_RUNTIME;
	} else if (probe == NULL) {
		code = print_status(&body);
	}
	buf_deinit(&body);
	return code;
}
