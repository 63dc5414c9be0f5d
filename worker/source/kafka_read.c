#include "worker/source/kafka.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
	ENTRY_OVERHEAD = 64, /* what an entry counts beside its names and values */
	STRING_OVERHEAD = 8,
	DROPS_MAX = 10000 /* polled in one go without a message that is wanted */
};
#define HEADER "header:"

/* ---- what is in hand ---- */

static struct kafka_lane *
lane_of_message(struct kafka *k, const rd_kafka_message_t *m)
{
	struct kafka_lane *kl = k->recent < k->lane_count ? k->lanes[k->recent] : NULL;

	if (m->rkt == NULL)
		return NULL;
	if (kl != NULL && kl->topic == m->rkt && kl->lane->partition == m->partition)
		return kl;
	for (size_t i = 0; i < k->lane_count; i++) {
		kl = k->lanes[i];
		if (kl->lane->partition != m->partition ||
		    strcmp(kl->lane->stream, rd_kafka_topic_name(m->rkt)) != 0)
			continue;
		kl->topic = m->rkt;
		k->recent = i;
		return kl;
	}
	return NULL;
}

/* NULL: none is left. */
static rd_kafka_message_t *
next_in_hand(struct kafka *k)
{
	struct kafka_hand *hand = &k->hand;

	while (hand->next < hand->count && hand->list[hand->next] == NULL)
		hand->next++;
	return hand->next < hand->count ? hand->list[hand->next] : NULL;
}

static void hear(struct kafka *k, const rd_kafka_message_t *m);

/* Those of this lane, or all.  What is said of no topic is said once. */
static void
drop_in_hand(struct kafka *k, const struct kafka_lane *kl)
{
	for (size_t i = k->hand.next; i < k->hand.count; i++) {
		rd_kafka_message_t **m = &k->hand.list[i];

		if (*m == NULL || (kl != NULL && lane_of_message(k, *m) != kl))
			continue;
		if ((*m)->rkt == NULL)
			hear(k, *m);
		rd_kafka_message_destroy(*m);
		*m = NULL;
	}
}

/* ---- deliveries ---- */

void
kafka_recycle(struct source *source, struct delivery **delivery)
{
	delivery_pool_put(&kafka_of(source)->pool, delivery);
}

void
kafka_read_free(struct kafka *k)
{
	drop_in_hand(k, NULL);
	delivery_pool_empty(&k->pool);
}

/* ---- which partitions flow ---- */

static rd_kafka_topic_partition_list_t *
list_of(const struct kafka_lane *kl, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, kl->lane->stream, kl->lane->partition)->offset =
	    offset;
	return list;
}

void
kafka_pause(struct kafka *k, struct kafka_lane *kl)
{
	rd_kafka_topic_partition_list_t *list = list_of(kl, 0);

	kl->flows = false;
	rd_kafka_pause_partitions(k->client, list);
	rd_kafka_topic_partition_list_destroy(list);
	drop_in_hand(k, kl);
}

void
kafka_pause_all(struct kafka *k)
{
	for (size_t i = 0; i < k->lane_count; i++)
		if (k->lanes[i]->flows)
			kafka_pause(k, k->lanes[i]);
}

static rd_kafka_resp_err_t
code_of(rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code =
	    error != NULL ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;

	if (error != NULL)
		rd_kafka_error_destroy(error);
	return code;
}

/* After an offset that isn't there the client has given the partition up: it can't be sought. */
static rd_kafka_resp_err_t
begin_anew(struct kafka *k, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t code = code_of(rd_kafka_incremental_unassign(k->client, list));

	return code == RD_KAFKA_RESP_ERR_NO_ERROR ?
	    code_of(rd_kafka_incremental_assign(k->client, list)) :
	    code;
}

static rd_kafka_resp_err_t
seek(struct kafka *k, rd_kafka_topic_partition_list_t *list)
{
	rd_kafka_resp_err_t code =
	    code_of(rd_kafka_seek_partitions(k->client, list, k->config->kafka.timeout_ms));

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = list->elems[0].err;
	return code == RD_KAFKA_RESP_ERR__STATE ? begin_anew(k, list) : code;
}

/* The record that was done last; hash 0: none of ours need stand there. */
static struct checkpoint
last_done(const struct kafka_lane *kl)
{
	const struct lane *lane = kl->lane;

	if (!lane->source->write)
		return kl->witness;
	return (struct checkpoint){ lane->position,
		checkpoints_hash_at(&lane->checkpoints, lane->position) };
}

/* From behind the lane's cursor, or where the log begins when that is gone.  The record that was done
 * last is read once more if it wasn't seen since the lane was looked at (is_proof). */
static void
let_flow(struct kafka *k, struct kafka_lane *kl)
{
	int64_t from = position_next_offset(kl->lane->cursor);
	int64_t next = position_next_offset(kl->lane->position);
	struct checkpoint last = last_done(kl);
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;

	/* it was looked at, and where it halted an order said from where it goes on */
	kl->elsewhere = kl->truncated = false;
	/* set back to before all that is left: a look passes what is gone */
	if (from < next && next <= kl->first) {
		kl->lane->look_again = true;
		return;
	}
	kl->unproved = kl->unproved && last.hash != 0;
	if (kl->unproved && from > (int64_t)last.id.major)
		from = position_next_offset(last.id) - 1;
	list = list_of(kl, from > kl->first ? from : kl->first);
	code = seek(k, list);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_resume_partitions(k->client, list);
	else
		kafka_complain(k, "seek_failed", kl->lane->stream, kl->lane->partition,
		    rd_kafka_err2str(code));
	rd_kafka_topic_partition_list_destroy(list);
	if (position_compare(kl->at, kl->lane->cursor) != 0)
		kl->end = -1; /* records may stand before it that are read again */
	kl->at = kl->lane->cursor;
	kl->flows = code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The message that was offered last: did the batch take it?  If not it is the next. */
static void
settle_offered(struct kafka *k)
{
	rd_kafka_message_t *m = next_in_hand(k);
	struct kafka_lane *kl = m != NULL ? lane_of_message(k, m) : NULL;

	if (kl == NULL || m->err != 0 ||
	    position_compare(kl->lane->cursor, position_of_offset(m->offset)) != 0)
		return;
	kl->at = kl->lane->cursor;
	k->hand.next++;
	rd_kafka_message_destroy(m);
}

int
kafka_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err)
{
	struct kafka *k = kafka_of(source);

	(void)err;
	settle_offered(k);
	for (size_t i = 0; i < k->lane_count; i++)
		k->lanes[i]->wanted = false;
	for (size_t i = 0; i < count; i++)
		if (kafka_lane_of(lanes[i]) != NULL)
			kafka_lane_of(lanes[i])->wanted = true;
	for (size_t i = 0; i < k->lane_count; i++) {
		struct kafka_lane *kl = k->lanes[i];

		if (kl->flows && (!kl->wanted || position_compare(kl->at, kl->lane->cursor) != 0))
			kafka_pause(k, kl);
		if (kl->wanted && !kl->flows)
			let_flow(k, kl);
	}
	k->max_rows = max_rows > 0 ? max_rows : 1;
	k->max_bytes = max_bytes;
	k->asked_until_ms = clock_ms() + block_ms / 2;
	k->requested = true;
	return 0;
}

/* ---- messages ---- */

static struct field
field_of(struct arena *a, const char *name, const void *bytes, size_t len)
{
	return (struct field){ str_of(name), { arena_str(a, bytes, len), VALUE_TEXT } };
}

static size_t
bytes_of(const rd_kafka_message_t *m)
{
	return ENTRY_OVERHEAD + m->key_len + m->len;
}

static size_t
count_headers(const rd_kafka_message_t *m, rd_kafka_headers_t **headers)
{
	*headers = NULL;
	if (rd_kafka_message_headers(m, headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	return rd_kafka_header_cnt(*headers);
}

/*
 * As fields: key and value, where there are any (a message without a value is a tombstone), then the
 * headers, whose names can't be taken for those.
 */
static struct entry *
entry_of(struct arena *a, struct lane *lane, const rd_kafka_message_t *m)
{
	struct entry *e = arena_zalloc(a, sizeof(*e));
	rd_kafka_headers_t *headers;
	size_t count = count_headers(m, &headers), len;
	rd_kafka_timestamp_type_t type;
	const char *name;
	const void *value;

	e->lane = lane;
	e->id = position_of_offset(m->offset);
	e->at_ms = rd_kafka_message_timestamp(m, &type);
	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
		e->at_ms = clock_wall_ms();
	e->bytes = bytes_of(m);
	e->raw = arena_alloc(a, (count + 2) * sizeof(*e->raw));
	if (m->key != NULL)
		e->raw[e->raw_count++] = field_of(a, "key", m->key, m->key_len);
	if (m->payload != NULL)
		e->raw[e->raw_count++] = field_of(a, "value", m->payload, m->len);
	for (size_t i = 0; i < count; i++) {
		if (rd_kafka_header_get_all(headers, i, &name, &value, &len) !=
		    RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		e->raw[e->raw_count] =
		    field_of(a, arena_printf(a, HEADER "%s", name), value, value != NULL ? len : 0);
		e->bytes += 2 * STRING_OVERHEAD + e->raw[e->raw_count].name.len + len;
		e->raw_count++;
	}
	return e;
}

/* It can't be held; what stands before it goes first, then it comes again. */
static void
refuse_large(struct kafka *k, struct kafka_lane *kl, const rd_kafka_message_t *m, bool is_first)
{
	kafka_pause(k, kl);
	if (!is_first)
		return;
	lane_halt(kl->lane, LANE_WHY_ENTRY_TOO_LARGE);
	log_event(LOG_ERROR, "lane_halted", "worker", "%d", k->worker, "lane", "%s", kl->lane->name,
	    "why", "%s", LANE_WHY_ENTRY_TOO_LARGE, "topic", "%s", kl->lane->stream, "partition",
	    "%d", kl->lane->partition, "entry", "%lld", (long long)m->offset, "bytes", "%zu",
	    bytes_of(m), "entry_max", "%lld", (long long)k->config->entry_max_bytes, "next", "%s",
	    "raise entry_max and resume, or `sluice lane skip` it", NULL);
}

/* The place that is read, or that is written, isn't in the log. */
static void
find_lost(struct kafka *k, struct kafka_lane *kl, bool truncated)
{
	kl->lost = true;
	kl->truncated = truncated;
	kl->end = kl->told = -1;
	kl->lane->look_again = true;
	kafka_pause(k, kl);
}

/* It ends here, unless what stood before it was dropped.  What is read again after an outage of the
 * cache is behind what is written: a log that ends between them lost its end. */
static void
hear_end(struct kafka *k, struct kafka_lane *kl, int64_t end)
{
	if (!kl->flows)
		return;
	kl->end = end;
	if (end < position_next_offset(kl->lane->position))
		find_lost(k, kl, false);
}

/* It is beyond repair, or the group doesn't take us in: then nothing comes, and nothing else is said. */
static void
hear_of_group(struct kafka *k, const rd_kafka_message_t *m)
{
	k->fatal |= m->err == RD_KAFKA_RESP_ERR__FATAL;
	k->refused |= m->err != RD_KAFKA_RESP_ERR__FATAL;
	snprintf(k->why, sizeof(k->why), "the group %s: %s", k->config->group,
	    rd_kafka_message_errstr(m));
}

/* What is said of a partition, or the group, instead of a message. */
static void
hear(struct kafka *k, const rd_kafka_message_t *m)
{
	struct kafka_lane *kl = lane_of_message(k, m);
	const char *topic = m->rkt != NULL ? rd_kafka_topic_name(m->rkt) : NULL;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (kl != NULL)
			hear_end(k, kl, m->offset);
		return;
	}
	if (kl != NULL && kl->flows &&
	    (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
		m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
		m->err == RD_KAFKA_RESP_ERR__LOG_TRUNCATION)) {
		find_lost(k, kl, m->err == RD_KAFKA_RESP_ERR__LOG_TRUNCATION);
	} else if (m->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
	    m->err == RD_KAFKA_RESP_ERR__FATAL) {
		hear_of_group(k, m);
	} else if (m->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
		kafka_complain(k, "kafka_error", topic, m->rkt != NULL ? m->partition : -1,
		    rd_kafka_message_errstr(m));
	}
}

/* Is it for a lane that flows and waits for it?  What isn't comes again after a seek. */
static struct kafka_lane *
wanted(struct kafka *k, const rd_kafka_message_t *m)
{
	struct kafka_lane *kl = lane_of_message(k, m);

	if (kl == NULL || !kl->flows)
		return NULL;
	if (kl->lane->state == LANE_OPEN && !kl->lane->look_again)
		return kl;
	kafka_pause(k, kl);
	return NULL;
}

/* No more than are likely to have room: what is in hand the client doesn't count. */
static void
consume(struct kafka *k, size_t rows, size_t bytes)
{
	struct kafka_hand *hand = &k->hand;
	size_t likely = hand->largest > 0 ? 1 + bytes / hand->largest : 1;
	ssize_t count;

	if (rows > likely)
		rows = likely;
	if (rows > KAFKA_HAND)
		rows = KAFKA_HAND;
	count = rd_kafka_consume_batch_queue(k->queue, 0, hand->list, rows);
	hand->next = 0;
	hand->count = count > 0 ? (size_t)count : 0;
	if (hand->count > 0)
		hand->largest = 0;
	for (size_t i = 0; i < hand->count; i++)
		if (bytes_of(hand->list[i]) > hand->largest)
			hand->largest = bytes_of(hand->list[i]);
}

static void
take(struct delivery *d, struct entry ***tail, struct kafka_lane *kl, const rd_kafka_message_t *m)
{
	struct entry *e = entry_of(&d->arena, kl->lane, m);

	**tail = e;
	*tail = &e->next;
	if (d->count++ == 0 || position_compare(kl->at, kl->lane->cursor) == 0)
		kl->read_ms = e->at_ms;
}

/*
 * Is it only read to compare it with what was written last?  A log that lost its end and grew past the
 * lane's place while nobody read it holds another record there, and those before it may never have
 * been read.  Where none is any more, retention or compaction took it, and that proves nothing.
 */
static bool
is_proof(struct kafka *k, struct kafka_lane *kl, struct arena *a, const rd_kafka_message_t *m)
{
	struct position at = position_of_offset(m->offset);
	struct checkpoint last = last_done(kl);
	int order = position_compare(at, last.id);

	if (order < 0)
		return false;
	kl->unproved = false;
	if (order == 0 && checkpoint_hash(entry_of(a, kl->lane, m)) != last.hash) {
		find_lost(k, kl, true);
		return true;
	}
	return position_compare(at, kl->lane->cursor) <= 0;
}

struct taking {
	struct delivery *d;
	struct entry **tail;
	size_t bytes;
};

/* The next in hand, m.  False: there is no room for more. */
static bool
take_message(struct kafka *k, struct taking *t, rd_kafka_message_t *m)
{
	struct kafka_lane *kl;

	k->hand.next++;
	kl = m->err == 0 ? wanted(k, m) : NULL;
	if (m->err != 0)
		hear(k, m);
	if (kl != NULL && kl->unproved && is_proof(k, kl, &t->d->arena, m))
		kl = NULL;
	if (kl != NULL && bytes_of(m) > (size_t)k->config->entry_max_bytes) {
		refuse_large(k, kl, m, position_compare(kl->at, kl->lane->cursor) == 0);
		kl = NULL;
	}
	if (kl == NULL) {
		rd_kafka_message_destroy(m);
		return true;
	}
	if (t->bytes + bytes_of(m) > k->max_bytes) {
		/* alone it is offered all the same: so the batch learns that it is full */
		k->hand.next--;
		if (t->d->count == 0)
			take(t->d, &t->tail, kl, m);
		return false;
	}
	take(t->d, &t->tail, kl, m);
	kl->at = position_of_offset(m->offset);
	t->bytes += bytes_of(m);
	rd_kafka_message_destroy(m);
	return true;
}

/* A lane that was set back since it was asked for is not read on from where it was: it is sought anew. */
static void
stop_moved(struct kafka *k)
{
	for (size_t i = 0; i < k->lane_count; i++)
		if (k->lanes[i]->flows &&
		    position_compare(k->lanes[i]->at, k->lanes[i]->lane->cursor) != 0)
			kafka_pause(k, k->lanes[i]);
}

int
kafka_receive(struct source *source, struct delivery **delivery, struct err *err)
{
	struct kafka *k = kafka_of(source);
	struct taking t = { .d = delivery_pool_take(&k->pool) };
	eventfd_t unheard;
	rd_kafka_message_t *m = NULL;
	bool room = true;

	CHECK(k->requested);
	*delivery = NULL;
	t.tail = &t.d->first;
	stop_moved(k);
	eventfd_read(k->event, &unheard);
	k->polled_ms = clock_ms();
	for (int i = 0; room && i < DROPS_MAX && t.d->count < k->max_rows; i++) {
		m = next_in_hand(k);
		if (m == NULL) {
			consume(k, k->max_rows - t.d->count, k->max_bytes - t.bytes);
			m = next_in_hand(k);
		}
		if (m == NULL)
			break;
		room = take_message(k, &t, m);
	}
	if (m != NULL)
		eventfd_write(k->event, 1); /* there may be more, which wakes nobody */
	if (t.d->count == 0) {
		kafka_recycle(source, &t.d);
		if (k->fatal || k->unreached || k->refused)
			return err_set(err, ERR_RETRY, 0, "kafka: %s", k->why);
		if (clock_ms() < k->asked_until_ms)
			return 0;
		k->requested = false;
		return 1;
	}
	k->requested = false;
	*delivery = t.d;
	return 1;
}

void
kafka_stand_still(struct kafka *k)
{
	rd_kafka_message_t *m;
	eventfd_t unheard;

	kafka_pause_all(k);
	drop_in_hand(k, NULL);
	k->requested = false;
	k->polled_ms = clock_ms();
	eventfd_read(k->event, &unheard);
	for (int i = 0; i < DROPS_MAX && (m = rd_kafka_consumer_poll(k->client, 0)) != NULL; i++) {
		if (m->err != 0)
			hear(k, m);
		rd_kafka_message_destroy(m);
	}
	if (k->fatal || k->unreached || k->refused)
		k->open = false; /* the worker opens it again, and hears what is wrong */
}
