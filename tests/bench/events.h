#ifndef TESTS_BENCH_EVENTS_H
#define TESTS_BENCH_EVENTS_H

#include "common/buf.h"
#include "tests/bench/rows.h"

/*
 * The rows of rows.h as Debezium's create events: about 650 bytes as its JSON converter writes them
 * without schemas, 3 kB with.  Header only: each file of this directory is a program.
 */

/* The fields of a row, and around it. */
#define EVENT_FIELD(type, optional, name) \
	"{\"type\":\"" type "\",\"optional\":" optional ",\"field\":\"" name "\"}"
#define EVENT_ROW_FIELDS                                                                        \
	EVENT_FIELD("int64", "false", "id")                                                     \
	"," EVENT_FIELD("string", "true", "name") "," EVENT_FIELD("string", "true",             \
	    "email") "," EVENT_FIELD("string", "true", "city") "," EVENT_FIELD("int32", "true", \
	    "score")
#define EVENT_IMAGE(name)                                                                    \
	"{\"type\":\"struct\",\"fields\":[" EVENT_ROW_FIELDS "],\"optional\":true,\"name\":" \
	"\"shop.bench.t.Value\",\"field\":\"" name "\"}"

static const char event_schema[] = "{\"schema\":{\"type\":\"struct\",\"fields\":[" EVENT_IMAGE(
    "before") "," EVENT_IMAGE("after") ",{\"type\":\"struct\",\"fields\":[" EVENT_FIELD("string",
    "false", "version") "," EVENT_FIELD("string", "false", "connector") "," EVENT_FIELD("string",
    "false", "name") "," EVENT_FIELD("int64", "false",
    "ts_ms") ","
	     "{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\","
	     "\"version\":1,"
	     "\"parameters\":{\"allowed\":\"true,last,false,incremental\"},\"default\":\"false\","
	     "\"field\":\"snapshot\"}," EVENT_FIELD("string", "false",
		 "db") "," EVENT_FIELD("string", "true", "sequence") "," EVENT_FIELD("int64",
		 "true", "ts_us") "," EVENT_FIELD("int64", "true",
		 "ts_ns") "," EVENT_FIELD("string", "true", "table") "," EVENT_FIELD("int64",
		 "false", "server_id") "," EVENT_FIELD("string", "true",
		 "gtid") "," EVENT_FIELD("string", "false", "file") "," EVENT_FIELD("int64",
		 "false", "pos") "," EVENT_FIELD("int32", "false", "row") "," EVENT_FIELD("int64",
		 "true", "thread") "," EVENT_FIELD("string", "true",
		 "query") "],\"optional\":false,\"name\":\"io.debezium.connector.mariadb.Source\","
			  "\"version\":1,"
			  "\"field\":\"source\"},{\"type\":\"struct\",\"fields\":[" EVENT_FIELD(
			      "string", "false", "id") "," EVENT_FIELD("int64", "false",
			      "total_order") "," EVENT_FIELD("int64", "false",
			      "data_collection_order") "],\"optional\":true,\"name\":\"event."
						       "block\",\"version\":1,\"field\":"
						       "\"transaction\"}," EVENT_FIELD("string",
							   "false",
							   "op") "," EVENT_FIELD("int64", "true",
							   "ts_ms") "," EVENT_FIELD("int64", "true",
							   "ts_us") "," EVENT_FIELD("int64", "true",
							   "ts_ns") "],\"optional\":false,\"name\":"
								    "\"shop.bench.t.Envelope\","
								    "\"version\":2},\"payload\":";

/* Event n; buf is emptied first.  The text stays buf's. */
static inline struct str
event_make(const struct rows *rows, uint64_t n, bool has_schema, struct buf *buf)
{
	struct row row;

	row_make(rows, n, &row);
	buf_reset(buf);
	if (has_schema)
		buf_add(buf, event_schema, sizeof(event_schema) - 1);
	buf_printf(buf, "{\"before\":null,\"after\":{\"id\":%llu", (unsigned long long)row.id);
	for (unsigned i = 0; i < row.count; i++) {
		const struct row_column *column = &row.columns[i];

		buf_printf(buf, column->is_number ? ",\"%s\":" : ",\"%s\":\"", column->name);
		buf_add(buf, column->value.data, column->value.len);
		if (!column->is_number)
			buf_add_char(buf, '"');
	}
	buf_printf(buf,
	    "},\"source\":{\"version\":\"3.5.0.Final\",\"connector\":\"mariadb\",\"name\":\"shop\","
	    "\"ts_ms\":1782345678000,\"snapshot\":\"false\",\"db\":\"bench\",\"sequence\":null,"
	    "\"ts_us\":1782345678000000,\"ts_ns\":1782345678000000000,\"table\":\"t\","
	    "\"server_id\":184054,\"gtid\":\"0-1-%llu\",\"file\":\"binlog.000003\",\"pos\":%llu,"
	    "\"row\":0,\"thread\":null,\"query\":null},\"transaction\":{\"id\":\"file=binlog."
	    "000003,pos=4711\",\"total_order\":1,"
	    "\"data_collection_order\":1},\"op\":\"c\","
	    "\"ts_ms\":1782345678412,\"ts_us\":1782345678412345,\"ts_ns\":1782345678412345678}",
	    (unsigned long long)n, (unsigned long long)(1000 + 512 * n));
	if (has_schema)
		buf_add_char(buf, '}');
	return (struct str){ buf->data, buf->len };
}

#endif
