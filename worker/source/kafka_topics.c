#include "worker/source/kafka_topics.h"

#include "worker/source/kafka_client.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kafka_topics {
	rd_kafka_t *client;
	const struct rd_kafka_metadata *metadata;
	char why[256];
};

static void
on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
	struct kafka_topics *topics = opaque;

	(void)client;
	/* that all are down is what we see; the one before says why */
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || topics->why[0] == '\0')
		snprintf(topics->why, sizeof(topics->why), "%s", reason);
}

static void
say_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client, (void)level, (void)facility, (void)text;
}

static int
ask(struct kafka_topics *topics, const struct config *config, struct err *err)
{
	rd_kafka_conf_t *conf = kafka_conf(config, 0, err);
	rd_kafka_resp_err_t code;
	char why[512];

	if (conf == NULL)
		return -1;
	rd_kafka_conf_set_opaque(conf, topics);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, say_nothing);
	topics->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (topics->client == NULL) {
		rd_kafka_conf_destroy(conf);
		return err_set(err, ERR_FATAL, 0, "%s", why);
	}
	code =
	    rd_kafka_metadata(topics->client, 1, NULL, &topics->metadata, config->kafka.timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	topics->metadata = NULL;
	rd_kafka_poll(topics->client, 0);
	return err_set(err, ERR_RETRY, (int)code, "%s%s%s", rd_kafka_err2str(code),
	    topics->why[0] != '\0' ? ": " : "", topics->why);
}

struct kafka_topics *
kafka_topics_ask(const struct config *config, struct err *err)
{
	struct kafka_topics *topics = calloc(1, sizeof(*topics));

	CHECK(topics != NULL);
	if (ask(topics, config, err) != 0)
		kafka_topics_forget(&topics);
	return topics;
}

int
kafka_topics_count(const struct kafka_topics *topics, const char *name, struct err *err)
{
	int count = 0;
	regex_t regex;
	bool is_pattern = name[0] == '^';

	if (is_pattern && regcomp(&regex, name, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(err, ERR_FATAL, 0, "not a pattern");
	for (int i = 0; i < topics->metadata->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *topic = &topics->metadata->topics[i];

		if (is_pattern ? regexec(&regex, topic->topic, 0, NULL, 0) != 0 :
				 strcmp(topic->topic, name) != 0)
			continue;
		count += topic->partition_cnt;
		if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR && !is_pattern)
			return err_set(err, ERR_FATAL, (int)topic->err, "%s",
			    rd_kafka_err2str(topic->err));
	}
	if (is_pattern)
		regfree(&regex);
	return count;
}

void
kafka_topics_forget(struct kafka_topics **topics)
{
	struct kafka_topics *t = *topics;

	if (t == NULL)
		return;
	if (t->metadata != NULL)
		rd_kafka_metadata_destroy(t->metadata);
	if (t->client != NULL)
		rd_kafka_destroy_flags(t->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(t);
	*topics = NULL;
}
