#include "worker/store/schema_config.h"

#include "common/err.h"
#include "config/braces.h"
#include "config/column_type.h"
#include "worker/store/type_board.h"

#include <string.h>
#include <strings.h>

enum { KEY_MAX = 16 };

/* A table in the making. */
struct making {
	bool asks_board; /* MySQL may have told what the configuration doesn't */
	struct load *load;
	const struct config_table *config;
	struct table *table;
};

static struct column *
find(const struct making *m, struct str name)
{
	CHECK(name.data != NULL);
	for (unsigned i = 0; i < m->table->column_count; i++) {
		const char *other = m->table->columns[i].name;

		if (strlen(other) == name.len && strncasecmp(other, name.data, name.len) == 0)
			return &m->table->columns[i];
	}
	return NULL;
}

static struct column *
add(const struct making *m, struct str name)
{
	struct column *column = find(m, name);

	if (column != NULL)
		return column;
	column = &m->table->columns[m->table->column_count++];
	*column = (struct column){ .name = arena_copy(m->load->arena, name.data, name.len),
		.kind = COLUMN_OTHER,
		.type = "",
		.nullable = true,
		.untold = true,
		.key_part = -1 };
	return column;
}

static size_t
count_holes(const char *written)
{
	size_t holes = 0;

	return braces_check(str_of(written), &holes, NULL) == 0 ? holes : 0;
}

/* How many columns the configuration names, at most. */
static size_t
count_names(const struct config_table *config)
{
	size_t count = KEY_MAX + config->type_count + config->key_count + config->set_count +
	    config->column_count + (config->version_column != NULL);

	for (size_t i = 0; i < config->template_count; i++)
		count +=
		    count_holes(config->templates[i].written) + config->templates[i].when_count;
	return count;
}

static void
add_key_column(const struct making *m, const char *name)
{
	struct column *column = add(m, str_of(name));

	if (column->key_part >= 0 || m->table->key_count == KEY_MAX)
		return;
	column->key_part = (int)m->table->key_count;
	m->table->key[m->table->key_count++] = (unsigned)(column - m->table->columns);
}

static void
add_holes(const struct making *m, const char *written, bool key)
{
	struct str rest = str_of(written);
	struct brace brace;

	if (count_holes(written) == 0)
		return;
	while ((brace = brace_next(&rest)).kind != BRACE_END) {
		struct column *column;

		if (brace.kind != BRACE_HOLE)
			continue;
		column = add(m, brace.text);
		if (key)
			add_key_column(m, column->name);
	}
}

static void
add_key(const struct making *m)
{
	const struct config_table *config = m->config;
	char name[TYPE_BOARD_NAME];

	for (size_t i = 0; i < config->key_count; i++)
		add_key_column(m, config->key[i]);
	for (unsigned i = 0; m->asks_board && config->key_count == 0 && i < KEY_MAX &&
	    type_board_key(m->table->name, i, name);
	    i++)
		add_key_column(m, name);
	for (size_t i = 0; i < config->template_count && m->table->key_count == 0; i++)
		if (config->templates[i].mode == MODE_VERSIONED ||
		    config->templates[i].mode == MODE_POPULATE)
			add_holes(m, config->templates[i].written, true);
}

static unsigned long
number(const struct column_type *type, int place, unsigned long otherwise)
{
	return place < type->number_count ? type->numbers[place] : otherwise;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Lengths that nobody told are as long as they can be. */
static void
tell_type(struct column *column, const char *written)
{
	struct column_type type;
	bool is_char, is_time;
	int key_part = column->key_part;

	if (!column_type_parse(str_of(written), &type))
		return; /* the configuration refuses it */
	is_char = strcmp(type.name, "char") == 0 || strcmp(type.name, "binary") == 0;
	is_time = strstr(type.name, "time") != NULL;
	struct column_facts facts = { .data_type = type.name,
		.column_type = written,
		.extra = "",
		.charset = "utf8mb4",
		.collation = "utf8mb4_bin",
		.nullable = true,
		.length = number(&type, 0, is_char ? 1 : UINT32_MAX),
		.precision = number(&type, 0, strcmp(type.name, "bit") == 0 ? 1 : 10),
		.scale = number(&type, 1, 0),
		.time_precision = is_time ? number(&type, 0, 0) : 0 };

	column_describe(column, &facts);
	column->key_part = key_part;
	column->is_unsigned = type.is_unsigned;
	if (ends_with(type.name, "blob") || ends_with(type.name, "text"))
		column->length = UINT32_MAX;
	column->untold = false;
}

static void
tell_types(const struct making *m)
{
	const struct config_table *config = m->config;
	char type[TYPE_BOARD_TEXT];

	for (size_t i = 0; i < config->type_count; i++)
		tell_type(find(m, str_of(config->types[i].name)), config->types[i].value);
	for (unsigned i = 0; i < m->table->column_count && m->asks_board; i++) {
		struct column *column = &m->table->columns[i];

		if (column->untold && type_board_type(m->table->name, column->name, type))
			tell_type(column, arena_copy(m->load->arena, type, strlen(type)));
	}
	/* it is one in any case */
	if (config->version_column != NULL && find(m, str_of(config->version_column))->untold)
		tell_type(find(m, str_of(config->version_column)), "bigint unsigned");
}

void
load_config_table(struct load *load, struct load_table *t)
{
	const struct config_table *config = t->table->config;
	struct making m = { load->config->has_mysql, load, config, t->table };

	t->table->keys_only = true;
	t->table->columns =
	    arena_zalloc(load->arena, (count_names(config) + 1) * sizeof(*t->table->columns));
	add_key(&m);
	for (size_t i = 0; i < config->template_count; i++) {
		add_holes(&m, config->templates[i].written, false);
		for (size_t j = 0; j < config->templates[i].when_count; j++)
			add(&m, str_of(config->templates[i].when[j]));
	}
	for (size_t i = 0; i < config->type_count; i++)
		add(&m, str_of(config->types[i].name));
	for (size_t i = 0; i < config->column_count; i++)
		add(&m, str_of(config->columns[i].value));
	for (size_t i = 0; i < config->set_count; i++)
		add(&m, str_of(config->set[i].name));
	if (config->version_column != NULL)
		add(&m, str_of(config->version_column));
	tell_types(&m);
}

static bool
add_asked(struct str *names, size_t max, size_t *count, const char *name)
{
	struct str added = str_of(name);

	for (size_t i = 0; i < *count; i++)
		if (str_equal(names[i], added))
			return true;
	if (*count == max)
		return false;
	names[(*count)++] = added;
	return true;
}

struct str *
load_config_asked(const struct load *load, size_t max, size_t *count)
{
	struct str *names = arena_alloc(load->arena, max * sizeof(*names));

	*count = 0;
	for (size_t i = 0; i < load->count; i++) {
		const struct table *table = load->tables[i].table;

		for (unsigned j = 0; j < table->column_count; j++)
			if (!add_asked(names, max, count, table->columns[j].name))
				return NULL;
		for (size_t j = 0; j < table->config->column_count; j++)
			if (!add_asked(names, max, count, table->config->columns[j].name))
				return NULL;
	}
	return names;
}
