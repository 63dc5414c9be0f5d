#include "config/options.h"

#include "common/log.h"
#include "config/config.h"
#include "config/unit.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define AT(type, field) .offset = offsetof(struct type, field)
#define LIST(type, field, count) AT(type, field), .count_offset = offsetof(struct type, count)
#define RANGE(low, high) .min = (low), .max = (high)
/* Options that the documentation of later releases will name. */
#define LATER(parent, name) { (parent), (name), OPTION_LATER, .doc = NULL }
#define NOT_YET(parent, name, reason) \
	{ (parent), (name), OPTION_LATER, .doc = reason " is not supported yet" }

static const struct option_word truth[] = { { "true", true, false }, { "false", false, false },
	{ "yes", true, false }, { "no", false, false }, { "on", true, false },
	{ "off", false, false }, { NULL, 0, false } };
static const struct option_word on_off[] = { { "on", true, false }, { "off", false, false },
	{ "true", true, false }, { "false", false, false }, { NULL, 0, false } };
static const struct option_word evictions[] = { { "refuse", false, false },
	{ "allow", true, false }, { NULL, 0, false } };
static const struct option_word log_levels[] = { { "debug", LOG_DEBUG, false },
	{ "info", LOG_INFO, false }, { "warn", LOG_WARN, false }, { "error", LOG_ERROR, false },
	{ NULL, 0, false } };
static const struct option_word log_formats[] = { { "logfmt", LOG_LOGFMT, false },
	{ "json", LOG_JSON, false }, { NULL, 0, false } };
static const struct option_word formats[] = { { "fields", FORMAT_FIELDS, false },
	{ "json", FORMAT_JSON, false }, { "debezium", FORMAT_DEBEZIUM, false },
	{ "maxwell", FORMAT_MAXWELL, false }, { "canal", FORMAT_CANAL, false },
	{ "dms", FORMAT_DMS, false }, { NULL, 0, false } };
static const struct option_word trims[] = { { "never", false, false }, { "acked", true, false },
	{ NULL, 0, false } };
static const struct option_word snapshots[] = { { "apply", true, false },
	{ "ignore", false, false }, { NULL, 0, false } };
static const struct option_word tombstones[] = { { "ignore", false, false },
	{ "delete", true, false }, { NULL, 0, false } };
static const struct option_word truncates[] = { { "refuse", false, false },
	{ "allow", true, false }, { NULL, 0, false } };
static const struct option_word binaries[] = { { "base64", BINARY_BASE64, false },
	{ "hex", BINARY_HEX, false }, { NULL, 0, false } };
static const struct option_word times[] = { { "adaptive", TIMES_ADAPTIVE, false },
	{ "connect", TIMES_CONNECT, false }, { "microseconds", TIMES_MICROSECONDS, false },
	{ "nanoseconds", TIMES_NANOSECONDS, false }, { NULL, 0, false } };
static const struct option_word operations[] = { { "upsert", OPERATION_UPSERT, false },
	{ "update", OPERATION_UPDATE, false }, { "delete", OPERATION_DELETE, false },
	{ "incr", OPERATION_INCR, false }, { "invalidate", OPERATION_INVALIDATE, false },
	{ NULL, 0, false } };
static const struct option_word on_caches_lost[] = { { "alarm", ON_CACHE_LOST_ALARM, false },
	{ "flush", ON_CACHE_LOST_FLUSH, false }, { NULL, 0, false } };
static const struct option_word on_gaps[] = { { "continue", ON_GAP_CONTINUE, false },
	{ "halt", ON_GAP_HALT, false }, { NULL, 0, false } };
static const struct option_word on_poisons[] = { { "skip", ON_POISON_SKIP, false },
	{ "park", ON_POISON_PARK, false }, { "halt", ON_POISON_HALT, false }, { NULL, 0, false } };
static const struct option_word versions[] = { { "given", VERSION_GIVEN, false },
	{ "counter", VERSION_COUNTER, false }, { "clock", VERSION_CLOCK, false },
	{ NULL, 0, false } };
static const struct option_word modes[] = { { "delete", MODE_DELETE, false },
	{ "versioned", MODE_VERSIONED, false }, { "generation", MODE_GENERATION, false },
	{ "tag", MODE_TAG, false }, { "table", MODE_TABLE, false }, { "none", MODE_NONE, false },
	{ "scan", MODE_SCAN, false }, { "populate", MODE_POPULATE, false }, { NULL, 0, false } };
static const struct option_word populates[] = { { "existing", false, false },
	{ "always", true, false }, { NULL, 0, false } };
static const struct option_word values[] = { { "json", VALUE_AS_JSON, false },
	{ "hash", VALUE_AS_HASH, false }, { NULL, 0, false } };
static const struct option_word on_invalidates[] = { { "nothing", false, false },
	{ "reload", true, false }, { NULL, 0, false } };
static const struct option_word dependencies[] = {
	{ "redis", offsetof(struct config, ready_requires_redis), false },
	{ "mysql", offsetof(struct config, ready_requires_mysql), false },
	{ "cache", offsetof(struct config, ready_requires_cache), false },
	{ "kafka", offsetof(struct config, ready_requires_kafka), false }, { NULL, 0, false }
};

const struct option options[] = {
	{ "", "pool", OPTION_NAME, AT(config, pool), .fallback = "default", RANGE(1, 32),
	    .doc = "Name of this installation, a part of every lane's name; needed when one MySQL "
		   "serves several." },

	{ "", "redis", OPTION_SECTION, AT(config, redis), .shown = true,
	    .doc = "The Redis or Valkey that holds the streams: a url, or its parts." },
	{ "redis", "url", OPTION_REDIS_URL, .example = "\"redis://127.0.0.1:6379\"", .shown = true,
	    .doc = "redis://[user:password@]host[:port][/db] or redis+unix:///path[?db=0]; other "
		   "bytes as %XX, ${…} as they are." },
	{ "redis", "host", OPTION_HOST, AT(config_redis, host), .fallback = "127.0.0.1",
	    RANGE(1, 255), .doc = "Host name or address." },
	{ "redis", "port", OPTION_INT, AT(config_redis, port), .fallback = "6379", RANGE(1, 65535),
	    .doc = "TCP port." },
	{ "redis", "socket", OPTION_TEXT, AT(config_redis, socket),
	    .example = "/run/redis/redis.sock", RANGE(1, 107),
	    .doc = "Path of a Unix socket, instead of host and port." },
	{ "redis", "user", OPTION_TEXT, AT(config_redis, user), .example = "sluice", RANGE(1, 255),
	    .doc = "ACL user; without it the default user." },
	{ "redis", "password", OPTION_SECRET, AT(config_redis, password),
	    .example = "${file:/run/secrets/redis}", RANGE(0, 4096),
	    .doc = "Password; read again at each connect." },
	{ "redis", "db", OPTION_INT, AT(config_redis, db), .fallback = "0", RANGE(0, 9999),
	    .doc = "Database number." },
	{ "redis", "name", OPTION_NAME, AT(config_redis, name), .fallback = "redis", RANGE(1, 32),
	    .doc =
		"Name of the server, a part of every lane's name; changing it makes new lanes." },
	{ "redis", "connect_timeout", OPTION_DURATION, AT(config_redis, connect_timeout_ms),
	    .fallback = "2s", RANGE(50, 5 * MINUTE), .doc = "Longest wait for a connection." },
	{ "redis", "timeout", OPTION_DURATION, AT(config_redis, timeout_ms), .fallback = "5s",
	    RANGE(100, 5 * MINUTE), .doc = "Longest wait for a reply." },
	NOT_YET("redis", "tls", "TLS"),
	NOT_YET("redis", "sentinel", "Sentinel"),
	NOT_YET("redis", "sentinels", "Sentinel"),
	NOT_YET("redis", "cluster", "Cluster"),

	{ "", "kafka", OPTION_SECTION, AT(config, kafka), .shown = true,
	    .doc = "The Kafka that holds the topics; the consumer group is sluice-POOL." },
	{ "kafka", "brokers", OPTION_TEXT, AT(config_kafka, brokers),
	    .example = "\"127.0.0.1:9092\"", RANGE(1, 4096), .shown = true,
	    .doc = "Brokers to begin with: host:port, several with commas." },
	{ "kafka", "name", OPTION_NAME, AT(config_kafka, name), .fallback = "kafka", RANGE(1, 32),
	    .doc =
		"Name of the cluster, a part of every lane's name; changing it makes new lanes." },
	{ "kafka", "timeout", OPTION_DURATION, AT(config_kafka, timeout_ms), .fallback = "5s",
	    RANGE(100, 5 * MINUTE), .doc = "Longest wait for an answer about a topic." },
	{ "kafka", "settings", OPTION_SETTINGS, LIST(config_kafka, settings, setting_count),
	    .example = "{ security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-256, "
		       "sasl.username: sluice, sasl.password: \"${file:/run/secrets/kafka}\" }",
	    RANGE(0, 65535), .doc = "Any properties of librdkafka but those that sluice sets." },

	{ "", "cache", OPTION_SERVER, AT(config, cache),
	    .example = "{ url: \"redis://127.0.0.1:6380\" }",
	    .doc = "The server whose keys are invalidated, with the options of redis; without it "
		   "the same server and database." },

	{ "", "mysql", OPTION_SECTION, AT(config, mysql), .shown = true,
	    .doc = "The MySQL or MariaDB that is written to: a url, or its parts; only where a "
		   "source writes." },
	{ "mysql", "url", OPTION_MYSQL_URL,
	    .example = "\"mysql://app:${DB_PASSWORD}@127.0.0.1:3306/shop\"", .shown = true,
	    .doc = "mysql://user[:password]@host[:port]/database[?socket=/path]; other bytes as "
		   "%XX, ${…} as they are." },
	{ "mysql", "host", OPTION_HOST, AT(config_mysql, host), .fallback = "127.0.0.1",
	    RANGE(1, 255), .doc = "Host name or address." },
	{ "mysql", "port", OPTION_INT, AT(config_mysql, port), .fallback = "3306", RANGE(1, 65535),
	    .doc = "TCP port." },
	{ "mysql", "socket", OPTION_TEXT, AT(config_mysql, socket),
	    .example = "/run/mysqld/mysqld.sock", RANGE(1, 107),
	    .doc = "Path of a Unix socket, instead of host and port." },
	{ "mysql", "user", OPTION_TEXT, AT(config_mysql, user), .example = "app", RANGE(1, 255),
	    .doc = "Account; required, here or in the url." },
	{ "mysql", "password", OPTION_SECRET, AT(config_mysql, password),
	    .example = "${file:/run/secrets/mysql}", RANGE(0, 4096),
	    .doc = "Password; read again at each connect." },
	{ "mysql", "database", OPTION_TEXT, AT(config_mysql, database), .example = "shop",
	    RANGE(1, 64),
	    .doc = "Database of the tables and of our own; required, here or in the url." },
	{ "mysql", "connect_timeout", OPTION_DURATION, AT(config_mysql, connect_timeout_ms),
	    .fallback = "5s", RANGE(50, 5 * MINUTE), .doc = "Longest wait for a connection." },
	{ "mysql", "timeout", OPTION_DURATION, AT(config_mysql, timeout_ms), .fallback = "30s",
	    RANGE(SECOND, HOUR), .doc = "Longest wait for the result of one statement." },
	NOT_YET("mysql", "tls", "TLS"),
	NOT_YET("mysql", "ssl", "TLS"),

	{ "", "dead_letters", OPTION_SECTION, .shown = true, .doc = NULL },
	{ "dead_letters", "stream", OPTION_TEXT, AT(config, dead_stream),
	    .example = "\"sluice:default:dead\"", RANGE(1, 512),
	    .doc = "Stream of redis that holds the dead letters of sources with write: false; "
		   "without it sluice:POOL:dead.  It is never trimmed by sluice." },

	{ "dead_letters", "topic", OPTION_TEXT, AT(config, dead_topic),
	    .example = "\"sluice.default.dead\"", RANGE(1, 249),
	    .doc = "Topic of kafka instead of a stream; it has to be there, and should be "
		   "compacted." },

	{ "", "http", OPTION_SECTION, .shown = true, .doc = NULL },
	{ "http", "listen", OPTION_LISTEN, .fallback = "\"127.0.0.1:9180\"",
	    .doc = "Address for health, metrics and status: 127.0.0.1:9180, [::]:9180, :9180 (all "
		   "IPv4), port 0 for any free one, or off." },

	{ "", "sources", OPTION_SOURCES, .shown = true, .doc = "What is read." },
	{ "sources[]", "streams", OPTION_STREAMS, RANGE(1, 512), .example = "\"wb:users:{0..7}\"",
	    .shown = true,
	    .doc = "A stream or a list of them, each a lane; {0..7} makes eight lanes, {{ and }} "
		   "are literal braces, 1024 lanes at most." },
	{ "sources[]", "topics", OPTION_TOPICS, RANGE(1, 512),
	    .example = "[\"shop.shop.users\", \"^shop\\\\.shop\\\\.(orders|items)$\"]",
	    .doc = "Instead of streams: a Kafka topic or a list of them, each partition a lane; "
		   "what begins with ^ is an extended regular expression." },
	{ "sources[]", "table", OPTION_SOURCE_TABLE, AT(config_source, table), .example = "users",
	    RANGE(1, 64), .shown = true, .doc = "Table of the entries that carry no _table." },
	{ "sources[]", "tables", OPTION_SOURCE_TABLES, LIST(config_source, listed, table_count),
	    .example = "[users, orders]", RANGE(1, 129),
	    .doc = "All tables that the entries may name by _table.  Change events of db.t go to "
		   "the table listed as db.t, else to the one listed as t; those of other tables "
		   "are passed over." },
	{ "sources[]", "format", OPTION_WORD, AT(config_source, format), .fallback = "fields",
	    .words = formats,
	    .doc = "How an entry is written: flat fields, one JSON object or list of objects, or "
		   "the change events of Debezium, Maxwell, Canal or AWS DMS." },
	{ "sources[]", "field", OPTION_TEXT, AT(config_source, field), .example = "payload",
	    RANGE(1, 255),
	    .doc = "With format json and change events: the field that holds it; without it the "
		   "entry's only one." },
	{ "sources[]", "write", OPTION_BOOL, AT(config_source, write), .fallback = "true",
	    .words = truth,
	    .doc = "Write the changes to MySQL; false: they only invalidate cache keys, by a "
		   "consumer group, and where no source writes mysql isn't needed." },
	{ "sources[]", "trim", OPTION_BOOL, AT(config_source, trim_acked), .fallback = "never",
	    .words = trims,
	    .doc = "With write: false: trim the stream behind what every group has acknowledged, "
		   "or leave that to its producer (MAXLEN)." },
	{ "sources[]", "claim_after", OPTION_DURATION, AT(config_source, claim_after_ms),
	    .fallback = "30s", RANGE(SECOND, 24 * HOUR),
	    .doc = "With write: false: entries that another process has held so long without "
		   "acknowledging them are taken over." },
	{ "sources[]", "snapshot", OPTION_BOOL, AT(config_source, apply_snapshots),
	    .fallback = "apply", .words = snapshots,
	    .doc =
		"Change events: apply rows read by a snapshot or bootstrap, or ignore them; with "
		"write: false they are ignored unless this says otherwise." },
	{ "sources[]", "tombstones", OPTION_BOOL, AT(config_source, delete_tombstones),
	    .fallback = "ignore", .words = tombstones,
	    .doc = "Change events: delete where a key without a value is the only sign of a "
		   "deletion, as ExtractNewRecordState leaves it by default." },
	{ "sources[]", "truncate", OPTION_BOOL, AT(config_source, allow_truncate),
	    .fallback = "refuse", .words = truncates,
	    .doc = "Change events: where a table was truncated or dropped, delete all its rows, "
		   "if all its changes come by one lane; refuse makes it a dead letter." },
	{ "sources[]", "binary", OPTION_WORD, AT(config_source, binary), .fallback = "base64",
	    .words = binaries,
	    .doc = "Change events: how binary columns are written (binary.handling.mode)." },
	{ "sources[]", "times", OPTION_WORD, AT(config_source, times), .fallback = "adaptive",
	    .words = times,
	    .doc = "Format debezium without a schema block: its time.precision.mode." },
	{ "sources[]", "operations", OPTION_BITS, AT(config_source, operations),
	    .fallback = "[upsert, update, delete, incr, invalidate]", .words = operations,
	    .doc = "The operations that the entries may ask for." },
	{ "sources[]", "start", OPTION_START, AT(config_source, start), .fallback = "beginning",
	    .doc = "Where a lane that was never read begins: beginning, end, a stream id or an "
		   "offset." },
	{ "sources[]", "on_gap", OPTION_WORD, AT(config_source, on_gap), .fallback = "continue",
	    .words = on_gaps,
	    .doc = "What to do when entries were lost before they were read; either way it is an "
		   "alarm." },

	{ "", "tables", OPTION_TABLES, .shown = true,
	    .doc = "The tables that are written or whose keys are invalidated, each by its name." },
	{ "tables.*", "version", OPTION_VERSION, .example = "{ column: ver, kind: given }",
	    .doc = "The BIGINT column that orders changes, as a name (kind given) or as { column, "
		   "kind }." },
	{ "tables.*.version", "column", OPTION_TEXT, AT(config_table, version_column), RANGE(1, 64),
	    .doc = "The version's column." },
	{ "tables.*.version", "kind", OPTION_WORD, AT(config_table, version), .fallback = "given",
	    .words = versions,
	    .doc = "given: the producer's _version; counter and clock: stamped by sluice." },
	{ "tables.*", "invalidate", OPTION_TEMPLATES, LIST(config_table, templates, template_count),
	    .example = "[\"user:{id}\", { key: \"user:{id}:orders\", mode: delete }, { key: "
		       "\"name:{id}\", when: [name] }]",
	    .doc = "Cache keys of a row, invalidated after its commit: a list of texts or of "
		   "maps." },
	{ "tables.*.invalidate[]", "key", OPTION_TEXT, AT(config_template, written), RANGE(1, 512),
	    .doc = "The key, with columns in braces: of the primary key, or any other, for which "
		   "rows are read before and after the write." },
	{ "tables.*.invalidate[]", "mode", OPTION_WORD, AT(config_template, mode),
	    .fallback = "delete", .words = modes,
	    .doc =
		"delete removes the key; versioned tells the entry the row's version; generation "
		"raises the number in the key, table the one number of the table; tag "
		"invalidates the members of the set; scan deletes all keys of a pattern, "
		"\"user:{id}:*\"; populate writes the new row instead, as it is after the change; "
		"none leaves it." },
	{ "tables.*.invalidate[]", "when", OPTION_TEXTS, LIST(config_template, when, when_count),
	    .example = "[name, email]", RANGE(1, 64),
	    .doc = "Only when one of these columns (or one in the key) changed." },
	{ "tables.*.invalidate[]", "marker", OPTION_DURATION, AT(config_template, marker_ms),
	    .fallback = "1m", RANGE(SECOND, 24 * HOUR),
	    .doc = "versioned, populate: how long an invalidation is remembered where the key was "
		   "there." },
	{ "tables.*.invalidate[]", "marker_absent", OPTION_DURATION,
	    AT(config_template, marker_absent_ms), .fallback = "2s", RANGE(0, 24 * HOUR),
	    .doc = "versioned, populate: the same where the key was absent; 0 where all loaders "
		   "read the "
		   "primary, else more than a replica's delay.  populate: 2s or more, as the "
		   "other two." },
	{ "tables.*.invalidate[]", "quarantine", OPTION_DURATION,
	    AT(config_template, quarantine_ms), .fallback = "5s", RANGE(SECOND, HOUR),
	    .doc = "versioned, populate, tag: how long nothing is filled after an invalidation "
		   "without a "
		   "version." },
	{ "tables.*.invalidate[]", "ttl", OPTION_DURATION, AT(config_template, ttl_ms),
	    .fallback = "0", RANGE(0, 24 * HOUR),
	    .doc =
		"generation, table: how long the number lives after it was raised; more than "
		"the values under it; 0 for ever.  populate: how long the value does, give or take "
		"a tenth; required." },
	{ "tables.*.invalidate[]", "populate", OPTION_BOOL, AT(config_template, populate_always),
	    .fallback = "existing", .words = populates,
	    .doc = "populate: write only over a value or marker that is there, or always." },
	{ "tables.*", "columns", OPTION_PAIRS, LIST(config_table, columns, column_count),
	    .example = "{ mail: email }", RANGE(1, 64),
	    .doc = "Fields whose column has another name." },
	{ "tables.*", "ignore", OPTION_TEXTS, LIST(config_table, ignore, ignore_count),
	    .example = "[trace_id]", RANGE(1, 1024), .doc = "Fields that are not written." },
	{ "tables.*", "set", OPTION_PAIRS, LIST(config_table, set, set_count),
	    .example = "{ written_by: sluice }", RANGE(0, 65535),
	    .doc = "Columns that get a constant in every row written." },
	{ "tables.*", "types", OPTION_PAIRS, LIST(config_table, types, type_count),
	    .example = "{ id: bigint unsigned, token: binary(16) }", RANGE(1, 1024),
	    .doc = "Types of columns as CREATE TABLE has them, for sources with write: false whose "
		   "events carry none: only those that `invalidate` names are needed." },
	{ "tables.*", "key", OPTION_TEXTS, LIST(config_table, key, key_count), .example = "[id]",
	    RANGE(1, 64),
	    .doc = "Columns of the primary key, for sources with write: false whose events don't "
		   "name them." },
	{ "tables.*", "fold", OPTION_BOOL, AT(config_table, fold), .fallback = "on",
	    .words = on_off,
	    .doc = "Merge the changes of one key inside a batch; off where each one must be seen "
		   "(history tables, triggers)." },
	{ "tables.*", "on_poison", OPTION_WORD, AT(config_table, on_poison), .fallback = "skip",
	    .words = on_poisons,
	    .doc = "After an entry that can't be applied: skip it into the dead letters, park "
		   "(later changes of its keys follow it, to be applied in order after a replay), "
		   "or halt its lane." },
	{ "tables.*", "refresh", OPTION_REFRESH, AT(config_table, refresh),
	    .example = "{ ttl: 1h, threshold: 60 }",
	    .doc = "Load the most read keys of the table again before they expire." },
	{ "tables.*.refresh", "key", OPTION_TEXT, AT(config_refresh, key), RANGE(1, 512),
	    .doc = "Which template of invalidate, as written there; without it the first of mode "
		   "versioned, populate or delete.  It holds the whole primary key." },
	{ "tables.*.refresh", "ttl", OPTION_DURATION, AT(config_refresh, ttl_ms), .fallback = "1h",
	    RANGE(SECOND, 14 * 24 * HOUR),
	    .doc = "How long a value that was loaded lives, give or take 10 %." },
	{ "tables.*.refresh", "stale_for", OPTION_DURATION, AT(config_refresh, stale_for_ms),
	    .fallback = "0", RANGE(0, 24 * HOUR),
	    .doc =
		"versioned, populate: how long it may be served after that while somebody loads." },
	{ "tables.*.refresh", "value", OPTION_TEXTS, LIST(config_refresh, value, value_count),
	    .example = "[id, name]", RANGE(1, 64),
	    .doc = "The columns that the value holds; without it all, as mode populate wants it." },
	{ "tables.*.refresh", "format", OPTION_WORD, AT(config_refresh, format), .fallback = "json",
	    .words = values,
	    .doc = "json: one object; hash: a Redis hash of the columns (mode delete only)." },
	{ "tables.*.refresh", "load", OPTION_TEXT, AT(config_refresh, load),
	    .example = "\"SELECT id, name FROM users WHERE id IN (:keys)\"", RANGE(1, 8192),
	    .doc = "The query that loads many keys, its columns those of the primary key and of "
		   "the value (and the version's); without it the table's rows by primary key." },
	{ "tables.*.refresh", "warm", OPTION_TEXT, AT(config_refresh, warm),
	    .example = "\"SELECT id FROM users WHERE views > 1000\"", RANGE(1, 8192),
	    .doc = "A query for primary keys that count as popular; those of mode versioned or "
		   "populate are loaded where they are absent." },
	{ "tables.*.refresh", "warm_every", OPTION_DURATION, AT(config_refresh, warm_every_ms),
	    .fallback = "10m", RANGE(SECOND, 24 * HOUR),
	    .doc = "How often that is asked, at start for the first time." },
	{ "tables.*.refresh", "top", OPTION_INT, AT(config_refresh, top), .fallback = "100",
	    RANGE(1, 20000),
	    .doc = "At most so many keys are popular; ten counters are held for each." },
	{ "tables.*.refresh", "threshold", OPTION_COUNT, AT(config_refresh, threshold),
	    .fallback = "60", RANGE(0, 1000000000),
	    .doc = "Reads a minute from which a key is popular." },
	{ "tables.*.refresh", "stale_max", OPTION_DURATION, AT(config_refresh, stale_max_ms),
	    .fallback = "5m", RANGE(0, 24 * HOUR),
	    .doc = "How long popular values are kept over their time while MySQL can't be read." },
	{ "tables.*.refresh", "on_invalidate", OPTION_BOOL, AT(config_refresh, on_invalidate),
	    .fallback = "nothing", .words = on_invalidates,
	    .doc = "versioned, populate: reload loads a popular key again as soon as it was "
		   "invalidated." },
	LATER("tables.*", "when"),
	LATER("tables.*", "ttl"),
	LATER("tables.*", "truncate"),
	LATER("tables.*", "announce"),
	LATER("tables.*", "stale_for"),
	LATER("tables.*.invalidate[]", "stale_for"),
	LATER("tables.*.invalidate[]", "tag"),

	{ "", "refresh", OPTION_SECTION, AT(config, refresh), .shown = true,
	    .doc =
		"For all tables with refresh: how reads are counted and what loading may cost." },
	{ "refresh", "reads", OPTION_TEXT, AT(config_refreshing, reads), .example = "reads",
	    RANGE(1, 512),
	    .doc = "A stream on the cache server into which the application puts the keys it "
		   "reads, XADD reads MAXLEN ~ 10000 * k user:1; trimming it is up to the "
		   "application." },
	{ "refresh", "sample", OPTION_INT, AT(config_refreshing, sample), .fallback = "1",
	    RANGE(1, 1000000), .doc = "Reads that one entry of that stream stands for." },
	{ "refresh", "sampling", OPTION_BOOL, AT(config_refreshing, sampling), .fallback = "on",
	    .words = on_off,
	    .doc = "Listen to what sluice_get reports, where it is called with a sample." },
	{ "refresh", "half_life", OPTION_DURATION, AT(config_refreshing, half_life_ms),
	    .fallback = "1m", RANGE(SECOND, 24 * HOUR),
	    .doc = "A key's count of reads loses half of itself in this time." },
	{ "refresh", "max_loads_per_second", OPTION_COUNT,
	    AT(config_refreshing, max_loads_per_second), .fallback = "1000", RANGE(1, 1000000),
	    .doc = "Keys that the process loads in a second." },
	{ "refresh", "slow_load", OPTION_DURATION, AT(config_refreshing, slow_load_ms),
	    .fallback = "200ms", RANGE(1, MINUTE),
	    .doc = "A SELECT that takes longer halves the loads, one that doesn't lets them grow "
		   "again." },
	{ "refresh", "failures", OPTION_INT, AT(config_refreshing, failures), .fallback = "5",
	    RANGE(1, 1000), .doc = "So many failed SELECTs in a row open the breaker of loads." },
	{ "refresh", "open_for", OPTION_DURATION, AT(config_refreshing, open_ms), .fallback = "1m",
	    RANGE(100, HOUR),
	    .doc = "How long it stays open before the next try, give or take 25 %." },

	{ "", "verify", OPTION_SECTION, AT(config, verify), .shown = true,
	    .doc = "Looks at keys again after their invalidation and compares them with their "
		   "row: modes versioned and populate." },
	{ "verify", "sample", OPTION_SAMPLE, AT(config_verify, sample), .fallback = "off",
	    RANGE(1, 32), .doc = "Which of them: 1/1 all, 1/1000 one in a thousand." },
	{ "verify", "rate", OPTION_COUNT, AT(config_verify, rate), .fallback = "200",
	    RANGE(1, 1000000),
	    .doc = "Keys that the process looks at in a second; each one three times, 1 s, 1 min "
		   "and 5 min after." },
	{ "verify", "waiting", OPTION_INT, AT(config_verify, waiting), .fallback = "10000",
	    RANGE(100, 1000000),
	    .doc = "Keys that wait for their next look, of 0.4 KB each; more of them are not "
		   "looked at, and counted." },

	{ "", "workers", OPTION_INT, AT(config, workers), .fallback = "1", RANGE(1, 64),
	    .doc = "Threads, each with its lanes, its batch and its MySQL connection." },
	{ "", "memory", OPTION_SIZE, AT(config, memory_bytes), .fallback = "32MiB",
	    RANGE(8 * MIB, 64 * GIB), .doc = "What the process may hold and buffer." },
	{ "", "entry_max", OPTION_SIZE, AT(config, entry_max_bytes), .fallback = "16MiB",
	    RANGE(KIB, 512 * MIB),
	    .doc = "Largest entry; a larger one halts its lane.  At most half of memory, the "
		   "default included." },
	{ "", "batch", OPTION_SECTION, .shown = true,
	    .doc = "A batch is one transaction; the first limit that is reached seals it." },
	{ "batch", "max_rows", OPTION_INT, AT(config, batch_max_rows), .fallback = "2000",
	    RANGE(1, 100000), .doc = "Changes." },
	{ "batch", "max_bytes", OPTION_SIZE, AT(config, batch_max_bytes), .fallback = "4MiB",
	    RANGE(4 * KIB, 256 * MIB),
	    .doc = "Bytes, at most a quarter of memory, the default included." },
	{ "batch", "max_delay", OPTION_DURATION, AT(config, batch_max_delay_ms), .fallback = "20ms",
	    RANGE(0, 10 * SECOND), .doc = "Age of its first change." },
	{ "", "lock_wait", OPTION_DURATION, AT(config, lock_wait_ms), .fallback = "2s",
	    RANGE(SECOND, MINUTE),
	    .doc = "How long a batch waits for a row that another session has locked." },
	{ "", "foreign_key_wait", OPTION_DURATION, AT(config, foreign_key_wait_ms),
	    .fallback = "30s", RANGE(0, HOUR),
	    .doc = "How long a child row waits for a parent from another lane." },
	{ "", "max_rows_per_second", OPTION_COUNT, AT(config, max_rows_per_second), .fallback = "0",
	    RANGE(0, 100000000), .doc = "Limit of the whole process; 0 is none." },
	{ "", "poison_rate", OPTION_INT, AT(config, poison_rate), .fallback = "200", RANGE(0, 1000),
	    .doc = "More dead letters than this among a lane's last 1,000 entries halt it; 0 never "
		   "does." },
	{ "", "max_parked", OPTION_INT, AT(config, max_parked), .fallback = "10000",
	    RANGE(1, 1000000),
	    .doc = "With on_poison: park, how many keys of a lane may wait behind dead letters; "
		   "one more halts it." },
	{ "", "invalidate_lag_max", OPTION_SIZE, AT(config, invalidate_lag_max_bytes),
	    .fallback = "1GiB", RANGE(MIB, 1024 * GIB),
	    .doc = "Stream bytes that may wait for a cache that is away before rows stop too." },
	{ "", "on_cache_lost", OPTION_WORD, AT(config, on_cache_lost), .fallback = "alarm",
	    .words = on_caches_lost,
	    .doc =
		"Where keys may be old and can't be invalidated one by one any more: an alarm, or "
		"empty the cache's database (FLUSHDB), which must be no source's; then rows don't "
		"stop beyond invalidate_lag_max either." },
	{ "", "markers_max", OPTION_COUNT, AT(config, markers_max), .fallback = "1000000",
	    RANGE(0, 1000000000),
	    .doc = "Markers of mode versioned that a worker has at a time on keys that are not in "
		   "the cache, of 192 bytes each; beyond it none is left there.  0 is no limit." },
	{ "", "announce", OPTION_SECTION, .shown = true,
	    .doc =
		"Tells process-local caches which keys were invalidated; a channel or a stream of "
		"the cache's server, one of the two." },
	{ "announce", "channel", OPTION_TEXT, AT(config, announce_channel),
	    .example = "invalidated", RANGE(1, 255), .shown = true, .doc = "Pub/Sub channel." },
	{ "announce", "stream", OPTION_TEXT, AT(config, announce_stream), .example = "invalidated",
	    RANGE(1, 255), .doc = "Stream, instead of a channel." },
	{ "announce", "max_len", OPTION_INT, AT(config, announce_max_len), .fallback = "100000",
	    RANGE(1, 100000000), .doc = "Entries that the stream keeps, about." },
	{ "", "scan", OPTION_SECTION, .shown = true,
	    .doc = "How keys are looked for with mode scan." },
	{ "scan", "step", OPTION_INT, AT(config, scan_step), .fallback = "500", RANGE(10, 10000),
	    .doc = "Keys looked at by one SCAN." },
	{ "scan", "max_keys_per_second", OPTION_COUNT, AT(config, scan_max_keys_per_second),
	    .fallback = "100000", RANGE(0, 100000000),
	    .doc = "Keys looked at, limit of the whole process; 0 is none." },
	{ "scan", "max_patterns", OPTION_INT, AT(config, scan_max_patterns), .fallback = "256",
	    RANGE(1, 100000),
	    .doc =
		"Patterns that may wait in a worker; with more it doesn't read their lanes until "
		"a pass is through." },
	{ "", "keep", OPTION_DURATION, AT(config, keep_ms), .fallback = "0",
	    RANGE(0, 14 * 24 * HOUR),
	    .doc =
		"How long entries stay in their stream after they are written and invalidated, so "
		"that a MySQL failover that loses commits loses no change: longer than the "
		"replica that may be promoted lags behind." },
	{ "", "keep_bytes", OPTION_SIZE, AT(config, keep_bytes), .fallback = "0",
	    RANGE(0, 1024 * GIB),
	    .doc =
		"Memory of a stream above which kept entries go early, the oldest first; 0 is no "
		"limit." },
	{ "", "wait_replicas", OPTION_INT, AT(config, wait_replicas), .fallback = "0", RANGE(0, 16),
	    .doc = "Replicas of Redis that must have what was read before it is written to MySQL; "
		   "with fewer the batch waits." },
	{ "", "shutdown_timeout", OPTION_DURATION, AT(config, shutdown_timeout_ms),
	    .fallback = "20s", RANGE(0, HOUR),
	    .doc = "How long SIGTERM may take to finish what is begun." },
	{ "", "eviction", OPTION_BOOL, AT(config, eviction_allowed), .fallback = "refuse",
	    .words = evictions,
	    .doc = "Whether to run on a Redis whose eviction policy may delete streams." },
	{ "", "show_keys", OPTION_BOOL, AT(config, show_keys), .fallback = "false", .words = truth,
	    .doc = "Show cache keys in logs and status instead of their hashes; they carry row "
		   "values." },
	{ "", "create_tables", OPTION_BOOL, AT(config, create_tables), .fallback = "true",
	    .words = truth,
	    .doc = "Create our own tables (sluice_…) at start where they are missing." },
	{ "", "ready_requires", OPTION_FLAGS, .fallback = "[]", .words = dependencies,
	    .doc = "Servers that must be reachable for /readyz: redis, mysql, cache, kafka." },
	{ "", "log", OPTION_SECTION, .shown = true, .doc = NULL },
	{ "log", "level", OPTION_WORD, AT(config, log_level), .fallback = "info",
	    .words = log_levels, .doc = "The least that is logged." },
	{ "log", "format", OPTION_WORD, AT(config, log_format), .fallback = "logfmt",
	    .words = log_formats, .doc = "How a line is written." },
	LATER("", "outbox"),
	LATER("", "quarantine"),
	LATER("", "stale_for"),
	LATER("", "marker"),
	LATER("", "marker_absent"),
	NOT_YET("", "sentinel", "Sentinel"),
	NOT_YET("", "cluster", "Cluster"),
	NOT_YET("", "tls", "TLS"),
	{ .parent = NULL },
};

_Static_assert(sizeof(options) / sizeof(options[0]) <= OPTIONS_MAX, "raise OPTIONS_MAX");
