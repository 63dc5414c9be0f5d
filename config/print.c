#include "config/config.h"

#include "common/err.h"
#include "config/options.h"
#include "config/unit.h"

#include <string.h>

/*
 * The effective configuration, by the table of options.  Everything that is text goes out in double
 * quotes with $ doubled, so that reading it back gives the same bytes whatever they are.
 */
struct printer {
	struct buf *out;
	const struct config *config;
	int depth;
	bool after_dash; /* the next option stands behind the dash of a list's element */
};

static void print_options(struct printer *p, const char *parent, const void *base);

void
config_print(const struct config *config, struct buf *out)
{
	struct printer printer = { out, config, 0, false };

	print_options(&printer, "", config);
}

static const void *
field(const struct option *option, const void *base)
{
	return (const char *)base + option->offset;
}

static size_t
count_field(const struct option *option, const void *base)
{
	size_t count;

	memcpy(&count, (const char *)base + option->count_offset, sizeof(count));
	return count;
}

/* Text in the struct is UTF-8 (it was read so); decode one character of it. */
static unsigned
next_character(const unsigned char **text)
{
	const unsigned char *c = *text;
	int more = *c < 0x80 ? 0 : *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
	unsigned character = more == 0 ? *c : *c & (0x3fU >> more);

	for (c++; more > 0; more--)
		character = (character << 6) | (*c++ & 0x3f);
	*text = c;
	return character;
}

/* Bytes libyaml would refuse or change are escaped. */
static void
print_quoted(struct buf *out, const char *text, bool is_expanded)
{
	const unsigned char *c = (const unsigned char *)text, *start;

	buf_add_char(out, '"');
	while (*(start = c) != '\0') {
		unsigned character = next_character(&c);

		if (character == '$')
			buf_add_str(out, is_expanded ? "$$" : "$");
		else if (character == '"' || character == '\\')
			buf_printf(out, "\\%c", (int)character);
		else if (character < ' ' || (character >= 0x7f && character < 0xa0) ||
		    character == 0x2028 || character == 0x2029 || character == 0xfeff ||
		    character == 0xfffe || character == 0xffff)
			buf_printf(out, "\\U%08X", character);
		else
			buf_add(out, start, (size_t)(c - start));
	}
	buf_add_char(out, '"');
}

/* A value: ${…} in it would be replaced. */
static void
print_text(struct buf *out, const char *text)
{
	print_quoted(out, text, true);
}

/* A key: nothing in it is. */
static void
print_key(struct buf *out, const char *text)
{
	print_quoted(out, text, false);
}

static void
print_texts(struct buf *out, const char *const *text, size_t count)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i > 0 ? ", " : "");
		print_text(out, text[i]);
	}
	buf_add_char(out, ']');
}

static void
print_pairs(struct buf *out, const struct config_pair *pair, size_t count)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i > 0 ? ", " : " ");
		print_key(out, pair[i].name);
		buf_add_str(out, ": ");
		print_text(out, pair[i].value);
	}
	buf_add_str(out, " }");
}

/* The words of a list of them that are set in the struct. */
static void
print_words(struct buf *out, const struct option *option, const void *base)
{
	const char *between = "";
	unsigned bits = 0;

	if (option->type == OPTION_BITS)
		memcpy(&bits, field(option, base), sizeof(bits));
	buf_add_char(out, '[');
	for (const struct option_word *word = option->words; word->name != NULL; word++) {
		bool set = option->type == OPTION_BITS ?
		    (bits & (unsigned)word->value) != 0 :
		    *(const bool *)((const char *)base + word->value);

		if (!set)
			continue;
		buf_printf(out, "%s%s", between, word->name);
		between = ", ";
	}
	buf_add_char(out, ']');
}

static void
print_wait(struct buf *out, const char *name, int ms)
{
	buf_printf(out, ", %s: ", name);
	unit_add_duration(out, ms);
}

/* What the template's way of invalidation looks at. */
static void
print_waits(struct buf *out, const struct config_template *template)
{
	bool populate = template->mode == MODE_POPULATE;
	bool versioned = template->mode == MODE_VERSIONED || populate,
	     tag = template->mode == MODE_TAG;

	if (versioned) {
		print_wait(out, "marker", template->marker_ms);
		print_wait(out, "marker_absent", template->marker_absent_ms);
	}
	if (versioned || tag)
		print_wait(out, "quarantine", template->quarantine_ms);
	if (template->mode == MODE_GENERATION || template->mode == MODE_TABLE || populate)
		print_wait(out, "ttl", template->ttl_ms);
	if (populate)
		buf_printf(out, ", populate: %s",
		    template->populate_always ? "always" : "existing");
}

static void
print_templates(struct buf *out, const struct config_table *table)
{
	const struct option *mode = option_find("tables.*.invalidate[]", STR("mode"));

	buf_add_char(out, '[');
	for (size_t i = 0; i < table->template_count; i++) {
		buf_add_str(out, i > 0 ? ", { key: " : "{ key: ");
		print_text(out, table->templates[i].written);
		buf_printf(out, ", mode: %s", option_word_of(mode, (int)table->templates[i].mode));
		if (table->templates[i].when_count > 0) {
			buf_add_str(out, ", when: ");
			print_texts(out, table->templates[i].when, table->templates[i].when_count);
		}
		print_waits(out, &table->templates[i]);
		buf_add_str(out, " }");
	}
	buf_add_char(out, ']');
}

static void
print_settings(struct buf *out, const struct config_setting *settings, size_t count)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		buf_add_str(out, i > 0 ? ", " : " ");
		print_key(out, settings[i].name);
		buf_add_str(out, ": ");
		if (config_setting_is_secret(settings[i].name))
			buf_add_str(out, "\"***\"");
		else
			print_text(out, settings[i].value);
	}
	buf_add_str(out, " }");
}

static void
print_names(struct buf *out, const struct config_source *source)
{
	if (config_has_topics(source))
		print_texts(out, source->topics, source->topic_count);
	else
		print_texts(out, source->patterns, source->pattern_count);
}

static void
print_version(struct buf *out, const struct config_table *table)
{
	const struct option *kind = option_find("tables.*.version", STR("kind"));

	buf_add_str(out, "{ column: ");
	print_text(out, table->version_column);
	buf_printf(out, ", kind: %s }", option_word_of(kind, (int)table->version));
}

static void
print_listen(struct buf *out, const struct config *config)
{
	if (config->http_host == NULL)
		buf_add_str(out, "off");
	else if (strchr(config->http_host, ':') != NULL)
		buf_printf(out, "\"[%s]:%d\"", config->http_host, config->http_port);
	else
		buf_printf(out, "\"%s:%d\"", config->http_host, config->http_port);
}

static int64_t
number_of(const struct option *option, const void *base)
{
	int64_t wide;
	int narrow;

	if (option->type == OPTION_COUNT || option->type == OPTION_SIZE ||
	    option->type == OPTION_SAMPLE) {
		memcpy(&wide, field(option, base), sizeof(wide));
		return wide;
	}
	memcpy(&narrow, field(option, base), sizeof(narrow));
	return narrow;
}

static const void *
pointer_of(const struct option *option, const void *base)
{
	const void *pointer;

	memcpy(&pointer, field(option, base), sizeof(pointer));
	return pointer;
}

/* Options that are not set, and those that another one stands for. */
static bool
is_silent(const struct option *option, const void *base)
{
	if (option->type == OPTION_LATER || option->type == OPTION_REDIS_URL ||
	    option->type == OPTION_MYSQL_URL)
		return true;
	if (option->parent[0] == '\0' && strcmp(option->name, "mysql") == 0)
		return !((const struct config *)base)->has_mysql;
	if (option->parent[0] == '\0' && strcmp(option->name, "redis") == 0)
		return !((const struct config *)base)->has_redis;
	if (option->type == OPTION_REFRESH)
		return !((const struct config_table *)base)->refresh.on;
	if (option->type == OPTION_VERSION)
		return ((const struct config_table *)base)->version == VERSION_NONE;
	if (option->type == OPTION_TEXTS || option->type == OPTION_SOURCE_TABLES ||
	    option->type == OPTION_PAIRS || option->type == OPTION_SETTINGS ||
	    option->type == OPTION_TEMPLATES)
		return count_field(option, base) == 0;
	if (option->type == OPTION_STREAMS)
		return config_has_topics(base);
	if (option->type == OPTION_TOPICS)
		return !config_has_topics(base);
	if (option->type == OPTION_TEXT || option->type == OPTION_HOST ||
	    option->type == OPTION_SECRET || option->type == OPTION_SOURCE_TABLE)
		return pointer_of(option, base) == NULL;
	return false;
}

static void
print_quantity(struct buf *out, enum option_type type, int64_t n)
{
	if (type == OPTION_DURATION)
		unit_add_duration(out, n);
	else if (type == OPTION_SIZE)
		unit_add_size(out, n);
	else
		unit_add_sample(out, n);
}

static void
print_value(struct buf *out, const struct option *option, const void *base)
{
	const struct config_source *source = base;
	bool truth;

	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_NAME:
	case OPTION_HOST:
	case OPTION_START:
	case OPTION_SOURCE_TABLE:
		print_text(out, pointer_of(option, base));
		break;
	case OPTION_SECRET:
		buf_add_str(out, "\"***\"");
		break;
	case OPTION_INT:
	case OPTION_COUNT:
		buf_add_i64(out, number_of(option, base));
		break;
	case OPTION_DURATION:
	case OPTION_SIZE:
	case OPTION_SAMPLE:
		print_quantity(out, option->type, number_of(option, base));
		break;
	case OPTION_WORD:
		buf_add_str(out, option_word_of(option, (int)number_of(option, base)));
		break;
	case OPTION_BOOL:
		memcpy(&truth, field(option, base), sizeof(truth));
		buf_add_str(out, option_word_of(option, truth));
		break;
	case OPTION_BITS:
	case OPTION_FLAGS:
		print_words(out, option, base);
		break;
	case OPTION_TEXTS:
	case OPTION_SOURCE_TABLES:
		print_texts(out, pointer_of(option, base), count_field(option, base));
		break;
	case OPTION_PAIRS:
		print_pairs(out, pointer_of(option, base), count_field(option, base));
		break;
	case OPTION_SETTINGS:
		print_settings(out, pointer_of(option, base), count_field(option, base));
		break;
	case OPTION_LISTEN:
		print_listen(out, base);
		break;
	case OPTION_STREAMS:
	case OPTION_TOPICS:
		print_names(out, source);
		break;
	case OPTION_VERSION:
		print_version(out, base);
		break;
	case OPTION_TEMPLATES:
		print_templates(out, base);
		break;
	case OPTION_SECTION:
	case OPTION_SERVER:
	case OPTION_SOURCES:
	case OPTION_TABLES:
	case OPTION_REFRESH:
	case OPTION_LATER:
	case OPTION_REDIS_URL:
	case OPTION_MYSQL_URL:
	case OPTION_TYPES:
		/* is_silent and print_section keep these from here */
		CHECK(false);
	}
}

static void
print_name(struct printer *p, const char *name)
{
	if (!p->after_dash)
		buf_printf(p->out, "%*s", 2 * p->depth, "");
	p->after_dash = false;
	buf_printf(p->out, "%s:", name);
}

static void
print_sources(struct printer *p)
{
	p->depth += 2;
	for (size_t i = 0; i < p->config->source_count; i++) {
		buf_add_str(p->out, "  - ");
		p->after_dash = true;
		print_options(p, "sources[]", &p->config->sources[i]);
	}
	p->depth -= 2;
}

static void
print_tables(struct printer *p)
{
	p->depth += 2;
	for (size_t i = 0; i < p->config->table_count; i++) {
		buf_add_str(p->out, "  ");
		print_key(p->out, p->config->tables[i].name);
		buf_add_str(p->out, ":\n");
		print_options(p, "tables.*", &p->config->tables[i]);
	}
	p->depth -= 2;
}

static void
print_section(struct printer *p, const struct option *option, const void *base)
{
	const char *children = option->type == OPTION_SERVER ? "redis" : option->name;

	buf_add_char(p->out, '\n');
	if (option->type == OPTION_SOURCES) {
		print_sources(p);
	} else if (option->type == OPTION_TABLES) {
		print_tables(p);
	} else if (option->type == OPTION_REFRESH) {
		p->depth++;
		print_options(p, "tables.*.refresh", field(option, base));
		p->depth--;
	} else {
		p->depth++;
		print_options(p, children, field(option, base));
		p->depth--;
	}
}

static void
print_options(struct printer *p, const char *parent, const void *base)
{
	for (const struct option *option = options; option->parent != NULL; option++) {
		if (strcmp(option->parent, parent) != 0 || is_silent(option, base))
			continue;
		print_name(p, option->name);
		if (option->type <= OPTION_TABLES || option->type == OPTION_REFRESH) {
			print_section(p, option, base);
			continue;
		}
		buf_add_char(p->out, ' ');
		print_value(p->out, option, base);
		buf_add_char(p->out, '\n');
	}
}
