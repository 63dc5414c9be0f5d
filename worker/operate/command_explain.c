#include "common/mysql.h"
#include "worker/operate/access.h"
#include "worker/operate/command.h"
#include "worker/operate/text_table.h"
#include "worker/store/column_check.h"
#include "worker/store/row_keys.h"
#include "worker/store/row_read.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <string.h>

/* `sluice explain row`: a change that nobody makes, and the keys that it would make stale. */
enum { ARENA_KEEP = 64 * 1024, WORDS = 3 /* row FILE TABLE, then COLUMN=VALUE… */ };

struct explain {
	struct config config;
	struct access_mysql mysql;
	struct sql *sql;
	struct schema *schema;
	struct arena arena;
	const struct table *table;
	struct value key[16];
	const struct str *stored;   /* the row as MySQL has it; NULL: none */
	struct str *before, *after; /* by the table's reads */
	bool has_before, has_version;
	uint64_t version;
};

int
command_explain_usage(const char *word, const char *what)
{
	fprintf(stderr, "sluice: explain: %s: %s\n", word, what);
	return EXIT_CODE_USAGE;
}

static const struct column *
column_of(const struct explain *x, struct str word, struct str *value)
{
	const char *equals = word.len > 0 ? memchr(word.data, '=', word.len) : NULL;

	if (equals == NULL)
		return NULL;
	*value = (struct str){ equals + 1, word.len - (size_t)(equals - word.data) - 1 };
	return table_column(x->table, (struct str){ word.data, (size_t)(equals - word.data) });
}

/* The one spelling that a key has, as far as the column has one. */
static struct str
text_of(struct explain *x, const struct column *column, struct str given)
{
	struct value plain = { given, column->kind == COLUMN_BINARY ? VALUE_BINARY : VALUE_TEXT },
		     text;
	const char *why;

	return column_check_key(column, &plain, false, &x->arena, &text, &why) != COLUMN_REFUSED ?
	    text.text :
	    given;
}

static int
take_key(struct explain *x, const struct column *column, struct str given)
{
	struct value plain = { given, column->kind == COLUMN_BINARY ? VALUE_BINARY : VALUE_TEXT };
	const char *why = "";

	if (column_check_key(column, &plain, false, &x->arena, &x->key[column->key_part], &why) ==
	    COLUMN_REFUSED)
		return command_explain_usage(column->name, why);
	return EXIT_CODE_OK;
}

static void
lay_over(struct explain *x, struct str *row, const struct column *column, struct str given)
{
	for (unsigned i = 0; i < x->table->read_count; i++) {
		if (&x->table->columns[x->table->reads[i]] == column)
			row[i] = text_of(x, column, given);
	}
}

/* The key first: with it the row is read that the others lie over. */
static int
take_keys(struct explain *x, const struct command_line *line)
{
	for (size_t i = WORDS; i < line->word_count; i++) {
		struct str value = { NULL, 0 };
		const struct column *column = column_of(x, str_of(line->words[i]), &value);

		if (column == NULL)
			return command_explain_usage(line->words[i],
			    "want COLUMN=VALUE, with a column of the table");
		if (column->key_part >= 0 && take_key(x, column, value) != EXIT_CODE_OK)
			return EXIT_CODE_USAGE;
	}
	for (unsigned i = 0; i < x->table->key_count; i++) {
		if (x->key[i].text.data == NULL)
			return command_explain_usage(x->table->columns[x->table->key[i]].name,
			    "this column of the primary key is missing");
	}
	return EXIT_CODE_OK;
}

static int
read_stored(struct explain *x, struct err *err)
{
	struct table *table = schema_table(x->schema, str_of(x->table->name));
	struct shape shape = { .table = table, .kind = SHAPE_UPDATE };
	struct step step = { .shape = &shape, .key = x->key }, *steps[1] = { &step };
	struct statement s = {
		.steps = steps, .count = 1, .bytes_max = 1 << 20, .mariadb = sql_is_mariadb(x->sql)
	};
	struct sql_result result;
	struct buf text = { 0 };

	statement_add_read(&text, &s, false);
	if (session_send(x->sql, &text, &result, err) != 0)
		return -1;
	if (result.rows > 0)
		x->stored = row_read_values(&x->arena, table, &result, 0);
	sql_result_free(&result);
	return session_end(x->sql, 0, err);
}

static void
take_version(struct explain *x, const struct column *column, struct str given)
{
	if (column - x->table->columns == x->table->version_column)
		x->has_version = number_u64(given, &x->version);
}

/* What MySQL has, with what was given laid over it. */
static int
take_rows(struct explain *x, const struct command_line *line)
{
	size_t bytes = (x->table->read_count + 1) * sizeof(struct str);
	struct str rest = str_of(line->options[0]), value = { NULL, 0 };

	x->before = arena_zalloc(&x->arena, bytes);
	x->after = arena_zalloc(&x->arena, bytes);
	x->has_before = x->stored != NULL || line->options[0] != NULL;
	for (unsigned i = 0; x->stored != NULL && i < x->table->read_count; i++)
		x->before[i] = x->after[i] = x->stored[i];
	for (size_t i = WORDS; i < line->word_count; i++) {
		const struct column *column = column_of(x, str_of(line->words[i]), &value);

		lay_over(x, x->after, column, value);
		take_version(x, column, value);
	}
	while (rest.len > 0) {
		const char *comma = memchr(rest.data, ',', rest.len);
		size_t len = comma != NULL ? (size_t)(comma - rest.data) : rest.len;
		const struct column *column = column_of(x, (struct str){ rest.data, len }, &value);

		if (column == NULL)
			return command_explain_usage(line->options[0],
			    "--before wants COLUMN=VALUE, with a column of the table");
		if (column->key_part >= 0)
			return command_explain_usage(column->name,
			    "a primary key that changes is a row that goes (--delete) and one that "
			    "comes: explain both");
		lay_over(x, x->before, column, value);
		len += comma != NULL;
		rest = (struct str){ rest.data + len, rest.len - len };
	}
	return EXIT_CODE_OK;
}

static void
add_owed(struct text_table *t, const struct explain *x, const struct owed *owed)
{
	struct buf version = { 0 };
	const char *cells[4];

	if (!mode_is_versioned(owed->template->mode))
		buf_add_str(&version, "");
	else if (owed->told.unversioned)
		buf_add_str(&version, "unversioned");
	else if (x->table->version != VERSION_GIVEN && !owed->told.deleted)
		buf_add_str(&version, "the next one");
	else
		buf_printf(&version, "%llu%s", (unsigned long long)owed->told.version,
		    owed->told.deleted ? " deleted" : "");
	cells[0] = owed->key.data;
	cells[1] = config_mode_name(owed->template->mode);
	cells[2] = version.data;
	cells[3] = owed->template->written;
	text_table_add(t, cells);
	buf_deinit(&version);
}

static int
print_owed(const struct explain *x, const struct owed_list *list)
{
	static const char *const heads[] = { "KEY", "MODE", "VERSION", "TEMPLATE", NULL };
	struct text_table t;
	struct buf out = { 0 };
	bool put;

	text_table_init(&t, heads);
	for (const struct owed *owed = list->first; owed != NULL; owed = owed->next)
		add_owed(&t, x, owed);
	text_table_print(&t, &out);
	if (list->first == NULL) {
		buf_reset(&out);
		buf_add_str(&out, "no key\n");
	}
	put = command_put(&out);
	text_table_deinit(&t);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

static int
show_keys(struct explain *x, bool deletes)
{
	struct entry entry = { .lane = NULL };
	struct change change = { .op = deletes ? CHANGE_DELETE : CHANGE_UPSERT,
		.entry = &entry,
		.has_version = x->has_version,
		.version = x->version };
	struct touched row = { .table = schema_table(x->schema, str_of(x->table->name)),
		.key = x->key,
		.changes = &change };
	struct owed_list list;
	int code;

	/* those that the entry alone tells are asked for, too */
	for (size_t i = 0; i < row.table->template_count; i++)
		row.table->templates[i].from_row =
		    row.table->templates[i].config->mode != MODE_NONE;
	owed_init(&list);
	row_keys_owe(&list, &row, x->has_before ? x->before : NULL, deletes ? NULL : x->after);
	code = print_owed(x, &list);
	owed_deinit(&list);
	return code;
}

static int
unreachable(const struct explain *x, const struct err *err)
{
	struct buf place = { 0 };

	access_add_mysql(&x->config.mysql, &place);
	fprintf(stderr, "sluice: mysql %s: %s\n", place.data, err->text);
	buf_deinit(&place);
	return EXIT_CODE_UNREACHABLE;
}

static int
explain_row(struct explain *x, const struct command_line *line)
{
	struct session_facts facts;
	struct err err = { 0 };
	int code;

	if (sql_open(x->sql, &err) != 0 ||
	    session_prepare(x->sql, x->config.lock_wait_ms, &facts, &err) != 0 ||
	    schema_load(x->schema, x->sql, &err) != 0)
		return unreachable(x, &err);
	x->table = schema_table(x->schema, str_of(line->words[2]));
	if (x->table == NULL)
		return command_explain_usage(line->words[2], "no such table under `tables`");
	if (x->table->problem != NULL)
		return command_explain_usage(line->words[2], x->table->problem);
	code = take_keys(x, line);
	if (code != EXIT_CODE_OK)
		return code;
	if (read_stored(x, &err) != 0)
		return unreachable(x, &err);
	code = take_rows(x, line);
	return code == EXIT_CODE_OK ? show_keys(x, line->options[1] != NULL) : code;
}

static bool
is_written(const struct config *config, struct str table)
{
	for (size_t i = 0; i < config->source_count; i++) {
		const struct config_source *source = &config->sources[i];

		if (!source->write)
			continue;
		if (source->table != NULL && str_equal(str_of(source->table), table))
			return true;
		for (size_t j = 0; j < source->table_count; j++)
			if (str_equal(str_of(source->tables[j]), table))
				return true;
	}
	return false;
}

int
command_explain(const struct command_line *line)
{
	struct explain x = { .sql = NULL };
	int code;

	if (strcmp(line->words[0], "key") == 0)
		return command_explain_key(line);
	if (strcmp(line->words[0], "row") != 0)
		return command_explain_usage(line->words[0], "it explains a `row` or a `key`");
	if (line->word_count <= WORDS)
		return command_explain_usage("row", "want FILE TABLE COLUMN=VALUE...");
	if (!command_load(&x.config, line->words[1], true))
		return EXIT_CODE_CONFIG;
	if (!is_written(&x.config, str_of(line->words[2]))) {
		code = command_explain_event(&x.config, line);
		config_deinit(&x.config);
		return code;
	}
	/* of events, too, the row before is MySQL's here */
	for (size_t i = 0; i < x.config.table_count; i++)
		x.config.tables[i].has_images = false;
	sql_library_init();
	sql_thread_start();
	access_mysql_init(&x.mysql, &x.config.mysql);
	x.sql = sql_new(&x.mysql.options);
	x.schema = schema_new(&x.config);
	arena_init(&x.arena, ARENA_KEEP);
	code = explain_row(&x, line);
	arena_deinit(&x.arena);
	schema_free(&x.schema);
	sql_free(&x.sql);
	sql_thread_stop();
	access_mysql_deinit(&x.mysql);
	config_deinit(&x.config);
	return code;
}
