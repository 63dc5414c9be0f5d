#include "worker/cache/key_template.h"

#include "config/braces.h"
#include "worker/cache/glob.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

static int
column_of(struct str name, const char *const *names, size_t name_count)
{
	for (size_t i = 0; i < name_count; i++)
		if (strlen(names[i]) == name.len && strncasecmp(names[i], name.data, name.len) == 0)
			return (int)i;
	return -1;
}

/*
 * The byte that marks this separator: no value may hold it unescaped, so the first one in a key ends
 * the value before it.  It can't be '%' or a hexadecimal digit, which escapes are made of.
 * Punctuation is preferred, so that ordinary values stay as they are.  0: there is none.
 */
static unsigned char
separator_mark(struct str text)
{
	unsigned char mark = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == '%' || c == '\0' || isxdigit(c))
			continue;
		if (!isalnum(c))
			return c;
		if (mark == 0)
			mark = c;
	}
	return mark;
}

/* Which bytes of values are escaped; only what stands between two placeholders separates. */
static int
choose_escapes(struct key_template *t, size_t holes, struct err *err)
{
	if (holes < 2)
		return 0;
	t->escaped['%'] = true;
	for (size_t i = 1; i < t->part_count && t->parts[i].column >= 0; i++) {
		struct str text = t->parts[i].text;
		unsigned char mark = separator_mark(text);

		if (mark == 0)
			return err_set(err, ERR_FATAL, 0,
			    text.len == 0 ? "two placeholders need a separator between them" :
					    "the text between two placeholders needs a byte other "
					    "than %% and 0-9 a-f, such as ':'");
		t->escaped[mark] = true;
	}
	return 0;
}

static bool
holds_all(const struct key_template *t, size_t name_count)
{
	for (size_t name = 0; name < name_count; name++) {
		size_t part = 0;

		while (part < t->part_count && t->parts[part].column != (int)name)
			part++;
		if (part == t->part_count)
			return false;
	}
	return true;
}

int
key_template_compile(struct key_template *t, const struct config_template *config,
    const char *const *names, size_t name_count, struct err *err)
{
	struct str rest = str_of(config->written), text;
	struct brace brace;
	size_t holes;
	char *literal;

	*t = (struct key_template){ .config = config };
	if (braces_check(rest, &holes, err) != 0)
		return -1;
	/* the parts and, behind them, their literal bytes */
	t->parts = malloc((holes + 1) * sizeof(*t->parts) + rest.len + 1);
	CHECK(t->parts != NULL);
	literal = (char *)(t->parts + holes + 1);
	text = (struct str){ literal, 0 };
	while ((brace = brace_next(&rest)).kind != BRACE_END) {
		if (brace.kind == BRACE_TEXT) {
			*literal++ = brace.text.data[0];
			text.len++;
			continue;
		}
		t->parts[t->part_count] =
		    (struct key_part){ text, column_of(brace.text, names, name_count) };
		if (t->parts[t->part_count++].column < 0) {
			err_set(err, ERR_FATAL, 0, "{%.*s} is not a column of the table",
			    brace.text.len < 64 ? (int)brace.text.len : 64, brace.text.data);
			goto fail;
		}
		text = (struct str){ literal, 0 };
	}
	t->parts[t->part_count++] = (struct key_part){ text, -1 };
	if (choose_escapes(t, holes, err) != 0)
		goto fail;
	t->one_row = holds_all(t, name_count);
	return 0;
fail:
	key_template_deinit(t);
	return -1;
}

void
key_template_deinit(struct key_template *t)
{
	free(t->parts);
	t->parts = NULL;
	t->part_count = 0;
}

static void
add_value(const struct key_template *t, struct str value, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char *to = buf_reserve(out, 3 * value.len);
	size_t len = 0;

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];

		if (t->escaped[c]) {
			to[len++] = '%';
			to[len++] = digits[c >> 4];
			to[len++] = digits[c & 15];
		} else {
			to[len++] = (char)c;
		}
	}
	buf_advance(out, len);
}

static void
add_escaped(struct buf *out, size_t from, bool stars)
{
	struct buf copy;

	buf_init(&copy);
	buf_add(&copy, out->data + from, out->len - from);
	out->len = from;
	glob_escape(out, (struct str){ copy.data, copy.len }, stars);
	buf_deinit(&copy);
}

bool
key_template_render(const struct key_template *t, const struct str *values, struct buf *out)
{
	size_t start = out->len, value_from;

	for (size_t i = 0; i < t->part_count; i++) {
		const struct key_part *part = &t->parts[i];

		if (t->config->mode == MODE_SCAN)
			glob_escape(out, part->text, true);
		else
			buf_add(out, part->text.data, part->text.len);
		if (part->column < 0)
			break;
		if (values[part->column].data == NULL) {
			out->len = start;
			if (out->data != NULL)
				out->data[start] = '\0';
			return false;
		}
		value_from = out->len;
		add_value(t, values[part->column], out);
		if (t->config->mode == MODE_SCAN && out->len > value_from)
			add_escaped(out, value_from, false);
	}
	return true;
}

/* Where the value in front of the separator ends; NULL: it doesn't. */
static const char *
value_end(const char *from, const char *end, struct str separator, bool is_last)
{
	const char *mark, *start;
	size_t before;

	if (is_last)
		return (size_t)(end - from) >= separator.len &&
			memcmp(end - separator.len, separator.data, separator.len) == 0 ?
		    end - separator.len :
		    NULL;
	/* no value holds the mark */
	const char *own = memchr(separator.data, separator_mark(separator), separator.len);
	before = (size_t)(own - separator.data);
	mark = memchr(from, separator_mark(separator), (size_t)(end - from));
	start = mark != NULL && (size_t)(mark - from) >= before ? mark - before : NULL;
	return start != NULL && (size_t)(end - start) >= separator.len &&
		memcmp(start, separator.data, separator.len) == 0 ?
	    start :
	    NULL;
}

static int
hexadecimal(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct str
unescape(struct str text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '%' && i + 2 < text.len && hexadecimal(text.data[i + 1]) >= 0 &&
		    hexadecimal(text.data[i + 2]) >= 0) {
			out[len++] = (char)(16 * hexadecimal(text.data[i + 1]) +
			    hexadecimal(text.data[i + 2]));
			i += 2;
		} else {
			out[len++] = text.data[i];
		}
	}
	return (struct str){ out, len };
}

bool
key_template_match(const struct key_template *t, struct str key, struct arena *arena,
    struct str *values)
{
	const char *at = key.data, *end = key.data + key.len, *stop;
	struct str first = t->parts[0].text;
	struct buf again = { 0 };
	bool same;

	if (key.len < first.len || memcmp(key.data, first.data, first.len) != 0)
		return false;
	at += first.len;
	for (size_t i = 0; t->parts[i].column >= 0; i++) {
		struct str separator = t->parts[i + 1].text;
		bool is_last = t->parts[i + 1].column < 0;

		stop = value_end(at, end, separator, is_last);
		if (stop == NULL)
			return false;
		struct str value = { at, (size_t)(stop - at) };
		values[t->parts[i].column] = t->escaped['%'] ? unescape(value, arena) : value;
		at = stop + separator.len;
	}
	/* two placeholders of one column must agree, and an escape be one of ours */
	same = at == end && key_template_render(t, values, &again) &&
	    str_equal((struct str){ again.data, again.len }, key);
	buf_deinit(&again);
	return same;
}
