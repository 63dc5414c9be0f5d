#include "worker/store/letter_entry.h"

#include "common/clock.h"
#include "common/number.h"
#include "worker/store/dead_letter.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void
letter_entry_fields(const struct entry *e, struct arena *arena,
    struct letter_field fields[LETTER_FIELDS])
{
	char id[POSITION_TEXT];
	const char *text = entry_id_text(e, id);
	const struct letter_field all[LETTER_FIELDS] = {
		{ "lane", str_of(e->lane->name) },
		{ "entry", str_of(arena_printf(arena, "%s", text)) },
		{ "table", dead_letter_table(e) },
		{ "operation",
		    str_of(e->change_count > 0 ? change_op_name(e->changes[0].op) : "") },
		{ "reason", str_of(e->refusal.reason) },
		{ "message", str_of(e->refusal.text != NULL ? e->refusal.text : "") },
		{ "created_at", str_of(arena_printf(arena, "%lld", (long long)clock_wall_ms())) },
	};

	memcpy(fields, all, sizeof(all));
}

static void
copy(char *out, size_t size, struct str text)
{
	snprintf(out, size, "%.*s", STR_ARGS(text));
}

/* As MySQL shows it: UTC, with milliseconds. */
static void
write_time(int64_t ms, char out[32])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, 24, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + strlen(out), 8, ".%03d", (int)(ms % 1000));
}

/* The lane's whole name, or what is behind a / in it. */
static bool
is_lane(const char *lane, const char *wanted)
{
	size_t len = strlen(lane), wanted_len = strlen(wanted);

	return strcmp(lane, wanted) == 0 ||
	    (len > wanted_len && lane[len - wanted_len - 1] == '/' &&
		strcmp(lane + len - wanted_len, wanted) == 0);
}

static bool
matches(const struct letter_filter *f, const struct letter_row *row, int64_t created_ms)
{
	int64_t age_ms = clock_wall_ms() - created_ms;

	if (f->lane != NULL && !is_lane(row->lane, f->lane))
		return false;
	if (f->table != NULL && strcmp(f->table, row->table) != 0)
		return false;
	if (f->reason != NULL && strcmp(f->reason, row->reason) != 0)
		return false;
	if (f->state != NULL && strcmp(f->state, LETTER_DEAD) != 0 && strcmp(f->state, "all") != 0)
		return false;
	return (f->older_ms == 0 || age_ms >= f->older_ms) &&
	    (f->newer_ms == 0 || age_ms <= f->newer_ms);
}

bool
letter_entry_read(struct letter_entry *letter, letter_value *value, const void *from,
    int64_t about_ms, const struct letter_filter *filter)
{
	struct letter_row *row = &letter->row;
	int64_t created_ms;

	copy(row->lane, sizeof(row->lane), value(from, "lane"));
	copy(row->entry, sizeof(row->entry), value(from, "entry"));
	copy(row->table, sizeof(row->table), value(from, "table"));
	copy(row->operation, sizeof(row->operation), value(from, "operation"));
	copy(row->reason, sizeof(row->reason), value(from, "reason"));
	copy(row->message, sizeof(row->message), value(from, "message"));
	copy(row->state, sizeof(row->state), STR(LETTER_DEAD));
	row->chunks = 1;
	if (!number_i64(value(from, "created_at"), &created_ms) || created_ms < 0)
		created_ms = about_ms;
	write_time(created_ms, row->created_at);
	return row->lane[0] != '\0' && matches(filter, row, created_ms);
}
