#include "common/clock.h"
#include "worker/source/kafka_client.h"
#include "worker/source/kafka_record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRACE_MS = 1000 };

struct kafka_writer {
	const struct config *config;
	const char *topic;
	bool once;
	rd_kafka_t *client; /* NULL: not yet, or beyond repair */
	int partitions;	    /* of the topic; 0: not known */
	bool fatal;
	size_t waiting;		    /* put, and not answered */
	rd_kafka_resp_err_t failed; /* the first answer that was a refusal, since the last flush */
	char why[256];		    /* librdkafka's last words */
};

static void
on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	/* settings of consumers are no news for a producer; what matters is an error, too */
	(void)client, (void)level, (void)facility, (void)text;
}

static void
on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
	struct kafka_writer *w = opaque;

	(void)client;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || w->why[0] == '\0')
		snprintf(w->why, sizeof(w->why), "%s", reason);
	w->fatal |= code == RD_KAFKA_RESP_ERR__FATAL;
}

static void
on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
	struct kafka_writer *w = opaque;

	(void)client;
	w->waiting--;
	if (w->failed == RD_KAFKA_RESP_ERR_NO_ERROR)
		w->failed = m->err;
}

struct kafka_writer *
kafka_writer_new(const struct config *config, const char *topic, bool once)
{
	struct kafka_writer *w = calloc(1, sizeof(*w));

	CHECK(w != NULL);
	w->config = config;
	w->topic = topic;
	w->once = once;
	return w;
}

static int
start_client(struct kafka_writer *w, struct err *err)
{
	rd_kafka_conf_t *conf = kafka_writer_conf(w->config, w->once, err);
	char why[512];

	if (conf == NULL)
		return -1;
	rd_kafka_conf_set_opaque(conf, w);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	w->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (w->client != NULL)
		return 0;
	rd_kafka_conf_destroy(conf);
	return err_set(err, ERR_FATAL, 0, "kafka: %s", why);
}

static void
stop_client(struct kafka_writer *w)
{
	if (w->client == NULL)
		return;
	rd_kafka_purge(w->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_flush(w->client, 0);
	rd_kafka_destroy(w->client);
	w->client = NULL;
	w->partitions = 0;
	w->fatal = false;
	w->waiting = 0;
	w->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int
failed(struct kafka_writer *w, rd_kafka_resp_err_t code, struct err *err)
{
	err_set(err, ERR_RETRY, (int)code, "kafka: topic %s: %s%s%s", w->topic,
	    rd_kafka_err2str(code), w->why[0] != '\0' ? ": " : "", w->why);
	w->partitions = 0;
	w->why[0] = '\0';
	return -1;
}

/* A producer would wait for a topic that isn't there, and then not say so. */
static int
find_topic(struct kafka_writer *w, struct err *err)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(w->client, w->topic, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code;

	CHECK(handle != NULL);
	code = rd_kafka_metadata(w->client, 0, handle, &metadata, w->config->kafka.timeout_ms);
	rd_kafka_topic_destroy(handle);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
		code = metadata->topic_cnt == 1 ? metadata->topics[0].err :
						  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			w->partitions = metadata->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_poll(w->client, 0);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR && w->partitions > 0 ? 0 : failed(w, code, err);
}

static rd_kafka_headers_t *
headers_of(const struct kafka_record *record)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);

	for (size_t i = 0; i < record->header_count; i++)
		rd_kafka_header_add(headers, record->headers[i].name, -1,
		    record->headers[i].value.data, (ssize_t)record->headers[i].value.len);
	return headers;
}

static rd_kafka_resp_err_t
put(struct kafka_writer *w, const struct kafka_record *record)
{
	rd_kafka_headers_t *headers = headers_of(record);
	union {
		const char *in;
		void *out;
	} key = { .in = record->key.data }, value = { .in = record->value.data };
	rd_kafka_resp_err_t code = rd_kafka_producev(w->client, RD_KAFKA_V_TOPIC(w->topic),
	    RD_KAFKA_V_PARTITION(record->partition), RD_KAFKA_V_KEY(key.out, record->key.len),
	    RD_KAFKA_V_VALUE(value.out, record->value.len), RD_KAFKA_V_HEADERS(headers),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		w->waiting++;
	else
		rd_kafka_headers_destroy(headers);
	return code;
}

static int
get_ready(struct kafka_writer *w, struct err *err)
{
	if (w->fatal)
		stop_client(w);
	if (w->client == NULL && start_client(w, err) != 0)
		return -1;
	return w->partitions > 0 ? 0 : find_topic(w, err);
}

int
kafka_writer_partition(struct kafka_writer *w, struct str key, struct err *err)
{
	uint64_t hash = 14695981039346656037U; /* FNV-1a: the same in every process */

	if (get_ready(w, err) != 0)
		return -1;
	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.data[i]) * 1099511628211U;
	return (int)(hash % (unsigned)w->partitions);
}

int
kafka_writer_put(struct kafka_writer *w, const struct kafka_record *record, struct err *err)
{
	rd_kafka_resp_err_t code;

	if (get_ready(w, err) != 0)
		return -1;
	code = put(w, record);
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		if (kafka_writer_flush(w, err) != 0)
			return -1;
		code = put(w, record);
	}
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : failed(w, code, err);
}

int
kafka_writer_flush(struct kafka_writer *w, struct err *err)
{
	int wait_ms = w->config->kafka.timeout_ms + GRACE_MS;
	rd_kafka_resp_err_t code;

	if (w->client == NULL)
		return 0;
	rd_kafka_flush(w->client, wait_ms);
	code = w->waiting > 0 ? RD_KAFKA_RESP_ERR__TIMED_OUT : w->failed;
	w->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	failed(w, code, err);
	/* what is still on its way must not arrive behind what comes next */
	if (w->waiting > 0 || w->fatal)
		stop_client(w);
	return -1;
}

void
kafka_writer_free(struct kafka_writer **writer)
{
	if (*writer == NULL)
		return;
	stop_client(*writer);
	free(*writer);
	*writer = NULL;
}
