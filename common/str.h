#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes that somebody else owns.  Any byte may occur; there need not be a NUL behind them. */
struct str {
	const char *data;
	size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_ARGS(s) (int)(s).len, (s).data /* for %.*s */

static inline struct str
str_of(const char *text)
{
	return (struct str){ text, text != NULL ? strlen(text) : 0 };
}

static inline bool
str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
str_begins(struct str s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && (len == 0 || memcmp(s.data, prefix, len) == 0);
}

/* Valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF)?  If so and characters
 * isn't NULL, *characters is their number. */
bool str_is_utf8(struct str s, size_t *characters);
/* No byte above 0x7f? */
bool str_is_ascii(struct str s);

/* Edit distance (insert, delete, replace; case ignored), for "did you mean".  At most 64 bytes of
 * each are looked at. */
unsigned str_distance(struct str a, struct str b);

#endif
