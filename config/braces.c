#include "config/braces.h"

#include "common/buf.h"
#include "common/number.h"

#include <ctype.h>
#include <string.h>

struct range {
	uint64_t first, last;
};

struct brace
brace_next(struct str *rest)
{
	struct brace brace = { BRACE_TEXT, { rest->data, 1 } };
	size_t taken = 1;

	if (rest->len == 0)
		return (struct brace){ .kind = BRACE_END };
	if (rest->data[0] == '{' || rest->data[0] == '}') {
		if (rest->len > 1 && rest->data[1] == rest->data[0]) {
			taken = 2;
		} else if (rest->data[0] == '}') {
			brace.kind = BRACE_BAD;
		} else {
			while (taken < rest->len && rest->data[taken] != '}' &&
			    rest->data[taken] != '{')
				taken++;
			brace.kind =
			    taken < rest->len && rest->data[taken] == '}' ? BRACE_HOLE : BRACE_BAD;
			brace.text = (struct str){ rest->data + 1, taken - 1 };
			taken += brace.kind == BRACE_HOLE;
		}
	}
	rest->data += taken;
	rest->len -= taken;
	return brace;
}

int
braces_check(struct str written, size_t *holes, struct err *err)
{
	struct str rest = written;
	struct brace brace;
	size_t count = 0;

	while ((brace = brace_next(&rest)).kind != BRACE_END) {
		if (brace.kind == BRACE_BAD)
			return err_set(err, ERR_FATAL, 0,
			    "a brace without its partner (literal braces are written {{ and }})");
		if (brace.kind == BRACE_HOLE && brace.text.len == 0)
			return err_set(err, ERR_FATAL, 0,
			    "{} is empty (literal braces are written {{ and }})");
		count += brace.kind == BRACE_HOLE;
	}
	if (holes != NULL)
		*holes = count;
	return 0;
}

static bool
read_bound(struct str digits, uint64_t *n)
{
	for (size_t i = 0; i < digits.len; i++)
		if (!isdigit((unsigned char)digits.data[i]))
			return false;
	/* a leading zero would promise names with leading zeros */
	if (digits.len > 1 && digits.data[0] == '0')
		return false;
	return number_u64(digits, n);
}

static int
read_range(struct str hole, struct range *range, struct err *err)
{
	size_t dots = 0;
	int shown = hole.len < 40 ? (int)hole.len : 40;

	while (dots + 1 < hole.len && (hole.data[dots] != '.' || hole.data[dots + 1] != '.'))
		dots++;
	if (dots + 1 >= hole.len || !read_bound((struct str){ hole.data, dots }, &range->first) ||
	    !read_bound((struct str){ hole.data + dots + 2, hole.len - dots - 2 }, &range->last))
		return err_set(err, ERR_FATAL, 0,
		    "{%.*s} is not a range such as {0..7} (literal braces are written {{ and }})",
		    shown, hole.data);
	if (range->last < range->first)
		return err_set(err, ERR_FATAL, 0, "the range {%.*s} runs downwards", shown,
		    hole.data);
	if (range->last - range->first >= STREAMS_MAX)
		return err_set(err, ERR_FATAL, 0, "the range {%.*s} is too long; %d lanes at most",
		    shown, hole.data, STREAMS_MAX);
	return 0;
}

/* How many names; 0 with *err when it is wrong. */
static size_t
count_names(struct str written, bool *ranged, struct err *err)
{
	size_t count = 1;
	struct range range = { 0, 0 };
	struct brace brace;

	if (braces_check(written, NULL, err) != 0)
		return 0;
	*ranged = false;
	while ((brace = brace_next(&written)).kind != BRACE_END) {
		if (brace.kind != BRACE_HOLE)
			continue;
		if (read_range(brace.text, &range, err) != 0)
			return 0;
		*ranged = true;
		count *= (size_t)(range.last - range.first + 1);
		if (count > STREAMS_MAX) {
			err_set(err, ERR_FATAL, 0, "more than %d lanes", STREAMS_MAX);
			return 0;
		}
	}
	return count;
}

/* Name number `index` of `count`; the leftmost range is the slowest. */
static const char *
name_at(struct str written, struct arena *arena, size_t index, size_t count)
{
	struct buf name;
	struct brace brace;
	struct range range = { 0, 0 };
	const char *copy;

	buf_init(&name);
	while ((brace = brace_next(&written)).kind != BRACE_END) {
		if (brace.kind == BRACE_TEXT) {
			buf_add(&name, brace.text.data, brace.text.len);
			continue;
		}
		CHECK(read_range(brace.text, &range, NULL) == 0);
		count /= (size_t)(range.last - range.first + 1);
		buf_add_u64(&name, range.first + index / count);
		index %= count;
	}
	copy = arena_copy(arena, name.data, name.len);
	buf_deinit(&name);
	return copy;
}

int
braces_expand(struct str written, struct arena *arena, struct braces_names *out, struct err *err)
{
	size_t count;

	if (written.len == 0)
		return err_set(err, ERR_FATAL, 0, "a stream's name can't be empty");
	count = count_names(written, &out->ranged, err);
	if (count == 0)
		return -1;
	out->count = count;
	out->name = arena_alloc(arena, count * sizeof(*out->name));
	for (size_t i = 0; i < count; i++)
		out->name[i] = name_at(written, arena, i, count);
	return 0;
}

/* Wildcard match with one resume point (the last hole is enough: an earlier one can only do worse). */
bool
braces_can_be(struct str template, struct str key)
{
	struct str resume = { NULL, 0 };
	size_t at = 0, resume_at = 0;

	for (;;) {
		struct str rest = template;
		struct brace brace = brace_next(&rest);

		if (brace.kind == BRACE_END && at == key.len)
			return true;
		if (brace.kind == BRACE_HOLE) {
			template = rest;
			resume = rest;
			resume_at = at;
		} else if (brace.kind == BRACE_TEXT && at < key.len &&
		    brace.text.data[0] == key.data[at]) {
			template = rest;
			at++;
		} else if (resume.data != NULL && resume_at < key.len) {
			template = resume;
			at = ++resume_at;
		} else {
			return false;
		}
	}
}

bool
braces_can_begin(struct str template, struct str prefix)
{
	struct brace brace;

	for (size_t i = 0; i < prefix.len; i++) {
		brace = brace_next(&template);
		if (brace.kind == BRACE_HOLE)
			return true;
		if (brace.kind != BRACE_TEXT || brace.text.data[0] != prefix.data[i])
			return false;
	}
	return true;
}
