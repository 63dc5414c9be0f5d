#ifndef WORKER_CHANGE_H
#define WORKER_CHANGE_H

#include "common/arena.h"
#include "common/number.h"
#include "common/str.h"
#include "worker/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Entries and the changes they hold.  An entry is what a source delivers; a format decodes it into
 * changes (names and values); resolve (worker/store/resolve.h) turns names into columns of a table
 * and checks the values; fold (worker/fold.h) merges the changes of a key.
 *
 * All of it lives in the arena of the delivery it came in or of the batch that holds it, and dies
 * with the batch.  Thread: its worker's.
 */
struct lane;
struct table;
struct shape;
struct letter;

enum value_kind {
	VALUE_NULL,
	VALUE_TEXT, /* decoded: text as MySQL reads it.  resolved: 'quoted' utf8mb4 */
	VALUE_NUMBER, /* decoded: a JSON number as written.  resolved: a checked numeric literal, bare */
	VALUE_BOOL,  /* decoded only: "true" or "false" from JSON */
	VALUE_JSON,  /* decoded only: an object or list of a JSON entry, as JSON text */
	VALUE_BINARY /* decoded: bytes, known to be such.  resolved: _binary'bytes' */
};

/* Who wrote a change's values, and so what their kinds leave open until the column is known; see
 * worker/store/column_event.h. */
enum change_origin {
	ORIGIN_APP,
	ORIGIN_TYPED,	/* Debezium, types known */
	ORIGIN_UNTYPED, /* Debezium without a schema block */
	ORIGIN_MAXWELL,
	ORIGIN_CANAL,
	ORIGIN_DMS
};

struct value {
	struct str text;
	enum value_kind kind;
};

struct field {
	struct str name;
	struct value value;
};

enum change_op { CHANGE_UPSERT, CHANGE_UPDATE, CHANGE_DELETE, CHANGE_INCR, CHANGE_INVALIDATE };
const char *change_op_name(enum change_op op);

/* Is the template (its place) among those of which a change left everything as it was? */
static inline bool
change_left(uint64_t unchanged, size_t template)
{
	return template <64 && (unchanged >> template & 1) != 0;
}

/* A place in the log of the database that the change was made in (worker/source/log_place.h). */
struct log_place {
	struct str log; /* empty: not known */
	uint64_t number;
	uint64_t at_ms; /* the log's time there */
};

/* A running sum of increments with its lowest and highest value on the way, from 0. */
struct sum {
	int128 sum, low, high;
};

struct change {
	/* decoded */
	enum change_op op;
	enum change_origin origin;
	struct str table_name; /* empty: the source's `table` */
	bool has_version;
	uint64_t version;     /* with has_version */
	struct field *fields; /* without the names beginning with _; _null ones are VALUE_NULL */
	size_t field_count;
	const struct field
	    *before; /* of an event's update: the row before, or what changed of it */
	size_t before_count;
	const struct field *row_key; /* of an event: what its message names as the row's key */
	size_t row_key_count;
	bool flattened;	   /* fields that begin with __ and are no columns say what it is */
	bool half_of_move; /* one half of a change of its row's key */
	bool has_before, before_is_partial;
	bool replaces;		/* an event that may have changed a row that was there */
	bool whole_table;	/* every row of its table: there is no key */
	struct log_place place; /* where its source wants_places */

	/* resolved; see worker/store/resolve.h */
	struct table *table;
	const struct shape *shape;
	struct value *values; /* one per column of the shape */
	struct sum *sums;     /* one per column when the shape adds, else NULL */
	struct value *key;    /* one per primary key column, canonical, in key order */
	struct str exact;  /* table and key as bytes: equal only for the same spelling of a key */
	struct str bucket; /* the same, coarser: equal for all that may be the same row */
	bool alone;	   /* our check refuses a value: never folded, MySQL decides */
	bool barrier;	   /* order against every other change of its table matters */
	bool unsure;	   /* even the bucket doesn't hold all that may be the same row */
	/* of an event, where the table's templates need it: the values by the templates' names */
	const struct str *row_before, *row_after;
	uint64_t unchanged;  /* templates (bit = place) with a `when` of which nothing changed */
	bool version_stands; /* the row before had no lower version: somebody wrote past it */

	struct entry *entry;
	struct change *next_of_key;	/* in lane order; fold's */
	struct change *next_of_touched; /* any order; fold's */
};

/* Why an entry cannot be applied.  `reason` is one of a fixed few words (a metric's label), `text`
 * the sentence for people; no row value in either. */
struct refusal {
	const char *reason; /* NULL: not refused */
	int code;	    /* MySQL's, or 0 */
	const char *text;
	bool of_write; /* found while writing: found anew at the next try */
	bool parks;    /* later changes of its keys wait behind it */
};

/* The reasons, by name; a dead letter has one of these. */
#define REASON_NO_KEY "no_key"
#define REASON_BAD_KEY "bad_key"
#define REASON_BAD_ENTRY "bad_entry" /* malformed: odd _ field, bad _null, no fields … */
#define REASON_BAD_JSON "bad_json"
#define REASON_BAD_EVENT "bad_event"	       /* not what its format makes of a change */
#define REASON_WRONG_FORMAT "wrong_format"     /* another format than the source's `format` */
#define REASON_MISSING_COLUMN "missing_column" /* that a key template needs */
#define REASON_TRUNCATE "truncate"	       /* the whole table was truncated or dropped */
#define REASON_BAD_OPERATION "bad_operation"   /* unknown _op */
#define REASON_OPERATION_DENIED "operation_denied"
#define REASON_UNKNOWN_TABLE "unknown_table"
#define REASON_TABLE_DENIED "table_denied"
#define REASON_UNKNOWN_COLUMN "unknown_column"
#define REASON_BAD_VERSION "bad_version"
#define REASON_BAD_VALUE "bad_value"   /* MySQL refused a value (type, range, length, NULL) */
#define REASON_NO_DEFAULT "no_default" /* a new row lacks a column without default */
#define REASON_OUT_OF_RANGE "out_of_range"
#define REASON_DUPLICATE "duplicate" /* a secondary unique index */
#define REASON_FOREIGN_KEY "foreign_key"
#define REASON_CHECK "check"
#define REASON_TRIGGER "trigger"
#define REASON_TOO_LARGE "too_large" /* above max_allowed_packet */
#define REASON_FORK "fork"	     /* its stream forked: whether it was applied can't be known */
#define REASON_REFUSED "refused"     /* any other data error of MySQL */
#define REASON_PARKED "parked"	     /* nothing wrong with it: it waits behind another letter */

/* Why an event was passed over; fixed words, a metric's label. */
#define PASSED_TOMBSTONE "tombstone"
#define PASSED_HEARTBEAT "heartbeat"
#define PASSED_TRANSACTION "transaction"
#define PASSED_SCHEMA "schema"
#define PASSED_MARKER "marker"
#define PASSED_CONTROL "control"
#define PASSED_SNAPSHOT "snapshot"
#define PASSED_UNLISTED "unlisted" /* of a table that the source doesn't list */

struct entry {
	struct lane *lane;
	struct position id;    /* its place in the lane */
	struct position place; /* its id in the source, where that is another; else 0-0 */
	int64_t at_ms;	       /* when it was added: _at, else the id's time */
	size_t bytes;	       /* as delivered */
	struct field *raw; /* the fields as delivered (VALUE_TEXT), for decoding and dead letters */
	size_t raw_count;
	struct change *changes; /* decoded */
	size_t change_count;
	const char *passed; /* an event that is no change for us: a PASSED_ word; else NULL */
	bool done_before;   /* at or below the ledger's position: only invalidated */
	struct refusal refusal;
	struct letter *letter; /* it is a dead letter applied again; NULL: read from its source */
	struct entry *next;    /* in the order delivered; the batch's list is next_kept */
	struct entry *next_kept;
	bool kept; /* the batch's: in next_kept's list */
};

/* Refuse the entry, unless it is refused already (the first reason stays); returns -1.  The sentence
 * is made in arena; names from outside go into it through name_shown only, values never. */
int entry_refuse(struct entry *entry, struct arena *arena, const char *reason, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

/* The id by which people know it, as position_text writes it; returns out. */
const char *entry_id_text(const struct entry *entry, char out[POSITION_TEXT]);

/* Is it only behind another letter? */
bool entry_is_parked(const struct entry *entry);

/* A name from outside, fit for a sentence: bytes that aren't printable ASCII as \xNN, cut with "..."
 * behind 64 bytes. */
const char *name_shown(struct arena *arena, struct str name);

/* What one read of a source brought.  Owned by the source until batch_take, then by the batch. */
struct delivery {
	struct arena arena;
	struct entry *first;
	size_t count;
	size_t held_bytes; /* the source's, while it is spare: what its arena has room for */
	struct delivery *next;
};

#endif
