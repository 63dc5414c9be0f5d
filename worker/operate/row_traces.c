#include "worker/operate/row_traces.h"

#include "common/number.h"
#include "worker/source/redis_stream.h"
#include "worker/store/letter_find.h"
#include "worker/store/letter_payload.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MAX = 100, PAGE_BYTES = 256 * 1024, LETTER_BYTES_MAX = 64 * 1024 };

bool
row_traces_lists(const struct config_source *source, const char *table)
{
	for (size_t i = 0; i < source->table_count; i++)
		if (strcmp(source->tables[i], table) == 0)
			return true;
	return false;
}

/* ---- one entry ---- */

/* As far as it goes: of an entry that is refused the key may be known all the same. */
static void
resolve(struct row_access *a, struct entry *entry, struct arena *arena)
{
	if (format_decode(entry, arena, NULL) != 0)
		return;
	for (size_t i = 0; i < entry->change_count; i++) {
		struct change *change = &entry->changes[i];

		change->entry = entry;
		if (resolve_change(&a->resolver, entry, change) != 0)
			resolve_refused_key(&a->resolver, entry, change);
		entry->refusal = (struct refusal){ .reason = NULL };
	}
	if (resolve_moves(&a->resolver, entry) != 0)
		entry->refusal = (struct refusal){ .reason = NULL };
}

static void
tell(struct row_access *a, struct entry *entry, struct arena *arena, struct row_trace *trace,
    row_trace_fn *found, void *arg)
{
	resolve(a, entry, arena);
	for (size_t i = 0; i < entry->change_count; i++) {
		const struct change *change = &entry->changes[i];

		if (!row_access_is_of(a, change))
			continue;
		trace->operation = change_op_name(change->op);
		trace->has_version = change->has_version;
		trace->version = change->version;
		found(arg, trace);
	}
}

/* ---- letters ---- */

/* A lane of that name as the configuration makes it; false: it has none. */
static bool
lane_named(const struct config *config, struct str name, struct lane *lane)
{
	char topic[TOPIC_NAME_MAX + 1], head[LANE_NAME_MAX + 1];
	const char *slash;
	uint64_t partition;
	int len;

	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count; j++) {
			lane_init(lane, config, &config->sources[i], j, 0);
			if (str_equal(str_of(lane->name), name))
				return true;
		}
	len = snprintf(head, sizeof(head), "%s/%s/", config->pool, config->kafka.name);
	slash = memrchr(name.data, '/', name.len);
	if (len <= 0 || name.len <= (size_t)len || memcmp(name.data, head, (size_t)len) != 0 ||
	    slash < name.data + len || slash - name.data - len > TOPIC_NAME_MAX ||
	    !number_u64((struct str){ slash + 1, (size_t)(name.data + name.len - slash) - 1 },
		&partition))
		return false;
	snprintf(topic, sizeof(topic), "%.*s", (int)(slash - name.data - len), name.data + len);
	return config_source_of_topic(config, topic) != NULL &&
	    lane_init_partition(lane, config, config_source_of_topic(config, topic), topic,
		(int)partition, 0);
}

static void
copy_cell(char *out, size_t size, struct str cell)
{
	snprintf(out, size, "%.*s", STR_ARGS(cell));
}

static void
look_at_letter(struct row_access *a, const struct sql_result *result, size_t row,
    struct arena *arena, row_trace_fn *found, void *arg)
{
	struct lane *lane = arena_zalloc(arena, sizeof(*lane));
	struct entry entry = { .lane = lane };
	struct row_trace trace = { .letter = 0 };
	struct str text = sql_cell(result, row, 5);

	if (!number_u64(sql_cell(result, row, 0), &trace.letter) ||
	    !lane_named(a->config, sql_cell(result, row, 1), lane) ||
	    !position_parse(sql_cell(result, row, 2), &entry.id) ||
	    !letter_payload_read(text, arena, &entry.raw, &entry.raw_count))
		return;
	trace.id = entry.id;
	copy_cell(trace.lane, sizeof(trace.lane), sql_cell(result, row, 1));
	copy_cell(trace.entry, sizeof(trace.entry), sql_cell(result, row, 2));
	copy_cell(trace.reason, sizeof(trace.reason), sql_cell(result, row, 3));
	copy_cell(trace.state, sizeof(trace.state), sql_cell(result, row, 4));
	resolver_start(&a->resolver, a->schema, arena);
	tell(a, &entry, arena, &trace, found, arg);
}

int
row_traces_letters(struct row_access *a, row_trace_fn *found, void *arg, bool *bounded,
    struct err *err)
{
	struct sql_result result;
	struct buf select = { 0 };
	struct arena arena;

	/* a payload in several chunks, or a large one, is not fetched */
	buf_printf(&select,
	    "SELECT id, lane, entry, reason, state, IF(LENGTH(payload) <= %d, payload, '')"
	    " FROM sluice_dead_letter WHERE state NOT IN ('" LETTER_CHUNK "', '" LETTER_CLOSED
	    "') ORDER BY id DESC LIMIT %d",
	    LETTER_BYTES_MAX, TRACE_LETTERS_MAX);
	if (session_send(a->sql, &select, &result, err) != 0)
		return session_end(a->sql, -1, err);
	*bounded = result.rows == TRACE_LETTERS_MAX;
	arena_init(&arena, PAGE_BYTES);
	for (size_t i = 0; i < result.rows; i++) {
		arena_reset(&arena);
		look_at_letter(a, &result, i, &arena, found, arg);
	}
	arena_deinit(&arena);
	sql_result_free(&result);
	return session_end(a->sql, 0, err);
}

/* ---- streams ---- */

struct reading {
	struct row_access *a;
	struct redis *redis;
	struct lane *lane;
	struct arena arena;
	struct position after;
	size_t bytes;
	long long count; /* of the next page: larger while entries are small */
	bool ended;
};

static int
read_page(struct reading *r, row_trace_fn *found, void *arg, uint64_t *looked, struct err *err)
{
	struct str stream = str_of(r->lane->stream);
	char from[POSITION_TEXT + 1] = "(";
	struct redis_reply *reply;
	size_t bytes = 0;

	arena_reset(&r->arena);
	position_text(r->after, from + 1);
	reply = redis_call(r->redis, &r->arena, err, "XRANGE %b %s + COUNT %lld", &stream, from,
	    r->count);
	if (reply == NULL)
		return -1;
	resolver_start(&r->a->resolver, r->a->schema, &r->arena);
	r->ended = reply->type != REDIS_ARRAY || reply->count < (size_t)r->count;
	for (size_t i = 0; reply->type == REDIS_ARRAY && i < reply->count; i++) {
		struct entry *entry = stream_entry(&r->arena, r->lane, reply->element[i]);
		struct row_trace trace = { .letter = 0 };

		if (entry == NULL)
			continue;
		++*looked;
		bytes += entry->bytes;
		r->after = trace.id = entry->id;
		memcpy(trace.lane, r->lane->name, sizeof(trace.lane));
		position_text(entry->id, trace.entry);
		tell(r->a, entry, &r->arena, &trace, found, arg);
	}
	r->bytes += bytes;
	if (bytes < PAGE_BYTES / 2 && r->count < PAGE_MAX)
		r->count *= 2;
	else if (bytes > PAGE_BYTES && r->count > 1)
		r->count /= 2;
	return 0;
}

int
row_traces_stream(struct row_access *a, struct redis *redis, struct lane *lane,
    struct position after, row_trace_fn *found, void *arg, uint64_t *looked, bool *bounded,
    struct err *err)
{
	struct reading r = { .a = a, .redis = redis, .lane = lane, .after = after, .count = 4 };
	int status = 0;

	*looked = 0;
	arena_init(&r.arena, PAGE_BYTES);
	while (status == 0 && !r.ended && *looked < TRACE_ENTRIES_MAX && r.bytes < TRACE_BYTES_MAX)
		status = read_page(&r, found, arg, looked, err);
	*bounded = status == 0 && !r.ended;
	arena_deinit(&r.arena);
	return status;
}
