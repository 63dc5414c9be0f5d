#ifndef WORKER_OPERATE_TEXT_TABLE_H
#define WORKER_OPERATE_TEXT_TABLE_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * A table for people in a terminal: columns as wide as they need to be, numbers to the right,
 * columns without any content left out.  Control bytes in a cell become `?`, so that a name can't
 * move the cursor; width is counted in bytes that begin a character.
 */
enum { TEXT_TABLE_COLUMNS_MAX = 12 };

struct text_table {
	const char *const *heads;
	size_t columns, rows;
	struct buf cells; /* each with a NUL behind it */
	size_t width[TEXT_TABLE_COLUMNS_MAX];
	bool filled[TEXT_TABLE_COLUMNS_MAX], words[TEXT_TABLE_COLUMNS_MAX];
};

/* heads: borrowed, NULL behind the last. */
void text_table_init(struct text_table *t, const char *const *heads);
/* One cell per head; NULL is empty. */
void text_table_add(struct text_table *t, const char *const *cells);
void text_table_print(const struct text_table *t, struct buf *out);
void text_table_deinit(struct text_table *t);

#endif
