#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A byte buffer that grows.  data[len] is always a NUL byte once anything was added.  Growth cannot
 * fail (out of memory is a CHECK); whoever fills one from outside checks len against its limit.
 */
struct buf {
	char *data;
	size_t len, cap;
};

void buf_init(struct buf *b);
void buf_deinit(struct buf *b);
/* len = 0; the memory is kept. */
void buf_reset(struct buf *b);
/* Give memory above `bytes` back (after an unusually large use). */
void buf_shrink(struct buf *b, size_t bytes);

/* Room for n more bytes; returns where they go.  buf_advance counts them. */
char *buf_reserve(struct buf *b, size_t n);
void buf_advance(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t n);
void buf_add_i64(struct buf *b, int64_t n);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* A JSON string with its quotes.  Bytes that are not UTF-8 become U+FFFD. */
void buf_add_json(struct buf *b, const char *data, size_t len);
/* RFC 4648, without quotes. */
void buf_add_base64(struct buf *b, const void *data, size_t len);

#endif
