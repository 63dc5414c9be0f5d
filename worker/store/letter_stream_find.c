#include "worker/store/letter_stream.h"

#include <string.h>

static struct str
field(const void *fields, const char *name)
{
	const struct redis_reply *value = redis_pair(fields, name);

	return value != NULL && value->type == REDIS_STRING ? value->text : STR("");
}

static bool
read_letter(const struct redis_reply *reply, const struct letter_filter *filter,
    struct letter_entry *letter)
{
	const struct redis_reply *fields;

	*letter = (struct letter_entry){ .payload = { NULL, 0 } };
	if (reply->type != REDIS_ARRAY || reply->count != 2 ||
	    !position_parse(reply->element[0]->text, &letter->id))
		return false;
	fields = reply->element[1];
	if (fields->type != REDIS_ARRAY)
		return false;
	letter->row.kept_id[0] = 's';
	position_text(letter->id, letter->row.kept_id + 1);
	letter->payload = field(fields, "payload");
	return letter_entry_read(letter, field, fields, (int64_t)letter->id.major, filter);
}

int
letter_stream_page(struct redis *redis, const char *stream, const struct letter_filter *filter,
    struct position after, struct arena *arena, struct letter_entry *letters, size_t *count,
    struct position *next, struct err *err)
{
	const struct redis_reply *reply;
	char from[POSITION_TEXT];

	*count = 0;
	*next = after;
	while (*count == 0) {
		struct position behind = *next;

		if (++behind.minor == 0)
			behind.major++;
		reply = redis_call(redis, arena, err, "XRANGE %s %s + COUNT %lld", stream,
		    position_text(behind, from), (long long)LETTERS_READ);
		if (reply == NULL)
			return -1;
		if (reply->type != REDIS_ARRAY || reply->count == 0)
			return 0;
		for (size_t i = 0; i < reply->count; i++) {
			struct letter_entry *letter = &letters[*count];

			if (position_parse(reply->element[i]->element[0]->text, next) &&
			    read_letter(reply->element[i], filter, letter))
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
