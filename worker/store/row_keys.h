#ifndef WORKER_STORE_ROW_KEYS_H
#define WORKER_STORE_ROW_KEYS_H

#include "worker/batch.h"

/*
 * Cache keys of a written row whose templates need the row itself (key_template.from_row): from the
 * row before and the row after the transaction, each as the texts of the table's `reads`, or NULL
 * where there was none.  Nothing is owed for a row of which every change was refused or written by an
 * earlier transaction.
 *
 * `when` is only believed where there is a row before and a row after; `_op invalidate` asks for all
 * keys of the row as it is.  A stamped version is the row's after the write; a deletion's is the one
 * that the row had.
 */
void row_keys_owe(struct owed_list *owed, const struct touched *row, const struct str *before,
    const struct str *after);

#endif
