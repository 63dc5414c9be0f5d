#include "worker/operate/lane_group.h"

#include "common/clock.h"
#include "worker/lane.h"
#include "worker/operate/access.h"
#include "worker/operate/command.h"
#include "worker/operate/text_table.h"
#include "worker/store/letter_orders.h"

#include <stdio.h>
#include <string.h>

struct group_access {
	const struct config *config;
	const struct config_redis *server;
	struct access_redis access;
	struct redis *redis;
	struct arena arena;
};

static int
unreachable(const struct group_access *a, const struct err *err)
{
	struct buf place = { 0 };

	access_add_redis(a->server, &place);
	fprintf(stderr, "sluice: redis %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

static int
group_access_open(struct group_access *a, const struct config *config,
    const struct config_redis *server)
{
	struct err err = { 0 };

	*a = (struct group_access){ .config = config, .server = server };
	access_redis_init(&a->access, server, "sluice-lane");
	a->redis = redis_new(&a->access.options);
	arena_init(&a->arena, 0);
	return redis_open(a->redis, &err) == 0 ? EXIT_CODE_OK : unreachable(a, &err);
}

static void
group_access_close(struct group_access *a)
{
	redis_free(&a->redis);
	access_redis_deinit(&a->access);
	arena_deinit(&a->arena);
}

/* ---- list ---- */

/* A number, or what is known instead of one. */
static const char *
cell(struct group_access *a, const struct redis_reply *group, const char *name)
{
	const struct redis_reply *value = group != NULL ? redis_pair(group, name) : NULL;

	if (value == NULL || value->type == REDIS_NIL)
		return "";
	return value->type == REDIS_INTEGER ?
	    arena_printf(&a->arena, "%lld", (long long)value->integer) :
	    value->text.data;
}

static int
add_lane(struct group_access *a, const struct lane *lane, struct text_table *table, struct err *err)
{
	struct redis_reply *groups;
	const struct redis_reply *ours;

	groups = redis_call(a->redis, &a->arena, err, "XINFO GROUPS %s", lane->stream);
	if (groups == NULL && !redis_is_open(a->redis))
		return -1;
	ours = redis_group(groups, a->config->group);
	const char *cells[] = { lane->name, cell(a, ours, "last-delivered-id"),
		cell(a, ours, "pending"), cell(a, ours, "lag"), cell(a, ours, "consumers"),
		ours != NULL ? "" : "no group yet" };

	text_table_add(table, cells);
	return 0;
}

static int
list_streams(const struct config *config)
{
	static const char *const heads[] = { "lane (invalidates)", "delivered", "pending", "lag",
		"consumers", "", NULL };
	struct group_access access;
	struct text_table table;
	struct buf out = { 0 };
	struct err err = { 0 };
	int code = group_access_open(&access, config, &config->redis), status = 0;

	text_table_init(&table, heads);
	for (size_t i = 0; code == EXIT_CODE_OK && i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count && status == 0; j++) {
			struct lane lane;

			if (config->sources[i].write)
				continue;
			lane_init(&lane, config, &config->sources[i], j, 0);
			status = add_lane(&access, &lane, &table, &err);
		}
	if (status != 0)
		code = unreachable(&access, &err);
	text_table_print(&table, &out);
	text_table_deinit(&table);
	if (code == EXIT_CODE_OK && !command_put(&out))
		code = EXIT_CODE_RUNTIME;
	buf_deinit(&out);
	group_access_close(&access);
	return code;
}

int
lane_group_list(const struct config *config)
{
	int code = EXIT_CODE_OK, of_topics = EXIT_CODE_OK;

	if (config_lanes_of_kind(config, false) > 0)
		code = list_streams(config);
	if (config_reads_topics_to(config, false))
		of_topics = lane_topic_list(config);
	return code != EXIT_CODE_OK ? code : of_topics;
}

/* ---- orders ---- */

/* Its topic and partition, if it is of a source that only invalidates. */
static bool
find_partition(const struct config *config, const char *name, struct lane *lane)
{
	char topic[TOPIC_NAME_MAX + 1];
	const struct config_source *source;
	int partition;

	if (!lane_name_partition(config, name, topic, &partition))
		return false;
	source = config_source_of_topic(config, topic);
	return source != NULL && !source->write &&
	    lane_init_partition(lane, config, source, topic, partition, 0);
}

bool
lane_group_find(const struct config *config, const char *name, char lane[256])
{
	struct lane one;

	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].stream_count; j++) {
			if (config->sources[i].write)
				continue;
			lane_init(&one, config, &config->sources[i], j, 0);
			if (strcmp(one.name, name) != 0 && strcmp(one.stream, name) != 0)
				continue;
			snprintf(lane, 256, "%s", one.name);
			return true;
		}
	if (!find_partition(config, name, &one))
		return false;
	snprintf(lane, 256, "%s", one.name);
	return true;
}

/* A partition has a place that can be moved; what a stream's group holds is acknowledged one by one. */
static int
check_order(const struct config *config, const char *lane, const char *order)
{
	struct lane one;

	if (find_partition(config, lane, &one))
		return lane_topic_check(config, one.topic, one.partition);
	if (strcmp(order, "resume") == 0 || strcmp(order, "ack") == 0)
		return EXIT_CODE_OK;
	fprintf(stderr,
	    "sluice: %s only invalidates: it knows resume and ack; what it should pass over is "
	    "acknowledged with XACK\n",
	    lane);
	return EXIT_CODE_USAGE;
}

int
lane_group_order(const struct config *config, const char *lane, const char *order)
{
	struct group_access access;
	struct buf key = { 0 }, value = { 0 };
	struct err err = { 0 };
	int code = check_order(config, lane, order);

	if (code != EXIT_CODE_OK)
		return code;
	code = group_access_open(&access, config, config_orders_server(config));
	letter_orders_key(config->pool, &key);
	buf_printf(&value, "%lld %s", (long long)clock_wall_ms(), order);
	struct str words[] = { { key.data, key.len }, { value.data, value.len } };

	if (code == EXIT_CODE_OK &&
	    redis_call(access.redis, &access.arena, &err, "HSET %b %s %b", &words[0], lane,
		&words[1]) == NULL)
		code = unreachable(&access, &err);
	if (code == EXIT_CODE_OK)
		printf("%s: `%s` is left for every process that reads it; each obeys within a "
		       "second\n",
		    lane, order);
	buf_deinit(&key);
	buf_deinit(&value);
	group_access_close(&access);
	return code;
}
