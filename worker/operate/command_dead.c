#include "worker/operate/command_dead.h"

#include "common/number.h"
#include "config/unit.h"
#include "worker/operate/command.h"
#include "worker/operate/dead_kept.h"
#include "worker/operate/json.h"
#include "worker/operate/text_table.h"
#include "worker/store/letter_topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NO_SUCH_TABLE = 1146 };

/* ---- the connection ---- */

static int
failed(const struct dead_access *a, const struct err *err)
{
	struct buf place = { 0 };

	if (err->code == NO_SUCH_TABLE) {
		fputs("sluice: there is no sluice_dead_letter in that database yet; `sluice run` "
		      "makes it\n",
		    stderr);
		return EXIT_CODE_RUNTIME;
	}
	access_add_mysql(&a->config.mysql, &place);
	fprintf(stderr, "sluice: mysql %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

static int
open_mysql(struct dead_access *a)
{
	struct session_facts facts;
	struct err err = { 0 };

	sql_library_init();
	sql_thread_start();
	access_mysql_init(&a->mysql, &a->config.mysql);
	a->sql = sql_new(&a->mysql.options);
	if (sql_open(a->sql, &err) != 0 ||
	    session_prepare(a->sql, a->config.lock_wait_ms, &facts, &err) != 0)
		return failed(a, &err);
	return EXIT_CODE_OK;
}

/* The homes that the configuration has.  Returns an exit code; close in any case. */
static int
dead_access_open(struct dead_access *a, const char *file)
{
	int code = EXIT_CODE_OK;

	if (!command_load(&a->config, file, true))
		return EXIT_CODE_CONFIG;
	a->rows = calloc(LETTERS_PAGE, sizeof(*a->rows));
	CHECK(a->rows != NULL);
	if (config_invalidates(&a->config) && !a->has_number)
		code = dead_kept_open(a);
	if (code == EXIT_CODE_OK && a->config.has_mysql && a->kept_id == NULL)
		code = open_mysql(a);
	return code;
}

static void
dead_access_close(struct dead_access *a)
{
	free(a->rows);
	dead_kept_close(a);
	if (a->sql != NULL) {
		sql_free(&a->sql);
		sql_thread_stop();
		access_mysql_deinit(&a->mysql);
	}
	config_deinit(&a->config);
}

/* ---- page by page ---- */

static int
go_through_mysql(struct dead_access *a, dead_page *page, uint64_t *seen)
{
	uint64_t after = 0;
	struct err err = { 0 };

	for (;;) {
		size_t count;

		if (letters_page(a->sql, &a->filter, after, a->rows, &count, &err) != 0)
			return failed(a, &err);
		if (a->limit > 0 && count > a->limit - *seen)
			count = (size_t)(a->limit - *seen);
		if (count == 0)
			return EXIT_CODE_OK;
		after = a->rows[count - 1].id;
		*seen += count;
		if (page(a, a->rows, count, &err) != 0)
			return err.class == ERR_NONE ? EXIT_CODE_RUNTIME : failed(a, &err);
	}
}

/* Call `page` with all that match, in the order of their ids, and `kept` with those of lanes that don't
 * write; returns an exit code. */
static int
go_through(struct dead_access *a, dead_page *page, dead_page *kept)
{
	uint64_t seen = 0;
	int code = EXIT_CODE_OK;

	if (a->sql != NULL)
		code = go_through_mysql(a, page, &seen);
	if (code == EXIT_CODE_OK && a->home != NULL)
		code = dead_kept_go_through(a, kept, &seen);
	if (code != EXIT_CODE_OK)
		return code;
	return seen > 0 ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

/* ---- list ---- */

/* A number, or what stands for one in a stream or topic. */
static const char *
id_text(const struct letter_row *row, char out[24])
{
	if (row->id == 0)
		return row->kept_id;
	snprintf(out, 24, "%llu", (unsigned long long)row->id);
	return out;
}

static void
add_json(struct buf *out, const struct letter_row *row)
{
	struct json j = { .out = out };

	json_open(&j, NULL, '{');
	if (row->id != 0)
		json_number(&j, "id", row->id);
	else
		json_text(&j, "id", row->kept_id);
	json_text(&j, "lane", row->lane);
	json_text(&j, "entry", row->entry);
	json_text(&j, "table", row->table[0] != '\0' ? row->table : NULL);
	json_text(&j, "operation", row->operation);
	json_text(&j, "reason", row->reason);
	json_number(&j, "code", row->code);
	json_text(&j, "message", row->message);
	json_text(&j, "state", row->state);
	json_number(&j, "attempts", row->attempts);
	json_text(&j, "created_at", row->created_at);
	json_text(&j, "updated_at", row->updated_at[0] != '\0' ? row->updated_at : NULL);
}

static void
add_json_lines(struct buf *out, const struct letter_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		add_json(out, &rows[i]);
		buf_add_str(out, "}\n");
	}
}

static void
add_table(struct buf *out, const struct letter_row *rows, size_t count)
{
	static const char *const heads[] = { "id", "lane", "entry", "table", "operation", "reason",
		"state", "tries", "created", "message", NULL };
	struct text_table table;

	text_table_init(&table, heads);
	for (size_t i = 0; i < count; i++) {
		const struct letter_row *row = &rows[i];
		char id[24], attempts[24];
		const char *cells[] = { id_text(row, id), row->lane, row->entry, row->table,
			row->operation, row->reason, row->state, attempts, row->created_at,
			row->message };

		snprintf(attempts, sizeof(attempts), "%llu", (unsigned long long)row->attempts);
		text_table_add(&table, cells);
	}
	text_table_print(&table, out);
	text_table_deinit(&table);
}

static int
list_page(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	struct buf out = { 0 };
	bool put;

	(void)err;
	if (a->json)
		add_json_lines(&out, rows, count);
	else
		add_table(&out, rows, count);
	put = command_put(&out);
	buf_deinit(&out);
	return put ? 0 : -1;
}

/* ---- show ---- */

/* What could move the cursor or end the line becomes \xNN. */
static void
add_shown(struct buf *out, struct str text)
{
	bool utf8 = str_is_utf8(text, NULL);

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buf_printf(out, "\\x%02x", c);
		else
			buf_add_char(out, (char)c);
	}
}

static void
add_fields(struct buf *out, struct str payload)
{
	struct arena arena;
	struct field *fields;
	size_t count;

	arena_init(&arena, 0);
	if (!letter_payload_read(payload, &arena, &fields, &count)) {
		buf_add_str(out, "the payload is not as sluice wrote it: ");
		add_shown(out, payload);
		buf_add_char(out, '\n');
		count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, "  ");
		add_shown(out, fields[i].name);
		buf_add_str(out, " = ");
		add_shown(out, fields[i].value.text);
		buf_add_char(out, '\n');
	}
	arena_deinit(&arena);
}

static void
add_text(struct buf *out, const struct letter_row *row)
{
	char id[24];

	buf_printf(out, "letter %s: %s\n", id_text(row, id), row->state);
	buf_printf(out, "lane %s, entry %s\n", row->lane, row->entry);
	if (row->table[0] != '\0')
		buf_printf(out, "table %s, operation %s\n", row->table, row->operation);
	buf_printf(out, "%s", row->reason);
	if (row->code != 0)
		buf_printf(out, " [%llu]", (unsigned long long)row->code);
	buf_printf(out, ": %s\nwritten %s UTC", row->message, row->created_at);
	if (row->attempts > 0)
		buf_printf(out, ", tried again %llu times, last %s UTC",
		    (unsigned long long)row->attempts, row->updated_at);
	buf_add_char(out, '\n');
}

static int
read_payload(struct dead_access *a, const struct letter_row *row, struct buf *payload,
    struct err *err)
{
	if (row->id != 0)
		return letter_payload(a->sql, row, payload, err);
	buf_add(payload, a->letters[0].payload.data, a->letters[0].payload.len);
	return 0;
}

static int
show_page(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	struct buf payload = { 0 }, out = { 0 };
	bool put = false;

	(void)count;
	if (read_payload(a, &rows[0], &payload, err) == 0) {
		if (a->json) {
			add_json(&out, &rows[0]);
			buf_add_str(&out, ",\"payload\":");
			buf_add(&out, payload.data, payload.len);
			buf_add_str(&out, "}\n");
		} else {
			add_text(&out, &rows[0]);
			add_fields(&out, (struct str){ payload.data, payload.len });
		}
		put = command_put(&out);
	}
	buf_deinit(&payload);
	buf_deinit(&out);
	return put ? 0 : -1;
}

/* ---- replay and drop ---- */

/* Of both homes.  Returns an exit code. */
static int
find_groups(struct dead_access *a, struct letter_group *groups, size_t *count)
{
	struct letter_group *of_mysql;
	struct err err = { 0 };

	*count = 0;
	if (a->sql != NULL) {
		if (letters_groups(a->sql, &a->filter, &of_mysql, count, &err) != 0)
			return failed(a, &err);
		memcpy(groups, of_mysql, *count * sizeof(*groups));
		free(of_mysql);
	}
	return a->home != NULL ? dead_kept_groups(a, groups, count) : EXIT_CODE_OK;
}

static void
add_groups(struct dead_access *a, const struct letter_group *groups, size_t count, uint64_t *total,
    struct buf *out)
{
	static const char *const heads[] = { "letters", "table", "reason", "state", NULL };
	struct text_table table;

	text_table_init(&table, heads);
	for (size_t i = 0; i < count; i++) {
		char number[24];
		const char *cells[] = { number, groups[i].table, groups[i].reason,
			groups[i].state };

		snprintf(number, sizeof(number), "%llu", (unsigned long long)groups[i].count);
		text_table_add(&table, cells);
		*total += groups[i].count;
	}
	text_table_print(&table, out);
	text_table_deinit(&table);
	buf_printf(out, "%llu letters match", (unsigned long long)*total);
	if (a->limit > 0 && a->limit < *total)
		buf_printf(out, ", the first %llu are taken", (unsigned long long)a->limit);
	buf_add_char(out, '\n');
}

/* What matches, before anything is done.  Returns an exit code: RUNTIME for nothing. */
static int
say_counts(struct dead_access *a)
{
	struct letter_group *groups = calloc(2 * LETTER_GROUPS_MAX, sizeof(*groups));
	struct buf out = { 0 };
	uint64_t total = 0;
	size_t count;
	int code;

	CHECK(groups != NULL);
	code = find_groups(a, groups, &count);
	if (code == EXIT_CODE_OK) {
		add_groups(a, groups, count, &total, &out);
		if (!command_put(&out) || total == 0)
			code = EXIT_CODE_RUNTIME;
		buf_deinit(&out);
	}
	free(groups);
	return code;
}

static int
replay_page(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	return letters_mark(a->sql, rows, count, a->force, &a->marked, err);
}

static int
drop_page(struct dead_access *a, struct letter_row *rows, size_t count, struct err *err)
{
	return letters_drop(a->sql, rows, count, &a->dropped, &a->marked, err);
}

static void
say_what_was_done(const struct dead_access *a, bool dropped)
{
	if (a->sql != NULL && dropped)
		printf("%llu dropped, %llu marked: their lanes' owners drop them within a second\n",
		    (unsigned long long)a->dropped, (unsigned long long)a->marked);
	else if (dropped)
		printf("%llu dropped\n", (unsigned long long)a->dropped);
	else if (a->sql != NULL)
		printf("%llu marked: their lanes' owners apply them within a second, and then what "
		       "waits behind them\n",
		    (unsigned long long)a->marked);
	if (a->home != NULL && !dropped)
		printf("%llu invalidated: their keys are gone, and so are they\n",
		    (unsigned long long)a->invalidated);
}

static int
act(struct dead_access *a, dead_page *page, dead_page *kept)
{
	int code = say_counts(a);

	if (code != EXIT_CODE_OK || a->dry_run)
		return code;
	fflush(stdout);
	a->whole = page == replay_page;
	code = go_through(a, page, kept);
	if (code != EXIT_CODE_OK)
		return code;
	say_what_was_done(a, page == drop_page);
	return a->marked + a->dropped + a->invalidated > 0 ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

/* ---- the command line ---- */

static bool
wrong(const char *option, const char *value, const char *wants)
{
	fprintf(stderr, "sluice: %s %s: it wants %s\n", option, value, wants);
	return false;
}

/* s1735689600000-0 or t0-41 */
static bool
read_kept_id(struct dead_access *a, const char *text)
{
	struct position place;
	int partition;
	int64_t offset;

	if ((text[0] == 's' && position_parse(str_of(text + 1), &place)) ||
	    letter_topic_id(text, &partition, &offset))
		a->kept_id = text;
	return a->kept_id != NULL;
}

static bool
read_ids(struct dead_access *a, const char *text)
{
	if (read_kept_id(a, text))
		return true;
	a->has_number = true;
	const char *dash = strchr(text, '-');
	struct str first = { text, dash != NULL ? (size_t)(dash - text) : strlen(text) };

	if (!number_u64(first, &a->filter.id_from) || a->filter.id_from == 0)
		return wrong("--id", text, "a letter's number, or two with - between them");
	a->filter.id_to = a->filter.id_from;
	if (dash != NULL && dash[1] == '\0')
		a->filter.id_to = 0;
	else if (dash != NULL &&
	    (!number_u64(str_of(dash + 1), &a->filter.id_to) ||
		a->filter.id_to < a->filter.id_from))
		return wrong("--id", text, "a letter's number, or two with - between them");
	return true;
}

static bool
read_age(const char *option, const char *text, int64_t *ms)
{
	if (text == NULL)
		return true;
	if (unit_duration(str_of(text), ms) != UNIT_OK || *ms <= 0)
		return wrong(option, text, "a duration such as 30s, 10m or 48h");
	return true;
}

static bool
is_state(const char *text)
{
	static const char *const states[] = { LETTER_DEAD, LETTER_PARKED, LETTER_REPLAY,
		LETTER_FORCE, LETTER_DROP, LETTER_APPLIED, LETTER_CLOSED, "all" };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(states[i], text) == 0)
			return true;
	}
	return false;
}

bool
dead_read_options(struct dead_access *a, const struct command_line *line)
{
	const char *const *options = line->options;
	uint64_t limit = 0;

	a->filter.lane = options[DEAD_LANE];
	a->filter.table = options[DEAD_TABLE];
	a->filter.reason = options[DEAD_REASON];
	a->filter.state = options[DEAD_STATE];
	a->json = options[DEAD_JSON] != NULL;
	a->force = options[DEAD_FORCE] != NULL;
	a->dry_run = options[DEAD_DRY_RUN] != NULL;
	if (a->filter.state != NULL && !is_state(a->filter.state))
		return wrong("--state", a->filter.state,
		    "dead, parked, replay, replay_force, drop, applied, closed or all");
	if (options[DEAD_LIMIT] != NULL &&
	    (!number_u64(str_of(options[DEAD_LIMIT]), &limit) || limit == 0))
		return wrong("--limit", options[DEAD_LIMIT], "a number above 0");
	a->limit = limit;
	return (options[DEAD_ID] == NULL || read_ids(a, options[DEAD_ID])) &&
	    read_age("--older", options[DEAD_OLDER], &a->filter.older_ms) &&
	    read_age("--newer", options[DEAD_NEWER], &a->filter.newer_ms);
}

static bool
says_which(const struct command_line *line)
{
	for (size_t i = DEAD_LANE; i <= DEAD_ALL; i++) {
		if (line->options[i] != NULL)
			return true;
	}
	fprintf(stderr, "sluice: `dead %s` wants to know which: a filter, or --all\n",
	    line->words[0]);
	return false;
}

enum verb { LIST, SHOW, REPLAY, DROP, VERBS };
static const char *const verbs[VERBS] = { "list", "show", "replay", "drop" };

static enum verb
verb_of(const char *word)
{
	enum verb verb = LIST;

	while (verb < VERBS && strcmp(verbs[verb], word) != 0)
		verb++;
	return verb;
}

/* Options that don't belong to the verb are a mistake, not noise: --dry-run above all. */
static bool
is_meant(const struct command_line *line, enum verb verb)
{
	bool acts = verb == REPLAY || verb == DROP;

	if (verb == VERBS)
		fprintf(stderr, "sluice: `dead` knows list, show, replay and drop, not %s\n",
		    line->words[0]);
	else if (line->word_count != (verb == SHOW ? 3 : 2))
		fprintf(stderr, "sluice: `dead %s` wants FILE%s\n", verbs[verb],
		    verb == SHOW ? " ID" : "");
	else if (line->options[DEAD_JSON] != NULL && acts)
		fputs("sluice: --json belongs to `dead list` and `dead show`\n", stderr);
	else if (line->options[DEAD_DRY_RUN] != NULL && !acts)
		fputs("sluice: --dry-run belongs to `dead replay` and `dead drop`\n", stderr);
	else if (line->options[DEAD_FORCE] != NULL && verb != REPLAY)
		fputs("sluice: --force belongs to `dead replay`\n", stderr);
	else
		return !acts || says_which(line);
	return false;
}

static int
obey(struct dead_access *a, enum verb verb)
{
	switch (verb) {
	case LIST:
		return go_through(a, list_page, list_page);
	case SHOW:
		a->whole = true;
		return go_through(a, show_page, show_page);
	case REPLAY:
		return act(a, replay_page, dead_kept_replay);
	case DROP:
		return act(a, drop_page, dead_kept_drop);
	case VERBS:
		break;
	}
	return EXIT_CODE_USAGE;
}

int
command_dead(const struct command_line *line)
{
	struct dead_access access = { .limit = 0 };
	enum verb verb = verb_of(line->words[0]);
	int code;

	if (!is_meant(line, verb) || !dead_read_options(&access, line))
		return EXIT_CODE_USAGE;
	if (verb == SHOW) {
		access.filter = (struct letter_filter){ .state = "all" };
		access.has_number = !read_kept_id(&access, line->words[2]);
		if (access.has_number &&
		    (!number_u64(str_of(line->words[2]), &access.filter.id_from) ||
			access.filter.id_from == 0)) {
			wrong("dead show", line->words[2], "a letter's id");
			return EXIT_CODE_USAGE;
		}
		access.filter.id_to = access.filter.id_from;
	}
	code = dead_access_open(&access, line->words[1]);
	if (code == EXIT_CODE_OK)
		code = obey(&access, verb);
	if (code == EXIT_CODE_RUNTIME && verb == SHOW)
		fprintf(stderr, "sluice: there is no letter %s\n", line->words[2]);
	dead_access_close(&access);
	return code;
}
