#ifndef TESTS_SIM_KAFKA_H
#define TESTS_SIM_KAFKA_H

#include "tests/sim/sim.h"
#include "worker/source/kafka.h"

/*
 * Kafka in the simulation: the real source (worker/source/kafka*.c) on a fake librdkafka, one topic
 * whose partitions are the world's streams, and a coordinator that gives and takes them at any step.
 *	kafka_objects.c	  lists, errors, messages: what librdkafka hands out
 *	kafka_client.c	  a consumer: assignment, seek, fetch, commit
 *	kafka_cluster.c	  what it asks of the cluster
 *	kafka_group.c	  the coordinator: members, cooperative rebalances, committed offsets
 *	kafka_log.c	  the partitions' logs: holes, retention, lost ends, a topic made anew
 *	kafka_world.c	  what a seed decides, processes, lanes that only invalidate
 * Beyond what holds for streams (sim.h):
 *	nothing is written for a partition after its revoke was answered
 *	the committed offset never says more than is done
 *	of lanes that only invalidate: it passes no record whose keys were not invalidated since it was
 *	added, or that is no dead letter
 *	a record that nobody applied is gone from the log, and an alarm says so
 */
enum {
	KAFKA_MEMBERS = 64,
	KAFKA_COMMITS = 16,
	KAFKA_FD = 400, /* and the process: see is_ready */
	KAFKA_BOARD = 64,
	KAFKA_SILENT_US = 3000000
};
#define KAFKA_TOPIC "t"

struct kafka_log {
	int64_t start, end; /* the first offset there, the one behind the last */
	unsigned leader;    /* epoch: higher since the log lost its end at `cut` */
	int64_t cut;
	bool lost_end;	    /* it did, or the topic was made anew: see log_is_held */
	int64_t cut_us;	    /* when it will; 0: never */
	int64_t ordered_us; /* when the operator last gave it a place */
	/* of the group */
	int owner;		   /* a member; -1: none */
	bool leaving;		   /* its owner was told */
	bool committed, forgotten; /* forgotten: it was, until its group lost it */
	int64_t offset;
	char metadata[KAFKA_BOARD];
};

struct kafka_member {
	bool there;
	struct rd_kafka_s *client; /* NULL: it is dead, and nobody noticed */
	int64_t dies_us;
};

/* What a client commits, until the coordinator has it. */
struct kafka_commit {
	unsigned mask; /* of partitions */
	int64_t offset[LANES_MAX];
	char metadata[LANES_MAX][KAFKA_BOARD];
	int64_t at_us;
	unsigned joined;
	bool answered;
	rd_kafka_resp_err_t answer;
};

/* A partition that a client has. */
struct kafka_assigned {
	bool there, paused;
	bool given_up; /* it can't be sought any more */
	int64_t position;
	int64_t handed_out; /* where a pause lets it go on; OFFSET_INVALID: where it was sought */
	int leader;	    /* epoch of what was fetched since the last seek; -1: nothing */
	int64_t told_end;   /* the end that was told; -1: none */
	int64_t ready_us;
	/* A place that has a name is asked for.  An answer that a seek has overtaken is asked for once more,
	 * and goes over what the seek said. */
	int64_t asked_us, asks_again_us; /* when the answer comes; 0: nothing is asked */
	int64_t asked;
	/* It begins outside the log, and was fetched before it was paused: when the client gives it up for
	 * that, even if it was sought meanwhile.  0: never. */
	int64_t gives_up_us;
};

struct rd_kafka_s {
	struct process *process;
	void *opaque;
	void (*rebalance_cb)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
	    void *);
	void (*error_cb)(rd_kafka_t *, int, const char *, void *);
	void (*commit_cb)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
	    void *);
	bool subscribed;
	int member;	 /* -1: none */
	unsigned joined; /* which time: what was sent as an earlier member is refused */
	int64_t polled_us, joins_us;
	int64_t silent_us; /* of its process's own time, since it was polled */
	struct kafka_assigned at[LANES_MAX];
	/* what the group says, one thing at a time */
	bool told;  /* and the client has not heard it */
	bool asked; /* it has, and has not answered */
	bool revoked;
	unsigned mask;
	bool kicked; /* it is out of the group, and doesn't know */
	bool lost;   /* what it was told last is about that */
	bool down_told, breaks;
	struct kafka_commit commits[KAFKA_COMMITS];
	unsigned commit_count;
};

struct sim_kafka {
	struct kafka_log logs[LANES_MAX];
	struct kafka_member members[KAFKA_MEMBERS];
	unsigned topic_life; /* how often the topic was made */
	unsigned partitions; /* that it has; from grows_us on as many as the world has lanes */
	int64_t grows_us;
	bool tell_growth, told_growth; /* an alarm must be raised; it was */
	int64_t anew_us;	       /* when it will be; 0: never */
	int64_t session_us;	       /* a member that is silent for so long is out */
	struct {
		unsigned move, kick, retain, forget, commit_lost, read, fatal;
	} odds;
	uint64_t signalled[PROCESSES_MAX];   /* eventfds */
	unsigned may_write[PROCESSES_MAX];   /* partitions that weren't let go */
	const struct source_ops *source_ops; /* the real ones */
};
extern struct sim_kafka sim_kafka;

/* ---- kafka_objects.c ---- */
extern struct rd_kafka_topic_s kafka_topic;
/* The memory of a process that is no more. */
void kafka_objects_free(const struct process *p);
void *kafka_object_new(size_t size);
void kafka_object_free(void *object);
rd_kafka_topic_partition_list_t *kafka_list_of(unsigned mask);
unsigned kafka_mask_of(const rd_kafka_topic_partition_list_t *list);
rd_kafka_error_t *kafka_error_new(rd_kafka_resp_err_t code);
/* With an entry, or with what is said of the partition instead. */
rd_kafka_message_t *kafka_message_new(unsigned partition, int64_t offset,
    const struct stream_entry *e, rd_kafka_resp_err_t code);
/* What is said of no partition, once it is due. */
rd_kafka_message_t *kafka_word_new(bool *due, rd_kafka_resp_err_t code);

/* ---- kafka_client.c ---- */
/* It waits for an answer: others take their turns.  False: none comes. */
bool kafka_reach(rd_kafka_t *c, const char *what);
bool kafka_client_is_ready(const struct process *p);
struct rd_kafka_s *kafka_client_of(const struct process *p);

/* ---- kafka_group.c ---- */
void coordinator_reset(void);
void coordinator_tick(void);
void coordinator_join(struct rd_kafka_s *c);
/* It says goodbye, or dies. */
void coordinator_leave(struct rd_kafka_s *c, bool politely);
/* It let go of these. */
void coordinator_given_up(struct rd_kafka_s *c, unsigned mask);
/* What it sent before now has arrived, or is lost. */
void coordinator_take_commits(struct rd_kafka_s *c, bool all);
/* Each partition has one owner that knows it, and live members differ by at most one. */
bool coordinator_is_balanced(void);
void coordinator_print(void);

/* ---- kafka_log.c ---- */
void logs_number(void);
void logs_add_due(void);
/* Time passes for this process: however long it waits for others, it polls. */
void kafka_client_waits(const struct process *p, int64_t us);
void logs_tick(void);
const char *log_identity(void);
/* The first record at or behind the offset; NULL: none yet. */
const struct stream_entry *log_next(unsigned partition, int64_t offset);
void logs_check_told(void);
/* Does this seed have it? */
bool logs_lose_ends(void);
/* Where an operator lets a halted lane go on; false: at its place. */
bool log_order_place(unsigned lane, const char *why, struct position *place);
/* Has one been given that nobody can have seen the outcome of? */
bool log_order_waits(unsigned lane);
/* By order the lane is of the topic that is there now, from its place on. */
void log_claimed(unsigned lane);

/* ---- kafka_world.c ---- */
/* Returns whether tables may park. */
bool kafka_choose(void);
/* Lanes that don't write: those with keys of their own. */
void kafka_choose_tables(void);
void kafka_process_start(struct process *p);
void kafka_process_end(struct process *p);
/* Its keys went since it was added, or it is a dead letter. */
bool kafka_is_answered(const struct stream_entry *e);
void kafka_check_committed(unsigned partition, int64_t offset);
bool kafka_is_quiet(void);
void kafka_compare(void);

#endif
