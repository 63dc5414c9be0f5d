#include "worker/store/column_rules.h"

#include <strings.h>

bool
column_is_type(const struct column *column, const char *name)
{
	return strncasecmp(column->type, name, strlen(name)) == 0;
}

bool
column_has_number(const struct column *column, int128 n)
{
	return n >= column->low && n <= column->high;
}

bool
column_has_decimal(const struct column *column, const struct decimal *d)
{
	size_t whole_max = column->precision - column->scale;

	if (d->negative && column->is_unsigned)
		return false;
	if (d->whole.len > LITERAL_WHOLE_MAX || d->fraction.len > LITERAL_FRACTION_MAX)
		return false;
	if (d->fraction.len <= column->scale)
		return d->whole.len <= whole_max;
	return d->whole.len < whole_max;
}

bool
column_has_moment(const struct column *column, const struct moment *m)
{
	long long seconds = moment_seconds(m);

	if (column_is_type(column, "timestamp"))
		return seconds > 0 && seconds < INT32_MAX;
	return m->year >= 1000 && (m->fraction_len <= column->scale || m->year < 9999);
}

static bool
has_four_byte_character(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.data[i] >= 0xf0)
			return true;
	}
	return false;
}

bool
column_has_text(const struct column *column, struct str s)
{
	static const char *const unlike_ascii[] = { "ucs2", "utf16", "utf16le", "utf32", "swe7" };
	const char *charset = column->charset;

	if (charset == NULL)
		return false;
	if (strcmp(charset, "utf8mb4") == 0)
		return true;
	if (strcmp(charset, "utf8mb3") == 0 || strcmp(charset, "utf8") == 0)
		return !has_four_byte_character(s);
	for (size_t i = 0; i < sizeof(unlike_ascii) / sizeof(unlike_ascii[0]); i++) {
		if (strcmp(charset, unlike_ascii[i]) == 0)
			return false;
	}
	return str_is_ascii(s);
}
