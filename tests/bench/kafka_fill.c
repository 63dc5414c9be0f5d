/*
 * kafka_fill BROKERS TOPIC PARTITIONS KIND COUNT plain|schema
 *
 * Fills a topic with COUNT changes of one kind (rows.h) as Debezium's events; a key has one partition.
 */
#include "tests/bench/events.h"

#include <librdkafka/rdkafka.h>

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_fill: %s: %s\n", what, why);
	exit(1);
}

static void
on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
	(void)client, (void)opaque;
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("not delivered", rd_kafka_err2str(m->err));
}

static rd_kafka_t *
open_producer(const char *brokers)
{
	static const char *const settings[][2] = { { "linger.ms", "20" },
		{ "batch.size", "1000000" }, { "queue.buffering.max.kbytes", "262144" } };
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *client;
	char why[256];

	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)) !=
	    RD_KAFKA_CONF_OK)
		die("settings", why);
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK)
			die("settings", why);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (client == NULL)
		die("start", why);
	return client;
}

static void
send_event(rd_kafka_t *client, const char *topic, int partition, uint64_t id, struct str text)
{
	char key[64];
	int len = snprintf(key, sizeof(key), "{\"id\":%llu}", (unsigned long long)id);

	for (;;) {
		rd_kafka_resp_err_t code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic),
		    RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_KEY(key, (size_t)len),
		    RD_KAFKA_V_VALUE((void *)(uintptr_t)text.data, text.len),
		    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			return;
		if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(code));
		rd_kafka_poll(client, 100);
	}
}

int
main(int argc, char **argv)
{
	static struct rows rows;
	enum row_kind kind;
	rd_kafka_t *client;
	struct buf text;
	struct row row;
	bool has_schema;

	if (argc != 7 || !row_kind_parse(argv[4], &kind) || atoi(argv[3]) < 1 ||
	    atoll(argv[5]) < 1) {
		fprintf(stderr,
		    "usage: kafka_fill BROKERS TOPIC PARTITIONS KIND COUNT plain|schema\n");
		return 2;
	}
	has_schema = strcmp(argv[6], "schema") == 0;
	rows_init(&rows, kind, (uint64_t)atoll(argv[5]));
	client = open_producer(argv[1]);
	buf_init(&text);
	for (uint64_t n = 0; n < rows.count; n++) {
		row_make(&rows, n, &row);
		send_event(client, argv[2], (int)(row.id % (uint64_t)atoi(argv[3])), row.id,
		    event_make(&rows, n, has_schema, &text));
		if (n % 100 == 0)
			rd_kafka_poll(client, 0);
	}
	printf("%zu\n", text.len);
	if (rd_kafka_flush(client, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("flush", "not all was delivered in time");
	buf_deinit(&text);
	rd_kafka_destroy(client);
	return 0;
}
