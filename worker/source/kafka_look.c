#include "worker/source/kafka.h"

#include "common/clock.h"
#include "common/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_KNOWN_MS = 2000 }; /* what was asked of a topic holds for so long */

struct kafka_topic {
	struct kafka_topic *next;
	char name[TOPIC_NAME_MAX + 1];
	char identity[64]; /* "CLUSTER TOPIC-ID"; the cluster alone where topics have no ids */
	unsigned partitions;
	int64_t asked_ms;
};

void
kafka_topics_free(struct kafka *k)
{
	struct kafka_topic *topic;

	while ((topic = k->topics) != NULL) {
		k->topics = topic->next;
		free(topic);
	}
}

void
kafka_topics_forget_all(struct kafka *k)
{
	for (struct kafka_topic *topic = k->topics; topic != NULL; topic = topic->next)
		topic->asked_ms = 0;
}

/* ---- topics ---- */

static struct kafka_topic *
topic_named(struct kafka *k, const char *name)
{
	struct kafka_topic *topic;

	for (topic = k->topics; topic != NULL; topic = topic->next)
		if (strcmp(topic->name, name) == 0)
			return topic;
	topic = calloc(1, sizeof(*topic));
	CHECK(topic != NULL);
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	topic->next = k->topics;
	k->topics = topic;
	return topic;
}

/* Its id, by the admin's question that has it; a broker without ids, or without the question, has none. */
static void
add_topic_id(struct kafka *k, struct kafka_topic *topic)
{
	const char *names[] = { topic->name };
	rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(names, 1);
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(k->client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(k->client);
	const rd_kafka_DescribeTopics_result_t *result;
	const rd_kafka_TopicDescription_t **list;
	rd_kafka_event_t *event;
	size_t count = 0, len = strlen(topic->identity);
	char why[128];

	rd_kafka_AdminOptions_set_request_timeout(options, k->config->kafka.timeout_ms, why,
	    sizeof(why));
	rd_kafka_DescribeTopics(k->client, topics, options, queue);
	event = rd_kafka_queue_poll(queue, k->config->kafka.timeout_ms + 1000);
	result = event != NULL ? rd_kafka_event_DescribeTopics_result(event) : NULL;
	list = result != NULL ? rd_kafka_DescribeTopics_result_topics(result, &count) : NULL;
	if (count == 1 && rd_kafka_TopicDescription_error(list[0]) == NULL) {
		const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(list[0]);

		if (id != NULL &&
		    (rd_kafka_Uuid_most_significant_bits(id) != 0 ||
			rd_kafka_Uuid_least_significant_bits(id) != 0))
			snprintf(topic->identity + len, sizeof(topic->identity) - len, " %s",
			    rd_kafka_Uuid_base64str(id));
	}
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_TopicCollection_destroy(topics);
}

static int
count_partitions(struct kafka *k, struct kafka_topic *topic, struct err *err)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(k->client, topic->name, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code;

	CHECK(handle != NULL);
	code = rd_kafka_metadata(k->client, 0, handle, &metadata, k->config->kafka.timeout_ms);
	rd_kafka_topic_destroy(handle);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_error(err, code, topic->name);
	if (metadata->topic_cnt == 1) {
		code = metadata->topics[0].err;
		topic->partitions = (unsigned)metadata->topics[0].partition_cnt;
	}
	rd_kafka_metadata_destroy(metadata);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : kafka_error(err, code, topic->name);
}

static struct kafka_topic *
know_topic(struct kafka *k, const char *name, struct err *err)
{
	struct kafka_topic *topic = topic_named(k, name);
	char *cluster;

	if (topic->asked_ms != 0 && clock_ms() - topic->asked_ms < TOPIC_KNOWN_MS)
		return topic;
	topic->asked_ms = 0;
	if (count_partitions(k, topic, err) != 0)
		return NULL;
	cluster = rd_kafka_clusterid(k->client, k->config->kafka.timeout_ms);
	snprintf(topic->identity, sizeof(topic->identity), "%.36s", cluster != NULL ? cluster : "");
	if (cluster != NULL)
		rd_kafka_mem_free(k->client, cluster);
	add_topic_id(k, topic);
	topic->asked_ms = clock_ms();
	return topic;
}

unsigned
kafka_siblings(struct source *source, struct lane *lane)
{
	struct kafka *k = kafka_of(source);
	struct err err = { 0 };
	struct kafka_topic *topic =
	    k->client != NULL && k->open ? know_topic(k, lane->stream, &err) : NULL;

	if (topic != NULL && lane->state == LANE_OPEN && lane->identity[0] != '\0' &&
	    strcmp(topic->identity, lane->identity) != 0)
		lane->look_again = true;
	return topic != NULL ? topic->partitions : 0;
}

/* ---- a partition ---- */

struct facts {
	int64_t first, end; /* of the log: the first offset, and the one behind the last */
	bool committed;	    /* the group has an offset */
	int64_t offset;	    /* that one */
	bool ours;	    /* it names a `done` */
	struct checkpoint told;
};

static int
read_facts(struct kafka *k, const struct lane *lane, struct facts *facts, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t code;
	rd_kafka_topic_partition_t *one;

	rd_kafka_topic_partition_list_add(list, lane->stream, lane->partition);
	one = &list->elems[0];
	code = rd_kafka_query_watermark_offsets(k->client, lane->stream, lane->partition,
	    &facts->first, &facts->end, k->config->kafka.timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = rd_kafka_committed(k->client, list, k->config->kafka.timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = one->err;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && one->offset >= 0) {
		facts->committed = true;
		facts->offset = one->offset;
		facts->ours = kafka_board_read(one, &facts->told);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : kafka_error(err, code, lane->name);
}

static int
decide_start(const struct lane *lane, const struct facts *facts, struct source_look *look,
    struct err *err)
{
	const char *start = lane->source->start;
	int64_t offset;

	look->result = LOOK_FRESH;
	/* what a topic got when it grew has no past that nobody asked for */
	if (strcmp(start, "beginning") == 0 || lane->came_later)
		offset = facts->first;
	else if (strcmp(start, "end") == 0)
		offset = facts->end;
	else if (!number_i64(str_of(start), &offset) || offset < 0)
		return err_set(err, ERR_FATAL, 0, "start: %s is not an offset", start);
	look->start = position_of_offset(offset - 1);
	return 0;
}

/* Another cluster, or a topic of the same name that isn't the same?  What isn't known proves nothing. */
static bool
is_another(const struct lane *lane, const char *before, struct source_look *look)
{
	const char *old_id = strchr(before, ' '), *new_id = strchr(look->identity, ' ');
	size_t old_len = old_id != NULL ? (size_t)(old_id - before) : strlen(before);
	size_t new_len =
	    new_id != NULL ? (size_t)(new_id - look->identity) : strlen(look->identity);
	bool cluster = old_len > 0 && new_len > 0 &&
	    (old_len != new_len || memcmp(before, look->identity, old_len) != 0);
	bool topic = old_id != NULL && new_id != NULL && strcmp(old_id, new_id) != 0;

	if (!cluster && !topic)
		return false;
	look->result = LOOK_IDENTITY;
	snprintf(look->text, sizeof(look->text),
	    "topic %s partition %d: %s: it was read as %s and is %s; `sluice lane resume NAME "
	    "--start "
	    "OFFSET` reads on behind that offset (0-0: from the beginning)",
	    lane->stream, lane->partition,
	    cluster ? "another cluster answers" : "the topic was deleted and made anew", before,
	    look->identity);
	return true;
}

/* What comes behind a place; where we were told that the log ended there, what is between holds no
 * records. */
static int64_t
next_behind(struct position place, const struct facts *facts)
{
	int64_t next = position_next_offset(place);

	return facts->ours && facts->offset > next && position_compare(facts->told.id, place) == 0 ?
	    facts->offset :
	    next;
}

/* What is written is safe; where nothing is written, what is answered. */
static void
look_for_gap(struct kafka_lane *kl, const struct ledger_row *row, const struct facts *facts,
    struct source_look *look)
{
	int64_t written = next_behind(row->position, facts);
	int64_t next = kl->lane->source->write ? written : next_behind(kl->lane->answered, facts);

	look->nothing_left = facts->first >= written &&
	    (position_next_offset(row->done) < written ||
		position_compare(kl->lane->answered, row->position) < 0);
	if (facts->first <= next)
		return;
	look->result = LOOK_GAP;
	snprintf(look->text, sizeof(look->text),
	    "topic %s partition %d: the log begins at offset %lld, so %lld offsets from %lld to "
	    "%lld "
	    "were lost before they were read",
	    kl->lane->stream, kl->lane->partition, (long long)facts->first,
	    (long long)(facts->first - next), (long long)next, (long long)(facts->first - 1));
}

static bool
look_for_rollback(struct kafka_lane *kl, const struct ledger_row *row, const struct facts *facts,
    struct source_look *look)
{
	char at[POSITION_TEXT], gone[120];
	long long next = position_next_offset(row->position);

	snprintf(gone, sizeof(gone), "records from offset %lld to %lld are gone",
	    (long long)facts->end, next - 1);
	if (facts->end >= next)
		snprintf(gone, sizeof(gone), "some of its last records were replaced");
	if (facts->end >= position_next_offset(row->position) && !kl->truncated)
		return false;
	look->result = LOOK_ROLLBACK;
	snprintf(look->text, sizeof(look->text),
	    "topic %s partition %d: the log ends at offset %lld, and %s is at %s: %s, so new ones "
	    "get offsets that were read already; `sluice lane resume NAME --start OFFSET` reads on "
	    "behind that offset",
	    kl->lane->stream, kl->lane->partition, (long long)facts->end - 1,
	    kl->lane->source->write ? "the ledger" : "the lane", position_text(row->position, at),
	    gone);
	return true;
}

static bool
look_for_lost_commits(const struct lane *lane, const struct ledger_row *row,
    const struct facts *facts, struct source_look *look)
{
	bool known = lane->lost_to.major != 0 || lane->lost_to.minor != 0;
	bool told = facts->ours && position_compare(facts->told.id, row->position) > 0;
	struct position to = facts->told.id;
	char from_text[POSITION_TEXT], to_text[POSITION_TEXT];

	if (!known && !told)
		return false;
	if (!told || (known && position_compare(lane->lost_to, to) > 0))
		to = lane->lost_to;
	look->result = LOOK_STORE_ROLLBACK;
	look->loses = facts->first > position_next_offset(row->done);
	snprintf(look->text, sizeof(look->text),
	    "MySQL lost commits of topic %s partition %d: the ledger is at %s, and it was at %s; "
	    "%s",
	    lane->stream, lane->partition, position_text(row->position, from_text),
	    position_text(to, to_text),
	    look->loses ? "the log doesn't hold all of them any more" :
			  "the log holds them, and they are applied again");
	return true;
}

/* The group's offset is how far a lane that doesn't write is; what it points past or before is read anew. */
static int
start_invalidating(struct kafka_lane *kl, const struct facts *facts, struct source_look *look,
    struct err *err)
{
	if (!facts->committed || facts->offset > facts->end)
		return decide_start(kl->lane, facts, look, err);
	look->result = LOOK_FRESH;
	look->start = position_of_offset(facts->offset - 1);
	kl->witness = facts->ours ? facts->told : (struct checkpoint){ .hash = 0 };
	kl->unproved = kl->witness.hash != 0;
	kl->told = facts->ours ? facts->offset : -1;	     /* so it stays as it is */
	kl->lane->look_again = facts->first > facts->offset; /* then with a row: it is a gap */
	return 0;
}

int
kafka_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err)
{
	struct kafka *k = kafka_of(source);
	struct kafka_topic *topic;
	struct kafka_lane *kl;
	struct facts facts = { 0 };

	look->result = LOOK_OK;
	if (k->client == NULL || !k->open)
		return err_set(err, ERR_RETRY, 0, "kafka: not connected");
	if (read_facts(k, lane, &facts, err) != 0)
		return -1;
	/* a log that doesn't fit may be another topic's */
	if (facts.first > position_next_offset(row->done) ||
	    facts.end < position_next_offset(row->position))
		topic_named(k, lane->stream)->asked_ms = 0;
	topic = know_topic(k, lane->stream, err);
	if (topic == NULL)
		return -1;
	kl = kafka_lane_add(k, lane);
	kl->first = facts.first;
	snprintf(look->identity, sizeof(look->identity), "%s", topic->identity);
	if (!row->found) {
		if (!lane->source->write)
			return start_invalidating(kl, &facts, look, err);
		if (!facts.committed)
			return decide_start(lane, &facts, look, err);
		look->result = LOOK_LEDGER_LOST;
		snprintf(look->text, sizeof(look->text),
		    "topic %s partition %d: the ledger has no row, and our group has committed "
		    "offset %lld",
		    lane->stream, lane->partition, (long long)facts.offset);
		return 0;
	}
	kl->elsewhere =
	    is_another(lane, row->identity, look) || look_for_rollback(kl, row, &facts, look);
	if (kl->elsewhere)
		return 0;
	kl->unproved |= lane->source->write;
	look_for_gap(kl, row, &facts, look);
	if (lane->source->write && look_for_lost_commits(lane, row, &facts, look))
		kl->told = -1;
	kl->lost = false;
	return 0;
}

/* By order: what is there now is right, and what was seen of the other is no news any more. */
int
kafka_claim(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	struct kafka *k = kafka_of(source);
	struct kafka_topic *topic = k->open ? know_topic(k, lane->stream, err) : NULL;

	(void)identity;
	if (topic == NULL)
		return -1;
	snprintf(lane->identity, sizeof(lane->identity), "%s", topic->identity);
	if (kafka_lane_of(lane) != NULL) {
		kafka_lane_of(lane)->settled = true;
		kafka_lane_of(lane)->first = 0; /* of what was there when it was looked at */
	}
	return 0;
}

int
kafka_settle(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	(void)source, (void)identity, (void)err;
	if (kafka_lane_of(lane) != NULL)
		kafka_lane_of(lane)->settled = true;
	return 0;
}

/* Asked of streams, by name; partitions show their lag otherwise. */
int
kafka_newest(struct source *source, const char *stream, struct position *last, struct err *err)
{
	(void)source, (void)stream, (void)err;
	*last = (struct position){ 0, 0 };
	return 1;
}

/*
 * Asked whether a record is left behind `after` up to `to`, a place by order where none need be: none
 * when the log was read to its end beyond it.  The page of it is empty; it is never asked for what it
 * holds, since a partition is never in question.
 */
int
kafka_range(struct source *source, struct lane *lane, struct position after, struct position to,
    struct delivery **page, struct err *err)
{
	struct kafka_lane *kl = kafka_lane_of(lane);
	struct delivery *empty;

	(void)source, (void)err;
	*page = NULL;
	if (kl == NULL ||
	    (kl->flows && kl->end > (int64_t)to.major && position_compare(kl->at, after) == 0))
		return 0;
	empty = calloc(1, sizeof(*empty));
	CHECK(empty != NULL);
	arena_init(&empty->arena, 4096);
	*page = empty;
	return 0;
}
