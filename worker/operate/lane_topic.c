#include "worker/lane.h"
#include "worker/operate/command.h"
#include "worker/operate/lane_group.h"
#include "worker/operate/text_table.h"
#include "worker/source/kafka_topics.h"

#include <stdio.h>

static int
unreachable(const struct config *config, const struct err *err)
{
	fprintf(stderr, "sluice: kafka %s: %s\n", config->kafka.brokers, err->text);
	return EXIT_CODE_UNREACHABLE;
}

struct listing {
	const struct config *config;
	const struct config_source *source;
	struct text_table table;
};

static void
add_number(char out[24], int64_t number)
{
	out[0] = '\0';
	if (number >= 0)
		snprintf(out, 24, "%lld", (long long)number);
}

static void
add_lane(void *arg, const struct kafka_place *place)
{
	struct listing *l = arg;
	char committed[24], first[24], end[24], lag[24];
	struct lane lane;
	const char *cells[] = { lane.name, committed, first, end, lag, NULL };
	int64_t from = place->committed > place->first ? place->committed : place->first;

	/* a topic that another source names is that one's */
	if (config_source_of_topic(l->config, place->topic) != l->source ||
	    !lane_init_partition(&lane, l->config, l->source, place->topic, place->partition, 0))
		return;
	add_number(committed, place->committed);
	add_number(first, place->first);
	add_number(end, place->end);
	add_number(lag, place->end > from ? place->end - from : 0);
	text_table_add(&l->table, cells);
}

int
lane_topic_list(const struct config *config)
{
	static const char *const heads[] = { "lane (invalidates)", "committed", "first", "end",
		"lag", NULL };
	struct listing l = { .config = config };
	struct err err = { 0 };
	struct kafka_topics *topics = kafka_topics_ask(config, &err);
	struct buf out = { 0 };
	int status = topics != NULL ? 0 : -1;
	bool put;

	text_table_init(&l.table, heads);
	for (size_t i = 0; i < config->source_count && status == 0; i++) {
		l.source = &config->sources[i];
		for (size_t j = 0; j < l.source->topic_count && status == 0; j++)
			if (!l.source->write)
				status = kafka_topics_places(topics, l.source->topics[j], add_lane,
				    &l, &err);
	}
	text_table_print(&l.table, &out);
	text_table_deinit(&l.table);
	kafka_topics_forget(&topics);
	put = status == 0 && command_put(&out);
	buf_deinit(&out);
	if (status != 0)
		return unreachable(config, &err);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

int
lane_topic_check(const struct config *config, const char *topic, int partition)
{
	struct err err = { 0 };
	struct kafka_topics *topics = kafka_topics_ask(config, &err);
	int count;

	if (topics == NULL)
		return unreachable(config, &err);
	count = kafka_topics_count(topics, topic, &err);
	kafka_topics_forget(&topics);
	if (count > partition)
		return EXIT_CODE_OK;
	fprintf(stderr, "sluice: topic %s has %d partitions, and none %d\n", topic,
	    count > 0 ? count : 0, partition);
	return EXIT_CODE_RUNTIME;
}
