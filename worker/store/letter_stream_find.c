#include "worker/store/letter_stream.h"

#include "common/clock.h"
#include "common/number.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { READ_AT_ONCE = 20 }; /* each may be as large as an entry */

static struct str
field(const struct redis_reply *fields, const char *name)
{
	const struct redis_reply *value = redis_pair(fields, name);

	return value != NULL && value->type == REDIS_STRING ? value->text : STR("");
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

static bool
read_letter(const struct redis_reply *reply, struct letter_entry *letter, int64_t *created_ms)
{
	const struct redis_reply *fields;
	struct letter_row *row = &letter->row;

	*letter = (struct letter_entry){ .payload = { NULL, 0 } };
	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    !position_parse(reply->element[0]->text, &letter->id))
		return false;
	fields = reply->element[1];
	if (fields->type != REDIS_ARRAY)
		return false;
	copy(row->lane, sizeof(row->lane), field(fields, "lane"));
	copy(row->entry, sizeof(row->entry), field(fields, "entry"));
	copy(row->table, sizeof(row->table), field(fields, "table"));
	copy(row->operation, sizeof(row->operation), field(fields, "operation"));
	copy(row->reason, sizeof(row->reason), field(fields, "reason"));
	copy(row->message, sizeof(row->message), field(fields, "message"));
	copy(row->state, sizeof(row->state), STR(LETTER_DEAD));
	row->chunks = 1;
	row->stream_id[0] = 's';
	position_text(letter->id, row->stream_id + 1);
	if (!number_i64(field(fields, "created_at"), created_ms) || *created_ms < 0)
		*created_ms = (int64_t)letter->id.major;
	write_time(*created_ms, row->created_at);
	letter->payload = field(fields, "payload");
	return row->lane[0] != '\0';
}

/* The lane's whole name, or its stream alone. */
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

int
letter_stream_page(struct redis *redis, const char *stream, const struct letter_filter *filter,
    struct position after, struct arena *arena, struct letter_entry *letters, size_t *count,
    struct position *next, struct err *err)
{
	const struct redis_reply *reply;
	char from[POSITION_TEXT];
	int64_t created_ms;

	*count = 0;
	*next = after;
	while (*count == 0) {
		struct position behind = *next;

		if (++behind.minor == 0)
			behind.major++;
		reply = redis_call(redis, arena, err, "XRANGE %s %s + COUNT %lld", stream,
		    position_text(behind, from), (long long)READ_AT_ONCE);
		if (reply == NULL)
			return -1;
		if (reply->type != REDIS_ARRAY || reply->count == 0)
			return 0;
		for (size_t i = 0; i < reply->count; i++) {
			struct letter_entry *letter = &letters[*count];

			if (position_parse(reply->element[i]->element[0]->text, next) &&
			    read_letter(reply->element[i], letter, &created_ms) &&
			    matches(filter, &letter->row, created_ms))
				++*count;
		}
		if (*count == 0)
			arena_reset(arena);
	}
	return 0;
}

int
letter_stream_drop(struct redis *redis, const char *stream, const struct letter_entry *letters,
    size_t count, uint64_t *dropped, struct err *err)
{
	struct arena arena;
	int status = 0;

	arena_init(&arena, 0);
	for (size_t i = 0; i < count && status == 0; i++) {
		char id[POSITION_TEXT];
		const struct redis_reply *reply = redis_call(redis, &arena, err, "XDEL %s %s",
		    stream, position_text(letters[i].id, id));

		if (reply == NULL)
			status = -1;
		else if (reply->type == REDIS_INTEGER)
			*dropped += (uint64_t)reply->integer;
	}
	arena_deinit(&arena);
	return status;
}
