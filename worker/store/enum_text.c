#include "worker/store/enum_text.h"

#include "common/err.h"
#include "common/number.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool
begins_with(struct str s, const char *text)
{
	return s.len >= strlen(text) && strncasecmp(s.data, text, strlen(text)) == 0;
}

bool
enum_is_type(struct str type)
{
	return begins_with(type, "enum(") || begins_with(type, "set(");
}

/* The next quoted member behind *at, appended to out; false at the end. */
static bool
next_member(struct str type, size_t *at, char *out, size_t *len)
{
	while (*at < type.len && type.data[*at] != '\'')
		(*at)++;
	if (*at == type.len)
		return false;
	for ((*at)++; *at < type.len; (*at)++) {
		if (type.data[*at] == '\'') {
			(*at)++;
			if (*at == type.len || type.data[*at] != '\'')
				return true;
		}
		out[(*len)++] = type.data[*at];
	}
	return false;
}

bool
enum_has_member(struct str type, struct str text)
{
	char *member;
	size_t at = 0, len = 0;
	bool found = false;

	if (memchr(type.data, '\\', type.len) != NULL)
		return false;
	member = malloc(type.len + 1);
	CHECK(member != NULL);
	for (; !found && next_member(type, &at, member, &len); len = 0)
		found = str_equal((struct str){ member, len }, text);
	free(member);
	return found;
}

/* bits: which members, the first is the lowest; they are joined by commas. */
static bool
join_members(struct str type, uint64_t bits, char *out, size_t *len)
{
	for (size_t at = 0; bits != 0; bits >>= 1) {
		size_t before = *len;

		if (before > 0 && (bits & 1) != 0)
			out[(*len)++] = ',';
		if (!next_member(type, &at, out, len))
			return false;
		if ((bits & 1) == 0)
			*len = before;
	}
	return true;
}

/* The member of this place, from 1. */
static bool
take_member(struct str type, uint64_t place, char *out, size_t *len)
{
	for (size_t at = 0; place > 0; place--) {
		*len = 0;
		if (!next_member(type, &at, out, len))
			return false;
	}
	return true;
}

bool
enum_number_text(struct str type, struct str number, struct arena *arena, struct str *out)
{
	uint64_t n;
	char *text;
	size_t len = 0;

	if (!enum_is_type(type) || memchr(type.data, '\\', type.len) != NULL ||
	    !number_u64(number, &n))
		return false;
	text = arena_alloc(arena, type.len + 1);
	if (!(begins_with(type, "set(") ? join_members : take_member)(type, n, text, &len))
		return false;
	*out = (struct str){ text, len };
	return true;
}
