#include "worker/cache/key_holes.h"
#include "worker/operate/command.h"
#include "worker/operate/explain_entry.h"
#include "worker/operate/explain_lanes.h"
#include "worker/store/literal.h"
#include "worker/store/outbox.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <string.h>

/* `sluice explain key`: whose key it is, what the cache holds, and what is on its way to it. */
enum { OUTBOX_SHOWN = 10, OUTBOX_LOOKED = 1000, LETTERS_SHOWN = 20 };

struct explain_key {
	struct config config;
	struct str key;
	struct access_redis cache, streams;
	struct redis *redis, *stream_redis; /* stream_redis NULL: not open */
	struct row_access row;
	bool has_row_access, mysql_open;
	struct arena arena;
	struct buf out;
	size_t letters;
	int code;
};

/* ---- the servers ---- */

static void
redis_away(struct explain_key *x, const char *what, const struct config_redis *config,
    const struct err *err)
{
	struct buf place = { 0 };

	access_add_redis(config, &place);
	fprintf(stderr, "sluice: %s %s: %s\n", what, place.data, err->text);
	buf_deinit(&place);
	x->code = EXIT_CODE_UNREACHABLE;
}

static void
mysql_away(struct explain_key *x, const struct err *err)
{
	struct buf place = { 0 };

	access_add_mysql(&x->config.mysql, &place);
	fprintf(stderr, "sluice: mysql %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	x->mysql_open = false;
	x->code = EXIT_CODE_UNREACHABLE;
}

static void
open_all(struct explain_key *x)
{
	struct err err = { 0 };

	access_redis_init(&x->cache, &x->config.cache, "sluice-explain");
	access_redis_init(&x->streams, &x->config.redis, "sluice-explain");
	x->redis = redis_new(&x->cache.options);
	x->stream_redis = redis_new(&x->streams.options);
	if (redis_open(x->redis, &err) != 0)
		redis_away(x, "cache", &x->config.cache, &err);
	if (config_reads_streams(&x->config) && redis_open(x->stream_redis, &err) != 0)
		redis_away(x, "redis", &x->config.redis, &err);
	x->has_row_access = x->config.has_mysql;
	if (!x->has_row_access)
		return;
	row_access_init(&x->row, &x->config);
	if (row_access_open(&x->row, &err) != 0)
		mysql_away(x, &err);
	else
		x->mysql_open = true;
}

static void
close_all(struct explain_key *x)
{
	if (x->has_row_access)
		row_access_deinit(&x->row);
	redis_free(&x->redis);
	redis_free(&x->stream_redis);
	access_redis_deinit(&x->cache);
	access_redis_deinit(&x->streams);
}

/* ---- what is on its way ---- */

/* The batches that have told it by now, and aren't known to have been answered. */
static int
say_outbox(struct explain_key *x, const struct config_table *table,
    const struct config_template *template, struct err *err)
{
	struct owed owed = { .table = table, .template = template, .key = x->key };
	struct buf words = { 0 }, versions = { 0 }, select = { 0 };
	struct sql_result result;

	outbox_add(&words, &versions, &owed);
	buf_printf(&select,
	    "SELECT lane, position FROM (SELECT lane, position, cache_keys FROM sluice_outbox "
	    "LIMIT "
	    "%d) o WHERE LOCATE(",
	    OUTBOX_LOOKED);
	sql_add_binary(&select, (struct str){ words.data, words.len });
	buf_printf(&select, ", cache_keys) > 0 LIMIT %d", OUTBOX_SHOWN);
	buf_deinit(&words);
	buf_deinit(&versions);
	if (session_send(x->row.sql, &select, &result, err) != 0)
		return session_end(x->row.sql, -1, err);
	for (size_t i = 0; i < result.rows; i++)
		buf_printf(&x->out, "  outbox   lane %.*s will tell it for the batch up to %.*s\n",
		    STR_ARGS(sql_cell(&result, i, 0)), STR_ARGS(sql_cell(&result, i, 1)));
	sql_result_free(&result);
	return session_end(x->row.sql, 0, err);
}

static void
say_letter(void *arg, const struct row_trace *trace)
{
	struct explain_key *x = arg;

	if (x->letters++ >= LETTERS_SHOWN)
		return;
	buf_printf(&x->out, "  letter   %llu (%s, %s): %s", (unsigned long long)trace->letter,
	    trace->reason, trace->state, trace->operation);
	if (trace->has_version)
		buf_printf(&x->out, " of version %llu", (unsigned long long)trace->version);
	buf_printf(&x->out, ", entry %s of %s\n", trace->entry, trace->lane);
}

static int
say_letters(struct explain_key *x, struct err *err)
{
	bool bounded = false;

	x->letters = 0;
	if (row_traces_letters(&x->row, say_letter, x, &bounded, err) != 0)
		return -1;
	if (x->letters == 0)
		buf_add_str(&x->out, "  letter   none names the row");
	else
		buf_printf(&x->out, "  letter   %zu in all", x->letters);
	buf_printf(&x->out, bounded ? "; only the newest %d were looked at\n" : "\n",
	    (int)TRACE_LETTERS_MAX);
	return 0;
}

/* ---- the row ---- */

static int
say_row_now(struct explain_key *x, struct err *err)
{
	struct row_now now;

	if (row_access_now(&x->row, &now, err) != 0)
		return -1;
	if (!now.there)
		buf_add_str(&x->out, "  row      MySQL has none\n");
	else if (now.has_version)
		buf_printf(&x->out, "  row      MySQL has version %llu\n",
		    (unsigned long long)now.version);
	else
		buf_printf(&x->out, "  row      MySQL has it%s\n",
		    x->row.table->version_column >= 0 ? "; its version is NULL" :
							", without a version");
	return 0;
}

/* The row whose key it is.  1: it isn't of one row, or none that can be named. */
static int
take_row(struct explain_key *x, const struct key_holes *holes, const struct str *values,
    const char *table, struct err *err)
{
	struct str key[KEY_HOLES_MAX];

	if (row_access_table(&x->row, table, err) != 0) {
		buf_printf(&x->out, "  row      %s\n", err->text);
		return 1;
	}
	for (unsigned i = 0; i < x->row.table->key_count; i++) {
		int at = holes->template.config->mode == MODE_SCAN ?
		    -1 :
		    key_holes_find(holes, table_key_column(x->row.table, i)->name);

		if (at < 0) {
			buf_add_str(&x->out,
			    "  row      not one: the key doesn't hold the primary key, so lanes "
			    "and "
			    "letters aren't looked through\n");
			return 1;
		}
		key[i] = values[at];
	}
	if (row_access_values(&x->row, key, err) == 0)
		return 0;
	buf_printf(&x->out, "  row      none: %s\n", err->text);
	return 1;
}

/* A key of the row that nobody is told of: 007 where the row's is 7. */
static void
say_spelling(struct explain_key *x, const struct key_holes *holes, const struct str *values)
{
	struct str canonical[KEY_HOLES_MAX];
	struct buf key = { 0 };

	memcpy(canonical, values, holes->count * sizeof(*values));
	for (unsigned i = 0; i < x->row.table->key_count; i++) {
		int at = key_holes_find(holes, table_key_column(x->row.table, i)->name);

		canonical[at] = x->row.row.key[i].text;
	}
	if (key_template_render(&holes->template, canonical, &key) &&
	    !str_equal((struct str){ key.data, key.len }, x->key))
		buf_printf(&x->out, "  spelled  otherwise: changes of the row are told to %.*s\n",
		    (int)key.len, key.data);
	buf_deinit(&key);
}

static int
say_row(struct explain_key *x, const struct key_holes *holes, const struct str *values,
    const struct config_table *table, struct err *err)
{
	struct explain_lanes lanes = {
		.config = &x->config, .row = &x->row, .redis = x->stream_redis, .out = &x->out
	};
	int status;

	if (say_outbox(x, table, holes->template.config, err) != 0)
		return -1;
	status = take_row(x, holes, values, table->name, err);
	if (status != 0)
		return status < 0 ? -1 : 0;
	say_spelling(x, holes, values);
	return say_row_now(x, err) != 0 || say_letters(x, err) != 0 ||
		explain_lanes(&lanes, table->name, err) != 0 ?
	    -1 :
	    0;
}

/* ---- templates ---- */

static bool
say_template(struct explain_key *x, const struct config_table *table,
    const struct config_template *template)
{
	struct str values[KEY_HOLES_MAX];
	struct key_holes holes;
	struct err err = { 0 };
	bool matches;

	if (key_holes_compile(&holes, template, NULL) != 0)
		return false;
	matches = key_holes_match(&holes, x->key, &x->arena, values);
	if (matches) {
		buf_printf(&x->out, "table %s: template %s, mode %s\n", table->name,
		    template->written, config_mode_name(template->mode));
		for (size_t i = 0; i < holes.count && template->mode != MODE_SCAN; i++)
			buf_printf(&x->out, "  %-8s = %.*s\n", holes.names[i], STR_ARGS(values[i]));
		if (x->mysql_open && say_row(x, &holes, values, table, &err) != 0)
			mysql_away(x, &err);
		if (!x->has_row_access)
			buf_add_str(&x->out,
			    "  row      not looked at: the configuration has no mysql\n");
	}
	key_holes_deinit(&holes);
	return matches;
}

static void
say_templates(struct explain_key *x)
{
	size_t matches = 0;

	for (size_t i = 0; i < x->config.table_count; i++)
		for (size_t j = 0; j < x->config.tables[i].template_count; j++)
			matches += say_template(x, &x->config.tables[i],
			    &x->config.tables[i].templates[j]);
	if (matches == 0)
		buf_add_str(&x->out, "no template of the configuration makes this key\n");
}

static void
explain(struct explain_key *x)
{
	struct err err = { 0 };

	buf_add_str(&x->out, "cache: ");
	access_add_redis(&x->config.cache, &x->out);
	buf_add_char(&x->out, '\n');
	if (redis_is_open(x->redis) &&
	    explain_entry(x->redis, x->key, &x->arena, &x->out, &err) != 0)
		redis_away(x, "cache", &x->config.cache, &err);
	say_templates(x);
}

int
command_explain_key(const struct command_line *line)
{
	struct explain_key x = { .key = str_of(line->words[2]), .code = EXIT_CODE_OK };

	if (line->word_count != 3 || line->options[0] != NULL || line->options[1] != NULL) {
		fputs("sluice: explain key: want FILE KEY\n", stderr);
		return EXIT_CODE_USAGE;
	}
	if (!command_load(&x.config, line->words[1], true))
		return EXIT_CODE_CONFIG;
	sql_library_init();
	sql_thread_start();
	arena_init(&x.arena, 0);
	open_all(&x);
	explain(&x);
	if (!command_put(&x.out) && x.code == EXIT_CODE_OK)
		x.code = EXIT_CODE_RUNTIME;
	close_all(&x);
	arena_deinit(&x.arena);
	buf_deinit(&x.out);
	sql_thread_stop();
	config_deinit(&x.config);
	return x.code;
}
