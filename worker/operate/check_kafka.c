#include "worker/operate/check_kafka.h"

#include "worker/source/kafka_record.h"
#include "worker/source/kafka_settings.h"
#include "worker/source/kafka_topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
			    partitions < 0 ? err.text :
					     "there is none of that name, or ACLs hide it");
	}
}

static void
check_group(struct check *c, struct kafka_topics *topics)
{
	struct err err = { 0 };

	if (config_reads_topics(c->config) && kafka_topics_ask_group(topics, &err) != 0)
		check_problem(c, 0, 0, "kafka: the group %s: %s; it wants Read", c->config->group,
		    err.text);
}

/* Letters stay for ever, or until they are dropped: a topic that is only cut at its beginning forgets. */
static void
check_policy(struct check *c, struct kafka_topics *topics)
{
	const char *topic = c->config->dead_topic;
	char policy[64], retention[32], bytes[32];

	if (!kafka_topics_property(topics, topic, "cleanup.policy", policy, sizeof(policy)) ||
	    !kafka_topics_property(topics, topic, "retention.ms", retention, sizeof(retention)) ||
	    !kafka_topics_property(topics, topic, "max.message.bytes", bytes, sizeof(bytes))) {
		check_hint(c, 0, 0,
		    "dead_letters.topic %s: its properties can't be read (DescribeConfigs); it "
		    "should "
		    "have cleanup.policy=compact",
		    topic);
		return;
	}
	if (strstr(policy, "delete") != NULL && strcmp(retention, "-1") != 0)
		check_hint(c, 0, 0,
		    "dead_letters.topic %s: cleanup.policy=%s with retention.ms=%s deletes letters "
		    "by their age; with cleanup.policy=compact they stay until they are replayed "
		    "or dropped",
		    topic, policy, retention);
	if (strstr(policy, "compact") == NULL)
		check_hint(c, 0, 0,
		    "dead_letters.topic %s: cleanup.policy=%s never removes letters that are gone; "
		    "cleanup.policy=compact does",
		    topic, policy);
	if (strtoll(bytes, NULL, 10) < KAFKA_RECORD_MAX)
		check_problem(c, 0, 0,
		    "dead_letters.topic %s: max.message.bytes=%s; %d or more are needed", topic,
		    bytes, KAFKA_RECORD_MAX);
}

static void
check_dead_topic(struct check *c, struct kafka_topics *topics)
{
	const char *topic = c->config->dead_topic;
	struct err err = { 0 };
	int partitions;

	if (!config_keeps_in_topic(c->config))
		return;
	partitions = kafka_topics_count(topics, topic, &err);
	if (partitions <= 0) {
		check_problem(c, 0, 0,
		    "dead_letters.topic %s: %s; kafka-topics.sh --bootstrap-server %s --create "
		    "--topic %s --partitions 1 --config cleanup.policy=compact makes it",
		    topic, partitions < 0 ? err.text : "there is none of that name",
		    c->config->kafka.brokers, topic);
		return;
	}
	check_policy(c, topics);
	if (kafka_topics_replicas(topics, topic) == 1)
		check_hint(c, 0, 0,
		    "dead_letters.topic %s has one replica: a broker that is lost takes letters "
		    "with "
		    "it",
		    topic);
}

void
check_kafka(struct check *c)
{
	struct kafka_topics *topics;
	struct err err = { 0 };

	if (!config_reads_topics(c->config) && !config_keeps_in_topic(c->config))
		return;
	topics = kafka_topics_ask(c->config, &err);
	if (topics == NULL) {
		check_unreachable(c, "kafka", c->config->kafka.brokers, err.text);
		return;
	}
	for (size_t i = 0; i < c->config->source_count; i++)
		check_source(c, topics, &c->config->sources[i]);
	check_group(c, topics);
	check_dead_topic(c, topics);
	kafka_topics_forget(&topics);
}
