#include "worker/operate/command.h"
#include "worker/operate/http_client.h"
#include "worker/operate/page_value.h"
#include "worker/operate/text_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <yyjson.h>

/* Home, then each line to its end, then what is below: a screen that doesn't flicker. */
#define SCREEN_HOME "\x1b[H"
#define LINE_END "\x1b[K"
#define SCREEN_END "\x1b[J"
enum { ROWS_WITHOUT_TERMINAL = 200, ROWS_LEAST = 12 };

static void
print_head(yyjson_val *root, struct buf *out)
{
	yyjson_val *rates = yyjson_obj_get(root, "rates"), *totals = yyjson_obj_get(root, "totals");
	yyjson_val *cache = yyjson_obj_get(root, "cache");
	yyjson_val *refresh = yyjson_obj_get(root, "refresh");

	buf_printf(out, "sluice %s  pool %s  %.0f members  %s  %s\n", page_text(root, "version"),
	    page_text(root, "pool"), page_number(root, "pool_members"),
	    yyjson_get_bool(yyjson_obj_get(root, "healthy")) ? "healthy" : "not healthy",
	    page_text(root, "time"));
	buf_printf(out,
	    "%.0f entries/s  %.0f rows/s  %.0f keys invalidated/s  lag %.0f  oldest %.1f s\n",
	    page_number(rates, "entries"), page_number(rates, "rows"),
	    page_number(rates, "invalidated"), page_number(totals, "lag"),
	    page_number(totals, "oldest_pending_seconds"));
	buf_add_str(out, "cache:");
	if (yyjson_obj_get(cache, "hit_rate") != NULL)
		buf_printf(out, "  hit rate %.1f %%", 100 * page_number(cache, "hit_rate"));
	buf_printf(out, "  %.1f MiB  %.0f evicted  PING %.1f ms\n",
	    page_number(cache, "used_bytes") / (1024 * 1024), page_number(cache, "evicted"),
	    1000 * page_number(cache, "ping_seconds"));
	if (refresh != NULL)
		buf_printf(out,
		    "refresh: %.0f hot keys  %.0f loaded in %.0f SELECTs  %.0f lost  %.0f "
		    "stretched  at most %.0f/s  last load %.1f ms\n",
		    page_number(refresh, "hot"), page_number(refresh, "loaded"),
		    page_number(refresh, "selects"), page_number(refresh, "lost"),
		    page_number(refresh, "stretched"), page_number(refresh, "rate_limit"),
		    1000 * page_number(refresh, "last_load_seconds"));
}

static void
print_sentences(yyjson_val *list, char mark, struct buf *out)
{
	yyjson_arr_iter iter = yyjson_arr_iter_with(list);
	yyjson_val *sentence;

	while ((sentence = yyjson_arr_iter_next(&iter)) != NULL)
		buf_printf(out, "%c %s\n", mark, yyjson_get_str(sentence));
}

static void
print_keys(yyjson_val *root, size_t rows, struct buf *out)
{
	static const char *const heads[] = { "hot key", "table", "reads/s", "TTL s", "load ms",
		"loaded", "", NULL };
	yyjson_val *refresh = yyjson_obj_get(root, "refresh"), *key;
	yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(refresh, "keys"));
	struct text_table table;

	if (refresh == NULL)
		return;
	text_table_init(&table, heads);
	while ((key = yyjson_arr_iter_next(&iter)) != NULL && table.rows < rows) {
		char rate[32], ttl[32] = "", load[32] = "";
		yyjson_val *loaded = yyjson_obj_get(key, "loaded");

		snprintf(rate, sizeof(rate), "%.1f", page_number(key, "rate"));
		if (yyjson_obj_get(key, "ttl_seconds") != NULL)
			snprintf(ttl, sizeof(ttl), "%.1f", page_number(key, "ttl_seconds"));
		if (yyjson_is_str(loaded))
			snprintf(load, sizeof(load), "%.1f",
			    1000 * page_number(key, "load_seconds"));
		const char *cells[] = { page_text(key, "key"), page_text(key, "table"), rate, ttl,
			load, page_text(key, "loaded"),
			yyjson_get_bool(yyjson_obj_get(key, "stretched")) ? "stretched" :
			    yyjson_get_bool(yyjson_obj_get(key, "ours"))  ? "" :
									    "another's" };
		text_table_add(&table, cells);
	}
	buf_add_char(out, '\n');
	text_table_print(&table, out);
	text_table_deinit(&table);
}

static void
print_lanes(yyjson_val *root, size_t rows, struct buf *out)
{
	static const char *const heads[] = { "lane", "state", "why", "lag", "oldest s", "entries",
		"dead", NULL };
	yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "lanes"));
	struct text_table table;
	yyjson_val *lane;

	text_table_init(&table, heads);
	while ((lane = yyjson_arr_iter_next(&iter)) != NULL && table.rows < rows) {
		char lag[32], oldest[32], entries[32], dead[32];

		snprintf(lag, sizeof(lag), "%.0f", page_number(lane, "lag"));
		snprintf(oldest, sizeof(oldest), "%.1f",
		    page_number(lane, "oldest_pending_seconds"));
		snprintf(entries, sizeof(entries), "%.0f", page_number(lane, "entries"));
		snprintf(dead, sizeof(dead), "%.0f", page_number(lane, "dead"));
		const char *cells[] = { page_text(lane, "name"), page_text(lane, "state"),
			page_text(lane, "why"), lag, oldest, entries, dead };
		text_table_add(&table, cells);
	}
	buf_add_char(out, '\n');
	text_table_print(&table, out);
	text_table_deinit(&table);
}

static bool
print_page(const struct buf *body, size_t rows, struct buf *out)
{
	yyjson_doc *document = yyjson_read(body->data, body->len, 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	bool good = yyjson_obj_get(root, "lanes") != NULL;

	if (good) {
		size_t room = rows > ROWS_LEAST ? rows - ROWS_LEAST + 2 : 2;

		print_head(root, out);
		print_sentences(yyjson_obj_get(root, "reasons"), '!', out);
		print_sentences(yyjson_obj_get(root, "warnings"), '-', out);
		print_keys(root, room * 2 / 3, out);
		print_lanes(root, room / 3 > 0 ? room / 3 : 1, out);
	}
	yyjson_doc_free(document);
	return good;
}

static size_t
terminal_rows(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ?
	    size.ws_row :
	    ROWS_WITHOUT_TERMINAL;
}

/* No line wraps into the next frame: what is below the last row is cleared, not scrolled. */
static void
add_frame(const struct buf *page, size_t rows, struct buf *out)
{
	size_t line = 1;

	buf_add_str(out, SCREEN_HOME);
	for (size_t i = 0; i < page->len && line < rows; i++) {
		if (page->data[i] == '\n') {
			buf_add_str(out, LINE_END "\n");
			line++;
		} else {
			buf_add_char(out, page->data[i]);
		}
	}
	buf_add_str(out, SCREEN_END);
}

static int
show(const struct http_address *address, bool live)
{
	struct buf body = { 0 }, page = { 0 }, frame = { 0 };
	struct err err = { 0 };
	size_t rows = live ? terminal_rows() : ROWS_WITHOUT_TERMINAL;
	int code = EXIT_CODE_OK, status = http_get(address, "/status", &body, &err);

	if (status < 0) {
		fprintf(stderr, "sluice: %s\n", err.text);
		code = EXIT_CODE_UNREACHABLE;
	} else if (status != 200 || !print_page(&body, rows, &page)) {
		fputs("sluice: the answer is not the status of a sluice\n", stderr);
		code = EXIT_CODE_RUNTIME;
	} else {
		if (live)
			add_frame(&page, rows, &frame);
		if (!command_put(live ? &frame : &page))
			code = EXIT_CODE_RUNTIME;
		fflush(stdout);
	}
	buf_deinit(&body);
	buf_deinit(&page);
	buf_deinit(&frame);
	return code;
}

int
command_top(const struct command_line *line)
{
	struct http_address address;
	bool live = line->options[0] == NULL && isatty(STDOUT_FILENO);
	long every = line->options[1] != NULL ? strtol(line->options[1], NULL, 10) : 2;
	int code;

	if (every < 1 || every > 60) {
		fprintf(stderr, "sluice: --every is a number of seconds from 1 to 60\n");
		return EXIT_CODE_USAGE;
	}
	if ((code = command_address(line, &address)) != EXIT_CODE_OK)
		return code;
	if (live)
		fputs("\x1b[2J", stdout);
	while ((code = show(&address, live)) == EXIT_CODE_OK && live)
		sleep((unsigned)every);
	return code;
}
