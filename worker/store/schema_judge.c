#include "worker/store/schema_config.h"
#include "worker/store/template_names.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

/* What is wrong with a table for us, and the parts of the config that need its columns. */

enum { KEY_COLUMN_MAX = 4096 }; /* bytes */

static void __attribute__((format(printf, 3, 4)))
blame(struct load *load, struct table *table, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (table->problem != NULL)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	table->problem = arena_printf(load->arena, "table %s: %s", table->name, text);
}

static void
judge_kind(struct load *load, struct load_table *t)
{
	struct table *table = t->table;

	if (!t->is_there) {
		blame(load, table, "it doesn't exist, or the account has no right on it");
		return;
	}
	if (strcasecmp(t->type, "BASE TABLE") != 0 &&
	    strcasecmp(t->type, "SYSTEM VERSIONED") != 0) {
		blame(load, table, "it is a %s, not a table", t->type);
		return;
	}
	if (t->engine == NULL || strcasecmp(t->engine, "InnoDB") != 0) {
		blame(load, table, "its engine is %s; only InnoDB can undo what a transaction did",
		    t->engine != NULL ? t->engine : "unknown");
		return;
	}
	if (t->key_parts == 0)
		blame(load, table, "it has no primary key");
	else if (t->key_parts != table->key_count)
		blame(load, table, "its primary key has a part that is no column, or too many");
	for (unsigned i = 0; i < table->key_count; i++) {
		if (table->columns[table->key[i]].generated)
			blame(load, table, "column %s of its primary key is generated",
			    table->columns[table->key[i]].name);
	}
}

static void
judge_version(struct load *load, struct table *table)
{
	const struct config_table *config = table->config;
	const struct column *column;

	if (config->version == VERSION_NONE)
		return;
	column = table_column(table, str_of(config->version_column));
	if (column == NULL) {
		blame(load, table, "it has no column %s, the version", config->version_column);
		return;
	}
	if (strncasecmp(column->type, "bigint", 6) != 0)
		blame(load, table, "version column %s is %s and must be BIGINT", column->name,
		    column->type);
	if (column->key_part >= 0)
		blame(load, table, "version column %s is part of the primary key", column->name);
	if (column->generated)
		blame(load, table, "version column %s is generated", column->name);
	table->version_column = (int)(column - table->columns);
}

static void
judge_mapping(struct load *load, struct table *table)
{
	const struct config_table *config = table->config;

	for (size_t i = 0; i < config->column_count; i++) {
		if (table_column(table, str_of(config->columns[i].value)) == NULL)
			blame(load, table, "`columns` maps %s to column %s, which isn't there",
			    config->columns[i].name, config->columns[i].value);
	}
	for (size_t i = 0; i < config->set_count; i++) {
		const struct column *column = table_column(table, str_of(config->set[i].name));

		if (column == NULL)
			blame(load, table, "`set` names column %s, which isn't there",
			    config->set[i].name);
		else if (column->generated)
			blame(load, table, "`set` names column %s, which is generated",
			    column->name);
		else if (column - table->columns == table->version_column)
			blame(load, table, "`set` names the version column %s", column->name);
	}
}

static void
judge_when(struct load *load, struct table *table, const struct config_template *template)
{
	for (size_t i = 0; i < template->when_count; i++) {
		if (table_column(table, str_of(template->when[i])) == NULL)
			blame(load, table, "`when` of %s names column %s, which isn't there",
			    template->written, template->when[i]);
	}
	table->has_when |= template->when_count > 0;
}

/* Its names begin with the primary key's columns. */
static void
judge_rows(struct load *load, struct table *table, struct key_template *template)
{
	const char *mode = config_mode_name(template->config->mode);
	bool named[sizeof(table->key) / sizeof(table->key[0])] = { false }, others = false;

	for (size_t i = 0; i < template->part_count; i++) {
		int name = template->parts[i].column;

		if (name >= (int)table->key_count)
			others = true;
		else if (name >= 0)
			named[name] = true;
	}
	template->one_row = true;
	for (unsigned i = 0; i < table->key_count; i++)
		template->one_row &= named[i];
	if (!mode_is_versioned(template->config->mode))
		return;
	table->has_versioned = true;
	/* without MySQL it is told as versioned */
	table->populates |= template->config->mode == MODE_POPULATE && !table->keys_only;
	if (!template->one_row)
		blame(load, table,
		    "`invalidate` %s: with mode %s a key holds the whole primary key, since "
		    "a version says nothing about several rows",
		    template->config->written, mode);
	else if (others)
		blame(load, table,
		    "`invalidate` %s: with mode %s a key holds the primary key alone, since "
		    "a row's version says nothing about the keys that it had before",
		    template->config->written, mode);
}

/* What its entries don't tell: other columns, whether something changed, a version that we stamp. */
static bool
is_from_row(const struct table *table, const struct key_template *template)
{
	const struct config_template *config = template->config;

	if (table->config->has_images || table->keys_only || config->mode == MODE_NONE)
		return false;
	for (size_t i = 0; i < template->part_count; i++) {
		if (template->parts[i].column >= (int)table->key_count)
			return true;
	}
	return config->when_count > 0 ||
	    (mode_is_versioned(config->mode) && table->version != VERSION_GIVEN);
}

static void
add_read(struct table *table, unsigned *reads, int column)
{
	if (column < 0 || table->columns[column].key_part >= 0)
		return;
	for (unsigned i = 0; i < table->read_count; i++) {
		if (reads[i] == (unsigned)column)
			return;
	}
	reads[table->read_count++] = (unsigned)column;
}

/* Keys are made of short columns: rows of a batch and their keys are held in memory. */
static void
judge_lengths(struct load *load, struct table *table, const struct key_template *template)
{
	for (size_t i = 0; i < template->part_count && template->from_row; i++) {
		int name = template->parts[i].column - (int)table->key_count;
		const struct column *column =
		    name >= 0 ? &table->columns[table->reads[name]] : NULL;

		if (column != NULL && column->length > KEY_COLUMN_MAX)
			blame(load, table,
			    "`invalidate` %s: column %s is %s, too long for a key that is read "
			    "from the row",
			    template->config->written, column->name, column->type);
	}
}

/* What is to be read of a row beside the columns that the keys are made of. */
static void
judge_reads(struct load *load, struct table *table, unsigned *reads)
{
	table->read_count = table->image_count;
	for (size_t i = 0; i < table->template_count; i++) {
		struct key_template *template = &table->templates[i];
		const struct config_template *config = template->config;

		template->from_row = is_from_row(table, template);
		table->reads_row |= template->from_row;
		judge_lengths(load, table, template);
		for (size_t j = 0; j < config->when_count && template->from_row; j++) {
			const struct column *column = table_column(table, str_of(config->when[j]));

			if (column != NULL)
				add_read(table, reads, (int)(column - table->columns));
		}
		if (template->from_row && mode_is_versioned(config->mode))
			add_read(table, reads, table->version_column);
	}
}

static void
judge_templates(struct load *load, struct table *table)
{
	const struct config_table *config = table->config;
	size_t room = table->column_count + 1, count;
	const char **names = arena_alloc(load->arena, room * sizeof(*names));
	unsigned *columns = arena_alloc(load->arena, room * sizeof(*columns));
	struct err err;

	count = template_names(table, names, columns);
	table->reads = columns + table->key_count;
	table->image_count = (unsigned)(count - table->key_count);
	table->templates =
	    arena_zalloc(load->arena, config->template_count * sizeof(*table->templates) + 1);
	for (size_t i = 0; i < config->template_count; i++) {
		if (key_template_compile(&table->templates[i], &config->templates[i], names, count,
			&err) < 0) {
			blame(load, table, "`invalidate` %s: %s", config->templates[i].written,
			    err.text);
			return;
		}
		table->template_count = i + 1;
		judge_rows(load, table, &table->templates[i]);
		judge_when(load, table, &config->templates[i]);
	}
	judge_reads(load, table, columns + table->key_count);
}

void
load_judge(struct load *load, struct load_table *t)
{
	struct table *table = t->table;

	judge_kind(load, t);
	if (table->problem != NULL)
		return;
	judge_version(load, table);
	judge_mapping(load, table);
	judge_templates(load, table);
}

/* No table to compare with: only what the configuration says of itself. */
void
load_judge_keys(struct load *load, struct load_table *t)
{
	judge_version(load, t->table);
	judge_templates(load, t->table);
}
