#include "common/str.h"

#include <stdint.h>

static bool
is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The length of the character at s (RFC 3629 section 4), 0 when there is none. */
static size_t
utf8_len(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4) /* continuation, overlong, beyond U+10FFFF */
		return 0;
	if (left < 2 || !is_continuation(s[1]))
		return 0;
	if (s[0] < 0xe0)
		return 2;
	if (left < 3 || !is_continuation(s[2]))
		return 0;
	if (s[0] < 0xf0) {
		if (s[0] == 0xe0 && s[1] < 0xa0) /* overlong */
			return 0;
		if (s[0] == 0xed && s[1] > 0x9f) /* surrogate */
			return 0;
		return 3;
	}
	if (left < 4 || !is_continuation(s[3]))
		return 0;
	if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return 4;
}

bool
str_is_utf8(struct str s, size_t *characters)
{
	const unsigned char *data = (const unsigned char *)s.data;
	size_t i = 0, n = 0;

	while (i < s.len) {
		uint64_t word;
		size_t len;

		if (s.len - i >= sizeof(word)) { /* eight ASCII characters at once */
			memcpy(&word, data + i, sizeof(word));
			if ((word & 0x8080808080808080u) == 0) {
				i += sizeof(word);
				n += sizeof(word);
				continue;
			}
		}
		len = utf8_len(data + i, s.len - i);
		if (len == 0)
			return false;
		i += len;
		n++;
	}
	if (characters != NULL)
		*characters = n;
	return true;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Levenshtein's distance, one row of the matrix at a time. */
unsigned
str_distance(struct str a, struct str b)
{
	enum { LEN_MAX = 64 };
	size_t a_len = a.len < LEN_MAX ? a.len : LEN_MAX;
	size_t b_len = b.len < LEN_MAX ? b.len : LEN_MAX;
	unsigned row[LEN_MAX + 1], diagonal, above, best;
	size_t i, j;

	for (j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= a_len; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (j = 1; j <= b_len; j++) {
			above = row[j];
			best = diagonal + (lower(a.data[i - 1]) != lower(b.data[j - 1]));
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[b_len];
}

bool
str_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	}
	return true;
}
