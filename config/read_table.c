#include "config/read.h"

#include "config/braces.h"

#include <string.h>
#include <strings.h>

enum { TEMPLATES_MAX = 64 };

static bool
has_field(const struct config_table *table, const char *field)
{
	for (size_t i = 0; i < table->column_count; i++)
		if (strcmp(table->columns[i].name, field) == 0)
			return true;
	return false;
}

/* A field's column is named by no other field before it. */
static bool
is_mapped_before(const struct config_table *table, const char *column, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (strcmp(table->columns[i].value, column) == 0)
			return true;
	return false;
}

static bool
is_version_column(const struct config_table *table, const char *column)
{
	return table->version_column != NULL && strcasecmp(table->version_column, column) == 0;
}

/* `columns`, whose i-th pair comes from the i-th child. */
static void
check_columns(struct reader *r, const struct node *columns, const struct config_table *table,
    const char *where)
{
	const struct node *node = columns->first;

	for (size_t i = 0; i < table->column_count; i++, node = node->next) {
		const struct config_pair *pair = &table->columns[i];

		if (pair->name[0] == '_')
			problem_add(r->problems, node->key->at,
			    "%s.columns: fields that begin with _ are ours", where);
		if (is_mapped_before(table, pair->value, i))
			problem_add(r->problems, node->at, "%s.columns: column %s has two fields",
			    where, problem_quote(r->problems, str_of(pair->value)));
		if (is_version_column(table, pair->value))
			problem_add(r->problems, node->at,
			    "%s.columns: the version's column is written by way of _version",
			    where);
	}
}

static void
check_ignore(struct reader *r, const struct node *ignore, const struct config_table *table,
    const char *where)
{
	const struct node *e = NULL;

	for (size_t i = 0; i < table->ignore_count; i++) {
		e = read_next_element(ignore, e);
		if (table->ignore[i][0] == '_')
			problem_add(r->problems, e->at,
			    "%s.ignore: fields that begin with _ are ours", where);
		if (has_field(table, table->ignore[i]))
			problem_add(r->problems, e->at, "%s.ignore: field %s is under columns too",
			    where, problem_quote(r->problems, str_of(table->ignore[i])));
	}
}

static void
check_set(struct reader *r, const struct node *set, const struct config_table *table,
    const char *where)
{
	const struct node *node = set->first;

	for (size_t i = 0; i < table->set_count; i++, node = node->next) {
		const char *column = table->set[i].name;

		if (is_version_column(table, column))
			problem_add(r->problems, node->key->at,
			    "%s.set: the version's column can't be a constant", where);
		if (is_mapped_before(table, column, table->column_count))
			problem_add(r->problems, node->key->at,
			    "%s.set: column %s is under columns too", where,
			    problem_quote(r->problems, str_of(column)));
	}
}

/* A field has one column and a column one origin. */
static void
check_mapping(struct reader *r, const struct node *node, const struct config_table *table,
    const char *where)
{
	const struct node *columns = node_find(node, "columns"),
			  *ignore = node_find(node, "ignore"), *set = node_find(node, "set");

	if (columns != NULL && columns->count == table->column_count)
		check_columns(r, columns, table, where);
	if (ignore != NULL && read_count_elements(ignore) == table->ignore_count)
		check_ignore(r, ignore, table, where);
	if (set != NULL && set->count == table->set_count)
		check_set(r, set, table, where);
}

static void
read_table(struct reader *r, const struct node *node, const char *where, struct config_table *table)
{
	table->line = node->key->at.line;
	table->column = node->key->at.column;
	read_defaults(r, "tables.*", table);
	if (node->kind == NODE_MAP || node_is_null(node))
		read_map(r, node, "tables.*", where, table);
	if (node->kind == NODE_MAP)
		check_mapping(r, node, table, where);
	else if (!node_is_null(node) && node->kind != NODE_REFUSED)
		problem_add(r->problems, node->at, "%s: found %s, meant a map of options or {}",
		    where,
		    node->kind == NODE_LIST ? "a list" : problem_quote(r->problems, node->text));
}

/* A table's name as we can use it?  Reports it when not. */
static bool
name_is_good(struct reader *r, const struct node *key)
{
	const char *quoted = problem_quote(r->problems, key->text);
	size_t characters = 0;

	if (memchr(key->text.data, '\0', key->text.len) != NULL || key->text.len == 0)
		problem_add(r->problems, key->at, "table %s is not a name", quoted);
	else if (str_is_utf8(key->text, &characters) && characters > 64)
		problem_add(r->problems, key->at, "table %s: a name has 64 characters at most",
		    quoted);
	else if (memchr(key->text.data, '.', key->text.len) != NULL)
		problem_add(r->problems, key->at,
		    "table %s: tables of another database are not in this release; "
		    "a name is that of a table in mysql's database",
		    quoted);
	else if (strncasecmp(key->text.data, "sluice_", 7) == 0)
		problem_add(r->problems, key->at, "table %s: sluice_… are our own tables", quoted);
	else
		return true;
	return false;
}

void
read_tables(struct reader *r, const struct reading *in)
{
	struct config *config = r->config;
	const struct node *node;

	if (in->node->kind != NODE_MAP) {
		read_refuse(r, in, in->node);
		return;
	}
	if (in->node->count > LIST_MAX) {
		problem_add(r->problems, in->node->at, "tables: more than %d", LIST_MAX);
		return;
	}
	config->tables = arena_zalloc(r->arena, (in->node->count + 1) * sizeof(*config->tables));
	for (node = in->node->first; node != NULL; node = node->next) {
		struct config_table *table = &config->tables[config->table_count];
		struct str name = node->key->text;

		/* one that is refused is read all the same, for its other mistakes */
		(void)name_is_good(r, node->key);
		table->name = arena_copy(r->arena, name.data, name.len);
		config->table_count++;
		read_table(r, node, arena_printf(r->scratch, "tables.%.64s", table->name), table);
	}
}

/* Nothing is an empty map. */
static bool
has_map(struct reader *r, const struct reading *in)
{
	if (node_is_null(in->node))
		return false;
	if (in->node->kind != NODE_MAP)
		read_refuse(r, in, in->node);
	return in->node->kind == NODE_MAP;
}

void
read_pairs(struct reader *r, const struct reading *in)
{
	struct config_pair **field = read_field(in), *pair;
	size_t *count = read_count_field(in);
	struct str value;

	if (!has_map(r, in))
		return;
	if (in->node->count > LIST_MAX) {
		problem_add(r->problems, in->node->at, "%s: more than %d", read_path(r, in),
		    LIST_MAX);
		return;
	}
	*field = arena_alloc(r->arena, (in->node->count + 1) * sizeof(**field));
	for (const struct node *node = in->node->first; node != NULL; node = node->next) {
		struct str name = node->key->text;

		if (name.len == 0 || memchr(name.data, '\0', name.len) != NULL)
			problem_add(r->problems, node->key->at, "%s: an empty name",
			    read_path(r, in));
		if (!read_text(r, in, node, &value))
			continue;
		pair = &(*field)[(*count)++];
		pair->name = arena_copy(r->arena, name.data, name.len);
		pair->value = value.data;
	}
}

/* What librdkafka says of them is found out where librdkafka is. */
void
read_settings(struct reader *r, const struct reading *in)
{
	struct config_setting **field = read_field(in), *setting;
	size_t *count = read_count_field(in);
	struct str value;

	if (!has_map(r, in))
		return;
	*field = arena_alloc(r->arena, (in->node->count + 1) * sizeof(**field));
	for (const struct node *node = in->node->first; node != NULL; node = node->next) {
		struct str name = node->key->text;

		if (!read_text(r, in, node, &value))
			continue;
		setting = &(*field)[(*count)++];
		*setting =
		    (struct config_setting){ .name = arena_copy(r->arena, name.data, name.len),
			    .value = value.data,
			    .line = node->key->at.line,
			    .column = node->key->at.column };
	}
}

void
read_version(struct reader *r, const struct reading *in)
{
	struct config_table *table = in->base;
	struct reading column = *in;

	if (in->node->kind == NODE_MAP) {
		table->version = VERSION_GIVEN;
		read_map(r, in->node, "tables.*.version", read_path(r, in), table);
		if (node_find(in->node, "column") == NULL)
			problem_add(r->problems, in->node->at, "%s: column is missing",
			    read_path(r, in));
		return;
	}
	column.option = option_find("tables.*.version", STR("column"));
	column.where = read_path(r, in);
	if (!read_is_scalar(r, in, in->node))
		return;
	read_string(r, &column);
	table->version = table->version_column != NULL ? VERSION_GIVEN : VERSION_NONE;
}

/* Well formed, and with a hole? */
static void
check_template(struct reader *r, const char *where, const struct config_template *template,
    struct place at)
{
	struct str written = str_of(template->written);
	struct err err;
	size_t holes;

	if (braces_check(written, &holes, &err) != 0)
		problem_add(r->problems, at, "%s: %s", where, err.text);
	else if (holes == 0 && template->mode != MODE_TABLE)
		problem_warn(r->problems, at,
		    "%s: %s has no {column}: every change of the table "
		    "invalidates this one key",
		    where, problem_quote(r->problems, written));
}

static bool
read_template(struct reader *r, const char *where, const struct node *node,
    struct config_template *template)
{
	struct reading key = { .option = option_find("tables.*.invalidate[]", STR("key")),
		.where = where,
		.node = node,
		.base = template };

	if (node->kind == NODE_REFUSED)
		return false;
	read_defaults(r, "tables.*.invalidate[]", template);
	if (node->kind == NODE_MAP) {
		key.node = node_find(node, "key");
		read_map(r, node, "tables.*.invalidate[]", where, template);
		if (key.node == NULL)
			problem_add(r->problems, node->at, "%s: key is missing", where);
	} else {
		read_string(r, &key);
	}
	if (key.node == NULL || template->written == NULL)
		return false;
	template->line = key.node->at.line;
	template->column = key.node->at.column;
	check_template(r, where, template, key.node->at);
	return true;
}

void
read_templates(struct reader *r, const struct reading *in)
{
	struct config_table *table = in->base;
	size_t index = 0;

	if (node_is_null(in->node))
		return;
	if (read_count_elements(in->node) > TEMPLATES_MAX) {
		problem_add(r->problems, in->node->at, "%s: more than %d", read_path(r, in),
		    TEMPLATES_MAX);
		return;
	}
	table->templates =
	    arena_zalloc(r->arena, (read_count_elements(in->node) + 1) * sizeof(*table->templates));
	for (const struct node *e = NULL; (e = read_next_element(in->node, e)) != NULL; index++)
		if (read_template(r, arena_printf(r->scratch, "%s[%zu]", read_path(r, in), index),
			e, &table->templates[table->template_count]))
			table->template_count++;
}

void
read_refresh(struct reader *r, const struct reading *in)
{
	struct config_refresh *refresh = read_field(in);

	if (in->node->kind != NODE_MAP && !node_is_null(in->node)) {
		if (in->node->kind != NODE_REFUSED)
			read_refuse(r, in, in->node);
		return;
	}
	refresh->on = true;
	refresh->line = in->node->key->at.line;
	refresh->column = in->node->key->at.column;
	read_defaults(r, "tables.*.refresh", refresh);
	read_map(r, in->node, "tables.*.refresh", read_path(r, in), refresh);
}
