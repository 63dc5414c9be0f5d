#include "worker/operate/command.h"
#include "worker/operate/text_table.h"
#include "worker/store/column_check.h"
#include "worker/store/schema.h"

#include "common/number.h"

#include <stdio.h>
#include <string.h>

/*
 * `sluice explain row` where nothing is written: an event that nobody sent.  It has the columns that are
 * given, and a row before only as far as it is said; MySQL isn't asked.
 */
enum { ARENA_KEEP = 64 * 1024, WORDS = 3 /* row FILE TABLE, then COLUMN=VALUE… */ };

/* By the table's columns; data NULL: not given. */
struct image {
	struct str *values;
	bool there;
};

struct explained {
	const struct table *table;
	struct arena arena;
	struct image before, after;
	struct text_table keys;
	struct str last;
	unsigned count;
};

/* In the one spelling that a key has, as far as the column's type is told. */
static int
take_value(struct explained *x, const struct column *column, struct str given, struct str *out)
{
	struct value plain = { given, column->kind == COLUMN_BINARY ? VALUE_BINARY : VALUE_TEXT },
		     text = plain;
	const char *why = "";

	if (!column->untold &&
	    column_check_key(column, &plain, false, &x->arena, &text, &why) == COLUMN_REFUSED) {
		if (column->key_part >= 0)
			return command_explain_usage(column->name, why);
		text = plain;
	}
	*out = text.text;
	return EXIT_CODE_OK;
}

static struct image
no_row(struct explained *x)
{
	size_t bytes = (x->table->column_count + 1) * sizeof(struct str);

	return (struct image){ .values = arena_zalloc(&x->arena, bytes) };
}

/* One COLUMN=VALUE. */
static int
lay_over(struct explained *x, struct image *row, struct str word)
{
	const char *equals = word.len > 0 ? memchr(word.data, '=', word.len) : NULL;
	const struct column *column = NULL;
	struct str name = { word.data, equals != NULL ? (size_t)(equals - word.data) : 0 };

	if (equals != NULL)
		column = table_column(x->table, name);
	if (column == NULL)
		return command_explain_usage(arena_copy(&x->arena, word.data, word.len),
		    "want COLUMN=VALUE, with a column that the configuration names");
	row->there = true;
	return take_value(x, column, (struct str){ equals + 1, word.len - name.len - 1 },
	    &row->values[column - x->table->columns]);
}

/* What the configuration sets is in both rows. */
static void
take_constants(struct explained *x, struct image *row)
{
	const struct config_table *config = x->table->config;

	for (size_t i = 0; i < config->set_count; i++) {
		const struct column *column = table_column(x->table, str_of(config->set[i].name));

		row->values[column - x->table->columns] = str_of(config->set[i].value);
	}
}

static int
take_rows(struct explained *x, const struct command_line *line)
{
	size_t bytes = (x->table->column_count + 1) * sizeof(struct str);
	struct str rest = str_of(line->options[0]);
	struct image given = no_row(x);

	for (size_t i = WORDS; i < line->word_count; i++)
		if (lay_over(x, &given, str_of(line->words[i])) != EXIT_CODE_OK)
			return EXIT_CODE_USAGE;
	take_constants(x, &given);
	x->before = x->after = no_row(x);
	if (line->options[1] != NULL)
		x->before = given;
	else
		x->after = given;
	if (rest.len > 0 && !x->before.there) {
		x->before = no_row(x);
		memcpy(x->before.values, given.values, bytes);
	}
	while (rest.len > 0) {
		const char *comma = memchr(rest.data, ',', rest.len);
		size_t len = comma != NULL ? (size_t)(comma - rest.data) : rest.len;

		if (lay_over(x, &x->before, (struct str){ rest.data, len }) != EXIT_CODE_OK)
			return EXIT_CODE_USAGE;
		len += comma != NULL;
		rest = (struct str){ rest.data + len, rest.len - len };
	}
	take_constants(x, &x->before);
	return EXIT_CODE_OK;
}

/* Of a column that isn't given nobody knows. */
static bool
may_differ(const struct explained *x, size_t column)
{
	struct str before = x->before.values[column], after = x->after.values[column];

	return before.data == NULL || after.data == NULL || !str_equal(before, after);
}

static size_t
column_of(const struct table *table, int name)
{
	unsigned at = (unsigned)name;

	return at < table->key_count ? table->key[at] : table->reads[at - table->key_count];
}

/* Is there a `when`, and nothing of it nor of the key changed? */
static bool
is_left(const struct explained *x, const struct key_template *template)
{
	const struct config_template *config = template->config;

	if (config->when_count == 0 || !x->before.there || !x->after.there)
		return false;
	for (size_t i = 0; i < config->when_count; i++) {
		const struct column *column = table_column(x->table, str_of(config->when[i]));

		if (column == NULL || may_differ(x, (size_t)(column - x->table->columns)))
			return false;
	}
	for (size_t i = 0; i < template->part_count; i++)
		if (template->parts[i].column >= 0 &&
		    may_differ(x, column_of(x->table, template->parts[i].column)))
			return false;
	return true;
}

/* What a versioned entry is told. */
static const char *
version_of(struct explained *x, const struct key_template *template)
{
	const struct table *table = x->table;
	const struct image *row = x->after.there ? &x->after : &x->before;
	uint64_t version, before;
	struct str text;

	if (!mode_is_versioned(template->config->mode))
		return "";
	if (table->version != VERSION_GIVEN)
		return "its place in the log";
	text = row->values[table->version_column];
	if (!number_u64(text, &version) ||
	    (x->before.there && x->after.there &&
		number_u64(x->before.values[table->version_column], &before) && before >= version))
		return "unversioned";
	return arena_printf(&x->arena, "%.*s%s", STR_ARGS(text), x->after.there ? "" : " deleted");
}

static int
add_key(struct explained *x, const struct key_template *template, const struct image *row)
{
	const struct table *table = x->table;
	unsigned names = table->key_count + table->image_count;
	struct str *values = arena_zalloc(&x->arena, (names + 1) * sizeof(*values));
	struct buf key = { 0 };
	const char *cells[4] = { NULL, config_mode_name(template->config->mode),
		version_of(x, template), template->config->written };

	for (size_t i = 0; i < template->part_count; i++) {
		int name = template->parts[i].column;
		size_t column = name >= 0 ? column_of(table, name) : 0;

		if (name < 0)
			continue;
		if (row->values[column].data == NULL)
			return command_explain_usage(table->columns[column].name,
			    "a key names this column; an event without it is a dead letter");
		values[name] = row->values[column];
	}
	if (key_template_render(template, values, &key)) {
		struct str text = arena_str(&x->arena, key.data, key.len);

		cells[0] = text.data;
		if (!str_equal(text, x->last))
			text_table_add(&x->keys, cells);
		x->last = text;
		x->count++;
	}
	buf_deinit(&key);
	return EXIT_CODE_OK;
}

static int
add_keys(struct explained *x)
{
	for (size_t i = 0; i < x->table->template_count; i++) {
		const struct key_template *template = &x->table->templates[i];

		x->last = (struct str){ NULL, 0 };
		if (template->config->mode == MODE_NONE || is_left(x, template))
			continue;
		if ((x->before.there && add_key(x, template, &x->before) != EXIT_CODE_OK) ||
		    (x->after.there && add_key(x, template, &x->after) != EXIT_CODE_OK))
			return EXIT_CODE_USAGE;
	}
	return EXIT_CODE_OK;
}

static int
print_keys(struct explained *x)
{
	struct buf out = { 0 };
	bool put;

	if (x->count > 0)
		text_table_print(&x->keys, &out);
	else
		buf_add_str(&out, "no key\n");
	put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

int
command_explain_event(const struct config *config, const struct command_line *line)
{
	static const char *const heads[] = { "KEY", "MODE", "VERSION", "TEMPLATE", NULL };
	struct schema *schema = schema_new(config);
	struct explained x = { .count = 0 };
	int code;

	arena_init(&x.arena, ARENA_KEEP);
	text_table_init(&x.keys, heads);
	schema_load_config(schema);
	x.table = schema_table(schema, str_of(line->words[2]));
	if (x.table == NULL)
		code = command_explain_usage(line->words[2], "no such table under `tables`");
	else if (x.table->problem != NULL)
		code = command_explain_usage(line->words[2], x.table->problem);
	else
		code = take_rows(&x, line);
	if (code == EXIT_CODE_OK)
		code = add_keys(&x);
	if (code == EXIT_CODE_OK)
		code = print_keys(&x);
	text_table_deinit(&x.keys);
	arena_deinit(&x.arena);
	schema_free(&schema);
	return code;
}
