/*
 * kafka_unlink BROKERS TOPIC GROUP COUNT PORT
 *
 * What a bare pipeline does: one librdkafka consumer that reads COUNT events in batches of 1,000, parses each with
 * yyjson, and sends UNLINK cache:<payload.after.id> for all of a batch before it reads the answers and
 * commits.  No types, no errors, nothing kept: the most that sluice could reach.
 * Prints: events seconds cpu_seconds, from the first message on.
 */
#include "common/clock.h"
#include "common/redis.h"

#include <librdkafka/rdkafka.h>
#include <sys/resource.h>
#include <yyjson.h>

enum { BATCH = 1000 };

struct bare {
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	struct redis *redis;
	struct arena arena;
	uint64_t wanted, seen;
	int64_t start_us;
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_unlink: %s: %s\n", what, why);
	exit(1);
}

static void
subscribe(struct bare *b, const char *brokers, const char *topic, const char *group)
{
	const char *const settings[][2] = { { "bootstrap.servers", brokers }, { "group.id", group },
		{ "auto.offset.reset", "earliest" }, { "enable.auto.offset.store", "false" },
		{ "fetch.message.max.bytes", "1048576" },
		/* the default stops a fast reader for a second each time its queue is full */
		{ "fetch.queue.backoff.ms", "10" } };
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) !=
		    RD_KAFKA_CONF_OK)
			die("settings", why);
	b->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (b->client == NULL)
		die("start", why);
	rd_kafka_poll_set_consumer(b->client);
	b->queue = rd_kafka_queue_get_consumer(b->client);
	rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
	if (rd_kafka_subscribe(b->client, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("subscribe", topic);
	rd_kafka_topic_partition_list_destroy(list);
}

static void
queue_unlink(struct bare *b, const rd_kafka_message_t *message)
{
	yyjson_doc *doc = yyjson_read(message->payload, message->len, 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *payload = yyjson_obj_get(root, "payload");
	yyjson_val *after = yyjson_obj_get(payload != NULL ? payload : root, "after");
	yyjson_val *id = yyjson_obj_get(after, "id");
	struct str words[2] = { STR("UNLINK") };

	if (id == NULL)
		die("an event", "no payload.after.id");
	words[1] =
	    str_of(arena_printf(&b->arena, "cache:%llu", (unsigned long long)yyjson_get_uint(id)));
	redis_queue(b->redis, 2, words);
	yyjson_doc_free(doc);
}

static void
flush(struct bare *b)
{
	struct redis_reply *reply;
	struct err err = { 0 };

	if (redis_flush(b->redis, &err) != 0)
		die("redis", err.text);
	while (redis_pending(b->redis) > 0)
		if (redis_receive(b->redis, &b->arena, 5000, &reply, &err) <= 0 ||
		    redis_reply_error(reply, &err) != 0)
			die("redis", err.text);
	arena_reset(&b->arena);
}

static void
take_batch(struct bare *b)
{
	rd_kafka_message_t *messages[BATCH];
	ssize_t count = rd_kafka_consume_batch_queue(b->queue, 100, messages, BATCH);

	for (ssize_t i = 0; i < count; i++) {
		if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			if (b->seen++ == 0)
				b->start_us = clock_us();
			queue_unlink(b, messages[i]);
		}
	}
	flush(b);
	for (ssize_t i = 0; i < count; i++) {
		rd_kafka_error_destroy(rd_kafka_offset_store_message(messages[i]));
		rd_kafka_message_destroy(messages[i]);
	}
}

int
main(int argc, char **argv)
{
	struct redis_options options = {
		.host = "127.0.0.1", .connect_timeout_ms = 2000, .timeout_ms = 5000
	};
	struct bare b = { 0 };
	struct err err = { 0 };
	struct rusage usage;

	if (argc != 6 || atoll(argv[4]) < 1) {
		fprintf(stderr, "usage: kafka_unlink BROKERS TOPIC GROUP COUNT PORT\n");
		return 2;
	}
	b.wanted = (uint64_t)atoll(argv[4]);
	options.port = atoi(argv[5]);
	arena_init(&b.arena, 1 << 20);
	b.redis = redis_new(&options);
	if (redis_open(b.redis, &err) != 0)
		die("redis", err.text);
	subscribe(&b, argv[1], argv[2], argv[3]);
	for (int64_t end = clock_ms() + 120000; b.seen < b.wanted && clock_ms() < end;)
		take_batch(&b);
	getrusage(RUSAGE_SELF, &usage);
	printf("%llu %.6f %.6f\n", (unsigned long long)b.seen,
	    (double)(clock_us() - b.start_us) / 1e6,
	    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	rd_kafka_commit(b.client, NULL, 0);
	rd_kafka_queue_destroy(b.queue);
	rd_kafka_consumer_close(b.client);
	rd_kafka_destroy(b.client);
	redis_free(&b.redis);
	arena_deinit(&b.arena);
	return b.seen < b.wanted;
}
