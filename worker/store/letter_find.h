#ifndef WORKER_STORE_LETTER_FIND_H
#define WORKER_STORE_LETTER_FIND_H

#include "common/buf.h"
#include "common/err.h"
#include "common/mysql.h"
#include "worker/lane.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Dead letters as `sluice dead` looks for them: rows of sluice_dead_letter, one letter each (its
 * first chunk carries all but the rest of its payload), by id, page by page, so that any number of
 * them takes the same memory.  The states of a letter (worker/store/letter_replay.h says who moves
 * it from one to the next):
 *	dead		open; later changes of its keys went on
 *	parked		open; later changes of its keys wait behind it
 *	replay		marked to be applied; replay_force: whatever came after it
 *	drop		marked to be dropped: parked letters are dropped by their lane's owner
 *	applied		applied, its cache keys not yet known to be invalidated
 *	closed		applied; kept for the record
 * The functions end their transaction.
 */
#define LETTER_DEAD "dead"
#define LETTER_PARKED "parked"
#define LETTER_REPLAY "replay"
#define LETTER_FORCE "replay_force"
#define LETTER_DROP "drop"
#define LETTER_APPLIED "applied"
#define LETTER_CLOSED "closed"
#define LETTER_CHUNK "chunk" /* of a row that is only more of a payload */

enum { LETTERS_PAGE = 500 };

/* What is looked for; a NULL or 0 is no condition. */
struct letter_filter {
	const char *lane; /* pool/source/stream, or the stream alone */
	const char *table, *reason;
	const char *state;	    /* one of the above, "all"; NULL: all but closed ones */
	uint64_t id_from, id_to;    /* both included */
	int64_t older_ms, newer_ms; /* than this */
};

struct letter_row {
	uint64_t id, code, attempts, chunks;
	char lane[LANE_NAME_MAX + 1], entry[POSITION_TEXT];
	char table[64 * 4 + 1], operation[17], reason[33], state[17];
	char message[512 * 4 + 1];
	char created_at[32], updated_at[32]; /* UTC; updated_at "" for never */
	char kept_id[POSITION_TEXT +
	    1]; /* of a letter in a stream ("s…") or topic ("t…"); its id is 0 then */
};

/* How many letters match, by what they are. */
struct letter_group {
	char table[64 * 4 + 1], reason[33], state[17];
	uint64_t count;
};
enum { LETTER_GROUPS_MAX = 1000 };
/* *groups is the caller's to free(). */
int letters_groups(struct sql *sql, const struct letter_filter *filter,
    struct letter_group **groups, size_t *count, struct err *err);

/* The next letters behind id `after`, at most LETTERS_PAGE. */
int letters_page(struct sql *sql, const struct letter_filter *filter, uint64_t after,
    struct letter_row *rows, size_t *count, struct err *err);

/* The payload of a letter, all chunks of it, behind what `out` holds. */
int letter_payload(struct sql *sql, const struct letter_row *row, struct buf *out, struct err *err);

/* Mark the open ones among these letters; *marked counts.  Those that only follow another are not
 * marked: they follow it. */
int letters_mark(struct sql *sql, const struct letter_row *rows, size_t count, bool force,
    uint64_t *marked, struct err *err);

/* Delete those that are dead or closed, mark those that only their lane's owner may drop. */
int letters_drop(struct sql *sql, const struct letter_row *rows, size_t count, uint64_t *dropped,
    uint64_t *marked, struct err *err);

#endif
