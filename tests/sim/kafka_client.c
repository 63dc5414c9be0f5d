#include "tests/sim/kafka.h"

#include "common/err.h"

#include <stdio.h>

/*
 * A consumer of the fake librdkafka.  What blocks lets others take their turns, and may fail; what is
 * polled comes in any order that librdkafka allows.
 */

/* ---- what can be fetched ---- */

static int64_t
place_of(unsigned l, int64_t offset)
{
	const struct kafka_log *log = &sim_kafka.logs[l];

	if (offset == RD_KAFKA_OFFSET_END)
		return log->end;
	if (offset < 0)
		return log->committed ? log->offset : log->start;
	return offset;
}

static void
hear_places(rd_kafka_t *c)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		struct kafka_assigned *a = &c->at[l];

		if (a->asks_again_us == 0 || world.now_us < a->asks_again_us)
			continue;
		a->position = place_of(l, a->asked);
		a->asks_again_us = 0;
		trace("p%d is told once more that %u begins at %lld", c->process->index, l,
		    (long long)a->position);
	}
}

static bool
is_given_up_late(const struct kafka_assigned *a)
{
	return a->there && !a->given_up && a->gives_up_us != 0 && world.now_us >= a->gives_up_us;
}

static bool
is_outside(const struct kafka_assigned *a, const struct kafka_log *log)
{
	return a->position < log->start || a->position > log->end ||
	    (a->leader >= 0 && (unsigned)a->leader != log->leader && a->position > log->cut);
}

static bool
has_news(const rd_kafka_t *c, unsigned l)
{
	const struct kafka_assigned *a = &c->at[l];
	const struct kafka_log *log = &sim_kafka.logs[l];

	if (!a->there || a->paused || c->asked || a->given_up || world.now_us < a->ready_us ||
	    is_down(world.source_down_us))
		return false;
	return is_outside(a, log) || log_next(l, a->position) != NULL || a->told_end != log->end;
}

struct rd_kafka_s *
kafka_client_of(const struct process *p)
{
	return kafka_of(p->worker.source)->client;
}

void
kafka_client_waits(const struct process *p, int64_t us)
{
	struct rd_kafka_s *c = p->worker.source != NULL ? kafka_client_of(p) : NULL;

	if (c == NULL || !c->subscribed)
		return;
	c->silent_us += us;
	if (c->silent_us > KAFKA_SILENT_US)
		sim_fail("p%d does not poll, and would lose its membership", p->index);
}

static bool
is_to_be_told(const rd_kafka_t *c)
{
	return (c->commit_count > 0 && c->commits[0].answered) ||
	    ((c->told || c->kicked) && !c->asked) || c->breaks ||
	    (is_down(world.source_down_us) && !c->down_told);
}

bool
kafka_client_is_ready(const struct process *p)
{
	const struct rd_kafka_s *c = kafka_client_of(p);

	if (sim_kafka.signalled[p->index] > 0)
		return true;
	if (c == NULL)
		return false;
	for (unsigned l = 0; l < world.lanes; l++)
		if (has_news(c, l) || is_given_up_late(&c->at[l]))
			return true;
	return is_to_be_told(c);
}

/* Of a place that isn't in the log nothing more comes: the client gives the partition up. */
static rd_kafka_message_t *
fetch_outside(struct kafka_assigned *a, unsigned l)
{
	const struct kafka_log *log = &sim_kafka.logs[l];
	bool truncated = a->leader >= 0 && (unsigned)a->leader != log->leader &&
	    a->position > log->cut && (a->position <= log->end || below(2) == 0);

	a->given_up = true;
	trace("partition %u: nothing is at %lld%s", l, (long long)a->position,
	    truncated ? ", the log was truncated" : "");
	return kafka_message_new(l, a->position, NULL,
	    truncated ? RD_KAFKA_RESP_ERR__LOG_TRUNCATION : RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
}

static rd_kafka_message_t *
fetch_from(struct kafka_assigned *a, unsigned l)
{
	const struct kafka_log *log = &sim_kafka.logs[l];
	const struct stream_entry *e = log_next(l, a->position);

	if (is_outside(a, log))
		return fetch_outside(a, l);
	if (chance(sim_kafka.odds.read)) {
		a->ready_us = world.now_us + below(500000);
		return kafka_message_new(l, RD_KAFKA_OFFSET_INVALID, NULL,
		    RD_KAFKA_RESP_ERR__TRANSPORT);
	}
	a->leader = (int)log->leader;
	if (e == NULL) {
		a->position = a->told_end = log->end;
		return kafka_message_new(l, log->end, NULL, RD_KAFKA_RESP_ERR__PARTITION_EOF);
	}
	a->position = position_next_offset(e->id);
	a->told_end = -1;
	trace("p%d fetches %lld of partition %u", process_running()->index, (long long)e->id.major,
	    l);
	if (below(8) == 0)
		a->ready_us = world.now_us + below(20000);
	return kafka_message_new(l, (int64_t)e->id.major, e, RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* ---- what is told while it is polled ---- */

/* A pause, also of the client itself: it goes on behind what it believes to have handed out. */
static void
stand_at_handed_out(struct kafka_assigned *a)
{
	if (a->handed_out != RD_KAFKA_OFFSET_INVALID)
		a->position = a->handed_out;
}

static void
hear_group(rd_kafka_t *c, unsigned mask, bool revoked, bool lost)
{
	rd_kafka_topic_partition_list_t *list = kafka_list_of(mask);

	for (unsigned l = 0; l < world.lanes; l++)
		stand_at_handed_out(&c->at[l]);
	c->told = false;
	c->asked = true;
	c->mask = mask;
	c->revoked = revoked;
	c->lost = lost;
	trace("p%d is told by the group: %s%s %x", c->process->index,
	    revoked ? "revoked" : "assigned", lost ? " and lost" : "", mask);
	c->rebalance_cb(c,
	    revoked ? RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS : RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS,
	    list, c->opaque);
	rd_kafka_topic_partition_list_destroy(list);
}

static unsigned
assigned_mask(const rd_kafka_t *c)
{
	unsigned mask = 0;

	for (unsigned l = 0; l < world.lanes; l++)
		mask |= c->at[l].there ? 1U << l : 0;
	return mask;
}

/* It was out of the group, and finds out now. */
static void
hear_kick(rd_kafka_t *c)
{
	unsigned mask = assigned_mask(c);

	c->kicked = c->told = false;
	c->joins_us = world.now_us + below(500000);
	if (mask != 0)
		hear_group(c, mask, true, true);
}

static void
hear_answers(rd_kafka_t *c)
{
	while (c->commit_count > 0 && c->commits[0].answered) {
		struct kafka_commit commit = c->commits[0];
		rd_kafka_topic_partition_list_t *list = kafka_list_of(commit.mask);

		memmove(c->commits, c->commits + 1, --c->commit_count * sizeof(c->commits[0]));
		c->commit_cb(c, commit.answer, list, c->opaque);
		rd_kafka_topic_partition_list_destroy(list);
	}
}

static void
hear(rd_kafka_t *c)
{
	if (c->kicked && !c->asked)
		hear_kick(c);
	if (c->told && !c->asked)
		hear_group(c, c->mask, c->revoked, false);
	hear_answers(c);
	if (is_down(world.source_down_us) && !c->down_told)
		c->error_cb(c, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "all are down", c->opaque);
	c->down_told = is_down(world.source_down_us);
}

/* Nobody crashes here: what the caller has taken in hand would be lost with it. */
static rd_kafka_message_t *
poll_one(rd_kafka_t *c)
{
	unsigned first = below(world.lanes);

	c->polled_us = world.now_us;
	c->silent_us = 0;
	hear(c);
	if (c->breaks)
		return kafka_word_new(&c->breaks, RD_KAFKA_RESP_ERR__FATAL);
	hear_places(c);
	for (unsigned i = 0; i < world.lanes; i++) {
		unsigned l = (first + i) % world.lanes;

		if (is_given_up_late(&c->at[l])) {
			c->at[l].given_up = true;
			trace("p%d gives up %u, where it began", c->process->index, l);
			return kafka_message_new(l, c->at[l].asked, NULL,
			    RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET);
		}
		if (has_news(c, l))
			return fetch_from(&c->at[l], l);
	}
	return NULL;
}

rd_kafka_message_t *
rd_kafka_consumer_poll(rd_kafka_t *c, int timeout_ms)
{
	rd_kafka_message_t *m = poll_one(c);

	CHECK(timeout_ms == 0);
	if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		c->at[m->partition].handed_out = m->offset + 1;
	return m;
}

/* Those that a rebalance has overtaken: they come again. */
static size_t
drop_overtaken(rd_kafka_message_t **messages, size_t count)
{
	while (count > 0)
		rd_kafka_message_destroy(messages[--count]);
	return 0;
}

/*
 * Callbacks come between its messages, and it may end before there are no more.  What is said of a
 * partition counts as handed out like a record of its offset (rd_kafka_q_serve_rkmessages, 2.8).
 */
ssize_t
rd_kafka_consume_batch_queue(rd_kafka_queue_t *queue, int timeout_ms, rd_kafka_message_t **messages,
    size_t size)
{
	rd_kafka_t *c = (rd_kafka_t *)queue;
	size_t count = 0;

	CHECK(timeout_ms == 0);
	while (count < size && (count == 0 || below(16) != 0)) {
		bool asked = c->asked;
		rd_kafka_message_t *m = poll_one(c);

		if (c->asked && !asked && below(2) == 0)
			count = drop_overtaken(messages, count);
		if (m == NULL)
			break;
		messages[count++] = m;
		if (m->rkt == NULL)
			break;
	}
	for (size_t i = 0; i < count && messages[i]->rkt != NULL; i++) {
		int64_t *handed_out = &c->at[messages[i]->partition].handed_out;

		if (*handed_out < messages[i]->offset + 1)
			*handed_out = messages[i]->offset + 1;
	}
	return (ssize_t)count;
}

/* ---- the assignment ---- */

rd_kafka_error_t *
rd_kafka_incremental_assign(rd_kafka_t *c, const rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++) {
		unsigned l = (unsigned)list->elems[i].partition;

		c->at[l] = (struct kafka_assigned){ .there = true,
			.position = place_of(l, list->elems[i].offset),
			.handed_out = RD_KAFKA_OFFSET_INVALID,
			.leader = -1,
			.told_end = -1,
			.ready_us = world.now_us + below(5000),
			.asked = list->elems[i].offset,
			.asked_us = list->elems[i].offset < 0 ? world.now_us + below(50000) : 0 };
		if (is_outside(&c->at[l], &sim_kafka.logs[l]) && below(2) == 0)
			c->at[l].gives_up_us = world.now_us + 1 + below(20000);
	}
	if (c->asked && !c->revoked && kafka_mask_of(list) == c->mask)
		c->asked = false;
	sim_kafka.may_write[c->process->index] |= kafka_mask_of(list);
	trace("p%d has %x", c->process->index, assigned_mask(c));
	return NULL;
}

rd_kafka_error_t *
rd_kafka_incremental_unassign(rd_kafka_t *c, const rd_kafka_topic_partition_list_t *list)
{
	unsigned mask = kafka_mask_of(list);

	if ((assigned_mask(c) & mask) != mask)
		return kafka_error_new(RD_KAFKA_RESP_ERR__INVALID_ARG);
	for (int i = 0; i < list->cnt; i++)
		c->at[list->elems[i].partition].there = false;
	if (c->asked && c->revoked && mask == c->mask) {
		c->asked = false;
		sim_kafka.may_write[c->process->index] &= ~mask;
		coordinator_given_up(c, mask);
	}
	trace("p%d has %x", c->process->index, assigned_mask(c));
	return NULL;
}

rd_kafka_resp_err_t
rd_kafka_assignment(rd_kafka_t *c, rd_kafka_topic_partition_list_t **list)
{
	*list = kafka_list_of(assigned_mask(c));
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int
rd_kafka_assignment_lost(rd_kafka_t *c)
{
	return c->lost;
}

rd_kafka_resp_err_t
rd_kafka_pause_partitions(rd_kafka_t *c, rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++) {
		c->at[list->elems[i].partition].paused = true;
		stand_at_handed_out(&c->at[list->elems[i].partition]);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_resume_partitions(rd_kafka_t *c, rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++) {
		struct kafka_assigned *a = &c->at[list->elems[i].partition];

		a->paused = false;
		a->ready_us = world.now_us + below(3000);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- what is asked of the brokers, and waited for ---- */

bool
kafka_reach(rd_kafka_t *c, const char *what)
{
	call_begins(c->process, what);
	if (!is_down(world.source_down_us) && !chance(world.odds.cut))
		return true;
	trace("p%d %s: no answer", c->process->index, what);
	return false;
}

rd_kafka_error_t *
rd_kafka_seek_partitions(rd_kafka_t *c, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
	bool reached = kafka_reach(c, "kafka.seek");

	(void)timeout_ms;
	for (int i = 0; i < list->cnt; i++) {
		rd_kafka_topic_partition_t *one = &list->elems[i];
		struct kafka_assigned *a = &c->at[one->partition];

		one->err = RD_KAFKA_RESP_ERR_NO_ERROR;
		if (!a->there || a->given_up) {
			one->err = RD_KAFKA_RESP_ERR__STATE;
			continue;
		}
		if (!reached)
			one->err = RD_KAFKA_RESP_ERR__TIMED_OUT;
		if (!reached && below(2) == 0)
			continue;
		trace("p%d seeks %d to %lld", c->process->index, one->partition,
		    (long long)one->offset);
		a->position = place_of((unsigned)one->partition, one->offset);
		a->handed_out = RD_KAFKA_OFFSET_INVALID;
		a->leader = -1;
		a->told_end = -1;
		if (world.now_us < a->asked_us)
			a->asks_again_us = a->asked_us + 500000;
		a->asked_us = 0;
	}
	call_ends(c->process, "kafka.seek");
	return NULL;
}

rd_kafka_resp_err_t
rd_kafka_query_watermark_offsets(rd_kafka_t *c, const char *topic, int32_t partition, int64_t *low,
    int64_t *high, int timeout_ms)
{
	(void)topic, (void)timeout_ms;
	if (!kafka_reach(c, "kafka.watermarks"))
		return RD_KAFKA_RESP_ERR__TIMED_OUT;
	*low = sim_kafka.logs[partition].start;
	*high = sim_kafka.logs[partition].end;
	call_ends(c->process, "kafka.watermarks");
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_get_watermark_offsets(rd_kafka_t *c, const char *topic, int32_t partition, int64_t *low,
    int64_t *high)
{
	(void)c, (void)topic;
	*low = sim_kafka.logs[partition].start;
	*high = sim_kafka.logs[partition].end;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_committed(rd_kafka_t *c, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
	(void)timeout_ms;
	if (!kafka_reach(c, "kafka.committed"))
		return RD_KAFKA_RESP_ERR__TIMED_OUT;
	call_ends(c->process, "kafka.committed");
	for (int i = 0; i < list->cnt; i++) {
		rd_kafka_topic_partition_t *one = &list->elems[i];
		const struct kafka_log *log = &sim_kafka.logs[one->partition];

		one->offset = log->committed ? log->offset : RD_KAFKA_OFFSET_INVALID;
		one->err = RD_KAFKA_RESP_ERR_NO_ERROR;
		if (!log->committed || log->metadata[0] == '\0')
			continue;
		one->metadata = strdup(log->metadata);
		CHECK(one->metadata != NULL);
		one->metadata_size = strlen(log->metadata);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
rd_kafka_commit(rd_kafka_t *c, const rd_kafka_topic_partition_list_t *list, int async)
{
	struct kafka_commit *commit;

	CHECK(async == 1 && list->cnt > 0);
	if (c->commit_count == KAFKA_COMMITS)
		return RD_KAFKA_RESP_ERR__QUEUE_FULL;
	commit = &c->commits[c->commit_count++];
	*commit = (struct kafka_commit){ .mask = kafka_mask_of(list),
		.at_us = world.now_us + below(50000),
		.joined = c->joined };
	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *one = &list->elems[i];

		commit->offset[one->partition] = one->offset;
		snprintf(commit->metadata[one->partition], KAFKA_BOARD, "%.*s",
		    (int)one->metadata_size, (const char *)one->metadata);
	}
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- its queue, its beginning and its end ---- */

rd_kafka_resp_err_t
rd_kafka_poll_set_consumer(rd_kafka_t *c)
{
	(void)c;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_queue_t *
rd_kafka_queue_get_consumer(rd_kafka_t *c)
{
	return (rd_kafka_queue_t *)c;
}

rd_kafka_queue_t *
rd_kafka_queue_new(rd_kafka_t *c)
{
	return (rd_kafka_queue_t *)c;
}

void
rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
{
	(void)queue;
}

void
rd_kafka_queue_io_event_enable(rd_kafka_queue_t *queue, int fd, const void *payload, size_t size)
{
	(void)queue, (void)payload, (void)size;
	CHECK(fd == -1 || fd / 100 == KAFKA_FD / 100);
}

rd_kafka_resp_err_t
rd_kafka_subscribe(rd_kafka_t *c, const rd_kafka_topic_partition_list_t *topics)
{
	CHECK(topics->cnt == 1);
	c->subscribed = true;
	c->joins_us = world.now_us + below(500000);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* What is assigned is taken back first; what was committed arrives. */
rd_kafka_resp_err_t
rd_kafka_consumer_close(rd_kafka_t *c)
{
	bool reached = kafka_reach(c, "kafka.close");
	unsigned mask = assigned_mask(c);

	c->told = c->kicked = false;
	if (mask != 0)
		hear_group(c, mask, true, false);
	CHECK(assigned_mask(c) == 0);
	coordinator_take_commits(c, true);
	hear_answers(c);
	c->subscribed = false;
	coordinator_leave(c, reached);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void
rd_kafka_destroy_flags(rd_kafka_t *c, int flags)
{
	(void)flags;
	coordinator_leave(c, false);
	kafka_object_free(c);
}

void
rd_kafka_destroy(rd_kafka_t *c)
{
	rd_kafka_destroy_flags(c, 0);
}
