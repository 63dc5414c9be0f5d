#include "common/clock.h"
#include "common/number.h"
#include "config/unit.h"
#include "worker/operate/command.h"
#include "worker/operate/row_access.h"
#include "worker/operate/row_traces.h"
#include "worker/store/letter_find.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * `sluice wait`: is a write readable?  A look is one or two small statements; looks are LOOK_MIN_MS
 * apart at first and LOOK_MAX_MS later.
 */
enum {
	LOOK_MIN_MS = 10,
	LOOK_MAX_MS = 500,
	LETTERS_EVERY_MS = 1000,
	TIMEOUT_MS = 10000,
	TIMEOUT_MAX_MS = 24 * 3600 * 1000,
	NAMES_SHOWN = 8
};
enum { OPTION_FOR_VERSION, OPTION_FOR_ENTRY, OPTION_FOR_STREAM, OPTION_FOR_TIMEOUT };

enum look { NOT_YET, READABLE, DEAD, UNKNOWN };

struct wait {
	struct config config;
	struct row_access access;
	const struct command_line *line;
	int64_t timeout_ms;
	uint64_t version;
	bool by_version;
	/* --entry */
	struct lane lane;
	struct position entry;
	/* what the last look found, for people */
	char said[640];
	int64_t letters_ms; /* when dead letters were looked through */
	bool is_dead;
};

static int
usage(const char *text)
{
	fprintf(stderr, "sluice: wait: %s\n", text);
	return EXIT_CODE_USAGE;
}

/* ---- the command line ---- */

static int
take_numbers(struct wait *w)
{
	const char *version = w->line->options[OPTION_FOR_VERSION];
	const char *timeout = w->line->options[OPTION_FOR_TIMEOUT];

	w->by_version = version != NULL;
	if (w->by_version == (w->line->options[OPTION_FOR_ENTRY] != NULL))
		return usage("want --version N or --entry ID, one of them");
	if (w->by_version && !number_u64(str_of(version), &w->version))
		return usage("--version wants a whole number");
	if (w->by_version && w->line->options[OPTION_FOR_STREAM] != NULL)
		return usage("--stream belongs to --entry");
	if (w->by_version && w->line->word_count < 3)
		return usage("--version wants COLUMN=VALUE for each column of the primary key");
	if (!w->by_version && w->line->word_count > 2)
		return usage("--entry takes no COLUMN=VALUE: the lane says how far it is written");
	w->timeout_ms = TIMEOUT_MS;
	if (timeout != NULL &&
	    (unit_duration(str_of(timeout), &w->timeout_ms) != UNIT_OK ||
		w->timeout_ms > TIMEOUT_MAX_MS))
		return usage("--timeout wants a duration such as 500ms, 10s or 1m, up to 24h");
	return EXIT_CODE_OK;
}

static bool
is_called(const struct lane *lane, const char *name)
{
	return strcmp(lane->name, name) == 0 || strcmp(lane->stream, name) == 0;
}

/* topic/partition, or the whole name of such a lane. */
static bool
take_partition(struct wait *w, const struct config_source *source, const char *name)
{
	char head[LANE_NAME_MAX + 1], topic[TOPIC_NAME_MAX + 1];
	const char *slash = strrchr(name, '/');
	uint64_t partition;
	int len = snprintf(head, sizeof(head), "%s/%s/", w->config.pool, w->config.kafka.name);

	if (strncmp(name, head, (size_t)len) == 0)
		name += len;
	if (slash == NULL || slash <= name || slash - name > TOPIC_NAME_MAX ||
	    !number_u64(str_of(slash + 1), &partition) || partition > INT32_MAX)
		return false;
	snprintf(topic, sizeof(topic), "%.*s", (int)(slash - name), name);
	return config_source_of_topic(&w->config, topic) == source &&
	    lane_init_partition(&w->lane, &w->config, source, topic, (int)partition, 0);
}

/* Every lane that may bring changes of the table: how many there are, and their names. */
static size_t
candidates(struct wait *w, const char *table, const char *wanted, struct buf *names)
{
	const struct config *config = &w->config;
	size_t count = 0;
	struct lane lane;

	for (size_t i = 0; i < config->source_count; i++) {
		const struct config_source *source = &config->sources[i];

		if (!row_traces_lists(source, table))
			continue;
		for (size_t j = 0; j < source->stream_count; j++) {
			lane_init(&lane, config, source, j, 0);
			if (wanted != NULL && !is_called(&lane, wanted))
				continue;
			if (count++ < NAMES_SHOWN)
				buf_printf(names, "%s%s", count > 1 ? ", " : "", lane.stream);
			w->lane = lane;
		}
		if (source->topic_count == 0)
			continue;
		if (wanted != NULL) {
			count += take_partition(w, source, wanted);
			continue;
		}
		count += 2; /* who knows how many partitions */
		buf_printf(names, "%s%s/PARTITION", count > 2 ? ", " : "", source->topics[0]);
	}
	return count;
}

/* The one lane that can hold the entry. */
static int
take_lane(struct wait *w)
{
	const char *wanted = w->line->options[OPTION_FOR_STREAM], *table = w->line->words[1];
	const char *id = w->line->options[OPTION_FOR_ENTRY];
	struct buf names = { 0 };
	size_t count = candidates(w, table, wanted, &names);
	int code = EXIT_CODE_USAGE;

	if (count == 0 && wanted != NULL)
		fprintf(stderr, "sluice: wait: no source that lists table %s reads %s\n", table,
		    wanted);
	else if (count == 0)
		fprintf(stderr, "sluice: wait: no source lists table %s\n", table);
	else if (count > 1)
		fprintf(stderr,
		    "sluice: wait: several lanes bring changes of %s; say --stream and one of "
		    "%s%s\n",
		    table, names.data, count > NAMES_SHOWN ? ", ..." : "");
	else if (!position_parse(str_of(id), &w->entry) ||
	    w->lane.is_partition != (strchr(id, '-') == NULL))
		fprintf(stderr, "sluice: wait: %s is no %s\n", id,
		    w->lane.is_partition ? "offset" : "stream id; one looks like 1735689600000-0");
	else
		code = EXIT_CODE_OK;
	buf_deinit(&names);
	return code;
}

/* ---- one look ---- */

__attribute__((format(printf, 3, 4))) static enum look
say(struct wait *w, enum look look, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->said, sizeof(w->said), format, args);
	va_end(args);
	return look;
}

static void
take_letter(void *arg, const struct row_trace *trace)
{
	struct wait *w = arg;

	if (w->is_dead || !trace->has_version || trace->version != w->version ||
	    strcmp(trace->state, LETTER_REPLAY) == 0 || strcmp(trace->state, LETTER_FORCE) == 0 ||
	    strcmp(trace->state, LETTER_APPLIED) == 0)
		return;
	w->is_dead = true;
	snprintf(w->said, sizeof(w->said),
	    "the change of version %llu is dead letter %llu (%s, %s): entry %s of %s",
	    (unsigned long long)w->version, (unsigned long long)trace->letter, trace->reason,
	    trace->state, trace->entry, trace->lane);
}

static int
look_at_row(struct wait *w, enum look *look, struct err *err)
{
	struct row_now now;
	bool bounded;

	if (w->access.table->version_column < 0) {
		*look =
		    say(w, UNKNOWN, "table %s has no `version`: wait for its entry with --entry",
			w->access.table->name);
		return 0;
	}
	if (row_access_now(&w->access, &now, err) != 0)
		return -1;
	if (now.has_version && now.version >= w->version) {
		*look =
		    say(w, READABLE, "the row has version %llu", (unsigned long long)now.version);
		return 0;
	}
	if (w->letters_ms == 0 || clock_ms() - w->letters_ms >= LETTERS_EVERY_MS) {
		w->letters_ms = clock_ms();
		if (row_traces_letters(&w->access, take_letter, w, &bounded, err) != 0)
			return -1;
	}
	if (w->is_dead)
		*look = DEAD;
	else if (!now.there)
		*look = say(w, NOT_YET,
		    "there is no such row (one that was deleted has no version: wait with "
		    "--entry)");
	else if (!now.has_version)
		*look = say(w, NOT_YET, "the row's version is NULL");
	else
		*look =
		    say(w, NOT_YET, "the row has version %llu", (unsigned long long)now.version);
	return 0;
}

/* Is it a letter?  Those that were applied are written. */
static int
look_at_letter(struct wait *w, enum look *look, struct err *err)
{
	struct sql_result result;
	struct buf select = { 0 };
	char at[POSITION_TEXT];

	buf_add_str(&select, "SELECT id, reason, state FROM sluice_dead_letter WHERE lane = ");
	sql_add_binary(&select, str_of(w->lane.name));
	buf_printf(&select,
	    " AND entry = '%s' AND state <> '" LETTER_CHUNK "' ORDER BY id DESC LIMIT 1",
	    position_text(w->entry, at));
	if (session_send(w->access.sql, &select, &result, err) != 0)
		return session_end(w->access.sql, -1, err);
	if (result.rows > 0) {
		struct str id = sql_cell(&result, 0, 0), reason = sql_cell(&result, 0, 1);
		struct str state = sql_cell(&result, 0, 2);
		bool marked =
		    str_equal(state, STR(LETTER_REPLAY)) || str_equal(state, STR(LETTER_FORCE));

		if (!str_equal(state, STR(LETTER_APPLIED)) && !str_equal(state, STR(LETTER_CLOSED)))
			*look = say(w, marked ? NOT_YET : DEAD,
			    "the entry is dead letter %.*s (%.*s, %.*s)", STR_ARGS(id),
			    STR_ARGS(reason), STR_ARGS(state));
	}
	sql_result_free(&result);
	return session_end(w->access.sql, 0, err);
}

/* Entries were lost under us, or may have been: past the place doesn't mean written. */
static bool
doubts(struct str alarm)
{
	static const char *const words[] = { LANE_WHY_GAP, LANE_WHY_STORE_ROLLBACK,
		LANE_WHY_ROLLBACK, LANE_WHY_FORK, LANE_WHY_LEDGER_LOST, LANE_WHY_IDENTITY };

	const char *comma = alarm.len > 0 ? memchr(alarm.data, ',', alarm.len) : NULL;

	if (comma != NULL) /* lane_alarm_text */
		alarm.len = (size_t)(comma - alarm.data);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (str_equal(alarm, str_of(words[i])))
			return true;
	return false;
}

static enum look
judge_place(struct wait *w, const struct sql_result *result)
{
	struct str place, halted, alarm;
	struct position position;

	if (result->rows == 0)
		return say(w, NOT_YET, "lane %s has no row in the ledger yet", w->lane.name);
	place = sql_cell(result, 0, 0);
	halted = sql_cell(result, 0, 1);
	alarm = sql_cell(result, 0, 2);
	if (!position_parse(place, &position))
		return say(w, UNKNOWN, "the ledger's row of lane %s is damaged", w->lane.name);
	if (position_compare(position, w->entry) < 0)
		return say(w, NOT_YET, "lane %s is written up to %.*s%s%.*s", w->lane.name,
		    STR_ARGS(place), halted.len > 0 ? ", and halted: " : "", STR_ARGS(halted));
	if (doubts(alarm))
		return say(w, UNKNOWN,
		    "lane %s is written past it, but has the alarm %.*s: entries were lost, and "
		    "this "
		    "one may be among them (see the log, then `sluice lane ack`)",
		    w->lane.name, STR_ARGS(alarm));
	return say(w, READABLE, "lane %s is written up to %.*s", w->lane.name, STR_ARGS(place));
}

static int
look_at_lane(struct wait *w, enum look *look, struct err *err)
{
	struct sql_result result;
	struct buf select = { 0 };

	if (!w->lane.source->write) {
		*look = say(w, UNKNOWN, "lane %s only invalidates: nothing of it is written",
		    w->lane.name);
		return 0;
	}
	buf_add_str(&select, "SELECT position, halted, alarm FROM sluice_ledger WHERE lane = ");
	sql_add_binary(&select, str_of(w->lane.name));
	if (session_send(w->access.sql, &select, &result, err) != 0)
		return session_end(w->access.sql, -1, err);
	*look = judge_place(w, &result);
	sql_result_free(&result);
	if (session_end(w->access.sql, 0, err) != 0)
		return -1;
	/* its letter is of the same transaction as the place */
	return *look == READABLE || *look == UNKNOWN ? look_at_letter(w, look, err) : 0;
}

/* -1: try again, or FATAL: never. */
static int
look(struct wait *w, enum look *found, struct err *err)
{
	if (!sql_is_open(w->access.sql) &&
	    (row_access_open(&w->access, err) != 0 ||
		row_access_table(&w->access, w->line->words[1], err) != 0 ||
		(w->by_version &&
		    row_access_words(&w->access, w->line->words + 2, w->line->word_count - 2,
			err) != 0)))
		return -1;
	return w->by_version ? look_at_row(w, found, err) : look_at_lane(w, found, err);
}

/* ---- waiting ---- */

static void
rest(int64_t ms)
{
	struct timespec pause = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

static int
unreachable(const struct wait *w, const struct err *err)
{
	struct buf place = { 0 };

	access_add_mysql(&w->config.mysql, &place);
	fprintf(stderr, "sluice: mysql %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

static int
failed(const struct wait *w, const struct err *err)
{
	/* a sentence of ours about the table or the words has no code */
	if (err->class != ERR_FATAL || err->code != 0 || !sql_is_open(w->access.sql))
		return unreachable(w, err);
	return usage(err->text);
}

static int
answer(const struct wait *w, enum look found)
{
	static const int codes[] = { [NOT_YET] = EXIT_CODE_TIMED_OUT,
		[READABLE] = EXIT_CODE_OK,
		[DEAD] = EXIT_CODE_DEAD_LETTER,
		[UNKNOWN] = EXIT_CODE_UNKNOWN };
	static const char *const heads[] = { [NOT_YET] = "not within the time: ",
		[READABLE] = "readable: ",
		[DEAD] = "not written: ",
		[UNKNOWN] = "can't be known: " };

	fprintf(found == READABLE ? stdout : stderr, "%s%s%s\n",
	    found == READABLE ? "" : "sluice: ", heads[found], w->said);
	return codes[found];
}

static int
wait_for_it(struct wait *w)
{
	int64_t until_ms = clock_ms() + w->timeout_ms, pause_ms = LOOK_MIN_MS, left_ms;

	for (;;) {
		enum look found = NOT_YET;
		struct err err = { .class = ERR_NONE };
		int status = look(w, &found, &err);

		if (status != 0 && err.class == ERR_FATAL)
			return failed(w, &err);
		if (status == 0 && found != NOT_YET)
			return answer(w, found);
		left_ms = until_ms - clock_ms();
		if (left_ms <= 0)
			return status != 0 ? unreachable(w, &err) : answer(w, NOT_YET);
		rest(pause_ms < left_ms ? pause_ms : left_ms);
		pause_ms = pause_ms * 3 / 2 < LOOK_MAX_MS ? pause_ms * 3 / 2 : LOOK_MAX_MS;
	}
}

int
command_wait(const struct command_line *line)
{
	struct wait w = { .line = line };
	int code;

	if ((code = take_numbers(&w)) != EXIT_CODE_OK)
		return code;
	if (!command_load(&w.config, line->words[0], true))
		return EXIT_CODE_CONFIG;
	if (!w.config.has_mysql)
		code = usage("the configuration has no mysql: nothing of it is written");
	else if (!w.by_version)
		code = take_lane(&w);
	if (code == EXIT_CODE_OK) {
		sql_library_init();
		sql_thread_start();
		row_access_init(&w.access, &w.config);
		code = wait_for_it(&w);
		row_access_deinit(&w.access);
		sql_thread_stop();
	}
	config_deinit(&w.config);
	return code;
}
