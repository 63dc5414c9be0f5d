/* How values and names stand in a statement: the part of mysql.h that needs no connection. */
#include "common/mysql.h"

#include <string.h>

/* What must not stand for itself between quotes: the letter behind the backslash, else 0. */
static const char escapes[256] = {
	['\0'] = '0',
	['\n'] = 'n',
	['\r'] = 'r',
	['\x1a'] = 'Z',
	['\''] = '\'',
	['\\'] = '\\',
};

/* Sixteen bytes at once, as GNU C's vectors; a machine without such registers does it in pieces. */
typedef char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* Do all of the sixteen bytes stand for themselves? */
static inline bool
is_plain(const char *data)
{
	bytes16 b;
	words2 odd;

	memcpy(&b, data, sizeof(b));
	odd = (words2)((b == '\0') | (b == '\n') | (b == '\r') | (b == '\x1a') | (b == '\'') |
	    (b == '\\'));
	return (odd[0] | odd[1]) == 0;
}

/* No byte of a UTF-8 character looks like one of these, so bytes may be looked at one by one. */
static void
add_quoted(struct buf *b, struct str value)
{
	char *to = buf_reserve(b, 2 * value.len + 2), *at = to;
	size_t i = 0;

	*at++ = '\'';
	while (i < value.len) {
		char escape;

		if (value.len - i >= sizeof(bytes16) && is_plain(value.data + i)) {
			memcpy(at, value.data + i, sizeof(bytes16));
			at += sizeof(bytes16);
			i += sizeof(bytes16);
			continue;
		}
		escape = escapes[(unsigned char)value.data[i]];
		if (escape != 0) {
			*at++ = '\\';
			*at++ = escape;
		} else
			*at++ = value.data[i];
		i++;
	}
	*at++ = '\'';
	buf_advance(b, (size_t)(at - to));
}

void
sql_add_text(struct buf *b, struct str value)
{
	add_quoted(b, value);
}

void
sql_add_binary(struct buf *b, struct str value)
{
	buf_add_str(b, "_binary");
	add_quoted(b, value);
}

void
sql_add_identifier(struct buf *b, struct str name)
{
	buf_add_char(b, '`');
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] == '`')
			buf_add_char(b, '`');
		buf_add_char(b, name.data[i]);
	}
	buf_add_char(b, '`');
}
