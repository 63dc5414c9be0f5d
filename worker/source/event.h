#ifndef WORKER_SOURCE_EVENT_H
#define WORKER_SOURCE_EVENT_H

#include "worker/change.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Change events: what Debezium, Maxwell, Canal and DMS write about a database's changes, decoded
 * into one form.  A carrier (a stream's entry, a message of a topic) gives a struct message; the
 * decoder of its format makes events of it, without knowing tables, columns or configuration.
 *
 * Values are exact: nothing passes through a double.  Where the message says what type a column has
 * (Debezium's schema block) values are plain texts as MySQL reads them; what is left open is said by
 * the image's origin, and decided when the target column is known (worker/store/column_event.h).
 *
 * Everything a decoder makes lives in the arena it is given; names and values may point into the
 * message, too.  A message that can't be decoded is the entry's refusal: REASON_BAD_JSON,
 * REASON_BAD_EVENT, or REASON_WRONG_FORMAT with what it looks like and what to set.
 */
struct message {
	struct str value; /* data NULL: there is none */
	struct str key;	  /* data NULL: there is none */
	struct str topic; /* of a topic or stream; for sentences only */
	const struct field *headers;
	size_t header_count;
	struct schema_memory *schemas; /* NULL: none is kept */
	/* Columns that are used, in any case of letters; NULL: all.  A decoder may leave out others, which
	 * are checked all the same. */
	const struct str *asked;
	size_t asked_count;
	bool no_origin;	 /* nobody asks where in the source's log an event stands */
	bool rows_alone; /* nobody asks for the key of an event whose rows are there */
};

enum event_kind {
	EVENT_ROW,
	EVENT_TRUNCATE, /* the whole table was emptied */
	EVENT_DROP,	/* the whole table is gone; where none is named, all of the database */
	EVENT_TOMBSTONE,
	EVENT_HEARTBEAT,
	EVENT_TRANSACTION,
	EVENT_SCHEMA, /* a definition changed */
	EVENT_MARKER, /* begin or end of Maxwell's bootstrap */
	EVENT_CONTROL /* anything else that is no change of a row */
};
#define EVENT_KINDS (EVENT_CONTROL + 1)

enum event_op { EVENT_NO_OP, EVENT_READ, EVENT_CREATE, EVENT_UPDATE, EVENT_DELETE };

/* Columns of a row, as far as the message has them. */
struct image {
	struct field *fields;
	size_t count;
	bool there;
	bool flattened; /* names beginning with __ may be Debezium's, or columns */
	enum change_origin origin;
};

/* Where in the source's log; zero and empty where the message doesn't say. */
struct origin {
	struct str file; /* binlog file, or the whole position where it has no parts */
	uint64_t pos, row;
	struct str gtid;
	uint64_t server_id, xid;
	uint64_t at_ms; /* the server's time */
};

struct event {
	enum event_kind kind;
	enum event_op op;
	bool snapshot; /* the row as it was found by a snapshot or bootstrap, not a change of it */
	struct str db, table; /* empty: the message doesn't say */
	struct str schema;    /* of a database that has some: its tables are named by it, too */
	struct image before, after;
	bool before_is_partial; /* before holds only the columns that the update changed */
	struct image key;	/* a nameless field: a key that is one bare value */
	struct image new_key;	/* of a delete that is half of a change of the primary key */
	struct image old_key;	/* of a create that is the other half */
	struct origin origin;
	struct str detail; /* TRANSACTION: BEGIN or END; SCHEMA, CONTROL: what was done */
};

struct events {
	struct event *list;
	size_t count; /* at least 1; several rows only from Canal */
};

/* -1: entry->refusal is filled.  The entry is used for nothing else. */
int debezium_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events);
int maxwell_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events);
int canal_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events);
int dms_decode(struct entry *entry, struct arena *arena, const struct message *message,
    struct events *events);

#endif
