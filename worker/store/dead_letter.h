#ifndef WORKER_STORE_DEAD_LETTER_H
#define WORKER_STORE_DEAD_LETTER_H

#include "common/buf.h"
#include "common/err.h"
#include "common/mysql.h"
#include "worker/batch.h"

/*
 * Dead letters: entries that cannot be applied, kept whole with their reason in the same transaction
 * that moves the ledger past them.  One row each; an entry larger than a statement may be is cut into
 * chunks (rows of the same letter with chunk = 0, 1, …, chunks = how many).
 *
 * A letter that parks its keys (refusal.parks) has the state `parked` and a row of sluice_parked for
 * each of them; the others are `dead`.
 *
 * The payload is the entry's fields as a JSON list of [name, value] pairs in order; a name or value
 * that isn't UTF-8 is {"base64": "…"}.
 */

/* The payload of an entry. */
void dead_letter_payload(const struct entry *entry, struct buf *out);

/* The table the entry names first, or the one its source is for. */
struct str dead_letter_table(const struct entry *entry);

/* Insert the letters of all refused entries of the batch that are not done_before; *written counts
 * them (entries, not chunks).  Statements stay below bytes_max. */
int dead_letter_write(struct sql *sql, const struct batch *batch, size_t bytes_max,
    unsigned *written, struct err *err);

#endif
