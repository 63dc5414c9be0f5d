#include "worker/store/column_check.h"

#include "common/err.h"
#include "worker/store/column_rules.h"
#include "worker/store/time_text.h"
#include "worker/store/value_text.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <yyjson.h>

#define FLOAT_TEXT_MAX 40
/* MariaDB's JSON functions stop at 32 levels. */
#define JSON_DEPTH_MAX 30
/* Sums of decimals are kept in 128 bits, with room for many of them. */
#define SUM_DIGITS_MAX 36

static enum column_verdict
fine(struct value *out, enum value_kind kind, struct str text)
{
	*out = (struct value){ text, kind };
	return COLUMN_FINE;
}

static enum column_verdict
refused(const char **why, const char *sentence)
{
	*why = sentence;
	return COLUMN_REFUSED;
}

/* As it came.  What isn't UTF-8 can't be a text literal. */
static enum column_verdict
alone(struct value *out, const struct value *given)
{
	*out = *given;
	if (given->kind == VALUE_NULL)
		return COLUMN_ALONE;
	out->kind = str_is_utf8(given->text, NULL) ? VALUE_TEXT : VALUE_BINARY;
	return COLUMN_ALONE;
}

static enum column_verdict
check_int(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out)
{
	struct str text;
	int128 n;

	if (text_whole_number(given->text, arena, &text, &n) && column_has_number(column, n))
		return fine(out, VALUE_NUMBER, text);
	if (str_equal(given->text, STR("true")) && column_has_number(column, 1))
		return fine(out, VALUE_NUMBER, STR("1"));
	if (str_equal(given->text, STR("false")) && column_has_number(column, 0))
		return fine(out, VALUE_NUMBER, STR("0"));
	return alone(out, given);
}

/* BIT: a text is bytes to MySQL ('1' is 0x31), but nobody means that. */
static enum column_verdict
check_bit(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out)
{
	struct column range = *column;

	range.low = 0;
	range.high = ((int128)1 << (column->precision <= 64 ? column->precision : 64)) - 1;
	return check_int(&range, given, arena, out);
}

static enum column_verdict
check_decimal(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out)
{
	struct decimal d;

	if (!decimal_parse(given->text, &d))
		return alone(out, given);
	if (!column_has_decimal(column, &d))
		return alone(out, given);
	return fine(out, VALUE_NUMBER, decimal_text(&d, d.fraction.len, arena));
}

/* The double is only for the range, never the value. */
static enum column_verdict
check_float(const struct column *column, const struct value *given, struct value *out)
{
	char text[FLOAT_TEXT_MAX + 1];
	struct str s = given->text;
	double n;

	if (s.len > 0 && s.data[0] == '+') {
		s.data++;
		s.len--;
	}
	if (s.len > FLOAT_TEXT_MAX || !text_is_float(s) || strchr(column->type, '(') != NULL)
		return alone(out, given);
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	n = strtod(text, NULL);
	if (!(fabs(n) < (column_is_type(column, "float") ? 3e38 : 1e308)) ||
	    (column->is_unsigned && n < 0))
		return alone(out, given);
	return fine(out, VALUE_NUMBER, s);
}

/* Other bytes than UTF-8 would be taken for text of the column's own character set, where that has a
 * character for each of them. */
static enum column_verdict
check_text(const struct column *column, const struct value *given, struct value *out,
    const char **why)
{
	size_t characters;

	if (!str_is_utf8(given->text, &characters))
		return refused(why, "is not UTF-8");
	if ((column->length_in_bytes ? given->text.len : characters) > column->length ||
	    !column_has_text(column, given->text))
		return alone(out, given);
	return fine(out, VALUE_TEXT, given->text);
}

static enum column_verdict
check_binary(const struct column *column, const struct value *given, bool base64,
    struct arena *arena, struct value *out, const char **why)
{
	struct str bytes = given->text;

	if (base64 &&
	    (given->kind != VALUE_TEXT || !text_base64_decode(given->text, arena, &bytes)))
		return refused(why, "is binary and wants a text in base64");
	*out = (struct value){ bytes, VALUE_BINARY };
	return bytes.len <= column->length ? COLUMN_FINE : COLUMN_ALONE;
}

/* What is sent alone loses its offset, too: the server knows none, and shall decide about the rest. */
static enum column_verdict
check_moment(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out)
{
	bool is_date = column->kind == COLUMN_DATE, fits;
	char text[TIME_TEXT];
	struct moment m;
	size_t len;

	if (given->kind != VALUE_TEXT || !moment_parse(given->text, &m))
		return alone(out, given);
	fits = m.year >= 1000 &&
	    (is_date ? !m.has_time || m.had_offset : column_has_moment(column, &m));
	if (!fits && !m.had_offset)
		return alone(out, given);
	len = is_date ? moment_date_text(&m, text) : moment_text(&m, text);
	*out = *given;
	if (!str_equal(given->text, (struct str){ text, len }))
		*out = (struct value){ arena_str(arena, text, len), VALUE_TEXT };
	return fits ? COLUMN_FINE : COLUMN_ALONE;
}

static enum column_verdict
check_time(const struct value *given, struct value *out)
{
	struct moment m;

	if (given->kind != VALUE_TEXT || !duration_parse(given->text, &m) || m.hour >= 838)
		return alone(out, given);
	return fine(out, VALUE_TEXT, given->text);
}

/* Is this one of the members in "enum('a','b''c')"?  Where a backslash is about, nobody knows. */
static bool
is_member(const char *type, struct str text)
{
	const char *at = strchr(type, '(');
	char *member;
	size_t len;
	bool found = false;

	if (at == NULL || strchr(type, '\\') != NULL)
		return false;
	member = malloc(strlen(at) + 1);
	CHECK(member != NULL);
	for (at++; *at == '\'' && !found; at += *at == ',') {
		for (len = 0, at++; *at != '\0' && (*at != '\'' || at[1] == '\''); at++) {
			member[len++] = *at;
			at += *at == '\'';
		}
		found = str_equal((struct str){ member, len }, text);
		at += *at == '\'';
	}
	free(member);
	return found;
}

static enum column_verdict
check_enum(const struct column *column, const struct value *given, struct value *out,
    const char **why)
{
	if (!str_is_utf8(given->text, NULL))
		return refused(why, "is not UTF-8");
	if (given->kind == VALUE_TEXT && is_member(column->type, given->text) &&
	    column_has_text(column, given->text))
		return fine(out, VALUE_TEXT, given->text);
	return alone(out, given);
}

static bool
is_flat_enough(yyjson_val *value, unsigned depth)
{
	yyjson_obj_iter members;
	yyjson_arr_iter elements;
	yyjson_val *next;

	if (!yyjson_is_ctn(value))
		return true;
	if (depth == 0)
		return false;
	yyjson_arr_iter_init(value, &elements);
	while ((next = yyjson_arr_iter_next(&elements)) != NULL) {
		if (!is_flat_enough(next, depth - 1))
			return false;
	}
	yyjson_obj_iter_init(value, &members);
	while ((next = yyjson_obj_iter_next(&members)) != NULL) {
		if (!is_flat_enough(yyjson_obj_iter_get_val(next), depth - 1))
			return false;
	}
	return true;
}

static enum column_verdict
check_json(const struct column *column, const struct value *given, struct value *out)
{
	yyjson_doc *doc = yyjson_read(given->text.data, given->text.len, YYJSON_READ_NOFLAG);
	bool is_fine = doc != NULL && is_flat_enough(yyjson_doc_get_root(doc), JSON_DEPTH_MAX) &&
	    given->text.len <= column->length;

	yyjson_doc_free(doc);
	return is_fine ? fine(out, VALUE_TEXT, given->text) : alone(out, given);
}

enum column_verdict
column_check(const struct column *column, const struct value *given, bool base64,
    struct arena *arena, struct value *out, const char **why)
{
	if (given->kind == VALUE_NULL) {
		*out = *given;
		return column->nullable ? COLUMN_FINE : COLUMN_ALONE;
	}
	switch (column->kind) {
	case COLUMN_INT:
		return check_int(column, given, arena, out);
	case COLUMN_DECIMAL:
		return check_decimal(column, given, arena, out);
	case COLUMN_FLOAT:
		return check_float(column, given, out);
	case COLUMN_TEXT:
		return check_text(column, given, out, why);
	case COLUMN_BINARY:
		return check_binary(column, given, base64, arena, out, why);
	case COLUMN_DATE:
	case COLUMN_DATETIME:
		return check_moment(column, given, arena, out);
	case COLUMN_TIME:
		return check_time(given, out);
	case COLUMN_ENUM:
		return check_enum(column, given, out, why);
	case COLUMN_BIT:
		return check_bit(column, given, arena, out);
	case COLUMN_JSON:
		return check_json(column, given, out);
	case COLUMN_OTHER:
		return column_is_type(column, "uuid") && text_is_uuid(given->text) ?
		    fine(out, VALUE_TEXT, given->text) :
		    alone(out, given);
	}
	CHECK(false);
	return COLUMN_ALONE;
}

static enum column_verdict
increment_decimal(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, int128 *n, const char **why)
{
	struct decimal d;

	if (!decimal_parse(given->text, &d))
		return refused(why, "can only be incremented by a plain decimal number");
	if (d.whole.len > LITERAL_WHOLE_MAX || d.fraction.len > LITERAL_FRACTION_MAX)
		return refused(why, "can't be incremented by a number with that many digits");
	*out = (struct value){ decimal_text(&d, d.fraction.len, arena), VALUE_NUMBER };
	if (column->precision > SUM_DIGITS_MAX || !number_scaled(out->text, column->scale, n))
		return COLUMN_ALONE;
	return COLUMN_FINE;
}

enum column_verdict
column_check_increment(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, struct sum *sum, const char **why)
{
	enum column_verdict verdict;
	struct str text;
	int128 n = 0;

	*sum = (struct sum){ 0, 0, 0 };
	if (given->kind != VALUE_TEXT && given->kind != VALUE_NUMBER)
		return refused(why, "can only be incremented by a number");
	if (column->kind == COLUMN_INT) {
		if (!text_whole_number(given->text, arena, &text, &n))
			return refused(why, "can only be incremented by a whole number");
		verdict = fine(out, VALUE_NUMBER, text);
	} else if (column->kind == COLUMN_DECIMAL)
		verdict = increment_decimal(column, given, arena, out, &n, why);
	else if (column->kind == COLUMN_FLOAT) {
		verdict = check_float(column, given, out);
		if (verdict != COLUMN_FINE)
			return refused(why, "can only be incremented by a number");
	} else
		return refused(why, "is not a number that can be incremented");
	*sum = (struct sum){ n, n < 0 ? n : 0, n > 0 ? n : 0 };
	return verdict;
}
