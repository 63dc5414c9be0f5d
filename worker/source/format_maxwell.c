#include "worker/source/event_row.h"
#include "worker/source/json_tree.h"
#include "worker/source/looks_like.h"

/*
 * Maxwell: {database, table, type, data, old, …}.  `data` is the whole row, `old` the former values of
 * what an update changed, the primary key's columns among them.  Unsigned BIGINT and decimals are bare
 * numbers, binary columns base64, JSON columns objects.  A row too large for the producer comes
 * with its key alone and without `data`.
 */
#define ENCRYPTED "the event is encrypted, which sluice doesn't read; set Maxwell's encrypt to none"

struct maxwell {
	struct entry *entry;
	struct arena *arena;
	yyjson_val *root;
	struct event *event;
};

/* "master.000006:800911", or a GTID set where Maxwell runs with them */
static void
take_position(struct event *event, yyjson_val *root)
{
	struct str position = json_tree_member(root, "position");
	size_t len = position.len;

	while (len > 0 && position.data[len - 1] != ':')
		len--;
	event->origin.file = position;
	if (len > 1 &&
	    number_u64((struct str){ position.data + len, position.len - len }, &event->origin.pos))
		event->origin.file.len = len - 1;
	event->origin.gtid = json_tree_member(root, "gtid");
	event->origin.server_id = json_tree_number(root, "server_id");
	event->origin.xid = json_tree_number(root, "xid");
	event->origin.at_ms = json_tree_number(root, "ts") * 1000;
}

/* The message's key: {"database", "table", "pk.id": 1}, as Maxwell's hash form has it. */
static int
take_message_key(struct maxwell *m, struct str text)
{
	struct image *key = &m->event->key, all;
	yyjson_doc *doc;
	int status;

	if (text.data == NULL || text.len == 0 || text.data[0] != '{')
		return 0;
	doc = event_open(m->entry, m->arena, text);
	if (doc == NULL) {
		/* a key of somebody else's making says nothing that we need */
		m->entry->refusal = (struct refusal){ 0 };
		return 0;
	}
	status = event_row(m->entry, m->arena, yyjson_doc_get_root(doc), ORIGIN_MAXWELL, &all);
	json_tree_close(doc);
	if (status < 0)
		return -1;
	key->fields = all.fields;
	key->origin = ORIGIN_MAXWELL;
	for (size_t i = 0; i < all.count; i++) {
		struct field field = all.fields[i];

		if (!str_begins(field.name, "pk."))
			continue;
		field.name.data += 3;
		field.name.len -= 3;
		key->fields[key->count++] = field;
	}
	key->there = key->count > 0;
	return 0;
}

/* An update's row before: the whole row with the old values over it would say no more. */
static int
take_images(struct maxwell *m)
{
	struct event *event = m->event;
	yyjson_val *data = yyjson_obj_get(m->root, "data");
	yyjson_val *old = yyjson_obj_get(m->root, "old");
	struct image *row = event->op == EVENT_DELETE ? &event->before : &event->after;

	if (yyjson_is_obj(yyjson_obj_get(m->root, "encrypted")))
		return event_refuse(m->entry, m->arena, ENCRYPTED);
	if (!yyjson_is_obj(data) || yyjson_obj_size(data) == 0)
		return event_refuse(m->entry, m->arena,
		    "the event has no row (data); Maxwell leaves it out where a row is too large "
		    "for its producer");
	if (event_row(m->entry, m->arena, data, ORIGIN_MAXWELL, row) < 0)
		return -1;
	if (event->op == EVENT_UPDATE && yyjson_is_obj(old)) {
		event->before_is_partial = true;
		if (event_row(m->entry, m->arena, old, ORIGIN_MAXWELL, &event->before) < 0)
			return -1;
	}
	if (!event->key.there)
		event_key(m->arena, yyjson_obj_get(m->root, "primary_key_columns"), row,
		    &event->key);
	return 0;
}

static bool
take_op(struct event *event, struct str type)
{
	static const struct {
		const char *type;
		enum event_op op;
	} ops[] = { { "insert", EVENT_CREATE }, { "update", EVENT_UPDATE },
		{ "delete", EVENT_DELETE }, { "bootstrap-insert", EVENT_READ } };

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (!str_equal(type, str_of(ops[i].type)))
			continue;
		event->op = ops[i].op;
		event->kind = EVENT_ROW;
		event->snapshot = event->op == EVENT_READ;
		return true;
	}
	return false;
}

/* What changes no row; the type's last word is what was done. */
static bool
take_other(struct event *event, struct str type)
{
	if (str_begins(type, "bootstrap-"))
		event->kind = EVENT_MARKER;
	else if (str_equal(type, STR("heartbeat")))
		event->kind = EVENT_HEARTBEAT;
	else if (str_equal(type, STR("table-drop")) && event->table.len > 0)
		event->kind = EVENT_DROP;
	else if (str_equal(type, STR("database-drop")) && event->db.len > 0) {
		event->kind = EVENT_DROP;
		event->table = (struct str){ NULL, 0 };
	} else if (str_begins(type, "table-") || str_begins(type, "database-"))
		event->kind = EVENT_SCHEMA;
	else if (str_begins(type, "control"))
		event->kind = EVENT_CONTROL;
	else
		return false;
	event->detail = type;
	return true;
}

static int
decode_root(struct maxwell *m, const struct message *message)
{
	struct event *event = m->event;
	struct str type = json_tree_member(m->root, "type");

	if (looks_like_other(m->entry, m->arena, m->root, LOOKS_MAXWELL) < 0)
		return -1;
	event->db = json_tree_member(m->root, "database");
	event->table = json_tree_member(m->root, "table");
	take_position(event, m->root);
	if (type.len == 0 && yyjson_is_obj(yyjson_obj_get(m->root, "encrypted")))
		return event_refuse(m->entry, m->arena, ENCRYPTED);
	if (!take_op(event, type))
		return take_other(event, type) ?
		    0 :
		    event_refuse(m->entry, m->arena, "type is none that Maxwell writes");
	if (event->db.len == 0 || event->table.len == 0)
		return event_refuse(m->entry, m->arena, "database or table is missing");
	if (take_message_key(m, message->key) < 0)
		return -1;
	return take_images(m);
}

int
maxwell_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events)
{
	struct event *event = arena_zalloc(arena, sizeof(*event));
	struct maxwell m = { entry, arena, NULL, event };
	yyjson_doc *doc;
	int status;

	*events = (struct events){ event, 1 };
	event->kind = EVENT_TOMBSTONE; /* with producer_null_on_delete, or compaction */
	if (message->value.data == NULL || message->value.len == 0)
		return 0;
	if (looks_like_binary(entry, arena, message->value, LOOKS_MAXWELL) < 0)
		return -1;
	doc = event_open(entry, arena, message->value);
	if (doc == NULL)
		return -1;
	m.root = yyjson_doc_get_root(doc);
	status = decode_root(&m, message);
	json_tree_close(doc);
	return status;
}
