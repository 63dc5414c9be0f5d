#ifndef WORKER_STORE_ROW_NOW_H
#define WORKER_STORE_ROW_NOW_H

#include "worker/store/rows_writer.h"

/*
 * The rows that a batch writes of tables with a template of mode populate, as its transaction leaves
 * them (worker/read_back.h): one SELECT a table, cut by rows, bytes and placeholders, behind the last
 * write.  It locks nothing.  A row that the transaction changed is its own until COMMIT; one that it
 * left alone, as newer than the change, is read as it was committed.
 *
 * MySQL sends row by row and one is held at a time, beside the values that are kept: at most
 * limits->now_bytes_max of them a batch.  What is beyond that, and what can't be read, is counted in
 * report->not_read, and its key is invalidated.  Where reading ends the try (a row above the client's
 * max_allowed_packet does, each time) the batch's next one reads nothing.
 *
 * A batch without such tables asks nothing.
 */

/* Fills touched->now.  WRITTEN, or STOPPED where the transaction can't go on. */
enum outcome row_now_read(struct writer *w);

#endif
