#include "worker/source/connect_value.h"

#include "common/number.h"
#include "worker/source/json_tree.h"
#include "worker/store/epoch_text.h"
#include "worker/store/value_text.h"

/* A logical type: what a value of it is made of, and what becomes of it. */
enum logical {
	LOGICAL_NONE,
	LOGICAL_DECIMAL,
	LOGICAL_VARIABLE_DECIMAL,
	LOGICAL_BITS,
	LOGICAL_GEOMETRY,
	LOGICAL_DATE,
	LOGICAL_TIME,
	LOGICAL_MOMENT,
	LOGICAL_ZONED_TIME /* a text with an offset that no TIME has */
};

static const struct logical_name {
	const char *name;
	enum logical logical;
	int64_t per_second;
} logical_names[] = {
	{ "org.apache.kafka.connect.data.Decimal", LOGICAL_DECIMAL, 0 },
	{ "org.apache.kafka.connect.data.Date", LOGICAL_DATE, 0 },
	{ "org.apache.kafka.connect.data.Time", LOGICAL_TIME, EPOCH_MILLIS },
	{ "org.apache.kafka.connect.data.Timestamp", LOGICAL_MOMENT, EPOCH_MILLIS },
	{ "io.debezium.data.VariableScaleDecimal", LOGICAL_VARIABLE_DECIMAL, 0 },
	{ "io.debezium.data.Bits", LOGICAL_BITS, 0 },
	{ "io.debezium.data.geometry.Geometry", LOGICAL_GEOMETRY, 0 },
	{ "io.debezium.data.geometry.Geography", LOGICAL_GEOMETRY, 0 },
	{ "io.debezium.data.geometry.Point", LOGICAL_GEOMETRY, 0 },
	{ "io.debezium.time.Date", LOGICAL_DATE, 0 },
	{ "io.debezium.time.Time", LOGICAL_TIME, EPOCH_MILLIS },
	{ "io.debezium.time.MicroTime", LOGICAL_TIME, EPOCH_MICROS },
	{ "io.debezium.time.NanoTime", LOGICAL_TIME, EPOCH_NANOS },
	{ "io.debezium.time.Timestamp", LOGICAL_MOMENT, EPOCH_MILLIS },
	{ "io.debezium.time.MicroTimestamp", LOGICAL_MOMENT, EPOCH_MICROS },
	{ "io.debezium.time.NanoTimestamp", LOGICAL_MOMENT, EPOCH_NANOS },
	{ "io.debezium.time.ZonedTime", LOGICAL_ZONED_TIME, 0 },
	{ "io.debezium.time.IsoTime", LOGICAL_ZONED_TIME, 0 },
	{ "io.debezium.time.IsoDate", LOGICAL_ZONED_TIME, 0 },
};

void
connect_types_start(struct connect_types *types, yyjson_val *schema)
{
	yyjson_val *fields = yyjson_obj_get(schema, "fields");

	*types =
	    (struct connect_types){ .there = yyjson_is_arr(fields) && yyjson_arr_size(fields) > 0 };
	if (types->there) {
		yyjson_arr_iter_init(fields, &types->next);
		types->fields = fields;
	}
}

yyjson_val *
connect_types_find(struct connect_types *types, struct str name)
{
	yyjson_val *type;

	if (!types->there)
		return NULL;
	type = yyjson_arr_iter_next(&types->next);
	if (type != NULL && str_equal(json_tree_member(type, "field"), name))
		return type;
	yyjson_arr_iter_init(types->fields, &types->next);
	while ((type = yyjson_arr_iter_next(&types->next)) != NULL) {
		if (str_equal(json_tree_member(type, "field"), name))
			return type;
	}
	return NULL;
}

static const struct logical_name *
logical_of(yyjson_val *type)
{
	static const struct logical_name none = { NULL, LOGICAL_NONE, 0 };
	struct str name = json_tree_member(type, "name");

	for (size_t i = 0; name.len > 0 && i < sizeof(logical_names) / sizeof(logical_names[0]);
	    i++) {
		if (str_equal(name, str_of(logical_names[i].name)))
			return &logical_names[i];
	}
	return &none;
}

static bool
take_bytes(yyjson_val *given, struct arena *arena, struct str *bytes)
{
	return yyjson_is_str(given) && text_base64_decode(json_tree_text(given), arena, bytes);
}

static enum connect_result
fine(struct value *value, enum value_kind kind, struct str text)
{
	*value = (struct value){ text, kind };
	return CONNECT_FINE;
}

/* Bytes of a signed number; or, by the converter's decimal.format, a number. */
static enum connect_result
decimal_value(yyjson_val *given, struct str scale_text, struct arena *arena, struct value *value)
{
	struct str bytes, text;
	int64_t scale;

	if (yyjson_is_raw(given))
		return fine(value, VALUE_NUMBER, json_tree_text(given));
	if (!number_i64(scale_text, &scale) || !take_bytes(given, arena, &bytes) ||
	    !bytes_decimal_text(bytes, scale, arena, &text))
		return CONNECT_OTHER;
	return fine(value, VALUE_NUMBER, text);
}

static enum connect_result
variable_decimal_value(yyjson_val *given, struct arena *arena, struct value *value)
{
	yyjson_val *scale = yyjson_obj_get(given, "scale");

	if (!yyjson_is_raw(scale))
		return CONNECT_OTHER;
	return decimal_value(yyjson_obj_get(given, "value"), json_tree_text(scale), arena, value);
}

static bool
geometry_bytes(yyjson_val *given, struct arena *arena, struct str *out)
{
	yyjson_val *srid = yyjson_obj_get(given, "srid");
	uint64_t id = 0;
	struct str wkb;

	if (!take_bytes(yyjson_obj_get(given, "wkb"), arena, &wkb))
		return false;
	if (yyjson_is_raw(srid) && (!number_u64(json_tree_text(srid), &id) || id > UINT32_MAX))
		return false;
	*out = bytes_geometry((uint32_t)id, wkb, arena);
	return true;
}

static enum connect_result
time_value(const struct logical_name *logical, yyjson_val *given, struct arena *arena,
    struct value *value)
{
	struct str text;
	int64_t count;
	bool fits;

	if (!yyjson_is_raw(given) || !number_i64(json_tree_text(given), &count))
		return CONNECT_OTHER;
	if (logical->logical == LOGICAL_DATE)
		fits = epoch_date_text(count, arena, &text);
	else if (logical->logical == LOGICAL_TIME)
		fits = epoch_duration_text(count, logical->per_second, arena, &text);
	else
		fits = epoch_moment_text(count, logical->per_second, arena, &text);
	return fits ? fine(value, VALUE_TEXT, text) : CONNECT_RANGE;
}

static enum connect_result
logical_value(const struct logical_name *logical, yyjson_val *type, yyjson_val *given,
    struct arena *arena, struct value *value)
{
	struct str text, bytes;

	switch (logical->logical) {
	case LOGICAL_DECIMAL:
		return decimal_value(given,
		    json_tree_member(yyjson_obj_get(type, "parameters"), "scale"), arena, value);
	case LOGICAL_VARIABLE_DECIMAL:
		return variable_decimal_value(given, arena, value);
	case LOGICAL_BITS:
		if (!take_bytes(given, arena, &bytes) || !bytes_bits_text(bytes, arena, &text))
			return CONNECT_OTHER;
		return fine(value, VALUE_NUMBER, text);
	case LOGICAL_GEOMETRY:
		if (!geometry_bytes(given, arena, &bytes))
			return CONNECT_OTHER;
		return fine(value, VALUE_BINARY, bytes);
	case LOGICAL_DATE:
	case LOGICAL_TIME:
	case LOGICAL_MOMENT:
		return time_value(logical, given, arena, value);
	case LOGICAL_ZONED_TIME:
		if (!yyjson_is_str(given))
			return CONNECT_OTHER;
		text = json_tree_text(given);
		text.len -= text.len > 0 && text.data[text.len - 1] == 'Z';
		return fine(value, VALUE_TEXT, text);
	case LOGICAL_NONE:
		break;
	}
	return CONNECT_OTHER;
}

/* Is a JSON value of this kind what the type is written as? */
static bool
fits_type(struct str type, yyjson_val *given)
{
	if (str_equal(type, STR("string")))
		return yyjson_is_str(given);
	if (str_equal(type, STR("boolean")))
		return yyjson_is_bool(given);
	if (str_equal(type, STR("array")) || str_equal(type, STR("map")) ||
	    str_equal(type, STR("struct")))
		return yyjson_is_ctn(given);
	return yyjson_is_raw(given) || str_equal(type, STR("double")) ||
	    str_equal(type, STR("float"));
}

enum connect_result
connect_value(yyjson_val *type, yyjson_val *given, struct arena *arena, struct value *value)
{
	const struct logical_name *logical;
	struct str plain, bytes;

	if (!json_tree_value(given, arena, value))
		return CONNECT_TOO_DEEP;
	if (type == NULL || yyjson_is_null(given))
		return CONNECT_FINE;
	logical = logical_of(type);
	if (logical->logical != LOGICAL_NONE)
		return logical_value(logical, type, given, arena, value);
	plain = json_tree_member(type, "type");
	if (str_equal(plain, STR("bytes"))) {
		if (!take_bytes(given, arena, &bytes))
			return CONNECT_OTHER;
		return fine(value, VALUE_BINARY, bytes);
	}
	return fits_type(plain, given) ? CONNECT_FINE : CONNECT_OTHER;
}
