/*
 * fold_property SOCKET|HOST:PORT USER PASSWORD SEED COUNT: the law of the fold on a real server.
 *
 * Each case is a random sequence of entries on small tables of every awkward kind, applied
 *	(A) one by one, by the plainest SQL (fold_model.c), and
 *	(B) as one batch through decode, resolve, fold and rows_write,
 * each in its own schema (fold_a, fold_b and fold_c are made and dropped here).  Both must end with
 * the same tables and the same dead letters.  Only a refusal that was another row's doing
 * (duplicate, foreign key) may be healed in B, and then each row must be what its own accepted
 * changes make of it.  A failure prints the case's seed; COUNT 1 with that seed repeats it.
 */
#include "tests/integration/fold_model.h"
#include "worker/batch.h"
#include "worker/store/rows.h"

#include <stdio.h>
#include <stdlib.h>

enum { LANES = 2, TABLES_MAX = 32, HEALED_MAX_PERCENT = 60 };

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
	at->name = arena_str(arena, name, strlen(name));
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
		.table_count = model_table_count,
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
	for (unsigned i = 0; i < model_table_count; i++)
		must(sql_queryf(sql, NULL, &err, "CREATE TABLE %s (%s) ENGINE=InnoDB",
			 model_tables[i].name,
			 is_free && model_tables[i].free_ddl != NULL ? model_tables[i].free_ddl :
								       model_tables[i].ddl),
		    &err, model_tables[i].name);
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
	for (unsigned i = model_table_count; i-- > 0;)
		must(sql_queryf(sql, NULL, &err, "DELETE FROM %s", model_tables[i].name), &err,
		    model_tables[i].name);
	must(sql_queryf(sql, NULL, &err, "DELETE FROM trace"), &err, "trace");
	for (unsigned i = 0; i < model_table_count; i++)
		must(sql_queryf(sql, NULL, &err, "INSERT INTO %s %s", model_tables[i].name,
			 model_tables[i].seed),
		    &err, model_tables[i].name);
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

	for (unsigned i = 0; i < model_table_count; i++) {
		buf_printf(out, "%s:\n", model_tables[i].name);
		snprintf(select, sizeof(select), "SELECT * FROM %s ORDER BY %s%s%s",
		    model_tables[i].name, model_tables[i].key[0],
		    model_tables[i].key[1] != NULL ? "," : "",
		    model_tables[i].key[1] != NULL ? model_tables[i].key[1] : "");
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
	for (unsigned i = 0; i < model_table_count; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", model_tables[i].name);
	buf_add_str(&text, "] }\n  - { streams: \"fold:lists\", format: json, tables: [");
	for (unsigned i = 0; i < model_table_count; i++)
		buf_printf(&text, "%s%s", i > 0 ? ", " : "", model_tables[i].name);
	buf_add_str(&text, "] }\ntables:\n");
	for (unsigned i = 0; i < model_table_count; i++)
		buf_printf(&text, "  %s: { %s }\n", model_tables[i].name,
		    model_tables[i].options != NULL ? model_tables[i].options : "");
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
	for (unsigned i = 0; i < model_table_count; i++) {
		struct table *t = schema_table(f->schema, str_of(model_tables[i].name));

		if (t == NULL || t->problem != NULL) {
			fprintf(stderr, "%s: %s\n", model_tables[i].name,
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
