#include "worker/source/kafka.h"

#include "common/clock.h"
#include "worker/operate/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The notice board: the offset that the group committed.  Beside the number stands the `done` it was
 * written for, since a log's end in a transaction is behind the last record: by it a ledger that lost
 * commits is told from a log that ended so.  Where there is no ledger the hash of the record at `done` stands
 * behind it: by that a log is known that lost its end and grew again while nobody read it.
 */
#define DONE "done="

bool
kafka_board_read(const rd_kafka_topic_partition_t *committed, struct checkpoint *done)
{
	const char *text = committed->metadata, *blank;
	size_t len = committed->metadata_size, skip = sizeof(DONE) - 1;
	char hash[17] = "";

	done->hash = 0;
	if (text == NULL || len <= skip || memcmp(text, DONE, skip) != 0)
		return false;
	/* a server may count the NUL */
	while (len > skip && text[len - 1] == '\0')
		len--;
	blank = memchr(text, ' ', len);
	if (blank != NULL) {
		size_t behind = (size_t)(text + len - blank) - 1;

		memcpy(hash, blank + 1, behind < sizeof(hash) ? behind : 0);
		done->hash = strtoull(hash, NULL, 16);
		len = (size_t)(blank - text);
	}
	return position_parse((struct str){ text + skip, len - skip }, &done->id);
}

/* What comes next; where all that was read is done, and that was all, it is the log's end. */
static int64_t
board_of(const struct kafka_lane *kl)
{
	int64_t next = position_next_offset(kl->lane->done);

	return kl->end > next && kl->flows && position_compare(kl->at, kl->lane->done) == 0 ?
	    kl->end :
	    next;
}

static void
put(struct kafka *k, struct kafka_lane *kl, int64_t offset)
{
	struct position done = kl->lane->done;
	uint64_t hash =
	    kl->lane->source->write ? 0 : checkpoints_hash_at(&kl->lane->checkpoints, done);
	char at[POSITION_TEXT], text[sizeof(DONE) + POSITION_TEXT + 17];
	rd_kafka_topic_partition_t *one;

	if (k->board == NULL)
		k->board = rd_kafka_topic_partition_list_new(16);
	snprintf(text, sizeof(text), hash > CHECKPOINT_NO_ENTRY ? DONE "%s %016llx" : DONE "%s",
	    position_text(done, at), (unsigned long long)hash);
	one = rd_kafka_topic_partition_list_add(k->board, kl->lane->stream, kl->lane->partition);
	one->offset = offset;
	one->metadata = strdup(text);
	CHECK(one->metadata != NULL);
	one->metadata_size = strlen(text);
	kl->told = offset;
}

static void
show_lag(struct kafka *k, struct kafka_lane *kl, int64_t next)
{
	struct lane *lane = kl->lane;
	int64_t low = 0, high = 0;
	uint64_t lag;

	if (rd_kafka_get_watermark_offsets(k->client, lane->stream, lane->partition, &low, &high) !=
		RD_KAFKA_RESP_ERR_NO_ERROR ||
	    high < 0)
		return;
	if (kl->end > high)
		high = kl->end;
	lag = high > next ? (uint64_t)(high - next) : 0;
	SHOW(lane->lag, lag);
	SHOW(lane->stream_length, low >= 0 && high > low ? (uint64_t)(high - low) : 0);
	if (lag == 0)
		SHOW(lane->oldest_pending_ms, 0);
	else if (kl->read_ms > SEE(lane->oldest_pending_ms) || SEE(lane->oldest_pending_ms) == 0)
		SHOW(lane->oldest_pending_ms, kl->read_ms > 0 ? kl->read_ms : clock_wall_ms());
}

int
kafka_release(struct source *source, struct lane *lane, struct source_look *look, struct err *err)
{
	struct kafka *k = kafka_of(source);
	struct kafka_lane *kl = kafka_lane_of(lane);
	int64_t next;

	(void)err;
	look->result = LOOK_OK;
	/* before it was looked at the board may know more than the ledger, and is the only one that does;
	 * and places of a log that is gone are none of the one that is there */
	if (kl == NULL || k->client == NULL || lane->look_again || kl->elsewhere)
		return 0;
	next = board_of(kl);
	if (kl->settled && next != kl->told)
		put(k, kl, next);
	show_lag(k, kl, next);
	return 0;
}

void
kafka_board_write(struct kafka *k)
{
	if (k->board == NULL || k->client == NULL)
		return;
	rd_kafka_commit(k->client, k->board, 1);
	rd_kafka_topic_partition_list_destroy(k->board);
	k->board = NULL;
}

static struct kafka_lane *
find(struct kafka *k, const rd_kafka_topic_partition_t *one)
{
	for (size_t i = 0; i < k->lane_count; i++)
		if (k->lanes[i]->lane->partition == one->partition &&
		    strcmp(k->lanes[i]->lane->stream, one->topic) == 0)
			return k->lanes[i];
	return NULL;
}

/* What was not written is written with the next one. */
void
kafka_board_answer(rd_kafka_t *client, rd_kafka_resp_err_t code,
    rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
	struct kafka *k = opaque;

	(void)client;
	for (int i = 0; offsets != NULL && i < offsets->cnt; i++) {
		const rd_kafka_topic_partition_t *one = &offsets->elems[i];
		struct kafka_lane *kl = find(k, one);

		if (code == RD_KAFKA_RESP_ERR_NO_ERROR && one->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		if (kl == NULL)
			continue; /* it was taken away meanwhile */
		kl->told = -1;
		kafka_complain(k, "offset_not_committed", one->topic, one->partition,
		    rd_kafka_err2str(code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : one->err));
	}
}
