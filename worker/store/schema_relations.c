#include "worker/store/schema_load.h"

#include "common/err.h"

#include <ctype.h>
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

/* CASCADE and SET NULL change the child's rows when the parent's change; so may a rule that is hidden. */
static bool
changes_children(const struct sql_result *rules, size_t row, size_t column)
{
	return !load_is(rules, row, column, "RESTRICT") &&
	    !load_is(rules, row, column, "NO ACTION");
}

/* The rules of this foreign key; false: they are hidden. */
static bool
find_rules(const struct sql_result *rules, struct str table, struct str constraint, bool *cascades)
{
	*cascades = true;
	for (size_t row = 0; row < rules->rows; row++) {
		if (!str_equal(sql_cell(rules, row, 0), table) ||
		    !str_equal(sql_cell(rules, row, 1), constraint))
			continue;
		*cascades = changes_children(rules, row, 2) || changes_children(rules, row, 3);
		return true;
	}
	return false;
}

/* A column of a foreign key: table, constraint, column, table and column referenced, in our database? */
static void
take_key_part(struct load *load, const struct sql_result *keys, size_t row,
    const struct sql_result *rules)
{
	struct load_table *child = load_find(load, sql_cell(keys, row, 0));
	struct load_table *parent = load_find(load, sql_cell(keys, row, 3));
	bool cascades, known;

	known = find_rules(rules, sql_cell(keys, row, 0), sql_cell(keys, row, 1), &cascades);
	if (!load_is(keys, row, 5, "1"))
		parent = NULL;
	else if (parent == NULL && cascades && !load->sees_database)
		load->unseen_parent = true;
	if (child != NULL)
		take_side(child, sql_cell(keys, row, 2), cascades);
	if (parent != NULL)
		take_side(parent, sql_cell(keys, row, 4), cascades);
	if (child != NULL && !known)
		load_hide(child, HIDDEN_CONSTRAINTS);
	if (parent != NULL && !known)
		load_hide(parent, HIDDEN_CONSTRAINTS);
	if (child != NULL && parent != NULL)
		add_parent(load, child, parent);
}

/* Children are those in our own database.  Two questions: joined, they cost the server ten times that. */
int
load_foreign_keys(struct load *load, struct err *err)
{
	struct sql_result keys, rules;

	if (load_query(load, &rules, err,
		"SELECT table_name, constraint_name, update_rule, delete_rule"
		" FROM information_schema.referential_constraints"
		" WHERE constraint_schema = DATABASE()"
		" AND (table_name IN (%s) OR referenced_table_name IN (%s))"
		" ORDER BY table_name, constraint_name") < 0)
		return -1;
	if (load_query(load, &keys, err,
		"SELECT table_name, constraint_name, column_name, referenced_table_name,"
		" referenced_column_name, referenced_table_schema = DATABASE()"
		" FROM information_schema.key_column_usage"
		" WHERE table_schema = DATABASE() AND referenced_table_name IS NOT NULL"
		" AND (table_name IN (%s) OR referenced_table_name IN (%s))"
		" ORDER BY table_name, constraint_name, ordinal_position") < 0) {
		sql_result_free(&rules);
		return -1;
	}
	for (size_t row = 0; row < keys.rows; row++)
		take_key_part(load, &keys, row, &rules);
	sql_result_free(&keys);
	sql_result_free(&rules);
	return 0;
}

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/*
 * Does the expression name the column, the body the table?  Rather once too often (inside a text,
 * say) than once too little, so it isn't parsed: the name, backticks doubled, with no name byte on
 * either side.
 */
static bool
names(const char *expression, const char *name)
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

/* Guard every column whose name stands in the expression. */
static void
guard_named(struct load_table *t, const char *expression)
{
	for (unsigned i = 0; i < t->table->column_count; i++) {
		if (names(expression, t->table->columns[i].name))
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
				guard_named(t, t->expressions[c]);
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
	    " WHERE constraint_schema = DATABASE() AND table_name IN (%s)"
	    " ORDER BY table_name, constraint_name" :
	    /* merged, the join takes a hundred milliseconds instead of two */
	    "SELECT /*+ NO_MERGE(t) NO_MERGE(c) */ t.table_name, c.check_clause"
	    " FROM (SELECT constraint_name, table_name FROM information_schema.table_constraints"
	    " WHERE table_schema = DATABASE() AND constraint_type = 'CHECK'"
	    " AND table_name IN (%s)) t"
	    " JOIN (SELECT constraint_name, check_clause FROM information_schema.check_constraints"
	    " WHERE constraint_schema = DATABASE()) c ON c.constraint_name = t.constraint_name"
	    " ORDER BY t.table_name, t.constraint_name";

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
		guard_named(t, load_text(load, &result, row, 1));
	}
	sql_result_free(&result);
	return 0;
}

/* Does the body of a trigger of this table name another of ours, or call what may? */
static bool
writes_others(const struct load *load, const struct load_table *t, const char *body)
{
	if (body == NULL || names(body, "call"))
		return true;
	for (size_t i = 0; i < load->count; i++) {
		if (&load->tables[i] != t && names(body, load->tables[i].table->name))
			return true;
	}
	return false;
}

int
load_triggers(struct load *load, struct err *err)
{
	struct sql_result result;

	for (size_t i = 0; i < load->count; i++) {
		struct load_table *t = &load->tables[i];

		if (!t->is_there || t->sees_triggers)
			continue;
		t->table->writes_others = true;
		load_hide(t, HIDDEN_TRIGGERS);
	}
	if (load_query(load, &result, err,
		"SELECT event_object_table, action_statement FROM information_schema.triggers"
		" WHERE event_object_schema = DATABASE() AND event_object_table IN (%s)"
		" ORDER BY event_object_table, trigger_name") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++) {
		struct load_table *t = load_find(load, sql_cell(&result, row, 0));

		if (t == NULL)
			continue;
		t->table->ordered = true;
		t->table->writes_others |= writes_others(load, t, load_text(load, &result, row, 1));
		if (sql_cell(&result, row, 1).data == NULL) /* MariaDB, without TRIGGER */
			load_hide(t, HIDDEN_TRIGGERS);
	}
	sql_result_free(&result);
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
