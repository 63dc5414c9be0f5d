#include "common/err.h"
#include "tests/sim/sim.h"
#include "tests/support/table_make.h"
#include "worker/store/refusal.h"
#include "worker/store/template_names.h"

#include <stdio.h>
#include <stdlib.h>

/* MySQL's and MariaDB's numbers for what can be wrong with a value. */
enum { ER_BAD_NULL = 1048, ER_WRONG_VALUE = 1366, ER_TOO_LONG = 1406, ER_CHECK = 4025 };
enum { CHECKED_SUM_MAX = 50 };

const char *const table_names[TABLES] = { "stock", "profile", "checked", "logged" };

static const struct made_column columns[TABLES][COLUMNS_MAX + 1] = {
	[STOCK] = { { "id", "int(10) unsigned", NULL, false, true, NULL },
	    { "n", "tinyint(4)", "0", false, false, NULL },
	    { "u", "tinyint(3) unsigned", "NULL", true, false, NULL },
	    { "d", "decimal(4,1)", "5.0", false, false, NULL },
	    { "name", "varchar(4)", NULL, false, false, NULL },
	    { "extra", "int(11)", "NULL", true, false, NULL }, { 0 } },
	[PROFILE] = { { "id", "varchar(8)", NULL, false, true, "utf8mb4_general_ci" },
	    { "a", "tinyint(3) unsigned", "NULL", true, false, NULL },
	    { "b", "varchar(4)", "NULL", true, false, NULL },
	    { "c", "tinyint(4)", NULL, false, false, NULL },
	    { "ver", "bigint(20) unsigned", "NULL", true, false, NULL }, { 0 } },
	[CHECKED] = { { "id", "int(11)", NULL, false, true, NULL },
	    { "a", "tinyint(4)", "0", false, false, NULL },
	    { "b", "tinyint(4)", "NULL", true, false, NULL },
	    { "n", "tinyint(4)", "7", false, false, NULL }, { 0 } },
	[LOGGED] = { { "id", "int(11)", NULL, false, true, NULL },
	    { "n", "int(11)", "0", false, false, NULL },
	    { "m", "tinyint(4)", "0", false, false, NULL }, { 0 } },
};

/* Made once; each load gets copies of its own, so that a use of older ones is seen. */
static struct table master[TABLES];

struct sim_schema {
	struct schema *schema;
	struct table tables[TABLES];
};

static void
make_master(const struct config *config)
{
	for (unsigned t = 0; t < TABLES; t++)
		table_make(&master[t], &config->tables[t], columns[t]);
	master[CHECKED].columns[1].guarded = master[CHECKED].columns[2].guarded = true;
	master[CHECKED].has_check = true;
	master[LOGGED].ordered = true;
}

static void
copy_templates(struct table *table, unsigned t)
{
	static const char *names[TABLES][COLUMNS_MAX + 1];
	static unsigned columns_named[TABLES][COLUMNS_MAX + 1];
	size_t count = template_names(table, names[t], columns_named[t]);
	struct err err;

	table->reads = columns_named[t] + table->key_count;
	table->image_count = table->read_count = (unsigned)count - table->key_count;
	table->reads_row = table->image_count > 0;
	table->template_count = table->config->template_count;
	table->populates = t == PROFILE && table->template_count > 0;
	table->templates = calloc(table->template_count + 1, sizeof(*table->templates));
	CHECK(table->templates != NULL);
	for (size_t i = 0; i < table->template_count; i++) {
		struct key_template *template = &table->templates[i];

		CHECK(key_template_compile(template, &table->config->templates[i], names[t], count,
			  &err) == 0);
		template->from_row = template->parts[0].column >= (int)table->key_count;
		template->one_row = !template->from_row;
	}
}

static void
copy_table(struct table *table, unsigned t, const struct config *config)
{
	size_t bytes = master[t].column_count * sizeof(*table->columns);

	*table = master[t];
	table->config = &config->tables[t];
	table->columns = malloc(bytes);
	CHECK(table->columns != NULL);
	memcpy(table->columns, master[t].columns, bytes);
	copy_templates(table, t);
}

struct sim_schema *
sim_schema_new(const struct config *config, bool altered, int broken)
{
	struct sim_schema *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	if (master[0].columns == NULL)
		make_master(config);
	for (unsigned t = 0; t < TABLES; t++)
		copy_table(&s->tables[t], t, config);
	if (!altered)
		s->tables[STOCK].column_count--;
	if (broken >= 0)
		s->tables[broken].problem = "gone for a while";
	s->schema = schema_of_tables(config, s->tables, TABLES);
	return s;
}

void
sim_schema_free(struct sim_schema **schema)
{
	struct sim_schema *s = *schema;

	*schema = NULL;
	if (s == NULL)
		return;
	schema_free(&s->schema);
	for (unsigned t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < s->tables[t].template_count; i++)
			key_template_deinit(&s->tables[t].templates[i]);
		free(s->tables[t].templates);
		free(s->tables[t].columns);
	}
	free(s);
}

struct schema *
sim_schema_of(struct sim_schema *schema)
{
	return schema->schema;
}

unsigned
table_number(const struct table *table)
{
	for (unsigned t = 0; t < TABLES; t++) {
		if (strcmp(table->name, table_names[t]) == 0)
			return t;
	}
	sim_fail("a table %s that nobody has", table->name);
}

/* "3", or of text keys "k3", "K3", "k3 ": the server takes them for the same. */
unsigned
key_row(const struct operation *op)
{
	struct str text = op->key[0].text;
	char digits[24];

	if (table_number(op->shape->table) == PROFILE) {
		text.data++;
		text.len--;
	}
	snprintf(digits, sizeof(digits), "%.*s", STR_ARGS(text));
	return (unsigned)strtoul(digits, NULL, 10);
}

/* ---- values ---- */

static int128
column_limit(const struct column *column)
{
	int128 limit = 1;

	for (unsigned i = 0; i < column->precision; i++)
		limit *= 10;
	return limit - 1;
}

static bool
in_range(const struct column *column, int128 n)
{
	if (column->kind == COLUMN_INT)
		return n >= column->low && n <= column->high;
	return n >= -column_limit(column) && n <= column_limit(column);
}

static unsigned
scale_of(const struct column *column)
{
	return column->kind == COLUMN_DECIMAL ? column->scale : 0;
}

static int
cell_set(const struct column *column, const struct value *value, struct cell *cell)
{
	memset(cell, 0, sizeof(*cell));
	if (value->kind == VALUE_NULL) {
		cell->null = true;
		return column->nullable ? 0 : ER_BAD_NULL;
	}
	if (column->kind == COLUMN_TEXT) {
		if (value->text.len > column->length)
			return ER_TOO_LONG;
		if (value->text.len > 0)
			memcpy(cell->text, value->text.data, value->text.len);
		return 0;
	}
	if (!number_scaled(value->text, scale_of(column), &cell->n))
		return ER_WRONG_VALUE;
	return in_range(column, cell->n) ? 0 : REFUSAL_OUT_OF_RANGE;
}

static int
cell_add(const struct column *column, const struct value *value, const struct sum *sum,
    struct cell *cell)
{
	int128 n;

	if (cell->null)
		cell->n = 0;
	cell->null = false;
	if (sum != NULL &&
	    (!in_range(column, cell->n + sum->low) || !in_range(column, cell->n + sum->high)))
		return REFUSAL_OUT_OF_RANGE;
	if (!number_scaled(value->text, scale_of(column), &n))
		return ER_WRONG_VALUE;
	cell->n += n;
	return in_range(column, cell->n) ? 0 : REFUSAL_OUT_OF_RANGE;
}

static void
cell_default(unsigned t, unsigned i, struct cell *cell)
{
	static const int128 defaults[TABLES][COLUMNS_MAX] = {
		[STOCK] = { 0, 0, 0, 50 },
		[CHECKED] = { 0, 0, 0, 7 },
	};

	memset(cell, 0, sizeof(*cell));
	cell->null = master[t].columns[i].nullable;
	cell->n = defaults[t][i];
}

/* ---- a change ---- */

/* A row that is made: defaults, but increments count from 0; what has no default must be given. */
static int
make_row(const struct operation *op, unsigned t, struct row *row)
{
	const struct shape *shape = op->shape;

	for (unsigned i = 1; i < master[t].column_count; i++) {
		unsigned at = 0;

		cell_default(t, i, &row->cells[i]);
		while (at < shape->count && shape->columns[at].column != i)
			at++;
		if (at == shape->count) {
			if (master[t].columns[i].required)
				return REFUSAL_NO_DEFAULT;
		} else if (shape->columns[at].add) {
			row->cells[i].n = 0;
		}
	}
	row->there = true;
	return 0;
}

static int
change_row(const struct operation *op, unsigned t, struct row *row)
{
	const struct shape *shape = op->shape;
	int code = 0;

	for (unsigned i = 0; i < shape->count && code == 0; i++) {
		const struct column *column = &master[t].columns[shape->columns[i].column];
		struct cell *cell = &row->cells[shape->columns[i].column];

		code = shape->columns[i].add ?
		    cell_add(column, &op->values[i], op->sums != NULL ? &op->sums[i] : NULL, cell) :
		    cell_set(column, &op->values[i], cell);
	}
	if (code == 0 && t == CHECKED && !row->cells[2].null &&
	    row->cells[1].n + row->cells[2].n > CHECKED_SUM_MAX)
		code = ER_CHECK;
	if (code == 0 && t == PROFILE)
		row->cells[4] = (struct cell){ .n = (int128)op->version };
	return code;
}

/* What no two changes can do in another order and come to the same. */
static void
fire_trigger(struct row *log, unsigned key, enum shape_kind kind)
{
	log->there = true;
	log->cells[1].n = (log->cells[1].n * 31 + key * 7 + kind + 1) % 1000000007;
}

int
apply(const struct operation *op, struct row *row, struct row *log, int *code)
{
	unsigned t = table_number(op->shape->table);
	struct row next = *row;

	*code = 0;
	if (!row->there && op->shape->kind != SHAPE_UPSERT)
		return 0;
	if (t == PROFILE && row->there && !row->cells[4].null &&
	    row->cells[4].n >= (int128)op->version)
		return 0;
	if (op->shape->kind == SHAPE_DELETE) {
		memset(&next, 0, sizeof(next));
	} else {
		if (!row->there)
			*code = make_row(op, t, &next);
		if (*code == 0)
			*code = change_row(op, t, &next);
	}
	if (*code != 0)
		return -1;
	*row = next;
	if (log != NULL)
		fire_trigger(log, key_row(op), op->shape->kind);
	return 1;
}

/* ---- rows to compare and to show ---- */

bool
row_equal(const struct row *a, const struct row *b)
{
	if (a->there != b->there)
		return false;
	for (unsigned i = 0; i < COLUMNS_MAX && a->there; i++) {
		const struct cell *x = &a->cells[i], *y = &b->cells[i];

		if (x->null != y->null ||
		    (!x->null && (x->n != y->n || strcmp(x->text, y->text) != 0)))
			return false;
	}
	return true;
}

const char *
row_text(unsigned table, const struct row *row)
{
	static char texts[2][512];
	static unsigned turn;
	char *text = texts[turn++ % 2];
	size_t len = 0;

	if (!row->there)
		return "no row";
	for (unsigned i = 1; i < master[table].column_count; i++) {
		const struct column *column = &master[table].columns[i];
		const struct cell *cell = &row->cells[i];
		char number[48];

		number_scaled_text(cell->n, scale_of(column), number);
		number[number_scaled_text(cell->n, scale_of(column), number)] = '\0';
		len += (size_t)snprintf(text + len, sizeof(texts[0]) - len, " %s=%s", column->name,
		    cell->null			    ? "NULL" :
			column->kind == COLUMN_TEXT ? cell->text :
						      number);
	}
	return text;
}
