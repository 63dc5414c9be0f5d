#include "worker/store/resolve_key.h"

#include "common/err.h"
#include "worker/lane.h"
#include "worker/store/column_check.h"
#include "worker/store/column_event.h"
#include "worker/store/column_untold.h"

static int
check_part(struct resolver *r, struct entry *entry, struct change *change, unsigned part,
    const struct value *given)
{
	const struct config_source *source = entry->lane->source;
	const struct table *table = change->table;
	const struct column *column = &table->columns[table->key[part]];
	struct value *out = &change->key[part];
	bool base64 = source->format == FORMAT_JSON && column->kind == COLUMN_BINARY;
	enum column_verdict verdict = COLUMN_REFUSED;
	struct value plain = { { NULL, 0 }, VALUE_NULL };
	const char *why = NULL;

	if (given->kind == VALUE_NULL)
		return entry_refuse(entry, r->arena, REASON_NO_KEY, "%s: key column %s is NULL",
		    table->name, column->name);
	if (column->untold)
		verdict = column_untold_value(given, change->origin, out, &why) ? COLUMN_FINE :
										  COLUMN_REFUSED;
	else if (column_event_value(column, given, change->origin, source, r->arena, &plain, &why))
		verdict = column_check_key(column, &plain, base64, r->arena, out, &why);
	switch (verdict) {
	case COLUMN_FINE:
		break;
	case COLUMN_ALONE:
		change->barrier = change->unsure = true;
		break;
	case COLUMN_REFUSED:
		r->unknown = true;
		return entry_refuse(entry, r->arena, REASON_BAD_KEY,
		    "%s: the value for key column %s %s", table->name, column->name, why);
	}
	if (source->ranged && change->origin == ORIGIN_APP && !base64 &&
	    !str_equal(out->text, given->text)) {
		r->unknown = true;
		return entry_refuse(entry, r->arena, REASON_BAD_KEY,
		    "%s: the value for key column %s is not in its one canonical spelling, by "
		    "which producers must choose among several lanes",
		    table->name, column->name);
	}
	return 0;
}

static char *
put(char *at, const void *data, size_t len)
{
	if (len > 0)
		memcpy(at, data, len);
	return at + len;
}

static char *
put_part(char *at, struct str part)
{
	uint32_t len = (uint32_t)part.len;

	at = put(at, &len, sizeof(len));
	return put(at, part.data, part.len);
}

static size_t
key_bytes(const struct change *change)
{
	size_t bytes = sizeof(uint32_t);

	for (unsigned i = 0; i < change->table->key_count; i++)
		bytes += sizeof(uint32_t) + change->key[i].text.len;
	return bytes;
}

static void
make_exact(struct resolver *r, struct change *change)
{
	uint32_t place = resolve_place(r, change->table);
	size_t bytes = key_bytes(change);
	char *data = arena_alloc(r->arena, bytes);
	char *at = put(data, &place, sizeof(place));

	for (unsigned i = 0; i < change->table->key_count; i++)
		at = put_part(at, change->key[i].text);
	change->exact = (struct str){ data, bytes };
}

/* Does this part look different in the bucket? */
static bool
is_coarser(const struct column *column, struct str text)
{
	if (column->kind != COLUMN_TEXT && column->kind != COLUMN_ENUM &&
	    column->kind != COLUMN_OTHER)
		return false;
	if (text.len > 0 && text.data[text.len - 1] == ' ')
		return true;
	for (size_t i = 0; i < text.len && !column->exact_collation; i++) {
		if (text.data[i] >= 'A' && text.data[i] <= 'Z')
			return true;
	}
	return false;
}

static char *
put_coarse_part(char *at, const struct column *column, struct str text)
{
	uint32_t len;
	char *data = at + sizeof(len);

	while (text.len > 0 && text.data[text.len - 1] == ' ')
		text.len--;
	len = (uint32_t)text.len;
	put(at, &len, sizeof(len));
	at = put(data, text.data, text.len);
	for (char *c = data; c < at && !column->exact_collation; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return at;
}

static void
make_bucket(struct resolver *r, struct change *change)
{
	const struct table *table = change->table;
	bool coarser = false;
	char *data, *at;

	for (unsigned i = 0; i < table->key_count; i++)
		coarser |= is_coarser(&table->columns[table->key[i]], change->key[i].text);
	change->bucket = change->exact;
	if (!coarser)
		return;
	data = arena_alloc(r->arena, change->exact.len);
	at = put(data, change->exact.data, sizeof(uint32_t));
	for (unsigned i = 0; i < table->key_count; i++) {
		const struct column *column = &table->columns[table->key[i]];

		if (is_coarser(column, change->key[i].text))
			at = put_coarse_part(at, column, change->key[i].text);
		else
			at = put_part(at, change->key[i].text);
	}
	change->bucket = (struct str){ data, (size_t)(at - data) };
}

int
resolve_key(struct resolver *r, struct entry *entry, struct change *change,
    const struct value *given)
{
	const struct table *table = change->table;

	change->key = arena_alloc(r->arena, table->key_count * sizeof(*change->key));
	change->unsure = table->key_unsure;
	change->barrier = table->ordered || table->key_unsure || change->half_of_move;
	for (unsigned i = 0; i < table->key_count; i++) {
		if (check_part(r, entry, change, i, &given[i]) < 0)
			return -1;
	}
	make_exact(r, change);
	make_bucket(r, change);
	return 0;
}

uint32_t
resolve_place(const struct resolver *r, const struct table *table)
{
	size_t count;
	const struct table *tables = schema_tables(r->schema, &count);

	CHECK(table >= tables && table < tables + count);
	return (uint32_t)(table - tables);
}
