#include "common/err.h"
#include "worker/lane.h"
#include "worker/source/event.h"
#include "worker/source/log_place.h"
#include "worker/source/source.h"

#include <string.h>

/*
 * A stream's entry that carries a change event.
 *
 *	Debezium Server, extended	key: K, value: V, and a field per header, its name in capitals
 *	Debezium Server, compact	K: V
 *	Maxwell				message: V
 *	anything else			the only field, or the one that the source's `field` names
 *
 * K and V are "default" where there is none.  What is a change for us becomes one; the rest is passed
 * over, or refused by name.
 */
static const struct field *
raw_field(const struct entry *entry, struct str name)
{
	for (size_t i = 0; i < entry->raw_count; i++) {
		if (str_equal(entry->raw[i].name, name))
			return &entry->raw[i];
	}
	return NULL;
}

static void
take_extended(const struct entry *entry, const struct field *value, struct message *message)
{
	const struct field *key = raw_field(entry, STR("key"));

	message->value = value->value.text;
	if (key != NULL)
		message->key = key->value.text;
	message->headers = entry->raw;
	message->header_count = entry->raw_count;
}

/* A message of a topic: its fields are made in kafka_read.c. */
static int
take_record(const struct entry *entry, struct arena *arena, struct message *message)
{
	const struct field *key = raw_field(entry, STR("key")),
			   *value = raw_field(entry, STR("value"));
	struct field *headers = arena_alloc(arena, (entry->raw_count + 1) * sizeof(*headers));
	size_t skip = sizeof("header:") - 1;

	if (key != NULL)
		message->key = key->value.text;
	if (value != NULL)
		message->value = value->value.text;
	message->headers = headers;
	for (size_t i = 0; i < entry->raw_count; i++) {
		const struct field *raw = &entry->raw[i];

		if (raw->name.len < skip || memcmp(raw->name.data, "header:", skip) != 0)
			continue;
		headers[message->header_count] = *raw;
		headers[message->header_count].name =
		    (struct str){ raw->name.data + skip, raw->name.len - skip };
		message->header_count++;
	}
	return 0;
}

static int
take_message(struct entry *entry, struct arena *arena, struct message *message)
{
	const struct config_source *source = entry->lane->source;
	struct str wanted = source->field != NULL ? str_of(source->field) : STR("value");
	const struct field *value = raw_field(entry, wanted);

	*message = (struct message){ .topic = str_of(entry->lane->stream) };
	if (entry->lane->is_partition)
		return take_record(entry, arena, message);
	if (value != NULL) {
		take_extended(entry, value, message);
		return 0;
	}
	if (source->field != NULL)
		return entry_refuse(entry, arena, REASON_BAD_EVENT, "the entry has no field %s",
		    name_shown(arena, wanted));
	if (entry->raw_count != 1)
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the entry has %zu fields and none is `value`: it looks like flat fields; set "
		    "the source's format to fields, or its field to the one that holds the event",
		    entry->raw_count);
	message->value = entry->raw[0].value.text;
	if (source->format == FORMAT_DEBEZIUM)
		message->key = entry->raw[0].name;
	return 0;
}

static int
decode_message(struct entry *entry, struct arena *arena, const struct decode_aids *aids,
    struct events *events)
{
	struct message message;

	if (take_message(entry, arena, &message) < 0)
		return -1;
	if (aids != NULL) {
		message.schemas = aids->schemas;
		message.asked = aids->asked;
		message.asked_count = aids->asked_count;
	}
	message.rows_alone = true;
	message.no_origin = !entry->lane->source->wants_places;
	switch (entry->lane->source->format) {
	case FORMAT_DEBEZIUM:
		return debezium_decode(entry, arena, &message, events);
	case FORMAT_MAXWELL:
		return maxwell_decode(entry, arena, &message, events);
	case FORMAT_CANAL:
		return canal_decode(entry, arena, &message, events);
	case FORMAT_DMS:
		return dms_decode(entry, arena, &message, events);
	case FORMAT_FIELDS:
	case FORMAT_JSON:
		break;
	}
	CHECK(false);
	return -1;
}

static bool
is_listed_as(struct str listed, struct str of, struct str table)
{
	struct str first = { listed.data, of.len }, last = { listed.data + of.len + 1, table.len };

	return of.len > 0 && listed.len == of.len + 1 + table.len && str_equal(first, of) &&
	    listed.data[of.len] == '.' && str_equal(last, table);
}

/* Which table: the one listed as db.table (or schema.table), else the one listed as table.  NULL: none. */
static const char *
table_listed(const struct config_source *source, struct str db, struct str schema, struct str table)
{
	const char *plain = NULL;

	for (size_t i = 0; i < source->table_count; i++) {
		struct str listed = str_of(source->listed[i]);

		if (is_listed_as(listed, db, table) || is_listed_as(listed, schema, table))
			return source->tables[i];
		if (plain == NULL && str_equal(listed, table))
			plain = source->tables[i];
	}
	return plain;
}

/* The part behind the last dot, which is taken off. */
static struct str
last_part(struct str *name)
{
	size_t at = name->len;
	struct str part;

	while (at > 0 && name->data[at - 1] != '.')
		at--;
	part = (struct str){ name->data + at, name->len - at };
	name->len = at > 0 ? at - 1 : 0;
	return part;
}

/* An event that names no table is of the source's `table`, else of the one that its stream is named
 * after: prefix.db.table. */
static const char *
table_of(const struct entry *entry, const struct event *event)
{
	const struct config_source *source = entry->lane->source;
	struct str topic = str_of(entry->lane->stream), db, table;

	if (event->table.len > 0)
		return table_listed(source, event->db, event->schema, event->table);
	if (source->table != NULL)
		return source->table;
	if (topic.len == 0)
		return NULL;
	table = last_part(&topic);
	db = last_part(&topic);
	return table_listed(source, db, (struct str){ NULL, 0 }, table);
}

static const char *
passed_over(const struct event *event)
{
	static const char *const words[EVENT_KINDS] = { [EVENT_TOMBSTONE] = PASSED_TOMBSTONE,
		[EVENT_HEARTBEAT] = PASSED_HEARTBEAT,
		[EVENT_TRANSACTION] = PASSED_TRANSACTION,
		[EVENT_SCHEMA] = PASSED_SCHEMA,
		[EVENT_MARKER] = PASSED_MARKER,
		[EVENT_CONTROL] = PASSED_CONTROL };

	return words[event->kind];
}

static void
take_fields(struct change *change, const struct image *image)
{
	change->fields = image->fields;
	change->field_count = image->count;
	change->origin = image->origin;
	change->flattened = image->flattened;
}

/* The key says which row; a nameless one that it is the source's own affair. */
static int
take_key(struct entry *entry, struct arena *arena, const struct event *event, struct change *change)
{
	if (event->key.count == 0 || event->key.fields[0].name.len == 0)
		return entry_refuse(entry, arena, REASON_NO_KEY,
		    "the event names no columns that its row could be found by");
	take_fields(change, &event->key);
	return 0;
}

static int
make_change(struct entry *entry, struct arena *arena, const struct event *event, const char *table,
    struct change *change)
{
	*change = (struct change){ .entry = entry,
		.table_name = str_of(table),
		.half_of_move = event->new_key.there || event->old_key.there };
	if (event->key.count > 0 && event->key.fields[0].name.len > 0) {
		change->row_key = event->key.fields;
		change->row_key_count = event->key.count;
	}
	if (entry->lane->source->wants_places)
		log_place_of(event, arena, &change->place);
	if (event->kind == EVENT_TOMBSTONE) {
		change->op = CHANGE_DELETE;
		return take_key(entry, arena, event, change);
	}
	if (event->op == EVENT_DELETE) {
		change->op = CHANGE_DELETE;
		if (!event->before.there)
			return take_key(entry, arena, event, change);
		take_fields(change, &event->before);
		return 0;
	}
	change->op = CHANGE_UPSERT;
	take_fields(change, &event->after);
	change->replaces = event->op == EVENT_UPDATE;
	if (event->op == EVENT_UPDATE && event->before.there &&
	    event->before.origin == event->after.origin) {
		change->has_before = true;
		change->before_is_partial = event->before_is_partial;
		change->before = event->before.fields;
		change->before_count = event->before.count;
	}
	return 0;
}

static struct change
whole_table(struct entry *entry, const char *table)
{
	return (struct change){ .entry = entry,
		.op = CHANGE_DELETE,
		.table_name = str_of(table),
		.whole_table = true };
}

/* The change says what may have to wait behind it.  Whether it may be done is resolve's to say. */
static int
take_whole_table(struct entry *entry, struct arena *arena, const struct event *event,
    const char *table)
{
	entry->changes = arena_alloc(arena, sizeof(*entry->changes));
	entry->change_count = 1;
	entry->changes[0] = whole_table(entry, table);
	/* where nothing is written the templates say whether its keys can be told */
	if (!entry->lane->source->write || entry->lane->source->allow_truncate)
		return 0;
	return entry_refuse(entry, arena, REASON_TRUNCATE,
	    "the table %s was %s at its source; `truncate: allow` deletes its rows here, too",
	    name_shown(arena, event->table), event->kind == EVENT_DROP ? "dropped" : "truncated");
}

/* Which of the source's tables may be of this database: those listed as db.t are, those listed as t
 * may be.  *unsure: there are some of the latter. */
static size_t
tables_of_database(const struct config_source *source, struct str db, const char **tables,
    bool *unsure)
{
	size_t count = 0;

	*unsure = false;
	for (size_t i = 0; i < source->table_count; i++) {
		struct str listed = str_of(source->listed[i]), first = listed;
		bool is_plain = memchr(listed.data, '.', listed.len) == NULL;

		first.len = db.len < listed.len ? db.len : listed.len;
		if (!is_plain && !(str_equal(first, db) && listed.data[db.len] == '.'))
			continue;
		*unsure |= is_plain;
		tables[count++] = source->tables[i];
	}
	return count;
}

/* A dropped database is one of all its tables; where it isn't known whose the tables are, nothing is
 * deleted. */
static int
take_whole_database(struct entry *entry, struct arena *arena, const struct event *event)
{
	const struct config_source *source = entry->lane->source;
	const char **tables = arena_alloc(arena, (source->table_count + 1) * sizeof(*tables));
	bool unsure;

	entry->change_count = tables_of_database(source, event->db, tables, &unsure);
	if (entry->change_count == 0) {
		entry->passed = PASSED_UNLISTED;
		return 0;
	}
	entry->changes = arena_alloc(arena, entry->change_count * sizeof(*entry->changes));
	for (size_t i = 0; i < entry->change_count; i++)
		entry->changes[i] = whole_table(entry, tables[i]);
	if (!source->write || (source->allow_truncate && !unsure))
		return 0;
	return entry_refuse(entry, arena, REASON_TRUNCATE,
	    "the database %s was dropped at its source; %s", name_shown(arena, event->db),
	    source->allow_truncate ?
		"whether the source's tables were in it is only known where they are listed as "
		"db.table" :
		"`truncate: allow` deletes the rows of its tables here, too");
}

/* All events of a message are of one kind and table. */
static int
take_events(struct entry *entry, struct arena *arena, const struct events *events)
{
	const struct config_source *source = entry->lane->source;
	const struct event *first = &events->list[0];
	bool is_delete =
	    first->kind == EVENT_TOMBSTONE && source->delete_tombstones && first->key.there;
	const char *table;

	entry->passed = is_delete ? NULL : passed_over(first);
	if (entry->passed != NULL)
		return 0;
	if (first->kind == EVENT_DROP && first->table.len == 0)
		return take_whole_database(entry, arena, first);
	table = table_of(entry, first);
	if (table == NULL)
		entry->passed = PASSED_UNLISTED;
	else if (first->snapshot && !source->apply_snapshots)
		entry->passed = PASSED_SNAPSHOT;
	if (entry->passed != NULL)
		return 0;
	if (first->kind == EVENT_TRUNCATE || first->kind == EVENT_DROP)
		return take_whole_table(entry, arena, first, table);
	entry->changes = arena_alloc(arena, events->count * sizeof(*entry->changes));
	for (size_t i = 0; i < events->count; i++) {
		if (make_change(entry, arena, &events->list[i], table, &entry->changes[i]) < 0)
			return -1;
	}
	entry->change_count = events->count;
	return 0;
}

int
format_event_decode(struct entry *entry, struct arena *arena, const struct decode_aids *aids)
{
	struct events events;

	entry->changes = NULL;
	entry->change_count = 0;
	entry->passed = NULL;
	if (decode_message(entry, arena, aids, &events) < 0)
		return -1;
	return take_events(entry, arena, &events);
}
