#ifndef TESTS_INTEGRATION_STORE_RIG_H
#define TESTS_INTEGRATION_STORE_RIG_H

#include "worker/store/ledger.h"
#include "worker/store/store.h"

/*
 * The real MySQL store on a real server, without the rest of sluice.  Writing rows is replaced by one
 * INSERT of the batch's first entry into `rows`, which shows what was committed.
 */

/* What rows_write answers after it, and the reason for which the first entry is refused; NULL: none. */
extern enum write_result rows_answer;
extern const char *rows_refusal;
/* The configuration's only table. */
extern struct config_table table;

/* A connection whose client is gone without the server knowing. */
struct wire {
	int fd;
	int results_until_cut; /* before which result; 0: never */
};

/* Two stores, the lanes a (at 5-0) and b (at 6-0) of the first, and a session of our own. */
struct scene {
	struct wire wire, other_wire;
	struct store *store, *other;
	struct lane a, b;
	struct sql *sql;
	struct err err;
};

/* argv[1] and on: port, user, password, database. */
void scene_configure(char **argv);
void scene_open(struct scene *s);
/* A check may have freed the first store. */
void scene_close(struct scene *s);

/* End the process where a call has failed. */
void must(int status, const struct err *err);
uint64_t number_of(struct sql *sql, const char *select);

void make_lane(struct lane *lane, const char *name);
/* Take the lane as its row has it, with a new epoch. */
void adopt(struct store *store, struct lane *lane);
struct ledger_row look(struct store *store, struct lane *lane);

/* One entry per lane, at id 10-0. */
struct small_batch {
	struct batch batch;
	struct batch_lane lanes[2];
	struct entry entries[2];
};
void fill(struct small_batch *s, struct lane *a, struct lane *b);
enum write_result write_batch(struct store *store, struct small_batch *s, struct err *err);

struct check {
	const char *name;
	void (*run)(struct scene *s);
};
#define A_CHECK(name) { #name, name }
/* Up to one without a name. */
extern const struct check batch_checks[], lane_checks[];

#endif
