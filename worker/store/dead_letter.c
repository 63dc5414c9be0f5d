#include "worker/store/dead_letter.h"

#include "worker/store/letter_find.h"
#include "worker/store/session.h"

#include <string.h>

enum {
	STATEMENT_BYTES_MAX = 4 << 20, /* more in one statement gains nothing and has to be held */
	LETTER_BYTES = 8192,	       /* all of a letter's row but its payload, escaped */
	TABLE_NAME_CHARACTERS = 64,
	MESSAGE_CHARACTERS = 512,
};

static void
add_bytes(struct buf *out, struct str bytes)
{
	if (str_is_utf8(bytes, NULL)) {
		buf_add_json(out, bytes.data, bytes.len);
		return;
	}
	buf_add_str(out, "{\"base64\":\"");
	buf_add_base64(out, bytes.data, bytes.len);
	buf_add_str(out, "\"}");
}

void
dead_letter_payload(const struct entry *entry, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < entry->raw_count; i++) {
		buf_add_str(out, i == 0 ? "[" : ",[");
		add_bytes(out, entry->raw[i].name);
		buf_add_char(out, ',');
		add_bytes(out, entry->raw[i].value.text);
		buf_add_char(out, ']');
	}
	buf_add_char(out, ']');
}

/* At most so many characters of a text that a producer or a server chose.  Strict mode would refuse
 * the letter for one byte that isn't UTF-8. */
static void
add_cut_text(struct buf *b, struct str text, size_t characters_max)
{
	size_t len = 0, characters = 0;

	if (!str_is_utf8(text, NULL)) {
		sql_add_text(b, STR("(not UTF-8)"));
		return;
	}
	for (; len < text.len; len++) {
		if (((unsigned char)text.data[len] & 0xc0) != 0x80 && ++characters > characters_max)
			break;
	}
	sql_add_text(b, (struct str){ text.data, len });
}

struct str
dead_letter_table(const struct entry *entry)
{
	const struct config_source *source = entry->lane->source;

	if (entry->change_count > 0 && entry->changes[0].table_name.len > 0)
		return entry->changes[0].table_name;
	return str_of(source != NULL ? source->table : NULL);
}

struct letters {
	struct sql *sql;
	struct buf statement, payload;
	size_t bytes_max;
	const struct batch *batch;
	const struct entry *parked_from; /* the first one of the statement that parks; NULL: none */
};

/* The letters of the last INSERT that park their keys. */
static int
select_parked(struct letters *letters, struct sql_result *result, struct err *err)
{
	struct buf select;
	int status;

	buf_init(&select);
	buf_add_str(&select,
	    "SELECT id, lane, entry FROM sluice_dead_letter WHERE id>=LAST_INSERT_ID() AND chunk=0"
	    " AND state='" LETTER_PARKED "' AND lane IN (");
	for (const struct batch_lane *l = letters->batch->lanes; l != NULL; l = l->next) {
		sql_add_binary(&select, str_of(l->lane->name));
		buf_add_char(&select, l->next != NULL ? ',' : ')');
	}
	buf_add_str(&select, " ORDER BY id");
	status = session_query(letters->sql, (struct str){ select.data, select.len }, result, err);
	buf_deinit(&select);
	return status;
}

static bool
is_letter_of(const struct sql_result *result, size_t row, const struct entry *e)
{
	char id[POSITION_TEXT];

	return e->refusal.parks && !e->done_before &&
	    str_equal(sql_cell(result, row, 1), str_of(e->lane->name)) &&
	    str_equal(sql_cell(result, row, 2), str_of(position_text(e->id, id)));
}

static void
add_keys(struct buf *b, const struct entry *e, struct str letter)
{
	struct park_key keys[PARK_KEYS];

	for (size_t i = 0; i < e->change_count; i++) {
		unsigned count = park_keys(&e->changes[i], keys);

		for (unsigned j = 0; j < count; j++) {
			buf_add_str(b,
			    b->len > 0 ?
				",(" :
				"INSERT INTO sluice_parked (lane, key_hash, letter) VALUES (");
			sql_add_binary(b, str_of(e->lane->name));
			buf_add_char(b, ',');
			sql_add_binary(b,
			    (struct str){ (const char *)keys[j].bytes, sizeof(keys[j].bytes) });
			buf_printf(b, ",%.*s)", STR_ARGS(letter));
		}
	}
}

static int
insert_keys(struct letters *letters, struct buf *b, struct err *err)
{
	int status = 0;

	if (b->len > 0) {
		/* a list may name a row twice */
		buf_add_str(b, " ON DUPLICATE KEY UPDATE letter=VALUES(letter)");
		status = session_query(letters->sql, (struct str){ b->data, b->len }, NULL, err);
	}
	buf_reset(b);
	return status;
}

/* Ids rise in the order of the statement's rows, so each search goes on where the last one ended. */
static int
park_letters(struct letters *letters, struct err *err)
{
	const struct entry *e = letters->parked_from;
	struct sql_result result;
	struct buf keys;
	int status;

	if (e == NULL)
		return 0;
	letters->parked_from = NULL;
	if (select_parked(letters, &result, err) != 0)
		return -1;
	buf_init(&keys);
	status = 0;
	for (size_t i = 0; i < result.rows && status == 0; i++) {
		while (e != NULL && !is_letter_of(&result, i, e))
			e = e->next_kept;
		if (e == NULL) {
			status = err_set(err, ERR_RETRY, 0, "the ids of dead letters don't rise");
			break;
		}
		add_keys(&keys, e, sql_cell(&result, i, 0));
		if (keys.len > letters->bytes_max / 2)
			status = insert_keys(letters, &keys, err);
	}
	sql_result_free(&result);
	if (status == 0)
		status = insert_keys(letters, &keys, err);
	buf_deinit(&keys);
	return status;
}

static int
flush(struct letters *letters, struct err *err)
{
	struct buf *b = &letters->statement;

	if (b->len == 0)
		return 0;
	if (session_query(letters->sql, (struct str){ b->data, b->len }, NULL, err) != 0)
		return -1;
	buf_reset(b);
	return park_letters(letters, err);
}

static void
add_what(struct buf *b, const struct entry *entry)
{
	struct str table = dead_letter_table(entry);

	if (table.len > 0)
		add_cut_text(b, table, TABLE_NAME_CHARACTERS);
	else
		buf_add_str(b, "NULL");
	buf_printf(b, ",'%s'", entry->change_count > 0 ? change_op_name(entry->changes[0].op) : "");
	buf_printf(b, ",'%s',%d,", entry->refusal.reason, entry->refusal.code);
	add_cut_text(b, str_of(entry->refusal.text), MESSAGE_CHARACTERS);
}

static int
add_row(struct letters *letters, const struct entry *entry, struct str payload, size_t chunk,
    size_t chunks, struct err *err)
{
	struct buf *b = &letters->statement;
	char id[POSITION_TEXT];

	if (b->len > 0 && b->len + LETTER_BYTES + 2 * payload.len > letters->bytes_max &&
	    flush(letters, err) != 0)
		return -1;
	buf_add_str(b,
	    b->len > 0 ?
		",(" :
		"INSERT INTO sluice_dead_letter (lane, entry, chunk, chunks, table_name, operation,"
		" reason, code, message, payload, state, created_at) VALUES (");
	sql_add_binary(b, str_of(entry->lane->name));
	buf_printf(b, ",'%s',%zu,%zu,", position_text(entry->id, id), chunk, chunks);
	add_what(b, entry);
	buf_add_char(b, ',');
	sql_add_binary(b, payload);
	buf_printf(b, ",'%s',UTC_TIMESTAMP(3))",
	    chunk > 0		     ? LETTER_CHUNK :
		entry->refusal.parks ? LETTER_PARKED :
				       LETTER_DEAD);
	if (chunk == 0 && entry->refusal.parks && letters->parked_from == NULL)
		letters->parked_from = entry;
	return 0;
}

/* Cut so that a chunk fits even where every byte of it must be escaped. */
static int
add_letter(struct letters *letters, const struct entry *entry, struct err *err)
{
	size_t chunk_bytes = (letters->bytes_max - LETTER_BYTES) / 2, chunks;
	struct str left;

	buf_reset(&letters->payload);
	dead_letter_payload(entry, &letters->payload);
	left = (struct str){ letters->payload.data, letters->payload.len };
	chunks = (left.len + chunk_bytes - 1) / chunk_bytes;
	for (size_t chunk = 0; chunk < chunks; chunk++) {
		size_t len = left.len < chunk_bytes ? left.len : chunk_bytes;

		if (add_row(letters, entry, (struct str){ left.data, len }, chunk, chunks, err) !=
		    0)
			return -1;
		left.data += len;
		left.len -= len;
	}
	return 0;
}

int
dead_letter_write(struct sql *sql, const struct batch *batch, size_t bytes_max, unsigned *written,
    struct err *err)
{
	struct letters letters = { .sql = sql, .bytes_max = bytes_max, .batch = batch };
	int status = 0;

	if (letters.bytes_max > STATEMENT_BYTES_MAX)
		letters.bytes_max = STATEMENT_BYTES_MAX;
	CHECK(letters.bytes_max >= 2 * LETTER_BYTES);
	*written = 0;
	for (const struct entry *e = batch->first; e != NULL && status == 0; e = e->next_kept) {
		if (e->refusal.reason == NULL || e->done_before)
			continue;
		status = add_letter(&letters, e, err);
		++*written;
	}
	if (status == 0)
		status = flush(&letters, err);
	buf_deinit(&letters.statement);
	buf_deinit(&letters.payload);
	return status;
}
