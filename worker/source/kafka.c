#include "worker/source/kafka.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/source/kafka_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	SERVE_MS = 500, /* what isn't polled for so long stands still, so that it can be polled */
	SOON_MS = 500,
	CLOSE_MS = 3000
};

struct kafka_news {
	struct kafka_news *next;
	rd_kafka_topic_partition_list_t *list;
	bool revoked, lost, stale; /* stale: of a client that is no more */
};

struct kafka *
kafka_of(const struct source *source)
{
	union {
		const struct source *in;
		struct kafka *out;
	} pointer = { .in = source };

	return pointer.out;
}

struct kafka_lane *
kafka_lane_of(const struct lane *lane)
{
	return lane->source_state;
}

struct kafka_lane *
kafka_lane_add(struct kafka *k, struct lane *lane)
{
	struct kafka_lane *kl = lane->source_state;

	if (kl != NULL)
		return kl;
	CHECK(k->lane_count < WORKER_LANES_MAX);
	kl = calloc(1, sizeof(*kl));
	CHECK(kl != NULL);
	kl->lane = lane;
	kl->end = kl->told = -1;
	lane->source_state = kl;
	k->lanes[k->lane_count++] = kl;
	return kl;
}

int
kafka_error(struct err *err, rd_kafka_resp_err_t code, const char *what)
{
	return err_set(err, ERR_RETRY, (int)code, "kafka: %s: %s", what, rd_kafka_err2str(code));
}

void
kafka_complain(struct kafka *k, const char *event, const char *topic, int partition,
    const char *text)
{
	log_event(LOG_WARN, event, "worker", "%d", k->worker, "error", "%s", text,
	    topic != NULL ? "topic" : NULL, "%s", topic, partition >= 0 ? "partition" : NULL, "%d",
	    partition, NULL);
}

/* ---- what librdkafka tells; all but the log in our thread, while we poll ---- */

static void
on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client;
	log_event(level <= 3 ? LOG_WARN : LOG_INFO, "kafka_says", "what", "%s", facility, "text",
	    "%s", text, NULL);
}

static void
on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
	struct kafka *k = opaque;

	(void)client;
	/* why a broker is away says more than that all of them are */
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || k->why[0] == '\0')
		snprintf(k->why, sizeof(k->why), "%s", reason);
	if (code == RD_KAFKA_RESP_ERR__FATAL)
		k->fatal = true;
	else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		k->unreached = true;
}

/*
 * The answer is given when the worker has let go of the lanes, or has taken note of them.
 *
 * Partitions begin at a number, paused, and are sought before they flow.  Where they begin must not be a
 * name (END, or the group's committed offset): librdkafka asks for what that is, and an answer that a
 * pause or a seek has overtaken makes it ask again half a second later and go there, over what the seek
 * said (rd_kafka_toppar_handle_Offset, 2.8).
 */
static void
answer(struct kafka *k, bool revoked, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_error_t *error;

	if (revoked) {
		error = rd_kafka_incremental_unassign(k->client, list);
	} else {
		for (int i = 0; i < list->cnt; i++)
			list->elems[i].offset = 0;
		error = rd_kafka_incremental_assign(k->client, list);
		if (error == NULL)
			rd_kafka_pause_partitions(k->client, list);
	}
	if (error == NULL)
		return;
	kafka_complain(k, revoked ? "unassign_failed" : "assign_failed", NULL, -1,
	    rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
}

static void
on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
    void *opaque)
{
	struct kafka *k = opaque;
	bool assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
	struct kafka_news *news;

	k->refused = k->refused && !assigned;
	if (k->closing) {
		answer(k, !assigned, list);
		return;
	}
	news = calloc(1, sizeof(*news));
	CHECK(news != NULL);
	news->list = rd_kafka_topic_partition_list_copy(list);
	news->revoked = !assigned;
	news->lost = !assigned && rd_kafka_assignment_lost(client);
	*k->news_tail = news;
	k->news_tail = &news->next;
}

/* ---- the group's news ---- */

static bool
source_news(struct source *source, struct group_news *out)
{
	struct kafka *k = kafka_of(source);
	const struct kafka_news *news = k->news;
	size_t count;

	if (news == NULL)
		return false;
	count = (size_t)news->list->cnt;
	free(k->listed);
	k->listed = calloc(count + 1, sizeof(*k->listed));
	CHECK(k->listed != NULL);
	for (size_t i = 0; i < count; i++)
		k->listed[i] = (struct group_partition){ news->list->elems[i].topic,
			news->list->elems[i].partition };
	*out = (struct group_news){
		.revoked = news->revoked, .lost = news->lost, .list = k->listed, .count = count
	};
	return true;
}

static void
drop_news(struct kafka *k)
{
	struct kafka_news *news = k->news;

	k->news = news->next;
	if (k->news == NULL)
		k->news_tail = &k->news;
	rd_kafka_topic_partition_list_destroy(news->list);
	free(news);
}

/*
 * What flows is sought anew.  For the time of a rebalance the client pauses all partitions by itself, and
 * would go on behind what it believes to have handed out: where many messages are consumed in a call, it
 * counts an end of partition for a record, too, and the next record would be skipped.
 */
static void
source_obeyed(struct source *source)
{
	struct kafka *k = kafka_of(source);

	if (k->client != NULL)
		kafka_pause_all(k);
	kafka_board_write(k);
	if (!k->news->revoked)
		kafka_topics_forget_all(k);
	if (k->client != NULL && !k->news->stale)
		answer(k, k->news->revoked, k->news->list);
	drop_news(k);
}

static void
source_serve(struct source *source)
{
	struct kafka *k = kafka_of(source);
	bool flows = false;

	if (k->client == NULL)
		return;
	kafka_board_write(k);
	for (size_t i = 0; i < k->lane_count; i++)
		flows |= k->lanes[i]->flows;
	if (!flows || clock_ms() - k->polled_ms >= SERVE_MS)
		kafka_stand_still(k);
}

/* ---- the consumer ---- */

static int
subscribe(struct kafka *k, struct err *err)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(8);
	rd_kafka_resp_err_t code;

	for (size_t i = 0; i < k->config->source_count; i++) {
		const struct config_source *source = &k->config->sources[i];

		for (size_t j = 0; j < source->topic_count && source->write == k->writes; j++)
			rd_kafka_topic_partition_list_add(topics, source->topics[j],
			    RD_KAFKA_PARTITION_UA);
	}
	code = rd_kafka_subscribe(k->client, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : kafka_error(err, code, "subscribe");
}

/* Without a goodbye: the group finds out by itself. */
static void
abandon(struct kafka *k)
{
	if (k->client == NULL)
		return;
	k->closing = true;
	kafka_read_free(k);
	if (k->board != NULL)
		rd_kafka_topic_partition_list_destroy(k->board);
	k->board = NULL;
	rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(k->queue);
	rd_kafka_destroy_flags(k->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	for (size_t i = 0; i < k->lane_count; i++) {
		k->lanes[i]->flows = k->lanes[i]->settled = false;
		k->lanes[i]->topic = NULL;
	}
	k->client = NULL;
	k->queue = NULL;
	k->closing = k->requested = k->open = false;
}

static int
start_client(struct kafka *k, struct err *err)
{
	rd_kafka_conf_t *conf = kafka_conf(k->config, k->worker, err);
	static const uint64_t one = 1;
	char why[512];

	if (conf == NULL)
		return -1;
	rd_kafka_conf_set_opaque(conf, k);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_offset_commit_cb(conf, kafka_board_answer);
	k->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (k->client == NULL) {
		rd_kafka_conf_destroy(conf);
		return err_set(err, ERR_FATAL, 0, "kafka: %s", why);
	}
	k->fatal = k->unreached = k->refused = false;
	rd_kafka_poll_set_consumer(k->client);
	k->queue = rd_kafka_queue_get_consumer(k->client);
	rd_kafka_queue_io_event_enable(k->queue, k->event, &one, sizeof(one));
	if (subscribe(k, err) == 0)
		return 0;
	abandon(k);
	return -1;
}

/* Does some broker answer?  Asked with twice the time again and again, to hear in between that all of them are
 * known not to: then, as behind a refused password, the rest is not waited for. */
static int
reach(struct kafka *k, struct err *err)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	int left_ms = k->config->kafka.timeout_ms;

	k->unreached = false;
	for (int wait_ms = SOON_MS; left_ms > 0 && !k->unreached && !k->fatal; wait_ms *= 2) {
		wait_ms = wait_ms < left_ms ? wait_ms : left_ms;
		left_ms -= wait_ms;
		code = rd_kafka_metadata(k->client, 0, NULL, &metadata, wait_ms);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
			rd_kafka_metadata_destroy(metadata);
			return 0;
		}
		kafka_stand_still(k); /* it hears why */
	}
	return err_set(err, ERR_RETRY, (int)code, "kafka: %s%s%s", rd_kafka_err2str(code),
	    k->why[0] != '\0' ? ": " : "", k->why);
}

/* What the client said dies with it; not what an earlier one lost, which is yet to be obeyed. */
static void
drop_its_news(struct kafka *k)
{
	struct kafka_news *kept = NULL, **tail = &kept;

	while (k->news != NULL) {
		struct kafka_news *news = k->news;

		if (!news->stale) {
			drop_news(k);
			continue;
		}
		k->news = news->next;
		news->next = NULL;
		*tail = news;
		tail = &news->next;
	}
	k->news = kept;
	k->news_tail = kept != NULL ? tail : &k->news;
}

/* A client beyond repair lost its lanes with it: that is news like any other. */
static void
lose_all(struct kafka *k)
{
	struct kafka_news *news = calloc(1, sizeof(*news));

	CHECK(news != NULL);
	drop_its_news(k);
	news->revoked = news->lost = news->stale = true;
	if (rd_kafka_assignment(k->client, &news->list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		news->list = rd_kafka_topic_partition_list_new(1);
	*k->news_tail = news;
	k->news_tail = &news->next;
}

static int
source_open(struct source *source, struct err *err)
{
	struct kafka *k = kafka_of(source);

	if (k->client != NULL && k->fatal) {
		lose_all(k);
		abandon(k);
	}
	if (k->client == NULL && start_client(k, err) != 0)
		return -1;
	if (reach(k, err) != 0)
		return -1;
	if (k->refused)
		return err_set(err, ERR_RETRY, 0, "kafka: %s", k->why);
	k->unreached = false;
	k->why[0] = '\0';
	k->open = true;
	return 0;
}

static bool
source_is_open(const struct source *source)
{
	return kafka_of(source)->open;
}

static void
source_close(struct source *source)
{
	struct kafka *k = kafka_of(source);

	k->open = k->requested = false;
}

static bool
source_requested(const struct source *source)
{
	return kafka_of(source)->requested;
}

/* Where nothing flows only the group speaks, and that is always heard. */
static int
source_fd(const struct source *source)
{
	const struct kafka *k = kafka_of(source);
	bool flows = false;

	for (size_t i = 0; i < k->lane_count; i++)
		flows |= k->lanes[i]->flows;
	return k->requested || !flows ? k->event : -1;
}

static void
source_close_lane(struct source *source, struct lane *lane)
{
	struct kafka *k = kafka_of(source);
	struct kafka_lane *kl = lane->source_state;

	if (kl == NULL)
		return;
	if (k->client != NULL && kl->flows)
		kafka_pause(k, kl);
	for (size_t i = 0; i < k->lane_count; i++)
		if (k->lanes[i] == kl)
			k->lanes[i] = k->lanes[--k->lane_count];
	k->recent = 0;
	free(kl);
	lane->source_state = NULL;
}

static void
source_new_identity(struct source *source, struct lane *lane, char identity[64])
{
	(void)source, (void)lane;
	identity[0] = '\0';
}

/* No record can be given an offset of ours to choose. */
static int
source_lift(struct source *source, struct lane *lane, bool *cannot, struct err *err)
{
	(void)source, (void)lane, (void)err;
	*cannot = true;
	return 0;
}

/* What a consumer is given, the replicas in sync have. */
static int
source_confirm(struct source *source, struct lane *lane, int replicas, struct err *err)
{
	(void)source, (void)lane, (void)replicas, (void)err;
	return 0;
}

static void
source_leave(struct source *source, struct lane **lanes, size_t count)
{
	struct kafka *k = kafka_of(source);

	if (k->client == NULL || !k->open)
		return;
	for (size_t i = 0; i < count; i++) {
		struct source_look look = { 0 };
		struct err err = { 0 };

		if (lanes[i]->state != LANE_FREE)
			kafka_release(source, lanes[i], &look, &err);
	}
	kafka_board_write(k);
	kafka_read_free(k);
	k->closing = true;
	while (k->news != NULL)
		source_obeyed(source);
	rd_kafka_consumer_close(k->client);
	k->open = k->requested = false;
}

static void
source_free(struct source **source)
{
	struct kafka *k;

	if (*source == NULL)
		return;
	k = kafka_of(*source);
	while (k->news != NULL)
		drop_news(k);
	abandon(k);
	kafka_read_free(k);
	kafka_topics_free(k);
	free(k->listed);
	close(k->event);
	free(k);
	*source = NULL;
}

static const struct source_ops ops = {
	.open = source_open,
	.is_open = source_is_open,
	.close = source_close,
	.look = kafka_look,
	.settle = kafka_settle,
	.claim = kafka_claim,
	.new_identity = source_new_identity,
	.request = kafka_request,
	.requested = source_requested,
	.receive = kafka_receive,
	.fd = source_fd,
	.recycle = kafka_recycle,
	.release = kafka_release,
	.range = kafka_range,
	.lift = source_lift,
	.confirm = source_confirm,
	.newest = kafka_newest,
	.close_lane = source_close_lane,
	.serve = source_serve,
	.news = source_news,
	.obeyed = source_obeyed,
	.siblings = kafka_siblings,
	.leave = source_leave,
	.free = source_free,
};

struct source *
kafka_new(const struct config *config, int worker, bool writes)
{
	struct kafka *k = calloc(1, sizeof(*k));

	CHECK(k != NULL);
	k->source.ops = &ops;
	k->config = config;
	k->pool.spare_max = (size_t)(config->memory_bytes / 8 / config_worker_count(config));
	k->worker = worker;
	k->writes = writes;
	k->news_tail = &k->news;
	k->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(k->event >= 0);
	kafka_bound_heap(config);
	return &k->source;
}
