#ifndef WORKER_SOURCE_CONNECT_VALUE_H
#define WORKER_SOURCE_CONNECT_VALUE_H

#include "worker/change.h"

#include <yyjson.h>

/*
 * Values as Kafka Connect's JSON writes them, and their types from a schema block: logical types of
 * Connect (Decimal, Date, Time, Timestamp) and of Debezium (Date … ZonedTimestamp, Bits, Year, Enum,
 * EnumSet, Json, VariableScaleDecimal, geometry).
 */

/* The columns' types of a struct's schema, looked up by name; the order is most likely the same. */
struct connect_types {
	bool there; /* there is a schema and it has columns */
	yyjson_val *fields;
	yyjson_arr_iter next;
};
void connect_types_start(struct connect_types *types, yyjson_val *schema);
/* NULL: the schema doesn't have it. */
yyjson_val *connect_types_find(struct connect_types *types, struct str name);

enum connect_result {
	CONNECT_FINE,
	CONNECT_OTHER,	 /* the value isn't one of this type */
	CONNECT_RANGE,	 /* it is, but no column has such a time */
	CONNECT_TOO_DEEP /* nested deeper than JSON_NESTING_MAX */
};

/* The value by its type: text as MySQL reads it, a number as written, bytes (VALUE_BINARY).  Without a
 * type (NULL) as it is. */
enum connect_result connect_value(yyjson_val *type, yyjson_val *given, struct arena *arena,
    struct value *value);

#endif
