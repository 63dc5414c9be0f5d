#include "common/err.h"
#include "worker/source/connect_value.h"
#include "worker/source/event.h"
#include "worker/source/event_ddl.h"
#include "worker/source/json_tree.h"
#include "worker/source/looks_like.h"
#include "worker/source/schema_memory.h"
#include "worker/source/untold.h"

#include <strings.h>

/*
 * Debezium: envelopes {before, after, source, op, …} and rows flattened by ExtractNewRecordState, both
 * with and without the {schema, payload} wrapper of Connect's JsonConverter.
 */
struct decoding {
	struct entry *entry;
	struct arena *arena;
	const struct message *message;
	struct event *event;
	bool asked_only; /* of the row that is taken */
};

/* {schema, payload} or the payload itself. */
struct wrapped {
	yyjson_doc *doc;
	yyjson_val *schema, *payload;
};

static void
unwrap(struct wrapped *w)
{
	yyjson_val *root = yyjson_doc_get_root(w->doc), *schema, *payload;

	w->payload = root;
	if (yyjson_obj_size(root) != 2)
		return;
	schema = yyjson_obj_get(root, "schema");
	payload = yyjson_obj_get(root, "payload");
	if (payload != NULL && (yyjson_is_obj(schema) || yyjson_is_null(schema))) {
		w->schema = schema;
		w->payload = payload;
	}
}

/* False: the entry is refused.  w->doc is to be closed. */
static bool
open_wrapped(struct decoding *d, struct str text, const char *what, struct wrapped *w)
{
	struct schema_memory *memory = d->message->schemas;
	struct str payload;

	*w = (struct wrapped){ 0 };
	if (memory != NULL && schema_memory_split(memory, text, &w->schema, &payload)) {
		w->doc = json_tree_open(d->entry, d->arena, payload, what);
		w->payload = yyjson_doc_get_root(w->doc);
		if (w->doc != NULL)
			return true;
		/* it is looked at as a whole, so that the sentence is about the whole */
		d->entry->refusal = (struct refusal){ 0 };
		w->schema = NULL;
	}
	w->doc = json_tree_open(d->entry, d->arena, text, what);
	if (w->doc != NULL)
		unwrap(w);
	return w->doc != NULL;
}

/* Debezium's own: the sign of a deleted row that was flattened, and what ByLogicalTableRouter adds to
 * keys. */
static bool
is_no_column(struct str name, bool flat)
{
	return (flat && str_equal(name, STR("__deleted"))) || str_begins(name, "__dbz__");
}

static bool
is_asked(const struct message *message, struct str name)
{
	for (size_t i = 0; i < message->asked_count; i++) {
		if (message->asked[i].len == name.len &&
		    strncasecmp(message->asked[i].data, name.data, name.len) == 0)
			return true;
	}
	return false;
}

/* One pass over the columns.  1: a value is not one of its type, and nothing of the schema holds. */
static int
take_columns(struct decoding *d, yyjson_val *row, yyjson_val *schema, bool flat,
    struct image *image)
{
	struct connect_types types;
	size_t i, count;
	yyjson_val *name, *given;

	connect_types_start(&types, schema);
	bool all = types.there || !d->asked_only || d->message->asked == NULL;
	image->origin = types.there ? ORIGIN_TYPED : ORIGIN_UNTYPED;
	image->count = 0;
	yyjson_obj_foreach(row, i, count, name, given)
	{
		struct field *field = &image->fields[image->count];
		yyjson_val *type;

		field->name = json_tree_text(name);
		/* without a type there is nothing to check but how deep it is */
		if (!all && !yyjson_is_ctn(given) && !is_asked(d->message, field->name))
			continue;
		type = connect_types_find(&types, field->name);
		if (is_no_column(field->name, flat))
			continue;
		if (types.there && type == NULL)
			return 1;
		switch (connect_value(type, given, d->arena, &field->value)) {
		case CONNECT_FINE:
			break;
		case CONNECT_OTHER:
			return 1;
		case CONNECT_RANGE:
			return entry_refuse(d->entry, d->arena, REASON_BAD_VALUE,
			    "%s has a time outside the range of its type",
			    name_shown(d->arena, field->name));
		case CONNECT_TOO_DEEP:
			return entry_refuse(d->entry, d->arena, REASON_BAD_JSON,
			    "%s is nested deeper than %d", name_shown(d->arena, field->name),
			    JSON_NESTING_MAX);
		}
		image->count += !untold_value(&field->value);
	}
	return 0;
}

/*
 * The columns of a row or key.  Where values and schema contradict each other, as behind a transform
 * that changed only one of them, the schema is not believed and the target's columns decide.
 */
static int
take_image(struct decoding *d, yyjson_val *row, yyjson_val *schema, bool flat, struct image *image)
{
	int status;

	image->there = true;
	image->flattened = flat;
	image->fields = arena_alloc(d->arena, yyjson_obj_size(row) * sizeof(*image->fields) + 1);
	status = take_columns(d, row, schema, flat, image);
	return status == 1 ? take_columns(d, row, NULL, flat, image) : status;
}

/* A key's JSON; "default" is what Debezium Server's Redis sink writes for none. */
static int
take_key(struct decoding *d, struct str text, struct image *key)
{
	struct wrapped wrapped;
	int status = 0;

	if (text.data == NULL || text.len == 0 || str_equal(text, STR("default")))
		return 0;
	if (!open_wrapped(d, text, "the key", &wrapped)) {
		/* a StringConverter's key is no JSON: it says nothing that we need */
		d->entry->refusal = (struct refusal){ 0 };
		return 0;
	}
	if (yyjson_is_obj(wrapped.payload)) {
		status = take_image(d, wrapped.payload, wrapped.schema, false, key);
	} else if (!yyjson_is_null(wrapped.payload) && !yyjson_is_arr(wrapped.payload)) {
		*key = (struct image){ .there = true,
			.fields = arena_zalloc(d->arena, sizeof(*key->fields)),
			.count = 1,
			.origin = ORIGIN_UNTYPED };
		json_tree_value(wrapped.payload, d->arena, &key->fields[0].value);
	}
	json_tree_close(wrapped.doc);
	return status;
}

static const struct field *
header(const struct message *message, const char *name)
{
	for (size_t i = 0; i < message->header_count; i++) {
		struct str given = message->headers[i].name;

		if (given.len == strlen(name) && strncasecmp(given.data, name, given.len) == 0)
			return &message->headers[i];
	}
	return NULL;
}

/* A change of the primary key is a delete, a tombstone and a create; only these headers tie them. */
static int
take_moves(struct decoding *d)
{
	const struct field *other;

	other = header(d->message, "__debezium.newkey");
	if (other != NULL && take_key(d, other->value.text, &d->event->new_key) < 0)
		return -1;
	other = header(d->message, "__debezium.oldkey");
	return other != NULL ? take_key(d, other->value.text, &d->event->old_key) : 0;
}

/* Members of `source` that are used.  It has many: they are found in one pass. */
struct source_members {
	yyjson_val *db, *schema, *table, *snapshot, *file, *pos, *row, *gtid, *server_id, *ts_ms,
	    *lsn, *change_lsn;
};

static yyjson_val **
source_member(struct source_members *of, struct str name)
{
	switch (name.len) {
	case 2:
		return str_equal(name, STR("db")) ? &of->db : NULL;
	case 5:
		return str_equal(name, STR("table")) ? &of->table : NULL;
	case 6:
		return str_equal(name, STR("schema")) ? &of->schema : NULL;
	case 8:
		return str_equal(name, STR("snapshot")) ? &of->snapshot : NULL;
	default:
		return NULL;
	}
}

static yyjson_val **
origin_member(struct source_members *of, struct str name)
{
	switch (name.len) {
	case 3:
		return str_equal(name, STR("pos")) ? &of->pos :
		    str_equal(name, STR("row"))	   ? &of->row :
		    str_equal(name, STR("lsn"))	   ? &of->lsn :
						     NULL;
	case 4:
		return str_equal(name, STR("file")) ? &of->file :
		    str_equal(name, STR("gtid"))    ? &of->gtid :
						      NULL;
	case 5:
		return str_equal(name, STR("ts_ms")) ? &of->ts_ms : NULL;
	case 9:
		return str_equal(name, STR("server_id")) ? &of->server_id : NULL;
	case 10:
		return str_equal(name, STR("change_lsn")) ? &of->change_lsn : NULL;
	default:
		return NULL;
	}
}

static void
take_origin(struct origin *origin, const struct source_members *of)
{
	origin->file = json_tree_as_text(of->file);
	if (origin->file.len == 0)
		origin->file = json_tree_as_text(of->change_lsn);
	if (origin->file.len == 0)
		origin->file = json_tree_as_text(of->lsn);
	origin->pos = json_tree_as_number(of->pos);
	origin->row = json_tree_as_number(of->row);
	origin->gtid = json_tree_as_text(of->gtid);
	origin->server_id = json_tree_as_number(of->server_id);
	origin->at_ms = json_tree_as_number(of->ts_ms);
}

static void
take_source(struct decoding *d, yyjson_val *source)
{
	struct source_members of = { 0 };
	struct event *event = d->event;
	size_t i, count;
	yyjson_val *name, *given;

	if (source == NULL)
		return;
	yyjson_obj_foreach(source, i, count, name, given)
	{
		yyjson_val **member = source_member(&of, json_tree_text(name));

		if (member == NULL && !d->message->no_origin)
			member = origin_member(&of, json_tree_text(name));
		if (member != NULL && *member == NULL)
			*member = given;
	}
	event->db = json_tree_as_text(of.db);
	event->schema = json_tree_as_text(of.schema);
	event->table = json_tree_as_text(of.table);
	event->snapshot = yyjson_is_true(of.snapshot) ||
	    (yyjson_is_str(of.snapshot) && !json_tree_is(of.snapshot, "false"));
	if (!d->message->no_origin)
		take_origin(&event->origin, &of);
}

static yyjson_val *
schema_of_member(yyjson_val *schema, const char *name)
{
	struct connect_types types;

	connect_types_start(&types, schema);
	return connect_types_find(&types, str_of(name));
}

static int
bad_event(struct decoding *d, const char *sentence)
{
	return entry_refuse(d->entry, d->arena, REASON_BAD_EVENT, "%s", sentence);
}

/* The members of a payload that make it an envelope. */
struct envelope {
	yyjson_val *op, *source, *before, *after;
};

/* before or after; null and missing are the same. */
static int
take_member(struct decoding *d, const struct wrapped *w, const char *name, yyjson_val *row,
    struct image *image)
{
	if (row == NULL || yyjson_is_null(row))
		return 0;
	if (yyjson_is_str(row))
		return bad_event(d,
		    "before or after is a text, as of Debezium's connector for MongoDB; rows are "
		    "read");
	if (!yyjson_is_obj(row))
		return bad_event(d, "before or after is not an object");
	return take_image(d, row, schema_of_member(w->schema, name), false, image);
}

/* A delete whose row before is only filled in is one without it. */
static int
take_before(struct decoding *d, const struct wrapped *w, const struct envelope *e, enum event_op op)
{
	struct event *event = d->event;

	if (op == EVENT_DELETE &&
	    json_tree_is(yyjson_obj_get(e->source, "connector"), "postgresql")) {
		if (take_key(d, d->message->key, &event->key) < 0)
			return -1;
		if (untold_row(e->before, schema_of_member(w->schema, "before"), &event->key))
			return 0;
	}
	return take_member(d, w, "before", e->before, &event->before);
}

static int
decode_row(struct decoding *d, const struct wrapped *w, const struct envelope *e, enum event_op op)
{
	struct event *event = d->event;

	event->kind = EVENT_ROW;
	event->op = op;
	/* some connectors leave the mark of a snapshot's last row on the change behind it */
	event->snapshot = op == EVENT_READ || (event->snapshot && op == EVENT_CREATE);
	d->asked_only = true;
	if (take_before(d, w, e, op) < 0 || take_member(d, w, "after", e->after, &event->after) < 0)
		return -1;
	d->asked_only = false;
	if (op != EVENT_DELETE && !event->after.there)
		return bad_event(d, "a change that is no delete has no row after");
	return 0;
}

static int
decode_envelope(struct decoding *d, const struct wrapped *w, const struct envelope *e)
{
	struct str op = json_tree_text(e->op);

	take_source(d, e->source);
	if (str_equal(op, STR("c")))
		return decode_row(d, w, e, EVENT_CREATE);
	if (str_equal(op, STR("u")))
		return decode_row(d, w, e, EVENT_UPDATE);
	if (str_equal(op, STR("d")))
		return decode_row(d, w, e, EVENT_DELETE);
	if (str_equal(op, STR("r")))
		return decode_row(d, w, e, EVENT_READ);
	if (str_equal(op, STR("t"))) {
		d->event->kind = EVENT_TRUNCATE;
		d->event->snapshot = false;
		return 0;
	}
	if (str_equal(op, STR("m"))) {
		d->event->kind = EVENT_CONTROL;
		d->event->detail = STR("message");
		return 0;
	}
	return bad_event(d, "op is not one of c, u, d, r, t, m");
}

/*
 * DROP TABLE a, b is one record a table, and `source` names both in each.  What a snapshot tells is how
 * its tables are made (DROP TABLE IF EXISTS, CREATE TABLE): nothing was dropped then.
 */
static int
decode_schema_change(struct decoding *d, yyjson_val *payload)
{
	struct event *event = d->event;
	yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(payload, "tableChanges"));
	struct str id = json_tree_member(first, "id");

	take_source(d, yyjson_obj_get(payload, "source"));
	event->detail = json_tree_member(first, "type");
	event->kind = EVENT_SCHEMA;
	if (event->db.len == 0)
		event->db = json_tree_member(payload, "databaseName");
	if (event->snapshot)
		return 0;
	if (first == NULL && ddl_drops_database(json_tree_member(payload, "ddl"))) {
		event->kind = EVENT_DROP;
		event->table = (struct str){ NULL, 0 };
	} else if (str_equal(event->detail, STR("DROP")) &&
	    (ddl_table_id(id, d->arena, &event->db, &event->table) || event->table.len > 0))
		event->kind = EVENT_DROP;
	return 0;
}

/* A header's text; Connect's JsonConverter quotes it. */
static struct str
header_text(const struct message *message, const char *name)
{
	const struct field *found = header(message, name);
	struct str text = found != NULL ? found->value.text : (struct str){ NULL, 0 };

	if (text.len < 2 || text.data[0] != '"' || text.data[text.len - 1] != '"')
		return text;
	return (struct str){ text.data + 1, text.len - 2 };
}

/* What ExtractNewRecordState adds by add.fields or add.headers: __db or __source_db. */
static struct str
added_field(const struct decoding *d, yyjson_val *row, const char *plain, const char *of_source)
{
	struct str text = json_tree_member(row, plain);

	if (text.len == 0)
		text = json_tree_member(row, of_source);
	if (text.len == 0)
		text = header_text(d->message, plain);
	return text.len > 0 ? text : header_text(d->message, of_source);
}

static int
decode_flat(struct decoding *d, const struct wrapped *w)
{
	yyjson_val *row = w->payload, *deleted = yyjson_obj_get(row, "__deleted");
	struct str op = added_field(d, row, "__op", "__op");
	struct event *event = d->event;
	bool is_delete =
	    yyjson_is_true(deleted) || json_tree_is(deleted, "true") || str_equal(op, STR("d"));
	struct image *image = is_delete ? &event->before : &event->after;

	event->kind = EVENT_ROW;
	event->db = added_field(d, row, "__db", "__source_db");
	event->schema = added_field(d, row, "__schema", "__source_schema");
	event->table = added_field(d, row, "__table", "__source_table");
	event->snapshot = str_equal(op, STR("r"));
	/* without __op it may be either: an update claims less */
	event->op = is_delete	    ? EVENT_DELETE :
	    event->snapshot	    ? EVENT_READ :
	    str_equal(op, STR("c")) ? EVENT_CREATE :
				      EVENT_UPDATE;
	event->origin.file = added_field(d, row, "__file", "__source_file");
	event->origin.gtid = added_field(d, row, "__gtid", "__source_gtid");
	if (take_image(d, row, w->schema, true, image) < 0)
		return -1;
	for (size_t i = 0; i < image->count; i++) {
		if (!str_begins(image->fields[i].name, "__"))
			return 0;
	}
	return bad_event(d, "a row without columns");
}

/* {"ts_ms": …} and nothing but times */
static bool
is_heartbeat(yyjson_val *payload)
{
	size_t i, count;
	yyjson_val *name, *given;

	yyjson_obj_foreach(payload, i, count, name, given)
	{
		if (!json_tree_is(name, "ts_ms") && !json_tree_is(name, "ts_us") &&
		    !json_tree_is(name, "ts_ns"))
			return false;
	}
	return yyjson_obj_size(payload) > 0;
}

static bool
is_envelope(yyjson_val *payload, struct envelope *e)
{
	size_t i, count;
	yyjson_val *name, *given;

	*e = (struct envelope){ 0 };
	yyjson_obj_foreach(payload, i, count, name, given)
	{
		struct str text = json_tree_text(name);
		yyjson_val **member = str_equal(text, STR("op")) ? &e->op :
		    str_equal(text, STR("source"))		 ? &e->source :
		    str_equal(text, STR("before"))		 ? &e->before :
		    str_equal(text, STR("after"))		 ? &e->after :
								   NULL;

		if (member != NULL && *member == NULL)
			*member = given;
	}
	/* a table may have columns of these names */
	return yyjson_is_str(e->op) &&
	    (yyjson_is_obj(e->source) || yyjson_is_obj(e->before) || yyjson_is_obj(e->after));
}

static int
decode_payload(struct decoding *d, const struct wrapped *w)
{
	yyjson_val *payload = w->payload, *status;
	struct envelope envelope;

	if (yyjson_is_null(payload)) {
		d->event->kind = EVENT_TOMBSTONE;
		return 0;
	}
	if (!yyjson_is_obj(payload))
		return bad_event(d, "the event is not an object");
	if (is_envelope(payload, &envelope))
		return decode_envelope(d, w, &envelope);
	status = yyjson_obj_get(payload, "status");
	if (yyjson_is_str(status) && yyjson_obj_get(payload, "data_collections") != NULL) {
		d->event->kind = EVENT_TRANSACTION;
		d->event->detail = json_tree_text(status);
		d->event->origin.xid = 0;
		return 0;
	}
	if (yyjson_obj_get(payload, "ddl") != NULL &&
	    yyjson_obj_get(payload, "databaseName") != NULL)
		return decode_schema_change(d, payload);
	if (is_heartbeat(payload)) {
		d->event->kind = EVENT_HEARTBEAT;
		return 0;
	}
	if (looks_like_other(d->entry, d->arena, payload, LOOKS_DEBEZIUM) < 0)
		return -1;
	return decode_flat(d, w);
}

/* Nothing, or what the Redis sink writes for it. */
static bool
is_nothing(struct str value)
{
	return value.data == NULL || value.len == 0 || str_equal(value, STR("default"));
}

/* A row that is there says its key itself. */
static bool
asks_for_key(const struct decoding *d)
{
	const struct event *event = d->event;

	if (!d->message->rows_alone || event->kind == EVENT_TOMBSTONE)
		return true;
	if (event->kind != EVENT_ROW || event->op == EVENT_CREATE || event->op == EVENT_READ)
		return false;
	return !event->before.there ||
	    (event->op == EVENT_UPDATE && event->before.origin != event->after.origin);
}

static int
take_keys(struct decoding *d)
{
	const struct event *event = d->event;

	if (asks_for_key(d) && take_key(d, d->message->key, &d->event->key) < 0)
		return -1;
	if (event->kind == EVENT_ROW && event->op == EVENT_DELETE && !event->before.there &&
	    !event->key.there)
		return bad_event(d, "a delete has neither a row before nor a key");
	return take_moves(d);
}

int
debezium_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events)
{
	struct event *event = arena_zalloc(arena, sizeof(*event));
	struct decoding d = { .entry = entry, .arena = arena, .message = message, .event = event };
	struct wrapped wrapped;
	int status;

	*events = (struct events){ event, 1 };
	event->kind = EVENT_TOMBSTONE;
	if (looks_like_binary(entry, arena, message->value, LOOKS_DEBEZIUM) < 0)
		return -1;
	if (is_nothing(message->value))
		return take_keys(&d);
	if (!open_wrapped(&d, message->value, "the event", &wrapped))
		return -1;
	status = decode_payload(&d, &wrapped);
	json_tree_close(wrapped.doc);
	return status == 0 ? take_keys(&d) : status;
}
