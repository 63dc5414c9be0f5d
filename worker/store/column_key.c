#include "worker/store/column_check.h"

#include "common/err.h"
#include "worker/store/column_rules.h"
#include "worker/store/time_text.h"
#include "worker/store/value_text.h"

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

static enum column_verdict
key_int(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, const char **why)
{
	struct str text;
	int128 n;

	if (!text_whole_number(given->text, arena, &text, &n))
		return refused(why, "is not a whole number");
	if (!column_has_number(column, n))
		return refused(why, "is out of the column's range");
	return fine(out, VALUE_NUMBER, text);
}

static enum column_verdict
key_decimal(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, const char **why)
{
	struct decimal d;

	if (!decimal_parse(given->text, &d))
		return refused(why, "is not a plain decimal number");
	if (d.fraction.len > column->scale || !column_has_decimal(column, &d))
		return refused(why, "is out of the column's range");
	return fine(out, VALUE_NUMBER, decimal_text(&d, column->scale, arena));
}

static enum column_verdict
key_text(const struct column *column, const struct value *given, struct value *out,
    const char **why)
{
	size_t characters;

	if (!str_is_utf8(given->text, &characters))
		return refused(why, "is not UTF-8");
	if ((column->length_in_bytes ? given->text.len : characters) > column->length)
		return refused(why, "is longer than the column");
	*out = (struct value){ given->text, VALUE_TEXT };
	if (!column_has_text(column, given->text))
		return COLUMN_ALONE;
	return column->exact_collation ||
		(column->plain_collation && text_is_printable_ascii(given->text)) ?
	    COLUMN_FINE :
	    COLUMN_ALONE;
}

/* BINARY(n) is stored with zero bytes up to n. */
static enum column_verdict
key_binary(const struct column *column, const struct value *given, bool base64, struct arena *arena,
    struct value *out, const char **why)
{
	enum column_verdict verdict = column_check(column, given, base64, arena, out, why);
	char *padded;

	if (verdict == COLUMN_REFUSED)
		return verdict;
	if (verdict == COLUMN_ALONE)
		return refused(why, "is longer than the column");
	if (!column_is_type(column, "binary") || out->text.len == column->length)
		return COLUMN_FINE;
	padded = arena_zalloc(arena, column->length);
	if (out->text.len > 0)
		memcpy(padded, out->text.data, out->text.len);
	out->text = (struct str){ padded, column->length };
	return COLUMN_FINE;
}

static enum column_verdict
key_moment(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, const char **why)
{
	char text[TIME_TEXT];
	struct moment m;
	size_t len;

	if (given->kind != VALUE_TEXT)
		return refused(why, "is not a text with a date or time");
	if (column->kind == COLUMN_TIME) {
		if (!duration_parse(given->text, &m) || m.hour >= 838 ||
		    !moment_scale(&m, column->scale))
			return refused(why, "is not a time, hh:mm:ss");
		if (m.negative && m.hour + m.minute + m.second == 0)
			return refused(why, "is a negative zero");
		len = duration_text(&m, text);
	} else if (column->kind == COLUMN_DATE) {
		if (!moment_parse(given->text, &m) || m.has_time || m.year < 1000)
			return refused(why, "is not a date, YYYY-MM-DD");
		len = moment_date_text(&m, text);
	} else {
		if (!moment_parse(given->text, &m) || !moment_scale(&m, column->scale) ||
		    !column_has_moment(column, &m))
			return refused(why, "is not a time of the column, YYYY-MM-DD hh:mm:ss");
		len = moment_text(&m, text);
	}
	return fine(out, VALUE_TEXT, arena_str(arena, text, len));
}

/* Types whose equality isn't the equality of texts: what can be checked is, the rest is order. */
static enum column_verdict
key_exotic(const struct column *column, const struct value *given, struct arena *arena,
    struct value *out, const char **why)
{
	enum column_verdict verdict = column_check(column, given, false, arena, out, why);

	if (verdict == COLUMN_FINE || (column->kind == COLUMN_OTHER && out->kind == VALUE_TEXT))
		return COLUMN_ALONE;
	return refused(why, "is not plainly a value of the column's type");
}

enum column_verdict
column_check_key(const struct column *column, const struct value *given, bool base64,
    struct arena *arena, struct value *out, const char **why)
{
	if (given->kind == VALUE_NULL)
		return refused(why, "is NULL");
	if (given->kind == VALUE_BOOL || given->kind == VALUE_JSON)
		return refused(why, "is not a text or a number");
	switch (column->kind) {
	case COLUMN_INT:
		return key_int(column, given, arena, out, why);
	case COLUMN_DECIMAL:
		return key_decimal(column, given, arena, out, why);
	case COLUMN_TEXT:
		return key_text(column, given, out, why);
	case COLUMN_BINARY:
		return key_binary(column, given, base64, arena, out, why);
	case COLUMN_DATE:
	case COLUMN_DATETIME:
	case COLUMN_TIME:
		return key_moment(column, given, arena, out, why);
	case COLUMN_FLOAT:
	case COLUMN_ENUM:
	case COLUMN_BIT:
	case COLUMN_JSON:
	case COLUMN_OTHER:
		return key_exotic(column, given, arena, out, why);
	}
	CHECK(false);
	return COLUMN_REFUSED;
}
