#include "config/read.h"

#include "common/number.h"
#include "config/braces.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>

/* As Kafka has it. */
#define TOPIC_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
enum { TOPIC_BYTES_MAX = 249 };

static const char **
with_first(struct reader *r, const char *first, const char **names, size_t count)
{
	const char **all = arena_alloc(r->arena, (count + 1) * sizeof(*all));

	all[0] = first;
	if (count > 0)
		memcpy(all + 1, names, count * sizeof(*all));
	return all;
}

/* `table` counts as one of `tables`. */
static void
add_default_table(struct reader *r, struct config_source *source)
{
	if (source->table == NULL)
		return;
	for (size_t i = 0; i < source->table_count; i++)
		if (strcmp(source->listed[i], source->table) == 0)
			return;
	source->tables = with_first(r, source->table, source->tables, source->table_count);
	source->listed = with_first(r, source->table, source->listed, source->table_count);
	source->table_count++;
}

/* What only change events have; the defaults may be written out. */
static void
check_event_options(struct reader *r, const struct node *node, const char *where,
    const struct config_source *source)
{
	const struct {
		const char *name;
		bool differs;
	} given[] = { { "snapshot", source->write != source->apply_snapshots },
		{ "tombstones", source->delete_tombstones }, { "truncate", source->allow_truncate },
		{ "binary", source->binary != BINARY_BASE64 },
		{ "times", source->times != TIMES_ADAPTIVE } };

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		const struct node *found = node_find(node, given[i].name);

		if (found != NULL && given[i].differs)
			problem_add(r->problems, found->key->at,
			    "%s.%s: only for change events (format debezium, maxwell, canal or "
			    "dms)",
			    where, given[i].name);
	}
	for (size_t i = 0; i < source->table_count; i++) {
		if (strchr(source->listed[i], '.') != NULL)
			problem_add(r->problems, node_find(node, "tables")->key->at,
			    "%s.tables: %s names a database, which only change events do", where,
			    problem_quote(r->problems, str_of(source->listed[i])));
	}
}

/* Streams or topics, and what only one of the two can have. */
static void
check_where_from(struct reader *r, const struct node *node, const char *where,
    const struct config_source *source)
{
	const struct node *streams = node_find(node, "streams"),
			  *topics = node_find(node, "topics");
	const struct node *field = node_find(node, "field");

	if (streams == NULL && topics == NULL)
		problem_add(r->problems, node->at, "%s: streams or topics is missing", where);
	if (topics == NULL)
		return;
	if (streams != NULL)
		problem_add(r->problems, topics->key->at, "%s: streams and topics are two sources",
		    where);
	if (source->format == FORMAT_FIELDS)
		problem_add(r->problems, topics->key->at,
		    "%s.topics: format fields is for streams; a message has one value: set format "
		    "to json, debezium, maxwell, canal or dms",
		    where);
	if (field != NULL)
		problem_add(r->problems, field->key->at,
		    "%s.field: only for streams; of a message the value is read", where);
	if (!source->write)
		problem_add(r->problems, node_find(node, "write")->key->at,
		    "%s.write: false is not in this release for topics", where);
}

/* What only sources that don't write have; the defaults may be written out. */
static void
check_invalidating(struct reader *r, const struct node *node, const char *where,
    const struct config_source *source)
{
	struct config_source fresh = { .written = NULL };

	read_defaults(r, "sources[]", &fresh);
	const struct {
		const char *name;
		bool differs;
	} given[] = { { "trim", source->trim_acked },
		{ "claim_after", source->claim_after_ms != fresh.claim_after_ms } };

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		const struct node *found = node_find(node, given[i].name);

		if (found != NULL && given[i].differs)
			problem_add(r->problems, found->key->at, "%s.%s: only with write: false",
			    where, given[i].name);
	}
}

/* A source that doesn't write is told of changes, or asked to invalidate, and nothing else. */
static void
settle_invalidating(struct reader *r, const struct node *node, const char *where,
    struct config_source *source)
{
	const struct node *operations = node_find(node, "operations");

	if (node_find(node, "snapshot") == NULL)
		source->apply_snapshots = false;
	if (config_has_events(source))
		return;
	if (operations != NULL && source->operations != OPERATION_INVALIDATE)
		problem_add(r->problems, operations->key->at,
		    "%s.operations: with write: false entries can only ask for invalidate", where);
	source->operations = OPERATION_INVALIDATE;
}

static void
read_source(struct reader *r, const struct node *node, const char *where,
    struct config_source *source)
{
	source->line = node->at.line;
	source->column = node->at.column;
	read_defaults(r, "sources[]", source);
	read_map(r, node, "sources[]", where, source);
	add_default_table(r, source);
	check_where_from(r, node, where, source);
	if (node_find(node, "table") == NULL && node_find(node, "tables") == NULL)
		problem_add(r->problems, node->at, "%s: table or tables is missing", where);
	if (source->field != NULL && source->format == FORMAT_FIELDS &&
	    node_find(node, "topics") == NULL)
		problem_add(r->problems, node_find(node, "field")->key->at,
		    "%s.field: only for format json and change events", where);
	if (!config_has_events(source))
		check_event_options(r, node, where, source);
	if (source->write)
		check_invalidating(r, node, where, source);
	else
		settle_invalidating(r, node, where, source);
}

void
read_sources(struct reader *r, const struct reading *in)
{
	struct config *config = r->config;
	const struct node *node;
	size_t index = 0;

	if (in->node->kind != NODE_LIST) {
		read_refuse(r, in, in->node);
		return;
	}
	if (in->node->count > LIST_MAX) {
		problem_add(r->problems, in->node->at, "sources: more than %d", LIST_MAX);
		return;
	}
	config->sources = arena_zalloc(r->arena, (in->node->count + 1) * sizeof(*config->sources));
	for (node = in->node->first; node != NULL; node = node->next, index++) {
		const char *where = arena_printf(r->scratch, "sources[%zu]", index);

		if (node->kind == NODE_MAP)
			read_source(r, node, where, &config->sources[config->source_count++]);
		else if (node->kind != NODE_REFUSED)
			problem_add(r->problems, node->at,
			    "%s: found %s, meant a map such as { streams: …, table: … }", where,
			    node_is_null(node) ? "nothing" : node_kind_name(node));
	}
}

void
read_source_table(struct reader *r, const struct reading *in)
{
	struct config_source *source = in->base;
	struct str text;

	if (!read_text(r, in, in->node, &text))
		return;
	source->table = text.data;
	mention_add(r, &r->source_tables, text.data, in->node->at);
}

void
read_source_tables(struct reader *r, const struct reading *in)
{
	struct config_source *source = in->base;
	const char *table;
	struct str text;

	if (in->node->kind == NODE_MAP || read_count_elements(in->node) == 0 ||
	    node_is_null(in->node)) {
		read_refuse(r, in, in->node);
		return;
	}
	source->tables =
	    arena_alloc(r->arena, read_count_elements(in->node) * sizeof(*source->tables));
	source->listed =
	    arena_alloc(r->arena, read_count_elements(in->node) * sizeof(*source->listed));
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;) {
		if (!read_text(r, in, e, &text))
			continue;
		/* db.table is written to table */
		table = strchr(text.data, '.');
		table = table != NULL && table[1] != '\0' ? table + 1 : text.data;
		source->listed[source->table_count] = text.data;
		source->tables[source->table_count++] = table;
		mention_add(r, &r->source_tables, table, e->at);
	}
}

static void
append_names(struct reader *r, struct config_source *source, const struct braces_names *names,
    struct place at)
{
	const char **all =
	    arena_alloc(r->arena, (source->stream_count + names->count) * sizeof(*all));

	if (source->stream_count > 0)
		memcpy(all, source->streams, source->stream_count * sizeof(*all));
	memcpy(all + source->stream_count, names->name, names->count * sizeof(*all));
	source->streams = all;
	source->stream_count += names->count;
	source->ranged |= names->ranged;
	for (size_t i = 0; i < names->count; i++)
		mention_add(r, &r->lanes, names->name[i], at);
}

static void
read_stream(struct reader *r, const struct reading *in, const struct node *node)
{
	struct config_source *source = in->base;
	struct braces_names names;
	struct str text;
	struct err err;

	if (!read_text(r, in, node, &text))
		return;
	/* beyond the limit nothing is built: a long file must not become a huge one */
	if (r->lane_count > STREAMS_MAX)
		return;
	if (braces_expand(text, r->arena, &names, &err) != 0) {
		problem_add(r->problems, node->at, "%s: %s", read_path(r, in), err.text);
		return;
	}
	r->lane_count += names.count;
	if (r->lane_count > STREAMS_MAX) {
		problem_add(r->problems, node->at, "%s: more than %d lanes in all",
		    read_path(r, in), STREAMS_MAX);
		return;
	}
	append_names(r, source, &names, node->at);
	source->patterns[source->pattern_count++] = text.data;
}

/* All patterns in one line, for messages. */
static const char *
join(struct reader *r, const char *const *pattern, size_t count)
{
	const char *copy;
	struct buf all;

	buf_init(&all);
	*buf_reserve(&all, 1) = '\0';
	for (size_t i = 0; i < count; i++)
		buf_printf(&all, "%s%s", i > 0 ? ", " : "", pattern[i]);
	copy = arena_copy(r->arena, all.data, all.len);
	buf_deinit(&all);
	return copy;
}

void
read_streams(struct reader *r, const struct reading *in)
{
	struct config_source *source = in->base;

	if (in->node->kind == NODE_MAP || read_count_elements(in->node) == 0 ||
	    node_is_null(in->node)) {
		read_refuse(r, in, in->node);
		return;
	}
	source->patterns =
	    arena_alloc(r->arena, read_count_elements(in->node) * sizeof(*source->patterns));
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;)
		read_stream(r, in, e);
	source->written = join(r, source->patterns, source->pattern_count);
}

static bool
topic_is_good(struct reader *r, const struct reading *in, const struct node *node, struct str topic)
{
	regex_t regex;
	char why[128];
	int code;

	if (topic.data[0] == '^') {
		code = regcomp(&regex, topic.data, REG_EXTENDED | REG_NOSUB);
		if (code == 0) {
			regfree(&regex);
			return true;
		}
		regerror(code, &regex, why, sizeof(why));
		problem_add(r->problems, node->at, "%s: the pattern: %s", read_path(r, in), why);
		return false;
	}
	if (topic.len <= TOPIC_BYTES_MAX && strspn(topic.data, TOPIC_BYTES) == topic.len)
		return true;
	problem_add(r->problems, node->at,
	    "%s: %s is no topic's name (at most %d of A-Z a-z 0-9 _ . -); a pattern begins with ^",
	    read_path(r, in), problem_quote(r->problems, topic), TOPIC_BYTES_MAX);
	return false;
}

void
read_topics(struct reader *r, const struct reading *in)
{
	struct config_source *source = in->base;
	struct str text;

	if (in->node->kind == NODE_MAP || read_count_elements(in->node) == 0 ||
	    node_is_null(in->node)) {
		read_refuse(r, in, in->node);
		return;
	}
	source->topics =
	    arena_alloc(r->arena, read_count_elements(in->node) * sizeof(*source->topics));
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;) {
		if (!read_text(r, in, e, &text))
			continue;
		mention_add(r, &r->topics, text.data, e->at);
		if (topic_is_good(r, in, e, text))
			source->topics[source->topic_count++] = text.data;
	}
	source->written = join(r, source->topics, source->topic_count);
}

/* ms or ms-seq, as Redis takes it. */
static bool
is_stream_id(struct str text)
{
	const char *dash = memchr(text.data, '-', text.len);
	size_t ms = dash != NULL ? (size_t)(dash - text.data) : text.len;
	uint64_t n;

	for (size_t i = 0; i < text.len; i++)
		if (!isdigit((unsigned char)text.data[i]) && i != ms)
			return false;
	return number_u64((struct str){ text.data, ms }, &n) &&
	    (dash == NULL || number_u64((struct str){ dash + 1, text.len - ms - 1 }, &n));
}

void
read_start(struct reader *r, const struct reading *in)
{
	const char **field = read_field(in);
	struct str text;

	if (!read_text(r, in, in->node, &text))
		return;
	if (str_equal(text, STR("beginning")) || str_equal(text, STR("end")) || is_stream_id(text))
		*field = text.data;
	else
		read_refuse(r, in, in->node);
}
