#include "worker/operate/check_kafka.h"

#include "worker/source/kafka_settings.h"
#include "worker/source/kafka_topics.h"

#include <stdio.h>

static void
print_mistake(void *arg, int line, int column, const char *sentence)
{
	const struct config *config = arg;

	fprintf(stderr, "%s:%d:%d: %s\n", config->file, line, column, sentence);
}

bool
check_kafka_settings(const struct config *config)
{
	union {
		const struct config *in;
		void *out;
	} arg = { .in = config };

	return kafka_check_settings(config, print_mistake, arg.out) == 0;
}

/* Topics by name must be there; a pattern may come to fit later. */
static void
check_source(struct check *c, struct kafka_topics *topics, const struct config_source *source)
{
	struct err err = { 0 };

	for (size_t i = 0; i < source->topic_count; i++) {
		const char *name = source->topics[i];
		int partitions = kafka_topics_count(topics, name, &err);

		if (partitions > 0)
			continue;
		if (name[0] == '^')
			check_hint(c, source->line, source->column,
			    "the topics' pattern %s fits no topic yet", name);
		else
			check_problem(c, source->line, source->column, "topic %s: %s", name,
			    partitions < 0 ? err.text : "there is none of that name");
	}
}

void
check_kafka(struct check *c)
{
	struct kafka_topics *topics;
	struct err err = { 0 };

	if (!config_reads_topics(c->config))
		return;
	topics = kafka_topics_ask(c->config, &err);
	if (topics == NULL) {
		check_unreachable(c, "kafka", c->config->kafka.brokers, err.text);
		return;
	}
	for (size_t i = 0; i < c->config->source_count; i++)
		check_source(c, topics, &c->config->sources[i]);
	kafka_topics_forget(&topics);
}
