#include "common/clock.h"
#include "common/mysql.h"
#include "worker/lane.h"
#include "worker/operate/access.h"
#include "worker/operate/command.h"
#include "worker/operate/lane_group.h"
#include "worker/operate/text_table.h"
#include "worker/store/ledger.h"
#include "worker/store/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAKEN_WAIT_MS = 5000, TAKEN_LOOK_MS = 100, NO_SUCH_TABLE = 1146 };

/* What `sluice lane` works on: the configuration and a connection to the ledger. */
struct ledger_access {
	struct config config;
	struct access_mysql mysql;
	struct sql *sql;
	struct ledger_listed *list;
	size_t count;
};

static int
unreachable(const struct config *config, const struct err *err)
{
	struct buf place = { 0 };

	access_add_mysql(&config->mysql, &place);
	fprintf(stderr, "sluice: mysql %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

/* Returns an exit code; close in any case. */
static int
ledger_access_open(struct ledger_access *a)
{
	struct err err = { 0 };

	sql_library_init();
	sql_thread_start();
	access_mysql_init(&a->mysql, &a->config.mysql);
	a->sql = sql_new(&a->mysql.options);
	if (sql_open(a->sql, &err) != 0 || ledger_list(a->sql, &a->list, &a->count, &err) != 0) {
		if (err.code != NO_SUCH_TABLE)
			return unreachable(&a->config, &err);
		fputs("sluice: there is no ledger in that database yet; `sluice run` makes it\n",
		    stderr);
		return EXIT_CODE_RUNTIME;
	}
	return EXIT_CODE_OK;
}

static void
ledger_access_close(struct ledger_access *a)
{
	if (a->sql == NULL)
		return;
	free(a->list);
	sql_free(&a->sql);
	sql_thread_stop();
	access_mysql_deinit(&a->mysql);
}

static int
ledger_access_read(struct ledger_access *a, struct err *err)
{
	free(a->list);
	a->list = NULL;
	a->count = 0;
	return ledger_list(a->sql, &a->list, &a->count, err);
}

/* ---- list ---- */

static int
list_lanes(struct ledger_access *a)
{
	static const char *const heads[] = { "lane", "position", "done", "halted", "alarm", "order",
		"owner", "updated", NULL };
	struct text_table table;
	struct buf out = { 0 };

	text_table_init(&table, heads);
	for (size_t i = 0; i < a->count; i++) {
		const struct ledger_listed *row = &a->list[i];
		const char *cells[] = { row->name, row->position, row->done, row->halted,
			row->alarm, row->command, row->owner, row->updated_at };
		text_table_add(&table, cells);
	}
	text_table_print(&table, &out);
	text_table_deinit(&table);
	if (a->count == 0)
		buf_add_str(&out, "no lane has a row in the ledger yet\n");
	bool put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

/* ---- orders ---- */

/* The row of that lane: by its name, or by its stream's where only one lane ends so. */
static const struct ledger_listed *
find_lane(const struct ledger_access *a, const char *name)
{
	const struct ledger_listed *found = NULL;
	size_t name_len = strlen(name);

	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->list[i].name, name) == 0)
			return &a->list[i];
	for (size_t i = 0; i < a->count; i++) {
		size_t len = strlen(a->list[i].name);
		if (len <= name_len || a->list[i].name[len - name_len - 1] != '/' ||
		    strcmp(a->list[i].name + len - name_len, name) != 0)
			continue;
		if (found != NULL)
			return NULL; /* two pools have such a stream */
		found = &a->list[i];
	}
	return found;
}

static int
no_such_lane(const struct ledger_access *a, const char *name)
{
	const char *nearest = NULL;
	unsigned best = 6;

	for (size_t i = 0; i < a->count; i++) {
		const char *stream = strrchr(a->list[i].name, '/');
		const char *tried[] = { a->list[i].name,
			stream != NULL ? stream + 1 : a->list[i].name };
		for (size_t j = 0; j < 2; j++) {
			unsigned distance = str_distance(str_of(name), str_of(tried[j]));
			if (distance < best) {
				best = distance;
				nearest = a->list[i].name;
			}
		}
	}
	fprintf(stderr, "sluice: the ledger has no lane %s, or more than one ends so", name);
	if (nearest != NULL)
		fprintf(stderr, "; did you mean %s?", nearest);
	fputs("\n", stderr);
	return EXIT_CODE_RUNTIME;
}

/* The order as a text, or an exit code for what can't be one. */
static int
order_of(const struct command_line *line, char text[ORDER_TEXT])
{
	struct lane_order order = { .kind = ORDER_NONE };
	const char *verb = line->words[0], *start = line->options[0];
	const char *id = NULL;
	size_t words = 3;

	if (strcmp(verb, "resume") == 0) {
		order.kind = ORDER_RESUME;
		id = start;
	} else if (strcmp(verb, "skip") == 0) {
		order.kind = ORDER_SKIP;
		id = line->words[3];
		words = 4;
	} else if (strcmp(verb, "ack") == 0) {
		order.kind = ORDER_ACK;
	}
	if (order.kind == ORDER_NONE)
		fprintf(stderr, "sluice: `lane` knows list, resume, skip and ack, not %s\n", verb);
	else if (line->word_count != words)
		fprintf(stderr, "sluice: `lane %s` wants FILE NAME%s\n", verb,
		    words == 4 ? " ID" : "");
	else if (start != NULL && order.kind != ORDER_RESUME)
		fprintf(stderr, "sluice: --start belongs to `lane resume`\n");
	else if (id != NULL && !position_parse(str_of(id), &order.position))
		fprintf(stderr,
		    "sluice: %s is no place in a lane, as 1735689600000-0 is or, of a topic, 41\n",
		    id);
	else {
		order.has_position = id != NULL;
		order_text(&order, text);
		return EXIT_CODE_OK;
	}
	return EXIT_CODE_USAGE;
}

static void
rest(int ms)
{
	struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

/* Wait until the owner has taken the order out of the row. */
static int
wait_until_taken(struct ledger_access *a, const char *lane, const char *text)
{
	int64_t until_ms = clock_ms() + TAKEN_WAIT_MS;
	const struct ledger_listed *row;
	struct err err = { 0 };

	for (;;) {
		rest(TAKEN_LOOK_MS);
		if (ledger_access_read(a, &err) != 0)
			return unreachable(&a->config, &err);
		row = find_lane(a, lane);
		if (row == NULL || strcmp(row->command, text) != 0)
			break;
		if (clock_ms() < until_ms)
			continue;
		printf("%s: the order `%s` is left in the ledger, but nobody has taken it within 5 "
		       "s.\n"
		       "It will be obeyed by the lane's owner (last: %s) once there is one.\n",
		    lane, text, row->owner[0] != '\0' ? row->owner : "none");
		return EXIT_CODE_RUNTIME;
	}
	printf("%s: `%s` was taken by %s", lane, text, row != NULL ? row->owner : "its owner");
	if (row != NULL && row->halted[0] != '\0')
		printf("; halted: %s", row->halted);
	if (row != NULL && row->alarm[0] != '\0')
		printf("; alarm: %s", row->alarm);
	printf("; position %s\n", row != NULL ? row->position : "?");
	return EXIT_CODE_OK;
}

static int
leave_order(struct ledger_access *a, const char *name, const char *text)
{
	char lane[LANE_NAME_MAX + 1];
	struct err err = { 0 };
	const struct ledger_listed *row = find_lane(a, name);

	if (row == NULL)
		return no_such_lane(a, name);
	snprintf(lane, sizeof(lane), "%s", row->name);
	/* a row that says nothing may be behind its owner, who judges the order in any case */
	if (strncmp(text, "skip", 4) == 0 && row->halted[0] != '\0' &&
	    strcmp(row->halted, LANE_WHY_ENTRY_TOO_LARGE) != 0 &&
	    strcmp(row->halted, LANE_WHY_ON_POISON) != 0) {
		fprintf(stderr,
		    "sluice: %s is halted by %s; `skip` is for an entry that is too large or can't "
		    "be applied, `resume --start` moves a lane for other reasons\n",
		    lane, row->halted);
		return EXIT_CODE_RUNTIME;
	}
	if (ledger_order_write(a->sql, str_of(lane), str_of(text), &err) != 0) {
		fprintf(stderr, "sluice: %s\n", err.text);
		return err.class == ERR_RETRY ? EXIT_CODE_UNREACHABLE : EXIT_CODE_RUNTIME;
	}
	return wait_until_taken(a, lane, text);
}

static int
list_all(struct ledger_access *a)
{
	bool groups = config_invalidates(&a->config);
	int code = EXIT_CODE_OK;

	if (a->config.has_mysql) {
		code = ledger_access_open(a);
		if (code == EXIT_CODE_OK)
			code = list_lanes(a);
		ledger_access_close(a);
	}
	if (groups) {
		int other = lane_group_list(&a->config);

		code = code == EXIT_CODE_OK ? other : code;
	}
	return code;
}

static int
order_one(struct ledger_access *a, const char *name, const char *text)
{
	char lane[256];
	int code;

	if (lane_group_find(&a->config, name, lane))
		return lane_group_order(&a->config, lane, text);
	if (!a->config.has_mysql) {
		fprintf(stderr, "sluice: no source of this configuration reads %s\n", name);
		return EXIT_CODE_RUNTIME;
	}
	code = ledger_access_open(a);
	if (code == EXIT_CODE_OK)
		code = leave_order(a, name, text);
	ledger_access_close(a);
	return code;
}

int
command_lane(const struct command_line *line)
{
	bool list = strcmp(line->words[0], "list") == 0;
	char text[ORDER_TEXT] = "";
	struct ledger_access access;
	int code;

	if (list && line->word_count != 2) {
		fputs("sluice: `lane list` wants a FILE\n", stderr);
		return EXIT_CODE_USAGE;
	}
	if (!list && (code = order_of(line, text)) != EXIT_CODE_OK)
		return code;
	memset(&access, 0, sizeof(access));
	if (!command_load(&access.config, line->words[1], true))
		return EXIT_CODE_CONFIG;
	code = list ? list_all(&access) : order_one(&access, line->words[2], text);
	config_deinit(&access.config);
	return code;
}
