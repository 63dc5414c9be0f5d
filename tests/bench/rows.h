#ifndef TESTS_BENCH_ROWS_H
#define TESTS_BENCH_ROWS_H

#include "common/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The changes of a measurement, the same for the filler (as stream entries) and the bare writer (as
 * SQL): `row_make` gives change n.  Texts are cut from a pool of letters, so that making one costs a
 * bare writer no more than copying it.  Header only: each file of this directory is a program.
 *
 *	insert		complete upserts of 100 bytes in 5 columns, keys 1, 2, 3 …
 *	update		the same rows with other values, keys in a scattered order
 *	versioned	the same with a version (the filler only)
 *	incr		increments of two counters of rows that exist, scattered
 *	partial		upserts of one column of rows that exist, scattered
 *	wide		complete upserts of 2 KiB in 2 columns
 *	zipf		small updates of few hot rows (the filler only)
 */
enum row_kind {
	ROW_INSERT,
	ROW_UPDATE,
	ROW_VERSIONED,
	ROW_INCR,
	ROW_PARTIAL,
	ROW_WIDE,
	ROW_ZIPF,
	ROW_KINDS
};

enum { ROW_COLUMNS_MAX = 4, ROW_POOL_BYTES = 1 << 16, ROW_WIDE_BYTES = 2048 };

struct row_column {
	const char *name;
	struct str value;
	bool is_number;
};

struct row {
	uint64_t id;
	unsigned count; /* columns beside id */
	struct row_column columns[ROW_COLUMNS_MAX];
	char numbers[ROW_COLUMNS_MAX][24];
};

struct rows {
	enum row_kind kind;
	uint64_t count; /* changes */
	char pool[ROW_POOL_BYTES + ROW_WIDE_BYTES];
};

static inline uint64_t
row_mix(uint64_t n)
{
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

static inline bool
row_kind_parse(const char *name, enum row_kind *kind)
{
	static const char *const names[ROW_KINDS] = { "insert", "update", "versioned", "incr",
		"partial", "wide", "zipf" };

	for (*kind = ROW_INSERT; *kind < ROW_KINDS; ++*kind)
		if (strcmp(names[*kind], name) == 0)
			return true;
	return false;
}

static inline void
rows_init(struct rows *rows, enum row_kind kind, uint64_t count)
{
	rows->kind = kind;
	rows->count = count;
	for (size_t i = 0; i < sizeof(rows->pool); i++)
		rows->pool[i] = (char)('a' + row_mix(i + 1) % 26);
}

static inline void
row_add_text(const struct rows *rows, struct row *row, const char *name, size_t len, uint64_t seed)
{
	row->columns[row->count++] = (struct row_column){ name,
		{ rows->pool + row_mix(seed) % ROW_POOL_BYTES, len }, false };
}

static inline void
row_add_number(struct row *row, const char *name, uint64_t n)
{
	char *text = row->numbers[row->count];
	int len = snprintf(text, sizeof(row->numbers[0]), "%llu", (unsigned long long)n);

	row->columns[row->count++] = (struct row_column){ name, { text, (size_t)len }, true };
}

/* Keys that stand side by side in the table are far from each other in time.  A prime that divides
 * none of our counts makes it a permutation. */
static inline uint64_t
row_scattered(const struct rows *rows, uint64_t n)
{
	return 1 + n * 7919 % rows->count;
}

/* Change n, 0 ≤ n < count; zipf's key is the filler's business. */
static inline void
row_make(const struct rows *rows, uint64_t n, struct row *row)
{
	bool is_ordered = rows->kind == ROW_INSERT || rows->kind == ROW_WIDE;

	row->id = is_ordered ? n + 1 : row_scattered(rows, n);
	row->count = 0;
	switch (rows->kind) {
	case ROW_INSERT:
	case ROW_UPDATE:
	case ROW_VERSIONED:
		row_add_text(rows, row, "name", 24, 3 * n + rows->kind);
		row_add_text(rows, row, "email", 40, 3 * n + 1 + rows->kind);
		row_add_text(rows, row, "city", 24, 3 * n + 2 + rows->kind);
		row_add_number(row, "score", 100000 + row_mix(n + rows->kind) % 900000);
		return;
	case ROW_INCR:
		row_add_number(row, "clicks", 1);
		row_add_number(row, "credits", n % 90 + 10);
		return;
	case ROW_PARTIAL:
		row_add_text(rows, row, "email", 40, n);
		return;
	case ROW_WIDE:
		row_add_text(rows, row, "body", ROW_WIDE_BYTES, n);
		return;
	case ROW_ZIPF:
	case ROW_KINDS:
		break;
	}
	row_add_number(row, "clicks", n);
	row_add_number(row, "credits", n % 90 + 10);
}

#endif
