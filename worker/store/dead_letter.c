#include "worker/store/dead_letter.h"

#include "worker/store/session.h"

#include <string.h>

enum {
	STATEMENT_BYTES_MAX = 4 << 20, /* more in one statement gains nothing and has to be held */
	LETTER_BYTES = 8192,	       /* all of a letter's row but its payload, escaped */
	TABLE_NAME_CHARACTERS = 64,
	MESSAGE_CHARACTERS = 512,
};

/* RFC 4648 */
static void
add_base64(struct buf *out, struct str bytes)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
		unsigned group = (unsigned)(unsigned char)bytes.data[i] << 16;

		if (n > 1)
			group |= (unsigned)(unsigned char)bytes.data[i + 1] << 8;
		if (n > 2)
			group |= (unsigned char)bytes.data[i + 2];
		buf_add_char(out, digits[group >> 18]);
		buf_add_char(out, digits[group >> 12 & 63]);
		buf_add_char(out, n > 1 ? digits[group >> 6 & 63] : '=');
		buf_add_char(out, n > 2 ? digits[group & 63] : '=');
	}
}

static void
add_bytes(struct buf *out, struct str bytes)
{
	if (str_is_utf8(bytes, NULL)) {
		buf_add_json(out, bytes.data, bytes.len);
		return;
	}
	buf_add_str(out, "{\"base64\":\"");
	add_base64(out, bytes);
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

/* The table the entry names first, or the one its source is for. */
static struct str
table_of(const struct entry *entry)
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
};

static int
flush(struct letters *letters, struct err *err)
{
	struct buf *b = &letters->statement;

	if (b->len == 0)
		return 0;
	if (session_query(letters->sql, (struct str){ b->data, b->len }, NULL, err) != 0)
		return -1;
	buf_reset(b);
	return 0;
}

static void
add_what(struct buf *b, const struct entry *entry)
{
	struct str table = table_of(entry);

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
		" reason, code, message, payload, created_at) VALUES (");
	sql_add_binary(b, str_of(entry->lane->name));
	buf_printf(b, ",'%s',%zu,%zu,", position_text(entry->id, id), chunk, chunks);
	add_what(b, entry);
	buf_add_char(b, ',');
	sql_add_binary(b, payload);
	buf_add_str(b, ",UTC_TIMESTAMP(3))");
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
	struct letters letters = { .sql = sql, .bytes_max = bytes_max };
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
