#include "tests/sim/kafka.h"

#include "common/err.h"

#include <stdlib.h>
#include <sys/eventfd.h>

/*
 * What librdkafka hands out and takes back.  A process that crashes leaves what it held behind: all of
 * it is on the list of the process that runs.
 */
enum { LIST_ROOM = 16 };

struct object {
	struct object *next, **link;
	bool is_list;
	max_align_t bytes[];
};

struct rd_kafka_topic_s {
	int unused;
};
struct rd_kafka_error_s {
	rd_kafka_resp_err_t code;
};

struct rd_kafka_topic_s kafka_topic;
static struct object *objects[PROCESSES_MAX];

static struct object *
object_of(void *bytes)
{
	return (struct object *)((char *)bytes - offsetof(struct object, bytes));
}

void *
kafka_object_new(size_t size)
{
	struct object *o = calloc(1, sizeof(*o) + size);
	const struct process *p = process_running();

	CHECK(o != NULL && p != NULL);
	o->link = &objects[p->index];
	o->next = *o->link;
	if (o->next != NULL)
		o->next->link = &o->next;
	*o->link = o;
	return o->bytes;
}

static void
forget_metadata(rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++)
		free(list->elems[i].metadata);
}

void
kafka_object_free(void *bytes)
{
	struct object *o;

	if (bytes == NULL)
		return;
	o = object_of(bytes);
	if (o->is_list)
		forget_metadata(bytes);
	*o->link = o->next;
	if (o->next != NULL)
		o->next->link = o->link;
	free(o);
}

void
kafka_objects_free(const struct process *p)
{
	while (objects[p->index] != NULL)
		kafka_object_free(objects[p->index]->bytes);
}

/* ---- lists of partitions ---- */

rd_kafka_topic_partition_list_t *
rd_kafka_topic_partition_list_new(int size)
{
	rd_kafka_topic_partition_list_t *list;

	(void)size;
	list = kafka_object_new(sizeof(*list) + LIST_ROOM * sizeof(*list->elems));
	object_of(list)->is_list = true;
	list->elems = (rd_kafka_topic_partition_t *)(list + 1);
	list->size = LIST_ROOM;
	return list;
}

void
rd_kafka_topic_partition_list_destroy(rd_kafka_topic_partition_list_t *list)
{
	kafka_object_free(list);
}

rd_kafka_topic_partition_t *
rd_kafka_topic_partition_list_add(rd_kafka_topic_partition_list_t *list, const char *topic,
    int32_t partition)
{
	rd_kafka_topic_partition_t *one = &list->elems[list->cnt++];

	CHECK(list->cnt <= LIST_ROOM && strcmp(topic, KAFKA_TOPIC) == 0);
	one->topic = (char *)(uintptr_t)KAFKA_TOPIC;
	one->partition = partition;
	one->offset = RD_KAFKA_OFFSET_INVALID;
	return one;
}

rd_kafka_topic_partition_list_t *
rd_kafka_topic_partition_list_copy(const rd_kafka_topic_partition_list_t *from)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(from->cnt);

	for (int i = 0; i < from->cnt; i++)
		rd_kafka_topic_partition_list_add(list, from->elems[i].topic,
		    from->elems[i].partition)
		    ->offset = from->elems[i].offset;
	return list;
}

rd_kafka_topic_partition_list_t *
kafka_list_of(unsigned mask)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(LANES_MAX);

	for (unsigned l = 0; l < world.lanes; l++)
		if (mask & 1U << l)
			rd_kafka_topic_partition_list_add(list, KAFKA_TOPIC, (int)l);
	return list;
}

unsigned
kafka_mask_of(const rd_kafka_topic_partition_list_t *list)
{
	unsigned mask = 0;

	for (int i = 0; i < list->cnt; i++)
		mask |= 1U << list->elems[i].partition;
	return mask;
}

/* ---- errors ---- */

rd_kafka_error_t *
kafka_error_new(rd_kafka_resp_err_t code)
{
	rd_kafka_error_t *error = kafka_object_new(sizeof(*error));

	error->code = code;
	return error;
}

rd_kafka_resp_err_t
rd_kafka_error_code(const rd_kafka_error_t *error)
{
	return error->code;
}

const char *
rd_kafka_error_string(const rd_kafka_error_t *error)
{
	return rd_kafka_err2str(error->code);
}

void
rd_kafka_error_destroy(rd_kafka_error_t *error)
{
	kafka_object_free(error);
}

const char *
rd_kafka_err2str(rd_kafka_resp_err_t code)
{
	static char text[32];

	snprintf(text, sizeof(text), "error %d", (int)code);
	return text;
}

const char *
rd_kafka_version_str(void)
{
	return "of the simulation";
}

void
rd_kafka_mem_free(rd_kafka_t *client, void *bytes)
{
	(void)client;
	kafka_object_free(bytes);
}

/* ---- topics and messages ---- */

rd_kafka_topic_t *
rd_kafka_topic_new(rd_kafka_t *client, const char *name, rd_kafka_topic_conf_t *conf)
{
	(void)client, (void)conf;
	CHECK(strcmp(name, KAFKA_TOPIC) == 0);
	return &kafka_topic;
}

void
rd_kafka_topic_destroy(rd_kafka_topic_t *topic)
{
	CHECK(topic == &kafka_topic);
}

const char *
rd_kafka_topic_name(const rd_kafka_topic_t *topic)
{
	CHECK(topic == &kafka_topic);
	return KAFKA_TOPIC;
}

rd_kafka_message_t *
kafka_message_new(unsigned partition, int64_t offset, const struct stream_entry *e,
    rd_kafka_resp_err_t code)
{
	rd_kafka_message_t *m = kafka_object_new(sizeof(*m));

	m->err = code;
	m->rkt = &kafka_topic;
	m->partition = (int32_t)partition;
	m->offset = offset;
	if (e == NULL)
		return m;
	CHECK(e->raw_count == 2);
	m->key = (void *)(uintptr_t)e->raw[0].value.text.data;
	m->key_len = e->raw[0].value.text.len;
	m->payload = (void *)(uintptr_t)e->raw[1].value.text.data;
	m->len = e->raw[1].value.text.len;
	m->_private = (void *)(uintptr_t)e;
	return m;
}

rd_kafka_message_t *
kafka_word_new(bool *due, rd_kafka_resp_err_t code)
{
	rd_kafka_message_t *m = kafka_object_new(sizeof(*m));

	*due = false;
	m->err = code;
	m->partition = RD_KAFKA_PARTITION_UA;
	m->offset = RD_KAFKA_OFFSET_INVALID;
	return m;
}

void
rd_kafka_message_destroy(rd_kafka_message_t *m)
{
	kafka_object_free(m);
}

const char *
rd_kafka_message_errstr(const rd_kafka_message_t *m)
{
	return rd_kafka_err2str(m->err);
}

int64_t
rd_kafka_message_timestamp(const rd_kafka_message_t *m, rd_kafka_timestamp_type_t *type)
{
	const struct stream_entry *e = m->_private;

	*type = RD_KAFKA_TIMESTAMP_CREATE_TIME;
	return e->at_us / 1000;
}

rd_kafka_resp_err_t
rd_kafka_message_headers(const rd_kafka_message_t *m, rd_kafka_headers_t **headers)
{
	(void)m;
	*headers = NULL;
	return RD_KAFKA_RESP_ERR__NOENT;
}

size_t
rd_kafka_header_cnt(const rd_kafka_headers_t *headers)
{
	(void)headers;
	return 0;
}

rd_kafka_resp_err_t
rd_kafka_header_get_all(const rd_kafka_headers_t *headers, size_t i, const char **name,
    const void **value, size_t *size)
{
	(void)headers, (void)i, (void)name, (void)value, (void)size;
	return RD_KAFKA_RESP_ERR__NOENT;
}

/* ---- configuration: the source's own is taken as it is ---- */

struct rd_kafka_conf_s {
	struct rd_kafka_s client; /* callbacks and what they are given */
};

rd_kafka_conf_t *
rd_kafka_conf_new(void)
{
	return kafka_object_new(sizeof(rd_kafka_conf_t));
}

void
rd_kafka_conf_destroy(rd_kafka_conf_t *conf)
{
	kafka_object_free(conf);
}

/* What exactly-once rests on must be asked for. */
rd_kafka_conf_res_t
rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *why,
    size_t size)
{
	(void)conf, (void)why, (void)size;
	if (strcmp(name, "enable.auto.commit") == 0 ||
	    strcmp(name, "enable.auto.offset.store") == 0)
		CHECK(strcmp(value, "false") == 0);
	if (strcmp(name, "auto.offset.reset") == 0)
		CHECK(strcmp(value, "error") == 0);
	if (strcmp(name, "isolation.level") == 0)
		CHECK(strcmp(value, "read_committed") == 0);
	return RD_KAFKA_CONF_OK;
}

rd_kafka_conf_res_t
rd_kafka_conf_get(const rd_kafka_conf_t *conf, const char *name, char *value, size_t *size)
{
	(void)conf, (void)name, (void)value, (void)size;
	return RD_KAFKA_CONF_UNKNOWN;
}

void
rd_kafka_conf_set_opaque(rd_kafka_conf_t *conf, void *opaque)
{
	conf->client.opaque = opaque;
}

void
rd_kafka_conf_set_log_cb(rd_kafka_conf_t *conf,
    void (*log)(const rd_kafka_t *, int, const char *, const char *))
{
	(void)conf, (void)log;
}

void
rd_kafka_conf_set_error_cb(rd_kafka_conf_t *conf,
    void (*tell)(rd_kafka_t *, int, const char *, void *))
{
	conf->client.error_cb = tell;
}

void
rd_kafka_conf_set_rebalance_cb(rd_kafka_conf_t *conf,
    void (*tell)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *, void *))
{
	conf->client.rebalance_cb = tell;
}

void
rd_kafka_conf_set_offset_commit_cb(rd_kafka_conf_t *conf,
    void (*tell)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *, void *))
{
	conf->client.commit_cb = tell;
}

rd_kafka_t *
rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t size)
{
	rd_kafka_t *client = kafka_object_new(sizeof(*client));

	(void)type, (void)why, (void)size;
	*client = conf->client;
	client->process = process_running();
	client->member = -1;
	client->polled_us = world.now_us;
	rd_kafka_conf_destroy(conf);
	return client;
}

/* ---- eventfd: in the place of the C library's ---- */

int
eventfd(unsigned count, int flags)
{
	const struct process *p = process_running();

	(void)count, (void)flags;
	sim_kafka.signalled[p->index] = 0;
	return KAFKA_FD + p->index;
}

int
eventfd_write(int fd, eventfd_t value)
{
	sim_kafka.signalled[fd - KAFKA_FD] += value;
	return 0;
}

int
eventfd_read(int fd, eventfd_t *value)
{
	*value = sim_kafka.signalled[fd - KAFKA_FD];
	sim_kafka.signalled[fd - KAFKA_FD] = 0;
	return *value > 0 ? 0 : -1;
}
