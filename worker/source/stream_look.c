#include "worker/source/stream_look.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The value behind a name, in a reply that may have been cut off. */
static const struct redis_reply *
pair(const struct redis_reply *array, const char *name)
{
	if (array == NULL || array->type != REDIS_ARRAY)
		return NULL;
	for (size_t i = 0; i + 1 < array->count; i += 2) {
		const struct redis_reply *key = array->element[i];

		if (key == NULL)
			return NULL;
		if (key->type == REDIS_STRING && strcmp(key->text.data, name) == 0)
			return array->element[i + 1];
	}
	return NULL;
}

static bool
pair_number(const struct redis_reply *array, const char *name, uint64_t *out)
{
	const struct redis_reply *value = pair(array, name);

	if (value == NULL || value->type != REDIS_INTEGER || value->integer < 0)
		return false;
	*out = (uint64_t)value->integer;
	return true;
}

static bool
pair_position(const struct redis_reply *array, const char *name, struct position *out)
{
	const struct redis_reply *value = pair(array, name);

	return value != NULL && value->type == REDIS_STRING && position_parse(value->text, out);
}

void
stream_info_read(const struct redis_reply *reply, struct stream_info *info)
{
	const struct redis_reply *first;

	memset(info, 0, sizeof(*info));
	if (reply->type == REDIS_ERROR) {
		info->wrong_type = str_begins(reply->text, "WRONGTYPE");
		info->exists = info->wrong_type;
		info->known = info->wrong_type || str_begins(reply->text, "ERR no such key");
		return;
	}
	if (!pair_position(reply, "last-generated-id", &info->last_generated) ||
	    !pair_number(reply, "length", &info->length))
		return;
	info->known = info->exists = true;
	info->has_added = pair_number(reply, "entries-added", &info->added);
	pair_position(reply, "max-deleted-entry-id", &info->max_deleted);
	first = pair(reply, "first-entry");
	if (first != NULL && first->type == REDIS_ARRAY && first->count > 0 &&
	    first->element[0] != NULL)
		info->has_first = position_parse(first->element[0]->text, &info->first);
	else if (info->length > 0)
		info->has_first = pair_position(reply, "recorded-first-entry-id", &info->first);
}

void
stream_groups_need(struct stream_groups *groups, struct str name, struct position place)
{
	if (groups->others && position_compare(place, groups->needed) >= 0)
		return;
	groups->others = true;
	groups->needed = place;
	snprintf(groups->holder, sizeof(groups->holder), "%.*s", STR_ARGS(name));
}

void
stream_groups_read(const struct redis_reply *reply, const char *group, struct stream_groups *groups,
    struct str *pending, size_t pending_max, size_t *pending_count)
{
	memset(groups, 0, sizeof(*groups));
	*pending_count = 0;
	groups->known = reply->type == REDIS_ARRAY ||
	    (reply->type == REDIS_ERROR && str_begins(reply->text, "ERR no such key"));
	for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
		const struct redis_reply *one = reply->element[i], *name = pair(one, "name");
		struct position delivered = { 0, 0 };
		uint64_t waiting = 0;

		if (name == NULL || name->type != REDIS_STRING)
			continue;
		pair_position(one, "last-delivered-id", &delivered);
		if (str_equal(name->text, str_of(group))) {
			groups->ours = true;
			groups->delivered = delivered;
			groups->counted = pair_number(one, "entries-read", &groups->read);
			pair_number(one, "pending", &groups->pending);
			continue;
		}
		stream_groups_need(groups, name->text, delivered);
		if (!pair_number(one, "pending", &waiting) || waiting == 0)
			continue;
		if (*pending_count < pending_max)
			pending[(*pending_count)++] = name->text;
		else
			stream_groups_need(groups, name->text, (struct position){ 0, 0 });
	}
}

bool
stream_beyond(const struct stream_info *info, struct position done, uint64_t *beyond)
{
	*beyond = 0;
	if (!info->known || info->wrong_type)
		return false;
	if (!info->exists || info->length == 0 || position_compare(done, info->last_generated) >= 0)
		return true;
	*beyond = info->length;
	if (!info->has_first)
		return false;
	switch (position_compare(info->first, done)) {
	case 0:
		*beyond = info->length - 1;
		return true;
	case 1:
		return true;
	default:
		return false;
	}
}

struct stream_memory
stream_remember(const struct stream_info *info, struct position done)
{
	struct stream_memory memory = { .done = done, .deleted = info->max_deleted };
	uint64_t beyond;

	memory.counted =
	    info->has_added && stream_beyond(info, done, &beyond) && beyond <= info->added;
	if (memory.counted)
		memory.count = info->added - beyond;
	memory.witnessed = info->has_first && position_compare(info->first, done) <= 0;
	return memory;
}

void
stream_count_on(struct stream_memory *memory, const struct stream_memory *before,
    struct position passed_from, uint64_t passed)
{
	if (memory->counted || position_compare(before->done, passed_from) != 0)
		return;
	memory->counted = before->counted;
	memory->at_least = before->at_least;
	memory->count = before->count + passed;
}

struct stream_memory
stream_recall(const struct stream_facts *facts, struct position done)
{
	const struct stream_groups *groups = &facts->groups;
	struct stream_memory memory = { .done = done, .recalled = true };
	bool on_board = groups->ours && position_compare(groups->delivered, done) == 0;

	if (on_board && groups->counted && facts->info.has_added) {
		memory.counted = true;
		memory.count = groups->read;
	} else if (!on_board || !facts->info.has_added) {
		/* A group at `done` without a count is a start in the middle of a stream: there
		 * need not be an entry at that very place.  Everywhere else there was one. */
		memory.witnessed = done.major != 0 || done.minor != 0;
		memory.at_least = groups->ours && groups->counted && facts->info.has_added &&
		    position_compare(groups->delivered, done) < 0;
		memory.count = memory.at_least ? groups->read : 0;
	}
	return memory;
}

bool
stream_is_behind(const struct stream_info *info, struct position position)
{
	if (!info->known || info->wrong_type || position_is_none(position))
		return false;
	return !info->exists || position_compare(info->last_generated, position) < 0;
}

/* Cut off in front, or all gone?  `first` is where the stream begins now. */
static bool
front_gap(const struct stream_info *info, const struct stream_memory *memory,
    struct position cursor, bool *anew, uint64_t *missing)
{
	struct position next = info->has_first ? info->first : info->last_generated;
	uint64_t accounted;

	*missing = 0;
	*anew = memory->counted && info->has_added && info->added < memory->count;
	if (*anew)
		return true;
	if (info->length > 0 &&
	    (!info->has_first || position_compare(info->first, memory->done) <= 0))
		return false;
	if (!memory->counted || !info->has_added)
		return memory->witnessed && position_compare(next, cursor) > 0;
	accounted = memory->count + info->length;
	*anew = info->added < accounted;
	*missing = *anew ? 0 : info->added - accounted;
	return *anew || (*missing > 0 && position_compare(next, cursor) > 0);
}

static void
say_front_gap(const struct stream_info *info, const char *name, const char *from, bool anew,
    uint64_t missing, char *text, size_t size)
{
	char to[POSITION_TEXT];

	position_text(info->has_first ? info->first : info->last_generated, to);
	if (anew)
		snprintf(text, size,
		    "stream %s was begun anew: what was added behind %s, not read, and "
		    "is not there is lost; the first entry now is %s",
		    name, from, to);
	else if (missing > 0)
		snprintf(text, size,
		    "stream %s: %" PRIu64 " entries between %s and %s are gone (trimmed "
		    "by another client)",
		    name, missing, from, to);
	else
		snprintf(text, size,
		    "stream %s: entries between %s and %s are gone (trimmed by another "
		    "client)",
		    name, from, to);
}

bool
stream_gap(const struct stream_info *info, const struct stream_memory *memory,
    const struct lane *lane, struct position position, bool *anew, char *text, size_t size)
{
	char from[POSITION_TEXT], to[POSITION_TEXT];
	const char *name = lane->stream;
	uint64_t missing;

	*anew = false;
	if (!info->known || info->wrong_type)
		return false;
	position_text(memory->done, from);
	if (!info->exists) {
		if (!stream_is_behind(info, position))
			return false;
		snprintf(text, size,
		    "stream %s is gone; what was added behind %s and not read is lost", name,
		    position_text(position, from));
		return true;
	}
	if (position_compare(info->max_deleted, memory->done) > 0 &&
	    position_compare(info->max_deleted, memory->deleted) > 0) {
		snprintf(text, size, "stream %s: entries behind %s up to %s were deleted (XDEL)",
		    name, from, position_text(info->max_deleted, to));
		return true;
	}
	if (!front_gap(info, memory, lane->cursor, anew, &missing))
		return false;
	say_front_gap(info, name, from, *anew, missing, text, size);
	return true;
}

/* ---- what to make of it ---- */

/*
 * The ledger is behind what an earlier owner (the notice board, which is written after the ledger) or
 * we ourselves know to be committed.  Reading starts at its `done`, so what the stream still holds is
 * applied again.
 */
static bool
decide_store_rollback(const struct stream_facts *facts, const struct stream_memory *memory,
    const struct lane *lane, const struct ledger_row *row, struct source_look *look)
{
	const struct stream_info *info = &facts->info;
	struct position from = lane->lost_from, to = lane->lost_to;
	char from_text[POSITION_TEXT], to_text[POSITION_TEXT], first[POSITION_TEXT];
	bool by_board = position_is_none(to);
	int len;

	if (by_board) {
		if ((!memory->recalled && !lane->recall) || !facts->groups.ours ||
		    position_compare(facts->groups.delivered, row->position) <= 0)
			return false;
		from = row->position;
		to = facts->groups.delivered;
	}
	look->result = LOOK_STORE_ROLLBACK;
	look->loses = info->known && info->exists &&
	    !(info->has_added && info->added == info->length) &&
	    (!info->has_first || position_compare(info->first, from) > 0) &&
	    position_compare(info->last_generated, from) > 0;
	position_text(from, from_text);
	position_text(to, to_text);
	len = snprintf(look->text, sizeof(look->text),
	    "the ledger of stream %s went back from %s to %s: MySQL lost commits%s; what was added "
	    "behind %s is applied again",
	    lane->stream, to_text, from_text,
	    by_board ? " (or another client moved our group)" : "", from_text);
	if (look->loses && len > 0 && (size_t)len < sizeof(look->text))
		snprintf(look->text + len, sizeof(look->text) - (size_t)len,
		    "; what stood between %s and %s was trimmed already (keep is too short) and is "
		    "lost",
		    from_text, position_text(info->has_first ? info->first : to, first));
	return true;
}

static bool
decide_rollback(const struct stream_info *info, const struct lane *lane, struct position position,
    struct source_look *look)
{
	char from[POSITION_TEXT], to[POSITION_TEXT];

	if (!info->exists || !stream_is_behind(info, position))
		return false;
	look->result = LOOK_ROLLBACK;
	position_text(position, from);
	snprintf(look->text, sizeof(look->text),
	    "stream %s ends at %s, the ledger is at %s: the server lost data; what was added "
	    "behind %s "
	    "and not read is lost",
	    lane->stream, position_text(info->last_generated, to), from, to);
	return true;
}

static int
decide_start(const struct stream_facts *facts, const struct lane *lane, struct source_look *look,
    struct err *err)
{
	const char *start = lane->source->start;

	look->result = LOOK_FRESH;
	look->start = (struct position){ 0, 0 };
	if (strcmp(start, "end") == 0) {
		if (!facts->info.known)
			return err_set(err, ERR_FATAL, 0,
			    "stream %s: start: end needs the right to XINFO", lane->stream);
		look->start = facts->info.last_generated;
	} else if (strcmp(start, "beginning") != 0 && !position_parse(str_of(start), &look->start))
		return err_set(err, ERR_FATAL, 0, "start: %s is not a stream id", start);
	look->start = position_of_stream(look->start);
	return 0;
}

static int
decide_without_row(const struct stream_facts *facts, const struct lane *lane,
    struct source_look *look, struct err *err)
{
	if (facts->identity_trace != IDENTITY_FOUND && !facts->groups.ours)
		return decide_start(facts, lane, look, err);
	look->result = LOOK_LEDGER_LOST;
	snprintf(look->text, sizeof(look->text),
	    "the ledger has no row for stream %s, but %s there says "
	    "that it was read before",
	    lane->stream,
	    facts->identity_trace == IDENTITY_FOUND ? "the identity key" : "the consumer group");
	return 0;
}

static int
decide(const struct stream_facts *facts, const struct stream_memory *memory,
    const struct lane *lane, const struct ledger_row *row, struct source_look *look,
    struct err *err)
{
	bool begun = row->position.major != 0 || row->position.minor != 0;

	look->result = LOOK_OK;
	if (facts->identity_trace == IDENTITY_FOUND)
		memcpy(look->identity, facts->identity, sizeof(look->identity));
	if (facts->info.wrong_type) {
		look->result = LOOK_WRONG_TYPE;
		snprintf(look->text, sizeof(look->text), "the key %s is not a stream",
		    lane->stream);
		return 0;
	}
	if (!row->found)
		return decide_without_row(facts, lane, look, err);
	if (facts->identity_trace == IDENTITY_FOUND && row->identity[0] != '\0' &&
	    strcmp(facts->identity, row->identity) != 0) {
		look->result = LOOK_IDENTITY;
		snprintf(look->text, sizeof(look->text),
		    "stream %s is another one than the ledger's: its "
		    "identity key has another value",
		    lane->stream);
	} else if (decide_store_rollback(facts, memory, lane, row, look) ||
	    decide_rollback(&facts->info, lane, row->position, look))
		return 0;
	else if (stream_gap(&facts->info, memory, lane, row->position, &look->anew, look->text,
		     sizeof(look->text)))
		look->result = LOOK_GAP;
	else if (facts->identity_trace == IDENTITY_ABSENT && row->identity[0] != '\0' && begun) {
		char from[POSITION_TEXT];

		look->result = LOOK_GAP;
		snprintf(look->text, sizeof(look->text),
		    "the identity key of stream %s is gone: the server "
		    "lost data or was flushed; what was added behind %s and not read may be lost",
		    lane->stream, position_text(row->done, from));
	}
	return 0;
}

int
stream_decide(const struct stream_facts *facts, const struct stream_memory *memory,
    const struct lane *lane, const struct ledger_row *row, struct source_look *look,
    struct err *err)
{
	const struct stream_info *info = &facts->info;

	if (decide(facts, memory, lane, row, look, err) != 0)
		return -1;
	look->nothing_left = look->result != LOOK_OK && look->result != LOOK_FRESH && info->known &&
	    (!info->has_first || position_compare(info->first, row->position) > 0);
	return 0;
}
