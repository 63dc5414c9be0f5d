#include "worker/cache/glob.h"

#include <string.h>

/* The pattern's byte at *i, and whether it is a star; moves *i behind it. */
static char
take(struct str pattern, size_t *i, bool *star)
{
	char c = pattern.data[(*i)++];

	*star = c == '*';
	if (c == '\\' && *i < pattern.len)
		c = pattern.data[(*i)++];
	return c;
}

/* The last star is tried with ever more bytes; an earlier one never needs to be. */
bool
glob_matches(struct str pattern, struct str key)
{
	size_t p = 0, k = 0, star_p = SIZE_MAX, star_k = 0;

	for (;;) {
		size_t next = p;
		bool star = false;
		char c;

		if (p == pattern.len && k == key.len)
			return true;
		c = p < pattern.len ? take(pattern, &next, &star) : '\0';
		if (p < pattern.len && star) {
			star_p = p = next;
			star_k = k;
			continue;
		}
		if (p < pattern.len && k < key.len && c == key.data[k]) {
			p = next;
			k++;
			continue;
		}
		if (star_p == SIZE_MAX || star_k >= key.len)
			return false;
		p = star_p;
		k = ++star_k;
	}
}

void
glob_escape(struct buf *out, struct str text, bool stars)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (c != '\0' && strchr("*?[]^\\", c) != NULL && !(stars && c == '*'))
			buf_add_char(out, '\\');
		buf_add_char(out, c);
	}
}

size_t
glob_common(struct str a, struct str b)
{
	size_t i = 0;

	while (i < a.len && i < b.len) {
		size_t len = a.data[i] == '\\' && i + 1 < a.len ? 2 : 1;

		if (a.data[i] == '*' || i + len > b.len || memcmp(a.data + i, b.data + i, len) != 0)
			break;
		i += len;
	}
	return i;
}
