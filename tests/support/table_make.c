#include "tests/support/table_make.h"

#include "common/arena.h"
#include "worker/store/schema_load.h"

#include <stdlib.h>

/* Never freed; what hangs on a static isn't a leak. */
static struct arena memory;

static const char *
word_of(const char *text, const char *end)
{
	return arena_copy(&memory, text, strcspn(text, end));
}

static void
make_column(struct column *column, const struct made_column *made)
{
	const char *collation = made->collation != NULL ? made->collation : "utf8mb4_general_ci";
	struct column_facts facts = {
		.data_type = word_of(made->type, "( "),
		.column_type = made->type,
		.default_text = made->default_text,
		.extra = "",
		.nullable = made->nullable,
		.mariadb = true,
		.charset = word_of(collation, "_"),
		.collation = collation,
	};
	const char *parens = strchr(made->type, '(');

	facts.length = strstr(made->type, "long") != NULL ? UINT32_MAX : UINT16_MAX;
	if (parens != NULL) {
		facts.length = facts.precision = facts.time_precision =
		    strtoul(parens + 1, NULL, 10);
		if (strchr(parens, ',') != NULL)
			facts.scale = strtoul(strchr(parens, ',') + 1, NULL, 10);
	}
	column->name = made->name;
	column_describe(column, &facts);
	if (column->kind == COLUMN_JSON)
		column->charset = "utf8mb4";
}

void
table_make(struct table *table, const struct config_table *config,
    const struct made_column *columns)
{
	unsigned count = 0;

	memset(table, 0, sizeof(*table));
	while (columns[count].name != NULL)
		count++;
	table->name = config->name;
	table->config = config;
	table->version = config->version;
	table->version_column = -1;
	table->column_count = count;
	if (memory.first == NULL)
		arena_init(&memory, 0);
	table->columns = arena_zalloc(&memory, count * sizeof(*table->columns));
	for (unsigned i = 0; i < count; i++) {
		make_column(&table->columns[i], &columns[i]);
		if (columns[i].is_key) {
			table->columns[i].key_part = (int)table->key_count;
			table->key[table->key_count++] = i;
		}
		if (config->version_column != NULL &&
		    strcmp(config->version_column, columns[i].name) == 0)
			table->version_column = (int)i;
	}
}
