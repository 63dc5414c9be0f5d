#ifndef WORKER_SOURCE_KAFKA_H
#define WORKER_SOURCE_KAFKA_H

#include "worker/source/delivery_pool.h"
#include "worker/source/source.h"

#include <librdkafka/rdkafka.h>

/*
 * Kafka as a source, shared by its files, which alone see librdkafka:
 *	kafka.c		 the consumer, the group's news, the operations' table
 *	kafka_read.c	 which partitions flow, and from where; messages into entries
 *	kafka_look.c	 what stands beside a partition: ends, committed offset, topic
 *	kafka_board.c	 the notice board (the group's committed offsets) and the lag
 *	kafka_settings.c properties: ours, the configuration's, those that are refused
 *
 * One consumer a worker, which lives from open to free: a close only says that the cluster can't be
 * reached, and leaves the membership alone.  A partition that was assigned is paused at once; it flows
 * from the lane's cursor once the worker asks for it, by a seek, so nothing that the group remembers
 * decides where reading starts.  Everything is polled by the worker's own thread.
 */
struct kafka_lane {
	struct lane *lane;
	const rd_kafka_topic_t *topic; /* as its messages name it; NULL: none came yet */
	bool wanted;		       /* by the request under way */
	bool flows;		       /* not paused, and sought */
	bool lost;	/* the place to fetch from isn't in the log: to be looked at */
	bool truncated; /* the log lost its end: another leader epoch, or another record */
	bool unproved;	/* the record that was done last may be another by now */
	bool elsewhere; /* its place isn't in the log that is there, until an order says where */
	struct checkpoint
	    witness;  /* what the notice board says of it, where no ledger does; hash 0: nothing */
	bool settled; /* its row is there: the notice board may speak of it */
	struct position
	    at;		 /* what was delivered up to here; where it flows: behind it comes next */
	int64_t first;	 /* offset of the first record that is left, as of the last look */
	int64_t end;	 /* the log ended here when it was read on from `at`; -1: not known */
	int64_t told;	 /* what the notice board says; -1: nothing of ours */
	int64_t read_ms; /* when the oldest record of the last delivery was written */
};

/*
 * Messages that were consumed and not yet looked at: many are consumed in one call, which costs as much
 * as one.  All are of lanes that flow, or say something: those of a lane that is paused are dropped,
 * since they come again after its seek.
 */
enum { KAFKA_HAND = 64 };
struct kafka_hand {
	rd_kafka_message_t *list[KAFKA_HAND]; /* NULL: dropped */
	size_t next, count;		      /* next: had no room, or may have had none */
	size_t largest;			      /* bytes, of those consumed last */
};

struct kafka_topic; /* what is known of a topic, kafka_look.c */
struct kafka_news;  /* what the group said and nobody obeyed yet */

struct kafka {
	struct source source; /* first: the worker's pointer */
	const struct config *config;
	int worker;
	bool writes;		 /* its topics' lanes */
	rd_kafka_t *client;	 /* NULL: never opened, or beyond repair */
	rd_kafka_queue_t *queue; /* the consumer's: messages and all that is said */
	int event;		 /* readable when the queue has something */
	bool open, closing;
	bool fatal;	/* the client is beyond repair */
	bool unreached; /* all brokers are away, as librdkafka says */
	bool refused;	/* the group doesn't take us in */
	char why[256];	/* its last words */
	int64_t polled_ms;

	struct kafka_news *news, **news_tail;
	struct group_partition *listed; /* of the news shown */
	struct kafka_lane *lanes[WORKER_LANES_MAX];
	size_t lane_count, recent;
	struct kafka_topic *topics;

	/* the request under way */
	bool requested;
	unsigned max_rows;
	int64_t asked_until_ms; /* then it is asked anew, for the lanes that are open by then */
	size_t max_bytes;
	struct kafka_hand hand;

	struct delivery_pool pool;
	rd_kafka_topic_partition_list_t *board; /* to be committed; NULL: nothing */
};

struct kafka *kafka_of(const struct source *source);
/* The lane's state, NULL where it isn't known to the source. */
struct kafka_lane *kafka_lane_of(const struct lane *lane);
struct kafka_lane *kafka_lane_add(struct kafka *k, struct lane *lane);
int kafka_error(struct err *err, rd_kafka_resp_err_t code, const char *what);
/* Words about what doesn't stop us. */
void kafka_complain(struct kafka *k, const char *event, const char *topic, int partition,
    const char *text);

/* ---- the files' parts of struct source_ops ---- */

int kafka_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err);
int kafka_receive(struct source *source, struct delivery **delivery, struct err *err);
void kafka_recycle(struct source *source, struct delivery **delivery);
void kafka_read_free(struct kafka *k);
/* Stop the flow of all, and poll what the group says. */
void kafka_stand_still(struct kafka *k);
/* Pause one that flows. */
void kafka_pause(struct kafka *k, struct kafka_lane *kl);
/* All that flow: they are sought anew when they are asked for next. */
void kafka_pause_all(struct kafka *k);

int kafka_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err);
int kafka_claim(struct source *source, struct lane *lane, const char *identity, struct err *err);
int kafka_settle(struct source *source, struct lane *lane, const char *identity, struct err *err);
unsigned kafka_siblings(struct source *source, struct lane *lane);
int kafka_newest(struct source *source, const char *stream, struct position *last, struct err *err);
int kafka_range(struct source *source, struct lane *lane, struct position after, struct position to,
    struct delivery **page, struct err *err);
void kafka_topics_free(struct kafka *k);
/* Ask anew about all topics when one is asked for next. */
void kafka_topics_forget_all(struct kafka *k);

int kafka_release(struct source *source, struct lane *lane, struct source_look *look,
    struct err *err);
/* Commit what was put on the board; the answer comes while polling, and a close waits for it. */
void kafka_board_write(struct kafka *k);
/* What a commit of ours was answered; librdkafka's callback. */
void kafka_board_answer(rd_kafka_t *client, rd_kafka_resp_err_t code,
    rd_kafka_topic_partition_list_t *offsets, void *opaque);
/* The `done` that the committed offset's metadata names, if it is ours, and the hash of the record there
 * (0: not known). */
bool kafka_board_read(const rd_kafka_topic_partition_t *committed, struct checkpoint *done);

#endif
