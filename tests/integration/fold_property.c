/*
 * fold_property SOCKET|HOST:PORT USER PASSWORD SEED COUNT: the law of the fold on a real server.
 *
 * Each case is a random sequence of entries on small tables of every awkward kind, applied
 *	(A) one by one, by the plainest SQL (below; nothing of statement.c or the fold), and
 *	(B) as one batch through decode, resolve, fold and rows_write,
 * each in its own schema (fold_a, fold_b and fold_c are made and dropped here).  Both must end with
 * the same tables and the same dead letters.  Only a refusal that was another row's doing
 * (duplicate, foreign key) may be healed in B, and then each row must be what its own accepted
 * changes make of it.  A failure prints the case's seed; COUNT 1 with that seed repeats it.
 */
#include "common/random.h"
#include "worker/batch.h"
#include "worker/store/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ENTRIES_MAX = 60,
	OPERATIONS_MAX = 3, /* of a list entry */
	FIELDS_MAX = 6,
	LANES = 2,
	TABLES_MAX = 32,
	HEALED_MAX_PERCENT = 60
};

#define STAMP "1000000000000000" /* what a stamped version of a created row is shown as */

struct model_column {
	const char *name;
	const char *values[12]; /* "": NULL (`_null`); a NULL pointer ends */
	const char *increments[6];
};

struct model_table {
	const char *name, *ddl, *seed;
	const char *free_ddl; /* without what lets one row refuse another */
	const char *key[2];
	const char *keys[2][8];
	const char *options; /* in the configuration */
	enum config_version version;
	bool binary; /* not in JSON, where it would be base64 */
	bool child;  /* has a foreign key: all its entries, and its parents', by one lane */
	struct model_column columns[6];
};

#define TEXTS(...) { __VA_ARGS__, NULL }

static const struct model_table tables[] = {
	{ .name = "plain",
	    .ddl = "id INT UNSIGNED PRIMARY KEY, a INT UNSIGNED, b TINYINT NOT NULL DEFAULT 3,"
		   " s VARCHAR(5), d DECIMAL(6,2), f DOUBLE",
	    .seed = "(id,a,b,s,d) VALUES (1,10,100,'x',1.5),(2,NULL,-100,NULL,NULL)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3", "04", "4") },
	    .columns = { { "a", TEXTS("1", "0", "4294967295", "-1", "", "x"),
			     TEXTS("1", "-3", "20", "4294967290") },
		{ "b", TEXTS("5", "127", "128", ""), TEXTS("30", "-30", "1") },
		{ "s", TEXTS("a", "abcde", "abcdef", "it's", "") },
		{ "d", TEXTS("1.25", "9999.99", "1.005", "10000", ""),
		    TEXTS("0.01", "-5", "9000", "0.004") },
		{ "f", TEXTS("1.5", "-2", "") } } },
	{ .name = "required",
	    .ddl = "id BIGINT UNSIGNED PRIMARY KEY, m VARCHAR(4) NOT NULL, n BIGINT UNSIGNED, w "
		   "BIGINT",
	    .seed = "(id,m,n,w) VALUES "
		    "(1,'a',5,-5),(18446744073709551615,'b',18446744073709551615,NULL)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "18446744073709551615", "3") },
	    .columns = { { "m", TEXTS("a", "bcde", "bcdef", "") },
		{ "n", TEXTS("1", "18446744073709551615", ""),
		    TEXTS("1", "-1", "18446744073709551615", "-9") },
		{ "w", TEXTS("-9223372036854775808", "7", ""),
		    TEXTS("-9223372036854775808", "9", "-1") } } },
	{ .name = "checked",
	    .ddl = "id INT PRIMARY KEY, q INT NOT NULL DEFAULT 0, r INT, CHECK (q >= 0), CHECK (r "
		   "IS NULL OR q < 50)",
	    .seed = "(id,q,r) VALUES (1,10,1),(-2,0,NULL)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "-2", "3") },
	    .columns = { { "q", TEXTS("0", "10", "60", "-1"), TEXTS("-8", "5", "40") },
		{ "r", TEXTS("1", "2", "") } } },
	{ .name = "parent",
	    .ddl = "id INT PRIMARY KEY, x INT",
	    .seed = "(id,x) VALUES (1,1),(2,2)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "x", TEXTS("1", "2"), TEXTS("1") } } },
	{ .name = "child",
	    .child = true,
	    .ddl = "id INT PRIMARY KEY, parent INT, y INT, FOREIGN KEY (parent) REFERENCES parent "
		   "(id)",
	    .free_ddl = "id INT PRIMARY KEY, parent INT, y INT",
	    .seed = "(id,parent,y) VALUES (1,1,1)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "parent", TEXTS("1", "2", "3", "4", "") },
		{ "y", TEXTS("1", "2"), TEXTS("1") } } },
	{ .name = "owner",
	    .ddl = "id INT PRIMARY KEY, x INT",
	    .seed = "(id,x) VALUES (1,1),(2,2)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "x", TEXTS("1", "2"), TEXTS("1") } } },
	{ .name = "owned",
	    .child = true,
	    .ddl = "id INT PRIMARY KEY, owner INT, y INT,"
		   " FOREIGN KEY (owner) REFERENCES owner (id) ON DELETE CASCADE",
	    .seed = "(id,owner,y) VALUES (1,1,1),(2,2,2)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "owner", TEXTS("1", "2", "3", "") },
		{ "y", TEXTS("1", "2"), TEXTS("1") } } },
	{ .name = "unique_mail",
	    .ddl = "id INT PRIMARY KEY, mail VARCHAR(10) UNIQUE, x INT",
	    .free_ddl = "id INT PRIMARY KEY, mail VARCHAR(10), x INT",
	    .seed = "(id,mail,x) VALUES (1,'a@b',1),(2,'c@d',2)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3", "4") },
	    .columns = { { "mail", TEXTS("a@b", "c@d", "e@f", "") },
		{ "x", TEXTS("1", "2"), TEXTS("1", "-1") } } },
	{ .name = "folded_case",
	    .ddl = "k VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v "
		   "INT, s TEXT",
	    .seed = "(k,v) VALUES ('Bob',1)",
	    .key = { "k" },
	    .keys = { TEXTS("bob", "Bob", "BOB ", "eve", "Eve", "\xc3\xa9ve") },
	    .columns = { { "v", TEXTS("1", "2", "x"), TEXTS("1") },
		{ "s", TEXTS("\xf0\x9f\x98\x80", "q", "") } } },
	{ .name = "latin",
	    .ddl = "k VARCHAR(4) CHARACTER SET latin1 COLLATE latin1_bin PRIMARY KEY,"
		   " s VARCHAR(9) CHARACTER SET latin1",
	    .seed = "(k,s) VALUES ('a','1'),('?','2')",
	    .key = { "k" },
	    .keys = { TEXTS("a", "b", "?", "\xc3\xa9", "\xe6\x97\xa5") },
	    .columns = { { "s", TEXTS("x", "\xc3\xa9t\xc3\xa9", "\xe2\x98\x83", "") } } },
	{ .name = "given",
	    .options = "version: ver",
	    .version = VERSION_GIVEN,
	    .ddl = "id INT PRIMARY KEY, a INT, b INT NOT NULL DEFAULT 7, ver BIGINT",
	    .seed = "(id,a,b,ver) VALUES (1,1,1,5),(2,2,2,NULL),(3,3,3,900)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3", "4") },
	    .columns = { { "a", TEXTS("1", "2", "x", ""), TEXTS("1", "2") },
		{ "b", TEXTS("1", "2", ""), TEXTS("1") } } },
	{ .name = "given_required",
	    .options = "version: ver",
	    .version = VERSION_GIVEN,
	    .ddl = "id INT PRIMARY KEY, a INT UNSIGNED, m VARCHAR(3) NOT NULL, ver BIGINT UNSIGNED "
		   "NOT NULL",
	    .seed = "(id,a,m,ver) VALUES (1,1,'q',5),(3,3,'r',900)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3", "4") },
	    .columns = { { "a", TEXTS("1", "2"), TEXTS("1", "-2") },
		{ "m", TEXTS("a", "b", "abcd") } } },
	{ .name = "counted",
	    .options = "version: { column: ver, kind: counter }",
	    .version = VERSION_COUNTER,
	    .ddl = "id INT PRIMARY KEY, n SMALLINT UNSIGNED, s VARCHAR(3), ver BIGINT",
	    .seed = "(id,n,s,ver) VALUES (1,1,'q',5),(2,65000,NULL,NULL)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "n", TEXTS("1", "65535", "65536", ""), TEXTS("1", "-2", "500", "-500") },
		{ "s", TEXTS("a", "abcd") } } },
	{ .name = "clocked",
	    .options = "version: { column: ver, kind: clock }",
	    .version = VERSION_CLOCK,
	    .ddl = "id INT PRIMARY KEY, n INT, ver BIGINT",
	    .seed = "(id,n,ver) VALUES (1,1,5)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2") },
	    .columns = { { "n", TEXTS("1", "2", "x"), TEXTS("1", "-1") } } },
	{ .name = "triggered",
	    .ddl = "id INT PRIMARY KEY, v INT",
	    .seed = "(id,v) VALUES (1,1)",
	    .key = { "id" },
	    .keys = { TEXTS("1", "2", "3") },
	    .columns = { { "v", TEXTS("1", "2", "13"), TEXTS("1", "12") } } },
	{ .name = "composite",
	    .binary = true,
	    .ddl = "a INT, b VARCHAR(6) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, n INT, s BLOB, "
		   "PRIMARY KEY (a, b)",
	    .seed = "(a,b,n) VALUES (1,'x',1),(1,'y',1)",
	    .key = { "a", "b" },
	    .keys = { TEXTS("1", "2"), TEXTS("x", "y", "\xc3\xa9") },
	    .columns = { { "n", TEXTS("1", "2", ""), TEXTS("1") },
		{ "s", TEXTS("x", "'\\", "") } } },
	{ .name = "dated",
	    .ddl = "day DATE, at DATETIME(3), n INT, j JSON, PRIMARY KEY (day, at)",
	    .seed = "(day,at,n) VALUES ('2025-01-01','2025-01-01 10:00:00.5',1)",
	    .key = { "day", "at" },
	    .keys = { TEXTS("2025-01-01", "2025-02-01"),
		TEXTS("2025-01-01 10:00:00.500", "2025-03-01 00:00:00") },
	    .columns = { { "n", TEXTS("1", "2", "x"), TEXTS("1", "2") },
		{ "j", TEXTS("{\"a\": [1, 2.5]}", "1", "{", "") } } },
	{ .name = "bytes",
	    .binary = true,
	    .ddl = "k BINARY(3) PRIMARY KEY, e ENUM('x','y'), t TIME",
	    .seed = "(k,e) VALUES ('abc','x')",
	    .key = { "k" },
	    .keys = { TEXTS("abc", "zzz") },
	    .columns = { { "e", TEXTS("x", "y", "z", "") },
		{ "t", TEXTS("10:00:00", "-800:00:00", "900:00:00") } } },
};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

/* Operations, and the entries they come in */

struct operation {
	const struct model_table *table;
	enum change_op op;
	uint64_t version;
	const char *key[2];
	const struct model_column *columns[FIELDS_MAX];
	const char *values[FIELDS_MAX];
	unsigned count;
};

struct model_entry {
	struct operation operations[OPERATIONS_MAX];
	unsigned count; /* above 1: one JSON list */
	unsigned lane;
	bool refused, heals; /* in A; by other rows' doing */
};

struct sequence {
	struct model_entry entries[ENTRIES_MAX];
	unsigned count;
};

static const char *
pick(struct random *r, const char *const *texts)
{
	unsigned count = 0;

	while (texts[count] != NULL)
		count++;
	return count > 0 ? texts[random_below(r, count)] : NULL;
}

/* clean: only values that nothing is wrong with, so that the folded way is taken to its end. */
static void
make_operation(struct random *r, struct operation *o, const struct model_table *table, bool clean)
{
	static const enum change_op ops[] = { CHANGE_UPSERT, CHANGE_UPSERT, CHANGE_UPSERT,
		CHANGE_UPDATE, CHANGE_DELETE, CHANGE_INCR, CHANGE_INCR, CHANGE_INCR };

	*o = (struct operation){
		.table = table, .op = ops[random_below(r, 8)], .version = random_below(r, 12) + 1
	};
	for (unsigned i = 0; i < 2 && table->key[i] != NULL; i++)
		o->key[i] = pick(r, table->keys[i]);
	for (unsigned i = 0; table->columns[i].name != NULL && o->op != CHANGE_DELETE; i++) {
		const struct model_column *column = &table->columns[i];
		const char *value =
		    o->op == CHANGE_INCR ? pick(r, column->increments) : pick(r, column->values);

		/* mostly good values, else most entries are dead */
		if (o->op != CHANGE_INCR && (clean || random_below(r, 2) == 0))
			value = column->values[random_below(r, 2) == 0];
		if (o->op == CHANGE_INCR && clean && random_below(r, 8) != 0)
			value = column->increments[0];
		if (value == NULL || random_below(r, 3) == 0)
			continue;
		o->columns[o->count] = column;
		o->values[o->count++] = value;
	}
	if (o->op == CHANGE_INCR && o->count == 0)
		o->op = CHANGE_UPSERT;
}

/* Few tables and keys at a time, so that changes meet. */
static void
make_sequence(struct random *r, struct sequence *sequence)
{
	const struct model_table *chosen[3];
	unsigned first = (unsigned)random_below(r, TABLES);
	bool has_child = false, all_json, clean = random_below(r, 3) != 0;

	for (unsigned i = 0; i < 3; i++)
		has_child |= (chosen[i] = &tables[(first + i) % TABLES])->child;
	all_json = has_child && random_below(r, 2) == 0;
	sequence->count = 2 + (unsigned)random_below(r, ENTRIES_MAX - 1);
	for (unsigned i = 0; i < sequence->count; i++) {
		struct model_entry *e = &sequence->entries[i];

		*e = (struct model_entry){ .count = 1 };
		if (random_below(r, clean ? 100 : 12) == 0 && (all_json || !has_child))
			e->count = 2 + (unsigned)random_below(r, OPERATIONS_MAX - 1);
		for (unsigned j = 0; j < e->count; j++) {
			make_operation(r, &e->operations[j], chosen[random_below(r, 3)], clean);
			if (e->operations[j].table->binary && e->count > 1) {
				e->operations[0] = e->operations[j];
				e->count = 1;
			}
		}
		e->lane = all_json || e->count > 1;
	}
}

/* A: the plainest way */

static void
add_where(struct buf *b, const struct operation *o)
{
	for (unsigned i = 0; i < 2 && o->key[i] != NULL; i++) {
		buf_printf(b, i > 0 ? " AND %s=" : " WHERE %s=", o->table->key[i]);
		sql_add_text(b, str_of(o->key[i]));
	}
}

static void
add_literal(struct buf *b, const char *value)
{
	if (value[0] == '\0')
		buf_add_str(b, "NULL");
	else
		sql_add_text(b, str_of(value));
}

static void
plain_update(struct buf *b, const struct operation *o)
{
	buf_printf(b, "UPDATE %s SET ", o->table->name);
	for (unsigned i = 0; i < o->count; i++) {
		buf_printf(b, "%s=", o->columns[i]->name);
		if (o->op == CHANGE_INCR)
			buf_printf(b, "COALESCE(%s,0)+%s", o->columns[i]->name, o->values[i]);
		else
			add_literal(b, o->values[i]);
		buf_add_char(b, ',');
	}
	if (o->table->version == VERSION_GIVEN)
		buf_printf(b, "ver=%llu,", (unsigned long long)o->version);
	else if (o->table->version == VERSION_COUNTER)
		buf_add_str(b, "ver=COALESCE(ver,0)+1,");
	else if (o->table->version == VERSION_CLOCK)
		buf_add_str(b, "ver=GREATEST(COALESCE(ver,0)+1," STAMP "),");
	b->len--;
	add_where(b, o);
}

static void
plain_insert(struct buf *b, const struct operation *o)
{
	bool stamped = o->table->version == VERSION_COUNTER || o->table->version == VERSION_CLOCK;

	buf_printf(b, "INSERT INTO %s SET %s=", o->table->name, o->table->key[0]);
	sql_add_text(b, str_of(o->key[0]));
	if (o->key[1] != NULL) {
		buf_printf(b, ",%s=", o->table->key[1]);
		sql_add_text(b, str_of(o->key[1]));
	}
	for (unsigned i = 0; i < o->count; i++) {
		buf_printf(b, ",%s=", o->columns[i]->name);
		add_literal(b, o->values[i]);
	}
	if (o->table->version == VERSION_GIVEN)
		buf_printf(b, ",ver=%llu", (unsigned long long)o->version);
	else if (stamped)
		buf_add_str(b, ",ver=" STAMP);
}

/* Is the row there, and with given versions is it older? */
static int
look(struct sql *sql, const struct operation *o, bool *exists, bool *older, struct err *err)
{
	bool given = o->table->version == VERSION_GIVEN;
	struct sql_result result;
	struct buf b;
	int status;

	buf_init(&b);
	buf_printf(&b, "SELECT %s FROM %s", given ? "COALESCE(ver,0)" : "0", o->table->name);
	add_where(&b, o);
	status = sql_query(sql, (struct str){ b.data, b.len }, &result, err);
	buf_deinit(&b);
	if (status != 0) { /* a key that its character set can't write is no row's */
		*exists = false;
		*older = true;
		return err->code == 1267 || err->code == 3854 ? 0 : -1;
	}
	*exists = result.rows > 0;
	*older =
	    !given || !*exists || strtoull(sql_cell(&result, 0, 0).data, NULL, 10) < o->version;
	sql_result_free(&result);
	return 0;
}

static int
apply_operation(struct sql *sql, const struct operation *o, struct err *err)
{
	bool exists, older;
	struct buf b;
	int status = 0;

	if (look(sql, o, &exists, &older, err) != 0)
		return -1;
	if (!older || (!exists && (o->op == CHANGE_UPDATE || o->op == CHANGE_DELETE)))
		return 0;
	if (exists && o->op != CHANGE_DELETE && o->count == 0 && o->table->version == VERSION_NONE)
		return 0;
	buf_init(&b);
	if (o->op == CHANGE_DELETE) {
		buf_printf(&b, "DELETE FROM %s", o->table->name);
		add_where(&b, o);
	} else if (exists)
		plain_update(&b, o);
	else
		plain_insert(&b, o);
	status = sql_query(sql, (struct str){ b.data, b.len }, NULL, err);
	buf_deinit(&b);
	return status;
}

static void
must(int status, const struct err *err, const char *what)
{
	if (status == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

static bool
is_other_rows_doing(int code)
{
	return code == 1062 || code == 1451 || code == 1452;
}

static void
apply_plainly(struct sql *sql, struct sequence *sequence)
{
	struct err err = { 0 };

	for (unsigned i = 0; i < sequence->count; i++) {
		struct model_entry *e = &sequence->entries[i];
		int status = 0;

		must(sql_query(sql, STR("SAVEPOINT e"), NULL, &err), &err, "SAVEPOINT");
		for (unsigned j = 0; j < e->count && status == 0; j++)
			status = apply_operation(sql, &e->operations[j], &err);
		if (status == 0)
			continue;
		if (err.class != ERR_POISON) {
			fprintf(stderr, "the plain way: %s\n", err.text);
			exit(1);
		}
		e->refused = true;
		e->heals = is_other_rows_doing(err.code);
		must(sql_query(sql, STR("ROLLBACK TO SAVEPOINT e"), NULL, &err), &err, "ROLLBACK");
	}
	must(sql_query(sql, STR("COMMIT"), NULL, &err), &err, "COMMIT");
}

/* B: the batch */

struct folded {
	struct sql *sql;
	struct config *config;
	struct schema *schema;
	struct lane lanes[LANES];
	struct batch batch;
	bool refused[ENTRIES_MAX];
	char why[ENTRIES_MAX][200];
	unsigned one_by_one, statements;
};

static struct field *
add_field(struct field *at, struct arena *arena, const char *name, const char *value)
{
	at->name = (struct str){ arena_copy(arena, name, strlen(name)), strlen(name) };
	at->value = (struct value){ { arena_copy(arena, value, strlen(value)), strlen(value) },
		VALUE_TEXT };
	return at + 1;
}

static struct field *
add_operation(struct field *at, struct arena *arena, const struct operation *o)
{
	struct buf nulls;

	at = add_field(at, arena, "_table", o->table->name);
	at = add_field(at, arena, "_op", change_op_name(o->op));
	if (o->table->version == VERSION_GIVEN)
		at = add_field(at, arena, "_version",
		    arena_printf(arena, "%llu", (unsigned long long)o->version));
	for (unsigned i = 0; i < 2 && o->key[i] != NULL; i++)
		at = add_field(at, arena, o->table->key[i], o->key[i]);
	buf_init(&nulls);
	for (unsigned i = 0; i < o->count; i++) {
		if (o->values[i][0] != '\0')
			at = add_field(at, arena, o->columns[i]->name, o->values[i]);
		else
			buf_printf(&nulls, "%s%s", nulls.len > 0 ? "," : "", o->columns[i]->name);
	}
	if (nulls.len > 0)
		at = add_field(at, arena, "_null", nulls.data);
	buf_deinit(&nulls);
	return at;
}

/* The operation as a JSON object. */
static void
add_object(struct buf *b, const struct operation *o)
{
	struct field fields[8 + FIELDS_MAX], *end;
	struct arena arena;

	arena_init(&arena, 4096);
	end = add_operation(fields, &arena, o);
	for (struct field *f = fields; f < end; f++) {
		buf_add_char(b, f == fields ? '{' : ',');
		buf_add_json(b, f->name.data, f->name.len);
		buf_add_char(b, ':');
		buf_add_json(b, f->value.text.data, f->value.text.len);
	}
	buf_add_char(b, '}');
	arena_deinit(&arena);
}

static struct delivery *
deliver(struct folded *f, const struct sequence *sequence)
{
	struct delivery *d = calloc(1, sizeof(*d));
	struct entry **end = &d->first;

	arena_init(&d->arena, 65536);
	for (unsigned i = 0; i < sequence->count; i++) {
		const struct model_entry *m = &sequence->entries[i];
		struct entry *e = arena_zalloc(&d->arena, sizeof(*e));

		e->lane = &f->lanes[m->lane];
		e->id = (struct position){ 1000 + i, 0 };
		e->bytes = 100;
		e->raw = arena_alloc(&d->arena, (8 + FIELDS_MAX) * sizeof(*e->raw));
		if (m->lane == 0)
			e->raw_count =
			    (size_t)(add_operation(e->raw, &d->arena, &m->operations[0]) - e->raw);
		else {
			struct buf b;

			buf_init(&b);
			for (unsigned j = 0; j < m->count; j++) {
				buf_add_char(&b, j == 0 ? '[' : ',');
				add_object(&b, &m->operations[j]);
			}
			buf_add_char(&b, ']');
			add_field(e->raw, &d->arena, "changes", b.data);
			e->raw_count = 1;
			buf_deinit(&b);
		}
		*end = e;
		end = &e->next;
		d->count++;
	}
	return d;
}

static enum write_result
write_once(struct folded *f, struct err *err)
{
	struct rows_limits limits = { .rows_max = 1000,
		.bytes_max = 1 << 20,
		.lock_wait_ms = 1000,
		.foreign_key_wait_ms = 30000,
		.table_count = TABLES,
		.config = f->config };
	struct write_report report = { 0 };
	enum write_result result;

	for (struct batch_lane *bl = f->batch.lanes; bl != NULL; bl = bl->next)
		bl->writes = true;
	batch_forget_tries(&f->batch);
	rows_prepare(&f->batch, &limits, sql_is_mariadb(f->sql));
	result = rows_write(f->sql, &f->batch, &limits, &report, err);
	f->statements = report.statements;
	return result;
}

static void
apply_folded(struct folded *f, const struct sequence *sequence)
{
	struct delivery *d = deliver(f, sequence), *delivered = d;
	enum write_result result;
	struct err err = { 0 };
	unsigned i = 0;

	for (unsigned l = 0; l < LANES; l++) {
		f->lanes[l].cursor = f->lanes[l].position = (struct position){ 0, 0 };
		f->lanes[l].parent_wait_ms = 1; /* the wait for parents is over */
		f->lanes[l].parent_wait_id_ms = UINT64_MAX;
	}
	batch_reset(&f->batch, f->schema);
	batch_take(&f->batch, &d, ENTRIES_MAX * OPERATIONS_MAX, 1 << 30);
	batch_seal(&f->batch);
	while ((result = write_once(f, &err)) != WRITE_OK) {
		must(sql_query(f->sql, STR("ROLLBACK"), NULL, NULL), &err, "ROLLBACK");
		if (result != WRITE_ONE_BY_ONE && result != WRITE_SCHEMA) {
			fprintf(stderr, "write: result %d: %s\n", (int)result, err.text);
			exit(1);
		}
		f->batch.one_by_one |= result == WRITE_ONE_BY_ONE;
		f->one_by_one += result == WRITE_ONE_BY_ONE;
	}
	must(sql_query(f->sql, STR("COMMIT"), NULL, &err), &err, "COMMIT");
	for (struct entry *e = delivered->first; e != NULL; e = e->next, i++) {
		f->refused[i] = e->refusal.reason != NULL;
		snprintf(f->why[i], sizeof(f->why[i]), "%s: %s",
		    f->refused[i] ? e->refusal.reason : "-", f->refused[i] ? e->refusal.text : "");
	}
	rows_forget(&f->batch);
	f->batch.deliveries = NULL;
	batch_reset(&f->batch, f->schema);
	arena_deinit(&delivered->arena);
	free(delivered);
}

/* The servers' side */

static void
set_session(struct sql *sql)
{
	struct err err = { 0 };

	must(sql_query(sql, STR("SET NAMES utf8mb4"), NULL, &err), &err, "SET NAMES");
	must(sql_query(sql, STR("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"), NULL,
		 &err),
	    &err, "isolation");
	must(sql_query(sql,
		 STR("SET SESSION sql_mode='STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO',"
		     " time_zone='+00:00', lc_messages='en_US', autocommit=0"),
		 NULL, &err),
	    &err, "session");
}

static struct sql *
connect_to(struct sql_options *options, const char *database, bool is_free)
{
	struct sql *sql;
	struct err err = { 0 };

	options->database = NULL;
	sql = sql_new(options);
	must(sql_open(sql, &err), &err, "connect");
	must(sql_queryf(sql, NULL, &err, "DROP DATABASE IF EXISTS %s", database), &err, "drop");
	must(sql_queryf(sql, NULL, &err, "CREATE DATABASE %s CHARACTER SET utf8mb4", database),
	    &err, "create");
	must(sql_queryf(sql, NULL, &err, "USE %s", database), &err, "use");
	set_session(sql);
	for (unsigned i = 0; i < TABLES; i++)
		must(sql_queryf(sql, NULL, &err, "CREATE TABLE %s (%s) ENGINE=InnoDB",
			 tables[i].name,
			 is_free && tables[i].free_ddl != NULL ? tables[i].free_ddl :
								 tables[i].ddl),
		    &err, tables[i].name);
	must(sql_queryf(sql, NULL, &err,
		 "CREATE TABLE trace (id INT AUTO_INCREMENT PRIMARY KEY,"
		 " what VARCHAR(40)) ENGINE=InnoDB"),
	    &err, "trace");
	must(sql_queryf(sql, NULL, &err,
		 "CREATE TRIGGER t1 BEFORE INSERT ON triggered FOR EACH ROW"
		 " IF NEW.v = 13 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no 13'; END IF"),
	    &err, "t1");
	must(sql_queryf(sql, NULL, &err,
		 "CREATE TRIGGER t2 BEFORE UPDATE ON triggered FOR EACH ROW"
		 " IF NEW.v = 13 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no 13'; END IF"),
	    &err, "t2");
	must(sql_queryf(sql, NULL, &err,
		 "CREATE TRIGGER t3 AFTER UPDATE ON triggered FOR EACH ROW"
		 " INSERT INTO trace (what) VALUES (CONCAT(NEW.id, ' ', COALESCE(NEW.v,-1)))"),
	    &err, "t3");
	return sql;
}

static void
seed_tables(struct sql *sql)
{
	struct err err = { 0 };

	/* children before parents, and back */
	for (unsigned i = TABLES; i-- > 0;)
		must(sql_queryf(sql, NULL, &err, "DELETE FROM %s", tables[i].name), &err,
		    tables[i].name);
	must(sql_queryf(sql, NULL, &err, "DELETE FROM trace"), &err, "trace");
	for (unsigned i = 0; i < TABLES; i++)
		must(sql_queryf(sql, NULL, &err, "INSERT INTO %s %s", tables[i].name,
			 tables[i].seed),
		    &err, tables[i].name);
	must(sql_query(sql, STR("COMMIT"), NULL, &err), &err, "COMMIT");
}

/* All rows, bytes in hex; stamped versions of created rows look alike. */
static void
dump_table(struct sql *sql, const char *select, struct buf *out)
{
	struct sql_result result;
	struct err err = { 0 };

	must(sql_query(sql, str_of(select), &result, &err), &err, select);
	for (size_t row = 0; row < result.rows; row++) {
		for (size_t i = 0; i < result.columns; i++) {
			struct str cell = sql_cell(&result, row, i);
			bool stamp =
			    strcmp(sql_column_name(&result, i), "ver") == 0 && cell.len >= 16;

			buf_printf(out, " %s=", sql_column_name(&result, i));
			if (stamp)
				buf_add_str(out, STAMP "..");
			else if (cell.data == NULL)
				buf_add_str(out, "NULL");
			else
				buf_add_json(out, cell.data, cell.len);
		}
		buf_add_char(out, '\n');
	}
	sql_result_free(&result);
}

static void
dump_tables(struct sql *sql, struct buf *out)
{
	char select[200];

	for (unsigned i = 0; i < TABLES; i++) {
		buf_printf(out, "%s:\n", tables[i].name);
		snprintf(select, sizeof(select), "SELECT * FROM %s ORDER BY %s%s%s", tables[i].name,
		    tables[i].key[0], tables[i].key[1] != NULL ? "," : "",
		    tables[i].key[1] != NULL ? tables[i].key[1] : "");
		dump_table(sql, select, out);
	}
	dump_table(sql, "SELECT what FROM trace ORDER BY id", out);
}

/* The verdict */

static void
print_sequence(const struct folded *f, const struct sequence *sequence)
{
	for (unsigned i = 0; i < sequence->count; i++) {
		const struct model_entry *e = &sequence->entries[i];
		struct buf b;

		buf_init(&b);
		for (unsigned j = 0; j < e->count; j++)
			add_object(&b, &e->operations[j]);
		fprintf(stderr, "%3u %s%s %s\n      %s\n", i, e->refused ? "refused" : "applied",
		    e->heals ? " (other rows)" : "", f->why[i], b.data);
		buf_deinit(&b);
	}
}

static bool
is_equal(struct sql *expected, struct sql *found, const char *what)
{
	struct buf a, b;
	bool equal;

	buf_init(&a);
	buf_init(&b);
	dump_tables(expected, &a);
	dump_tables(found, &b);
	equal = strcmp(a.data, b.data) == 0;
	if (!equal)
		fprintf(stderr, "%s:\n%s\nfolded:\n%s\n", what, a.data, b.data);
	buf_deinit(&a);
	buf_deinit(&b);
	return equal;
}

/*
 * After healing, each row must still be what its own accepted changes make of it, in lane order:
 * they are applied plainly to tables where no row can refuse another.  (Where a cascade stands in
 * the way of that, nothing can be said.)
 */
static bool
is_each_row_right(const struct folded *f, struct sql *unconstrained,
    const struct sequence *sequence)
{
	static struct sequence accepted;

	accepted = (struct sequence){ .count = 0 };
	for (unsigned i = 0; i < sequence->count; i++) {
		if (f->refused[i])
			continue;
		accepted.entries[accepted.count] = sequence->entries[i];
		accepted.entries[accepted.count++].refused = false;
	}
	seed_tables(unconstrained);
	apply_plainly(unconstrained, &accepted);
	for (unsigned i = 0; i < accepted.count; i++) {
		if (accepted.entries[i].refused)
			return accepted.entries[i].heals;
	}
	return is_equal(unconstrained, f->sql, "row by row");
}

static bool
compare(const struct folded *f, struct sql *plain, struct sql *unconstrained,
    const struct sequence *sequence, bool *healed)
{
	bool equal = true;

	*healed = false;
	for (unsigned i = 0; i < sequence->count; i++) {
		const struct model_entry *e = &sequence->entries[i];

		if (e->refused == f->refused[i])
			continue;
		if (e->refused && e->heals)
			*healed = true;
		else
			equal = false;
	}
	if (equal && *healed)
		return is_each_row_right(f, unconstrained, sequence);
	return is_equal(plain, f->sql, "one by one") && equal;
}

static void
make_config(struct config *config)
{
	struct config_problems problems;
	struct buf text;

	buf_init(&text);
	buf_add_str(&text,
	    "redis: { url: \"redis://127.0.0.1:6379\" }\n"
	    "mysql: { url: \"mysql://u:p@127.0.0.1:3306/fold_b\" }\nsources:\n"
	    "  - { streams: \"fold:fields\", tables: [");
	for (unsigned i = 0; i < TABLES; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", tables[i].name);
	buf_add_str(&text, "] }\n  - { streams: \"fold:lists\", format: json, tables: [");
	for (unsigned i = 0; i < TABLES; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", tables[i].name);
	buf_add_str(&text, "] }\ntables:\n");
	for (unsigned i = 0; i < TABLES; i++)
		buf_printf(&text, "  %s: { %s }\n", tables[i].name,
		    tables[i].options != NULL ? tables[i].options : "");
	if (config_parse(config, "fold", (struct str){ text.data, text.len }, &problems) != 0) {
		for (size_t i = 0; i < problems.count; i++)
			fprintf(stderr, "%s\n", problems.list[i].text);
		exit(1);
	}
	config_problems_deinit(&problems);
	buf_deinit(&text);
}

static void
folded_init(struct folded *f, struct sql_options *options, struct config *config)
{
	struct err err = { 0 };

	f->sql = connect_to(options, "fold_b", false);
	f->config = config;
	f->schema = schema_new(config);
	must(schema_load(f->schema, f->sql, &err), &err, "schema");
	must(sql_query(f->sql, STR("COMMIT"), NULL, &err), &err, "COMMIT");
	for (unsigned i = 0; i < TABLES; i++) {
		struct table *t = schema_table(f->schema, str_of(tables[i].name));

		if (t == NULL || t->problem != NULL) {
			fprintf(stderr, "%s: %s\n", tables[i].name,
			    t != NULL ? t->problem : "missing");
			exit(1);
		}
	}
	for (unsigned i = 0; i < LANES; i++) {
		lane_init(&f->lanes[i], config, &config->sources[i], 0, (int)i);
		lane_open(&f->lanes[i]);
	}
	batch_init(&f->batch);
}

static const char *
password_of(void *arg)
{
	return arg;
}

int
main(int argc, char **argv)
{
	struct sql_options options = { .connect_timeout_ms = 5000, .timeout_ms = 30000 };
	static struct folded f;
	struct config config;
	struct sql *plain, *unconstrained;
	uint64_t seed, count;
	unsigned healed = 0;
	char host[200], *colon;

	if (argc != 6) {
		fprintf(stderr, "usage: fold_property SOCKET|HOST:PORT USER PASSWORD SEED COUNT\n");
		return 2;
	}
	snprintf(host, sizeof(host), "%s", argv[1]);
	colon = strrchr(host, ':');
	if (colon != NULL) {
		*colon = '\0';
		options.host = host;
		options.port = atoi(colon + 1);
	} else
		options.socket = host;
	options.user = argv[2];
	options.password = password_of;
	options.password_arg = argv[3];
	seed = strtoull(argv[4], NULL, 10);
	count = strtoull(argv[5], NULL, 10);
	sql_library_init();
	make_config(&config);
	plain = connect_to(&options, "fold_a", false);
	unconstrained = connect_to(&options, "fold_c", true);
	folded_init(&f, &options, &config);
	for (uint64_t n = 0; n < count; n++) {
		static struct sequence sequence;
		struct random r;
		bool was_healed;

		random_init(&r, seed + n);
		make_sequence(&r, &sequence);
		seed_tables(plain);
		seed_tables(f.sql);
		apply_plainly(plain, &sequence);
		apply_folded(&f, &sequence);
		if (!compare(&f, plain, unconstrained, &sequence, &was_healed)) {
			print_sequence(&f, &sequence);
			fprintf(stderr, "the fold broke the law: seed %llu\n",
			    (unsigned long long)(seed + n));
			return 1;
		}
		healed += was_healed;
	}
	printf("%llu sequences from seed %llu on: equal (%u one by one, %u with healed refusals)\n",
	    (unsigned long long)count, (unsigned long long)seed, f.one_by_one, healed);
	batch_deinit(&f.batch);
	schema_free(&f.schema);
	sql_free(&f.sql);
	sql_free(&plain);
	sql_free(&unconstrained);
	config_deinit(&config);
	return healed * 100 > count * HEALED_MAX_PERCENT;
}
