#include "common/err.h"
#include "tests/support/table_make.h"
#include "worker/lane.h"
#include "worker/source/source.h"
#include "worker/store/resolve.h"

#include <stdlib.h>

/*
 * Any bytes as an entry, decoded and resolved against a table with a column of each kind.  The
 * first byte chooses the format and whether the source is ranged; fields are cut at zero bytes, a
 * change event has its value behind the first zero byte.
 */
#define FIELDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct made_column columns[] = { { "id", "bigint(20)", NULL, false, true, NULL },
	{ "k", "varchar(8)", NULL, false, true, NULL },
	{ "i", "int(10) unsigned", "0", true, false, NULL },
	{ "d", "decimal(10,2)", "NULL", true, false, NULL },
	{ "f", "double", "NULL", true, false, NULL },
	{ "t", "varchar(8)", NULL, false, false, NULL },
	{ "b", "varbinary(8)", "NULL", true, false, NULL },
	{ "day", "date", "NULL", true, false, NULL },
	{ "at", "datetime(3)", "NULL", true, false, NULL },
	{ "c", "time(2)", "NULL", true, false, NULL },
	{ "e", "enum('a','b''c')", "NULL", true, false, NULL },
	{ "x", "bit(9)", "NULL", true, false, NULL }, { "j", "json", "NULL", true, false, NULL },
	{ "u", "uuid", "NULL", true, false, NULL }, { 0 } };
static const char *names[] = { "things", "times" };
static struct config_table config[] = { { .name = "things" }, { .name = "times" } };
static const struct made_column time_columns[] = { { "at", "datetime(3)", NULL, false, true, NULL },
	{ "d", "decimal(10,2)", NULL, false, true, NULL },
	{ "c", "time(2)", NULL, false, true, NULL }, { "b", "binary(4)", NULL, false, true, NULL },
	{ "n", "int(11)", "0", false, false, NULL }, { 0 } };

/* Whatever was accepted keeps what others rely on. */
static void
check_change(const struct change *change)
{
	const struct shape *shape = change->shape;

	CHECK(change->table != NULL && shape != NULL);
	CHECK(change->exact.len > 0 && change->bucket.len > 0 &&
	    change->bucket.len <= change->exact.len);
	CHECK((change->sums != NULL) == shape->adds);
	for (unsigned i = 0; i < shape->count; i++) {
		enum value_kind kind = change->values[i].kind;

		CHECK(i == 0 || shape->columns[i - 1].column < shape->columns[i].column);
		CHECK(kind == VALUE_NULL || kind == VALUE_TEXT || kind == VALUE_NUMBER ||
		    kind == VALUE_BINARY);
		CHECK(kind != VALUE_TEXT || str_is_utf8(change->values[i].text, NULL));
	}
}

/* Numbers go bare into SQL. */
static void
check_bare_numbers(const struct change *change)
{
	for (unsigned i = 0; i < change->shape->count; i++) {
		struct str text = change->values[i].text;

		if (change->values[i].kind != VALUE_NUMBER)
			continue;
		CHECK(text.len > 0);
		for (size_t c = 0; c < text.len; c++)
			CHECK(text.data[c] != '\0' &&
			    strchr("0123456789+-.eE", text.data[c]) != NULL);
	}
}

static size_t
cut(const uint8_t *data, size_t size, struct field *fields)
{
	struct str parts[2 * FIELDS_MAX];
	size_t count = 0;
	const char *at = (const char *)data, *end = at + size;

	while (at < end && count < 2 * FIELDS_MAX) {
		const char *zero = memchr(at, '\0', (size_t)(end - at));

		parts[count++] = (struct str){ at, (size_t)((zero != NULL ? zero : end) - at) };
		at = zero != NULL ? zero + 1 : end;
	}
	for (size_t i = 0; i < count / 2; i++)
		fields[i] = (struct field){ parts[2 * i], { parts[2 * i + 1], VALUE_TEXT } };
	return count / 2;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct table tables[2];
	static struct schema *schema;
	struct config_source source = { .table = "things",
		.tables = names,
		.listed = names,
		.table_count = 2,
		.operations = OPERATION_ALL,
		.apply_snapshots = true,
		.delete_tombstones = true };
	struct field fields[FIELDS_MAX] = { 0 };
	static struct lane lane;
	struct entry entry = { .lane = &lane, .raw = fields };
	struct resolver resolver;
	struct arena arena;

	if (schema == NULL) {
		table_make(&tables[0], &config[0], columns);
		table_make(&tables[1], &config[1], time_columns);
		schema = schema_of_tables(NULL, tables, 2);
	}
	if (size == 0)
		return 0;
	lane.source = &source;
	lane.stream = "shop.shop.things";
	source.format = data[0] & 1 ? FORMAT_JSON : FORMAT_FIELDS;
	if (data[0] & 4)
		source.format = FORMAT_DEBEZIUM + (data[0] >> 3) % 4;
	source.ranged = (data[0] & 2) != 0;
	if (source.format == FORMAT_JSON) {
		fields[0] = (struct field){ STR("data"),
			{ { (const char *)data + 1, size - 1 }, VALUE_TEXT } };
		entry.raw_count = 1;
	} else
		entry.raw_count = cut(data + 1, size - 1, fields);
	arena_init(&arena, 1 << 16);
	resolver_init(&resolver);
	resolver_start(&resolver, schema, &arena);
	if (format_decode(&entry, &arena, NULL) < 0)
		CHECK(entry.refusal.reason != NULL && entry.refusal.text != NULL);
	for (size_t i = 0; i < entry.change_count && entry.refusal.reason == NULL; i++) {
		if (resolve_change(&resolver, &entry, &entry.changes[i]) < 0)
			CHECK(entry.refusal.reason != NULL && entry.refusal.text != NULL);
		else {
			check_change(&entry.changes[i]);
			check_bare_numbers(&entry.changes[i]);
		}
	}
	if (entry.refusal.reason == NULL && resolve_moves(&resolver, &entry) < 0)
		CHECK(entry.refusal.reason != NULL && entry.refusal.text != NULL);
	resolver_deinit(&resolver);
	arena_deinit(&arena);
	return 0;
}
