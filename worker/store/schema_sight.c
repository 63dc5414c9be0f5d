#include "worker/store/schema_load.h"

#include "common/err.h"

#include <stdio.h>
#include <strings.h>

/*
 * What the server doesn't show this account.  Folding must know CHECKs, foreign keys and triggers; what
 * can't be seen is taken to be there, so that such a table is written in lane order.
 *	MariaDB	CHECKs, and before 11.8 the rules of foreign keys: shown with a right on the database
 *	MySQL	triggers: shown with TRIGGER
 *	both	tables without a right on them, which may reference ours
 */
enum { NO_SUCH_TABLE = 1146 };

/* Whoever has a right on the whole database is told of any name in it that there is no such table. */
static int
look_at_database(struct load *load, struct err *err)
{
	struct sql_result result;
	struct err answer = { 0 };

	if (load_query(load, &result, err,
		"SELECT CONCAT(QUOTE(LEFT(u, CHAR_LENGTH(u) - CHAR_LENGTH(h) - 1)), '@', QUOTE(h))"
		" FROM (SELECT CURRENT_USER() AS u, SUBSTRING_INDEX(CURRENT_USER(), '@', -1) AS h)"
		" AS account") < 0)
		return -1;
	load->account = load_text(load, &result, 0, 0);
	sql_result_free(&result);
	if (sql_query(load->sql, STR("SHOW CREATE TABLE sluice_nobody"), &result, &answer) == 0) {
		sql_result_free(&result);
		load->sees_database = true;
		return 0;
	}
	if (!sql_is_open(load->sql)) {
		*err = answer;
		return -1;
	}
	load->sees_database = answer.code == NO_SUCH_TABLE;
	load_note(load, load->sees_database ? STR("sees") : STR("blind"));
	return 0;
}

/* ---- SHOW GRANTS ---- */

/* A word of the list of privileges: not a column's name, which stands in backticks. */
static bool
lists(struct str privileges, const char *word)
{
	const char *at = privileges.data, *end = privileges.data + privileges.len;
	size_t len = strlen(word);

	while ((at = memmem(at, (size_t)(end - at), word, len)) != NULL) {
		char before = at > privileges.data ? at[-1] : ' ';
		char after = at + len < end ? at[len] : ' ';

		if ((before == ' ' || before == ',') && (after == ' ' || after == ','))
			return true;
		at += len;
	}
	return false;
}

/* The next `name` or *, unquoted into out; *at moves behind it. */
static bool
take_name(const char **at, char *out, size_t size)
{
	const char *c = *at;
	size_t len = 0;

	if (*c != '`' && *c != '*')
		return false;
	if (*c == '*') {
		snprintf(out, size, "%%");
		*at = c + 1;
		return true;
	}
	for (c++; *c != '\0' && len + 1 < size; c++) {
		if (c[0] == '`' && c[1] != '`')
			break;
		c += c[0] == '`';
		out[len++] = *c;
	}
	out[len] = '\0';
	*at = *c != '\0' ? c + 1 : c;
	return true;
}

/* The pattern of a GRANT on databases. */
static bool
is_like(const char *name, const char *pattern)
{
	for (; *pattern != '\0'; pattern++, name++) {
		if (*pattern == '%') {
			for (; *name != '\0'; name++)
				if (is_like(name, pattern + 1))
					return true;
			return is_like(name, pattern + 1);
		}
		if (*pattern == '\\' && pattern[1] != '\0')
			pattern++;
		else if (*pattern == '_' && *name != '\0')
			continue;
		if (*name != *pattern)
			return false;
	}
	return *name == '\0';
}

/* GRANT privileges ON `database`.`table` TO …; REVOKE … where a part was taken away again. */
static void
take_grant(struct load *load, const char *line)
{
	bool gives = strncasecmp(line, "GRANT ", 6) == 0;
	const char *on = strstr(line, " ON ");
	char database[256], table[256];
	struct str privileges;

	if (on == NULL || strchr(line, ' ') >= on)
		return;
	privileges.data = strchr(line, ' ') + 1;
	privileges.len = (size_t)(on - privileges.data);
	on += 4;
	if (!lists(privileges, "TRIGGER") && !lists(privileges, "ALL"))
		return;
	if (!take_name(&on, database, sizeof(database)) || on[0] != '.')
		return;
	on++;
	if (!take_name(&on, table, sizeof(table)) ||
	    !is_like(load->config->mysql.database, database))
		return;
	for (size_t i = 0; i < load->count; i++) {
		const char *name = load->tables[i].table->name;

		if (strcmp(table, "%") == 0 ||
		    (load->fold_names ? strcasecmp(name, table) : strcmp(name, table)) == 0)
			load->tables[i].sees_triggers = gives;
	}
}

static int
look_at_grants(struct load *load, struct err *err)
{
	struct sql_result result;

	for (size_t i = 0; i < load->count; i++)
		load->tables[i].sees_triggers = load->mariadb;
	if (load->mariadb)
		return 0;
	if (load_query(load, &result, err, "SHOW GRANTS") < 0)
		return -1;
	for (size_t row = 0; row < result.rows; row++)
		take_grant(load, load_text(load, &result, row, 0));
	sql_result_free(&result);
	return 0;
}

int
load_sight(struct load *load, struct err *err)
{
	return look_at_database(load, err) < 0 || look_at_grants(load, err) < 0 ? -1 : 0;
}

/* ---- SHOW CREATE TABLE ---- */

/* Behind a quoted 'text' or `name`, whose quotes are doubled or (in texts) escaped. */
static const char *
skip_quoted(const char *at, const char *end)
{
	char quote = *at++;

	for (; at < end; at++) {
		if (*at == '\\' && quote == '\'')
			at++;
		else if (*at == quote && (at + 1 >= end || at[1] != quote))
			return at + 1;
		else if (*at == quote)
			at++;
	}
	return end;
}

static bool
has_check(struct str definition)
{
	const char *at = definition.data, *end = definition.data + definition.len;

	while (at < end) {
		if (*at == '\'' || *at == '`')
			at = skip_quoted(at, end);
		else if ((size_t)(end - at) >= 7 && strncasecmp(at, " CHECK ", 7) == 0)
			return true;
		else
			at++;
	}
	return false;
}

/* Told to whoever may SELECT. */
static int
look_for_check(struct load *load, struct load_table *t, struct err *err)
{
	struct sql_result result;
	struct err answer = { 0 };
	struct buf question;
	int status;

	buf_init(&question);
	buf_add_str(&question, "SHOW CREATE TABLE ");
	sql_add_identifier(&question, str_of(t->table->name));
	status =
	    sql_query(load->sql, (struct str){ question.data, question.len }, &result, &answer);
	buf_deinit(&question);
	if (status < 0 && !sql_is_open(load->sql)) {
		*err = answer;
		return -1;
	}
	/* who isn't told that either isn't told enough */
	if (status < 0 || (result.rows > 0 && has_check(sql_cell(&result, 0, 1)))) {
		t->table->has_check = true;
		load_hide(t, HIDDEN_CONSTRAINTS);
		load_note(load, STR("hidden check"));
	}
	if (status == 0)
		sql_result_free(&result);
	return 0;
}

int
load_hidden_checks(struct load *load, struct err *err)
{
	if (!load->mariadb || load->sees_database)
		return 0;
	for (size_t i = 0; i < load->count; i++) {
		if (load->tables[i].is_there && look_for_check(load, &load->tables[i], err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what follows from it ---- */

void
load_hide(struct load_table *t, enum hidden what)
{
	t->table->ordered = true;
	t->hidden |= (unsigned)what;
}

/*
 * A table that we can't see may stand between two of ours: what is deleted in the one is deleted in
 * the other.  Which one it is can't be known, so no two of them are written out of order.
 */
static void
hide_all(struct load *load)
{
	for (size_t i = 0; i < load->count; i++) {
		if (!load->tables[i].is_there)
			continue;
		load->tables[i].table->has_foreign_key = true;
		load_hide(&load->tables[i], HIDDEN_CONSTRAINTS);
	}
}

void
load_tell_hidden(struct load *load)
{
	static const char *const rights[] = { [HIDDEN_CONSTRAINTS] = "REFERENCES",
		[HIDDEN_TRIGGERS] = "TRIGGER",
		[HIDDEN_CONSTRAINTS | HIDDEN_TRIGGERS] = "REFERENCES, TRIGGER" };
	struct buf database;

	if (load->unseen_parent)
		hide_all(load);
	buf_init(&database);
	sql_add_identifier(&database, str_of(load->config->mysql.database));
	for (size_t i = 0; i < load->count; i++) {
		struct load_table *t = &load->tables[i];

		if (t->hidden != 0)
			t->table->hidden_grant = arena_printf(load->arena,
			    "GRANT %s ON %.*s.* TO %s", rights[t->hidden], (int)database.len,
			    database.data, load->account != NULL ? load->account : "CURRENT_USER");
	}
	buf_deinit(&database);
}
