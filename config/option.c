#include "config/options.h"
#include "config/unit.h"

enum { DISTANCE_MAX = 2 };

const struct option *
option_find(const char *parent, struct str name)
{
	for (const struct option *option = options; option->parent != NULL; option++)
		if (strcmp(option->parent, parent) == 0 && str_equal(str_of(option->name), name))
			return option;
	return NULL;
}

/* By length alone, before the slow look. */
static bool
option_is_near(const char *option, struct str name)
{
	size_t len = strlen(option);

	return len <= name.len + DISTANCE_MAX && name.len <= len + DISTANCE_MAX;
}

const struct option *
option_nearest(const char *parent, struct str name)
{
	const struct option *nearest = NULL;
	unsigned best = DISTANCE_MAX + 1;

	for (const struct option *option = options; option->parent != NULL; option++) {
		unsigned distance;

		if (strcmp(option->parent, parent) != 0 || !option_is_near(option->name, name))
			continue;
		distance = str_distance(str_of(option->name), name);
		/* "db" is two edits from everything that has two letters */
		if (distance < best && distance < name.len) {
			best = distance;
			nearest = option;
		}
	}
	return nearest;
}

const struct option *
option_elsewhere(const char *parent, struct str name)
{
	for (const struct option *option = options; option->parent != NULL; option++)
		if (strcmp(option->parent, parent) != 0 && option->type != OPTION_LATER &&
		    str_equal(str_of(option->name), name))
			return option;
	return NULL;
}

const struct option *
option_of_path(struct str path)
{
	const char *dot = memchr(path.data, '.', path.len);
	size_t len = dot != NULL ? (size_t)(dot - path.data) : 0;

	for (const struct option *option = options; dot != NULL && option->parent != NULL; option++)
		if (str_equal(str_of(option->parent), (struct str){ path.data, len }) &&
		    str_equal(str_of(option->name), (struct str){ dot + 1, path.len - len - 1 }))
			return option;
	return NULL;
}

void
option_add_path(const struct option *option, struct buf *out)
{
	if (option->parent[0] != '\0')
		buf_printf(out, "%s.", option->parent);
	buf_add_str(out, option->name);
}

static void
add_words(const struct option *option, struct buf *out)
{
	const struct option_word *word = option->words;

	for (const char *between = ""; word->name != NULL; word++) {
		/* of several spellings of one thing the first is the one we speak of */
		if (word->later || option_word_of(option, word->value) != word->name)
			continue;
		buf_printf(out, "%s%s", between, word->name);
		between = ", ";
	}
}

static void
add_range(struct buf *out, const char *what, const struct option *option,
    void (*add)(struct buf *, int64_t))
{
	buf_add_str(out, what);
	buf_add_str(out, " from ");
	add(out, option->min);
	buf_add_str(out, " to ");
	add(out, option->max);
}

void
option_add_meaning(const struct option *option, struct buf *out)
{
	static const char *const meanings[OPTION_TYPES] = {
		[OPTION_SECTION] = "a map",
		[OPTION_SERVER] = "a map with a url, a host or a socket",
		[OPTION_SOURCES] = "a list of sources",
		[OPTION_TABLES] = "a map of tables",
		[OPTION_TEXT] = "text",
		[OPTION_NAME] = "a name of A-Z a-z 0-9 _ . -",
		[OPTION_HOST] = "a host name or an address (the port is an option of its own)",
		[OPTION_SECRET] = "text",
		[OPTION_TEXTS] = "a list of texts",
		[OPTION_PAIRS] = "a map from text to text",
		[OPTION_SETTINGS] = "a map from text to text",
		[OPTION_REDIS_URL] = "a URL such as redis://host:6379",
		[OPTION_MYSQL_URL] = "a URL such as mysql://user:${PASSWORD}@host:3306/database",
		[OPTION_SAMPLE] = "off, or one in so many such as 1/1000",
		[OPTION_LISTEN] = "an address such as 127.0.0.1:9180, [::]:9180, :9180, or off",
		[OPTION_STREAMS] = "a stream's name or a list of them",
		[OPTION_TOPICS] = "a topic's name, a pattern such as ^shop\\..*, or a list of them",
		[OPTION_SOURCE_TABLE] = "a table's name",
		[OPTION_SOURCE_TABLES] = "a list of tables' names",
		[OPTION_START] = "beginning, end, a stream id such as 1700000000000-0 or an offset",
		[OPTION_VERSION] = "a column's name, or a map of column and kind",
		[OPTION_REFRESH] = "a map of options such as { ttl: 1h }",
		[OPTION_TEMPLATES] = "a list of key templates such as \"user:{id}\"",
	};

	if (option->type == OPTION_INT || option->type == OPTION_COUNT)
		add_range(out, "a whole number", option, buf_add_i64);
	else if (option->type == OPTION_DURATION)
		add_range(out, "a duration", option, unit_add_duration);
	else if (option->type == OPTION_SIZE)
		add_range(out, "a size", option, unit_add_size);
	else if (option->words != NULL) {
		buf_add_str(out,
		    option->type == OPTION_BITS || option->type == OPTION_FLAGS ? "a list of " :
										  "one of ");
		add_words(option, out);
	} else if (meanings[option->type] != NULL)
		buf_add_str(out, meanings[option->type]);
}

const char *
option_word_of(const struct option *option, int value)
{
	for (const struct option_word *word = option->words; word->name != NULL; word++)
		if (word->value == value && !word->later)
			return word->name;
	return NULL;
}
