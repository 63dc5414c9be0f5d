#include "config/validate.h"

#include "common/map.h"
#include "config/column_type.h"
#include "config/unit.h"

#include <string.h>
#include <strings.h>

/* pool/source/stream is the ledger's primary key */
enum { LANE_BYTES_MAX = 255, KEY_COLUMNS_MAX = 16 /* as MySQL has it */ };
enum { REDIS = 0, MYSQL = 1, KAFKA = 4 }; /* places in `required` */
#define OUR_KEYS "sluice:"

static size_t
index_of(const char *parent, const char *name)
{
	return (size_t)(option_find(parent, str_of(name)) - options);
}

static bool
is_given(const struct reader *r, const char *parent, const char *name)
{
	return r->given[index_of(parent, name)].line != 0;
}

/* Something below it was refused: what follows from that isn't worth a second sentence. */
static bool
is_broken(const struct reader *r, const char *parent, const char *name)
{
	return r->broken[index_of(parent, name)];
}

/* Are there keys to invalidate, and nothing that says where? */
static bool
wants_cache(const struct reader *r)
{
	for (size_t i = 0; i < r->config->table_count; i++)
		if (r->config->tables[i].template_count > 0)
			return !r->cache_given;
	return false;
}

static void
check_required(struct reader *r, struct place top)
{
	static const char *const required[] = { "redis", "mysql", "sources", "tables", "kafka" };
	const bool no_streams = r->topics.first != NULL && r->lanes.first == NULL;
	const struct config *config = r->config;
	struct place mysql = r->given[index_of("", "mysql")];
	bool writes = config->source_count == 0 || config_writes(config);

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		if (!is_given(r, "", required[i]) &&
		    (i != REDIS || !no_streams || wants_cache(r) ||
			(config_reads_topics_to(config, false) && config->dead_topic == NULL)) &&
		    (i != MYSQL || writes) &&
		    (i != KAFKA || r->topics.first != NULL || config->dead_topic != NULL))
			problem_add(r->problems, top, "%s is missing", required[i]);
	if (is_given(r, "", "sources") && !is_broken(r, "", "sources") && config->source_count == 0)
		problem_add(r->problems, r->given[index_of("", "sources")],
		    "sources: an empty list");
	if (!is_given(r, "", "mysql") || is_broken(r, "", "mysql"))
		return;
	if (config->mysql.user == NULL)
		problem_add(r->problems, mysql, "mysql.user is missing, here or in the url");
	if (config->mysql.database == NULL)
		problem_add(r->problems, mysql,
		    "mysql.database is missing, here or in the url (mysql://user@host/database)");
}

/* One size may be at most a part of another. */
static void
check_share(struct reader *r, const char *parent, const char *name, int64_t bytes, int64_t most,
    const char *share)
{
	struct place at = r->given[index_of(parent, name)];
	struct buf text;

	if (bytes <= most || is_broken(r, "", "memory"))
		return;
	if (at.line == 0)
		at = r->given[index_of("", "memory")];
	buf_init(&text);
	buf_printf(&text, "%s%s%s: ", parent, parent[0] != '\0' ? "." : "", name);
	unit_add_size(&text, bytes);
	buf_printf(&text, " is more than %s of memory (", share);
	unit_add_size(&text, r->config->memory_bytes);
	buf_add_str(&text, "); make it smaller or memory larger");
	problem_add(r->problems, at, "%s", text.data);
	buf_deinit(&text);
}

static void
check_memory(struct reader *r)
{
	struct config *config = r->config;
	int64_t half = config->memory_bytes / 2, quarter = config->memory_bytes / 4;

	if (!is_given(r, "", "entry_max") && config->entry_max_bytes > half)
		config->entry_max_bytes = half;
	check_share(r, "", "entry_max", config->entry_max_bytes, half, "half");
	if (!is_given(r, "batch", "max_bytes") && config->batch_max_bytes > quarter)
		config->batch_max_bytes = quarter;
	check_share(r, "batch", "max_bytes", config->batch_max_bytes, quarter, "a quarter");
}

static void
check_lane(struct reader *r, const struct mention *lane)
{
	const struct config *config = r->config;
	size_t len = strlen(config->pool) + strlen(config->redis.name) + strlen(lane->name) + 2;

	if (len > LANE_BYTES_MAX)
		problem_add(r->problems, lane->at,
		    "lane %s/%s/%s: the name is %zu bytes long; %d at most", config->pool,
		    config->redis.name, lane->name, len, LANE_BYTES_MAX);
	if (strncmp(lane->name, OUR_KEYS, sizeof(OUR_KEYS) - 1) == 0)
		problem_add(r->problems, lane->at,
		    "stream %s: keys that begin with " OUR_KEYS " are ours",
		    problem_quote(r->problems, str_of(lane->name)));
}

/* A topic that two sources name is read once, by one of them: which one must not be a riddle. */
static void
check_topics(struct reader *r)
{
	const struct config *config = r->config;
	struct map seen;

	map_init(&seen);
	for (struct mention *topic = r->topics.first; topic != NULL; topic = topic->next) {
		void **first = map_at(&seen, topic->name, strlen(topic->name));
		const struct mention *other = *first;
		size_t len = strlen(config->pool) + strlen(config->kafka.name) +
		    strlen(topic->name) + sizeof("///2147483647") - 1;

		if (other != NULL)
			problem_add(r->problems, topic->at,
			    "topic %s is named twice; the first is in line %d",
			    problem_quote(r->problems, str_of(topic->name)), other->at.line);
		else if (topic->name[0] != '^' && len > LANE_BYTES_MAX)
			problem_add(r->problems, topic->at,
			    "lanes %s/%s/%s/…: the names are %zu bytes long; %d at most",
			    config->pool, config->kafka.name, topic->name, len, LANE_BYTES_MAX);
		*first = topic;
	}
	map_deinit(&seen);
}

static void
check_kafka(struct reader *r)
{
	const struct config *config = r->config;
	struct place at = r->given[index_of("", "kafka")];

	if ((r->topics.first == NULL && config->dead_topic == NULL) || !is_given(r, "", "kafka") ||
	    is_broken(r, "", "kafka"))
		return;
	if (config->kafka.brokers == NULL)
		problem_add(r->problems, at, "kafka.brokers is missing");
	if (r->lanes.first != NULL && strcmp(config->kafka.name, config->redis.name) == 0)
		problem_add(r->problems, at,
		    "kafka.name and redis.name are the same; they are parts of the lanes' names");
}

static void
check_lanes(struct reader *r)
{
	const struct mention *reported = NULL;
	struct map seen;

	map_init(&seen);
	for (struct mention *lane = r->lanes.first; lane != NULL; lane = lane->next) {
		void **first = map_at(&seen, lane->name, strlen(lane->name));
		const struct mention *other = *first;

		if (other == NULL) {
			*first = lane;
			check_lane(r, lane);
			continue;
		}
		/* a range that overlaps another is one mistake */
		if (reported != NULL && reported->at.line == lane->at.line &&
		    reported->at.column == lane->at.column)
			continue;
		reported = lane;
		problem_add(r->problems, lane->at,
		    "lane %s is named twice; the first is in line %d",
		    problem_quote(r->problems, str_of(lane->name)), other->at.line);
	}
	map_deinit(&seen);
}

static const char *
nearest_table(const struct config *config, const char *name)
{
	const char *nearest = NULL;
	size_t len = strlen(name);
	unsigned best = 3;

	for (size_t i = 0; i < config->table_count; i++) {
		size_t table_len = strlen(config->tables[i].name);
		unsigned distance;

		if (table_len > len + 2 || len > table_len + 2)
			continue;
		distance = str_distance(str_of(config->tables[i].name), str_of(name));

		if (distance < best) {
			best = distance;
			nearest = config->tables[i].name;
		}
	}
	return nearest;
}

static void
report_missing_table(struct reader *r, const struct mention *mention)
{
	const char *quoted = problem_quote(r->problems, str_of(mention->name));
	const char *nearest = nearest_table(r->config, mention->name);

	if (strncasecmp(mention->name, "sluice_", 7) == 0)
		problem_add(r->problems, mention->at, "table %s: sluice_… are our own tables",
		    quoted);
	else if (nearest != NULL)
		problem_add(r->problems, mention->at,
		    "table %s is not under tables; did you mean \"%s\"?", quoted, nearest);
	else
		problem_add(r->problems, mention->at, "table %s is not under tables", quoted);
}

/* Tables of the sources and those under `tables` must be the same. */
static void
check_tables(struct reader *r)
{
	const struct config *config = r->config;
	struct map known, used;

	map_init(&known);
	map_init(&used);
	for (size_t i = 0; i < config->table_count; i++)
		*map_at(&known, config->tables[i].name, strlen(config->tables[i].name)) =
		    &config->tables[i];
	for (struct mention *m = r->source_tables.first; m != NULL; m = m->next) {
		*map_at(&used, m->name, strlen(m->name)) = m;
		if (is_given(r, "", "tables") && map_get(&known, m->name, strlen(m->name)) == NULL)
			report_missing_table(r, m);
	}
	for (size_t i = 0; i < config->table_count && !is_broken(r, "", "sources"); i++) {
		const struct config_table *table = &config->tables[i];

		if (map_get(&used, table->name, strlen(table->name)) == NULL)
			problem_warn(r->problems, (struct place){ table->line, table->column },
			    "table %s is in no source's table or tables; nothing will write it",
			    problem_quote(r->problems, str_of(table->name)));
	}
	map_deinit(&used);
	map_deinit(&known);
}

static bool
source_has_table(const struct config_source *source, const struct config_table *table)
{
	for (size_t i = 0; i < source->table_count; i++)
		if (strcmp(source->tables[i], table->name) == 0)
			return true;
	return false;
}

/* At least: a topic may have more partitions, and a pattern may fit more topics. */
static size_t
count_lanes(const struct config_source *source)
{
	size_t lanes = source->stream_count;

	for (size_t i = 0; i < source->topic_count; i++)
		lanes += source->topics[i][0] == '^' ? 2 : 1;
	return lanes;
}

/* Are all changes of the table that are written events?  They bring the rows before and after
 * themselves. */
static void
check_images(struct reader *r, struct config_table *table)
{
	struct config *config = r->config;
	bool some = false, all = true;

	for (size_t i = 0; i < config->source_count; i++) {
		if (!source_has_table(&config->sources[i], table))
			continue;
		if (config->sources[i].write)
			table->lanes += count_lanes(&config->sources[i]);
		some |= config_has_events(&config->sources[i]);
		all &= config_has_events(&config->sources[i]) || !config->sources[i].write;
		table->written |= config->sources[i].write;
		config->sources[i].has_keys |= table->template_count > 0;
		config->sources[i].wants_places |=
		    !config->sources[i].write && config_is_bounded(table);
	}
	table->has_images = (some || !table->written) && all;
}

static void
check_types(struct reader *r, const struct config_table *table)
{
	struct place at = { table->line, table->column };
	struct column_type type;

	for (size_t i = 0; i < table->type_count; i++)
		if (!column_type_parse(str_of(table->types[i].value), &type))
			problem_add(r->problems, at,
			    "tables.%.64s.types: %s is no type of a column; one looks like bigint "
			    "unsigned, varchar(64) or decimal(10,2)",
			    table->name, problem_quote(r->problems, str_of(table->types[i].value)));
	if (table->key_count > KEY_COLUMNS_MAX)
		problem_add(r->problems, at, "tables.%.64s.key: more than %d columns", table->name,
		    KEY_COLUMNS_MAX);
	if (!table->written && table->on_poison == ON_POISON_PARK)
		problem_add(r->problems, at,
		    "tables.%.64s.on_poison: park is for tables that some source writes",
		    table->name);
}

/* The version of an event's row is the one that its own column has. */
static void
check_event_versions(struct reader *r, const struct config_source *source)
{
	const struct config *config = r->config;

	for (size_t i = 0; i < source->table_count; i++) {
		const struct config_table *table = config_table(config, str_of(source->tables[i]));

		if (table != NULL &&
		    (table->version == VERSION_COUNTER || table->version == VERSION_CLOCK))
			problem_add(r->problems, (struct place){ table->line, table->column },
			    "table %s: sluice can't stamp versions (kind counter, clock) on a "
			    "table "
			    "that the change events of line %d write; kind given takes theirs",
			    problem_quote(r->problems, str_of(table->name)), source->line);
	}
}

/* Announcements go to one place, which is nobody else's. */
static void
check_announce(struct reader *r)
{
	const struct config *config = r->config;
	const char *stream = config->announce_stream;
	struct place at = r->given[index_of("announce", "stream")];

	if (is_given(r, "", "announce") && !is_broken(r, "", "announce") && stream == NULL &&
	    config->announce_channel == NULL)
		problem_add(r->problems, r->given[index_of("", "announce")],
		    "announce has neither a channel nor a stream: nothing would be announced");
	if (stream == NULL)
		return;
	if (config->announce_channel != NULL)
		problem_add(r->problems, at, "announce has a channel and a stream; one of them");
	if (strncmp(stream, OUR_KEYS, sizeof(OUR_KEYS) - 1) == 0)
		problem_add(r->problems, at,
		    "announce.stream: keys that begin with " OUR_KEYS " are ours");
	for (struct mention *lane = r->lanes.first; lane != NULL; lane = lane->next) {
		if (!config->cache_is_redis || strcmp(lane->name, stream) != 0)
			continue;
		problem_add(r->problems, at, "announce.stream: %s is a lane, of line %d",
		    problem_quote(r->problems, str_of(stream)), lane->at.line);
		return;
	}
}

/* What is emptied must be a cache and nothing else. */
static void
check_on_cache_lost(struct reader *r)
{
	const struct config *config = r->config;
	struct place at = r->given[index_of("", "on_cache_lost")];

	if (config->on_cache_lost != ON_CACHE_LOST_FLUSH)
		return;
	if (config->has_redis && config->cache_is_redis)
		problem_add(r->problems, at,
		    "on_cache_lost: flush empties the cache's whole database, and that is also "
		    "redis': its streams, dead letters and keys of ours would go; give `cache` a "
		    "server or a database of its own");
	if (config->announce_stream != NULL)
		problem_warn(r->problems, at,
		    "on_cache_lost: flush empties announce.stream too; what nobody has read of it "
		    "is gone, but for a last message with reason flushed");
}

/* Without a row or a key that tells its version there is nothing to compare. */
static void
check_verify(struct reader *r)
{
	const struct config *config = r->config;
	struct place at = r->given[index_of("", "verify")];

	if (config->verify.sample == 0)
		return;
	if (!config->has_mysql)
		problem_add(r->problems, at,
		    "verify: without mysql there is no row to compare with");
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count; j++)
			if (mode_is_versioned(config->tables[i].templates[j].mode))
				return;
	problem_warn(r->problems, at,
	    "verify: no template has mode versioned or populate; keys of other modes don't tell "
	    "their version");
}

void
validate(struct reader *r, struct place top)
{
	struct config *config = r->config;

	check_required(r, top);
	check_memory(r);
	check_lanes(r);
	check_topics(r);
	check_kafka(r);
	check_tables(r);
	config->has_mysql = is_given(r, "", "mysql");
	config->has_redis = is_given(r, "", "redis");
	validate_letters(r);
	for (size_t i = 0; i < config->table_count && !is_broken(r, "", "sources"); i++) {
		check_images(r, &config->tables[i]);
		check_types(r, &config->tables[i]);
	}
	for (size_t i = 0; i < config->source_count; i++)
		if (config_has_events(&config->sources[i]) && config->sources[i].write)
			check_event_versions(r, &config->sources[i]);
	if (config->ready_requires_mysql && !config->has_mysql)
		problem_add(r->problems, r->given[index_of("", "ready_requires")],
		    "ready_requires: there is no mysql to require");
	check_announce(r);
	check_on_cache_lost(r);
	validate_templates(r);
	validate_refresh(r);
	check_verify(r);
}
