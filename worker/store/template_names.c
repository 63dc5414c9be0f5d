#include "worker/store/template_names.h"

#include "config/braces.h"

/* Every column that the template names, unless it is there already. */
static size_t
add_names(const struct table *table, const char *written, const char **names, unsigned *columns,
    size_t count)
{
	struct str rest = str_of(written);
	struct brace brace;

	if (braces_check(rest, NULL, NULL) != 0)
		return count;
	while ((brace = brace_next(&rest)).kind != BRACE_END) {
		const struct column *column =
		    brace.kind == BRACE_TEXT ? NULL : table_column(table, brace.text);
		size_t i = 0;

		if (column == NULL)
			continue;
		while (i < count && columns[i] != (unsigned)(column - table->columns))
			i++;
		if (i < count)
			continue;
		columns[count] = (unsigned)(column - table->columns);
		names[count++] = column->name;
	}
	return count;
}

size_t
template_names(const struct table *table, const char **names, unsigned *columns)
{
	const struct config_table *config = table->config;
	size_t count = table->key_count;

	for (unsigned i = 0; i < table->key_count; i++) {
		columns[i] = table->key[i];
		names[i] = table->columns[table->key[i]].name;
	}
	for (size_t i = 0; i < config->template_count; i++)
		count = add_names(table, config->templates[i].written, names, columns, count);
	return count;
}
