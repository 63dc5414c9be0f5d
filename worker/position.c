#include "worker/position.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int
position_compare(struct position a, struct position b)
{
	if (a.major != b.major)
		return a.major < b.major ? -1 : 1;
	if (a.minor != b.minor)
		return a.minor < b.minor ? -1 : 1;
	return 0;
}

const char *
position_text(struct position p, char out[POSITION_TEXT])
{
	if (p.minor == POSITION_OFFSET)
		snprintf(out, POSITION_TEXT, "%" PRIu64, p.major);
	else
		snprintf(out, POSITION_TEXT, "%" PRIu64 "-%" PRIu64, p.major, p.minor);
	return out;
}

/* Digits only: no sign and no blank, which strtoull would take. */
static bool
parse_part(struct str text, uint64_t *out)
{
	uint64_t n = 0;

	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned)text.data[i] - '0';

		if (digit > 9)
			return false;
		if (i < 19) /* that many digits always fit */
			n = n * 10 + digit;
		else if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return true;
}

bool
position_parse(struct str text, struct position *out)
{
	const char *dash = text.len > 0 ? memchr(text.data, '-', text.len) : NULL;
	struct position p = { 0, 0 };

	if (dash == NULL) {
		if (!parse_part(text, &p.major))
			return false;
		p.minor = POSITION_OFFSET;
	} else {
		size_t len = (size_t)(dash - text.data);

		if (!parse_part((struct str){ text.data, len }, &p.major) ||
		    !parse_part((struct str){ dash + 1, text.len - len - 1 }, &p.minor))
			return false;
	}
	*out = p;
	return true;
}

struct position
position_of_stream(struct position p)
{
	return p.minor == POSITION_OFFSET ? (struct position){ p.major, 0 } : p;
}

struct position
position_of_offset(int64_t offset)
{
	return offset < 0 ? (struct position){ 0, 0 } :
			    (struct position){ (uint64_t)offset, POSITION_OFFSET };
}

int64_t
position_next_offset(struct position p)
{
	return p.minor == POSITION_OFFSET ? (int64_t)p.major + 1 : 0;
}
