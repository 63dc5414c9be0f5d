#include "worker/store/schema_load.h"

#include "common/buf.h"
#include "common/err.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static void
add_parent(struct load *load, struct load_table *child, struct load_table *parent)
{
	struct table *table = child->table;
	const struct table **parents;

	for (unsigned i = 0; i < table->parent_count; i++) {
		if (table->parents[i] == parent->table)
			return;
	}
	parents = arena_alloc(load->arena, (table->parent_count + 1) * sizeof(*parents));
	if (table->parent_count > 0)
		memcpy(parents, table->parents, table->parent_count * sizeof(*parents));
	parents[table->parent_count++] = parent->table;
	table->parents = parents;
}

static void
take_side(struct load_table *t, struct str column_name, bool cascades)
{
	struct column *column = load_column(t, column_name);

	t->table->has_foreign_key = true;
	t->table->ordered |= cascades;
	if (column != NULL)
		column->guarded = true;
}

/* CASCADE and SET NULL change the child's rows when the parent's change. */
static bool
changes_children(const struct sql_result *result, size_t row, size_t column)
{
	return !load_is(result, row, column, "RESTRICT") &&
	    !load_is(result, row, column, "NO ACTION");
}

/* Children are those in our own database. */
int
load_foreign_keys(struct load *load, struct err *err)
{
	struct sql_result result;

	if (load_query(load, &result, err,
		"SELECT k.table_name, k.column_name, k.referenced_table_name, "
		"k.referenced_column_name,"
		" r.update_rule, r.delete_rule, k.referenced_table_schema = DATABASE()"
		" FROM information_schema.key_column_usage k"
		" JOIN information_schema.referential_constraints r"
		" ON r.constraint_schema = k.constraint_schema"
		" AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name"
		" WHERE k.table_schema = DATABASE() AND r.constraint_schema = DATABASE()"
		" AND k.referenced_table_name IS NOT NULL"
		" AND (k.table_name IN (%s) OR k.referenced_table_name IN (%s))") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *child = load_find(load, sql_cell(&result, row, 0));
		struct load_table *parent = load_find(load, sql_cell(&result, row, 2));
		bool cascades =
		    changes_children(&result, row, 4) || changes_children(&result, row, 5);

		if (!load_is(&result, row, 6, "1"))
			parent = NULL;
		if (child != NULL)
			take_side(child, sql_cell(&result, row, 1), cascades);
		if (parent != NULL)
			take_side(parent, sql_cell(&result, row, 3), cascades);
		if (child != NULL && parent != NULL)
			add_parent(load, child, parent);
	}
	sql_result_free(&result);
	return 0;
}

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/*
 * Does the expression name the column?  Rather once too often (inside a text, say) than once too
 * little, so it isn't parsed: the name, backticks doubled, with no name byte on either side.
 */
static bool
names_column(const char *expression, const char *name)
{
	char wanted[2 * 64 * 4 + 1];
	size_t len = 0;

	for (const char *c = name; *c != '\0' && len + 2 < sizeof(wanted); c++) {
		wanted[len++] = *c;
		if (*c == '`')
			wanted[len++] = '`';
	}
	wanted[len] = '\0';
	if (len == 0)
		return false;
	for (const char *at = strcasestr(expression, wanted); at != NULL;
	    at = strcasestr(at + 1, wanted)) {
		if ((at == expression || !is_name_byte(at[-1]) || !is_name_byte(wanted[0])) &&
		    (!is_name_byte(at[len]) || !is_name_byte(wanted[len - 1])))
			return true;
	}
	return false;
}

void
load_guard_named(struct load_table *t, const char *expression)
{
	for (unsigned i = 0; i < t->table->column_count; i++) {
		if (names_column(expression, t->table->columns[i].name))
			t->table->columns[i].guarded = true;
	}
}

/* Each generated column may be made of others, which may be generated too: all are gone through. */
void
load_guard_expressions(struct load *load)
{
	for (size_t i = 0; i < load->count; i++) {
		struct load_table *t = &load->tables[i];

		for (unsigned c = 0; c < t->table->column_count; c++) {
			if (t->expressions[c] != NULL)
				load_guard_named(t, t->expressions[c]);
		}
	}
}

/* MariaDB's JSON is LONGTEXT with CHECK (json_valid(`column`)). */
static struct column *
json_column(struct load *load, struct load_table *t, struct str clause)
{
	static const struct str before = { "json_valid(`", 12 }, behind = { "`)", 2 };
	struct column *column;
	struct str name;

	if (!load->mariadb || clause.len <= before.len + behind.len ||
	    strncasecmp(clause.data, before.data, before.len) != 0 ||
	    memcmp(clause.data + clause.len - behind.len, behind.data, behind.len) != 0)
		return NULL;
	name = (struct str){ clause.data + before.len, clause.len - before.len - behind.len };
	column = load_column(t, name);
	if (column == NULL || column->kind != COLUMN_TEXT || column->charset == NULL)
		return NULL;
	return strcmp(column->charset, "utf8mb4") == 0 ? column : NULL;
}

int
load_checks(struct load *load, struct err *err)
{
	struct sql_result result;
	const char *statement = load->mariadb ?
	    "SELECT table_name, check_clause FROM information_schema.check_constraints"
	    " WHERE constraint_schema = DATABASE() AND table_name IN (%s)" :
	    "SELECT t.table_name, c.check_clause FROM information_schema.check_constraints c"
	    " JOIN information_schema.table_constraints t"
	    " ON t.constraint_schema = c.constraint_schema"
	    " AND t.constraint_name = c.constraint_name"
	    " WHERE t.constraint_schema = DATABASE() AND t.constraint_type = 'CHECK'"
	    " AND t.table_name IN (%s)";

	if (load_query(load, &result, err, statement) < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));
		struct column *json;

		if (t == NULL)
			continue;
		json = json_column(load, t, sql_cell(&result, row, 1));
		if (json != NULL) {
			json->kind = COLUMN_JSON;
			continue;
		}
		t->table->has_check = true;
		load_guard_named(t, load_text(load, &result, row, 1));
	}
	sql_result_free(&result);
	return 0;
}

int
load_triggers(struct load *load, struct err *err)
{
	struct sql_result result;

	if (load_query(load, &result, err,
		"SELECT DISTINCT event_object_table FROM information_schema.triggers"
		" WHERE event_object_schema = DATABASE() AND event_object_table IN (%s)") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));

		if (t != NULL)
			t->table->ordered = true;
	}
	sql_result_free(&result);
	return 0;
}

static bool
shows(const struct sql_result *result, const char *text)
{
	struct str cell = sql_cell(result, 0, 1);

	return cell.data != NULL && memmem(cell.data, cell.len, text, strlen(text)) != NULL;
}

int
load_hidden(struct load *load, struct err *err)
{
	for (size_t i = 0; i < load->count; i++) {
		struct table *table = load->tables[i].table;
		struct sql_result result;
		struct buf show = { 0 };
		bool checked = table->has_check;
		int status;

		if (!load->tables[i].is_there || table->ordered)
			continue;
		/* MariaDB's JSON is a CHECK too */
		for (unsigned c = 0; c < table->column_count; c++)
			checked |= table->columns[c].kind == COLUMN_JSON;
		buf_add_str(&show, "SHOW CREATE TABLE ");
		sql_add_identifier(&show, str_of(table->name));
		status = sql_query(load->sql, (struct str){ show.data, show.len }, &result, err);
		buf_deinit(&show);
		if (status != 0 && err->class == ERR_RETRY)
			return -1;
		if (status != 0 || result.rows == 0 || result.columns < 2)
			continue; /* gone, or a view: load_judge says so */
		table->hidden = (!checked && shows(&result, " CHECK (")) ||
		    (!table->has_foreign_key && shows(&result, " FOREIGN KEY ("));
		sql_result_free(&result);
		table->ordered |= table->hidden;
		table->has_check |= table->hidden;
	}
	return 0;
}

/* Depth first; an edge that closes a cycle doesn't count. */
static void
rank_table(struct load *load, struct load_table *t)
{
	t->visiting = true;
	for (unsigned i = 0; i < t->table->parent_count; i++) {
		struct load_table *parent = load_find(load, str_of(t->table->parents[i]->name));

		if (parent->visiting)
			continue;
		if (!parent->visited)
			rank_table(load, parent);
		if (t->table->rank <= parent->table->rank)
			t->table->rank = parent->table->rank + 1;
	}
	t->visiting = false;
	t->visited = true;
}

void
load_rank(struct load *load)
{
	for (size_t i = 0; i < load->count; i++) {
		if (!load->tables[i].visited)
			rank_table(load, &load->tables[i]);
	}
}
