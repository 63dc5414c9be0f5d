#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The configuration: one YAML file, read once at start, immutable afterwards and shared by all
 * threads.  config/options.c holds the one table of options; parsing, defaults, ranges, the example
 * file (config/sluice.example.yaml), `sluice config` and the README's table all come from it.
 *
 * ${VAR}, ${VAR:-default}, ${file:/path} and $$ are replaced inside scalars only, after parsing, so
 * that no value can add a key.  A mistake is reported with file:line:column, what was found and what
 * was meant; all mistakes are reported, not the first.
 *
 * Strings are owned by the struct config.  NULL means "not set" unless said otherwise.
 */

/* A scalar that may hold a secret: kept as written, and expanded anew at each use, so that a changed
 * ${file:} is seen. */
struct config_secret {
	const char *written; /* NULL: none */
};

struct config_redis {
	const char *name; /* default "redis" */
	const char *host;
	int port;
	const char *socket; /* redis+unix or unix:// URL; NULL: host and port */
	const char *user;
	struct config_secret password;
	int db;
	int connect_timeout_ms, timeout_ms;
};

/* A property of librdkafka, as written in the file. */
struct config_setting {
	const char *name, *value;
	int line, column;
};

struct config_kafka {
	const char *name; /* default "kafka" */
	const char *brokers;
	int timeout_ms;
	struct config_setting *settings;
	size_t setting_count;
};

struct config_mysql {
	const char *host;
	int port;
	const char *socket;
	const char *user;
	struct config_secret password;
	const char *database;
	int connect_timeout_ms;
	int timeout_ms;
};

enum config_format {
	FORMAT_FIELDS,
	FORMAT_JSON,
	FORMAT_DEBEZIUM, /* this one and those below: change events */
	FORMAT_MAXWELL,
	FORMAT_CANAL,
	FORMAT_DMS
};
/* How change events write binary columns. */
enum config_binary { BINARY_BASE64, BINARY_HEX };
/* Debezium's time.precision.mode, which only events without a schema block need. */
enum config_times { TIMES_ADAPTIVE, TIMES_CONNECT, TIMES_MICROSECONDS, TIMES_NANOSECONDS };

/* Bits of `operations:` */
enum config_operation {
	OPERATION_UPSERT = 1,
	OPERATION_UPDATE = 2,
	OPERATION_DELETE = 4,
	OPERATION_INCR = 8,
	OPERATION_INVALIDATE = 16,
	OPERATION_ALL = 31
};

enum config_on_cache_lost { ON_CACHE_LOST_ALARM, ON_CACHE_LOST_FLUSH };
enum config_on_gap { ON_GAP_CONTINUE, ON_GAP_HALT };
enum config_on_poison { ON_POISON_SKIP, ON_POISON_HALT, ON_POISON_PARK };

struct config_source {
	const char *written;   /* "wb:users:{0..7}", for messages; several are joined by ", " */
	const char **patterns; /* what `streams:` lists, ranges unexpanded */
	size_t pattern_count;
	const char **streams; /* expanded; braces resolved */
	size_t stream_count;
	bool ranged; /* written with {a..b} */
	const char *
	    *topics; /* Kafka's, instead of streams: names, and patterns that begin with ^ */
	size_t topic_count;
	enum config_format format;
	const char *field;   /* json and change events: which field; NULL: the entry's only one */
	const char *table;   /* for entries without _table; NULL: _table is required */
	const char **tables; /* all that its entries may name, `table` included */
	const char **listed; /* the same as written: with change events also "db.table" */
	size_t table_count;
	unsigned operations; /* bits */
	const char *start;   /* "beginning", "end", a stream id or an offset */
	enum config_on_gap on_gap;
	/* of change events */
	bool write;	      /* false: its changes only derive cache keys; also of other formats */
	bool trim_acked;      /* not write; trim: acked */
	int claim_after_ms;   /* not write: what a consumer holds so long another one takes over */
	bool apply_snapshots; /* snapshot: apply */
	bool delete_tombstones; /* tombstones: delete */
	bool allow_truncate;	/* truncate: allow */
	enum config_binary binary;
	enum config_times times;
	bool has_keys;	   /* a table of it has templates */
	bool wants_places; /* not write: a table of it is_bounded, so places in the log order it */
	int line, column;  /* where it stands in the file */
};

enum config_version { VERSION_NONE, VERSION_GIVEN, VERSION_COUNTER, VERSION_CLOCK };
enum config_mode {
	MODE_DELETE,
	MODE_VERSIONED,
	MODE_GENERATION,
	MODE_TAG,
	MODE_TABLE,
	MODE_SCAN,
	MODE_POPULATE,
	MODE_NONE
};

/* Do its keys know the row's version, so that what they hold can be compared with it? */
static inline bool
mode_is_versioned(enum config_mode mode)
{
	return mode == MODE_VERSIONED || mode == MODE_POPULATE;
}

struct config_template {
	const char *written; /* "user:{id}" */
	enum config_mode mode;
	const char **when; /* only when one of these columns changed; none: always */
	size_t when_count;
	int line, column;
	int marker_ms, marker_absent_ms, quarantine_ms; /* versioned, tag */
	int ttl_ms;	      /* generation, table, populate; 0: for ever */
	bool populate_always; /* also where nobody has read the row */
};

struct config_pair {
	const char *name, *value;
};

/* How the popular keys of a table are loaded again before they expire. */
enum config_value { VALUE_AS_JSON, VALUE_AS_HASH };
struct config_refresh {
	bool on; /* the table has `refresh` */
	const char
	    *key; /* the template as written under `invalidate`; NULL: the first usable one */
	const struct config_template *template; /* that one, found by validation */
	int ttl_ms;
	int stale_for_ms;
	const char **value; /* columns; none: all that the row or `load` has */
	size_t value_count;
	enum config_value format;
	const char *load; /* a SELECT with (:keys); NULL: by primary key */
	const char *warm; /* a SELECT of primary keys; NULL: none */
	int warm_every_ms;
	int top;
	int64_t threshold; /* reads a minute */
	int stale_max_ms;
	bool on_invalidate; /* on_invalidate: reload */
	int line, column;
};

/* The same for all tables. */
struct config_refreshing {
	const char *reads; /* the stream of reads in the cache; NULL: none */
	int sample;	   /* reads that an entry of it stands for */
	bool sampling;	   /* listen to sluice_get */
	int half_life_ms;
	int64_t max_loads_per_second;
	int slow_load_ms;
	int failures, open_ms; /* of the breaker */
};

/* Looking again at what was invalidated. */
struct config_verify {
	int64_t sample; /* one key in so many; 0: none */
	int64_t rate;	/* keys looked at in a second */
	int waiting;	/* keys that may wait for their next look */
};

struct config_table {
	const char *name;
	enum config_version version;
	const char *version_column; /* NULL with VERSION_NONE */
	struct config_template *templates;
	size_t template_count;
	struct config_pair *columns; /* field -> column */
	size_t column_count;
	const char **ignore; /* fields */
	size_t ignore_count;
	struct config_pair *set; /* column -> constant text */
	size_t set_count;
	struct config_pair *types; /* column -> type, where nobody else tells it */
	size_t type_count;
	const char **key; /* columns of the primary key, the same */
	size_t key_count;
	bool fold;
	enum config_on_poison on_poison;
	struct config_refresh refresh;
	size_t lanes;	 /* that may bring changes that are written */
	bool has_images; /* all that writes it are events: templates may use any column */
	bool written;	 /* by some source */
	int line, column;
};

/* Of the pool and a stream: the key beside it that says which stream it is. */
#define IDENTITY_KEY "sluice:%s:id:%s"

struct config {
	const char *file;
	const char *pool;  /* "default" */
	const char *group; /* "sluice-" and the pool: our consumers' on Redis and Kafka */
	struct config_redis redis;
	struct config_redis cache; /* a copy of redis unless `cache:` is given */
	bool cache_is_redis;	   /* same server and database as redis */
	struct config_mysql mysql;
	struct config_kafka kafka;
	bool has_mysql; /* false: no source writes */
	bool has_redis; /* false: there are no streams */
	/* home of the dead letters of lanes that don't write: one of them, the other is NULL */
	const char *dead_stream, *dead_topic;

	const char *http_host; /* "127.0.0.1", "::", … ; NULL: no HTTP (listen: "off") */
	int http_port;	       /* 0: any free one */

	struct config_source *sources;
	size_t source_count;
	struct config_table *tables;
	size_t table_count;

	struct config_refreshing refresh;
	struct config_verify verify;
	int workers;
	int64_t memory_bytes;
	int64_t entry_max_bytes;
	int batch_max_rows;
	int64_t batch_max_bytes;
	int batch_max_delay_ms;
	int lock_wait_ms;
	int foreign_key_wait_ms;
	int64_t max_rows_per_second; /* 0: no limit */
	int poison_rate; /* dead letters among a lane's last 1,000 entries; 0: never halt */
	int max_parked;	 /* keys of a lane that wait behind dead letters */
	int64_t invalidate_lag_max_bytes;
	enum config_on_cache_lost on_cache_lost;
	int64_t markers_max; /* on absent keys, of a worker; 0: no limit */
	const char *announce_channel, *announce_stream; /* NULL, NULL: nothing is announced */
	int announce_max_len;
	int scan_step;			  /* keys of one SCAN */
	int64_t scan_max_keys_per_second; /* of the process; 0: no limit */
	int scan_max_patterns;	 /* that wait in a worker before it stops reading their lanes */
	int keep_ms;		 /* entries stay so long in their stream behind `done` */
	int64_t keep_bytes;	 /* and a stream at most so large for it; 0: no limit */
	int wait_replicas;	 /* of Redis, before a batch is written; 0: none */
	int shutdown_timeout_ms; /* SIGTERM: how long to finish */
	bool eviction_allowed;	 /* eviction: allow */
	bool show_keys;
	bool create_tables; /* our own tables */
	bool ready_requires_redis, ready_requires_mysql, ready_requires_cache, ready_requires_kafka;
	int log_level;	/* enum log_level */
	int log_format; /* enum log_format */

	void *owned; /* config.c's: all memory of the above */
};

/* One mistake (or warning), in the form `file:line:column: sentence`. */
struct config_problem {
	int line, column;
	bool warning;
	const char *text;
};

/*
 * Read and validate.  On success 0 and *config is filled; problems may still hold warnings.  On
 * mistakes -1; problems holds all of them in file order.  Both must be deinited in either case.
 */
struct config_problems {
	struct config_problem *list;
	size_t count;
	void *owned;
};
int config_load(struct config *config, const char *file, struct config_problems *problems);
/* The same from memory; `file` is only for messages. */
int config_parse(struct config *config, const char *file, struct str text,
    struct config_problems *problems);
void config_deinit(struct config *config);
void config_problems_deinit(struct config_problems *problems);

/* The effective configuration as YAML that config_load would read back, secrets as ***. */
void config_print(const struct config *config, struct buf *out);
/* The commented example file, and the README's table, from the options table. */
void config_print_example(struct buf *out);
void config_print_readme_table(struct buf *out);

/* Expand a secret now (reading ${file:} again).  NULL when none or unreadable, which is logged; the
 * returned text belongs to `out`.  Usable as the password function of redis_options and sql_options. */
const char *config_secret(const struct config_secret *secret, struct buf *out);

/* Are there keys to invalidate? */
bool config_has_templates(const struct config *config);
/* Has a template this mode? */
bool config_has_mode(const struct config *config, enum config_mode mode);
/* Is any table's `refresh` set? */
bool config_refreshes(const struct config *config);

/* As it is written, "versioned". */
const char *config_mode_name(enum config_mode mode);

/* Has it entries of mode versioned, but no version?  Then a reader can't say how new its value is: what
 * it may still get is bounded, not race-free. */
bool config_is_bounded(const struct config_table *table);

/* Does a template need the function library? */
bool config_needs_functions(const struct config *config);

/* The configured table of that name, or NULL. */
const struct config_table *config_table(const struct config *config, struct str name);

/* Those of the sources that write, or of those that don't. */
size_t config_lanes_of_kind(const struct config *config, bool write);

static inline bool
config_has_events(const struct config_source *source)
{
	return source->format >= FORMAT_DEBEZIUM;
}

/* Do its lanes come from Kafka? */
static inline bool
config_has_topics(const struct config_source *source)
{
	return source->topic_count > 0;
}

/* Has the configuration sources of streams, or of topics?  Each kind has workers of its own. */
bool config_reads_streams(const struct config *config);
bool config_reads_topics(const struct config *config);
/* ... of topics that are written, or that only invalidate? */
bool config_reads_topics_to(const struct config *config, bool write);
/* Is some source written to MySQL? */
bool config_writes(const struct config *config);
/* Does some source only invalidate? */
bool config_invalidates(const struct config *config);
/* Do such lanes keep their dead letters in a topic? */
bool config_keeps_in_topic(const struct config *config);
/* The server that holds the orders of `sluice lane` for them: redis, or the cache where there is none. */
const struct config_redis *config_orders_server(const struct config *config);
/* All worker threads that there can be. */
int config_worker_count(const struct config *config);
/* The source that a topic belongs to: the one that names it, else the first whose pattern fits; NULL. */
const struct config_source *config_source_of_topic(const struct config *config, const char *topic);
/* Does the value of this property stay secret? */
bool config_setting_is_secret(const char *name);

/* All lanes that are known from the configuration: stream i of source s.  The lane's name is pool/source/stream, source = redis.name. */
size_t config_lane_count(const struct config *config);

#endif
