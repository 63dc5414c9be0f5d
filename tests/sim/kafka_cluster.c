#include "tests/sim/kafka.h"

#include <stdio.h>

/* What a client of the fake librdkafka asks of the cluster: who it is, and which topic is there. */

rd_kafka_resp_err_t
rd_kafka_metadata(rd_kafka_t *c, int all, rd_kafka_topic_t *only,
    const struct rd_kafka_metadata **out, int timeout_ms)
{
	struct rd_kafka_metadata *m;

	(void)all, (void)timeout_ms;
	if (!kafka_reach(c, "kafka.metadata"))
		return RD_KAFKA_RESP_ERR__TRANSPORT;
	call_ends(c->process, "kafka.metadata");
	m = kafka_object_new(sizeof(*m) + sizeof(*m->topics));
	m->topics = (struct rd_kafka_metadata_topic *)(m + 1);
	m->topic_cnt = only != NULL;
	m->topics[0].partition_cnt = (int)sim_kafka.partitions;
	*out = m;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void
rd_kafka_metadata_destroy(const struct rd_kafka_metadata *m)
{
	kafka_object_free((void *)(uintptr_t)m);
}

char *
rd_kafka_clusterid(rd_kafka_t *c, int timeout_ms)
{
	char *id;

	(void)timeout_ms;
	if (!kafka_reach(c, "kafka.clusterid"))
		return NULL;
	id = kafka_object_new(KAFKA_BOARD);
	snprintf(id, KAFKA_BOARD, "%.*s", (int)strcspn(log_identity(), " "), log_identity());
	return id;
}

/* The admin's question: one of each, and the answer is the topic as it is when it comes. */
static char the_one;

rd_kafka_AdminOptions_t *
rd_kafka_AdminOptions_new(rd_kafka_t *c, rd_kafka_admin_op_t what)
{
	(void)c, (void)what;
	return (rd_kafka_AdminOptions_t *)&the_one;
}

rd_kafka_resp_err_t
rd_kafka_AdminOptions_set_request_timeout(rd_kafka_AdminOptions_t *options, int timeout_ms,
    char *why, size_t size)
{
	(void)options, (void)timeout_ms, (void)why, (void)size;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void
rd_kafka_AdminOptions_destroy(rd_kafka_AdminOptions_t *options)
{
	(void)options;
}

rd_kafka_TopicCollection_t *
rd_kafka_TopicCollection_of_topic_names(const char **names, size_t count)
{
	(void)names, (void)count;
	return (rd_kafka_TopicCollection_t *)&the_one;
}

void
rd_kafka_TopicCollection_destroy(rd_kafka_TopicCollection_t *topics)
{
	(void)topics;
}

void
rd_kafka_DescribeTopics(rd_kafka_t *c, const rd_kafka_TopicCollection_t *topics,
    const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue)
{
	(void)c, (void)topics, (void)options, (void)queue;
}

rd_kafka_event_t *
rd_kafka_queue_poll(rd_kafka_queue_t *queue, int timeout_ms)
{
	(void)timeout_ms;
	return kafka_reach((rd_kafka_t *)queue, "kafka.describe") ? (rd_kafka_event_t *)&the_one :
								    NULL;
}

void
rd_kafka_event_destroy(rd_kafka_event_t *event)
{
	(void)event;
}

const rd_kafka_DescribeTopics_result_t *
rd_kafka_event_DescribeTopics_result(rd_kafka_event_t *event)
{
	return (const rd_kafka_DescribeTopics_result_t *)event;
}

const rd_kafka_TopicDescription_t **
rd_kafka_DescribeTopics_result_topics(const rd_kafka_DescribeTopics_result_t *result, size_t *count)
{
	static const rd_kafka_TopicDescription_t *list[1];

	list[0] = (const rd_kafka_TopicDescription_t *)result;
	*count = 1;
	return list;
}

const rd_kafka_error_t *
rd_kafka_TopicDescription_error(const rd_kafka_TopicDescription_t *topic)
{
	(void)topic;
	return NULL;
}

const rd_kafka_Uuid_t *
rd_kafka_TopicDescription_topic_id(const rd_kafka_TopicDescription_t *topic)
{
	return (const rd_kafka_Uuid_t *)topic;
}

int64_t
rd_kafka_Uuid_most_significant_bits(const rd_kafka_Uuid_t *id)
{
	(void)id;
	return 0;
}

int64_t
rd_kafka_Uuid_least_significant_bits(const rd_kafka_Uuid_t *id)
{
	(void)id;
	return sim_kafka.topic_life;
}

const char *
rd_kafka_Uuid_base64str(const rd_kafka_Uuid_t *id)
{
	(void)id;
	return strchr(log_identity(), ' ') + 1;
}
