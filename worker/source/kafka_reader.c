#include "common/clock.h"
#include "worker/source/kafka_client.h"
#include "worker/source/kafka_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 100, HEADERS_MAX = 16 };

struct kafka_reader {
	const struct config *config;
	const char *topic;
	rd_kafka_t *client;
	int partitions;
	int partition; /* that is being read */
	int64_t end;   /* of it */
	bool ended;
	rd_kafka_message_t *message; /* the one that was given last */
	struct kafka_header headers[HEADERS_MAX];
	char why[256];
};

static void
on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
	struct kafka_reader *r = opaque;

	(void)client;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || r->why[0] == '\0')
		snprintf(r->why, sizeof(r->why), "%s", reason);
}

static void
say_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client, (void)level, (void)facility, (void)text;
}

static int
failed(struct kafka_reader *r, rd_kafka_resp_err_t code, struct err *err)
{
	rd_kafka_poll(r->client, 0);
	return err_set(err, ERR_RETRY, (int)code, "topic %s: %s%s%s", r->topic,
	    rd_kafka_err2str(code), r->why[0] != '\0' ? ": " : "", r->why);
}

static int
find_topic(struct kafka_reader *r, struct err *err)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(r->client, r->topic, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code;

	CHECK(handle != NULL);
	code = rd_kafka_metadata(r->client, 0, handle, &metadata, r->config->kafka.timeout_ms);
	rd_kafka_topic_destroy(handle);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return failed(r, code, err);
	code = metadata->topic_cnt == 1 ? metadata->topics[0].err :
					  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		r->partitions = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : failed(r, code, err);
}

static int
open(struct kafka_reader *r, struct err *err)
{
	rd_kafka_conf_t *conf = kafka_conf(r->config, 0, err);
	char why[512];

	if (conf == NULL)
		return -1;
	/* what is asked meanwhile would wait behind a fetch at the end of the log */
	rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", why, sizeof(why));
	rd_kafka_conf_set_opaque(conf, r);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_log_cb(conf, say_nothing);
	r->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (r->client == NULL) {
		rd_kafka_conf_destroy(conf);
		return err_set(err, ERR_FATAL, 0, "%s", why);
	}
	rd_kafka_poll_set_consumer(r->client);
	return find_topic(r, err);
}

struct kafka_reader *
kafka_reader_new(const struct config *config, const char *topic, struct err *err)
{
	struct kafka_reader *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->config = config;
	r->topic = topic;
	if (open(r, err) != 0)
		kafka_reader_free(&r);
	return r;
}

int
kafka_reader_partitions(const struct kafka_reader *r)
{
	return r->partitions;
}

int64_t
kafka_reader_count(struct kafka_reader *r, struct err *err)
{
	int64_t count = 0;

	for (int i = 0; i < r->partitions; i++) {
		int64_t first, end;
		rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(r->client, r->topic, i,
		    &first, &end, r->config->kafka.timeout_ms);

		if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
			return failed(r, code, err);
		count += end - first;
	}
	return count;
}

static void
drop_message(struct kafka_reader *r)
{
	if (r->message != NULL)
		rd_kafka_message_destroy(r->message);
	r->message = NULL;
}

int
kafka_reader_start(struct kafka_reader *r, int partition, int64_t offset, struct err *err)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;
	int64_t first;

	drop_message(r);
	r->partition = partition;
	code = rd_kafka_query_watermark_offsets(r->client, r->topic, partition, &first, &r->end,
	    r->config->kafka.timeout_ms);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return failed(r, code, err);
	if (offset < first)
		offset = first;
	r->ended = offset >= r->end;
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, r->topic, partition)->offset = offset;
	code = r->ended ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_assign(r->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : failed(r, code, err);
}

static void
show(struct kafka_reader *r, struct kafka_record *record)
{
	const rd_kafka_message_t *m = r->message;
	rd_kafka_headers_t *headers;
	rd_kafka_timestamp_type_t type;

	*record = (struct kafka_record){ .key = { m->key, m->key_len },
		.value = { m->payload, m->payload != NULL ? m->len : 0 },
		.headers = r->headers,
		.partition = m->partition,
		.offset = m->offset,
		.at_ms = rd_kafka_message_timestamp(m, &type) };
	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	while (record->header_count < HEADERS_MAX) {
		struct kafka_header *h = &r->headers[record->header_count];
		const void *value;

		if (rd_kafka_header_get_all(headers, record->header_count, &h->name, &value,
			&h->value.len) != RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		h->value.data = value;
		record->header_count++;
	}
}

/* 1: r->message is a record; 0: it was something else. */
static int
hear(struct kafka_reader *r, struct err *err)
{
	rd_kafka_resp_err_t code = r->message->err;

	if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF && r->message->partition == r->partition)
		r->ended = true;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && r->message->partition == r->partition)
		return 1;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return failed(r, code, err);
	return 0;
}

int
kafka_reader_next(struct kafka_reader *r, struct kafka_record *record, struct err *err)
{
	int64_t until_ms = clock_ms() + r->config->kafka.timeout_ms;

	while (!r->ended) {
		int heard = 0;

		drop_message(r);
		r->message = rd_kafka_consumer_poll(r->client, POLL_MS);
		if (r->message != NULL)
			heard = hear(r, err);
		else if (clock_ms() >= until_ms)
			return failed(r, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
		if (heard < 0)
			return -1;
		if (heard == 0)
			continue;
		show(r, record);
		r->ended = record->offset + 1 >= r->end;
		return 1;
	}
	return 0;
}

void
kafka_reader_free(struct kafka_reader **reader)
{
	struct kafka_reader *r = *reader;

	if (r == NULL)
		return;
	drop_message(r);
	if (r->client != NULL)
		rd_kafka_destroy_flags(r->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(r);
	*reader = NULL;
}
