#include "worker/operate/check.h"
#include "worker/store/schema.h"

#include <string.h>

/* Tables as a source that doesn't write sees them: by the configuration alone. */

static bool
is_invalidated(const struct config *config, const char *table)
{
	for (size_t i = 0; i < config->source_count; i++)
		for (size_t j = 0; j < config->sources[i].table_count; j++)
			if (!config->sources[i].write &&
			    strcmp(config->sources[i].tables[j], table) == 0)
				return true;
	return false;
}

/* A source whose events never tell types, and that brings changes of this table. */
static const struct config_source *
untyped_source_of(const struct config *config, const char *table)
{
	for (size_t i = 0; i < config->source_count; i++) {
		const struct config_source *source = &config->sources[i];

		if (source->write ||
		    (source->format != FORMAT_MAXWELL && source->format != FORMAT_DMS))
			continue;
		for (size_t j = 0; j < source->table_count; j++)
			if (strcmp(source->tables[j], table) == 0)
				return source;
	}
	return NULL;
}

static bool
is_named(const struct table *table, unsigned column)
{
	for (unsigned i = 0; i < table->key_count; i++)
		if (table->key[i] == column)
			return true;
	for (unsigned i = 0; i < table->image_count; i++)
		if (table->reads[i] == column)
			return true;
	return false;
}

static void
check_table(struct check *c, const struct table *table)
{
	const struct config_table *config = table->config;
	const struct config_source *source = untyped_source_of(c->config, table->name);

	if (table->problem != NULL)
		check_problem(c, config->line, config->column, "%s", table->problem);
	for (unsigned i = 0; i < table->column_count && source != NULL; i++)
		if (table->columns[i].untold && is_named(table, i))
			check_hint(c, config->line, config->column,
			    "table %s: the events of %s don't tell whether column %s is a text or "
			    "binary, so a text there is a dead letter; say its type: "
			    "tables.%s.types: "
			    "{ %s: … }",
			    table->name, source->written, table->columns[i].name, table->name,
			    table->columns[i].name);
}

void
check_keys(struct check *c)
{
	struct schema *schema = schema_new(c->config);
	const struct table *tables;
	size_t count;

	schema_load_config(schema);
	tables = schema_tables(schema, &count);
	for (size_t i = 0; i < count; i++)
		if (is_invalidated(c->config, tables[i].name))
			check_table(c, &tables[i]);
	schema_free(&schema);
}
