#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include "common/str.h"

#include <stddef.h>

/*
 * An arena: memory that dies in one step.  What a batch holds lives in the batch's arena.
 * Blocks are kept over arena_reset up to `keep_bytes`, so that a steady state allocates nothing.
 * Allocation cannot fail (out of memory is a CHECK); callers bound what they ask for by
 * arena_bytes().  Thread: its owner's.
 */
struct arena_block;
struct arena {
	struct arena_block *first, *current;
	size_t keep_bytes;
	size_t bytes; /* handed out since the last reset */
};

void arena_init(struct arena *a, size_t keep_bytes);
void arena_deinit(struct arena *a);

/* Everything allocated so far is gone. */
void arena_reset(struct arena *a);

/* 16-byte aligned, not zeroed. */
void *arena_alloc(struct arena *a, size_t bytes);
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t bytes);
/* A copy with a NUL byte behind it (not counted). */
char *arena_copy(struct arena *a, const void *data, size_t len);
struct str arena_str(struct arena *a, const void *data, size_t len);
/* printf into the arena. */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes handed out since the last reset. */
size_t arena_bytes(const struct arena *a);

#endif
