#include "worker/store/value_text.h"

static bool
is_zero(char c)
{
	return c == '0';
}

/* The usual spelling: at most 18 digits, no leading zero, no plus. */
static bool
small_int(struct str s, int64_t *out)
{
	bool minus = s.len > 1 && s.data[0] == '-';
	size_t i = minus;
	int64_t n = 0;

	if (s.len == i || s.len > 18 + i || (is_zero(s.data[i]) && s.len > 1))
		return false;
	for (; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.data[i] - '0';

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	*out = minus ? -n : n;
	return true;
}

bool
text_whole_number(struct str given, struct arena *arena, struct str *text, int128 *n)
{
	int64_t small;
	char *canonical;

	if (small_int(given, &small)) {
		*text = given;
		*n = small;
		return true;
	}
	canonical = arena_alloc(arena, given.len + 2);
	*text = (struct str){ canonical, number_canonical(given, canonical) };
	return text->len > 0 && number_i128(*text, n);
}

static bool
take_decimal_digits(struct str *s, struct str *digits)
{
	size_t n = 0;

	while (n < s->len && s->data[n] >= '0' && s->data[n] <= '9')
		n++;
	*digits = (struct str){ s->data, n };
	s->data += n;
	s->len -= n;
	return n > 0;
}

bool
decimal_parse(struct str s, struct decimal *d)
{
	d->fraction = (struct str){ NULL, 0 };
	d->negative = s.len > 0 && s.data[0] == '-';
	if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
		s.data++;
		s.len--;
	}
	if (!take_decimal_digits(&s, &d->whole))
		return false;
	if (s.len > 0) {
		if (s.data[0] != '.')
			return false;
		s.data++;
		s.len--;
		if (!take_decimal_digits(&s, &d->fraction) || s.len > 0)
			return false;
	}
	while (d->whole.len > 0 && is_zero(d->whole.data[0])) {
		d->whole.data++;
		d->whole.len--;
	}
	while (d->fraction.len > 0 && is_zero(d->fraction.data[d->fraction.len - 1]))
		d->fraction.len--;
	if (d->whole.len + d->fraction.len == 0)
		d->negative = false;
	return true;
}

struct str
decimal_text(const struct decimal *d, size_t scale, struct arena *arena)
{
	char *text = arena_alloc(arena, d->whole.len + scale + 4);
	char *at = text;

	if (d->negative)
		*at++ = '-';
	if (d->whole.len == 0)
		*at++ = '0';
	else
		memcpy(at, d->whole.data, d->whole.len);
	at += d->whole.len;
	if (scale > 0) {
		*at++ = '.';
		memset(at, '0', scale);
		if (d->fraction.len > 0)
			memcpy(at, d->fraction.data, d->fraction.len);
		at += scale;
	}
	return (struct str){ text, (size_t)(at - text) };
}

bool
text_is_float(struct str s)
{
	struct str digits;

	if (s.len > 0 && s.data[0] == '-') {
		s.data++;
		s.len--;
	}
	if (!take_decimal_digits(&s, &digits))
		return false;
	if (s.len > 0 && s.data[0] == '.') {
		s.data++;
		s.len--;
		if (!take_decimal_digits(&s, &digits) || digits.len > LITERAL_FRACTION_MAX)
			return false;
	}
	if (s.len == 0 || (s.data[0] != 'e' && s.data[0] != 'E'))
		return s.len == 0;
	s.data++;
	s.len--;
	if (s.len > 0 && (s.data[0] == '-' || s.data[0] == '+')) {
		s.data++;
		s.len--;
	}
	return take_decimal_digits(&s, &digits) && s.len == 0;
}

bool
text_is_uuid(struct str s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (s.len != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];
		bool is_digit =
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

		if (form[i] == '-' ? c != '-' : !is_digit)
			return false;
	}
	return s.data[14] >= '1' && s.data[14] <= '7' && strchr("89abAB", s.data[19]) != NULL;
}

bool
text_is_printable_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < 0x20 || s.data[i] > 0x7e)
			return false;
	}
	return true;
}

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
text_base64_decode(struct str s, struct arena *arena, struct str *out)
{
	unsigned char *bytes = arena_alloc(arena, s.len / 4 * 3 + 1);
	size_t padding = 0, len = 0;
	unsigned bits = 0;

	if (s.len % 4 != 0)
		return false;
	while (padding < 2 && padding < s.len && s.data[s.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < s.len - padding; i++) {
		int digit = base64_digit(s.data[i]);

		if (digit < 0)
			return false;
		bits = bits << 6 | (unsigned)digit;
		if (i % 4 != 0)
			bytes[len++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	if ((padding == 1 && (bits & 3) != 0) || (padding == 2 && (bits & 15) != 0))
		return false;
	*out = (struct str){ (const char *)bytes, len };
	return true;
}
