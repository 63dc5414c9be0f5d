#include "config/config.h"

#include "config/options.h"

#include <string.h>

/*
 * What people read about the options: the example file and the README's table, both from the table of
 * options, so that neither can say something else than the code.
 */
static void example_options(struct buf *out, const char *parent, int depth);
static void example_parts(struct buf *out, const char *parent, int depth);

static void
add_comment(struct buf *out, const char *text, const struct option *option, int depth)
{
	struct buf meaning;

	buf_init(&meaning);
	if (option->type == OPTION_INT || option->type == OPTION_COUNT ||
	    option->type == OPTION_DURATION || option->type == OPTION_SIZE || option->words != NULL)
		option_add_meaning(option, &meaning);
	buf_printf(out, "%*s# %s", depth, "", text);
	if (meaning.len > 0)
		buf_printf(out, " (%s)", meaning.data);
	buf_add_char(out, '\n');
	buf_deinit(&meaning);
}

/* One option with its sentence; what has a default, or is rarely wanted, behind a comment sign. */
static void
example_option(struct buf *out, const struct option *option, int depth)
{
	const char *value = option->example != NULL ? option->example : option->fallback;

	if (option->doc != NULL)
		add_comment(out, option->doc, option, depth);
	buf_printf(out, "%*s%s%s:", depth, "", option->shown ? "" : "# ", option->name);
	if (option->type == OPTION_SECTION) {
		buf_add_char(out, '\n');
		example_options(out, option->name, depth + 2);
	} else if (option->type == OPTION_SOURCES) {
		buf_add_str(out, "\n  -\n");
		example_options(out, "sources[]", 4);
	} else if (option->type == OPTION_TABLES) {
		buf_add_str(out, "\n  users:\n");
		example_options(out, "tables.*", 4);
	} else if (option->type == OPTION_TEMPLATES) {
		buf_printf(out, " %s\n", value);
		example_parts(out, "tables.*.invalidate[]", depth);
	} else if (option->type == OPTION_REFRESH) {
		buf_printf(out, " %s\n", value);
		example_parts(out, "tables.*.refresh", depth);
	} else {
		buf_printf(out, " %s\n", value);
	}
}

/* What one of them may hold, as the lines above can't show it. */
static void
example_parts(struct buf *out, const char *parent, int depth)
{
	for (const struct option *option = options; option->parent != NULL; option++) {
		struct buf text = { 0 };

		const char *value = option->fallback != NULL ? option->fallback : option->example;

		if (strcmp(option->parent, parent) != 0 || value == NULL)
			continue;
		buf_printf(&text, "  %s: %s  %s", option->name, value, option->doc);
		add_comment(out, text.data, option, depth);
		buf_deinit(&text);
	}
}

static void
example_options(struct buf *out, const char *parent, int depth)
{
	for (const struct option *option = options; option->parent != NULL; option++) {
		if (strcmp(option->parent, parent) != 0 || option->type == OPTION_LATER)
			continue;
		if (depth == 0)
			buf_add_char(out, '\n');
		example_option(out, option, depth);
	}
}

void
config_print_example(struct buf *out)
{
	buf_add_str(out,
	    "# Every option of sluice, its default behind a comment sign: this is what\n"
	    "# `sluice config --example` prints.  The file to begin with is sluice.minimal.yaml.\n"
	    "#\n"
	    "# ${VAR}, ${VAR:-default}, ${file:/path} and $$ (one $) are replaced inside values.\n"
	    "# Durations take ms, s, m, h; sizes B, KiB, MiB, GiB, KB, MB, GB.\n");
	example_options(out, "", 0);
}

/* Text of a cell: a | would end it. */
static void
add_cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
	}
}

static void
add_row(struct buf *out, const struct option *option)
{
	buf_add_str(out, "| `");
	option_add_path(option, out);
	buf_add_str(out, "` | ");
	if (option->fallback != NULL) {
		buf_add_char(out, '`');
		add_cell(out, option->fallback);
		buf_add_char(out, '`');
	}
	buf_add_str(out, " | ");
	option_add_meaning(option, out);
	buf_add_str(out, " | ");
	add_cell(out, option->doc);
	buf_add_str(out, " |\n");
}

void
config_print_readme_table(struct buf *out)
{
	buf_add_str(out, "| option | default | value | meaning |\n|---|---|---|---|\n");
	for (const struct option *option = options; option->parent != NULL; option++)
		if (option->type != OPTION_LATER && option->doc != NULL)
			add_row(out, option);
}
