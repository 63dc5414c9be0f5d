#include "worker/source/looks_like.h"

#include "worker/source/json_tree.h"

/* What makes the tool write JSON. */
static const char *const set_json[] = {
	[LOOKS_DEBEZIUM] = ("value.converter to org.apache.kafka.connect.json.JsonConverter "
			    "(Debezium Server: debezium.format.value to json)"),
	[LOOKS_MAXWELL] = "output to JSON",
	[LOOKS_CANAL] = "canal.mq.flatMessage to true",
	[LOOKS_DMS] = "MessageFormat to json",
};

static const char *const names[] = {
	[LOOKS_DEBEZIUM] = "debezium",
	[LOOKS_MAXWELL] = "maxwell",
	[LOOKS_CANAL] = "canal",
	[LOOKS_DMS] = "dms",
};

int
looks_like_binary(struct entry *entry, struct arena *arena, struct str value, enum looks expected)
{
	if (value.data == NULL || value.len == 0)
		return 0;
	if (value.data[0] == '\0')
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the event looks like Avro or Protobuf of a schema registry (its first byte is "
		    "0), which sluice doesn't read; set %s",
		    set_json[expected]);
	if (str_begins(value, "Struct{"))
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the event looks like the text of a Connect struct; set %s",
		    set_json[expected]);
	if (strchr(" \t\r\n{[\"-0123456789tfnd", value.data[0]) != NULL ||
	    str_begins(value, "\xef\xbb\xbf"))
		return 0;
	if ((unsigned char)value.data[0] < 0x20 || (unsigned char)value.data[0] >= 0x80)
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the event looks like a binary encoding such as Protobuf, which sluice doesn't "
		    "read; set %s",
		    set_json[expected]);
	return 0;
}

static bool
has(yyjson_val *object, const char *name)
{
	return yyjson_obj_get(object, name) != NULL;
}

static bool
has_text(yyjson_val *object, const char *name)
{
	return yyjson_is_str(yyjson_obj_get(object, name));
}

static bool
is_debezium(yyjson_val *root)
{
	yyjson_val *payload = yyjson_obj_get(root, "payload");

	if (yyjson_is_obj(payload) && has(root, "schema"))
		return true;
	return has_text(root, "op") && (has(root, "after") || has(root, "before")) &&
	    (has(root, "source") || has(root, "ts_ms"));
}

static bool
is_maxwell(yyjson_val *root)
{
	return has_text(root, "database") && has_text(root, "type") && !has(root, "isDdl") &&
	    (yyjson_is_obj(yyjson_obj_get(root, "data")) || has(root, "def"));
}

static bool
is_canal(yyjson_val *root)
{
	return has_text(root, "type") &&
	    (has(root, "isDdl") || has(root, "mysqlType") || has(root, "sqlType") ||
		yyjson_is_arr(yyjson_obj_get(root, "data")));
}

static bool
is_dms(yyjson_val *root)
{
	return yyjson_is_obj(yyjson_obj_get(root, "metadata")) &&
	    (has(root, "data") || has(root, "control"));
}

int
looks_like_other(struct entry *entry, struct arena *arena, yyjson_val *root, enum looks expected)
{
	bool (*const is[])(yyjson_val *) = { [LOOKS_DEBEZIUM] = is_debezium,
		[LOOKS_MAXWELL] = is_maxwell,
		[LOOKS_CANAL] = is_canal,
		[LOOKS_DMS] = is_dms };

	if (has_text(root, "specversion"))
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the event looks like CloudEvents, which sluice doesn't read; set %s",
		    set_json[expected]);
	if (has(root, "_op") || has(root, "_table"))
		return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
		    "the entry looks like one for sluice itself; set the source's format to json%s",
		    expected == LOOKS_DEBEZIUM ?
			" (or ExtractNewRecordState's add.fields.prefix to __)" :
			"");
	for (enum looks looks = LOOKS_DEBEZIUM; looks <= LOOKS_DMS; looks++) {
		if (looks != expected && is[looks](root))
			return entry_refuse(entry, arena, REASON_WRONG_FORMAT,
			    "the event doesn't look like %s but like %s; set the source's format "
			    "to %s",
			    names[expected], names[looks], names[looks]);
	}
	return 0;
}
