#include "worker/source/kafka_topics.h"

#include "worker/source/kafka_client.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kafka_topics {
	const struct config *config;
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
	topics->config = config;
	if (ask(topics, config, err) != 0)
		kafka_topics_forget(&topics);
	return topics;
}

static bool
fits(const regex_t *pattern, const char *name, const char *topic)
{
	return pattern != NULL ? regexec(pattern, topic, 0, NULL, 0) == 0 :
				 strcmp(topic, name) == 0;
}

typedef int topic_seen(const struct kafka_topics *topics,
    const struct rd_kafka_metadata_topic *topic, void *arg, struct err *err);

/* All that the name or pattern means; those of a pattern that can't be read are left out. */
static int
go_through(const struct kafka_topics *topics, const char *name, topic_seen *seen, void *arg,
    struct err *err)
{
	bool is_pattern = name[0] == '^';
	regex_t regex;
	int status = 0;

	if (is_pattern && regcomp(&regex, name, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(err, ERR_FATAL, 0, "not a pattern");
	for (int i = 0; i < topics->metadata->topic_cnt && status == 0; i++) {
		const struct rd_kafka_metadata_topic *topic = &topics->metadata->topics[i];

		if (!fits(is_pattern ? &regex : NULL, name, topic->topic))
			continue;
		if (topic->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			status = seen(topics, topic, arg, err);
		else if (!is_pattern)
			status = err_set(err, ERR_FATAL, (int)topic->err, "%s",
			    rd_kafka_err2str(topic->err));
	}
	if (is_pattern)
		regfree(&regex);
	return status;
}

static int
count_partitions(const struct kafka_topics *topics, const struct rd_kafka_metadata_topic *topic,
    void *arg, struct err *err)
{
	int *count = arg;

	(void)topics, (void)err;
	*count += topic->partition_cnt;
	return 0;
}

int
kafka_topics_count(const struct kafka_topics *topics, const char *name, struct err *err)
{
	int count = 0;

	return go_through(topics, name, count_partitions, &count, err) == 0 ? count : -1;
}

struct visit {
	kafka_place_seen *seen;
	void *arg;
};

static int
show_places(const struct kafka_topics *topics, const struct rd_kafka_metadata_topic *topic,
    void *arg, struct err *err)
{
	const struct visit *visit = arg;
	int timeout_ms = topics->config->kafka.timeout_ms;
	rd_kafka_topic_partition_list_t *list =
	    rd_kafka_topic_partition_list_new(topic->partition_cnt);
	rd_kafka_resp_err_t code;

	for (int i = 0; i < topic->partition_cnt; i++)
		rd_kafka_topic_partition_list_add(list, topic->topic, i);
	code = rd_kafka_committed(topics->client, list, timeout_ms);
	for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
		int64_t offset = list->elems[i].offset;
		struct kafka_place place = {
			.topic = topic->topic, .partition = i, .committed = offset < 0 ? -1 : offset
		};

		code = rd_kafka_query_watermark_offsets(topics->client, topic->topic, i,
		    &place.first, &place.end, timeout_ms);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			visit->seen(visit->arg, &place);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ?
	    0 :
	    err_set(err, ERR_RETRY, (int)code, "topic %s: %s", topic->topic,
		rd_kafka_err2str(code));
}

int
kafka_topics_places(const struct kafka_topics *topics, const char *name, kafka_place_seen *seen,
    void *arg, struct err *err)
{
	struct visit visit = { seen, arg };

	return go_through(topics, name, show_places, &visit, err);
}

static bool
is_refused(rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConsumerGroups_result_t *result =
	    rd_kafka_event_DescribeConsumerGroups_result(event);
	const rd_kafka_ConsumerGroupDescription_t **list;
	const rd_kafka_error_t *error;
	size_t count = 0;

	if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
		return true;
	list =
	    result != NULL ? rd_kafka_DescribeConsumerGroups_result_groups(result, &count) : NULL;
	error = count == 1 ? rd_kafka_ConsumerGroupDescription_error(list[0]) : NULL;
	return error != NULL &&
	    rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
}

int
kafka_topics_ask_group(const struct kafka_topics *topics, struct err *err)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(topics->client);
	rd_kafka_event_t *event;
	const char *group = topics->config->group;
	bool refused;

	rd_kafka_DescribeConsumerGroups(topics->client, &group, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, topics->config->kafka.timeout_ms);
	refused = event != NULL && is_refused(event);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	if (!refused)
		return 0; /* what passes by itself is nothing */
	return err_set(err, ERR_FATAL, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "%s",
	    rd_kafka_err2str(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED));
}

int
kafka_topics_replicas(const struct kafka_topics *topics, const char *name)
{
	for (int i = 0; i < topics->metadata->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *topic = &topics->metadata->topics[i];

		if (strcmp(topic->topic, name) == 0 && topic->partition_cnt > 0)
			return topic->partitions[0].replica_cnt;
	}
	return 0;
}

static bool
find_property(const rd_kafka_ConfigResource_t *resource, const char *name, char *out, size_t size)
{
	size_t count;
	const rd_kafka_ConfigEntry_t **list = rd_kafka_ConfigResource_configs(resource, &count);

	for (size_t i = 0; i < count; i++) {
		const char *value = rd_kafka_ConfigEntry_value(list[i]);

		if (strcmp(rd_kafka_ConfigEntry_name(list[i]), name) != 0 || value == NULL)
			continue;
		snprintf(out, size, "%s", value);
		return true;
	}
	return false;
}

bool
kafka_topics_property(const struct kafka_topics *topics, const char *topic, const char *name,
    char *out, size_t size)
{
	rd_kafka_ConfigResource_t *asked =
	    rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(topics->client);
	const rd_kafka_DescribeConfigs_result_t *result;
	const rd_kafka_ConfigResource_t **list;
	rd_kafka_event_t *event;
	size_t count = 0;
	bool found;

	rd_kafka_DescribeConfigs(topics->client, &asked, 1, NULL, queue);
	rd_kafka_ConfigResource_destroy(asked);
	event = rd_kafka_queue_poll(queue, topics->config->kafka.timeout_ms);
	result = event != NULL ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
	list = result != NULL ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
	found = count == 1 && find_property(list[0], name, out, size);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	return found;
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
