#include "worker/store/schema.h"

#include "common/arena.h"
#include "common/err.h"
#include "common/map.h"
#include "worker/store/schema_config.h"
#include "worker/store/session.h"

#include <stdlib.h>
#include <strings.h>

#define KEEP_BYTES 0
/* Looking more names through costs more than to take all columns. */
#define ASKED_MAX 32

struct schema {
	const struct config *config;
	struct arena arena; /* the tables and all they point to but the templates' insides */
	struct table *tables;
	size_t count;
	struct map by_name;
	bool fold_names;
	bool loaded;
	bool borrowed; /* the tables aren't ours */
	bool keys_only;
	const struct str *asked;
	size_t asked_count;
	uint64_t hash; /* of the answers it was made of */
};

struct schema *
schema_new(const struct config *config)
{
	struct schema *schema = calloc(1, sizeof(*schema));

	CHECK(schema != NULL);
	schema->config = config;
	arena_init(&schema->arena, KEEP_BYTES);
	map_init(&schema->by_name);
	return schema;
}

static void
free_templates(struct table *tables, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < tables[i].template_count; j++)
			key_template_deinit(&tables[i].templates[j]);
	}
}

void
schema_free(struct schema **schema)
{
	struct schema *s = *schema;

	*schema = NULL;
	if (s == NULL)
		return;
	if (!s->borrowed)
		free_templates(s->tables, s->count);
	map_deinit(&s->by_name);
	arena_deinit(&s->arena);
	free(s);
}

/* The configured tables, empty, and their names for IN (…). */
static void
start_load(struct load *load)
{
	const struct config *config = load->config;
	struct table *tables = arena_zalloc(load->arena, config->table_count * sizeof(*tables) + 1);
	struct buf names;

	load->count = config->table_count;
	load->tables = arena_zalloc(load->arena, load->count * sizeof(*load->tables) + 1);
	buf_init(&names);
	for (size_t i = 0; i < load->count; i++) {
		tables[i].name = config->tables[i].name;
		tables[i].config = &config->tables[i];
		tables[i].version = config->tables[i].version;
		tables[i].version_column = -1;
		tables[i].ordered = !config->tables[i].fold;
		load->tables[i].table = &tables[i];
		buf_add_str(&names, i > 0 ? ", " : "");
		sql_add_text(&names, str_of(tables[i].name));
	}
	load->names = load->count > 0 ? arena_copy(load->arena, names.data, names.len) : "NULL";
	buf_deinit(&names);
}

static int
load_case_of_names(struct load *load, struct err *err)
{
	struct sql_result result;

	if (sql_query(load->sql, STR("SELECT @@lower_case_table_names"), &result, err) < 0)
		return -1;
	load->fold_names = load_number(&result, 0, 0) != 0;
	sql_result_free(&result);
	return 0;
}

static int
load_parts(struct load *load, struct err *err)
{
	load->mariadb = sql_is_mariadb(load->sql);
	if (load_case_of_names(load, err) < 0 || load_sight(load, err) < 0 ||
	    load_tables(load, err) < 0 || load_columns(load, err) < 0 ||
	    load_indexes(load, err) < 0 || load_foreign_keys(load, err) < 0 ||
	    load_checks(load, err) < 0 || load_hidden_checks(load, err) < 0 ||
	    load_triggers(load, err) < 0)
		return -1;
	load_tell_hidden(load);
	load_guard_expressions(load);
	load_rank(load);
	for (size_t i = 0; i < load->count; i++)
		load_judge(load, &load->tables[i]);
	return 0;
}

static void
take_tables(struct schema *schema, struct table *tables, size_t count)
{
	schema->tables = tables;
	schema->count = count;
	schema->loaded = true;
	map_reset(&schema->by_name, count);
	for (size_t i = 0; i < count; i++)
		*map_at(&schema->by_name, tables[i].name, strlen(tables[i].name)) = &tables[i];
}

/* The new tables take the place of the old. */
static void
take_load(struct schema *schema, struct arena *arena, const struct load *load)
{
	CHECK(!schema->borrowed);
	free_templates(schema->tables, schema->count);
	arena_deinit(&schema->arena);
	schema->arena = *arena;
	schema->fold_names = load->fold_names;
	schema->hash = load->hash;
	take_tables(schema, load->count > 0 ? load->tables[0].table : NULL, load->count);
}

bool
schema_reads_rows(const struct schema *schema)
{
	for (size_t i = 0; schema != NULL && i < schema->count; i++) {
		if (schema->tables[i].reads_row)
			return true;
	}
	return false;
}

bool
schema_populates(const struct schema *schema)
{
	for (size_t i = 0; schema != NULL && i < schema->count; i++) {
		if (schema->tables[i].populates)
			return true;
	}
	return false;
}

struct schema *
schema_of_tables(const struct config *config, struct table *tables, size_t count)
{
	struct schema *schema = schema_new(config);

	schema->borrowed = true;
	take_tables(schema, tables, count);
	return schema;
}

/*
 * The tables as they are now, in *arena.  The transaction is ended before any of it is used: whoever
 * sees an error may rely on the old tables.
 */
static int
load_all(struct load *load, struct arena *arena, struct err *err)
{
	int status;

	arena_init(arena, KEEP_BYTES);
	load->arena = arena;
	start_load(load);
	status = load_parts(load, err);
	return session_end(load->sql,
	    status < 0 ? err_prefix(err, "reading information_schema") : 0, err);
}

static void
free_load(const struct load *load, struct arena *arena)
{
	free_templates(load->count > 0 ? load->tables[0].table : NULL, load->count);
	arena_deinit(arena);
}

void
schema_load_config(struct schema *schema)
{
	struct arena arena;
	struct load load = { .config = schema->config, .arena = &arena, .fold_names = true };

	arena_init(&arena, KEEP_BYTES);
	start_load(&load);
	for (size_t i = 0; i < load.count; i++) {
		load_config_table(&load, &load.tables[i]);
		load_judge_keys(&load, &load.tables[i]);
	}
	schema->keys_only = true;
	schema->asked = load_config_asked(&load, ASKED_MAX, &schema->asked_count);
	take_load(schema, &arena, &load);
}

bool
schema_keys_only(const struct schema *schema)
{
	return schema->keys_only;
}

const struct str *
schema_asked(const struct schema *schema, size_t *count)
{
	*count = schema->asked_count;
	return schema->asked;
}

int
schema_load(struct schema *schema, struct sql *sql, struct err *err)
{
	struct load load = { .config = schema->config, .sql = sql };
	struct arena arena;

	if (load_all(&load, &arena, err) != 0) {
		free_load(&load, &arena);
		return -1;
	}
	take_load(schema, &arena, &load);
	return 0;
}

int
schema_look(struct schema *schema, struct sql *sql, bool *changed, struct err *err)
{
	struct load load = { .config = schema->config, .sql = sql };
	struct arena arena;
	int status = load_all(&load, &arena, err);

	*changed = status == 0 && load.hash != schema->hash;
	free_load(&load, &arena);
	return status;
}

bool
schema_loaded(const struct schema *schema)
{
	return schema->loaded;
}

struct table *
schema_table(struct schema *schema, struct str name)
{
	struct table *table = map_get(&schema->by_name, name.data, name.len);

	for (size_t i = 0; i < schema->count && table == NULL && schema->fold_names; i++) {
		const char *other = schema->tables[i].name;

		if (strlen(other) == name.len && strncasecmp(other, name.data, name.len) == 0)
			table = &schema->tables[i];
	}
	return table;
}

struct table *
schema_tables(struct schema *schema, size_t *count)
{
	*count = schema->count;
	return schema->tables;
}

const struct column *
table_column(const struct table *table, struct str name)
{
	for (unsigned i = 0; i < table->column_count; i++) {
		const char *other = table->columns[i].name;

		if (strlen(other) == name.len && strncasecmp(other, name.data, name.len) == 0)
			return &table->columns[i];
	}
	return NULL;
}

bool
table_parent_comes_by(const struct table *table, const struct config_source *source)
{
	for (unsigned i = 0; i < table->parent_count; i++) {
		for (size_t j = 0; j < source->table_count; j++) {
			if (strcmp(source->tables[j], table->parents[i]->name) == 0)
				return true;
		}
	}
	return false;
}
