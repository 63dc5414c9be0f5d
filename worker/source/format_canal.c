#include "worker/source/event_ddl.h"
#include "worker/source/event_row.h"
#include "worker/source/json_tree.h"
#include "worker/source/looks_like.h"
#include "worker/store/enum_text.h"

/*
 * Canal's flat messages: {database, table, type, isDdl, data: [rows], old: [changed columns], pkNames}.
 * One message may hold several rows.  All values are texts; those of binary columns have one
 * character a byte (ISO 8859-1), and those of ENUM and SET columns are the binlog's numbers, which
 * only mysqlType explains.
 */

/* One message is one transaction, whole: it must fit a batch. */
#define ROWS_MAX 10000

struct canal {
	struct entry *entry;
	struct arena *arena;
	yyjson_val *root;
	yyjson_val *types; /* mysqlType, where it has an ENUM or SET; else NULL */
	struct events *events;
};

static bool
take_op(struct str type, enum event_op *op)
{
	if (str_equal(type, STR("INSERT")))
		*op = EVENT_CREATE;
	else if (str_equal(type, STR("UPDATE")))
		*op = EVENT_UPDATE;
	else if (str_equal(type, STR("DELETE")))
		*op = EVENT_DELETE;
	else
		return false;
	return true;
}

/* What is no row.  EVENT_ROW: no type that Canal (or TiCDC, which writes its format) has. */
static enum event_kind
kind_of(struct str type, bool is_ddl)
{
	static const struct {
		const char *type;
		enum event_kind kind;
	} kinds[] = { { "TRUNCATE", EVENT_TRUNCATE }, { "ERASE", EVENT_DROP },
		{ "CREATE", EVENT_SCHEMA }, { "ALTER", EVENT_SCHEMA }, { "RENAME", EVENT_SCHEMA },
		{ "CINDEX", EVENT_SCHEMA }, { "DINDEX", EVENT_SCHEMA }, { "QUERY", EVENT_SCHEMA },
		{ "GTID", EVENT_TRANSACTION }, { "XACOMMIT", EVENT_TRANSACTION },
		{ "XAROLLBACK", EVENT_TRANSACTION }, { "MHEARTBEAT", EVENT_HEARTBEAT },
		{ "TIDB_WATERMARK", EVENT_HEARTBEAT } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (str_equal(type, str_of(kinds[i].type)))
			return kinds[i].kind;
	}
	return is_ddl ? EVENT_SCHEMA : EVENT_ROW;
}

/* TRUNCATE and ERASE (drop table) concern the whole table; the other definitions need none. */
static int
decode_other(struct canal *c, struct str type)
{
	struct event *event = c->events->list;

	event->kind = kind_of(type, yyjson_is_true(yyjson_obj_get(c->root, "isDdl")));
	event->detail = type;
	if (event->kind == EVENT_ROW)
		return event_refuse(c->entry, c->arena, "type is none that Canal writes");
	if (event->kind == EVENT_SCHEMA && ddl_drops_database(json_tree_member(c->root, "sql"))) {
		event->kind = EVENT_DROP;
		event->table = (struct str){ NULL, 0 };
	} else if ((event->kind == EVENT_TRUNCATE || event->kind == EVENT_DROP) &&
	    event->table.len == 0)
		return event_refuse(c->entry, c->arena, "database or table is missing");
	return 0;
}

static yyjson_val *
types_to_look_up(yyjson_val *root)
{
	yyjson_val *types = yyjson_obj_get(root, "mysqlType"), *name, *type;
	size_t i, count;

	if (!yyjson_is_obj(types))
		return NULL;
	yyjson_obj_foreach(types, i, count, name, type)
	{
		if (enum_is_type(json_tree_as_text(type)))
			return types;
	}
	return NULL;
}

/* The columns of a row, numbers of members by their names. */
static int
take_row(struct canal *c, yyjson_val *row, struct image *image)
{
	if (event_row(c->entry, c->arena, row, ORIGIN_CANAL, image) < 0)
		return -1;
	for (size_t i = 0; i < image->count && c->types != NULL; i++) {
		struct field *field = &image->fields[i];
		yyjson_val *type = yyjson_obj_getn(c->types, field->name.data, field->name.len);

		if ((field->value.kind == VALUE_TEXT || field->value.kind == VALUE_NUMBER) &&
		    enum_number_text(json_tree_as_text(type), field->value.text, c->arena,
			&field->value.text))
			field->value.kind = VALUE_TEXT;
	}
	return 0;
}

static int
decode_row(struct canal *c, struct event *event, yyjson_val *data, yyjson_val *old)
{
	struct image *row = event->op == EVENT_DELETE ? &event->before : &event->after;

	event->kind = EVENT_ROW;
	if (take_row(c, data, row) < 0)
		return -1;
	if (row->count == 0)
		return event_refuse(c->entry, c->arena, "a row without columns");
	if (event->op == EVENT_UPDATE && yyjson_is_obj(old)) {
		event->before_is_partial = true;
		if (take_row(c, old, &event->before) < 0)
			return -1;
	}
	event_key(c->arena, yyjson_obj_get(c->root, "pkNames"), row, &event->key);
	return 0;
}

/* `old` runs along with `data`. */
static int
decode_rows(struct canal *c, enum event_op op)
{
	yyjson_val *data = yyjson_obj_get(c->root, "data"), *old = yyjson_obj_get(c->root, "old");
	struct event common = *c->events->list;
	size_t count = yyjson_arr_size(data);
	yyjson_arr_iter rows, olds;

	if (!yyjson_is_arr(data) || count == 0)
		return event_refuse(c->entry, c->arena, "data is not a list of rows");
	if (count > ROWS_MAX)
		return entry_refuse(c->entry, c->arena, REASON_BAD_EVENT,
		    "the message has %zu rows; at most %d commit together", count, ROWS_MAX);
	common.op = op;
	c->types = types_to_look_up(c->root);
	c->events->list = arena_alloc(c->arena, count * sizeof(*c->events->list));
	c->events->count = count;
	yyjson_arr_iter_init(data, &rows);
	yyjson_arr_iter_init(old, &olds);
	for (size_t i = 0; i < count; i++) {
		c->events->list[i] = common;
		if (decode_row(c, &c->events->list[i], yyjson_arr_iter_next(&rows),
			yyjson_is_arr(old) ? yyjson_arr_iter_next(&olds) : NULL) < 0)
			return -1;
	}
	return 0;
}

static int
decode_root(struct canal *c)
{
	struct event *event = c->events->list;
	struct str type = json_tree_member(c->root, "type");
	enum event_op op;

	if (looks_like_other(c->entry, c->arena, c->root, LOOKS_CANAL) < 0)
		return -1;
	if (type.len == 0)
		return event_refuse(c->entry, c->arena, "type is missing");
	event->db = json_tree_member(c->root, "database");
	event->table = json_tree_member(c->root, "table");
	event->origin.gtid = json_tree_member(c->root, "gtid");
	if (yyjson_is_true(yyjson_obj_get(c->root, "isDdl")) || !take_op(type, &op))
		return decode_other(c, type);
	if (event->db.len == 0 || event->table.len == 0)
		return event_refuse(c->entry, c->arena, "database or table is missing");
	return decode_rows(c, op);
}

int
canal_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events)
{
	struct event *event = arena_zalloc(arena, sizeof(*event));
	struct canal c = { entry, arena, NULL, NULL, events };
	yyjson_doc *doc;
	int status;

	*events = (struct events){ event, 1 };
	event->kind = EVENT_TOMBSTONE;
	if (message->value.data == NULL || message->value.len == 0)
		return 0;
	if (looks_like_binary(entry, arena, message->value, LOOKS_CANAL) < 0)
		return -1;
	doc = event_open(entry, arena, message->value);
	if (doc == NULL)
		return -1;
	c.root = yyjson_doc_get_root(doc);
	status = decode_root(&c);
	json_tree_close(doc);
	return status;
}
