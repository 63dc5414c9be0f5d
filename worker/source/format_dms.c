#include "worker/source/event_row.h"
#include "worker/source/json_tree.h"
#include "worker/source/looks_like.h"

/*
 * AWS DMS: {data, metadata: {record-type, operation, schema-name, table-name, …}}, with `before-image`
 * where the task is set to it.  Columns that are NULL or empty are left out unless the endpoint has
 * IncludeNullAndEmpty.  Control records have `control` instead of `data`.
 */
struct dms {
	struct entry *entry;
	struct arena *arena;
	yyjson_val *root;
	struct event *event;
};

static int
decode_control(struct dms *d, struct str operation)
{
	d->event->detail = operation;
	d->event->kind = str_equal(operation, STR("drop-table")) ? EVENT_DROP :
	    str_equal(operation, STR("truncate-table"))		 ? EVENT_TRUNCATE :
								   EVENT_CONTROL;
	return 0;
}

static bool
take_op(struct event *event, struct str operation)
{
	static const struct {
		const char *operation;
		enum event_op op;
	} ops[] = { { "load", EVENT_READ }, { "insert", EVENT_CREATE }, { "update", EVENT_UPDATE },
		{ "delete", EVENT_DELETE } };

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (!str_equal(operation, str_of(ops[i].operation)))
			continue;
		event->op = ops[i].op;
		event->snapshot = event->op == EVENT_READ;
		return true;
	}
	return false;
}

/* Of a deleted row `data` may have the key alone, and the image the rest. */
static int
add_image(struct dms *d, yyjson_val *before, struct image *row)
{
	struct field *fields;
	struct image image;

	if (event_row(d->entry, d->arena, before, ORIGIN_DMS, &image) < 0)
		return -1;
	fields = arena_alloc(d->arena, (row->count + image.count) * sizeof(*fields));
	memcpy(fields, row->fields, row->count * sizeof(*fields));
	row->fields = fields;
	for (size_t i = 0; i < image.count; i++)
		if (image_field(row, image.fields[i].name) == NULL)
			fields[row->count++] = image.fields[i];
	return 0;
}

static int
decode_row(struct dms *d, struct str operation)
{
	struct event *event = d->event;
	yyjson_val *before = yyjson_obj_get(d->root, "before-image");
	struct image *row;

	event->kind = EVENT_ROW;
	if (!take_op(event, operation))
		return event_refuse(d->entry, d->arena,
		    "operation is not one of load, insert, update, delete");
	if (event->db.len == 0 || event->table.len == 0)
		return event_refuse(d->entry, d->arena, "schema-name or table-name is missing");
	row = event->op == EVENT_DELETE ? &event->before : &event->after;
	if (event_row(d->entry, d->arena, yyjson_obj_get(d->root, "data"), ORIGIN_DMS, row) < 0)
		return -1;
	if (row->count == 0)
		return event_refuse(d->entry, d->arena, "a row without columns");
	if (!yyjson_is_obj(before))
		return 0;
	if (event->op == EVENT_DELETE)
		return add_image(d, before, row);
	if (event->op != EVENT_UPDATE)
		return 0;
	event->before_is_partial = true; /* only the key's columns, as the task may be set */
	return event_row(d->entry, d->arena, before, ORIGIN_DMS, &event->before);
}

static int
decode_root(struct dms *d)
{
	yyjson_val *metadata = yyjson_obj_get(d->root, "metadata");
	struct str record_type = json_tree_member(metadata, "record-type");
	struct str operation = json_tree_member(metadata, "operation");
	struct event *event = d->event;

	if (looks_like_other(d->entry, d->arena, d->root, LOOKS_DMS) < 0)
		return -1;
	if (!yyjson_is_obj(metadata))
		return event_refuse(d->entry, d->arena, "metadata is missing");
	event->db = json_tree_member(metadata, "schema-name");
	event->table = json_tree_member(metadata, "table-name");
	event->origin.file = json_tree_member(metadata, "stream-position");
	event->origin.xid = json_tree_number(metadata, "transaction-id");
	if (str_equal(record_type, STR("control")))
		return decode_control(d, operation);
	if (!str_equal(record_type, STR("data")))
		return event_refuse(d->entry, d->arena, "record-type is neither data nor control");
	return decode_row(d, operation);
}

int
dms_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events)
{
	struct event *event = arena_zalloc(arena, sizeof(*event));
	struct dms d = { entry, arena, NULL, event };
	yyjson_doc *doc;
	int status;

	*events = (struct events){ event, 1 };
	event->kind = EVENT_TOMBSTONE;
	if (message->value.data == NULL || message->value.len == 0)
		return 0;
	if (looks_like_binary(entry, arena, message->value, LOOKS_DMS) < 0)
		return -1;
	doc = event_open(entry, arena, message->value);
	if (doc == NULL)
		return -1;
	d.root = yyjson_doc_get_root(doc);
	status = decode_root(&d);
	json_tree_close(doc);
	return status;
}
