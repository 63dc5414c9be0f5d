#include "common/arena.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS
#endif
#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define POISON(from, bytes) ASAN_POISON_MEMORY_REGION((from), (bytes))
#define UNPOISON(from, bytes) ASAN_UNPOISON_MEMORY_REGION((from), (bytes))
#else
#define POISON(from, bytes) ((void)0)
#define UNPOISON(from, bytes) ((void)0)
#endif

enum { ALIGN = 16, BLOCK_BYTES_MIN = 4096, BLOCK_BYTES_MAX = 1 << 20 };

struct arena_block {
	struct arena_block *next;
	size_t bytes, used; /* of data */
	_Alignas(ALIGN) char data[];
};

void
arena_init(struct arena *a, size_t keep_bytes)
{
	*a = (struct arena){ .keep_bytes = keep_bytes };
}

static void
free_from(struct arena_block **from)
{
	struct arena_block *next, *block = *from;

	*from = NULL;
	for (; block != NULL; block = next) {
		next = block->next;
		UNPOISON(block->data, block->bytes);
		free(block);
	}
}

void
arena_deinit(struct arena *a)
{
	free_from(&a->first);
	*a = (struct arena){ .keep_bytes = a->keep_bytes };
}

void
arena_reset(struct arena *a)
{
	struct arena_block **at = &a->first;
	size_t kept = 0;

	for (; *at != NULL && kept + (*at)->bytes <= a->keep_bytes; at = &(*at)->next) {
		kept += (*at)->bytes;
		(*at)->used = 0;
		POISON((*at)->data, (*at)->bytes);
	}
	free_from(at);
	a->current = a->first;
	a->bytes = 0;
}

/* Blocks double, so that few are needed; a larger request gets one of its own size. */
static struct arena_block *
block_new(const struct arena *a, size_t bytes)
{
	size_t want = a->current == NULL ? BLOCK_BYTES_MIN : 2 * a->current->bytes;
	struct arena_block *block;

	if (want > BLOCK_BYTES_MAX)
		want = BLOCK_BYTES_MAX;
	if (want < bytes)
		want = bytes;
	block = malloc(sizeof(*block) + want);
	CHECK(block != NULL);
	block->bytes = want;
	block->used = 0;
	block->next = NULL;
	POISON(block->data, block->bytes);
	return block;
}

/* Blocks behind current are empty ones, kept over a reset. */
static void
arena_grow(struct arena *a, size_t bytes)
{
	struct arena_block **at = a->current != NULL ? &a->current->next : &a->first;
	struct arena_block *block;

	if (*at == NULL || (*at)->bytes < bytes) {
		block = block_new(a, bytes);
		block->next = *at;
		*at = block;
	}
	a->current = *at;
}

void *
arena_alloc(struct arena *a, size_t bytes)
{
	void *at;

	CHECK(bytes <= SIZE_MAX / 2);
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->current == NULL || a->current->bytes - a->current->used < bytes)
		arena_grow(a, bytes);
	at = a->current->data + a->current->used;
	a->current->used += bytes;
	a->bytes += bytes;
	UNPOISON(at, bytes);
	return at;
}

void *
arena_zalloc(struct arena *a, size_t bytes)
{
	return memset(arena_alloc(a, bytes), 0, bytes);
}

char *
arena_copy(struct arena *a, const void *data, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

struct str
arena_str(struct arena *a, const void *data, size_t len)
{
	return (struct str){ arena_copy(a, data, len), len };
}

char *
arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, format);
	len = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	CHECK(len >= 0);
	text = arena_alloc(a, (size_t)len + 1);
	va_start(ap, format);
	vsnprintf(text, (size_t)len + 1, format, ap);
	va_end(ap);
	return text;
}

size_t
arena_bytes(const struct arena *a)
{
	return a->bytes;
}
