/*
 * kafka_tool BROKERS [property=value ...] COMMAND ...: what the tests do to a Kafka.
 *
 *	create TOPIC PARTITIONS [property=value ...] | delete TOPIC | grow TOPIC PARTITIONS
 *	trim TOPIC PARTITION OFFSET | commit GROUP TOPIC PARTITION OFFSET [METADATA] (of a group without members)
 *	produce TOPIC		lines from stdin: partition TAB key TAB value [TAB header=value]...
 *				\N is no key or no value, \x41ff are bytes; with transactional.id also
 *				lines COMMIT, ABORT
 *	committed GROUP TOPIC PARTITIONS	a line each: partition offset metadata
 *	read TOPIC PARTITIONS	what is there now, a line a record: partition TAB offset TAB its time
 *				in ms TAB key TAB value, \N for none
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };

static int failures;

static _Noreturn void
die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_tool: %s: %s\n", what, why);
	exit(1);
}

static void
die_on(const char *what, rd_kafka_error_t *error)
{
	if (error != NULL)
		die(what, rd_kafka_error_string(error));
}

static void
on_delivery(rd_kafka_t *client, const rd_kafka_message_t *m, void *opaque)
{
	(void)client, (void)opaque;
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE)
		return;
	fprintf(stderr, "kafka_tool: not delivered: %s\n", rd_kafka_err2str(m->err));
	failures++;
}

/* ---- topics ---- */

static rd_kafka_event_t *
wait_for(rd_kafka_queue_t *queue, const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);

	if (event == NULL)
		die(what, "no answer");
	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die(what, rd_kafka_event_error_string(event));
	return event;
}

static void
check_topics(const rd_kafka_topic_result_t **list, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		if (rd_kafka_topic_result_error(list[i]) != RD_KAFKA_RESP_ERR_NO_ERROR)
			die(what, rd_kafka_topic_result_error_string(list[i]));
}

static void
create(rd_kafka_t *client, char **words)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	char why[256];
	rd_kafka_NewTopic_t *topic =
	    rd_kafka_NewTopic_new(words[0], atoi(words[1]), 1, why, sizeof(why));
	const rd_kafka_topic_result_t **list;
	size_t count;

	if (topic == NULL)
		die("create", why);
	for (char **word = words + 2; *word != NULL; word++) {
		char *value = *word, *name = strsep(&value, "=");

		rd_kafka_NewTopic_set_config(topic, name, value);
	}
	rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
	list =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(wait_for(queue,
						    "create")),
		&count);
	check_topics(list, count, "create");
}

static void delete(rd_kafka_t *client, char **words)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(words[0]);
	const rd_kafka_topic_result_t **list;
	size_t count;

	rd_kafka_DeleteTopics(client, &topic, 1, NULL, queue);
	list =
	    rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(wait_for(queue,
						    "delete")),
		&count);
	check_topics(list, count, "delete");
}

static void
grow(rd_kafka_t *client, char **words)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	char why[256];
	rd_kafka_NewPartitions_t *more =
	    rd_kafka_NewPartitions_new(words[0], (size_t)atoi(words[1]), why, sizeof(why));
	const rd_kafka_topic_result_t **list;
	size_t count;

	if (more == NULL)
		die("grow", why);
	rd_kafka_CreatePartitions(client, &more, 1, NULL, queue);
	list = rd_kafka_CreatePartitions_result_topics(
	    rd_kafka_event_CreatePartitions_result(wait_for(queue, "grow")), &count);
	check_topics(list, count, "grow");
}

static void
trim(rd_kafka_t *client, char **words)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_DeleteRecords_t *records;

	rd_kafka_topic_partition_list_add(list, words[0], atoi(words[1]))->offset = atoll(words[2]);
	records = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(client, &records, 1, NULL, queue);
	wait_for(queue, "trim");
}

static void
committed(rd_kafka_t *client, char **words)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
	rd_kafka_resp_err_t code;

	for (int i = 0; i < atoi(words[2]); i++)
		rd_kafka_topic_partition_list_add(list, words[1], i);
	code = rd_kafka_committed(client, list, WAIT_MS);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("committed", rd_kafka_err2str(code));
	for (int i = 0; i < list->cnt; i++)
		printf("%d %lld %.*s\n", list->elems[i].partition, (long long)list->elems[i].offset,
		    (int)list->elems[i].metadata_size,
		    list->elems[i].metadata != NULL ? (char *)list->elems[i].metadata : "");
}

static void
commit(rd_kafka_t *client, char **words)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *one;
	rd_kafka_resp_err_t code;

	one = rd_kafka_topic_partition_list_add(list, words[1], atoi(words[2]));
	one->offset = atoll(words[3]);
	if (words[4] != NULL) {
		one->metadata = words[4];
		one->metadata_size = strlen(words[4]);
	}
	code = rd_kafka_commit(client, list, 0);
	one->metadata = NULL; /* the caller's */
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("commit", rd_kafka_err2str(code));
}

/* ---- records ---- */

/* In place; returns the length. */
static size_t
decode(char *text)
{
	size_t len = 0;
	unsigned byte;

	if (strncmp(text, "\\x", 2) != 0)
		return strlen(text);
	for (char *hex = text + 2; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		text[len++] = (char)byte;
	return len;
}

static void
send_line(rd_kafka_t *client, const char *topic, char *line)
{
	char *rest = line, *partition = strsep(&rest, "\t"), *key = strsep(&rest, "\t");
	char *value = strsep(&rest, "\t"), *header;
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	rd_kafka_resp_err_t code;
	bool no_key, no_value;
	size_t key_len, value_len;

	if (value == NULL)
		die("produce", "a line has less than three parts");
	no_key = strcmp(key, "\\N") == 0;
	no_value = strcmp(value, "\\N") == 0;
	key_len = decode(key);
	value_len = decode(value);
	while ((header = strsep(&rest, "\t")) != NULL) {
		char *name = strsep(&header, "=");

		rd_kafka_header_add(headers, name, -1, header, -1);
	}
	for (;;) {
		rd_kafka_headers_t *copy = rd_kafka_headers_copy(headers);

		code = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic),
		    RD_KAFKA_V_PARTITION(atoi(partition)),
		    RD_KAFKA_V_KEY(no_key ? NULL : key, no_key ? 0 : key_len),
		    RD_KAFKA_V_VALUE(no_value ? NULL : value, no_value ? 0 : value_len),
		    RD_KAFKA_V_HEADERS(copy), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		    RD_KAFKA_V_END);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		rd_kafka_headers_destroy(copy);
		if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(code));
		rd_kafka_poll(client, 100);
	}
	rd_kafka_headers_destroy(headers);
	rd_kafka_poll(client, 0);
}

static void
produce(rd_kafka_t *client, char **words, bool transactions)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (transactions) {
		die_on("transactions", rd_kafka_init_transactions(client, WAIT_MS));
		die_on("begin", rd_kafka_begin_transaction(client));
	}
	while ((len = getline(&line, &size, stdin)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (strcmp(line, "COMMIT") != 0 && strcmp(line, "ABORT") != 0) {
			send_line(client, words[0], line);
			continue;
		}
		rd_kafka_flush(client, WAIT_MS);
		die_on(line,
		    line[0] == 'C' ? rd_kafka_commit_transaction(client, WAIT_MS) :
				     rd_kafka_abort_transaction(client, WAIT_MS));
		die_on("begin", rd_kafka_begin_transaction(client));
	}
	free(line);
	if (transactions)
		die_on("commit", rd_kafka_commit_transaction(client, WAIT_MS));
	if (rd_kafka_flush(client, WAIT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("produce", "not all was delivered in time");
}

static void
put(const void *data, size_t len, char end)
{
	if (data == NULL)
		fputs("\\N", stdout);
	else
		fwrite(data, 1, len, stdout);
	putchar(end);
}

/* To the end of each partition. */
static void
read_all(rd_kafka_t *client, char **words)
{
	int left = atoi(words[1]);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(left);

	for (int i = 0; i < left; i++)
		rd_kafka_topic_partition_list_add(list, words[0], i)->offset =
		    RD_KAFKA_OFFSET_BEGINNING;
	if (rd_kafka_assign(client, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("read", "cannot be assigned");
	while (left > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(client, WAIT_MS);

		if (m == NULL)
			die("read", "no answer");
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			left--;
		} else if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
			die("read", rd_kafka_message_errstr(m));
		} else {
			printf("%d\t%lld\t%lld\t", m->partition, (long long)m->offset,
			    (long long)rd_kafka_message_timestamp(m, NULL));
			put(m->key, m->key_len, '\t');
			put(m->payload, m->len, '\n');
		}
		rd_kafka_message_destroy(m);
	}
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		die(name, why);
}

int
main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool transactions = false, asks, reads;
	rd_kafka_t *client;
	char why[512];
	int at = 2;

	if (argc < 4)
		die("usage", "kafka_tool BROKERS [property=value ...] COMMAND ...");
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "message.max.bytes", "10000000");
	for (; at < argc && strchr(argv[at], '=') != NULL; at++) {
		char *value = strchr(argv[at], '=');

		*value++ = '\0';
		set(conf, argv[at], value);
		transactions |= strcmp(argv[at], "transactional.id") == 0;
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	asks = at + 1 < argc && strncmp(argv[at], "commit", 6) == 0;
	reads = at + 1 < argc && strcmp(argv[at], "read") == 0;
	if (asks || reads)
		set(conf, "group.id", argv[at + 1]);
	if (reads) {
		set(conf, "enable.partition.eof", "true");
		set(conf, "enable.auto.commit", "false");
	}
	client = rd_kafka_new(asks || reads ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, why,
	    sizeof(why));
	if (client == NULL)
		die("start", why);
	if (at + 2 < argc && strcmp(argv[at], "create") == 0)
		create(client, argv + at + 1);
	else if (at + 1 < argc && strcmp(argv[at], "delete") == 0)
		delete (client, argv + at + 1);
	else if (at + 2 < argc && strcmp(argv[at], "grow") == 0)
		grow(client, argv + at + 1);
	else if (at + 3 < argc && strcmp(argv[at], "trim") == 0)
		trim(client, argv + at + 1);
	else if (at + 4 < argc && strcmp(argv[at], "commit") == 0)
		commit(client, argv + at + 1);
	else if (at + 3 < argc && asks)
		committed(client, argv + at + 1);
	else if (at + 2 < argc && reads)
		read_all(client, argv + at + 1);
	else if (at + 1 < argc && strcmp(argv[at], "produce") == 0)
		produce(client, argv + at + 1, transactions);
	else
		die("usage", "no such command, or too few words");
	rd_kafka_destroy(client);
	/* one command, and what it asked with goes with the process: nothing here looks for leaks */
	fflush(stdout);
	_exit(failures > 0);
}
