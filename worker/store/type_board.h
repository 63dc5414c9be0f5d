#ifndef WORKER_STORE_TYPE_BOARD_H
#define WORKER_STORE_TYPE_BOARD_H

#include "worker/store/schema.h"

/*
 * What information_schema said of the columns of the configured tables, for the workers of this process
 * that have no MySQL of their own: posted by whoever loads a schema, read when a schema is made of the
 * configuration.  Nobody waits for it.  Thread: any.
 */
void type_board_post(const struct table *tables, size_t count);

/* Changes whenever other columns were posted; 0: nothing was. */
uint64_t type_board_version(void);

enum { TYPE_BOARD_TEXT = 1024, TYPE_BOARD_NAME = 65 * 4 };

/* The type of a column as the server writes it; false: not known, or too long to be kept. */
bool type_board_type(const char *table, const char *column, char out[TYPE_BOARD_TEXT]);
/* The column that is this part of the primary key; false: there is none, or nothing is known. */
bool type_board_key(const char *table, unsigned part, char out[TYPE_BOARD_NAME]);

#endif
