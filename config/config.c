#include "config/config.h"

#include "common/arena.h"
#include "common/err.h"
#include "common/log.h"
#include "config/expand.h"
#include "config/parse.h"
#include "config/problem.h"
#include "config/read.h"
#include "config/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
same_server(const struct config_redis *a, const struct config_redis *b)
{
	if (a->db != b->db || !same_text(a->socket, b->socket))
		return false;
	return a->socket != NULL || (same_text(a->host, b->host) && a->port == b->port);
}

static void
config_read(struct config *config, const struct node *root, struct arena *scratch,
    struct config_problems *problems)
{
	struct reader reader = {
		.config = config, .arena = config->owned, .scratch = scratch, .problems = problems
	};

	read_config(&reader, root);
	if (!reader.cache_given)
		config->cache = config->redis;
	config->group = arena_printf(config->owned, "sluice-%s", config->pool);
	config->cache_is_redis = same_server(&config->cache, &config->redis);
	if (root->kind == NODE_MAP)
		validate(&reader, root->at);
}

int
config_parse(struct config *config, const char *file, struct str text,
    struct config_problems *problems)
{
	struct arena *arena = calloc(1, sizeof(*arena)), scratch;
	const struct node *root;

	CHECK(arena != NULL);
	arena_init(arena, 0);
	arena_init(&scratch, 0);
	*config = (struct config){ .owned = arena };
	config->file = arena_copy(arena, file, strlen(file));
	problem_open(problems, file);
	root = parse_yaml(text, &scratch, problems);
	if (root != NULL)
		config_read(config, root, &scratch, problems);
	arena_deinit(&scratch);
	return problem_mistakes(problems) > 0 ? -1 : 0;
}

/* A little more than parse_yaml takes, so that it sees a file that is too long. */
static int
read_whole(const char *file, struct buf *text)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), error;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	while (text->len <= PARSE_BYTES_MAX && (n = read(fd, buf_reserve(text, 65536), 65536)) > 0)
		buf_advance(text, (size_t)n);
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

int
config_load(struct config *config, const char *file, struct config_problems *problems)
{
	struct buf text;
	int result = -1;

	buf_init(&text);
	if (read_whole(file, &text) == 0) {
		result = config_parse(config, file, (struct str){ text.data, text.len }, problems);
	} else {
		*config = (struct config){ 0 };
		problem_open(problems, file);
		problem_add(problems, (struct place){ 0, 0 }, "can't be read: %s", strerror(errno));
	}
	buf_deinit(&text);
	return result;
}

void
config_deinit(struct config *config)
{
	struct arena *arena = config->owned;

	if (arena != NULL)
		arena_deinit(arena);
	free(arena);
	*config = (struct config){ 0 };
}

/* Nobody who asks for a password can be told why there is none; the server will just refuse. */
static void
report_secret(void *arg, const char *sentence)
{
	(void)arg;
	log_event(LOG_WARN, "secret_unreadable", "error", "%s", sentence, "next", "%s",
	    "logs in without it", NULL);
}

const char *
config_secret(const struct config_secret *secret, struct buf *out)
{
	buf_reset(out);
	if (secret->written == NULL ||
	    expand(str_of(secret->written), out, report_secret, NULL) > 0)
		return NULL;
	return out->data;
}

bool
config_has_templates(const struct config *config)
{
	for (size_t i = 0; i < config->table_count; i++)
		if (config->tables[i].template_count > 0)
			return true;
	return false;
}

bool
config_refreshes(const struct config *config)
{
	for (size_t i = 0; i < config->table_count; i++)
		if (config->tables[i].refresh.on)
			return true;
	return false;
}

bool
config_has_mode(const struct config *config, enum config_mode mode)
{
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count; j++)
			if (config->tables[i].templates[j].mode == mode)
				return true;
	return false;
}

const char *
config_mode_name(enum config_mode mode)
{
	const struct option *option = option_find("tables.*.invalidate[]", STR("mode"));

	return option_word_of(option, (int)mode);
}

bool
config_is_bounded(const struct config_table *table)
{
	for (size_t i = 0; i < table->template_count; i++)
		if (table->templates[i].mode == MODE_VERSIONED && table->version == VERSION_NONE)
			return true;
	return false;
}

bool
config_needs_functions(const struct config *config)
{
	return config_has_mode(config, MODE_POPULATE) || config_has_mode(config, MODE_VERSIONED) ||
	    config_has_mode(config, MODE_GENERATION) || config_has_mode(config, MODE_TAG) ||
	    config_has_mode(config, MODE_TABLE);
}

const struct config_table *
config_table(const struct config *config, struct str name)
{
	for (size_t i = 0; i < config->table_count; i++)
		if (str_equal(str_of(config->tables[i].name), name))
			return &config->tables[i];
	return NULL;
}

bool
config_reads_streams(const struct config *config)
{
	for (size_t i = 0; i < config->source_count; i++)
		if (!config_has_topics(&config->sources[i]))
			return true;
	return false;
}

bool
config_reads_topics(const struct config *config)
{
	for (size_t i = 0; i < config->source_count; i++)
		if (config_has_topics(&config->sources[i]))
			return true;
	return false;
}

bool
config_reads_topics_to(const struct config *config, bool write)
{
	for (size_t i = 0; i < config->source_count; i++)
		if (config_has_topics(&config->sources[i]) && config->sources[i].write == write)
			return true;
	return false;
}

int
config_worker_count(const struct config *config)
{
	int kinds = config_reads_topics_to(config, true) + config_reads_topics_to(config, false);

	return (kinds + config_reads_streams(config)) * config->workers;
}

static bool
fits_pattern(const char *pattern, const char *topic)
{
	regex_t regex;
	bool fits;

	if (pattern[0] != '^' || regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return false;
	fits = regexec(&regex, topic, 0, NULL, 0) == 0;
	regfree(&regex);
	return fits;
}

const struct config_source *
config_source_of_topic(const struct config *config, const char *topic)
{
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].topic_count; j++)
			if (strcmp(config->sources[i].topics[j], topic) == 0)
				return &config->sources[i];
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].topic_count; j++)
			if (fits_pattern(config->sources[i].topics[j], topic))
				return &config->sources[i];
	return NULL;
}

bool
config_setting_is_secret(const char *name)
{
	static const char *const parts[] = { "password", "secret", "key.pem", "keytab.cmd",
		"sasl.oauthbearer.config", "sasl.jaas.config", "private.key" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strstr(name, parts[i]) != NULL)
			return true;
	return false;
}

size_t
config_lane_count(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->source_count; i++)
		count += config->sources[i].stream_count;
	return count;
}

bool
config_writes(const struct config *config)
{
	for (size_t i = 0; i < config->source_count; i++)
		if (config->sources[i].write)
			return true;
	return false;
}

bool
config_invalidates(const struct config *config)
{
	for (size_t i = 0; i < config->source_count; i++)
		if (!config->sources[i].write)
			return true;
	return false;
}

bool
config_keeps_in_topic(const struct config *config)
{
	return config->dead_topic != NULL && config_invalidates(config);
}

const struct config_redis *
config_orders_server(const struct config *config)
{
	return config->has_redis ? &config->redis : &config->cache;
}

size_t
config_lanes_of_kind(const struct config *config, bool write)
{
	size_t count = 0;

	for (size_t i = 0; i < config->source_count; i++)
		if (config->sources[i].write == write)
			count += config->sources[i].stream_count;
	return count;
}
