#include "config/read.h"

#include "common/number.h"
#include "config/unit.h"

#include <ctype.h>
#include <string.h>

void
read_string(struct reader *r, const struct reading *in)
{
	const char **field = read_field(in);
	struct str text;

	if (read_text(r, in, in->node, &text))
		*field = text.data;
}

void
read_name(struct reader *r, const struct reading *in)
{
	const char **field = read_field(in);
	struct str text;

	if (!read_text(r, in, in->node, &text))
		return;
	for (size_t i = 0; i < text.len; i++)
		if (!isalnum((unsigned char)text.data[i]) && strchr("_.-", text.data[i]) == NULL) {
			read_refuse(r, in, in->node);
			return;
		}
	*field = text.data;
}

void
read_secret(struct reader *r, const struct reading *in)
{
	struct config_secret *field = read_field(in);
	struct buf value;

	if (!read_is_scalar(r, in, in->node))
		return;
	buf_init(&value);
	if (read_expand(r, in, in->node, &value)) {
		field->written = arena_copy(r->arena, in->node->text.data, in->node->text.len);
		if (value.len > (size_t)in->option->max)
			problem_add(r->problems, in->node->at, "%s: %zu bytes long; %lld at most",
			    read_path(r, in), value.len, (long long)in->option->max);
	}
	buf_deinit(&value);
}

/* A number of the option's unit from the text. */
static enum unit_result
read_quantity(enum option_type type, struct str text, int64_t *n)
{
	if (type == OPTION_DURATION)
		return unit_duration(text, n);
	if (type == OPTION_SIZE)
		return unit_size(text, n);
	return number_i64(text, n) ? UNIT_OK : UNIT_NO_NUMBER;
}

static bool
read_in_range(struct reader *r, const struct reading *in, int64_t *n)
{
	const char *quoted = problem_quote(r->problems, in->node->text);
	const char *path = read_path(r, in);
	enum unit_result result;
	struct str text;
	struct buf meaning;

	if (!read_text(r, in, in->node, &text))
		return false;
	result = read_quantity(in->option->type, text, n);
	if (result == UNIT_OK && *n >= in->option->min && *n <= in->option->max)
		return true;
	buf_init(&meaning);
	option_add_meaning(in->option, &meaning);
	if (result == UNIT_MISSING)
		problem_add(r->problems, in->node->at,
		    "%s: %s has no unit (ms, s, m or h); meant %s", path, quoted, meaning.data);
	else if (result == UNIT_UNKNOWN)
		problem_add(r->problems, in->node->at,
		    "%s: %s has no unit that we know (%s); meant %s", path, quoted,
		    in->option->type == OPTION_SIZE ? "B, KiB, MiB, GiB, KB, MB, GB" :
						      "ms, s, m, h",
		    meaning.data);
	else if (result == UNIT_NO_NUMBER)
		read_refuse(r, in, in->node);
	else
		problem_add(r->problems, in->node->at, "%s: %s is out of range; meant %s", path,
		    quoted, meaning.data);
	buf_deinit(&meaning);
	return false;
}

void
read_int(struct reader *r, const struct reading *in)
{
	int *field = read_field(in);
	int64_t n;

	if (read_in_range(r, in, &n))
		*field = (int)n;
}

void
read_int64(struct reader *r, const struct reading *in)
{
	int64_t *field = read_field(in), n;

	if (read_in_range(r, in, &n))
		*field = n;
}

void
read_sample(struct reader *r, const struct reading *in)
{
	int64_t *field = read_field(in);
	struct str text;

	if (!read_text(r, in, in->node, &text))
		return;
	if (!unit_sample(text, field))
		read_refuse(r, in, in->node);
}

void
read_enum(struct reader *r, const struct reading *in)
{
	int value;

	_Static_assert(sizeof(enum config_format) == sizeof(value), "an enum is stored as an int");
	if (read_word(r, in, in->node, &value))
		memcpy(read_field(in), &value, sizeof(value));
}

void
read_bool(struct reader *r, const struct reading *in)
{
	bool *field = read_field(in);
	int value;

	if (read_word(r, in, in->node, &value))
		*field = value != 0;
}

void
read_bits(struct reader *r, const struct reading *in)
{
	unsigned *field = read_field(in), bits = 0;
	int value;

	if (in->node->kind == NODE_MAP || read_count_elements(in->node) == 0 ||
	    node_is_null(in->node)) {
		read_refuse(r, in, in->node);
		return;
	}
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;)
		if (read_word(r, in, e, &value))
			bits |= (unsigned)value;
	*field = bits;
}

void
read_flags(struct reader *r, const struct reading *in)
{
	int value;

	if (in->node->kind == NODE_MAP) {
		read_refuse(r, in, in->node);
		return;
	}
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;)
		if (read_word(r, in, e, &value))
			*(bool *)((char *)in->base + value) = true;
}

void
read_texts(struct reader *r, const struct reading *in)
{
	const char ***field = read_field(in);
	size_t *count = read_count_field(in);
	struct str text;

	if (in->node->kind == NODE_MAP) {
		read_refuse(r, in, in->node);
		return;
	}
	if (read_count_elements(in->node) > LIST_MAX) {
		problem_add(r->problems, in->node->at, "%s: more than %d", read_path(r, in),
		    LIST_MAX);
		return;
	}
	*field = arena_alloc(r->arena, (read_count_elements(in->node) + 1) * sizeof(**field));
	*count = 0;
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL;)
		if (read_text(r, in, e, &text))
			(*field)[(*count)++] = text.data;
}
