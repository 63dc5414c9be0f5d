#include "common/buf.h"

#include "common/err.h"
#include "common/str.h"

#include <stdio.h>
#include <stdlib.h>

enum { CAP_MIN = 64 };

void
buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void
buf_deinit(struct buf *b)
{
	free(b->data);
	buf_init(b);
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void
buf_shrink(struct buf *b, size_t bytes)
{
	char *data;

	if (bytes == 0 && b->len == 0)
		buf_deinit(b);
	if (b->cap <= bytes || b->len >= bytes)
		return;
	data = realloc(b->data, bytes);
	CHECK(data != NULL);
	b->data = data;
	b->cap = bytes;
}

/* One byte more than asked for, so that buf_advance always has room for the NUL. */
char *
buf_reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap < CAP_MIN ? CAP_MIN : b->cap;
	char *data;

	CHECK(n < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
	if (b->cap - b->len > n)
		return b->data + b->len;
	while (cap - b->len <= n)
		cap *= 2;
	data = realloc(b->data, cap);
	CHECK(data != NULL);
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void
buf_advance(struct buf *b, size_t n)
{
	CHECK(n < b->cap - b->len);
	b->len += n;
	b->data[b->len] = '\0';
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	char *to = buf_reserve(b, len);

	if (len > 0)
		memcpy(to, data, len);
	buf_advance(b, len);
}

void
buf_add_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void
buf_add_char(struct buf *b, char c)
{
	*buf_reserve(b, 1) = c;
	buf_advance(b, 1);
}

void
buf_add_u64(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void
buf_add_i64(struct buf *b, int64_t n)
{
	if (n < 0)
		buf_add_char(b, '-');
	buf_add_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(b, format, ap);
	va_end(ap);
}

void
buf_vprintf(struct buf *b, const char *format, va_list ap)
{
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	CHECK(len >= 0);
	vsnprintf(buf_reserve(b, (size_t)len), (size_t)len + 1, format, ap);
	buf_advance(b, (size_t)len);
}

static void
add_json_escape(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
		buf_add_str(b, "\\\"");
		break;
	case '\\':
		buf_add_str(b, "\\\\");
		break;
	case '\n':
		buf_add_str(b, "\\n");
		break;
	case '\r':
		buf_add_str(b, "\\r");
		break;
	case '\t':
		buf_add_str(b, "\\t");
		break;
	default:
		buf_printf(b, "\\u%04x", c);
	}
}

/* Length of the character at s, 0 when it isn't valid UTF-8. */
static size_t
character_len(const char *s, size_t left)
{
	unsigned char c = (unsigned char)*s;
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return len <= left && str_is_utf8((struct str){ s, len }, NULL) ? len : 0;
}

void
buf_add_json(struct buf *b, const char *data, size_t len)
{
	size_t i, n, plain = 0; /* where bytes that stand for themselves begin */

	buf_add_char(b, '"');
	for (i = 0; i < len; i += n) {
		unsigned char c = (unsigned char)data[i];

		n = c < 0x80 ? 1 : character_len(data + i, len - i);
		if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buf_add(b, data + plain, i - plain);
		if (n == 0) {
			buf_add_str(b, "\xef\xbf\xbd"); /* U+FFFD */
			n = 1;
		} else
			add_json_escape(b, c);
		plain = i + n;
	}
	buf_add(b, data + plain, len - plain);
	buf_add_char(b, '"');
}

void
buf_add_base64(struct buf *b, const void *data, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned group = (unsigned)bytes[i] << 16;

		if (n > 1)
			group |= (unsigned)bytes[i + 1] << 8;
		if (n > 2)
			group |= bytes[i + 2];
		buf_add_char(b, digits[group >> 18]);
		buf_add_char(b, digits[group >> 12 & 63]);
		buf_add_char(b, n > 1 ? digits[group >> 6 & 63] : '=');
		buf_add_char(b, n > 2 ? digits[group & 63] : '=');
	}
}
