#include "worker/cache/verify_look.h"

#include "common/map.h"
#include "worker/cache/hot_keys.h"
#include "worker/cache/payload.h"
#include "worker/store/literal.h"
#include "worker/store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

/* Whoever waits for the end of the process waits so long for us at most. */
enum { CACHE_PATIENCE_MS = 2000, MYSQL_PATIENCE_MS = 5000 };
/* What HMGET asks for. */
enum { E_STAMP, E_NONE, E_ROW, E_MARKER, E_FILL, E_PUT, E_PAYLOAD };

/* ---- from outside ---- */

static void
add_template(struct verify_eye *eye, const struct config_table *table,
    const struct config_template *template)
{
	struct verify_template *t = &eye->templates[eye->template_count];

	*t = (struct verify_template){ .table = table, .template = template };
	if (key_holes_compile(&t->holes, template, NULL) == 0)
		eye->template_count++;
}

void
verify_eye_init(struct verify_eye *eye, const struct config *config,
    const struct config_table *only, const char *client_name)
{
	size_t room = 1;

	memset(eye, 0, sizeof(*eye));
	for (size_t i = 0; i < config->table_count; i++)
		room += config->tables[i].template_count;
	eye->templates = calloc(room, sizeof(*eye->templates));
	CHECK(eye->templates != NULL);
	for (size_t i = 0; i < config->table_count; i++)
		for (size_t j = 0; j < config->tables[i].template_count; j++)
			if ((only == NULL || only == &config->tables[i]) &&
			    mode_is_versioned(config->tables[i].templates[j].mode))
				add_template(eye, &config->tables[i],
				    &config->tables[i].templates[j]);
	eye->own = *config;
	access_hurry(&eye->own.cache, CACHE_PATIENCE_MS);
	if (eye->own.mysql.timeout_ms > MYSQL_PATIENCE_MS)
		eye->own.mysql.timeout_ms = MYSQL_PATIENCE_MS;
	if (eye->own.mysql.connect_timeout_ms > MYSQL_PATIENCE_MS)
		eye->own.mysql.connect_timeout_ms = MYSQL_PATIENCE_MS;
	row_access_init(&eye->rows, &eye->own);
	access_redis_init(&eye->access, &eye->own.cache, client_name);
	eye->redis = redis_new(&eye->access.options);
	arena_init(&eye->arena, 256 * 1024);
}

void
verify_eye_deinit(struct verify_eye *eye)
{
	redis_free(&eye->redis);
	access_redis_deinit(&eye->access);
	row_access_deinit(&eye->rows);
	for (size_t i = 0; i < eye->template_count; i++)
		key_holes_deinit(&eye->templates[i].holes);
	free(eye->templates);
	arena_deinit(&eye->arena);
}

/* ---- rows ---- */

struct looking {
	struct verify_eye *eye;
	const struct verify_template *template;
	const struct table *table;
	const struct str *keys;
	size_t count;
	struct verify_seen *seen;
	struct str *contents; /* of the rows, as JSON; populate */
	struct err *err;
	bool populate;
};

/* The key's place in the primary key.  False: none of its columns has it. */
static bool
hole_of(const struct looking *l, unsigned part, int *hole)
{
	*hole = key_holes_find(&l->template->holes, table_key_column(l->table, part)->name);
	return *hole >= 0;
}

static void
add_columns(const struct looking *l, struct buf *out)
{
	buf_add_str(out, "SELECT ");
	for (unsigned i = 0; i < l->table->key_count; i++) {
		literal_add_name(out, table_key_column(l->table, i)->name);
		buf_add_char(out, ',');
	}
	if (l->table->version_column >= 0)
		literal_add_name(out, table_version_column(l->table)->name);
	else
		buf_add_str(out, "NULL");
	if (l->populate) {
		buf_add_char(out, ',');
		literal_add_name(out, l->table->name);
		buf_add_str(out, ".*");
	}
	buf_add_str(out, " FROM ");
	literal_add_name(out, l->table->name);
}

static void
add_key(const struct looking *l, struct buf *out)
{
	bool several = l->table->key_count > 1;

	buf_add_str(out, several ? "(" : "");
	for (unsigned i = 0; i < l->table->key_count; i++) {
		buf_add_str(out, i > 0 ? "," : "");
		literal_add_key(out, table_key_column(l->table, i), &l->eye->rows.row.key[i]);
	}
	buf_add_str(out, several ? ")" : "");
}

/* Those that aren't a key's values ask for no row.  How many ask. */
static size_t
add_keys(const struct looking *l, struct buf *out)
{
	bool several = l->table->key_count > 1;
	size_t asked = 0;
	int hole;

	buf_add_str(out, several ? " WHERE (" : " WHERE ");
	for (unsigned i = 0; i < l->table->key_count; i++) {
		buf_add_str(out, i > 0 ? "," : "");
		literal_add_name(out, table_key_column(l->table, i)->name);
	}
	buf_add_str(out, several ? ") IN (" : " IN (");
	for (size_t n = 0; n < l->count; n++) {
		struct str values[KEY_HOLES_MAX], key[KEY_HOLES_MAX];
		bool good =
		    key_holes_match(&l->template->holes, l->keys[n], &l->eye->arena, values);

		for (unsigned i = 0; good && i < l->table->key_count; i++) {
			good = hole_of(l, i, &hole);
			key[i] = good ? values[hole] : (struct str){ NULL, 0 };
		}
		if (!good || row_access_values(&l->eye->rows, key, NULL) != 0) {
			l->seen[n].other = true;
			continue;
		}
		buf_add_str(out, asked++ > 0 ? "," : "");
		add_key(l, out);
	}
	buf_add_char(out, ')');
	return asked;
}

static struct str
content_of(const struct looking *l, const struct sql_result *result, size_t row)
{
	struct buf json = { 0 };
	struct str copy;

	payload_add_row(&json, result, row, l->table->key_count + 1);
	copy = arena_str(&l->eye->arena, json.data, json.len);
	buf_deinit(&json);
	return copy;
}

static void
take_row(struct looking *l, const struct sql_result *result, size_t row, size_t n)
{
	struct verify_seen *seen = &l->seen[n];
	struct str version = sql_cell(result, row, l->table->key_count);
	int64_t negative;

	seen->row_there = true;
	seen->row_has_version = version.data != NULL &&
	    (number_u64(version, &seen->row_version) || number_i64(version, &negative));
	if (l->populate)
		l->contents[n] = content_of(l, result, row);
}

/* Which row is whose. */
static void
take_rows(struct looking *l, const struct sql_result *result)
{
	struct buf key = { 0 };
	struct map by_key;

	if (l->count == 1) {
		if (result->rows > 0)
			take_row(l, result, 0, 0);
		return;
	}
	map_init(&by_key);
	for (size_t n = 0; n < l->count; n++)
		*map_at(&by_key, l->keys[n].data, l->keys[n].len) = &l->seen[n];
	for (size_t row = 0; row < result->rows; row++) {
		struct str values[KEY_HOLES_MAX];
		const struct verify_seen *of;
		int hole;

		for (unsigned i = 0; i < l->table->key_count; i++)
			if (hole_of(l, i, &hole))
				values[hole] = sql_cell(result, row, i);
		buf_reset(&key);
		if (!key_template_render(&l->template->holes.template, values, &key))
			continue;
		/* a key that stands there twice has the row where it stands last */
		of = map_get(&by_key, key.data, key.len);
		if (of != NULL)
			take_row(l, result, row, (size_t)(of - l->seen));
	}
	map_deinit(&by_key);
	buf_deinit(&key);
}

static int
look_at_rows(struct looking *l)
{
	struct sql_result result;
	struct buf select = { 0 };

	add_columns(l, &select);
	if (add_keys(l, &select) == 0) {
		buf_deinit(&select);
		return 0;
	}
	if (session_send(l->eye->rows.sql, &select, &result, l->err) != 0)
		return session_end(l->eye->rows.sql, -1, l->err);
	take_rows(l, &result);
	sql_result_free(&result);
	return session_end(l->eye->rows.sql, 0, l->err);
}

/* ---- entries ---- */

static void
copy_version(char out[VERIFY_VERSION_TEXT], struct str text)
{
	if (text.data != NULL && text.len < VERIFY_VERSION_TEXT)
		snprintf(out, VERIFY_VERSION_TEXT, "%.*s", STR_ARGS(text));
}

/* Written by us or by a reader: spaces and the order of names make no other content. */
static bool
is_same(struct str a, struct str b)
{
	yyjson_doc *one, *other;
	bool same = str_equal(a, b);

	if (same || a.data == NULL || b.data == NULL)
		return same;
	one = yyjson_read(a.data, a.len, YYJSON_READ_NOFLAG);
	other = yyjson_read(b.data, b.len, YYJSON_READ_NOFLAG);
	same = one != NULL && other != NULL &&
	    yyjson_equals(yyjson_doc_get_root(one), yyjson_doc_get_root(other));
	yyjson_doc_free(one);
	yyjson_doc_free(other);
	return same;
}

static void
take_entry(struct looking *l, size_t n, const struct redis_reply *reply)
{
	struct verify_seen *seen = &l->seen[n];
	struct str f[E_PAYLOAD + 1] = { { NULL, 0 } };

	if (reply->type != REDIS_ARRAY || reply->count < E_PAYLOAD) {
		seen->other = true;
		return;
	}
	for (size_t i = 0; i < reply->count && i <= E_PAYLOAD; i++)
		f[i] = reply->element[i]->text;
	seen->none = f[E_NONE].data != NULL;
	seen->value = f[E_STAMP].data != NULL && !seen->none;
	seen->pending = f[E_PUT].data != NULL;
	copy_version(seen->entry, f[E_ROW]);
	copy_version(seen->marker, f[E_MARKER]);
	if (f[E_STAMP].data != NULL || f[E_MARKER].data != NULL || f[E_FILL].data != NULL)
		l->eye->found++;
	else
		l->eye->absent++;
	if (!l->populate || !seen->value || l->contents[n].data == NULL)
		return;
	seen->value_hash = hot_key_hash(f[E_PAYLOAD]);
	seen->row_hash = hot_key_hash(l->contents[n]);
	seen->differs = !is_same(f[E_PAYLOAD], l->contents[n]);
}

static int
look_at_entries(struct looking *l)
{
	struct redis *redis = l->eye->redis;
	struct redis_reply *reply;

	for (size_t n = 0; n < l->count; n++)
		redis_queuef(redis, l->populate ? "HMGET %b w n r m q b p" : "HMGET %b w n r m q b",
		    &l->keys[n]);
	if (redis_flush(redis, l->err) != 0)
		return -1;
	for (size_t n = 0; n < l->count; n++) {
		int got = redis_receive(redis, &l->eye->arena, l->eye->own.cache.timeout_ms, &reply,
		    l->err);

		if (got == 0)
			err_set(l->err, ERR_RETRY, 0, "the cache did not answer");
		if (got <= 0) {
			redis_close(redis);
			return -1;
		}
		take_entry(l, n, reply);
	}
	return 0;
}

static int
look_at(struct verify_eye *eye, const struct verify_template *template, const struct str *keys,
    size_t count, struct verify_seen *seen, struct err *err)
{
	struct looking l = { .eye = eye,
		.template = template,
		.keys = keys,
		.count = count,
		.seen = seen,
		.err = err,
		.populate = template->template->mode == MODE_POPULATE };

	CHECK(count <= VERIFY_BATCH_MAX);
	arena_reset(&eye->arena);
	memset(seen, 0, count * sizeof(*seen));
	for (size_t n = 0; n < count; n++)
		seen[n].partial = template->template->when_count > 0;
	l.contents = arena_zalloc(&eye->arena, (count + 1) * sizeof(*l.contents));
	if (row_access_table(&eye->rows, template->table->name, err) != 0) {
		/* as long as it is so nobody can compare; the tables are read again at the next open */
		for (size_t n = 0; n < count; n++)
			seen[n].other = true;
		return 0;
	}
	l.table = eye->rows.table;
	if (look_at_rows(&l) != 0) {
		sql_close(eye->rows.sql);
		return -1;
	}
	return look_at_entries(&l);
}

int
verify_eye_look(struct verify_eye *eye, const struct verify_template *template,
    const struct str *keys, size_t count, struct verify_seen *seen, struct err *err)
{
	if (look_at(eye, template, keys, count, seen, err) != 0)
		return -1;
	/* the entry says something of a row that wasn't among the results under this key */
	for (size_t n = 0; count > 1 && n < count; n++)
		if (!seen[n].other && !seen[n].row_there && (seen[n].value || seen[n].none) &&
		    look_at(eye, template, &keys[n], 1, &seen[n], err) != 0)
			return -1;
	return 0;
}
