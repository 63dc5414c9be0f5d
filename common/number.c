#include "common/number.h"

#include "common/err.h"

enum {
	SHORT_DIGITS_MAX = 18, /* what always fits an int64 */
	SCALED_DIGITS_MAX = 38 /* and an int128 */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes a sign off the front; true when it was a minus. */
static bool
take_sign(struct str *s)
{
	bool minus = s->len > 0 && s->data[0] == '-';

	if (minus || (s->len > 0 && s->data[0] == '+')) {
		s->data++;
		s->len--;
	}
	return minus;
}

/* How many digits are at the front? */
static size_t
digits_len(struct str s)
{
	size_t n = 0;

	while (n < s.len && is_digit(s.data[n]))
		n++;
	return n;
}

/* *n = *n * 10 + digit, counted downwards, where there is one value more than upwards. */
static bool
append_digit_below(int128 *n, char digit)
{
	return !__builtin_mul_overflow(*n, (int128)10, n) &&
	    !__builtin_sub_overflow(*n, (int128)(digit - '0'), n);
}

bool
number_i128(struct str s, int128 *out)
{
	bool minus = take_sign(&s);
	int64_t few = 0;
	int128 n = 0;

	if (s.len == 0 || digits_len(s) != s.len)
		return false;
	if (s.len <= SHORT_DIGITS_MAX) {
		for (size_t i = 0; i < s.len; i++)
			few = few * 10 + (s.data[i] - '0');
		*out = minus ? -few : few;
		return true;
	}
	for (size_t i = 0; i < s.len; i++) {
		if (!append_digit_below(&n, s.data[i]))
			return false;
	}
	if (!minus && __builtin_sub_overflow((int128)0, n, &n))
		return false;
	*out = n;
	return true;
}

bool
number_i64(struct str s, int64_t *out)
{
	int128 n;

	if (!number_i128(s, &n) || n < INT64_MIN || n > INT64_MAX)
		return false;
	*out = (int64_t)n;
	return true;
}

bool
number_u64(struct str s, uint64_t *out)
{
	int128 n;

	if (!number_i128(s, &n) || n < 0 || n > UINT64_MAX)
		return false;
	*out = (uint64_t)n;
	return true;
}

size_t
number_canonical(struct str s, char *out)
{
	bool minus = take_sign(&s);
	size_t digits = digits_len(s), len = 0;

	if (digits == 0)
		return 0;
	if (digits < s.len && s.data[digits] != '.')
		return 0;
	for (size_t i = digits + 1; i < s.len; i++) {
		if (s.data[i] != '0')
			return 0;
	}
	while (digits > 1 && s.data[0] == '0') {
		s.data++;
		digits--;
	}
	if (minus && s.data[0] != '0')
		out[len++] = '-';
	memcpy(out + len, s.data, digits);
	out[len + digits] = '\0';
	return len + digits;
}

/* Digits times 10^zeros; false beyond SCALED_DIGITS_MAX. */
static bool
append_digits(int128 *n, unsigned *significant, struct str digits)
{
	for (size_t i = 0; i < digits.len; i++) {
		if (*significant == 0 && digits.data[i] == '0')
			continue;
		if (++*significant > SCALED_DIGITS_MAX)
			return false;
		*n = *n * 10 + (digits.data[i] - '0');
	}
	return true;
}

bool
number_scaled(struct str s, unsigned scale, int128 *out)
{
	bool minus = take_sign(&s);
	struct str whole = { s.data, digits_len(s) }, fraction = { 0 };
	unsigned significant = 0;
	int128 n = 0;

	if (whole.len == 0 || scale > SCALED_DIGITS_MAX)
		return false;
	if (whole.len < s.len) {
		fraction = (struct str){ s.data + whole.len + 1, s.len - whole.len - 1 };
		if (s.data[whole.len] != '.' || fraction.len == 0 ||
		    digits_len(fraction) != fraction.len)
			return false;
	}
	while (fraction.len > scale) {
		if (fraction.data[--fraction.len] != '0')
			return false;
	}
	if (!append_digits(&n, &significant, whole) || !append_digits(&n, &significant, fraction))
		return false;
	for (size_t i = fraction.len; i < scale; i++) {
		if (!append_digits(&n, &significant, STR("0")))
			return false;
	}
	*out = minus ? -n : n;
	return true;
}

size_t
number_scaled_text(int128 n, unsigned scale, char *out)
{
	unsigned __int128 left = n < 0 ? 0 - (unsigned __int128)n : (unsigned __int128)n;
	char reversed[48];
	size_t digits = 0, len = 0;

	CHECK(scale <= SCALED_DIGITS_MAX);
	while (left > 0 || digits <= scale) {
		reversed[digits++] = (char)('0' + (int)(left % 10));
		left /= 10;
	}
	if (n < 0)
		out[len++] = '-';
	while (digits > 0) {
		if (digits == scale)
			out[len++] = '.';
		out[len++] = reversed[--digits];
	}
	out[len] = '\0';
	return len;
}

bool
number_add(int128 a, int128 b, int128 *out)
{
	return !__builtin_add_overflow(a, b, out);
}
