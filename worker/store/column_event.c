#include "worker/store/column_event.h"

#include "common/err.h"
#include "worker/store/column_rules.h"
#include "worker/store/epoch_text.h"
#include "worker/store/value_text.h"

#include <stdlib.h>
#include <yyjson.h>

struct reading {
	const struct column *column;
	const struct config_source *source;
	struct arena *arena;
	struct value *out;
	const char **why;
};

static bool
refuse(struct reading *r, const char *sentence)
{
	*r->why = sentence;
	return false;
}

static bool
become(struct reading *r, enum value_kind kind, struct str text)
{
	*r->out = (struct value){ text, kind };
	return true;
}

/* Base64 of either alphabet, with or without its padding. */
static bool
base64_any(struct str s, struct arena *arena, struct str *out)
{
	char *text;
	size_t len = s.len;

	if (text_base64_decode(s, arena, out))
		return true;
	text = arena_alloc(arena, s.len + 4);
	for (size_t i = 0; i < s.len; i++)
		text[i] = (char)(s.data[i] == '-' ? '+' : s.data[i] == '_' ? '/' : s.data[i]);
	while (len % 4 != 0)
		text[len++] = '=';
	return text_base64_decode((struct str){ text, len }, arena, out);
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'a' && c <= 'f'    ? c - 'a' + 10 :
	    c >= 'A' && c <= 'F'    ? c - 'A' + 10 :
				      -1;
}

static bool
hex_decode(struct str s, struct arena *arena, struct str *out)
{
	char *bytes = arena_alloc(arena, s.len / 2 + 1);

	for (size_t i = 0; i + 1 < s.len; i += 2) {
		int high = hex_digit(s.data[i]), low = hex_digit(s.data[i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i / 2] = (char)(high << 4 | low);
	}
	*out = (struct str){ bytes, s.len / 2 };
	return s.len % 2 == 0;
}

/* 0x4142, as DMS writes some sources' bytes: without the prefix. */
static struct str
without_0x(struct str text)
{
	if (text.len < 2 || text.data[0] != '0' || (text.data[1] | 0x20) != 'x')
		return text;
	return (struct str){ text.data + 2, text.len - 2 };
}

static bool
read_binary(struct reading *r, struct str text, enum change_origin origin)
{
	struct str plain = without_0x(text), bytes;

	if (r->source->binary == BINARY_HEX)
		text = plain;
	else if (origin == ORIGIN_DMS && plain.len < text.len &&
	    hex_decode(plain, r->arena, &bytes))
		return refuse(r,
		    "is binary and has a text that looks like hexadecimal; set `binary: hex` at "
		    "its "
		    "source");
	if (r->source->binary == BINARY_HEX)
		return hex_decode(text, r->arena, &bytes) ?
		    become(r, VALUE_BINARY, bytes) :
		    refuse(r, "is binary and wants a text in hexadecimal, as `binary` says");
	return base64_any(text, r->arena, &bytes) ?
	    become(r, VALUE_BINARY, bytes) :
	    refuse(r, "is binary and wants a text in base64 (or `binary: hex` at its source)");
}

/* ISO 8859-1 in UTF-8: a character a byte. */
static bool
read_latin1(struct reading *r, struct str text)
{
	char *bytes = arena_alloc(r->arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < 0x80) {
			bytes[len++] = (char)c;
			continue;
		}
		if ((c != 0xc2 && c != 0xc3) || i + 1 == text.len)
			return refuse(r, "is binary and has a character that is no byte");
		bytes[len++] = (char)((c & 3) << 6 | ((unsigned char)text.data[++i] & 0x3f));
	}
	return become(r, VALUE_BINARY, (struct str){ bytes, len });
}

static bool
is_bigint_unsigned(const struct column *column)
{
	return column->kind == COLUMN_INT && column->is_unsigned && column->high == UINT64_MAX;
}

/* -1 is 2^64-1 */
static bool
read_wrapped(struct reading *r, const struct value *given)
{
	char text[48];
	int64_t n;
	size_t len;

	if (!number_i64(given->text, &n) || n >= 0)
		return true;
	len = number_scaled_text(((int128)1 << 64) + n, 0, text);
	return become(r, VALUE_NUMBER, arena_str(r->arena, text, len));
}

/* Base64 of an unscaled number. */
static bool
read_precise(struct reading *r, struct str given, unsigned scale)
{
	struct str bytes, text;

	if (!text_base64_decode(given, r->arena, &bytes) ||
	    !bytes_decimal_text(bytes, scale, r->arena, &text))
		return become(r, VALUE_TEXT, given);
	return become(r, VALUE_NUMBER, text);
}

static bool
read_decimal(struct reading *r, struct str given)
{
	struct decimal number;
	struct str bytes;

	if (!decimal_parse(given, &number))
		return read_precise(r, given, r->column->scale);
	if (text_base64_decode(given, r->arena, &bytes))
		return refuse(r,
		    "has a text that may be a number or base64 of one; let the events carry their "
		    "schema, or numbers as numbers");
	return become(r, VALUE_TEXT, given);
}

/* {"scale": 2, "value": base64}, a number whose column has no scale, as in Oracle or PostgreSQL */
static bool
read_variable(struct reading *r, struct str json)
{
	yyjson_doc *doc = yyjson_read(json.data, json.len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc), *given = yyjson_obj_get(root, "value");
	yyjson_val *scale = yyjson_obj_get(root, "scale");
	struct str bytes, text;
	bool is_number = yyjson_is_int(scale) && yyjson_is_str(given) &&
	    text_base64_decode((struct str){ yyjson_get_str(given), yyjson_get_len(given) },
		r->arena, &bytes) &&
	    bytes_decimal_text(bytes, yyjson_get_sint(scale), r->arena, &text);

	yyjson_doc_free(doc);
	return is_number ? become(r, VALUE_NUMBER, text) : become(r, VALUE_JSON, json);
}

/* "10:00:00Z", "2020-07-17Z": times with an offset that their columns don't have */
static bool
read_iso(struct reading *r, struct str given)
{
	given.len -= given.len > 0 && given.data[given.len - 1] == 'Z';
	return become(r, VALUE_TEXT, given);
}

static bool
read_time(struct reading *r, const struct value *given)
{
	static const int64_t per_second[] = { [TIMES_ADAPTIVE] = EPOCH_MICROS,
		[TIMES_CONNECT] = EPOCH_MILLIS,
		[TIMES_MICROSECONDS] = EPOCH_MICROS,
		[TIMES_NANOSECONDS] = EPOCH_NANOS };
	int64_t count, unit = per_second[r->source->times];
	struct str text;
	bool fits;

	if (!number_i64(given->text, &count))
		return refuse(r, "has a number that is no count of days or parts of seconds");
	if (r->column->kind == COLUMN_DATE)
		fits = epoch_date_text(count, r->arena, &text);
	else if (r->column->kind == COLUMN_TIME)
		fits = epoch_duration_text(count, unit, r->arena, &text);
	else {
		if (r->source->times == TIMES_ADAPTIVE && r->column->scale <= 3)
			unit = EPOCH_MILLIS;
		fits = epoch_moment_text(count, unit, r->arena, &text);
	}
	return fits ? become(r, VALUE_TEXT, text) :
		      refuse(r, "has a time outside the range; see the source's `times`");
}

/* {"wkb": base64, "srid": n or null}, as the server keeps it */
static bool
read_geometry(struct reading *r, struct str json)
{
	yyjson_doc *doc = yyjson_read(json.data, json.len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc), *wkb = yyjson_obj_get(root, "wkb");
	uint64_t srid = yyjson_get_uint(yyjson_obj_get(root, "srid"));
	struct str bytes;

	if (!yyjson_is_str(wkb) || srid > UINT32_MAX ||
	    !text_base64_decode((struct str){ yyjson_get_str(wkb), yyjson_get_len(wkb) }, r->arena,
		&bytes)) {
		yyjson_doc_free(doc);
		return become(r, VALUE_JSON, json);
	}
	yyjson_doc_free(doc);
	return become(r, VALUE_BINARY, bytes_geometry((uint32_t)srid, bytes, r->arena));
}

static bool
read_bits(struct reading *r, struct str bytes)
{
	struct str text;

	return bytes_bits_text(bytes, r->arena, &text) ? become(r, VALUE_NUMBER, text) :
							 refuse(r, "has more than 64 bits");
}

/* Maxwell's ["a","b"] is 'a,b'. */
static bool
read_set(struct reading *r, struct str json)
{
	yyjson_doc *doc = yyjson_read(json.data, json.len, YYJSON_READ_NOFLAG);
	yyjson_val *root = yyjson_doc_get_root(doc), *member;
	char *text = arena_alloc(r->arena, json.len + 1);
	size_t len = 0;
	yyjson_arr_iter members;

	yyjson_arr_iter_init(root, &members);
	while ((member = yyjson_arr_iter_next(&members)) != NULL && yyjson_is_str(member)) {
		if (len > 0)
			text[len++] = ',';
		memcpy(text + len, yyjson_get_str(member), yyjson_get_len(member));
		len += yyjson_get_len(member);
	}
	if (!yyjson_is_arr(root) || member != NULL) {
		yyjson_doc_free(doc);
		return become(r, VALUE_JSON, json);
	}
	yyjson_doc_free(doc);
	return become(r, VALUE_TEXT, (struct str){ text, len });
}

/* A JSON column of MySQL comes from Maxwell as JSON, one of MariaDB as its text.  A text that is no JSON
 * is the former: a JSON string. */
static bool
read_json_text(struct reading *r, struct str text)
{
	yyjson_doc *doc = yyjson_read(text.data, text.len, YYJSON_READ_NOFLAG);
	yyjson_mut_doc *string;
	char *quoted;
	size_t len;

	if (doc != NULL) {
		yyjson_doc_free(doc);
		return become(r, VALUE_TEXT, text);
	}
	string = yyjson_mut_doc_new(NULL);
	CHECK(string != NULL);
	yyjson_mut_doc_set_root(string, yyjson_mut_strn(string, text.data, text.len));
	quoted = yyjson_mut_write(string, YYJSON_WRITE_NOFLAG, &len);
	yyjson_mut_doc_free(string);
	CHECK(quoted != NULL);
	*r->out = (struct value){ arena_str(r->arena, quoted, len), VALUE_TEXT };
	free(quoted);
	return true;
}

static bool
read_maxwell(struct reading *r, const struct value *given)
{
	if (given->kind == VALUE_JSON && column_is_type(r->column, "set"))
		return read_set(r, given->text);
	return given->kind == VALUE_TEXT && r->column->kind == COLUMN_JSON ?
	    read_json_text(r, given->text) :
	    true;
}

/* The year 0000, which MySQL reads as 2000 where it is the text of a number. */
static bool
is_year_zero(const struct column *column, const struct value *given)
{
	int64_t n;

	return column->kind == COLUMN_INT && column_is_type(column, "year") &&
	    number_i64(given->text, &n) && n == 0;
}

/* Debezium without a schema block. */
static bool
read_untyped(struct reading *r, const struct value *given)
{
	bool is_text = given->kind == VALUE_TEXT;
	struct str bytes;

	switch (r->column->kind) {
	case COLUMN_INT:
		if (given->kind == VALUE_JSON)
			return read_variable(r, given->text);
		return is_text && is_bigint_unsigned(r->column) ? read_precise(r, given->text, 0) :
								  true;
	case COLUMN_DECIMAL:
		if (given->kind == VALUE_JSON)
			return read_variable(r, given->text);
		return is_text ? read_decimal(r, given->text) : true;
	case COLUMN_DATE:
	case COLUMN_DATETIME:
	case COLUMN_TIME:
		if (given->kind == VALUE_NUMBER)
			return read_time(r, given);
		return is_text && r->column->kind != COLUMN_DATETIME ? read_iso(r, given->text) :
								       true;
	case COLUMN_BIT:
		return is_text && text_base64_decode(given->text, r->arena, &bytes) ?
		    read_bits(r, bytes) :
		    true;
	case COLUMN_OTHER:
		return given->kind == VALUE_JSON ? read_geometry(r, given->text) : true;
	case COLUMN_FLOAT:
		return given->kind == VALUE_JSON ? read_variable(r, given->text) : true;
	case COLUMN_TEXT:
	case COLUMN_BINARY:
	case COLUMN_ENUM:
	case COLUMN_JSON:
		return true;
	}
	CHECK(false);
	return false;
}

bool
column_event_value(const struct column *column, const struct value *given,
    enum change_origin origin, const struct config_source *source, struct arena *arena,
    struct value *out, const char **why)
{
	struct reading r = { column, source, arena, out, why };

	*out = *given;
	if (origin == ORIGIN_APP || given->kind == VALUE_NULL)
		return true;
	if (column->kind == COLUMN_BINARY && given->kind == VALUE_TEXT)
		return origin == ORIGIN_CANAL ? read_latin1(&r, given->text) :
						read_binary(&r, given->text, origin);
	if (given->kind == VALUE_BINARY && column->kind == COLUMN_BIT)
		return read_bits(&r, given->text);
	if (given->kind == VALUE_BOOL && (column->kind == COLUMN_INT || column->kind == COLUMN_BIT))
		return become(&r, VALUE_NUMBER,
		    str_equal(given->text, STR("true")) ? STR("1") : STR("0"));
	if (given->kind == VALUE_NUMBER && is_bigint_unsigned(column))
		return read_wrapped(&r, given);
	if (is_year_zero(column, given))
		return become(&r, VALUE_TEXT, STR("0000"));
	if (origin == ORIGIN_MAXWELL)
		return read_maxwell(&r, given);
	return origin == ORIGIN_UNTYPED ? read_untyped(&r, given) : true;
}
