#include "tests/integration/fold_model.h"

#include "worker/store/statement.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXTS(...) { __VA_ARGS__, NULL }

const struct model_table model_tables[] = {
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
const unsigned model_table_count = sizeof(model_tables) / sizeof(model_tables[0]);

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

void
make_sequence(struct random *r, struct sequence *sequence)
{
	const struct model_table *chosen[3];
	unsigned first = (unsigned)random_below(r, model_table_count);
	bool has_child = false, all_json, clean = random_below(r, 3) != 0;

	for (unsigned i = 0; i < 3; i++)
		has_child |= (chosen[i] = &model_tables[(first + i) % model_table_count])->child;
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

int
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

void
must(int status, const struct err *err, const char *what)
{
	if (status == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

bool
is_other_rows_doing(int code)
{
	return code == 1062 || code == 1451 || code == 1452;
}

void
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
