#include "worker/store/epoch_text.h"

#include "worker/store/time_text.h"

#include <stdio.h>

#define BYTES_MAX 64
#define DIGITS_MAX (BYTES_MAX * 8 / 3 + 1)
#define SCALE_MAX 100
#define DAY 86400

bool
epoch_date_text(int64_t days, struct arena *arena, struct str *out)
{
	char text[TIME_TEXT];
	struct moment m;

	if (days < INT64_MIN / DAY || days > INT64_MAX / DAY || !moment_of_seconds(days * DAY, &m))
		return false;
	*out = arena_str(arena, text, moment_date_text(&m, text));
	return true;
}

/* The rest of a second, as digits without zeros at the end; nanoseconds are cut to six. */
static void
put_fraction(struct moment *m, int64_t rest, int64_t per_second)
{
	char digits[16];
	int64_t micros = per_second == EPOCH_NANOS ? rest / 1000 :
	    per_second == EPOCH_MILLIS		   ? rest * 1000 :
						     rest;

	snprintf(digits, sizeof(digits), "%06d", (int)micros);
	memcpy(m->fraction, digits, sizeof(m->fraction));
	m->fraction_len = sizeof(m->fraction);
	while (m->fraction_len > 0 && m->fraction[m->fraction_len - 1] == '0')
		m->fraction_len--;
}

bool
epoch_moment_text(int64_t count, int64_t per_second, struct arena *arena, struct str *out)
{
	int64_t seconds = count / per_second, rest = count % per_second;
	char text[TIME_TEXT];
	struct moment m;

	if (rest < 0) {
		rest += per_second;
		seconds--;
	}
	if (!moment_of_seconds(seconds, &m))
		return false;
	put_fraction(&m, rest, per_second);
	*out = arena_str(arena, text, moment_text(&m, text));
	return true;
}

bool
epoch_duration_text(int64_t count, int64_t per_second, struct arena *arena, struct str *out)
{
	int64_t seconds = count / per_second, rest = count % per_second;
	struct moment m = { .has_time = true, .negative = count < 0 };
	char text[TIME_TEXT];

	if (m.negative) {
		seconds = -seconds;
		rest = -rest;
	}
	if (seconds / 3600 > 838)
		return false;
	m.hour = (int)(seconds / 3600);
	m.minute = (int)(seconds / 60 % 60);
	m.second = (int)(seconds % 60);
	put_fraction(&m, rest, per_second);
	*out = arena_str(arena, text, duration_text(&m, text));
	return true;
}

/* Big-endian bytes, as a number without sign, to decimal digits behind each other; returns how many. */
static size_t
digits_of(unsigned char *bytes, size_t len, char *digits)
{
	size_t count = 0;
	bool more = true;

	while (more) {
		unsigned rest = 0;

		more = false;
		for (size_t i = 0; i < len; i++) {
			unsigned n = rest << 8 | bytes[i];

			bytes[i] = (unsigned char)(n / 10);
			rest = n % 10;
			more |= bytes[i] != 0;
		}
		digits[count++] = (char)('0' + rest);
	}
	for (size_t i = 0; i < count / 2; i++) {
		char c = digits[i];

		digits[i] = digits[count - 1 - i];
		digits[count - 1 - i] = c;
	}
	return count;
}

/* Two's complement: turn the sign. */
static void
negate(unsigned char *bytes, size_t len)
{
	unsigned carry = 1;

	for (size_t i = len; i-- > 0;) {
		unsigned n = (unsigned char)~bytes[i] + carry;

		bytes[i] = (unsigned char)n;
		carry = n >> 8;
	}
}

/* digits / 10^scale */
static struct str
scaled(bool negative, const char *digits, size_t count, int64_t scale, struct arena *arena)
{
	size_t point = scale > 0 ? (size_t)scale : 0;
	size_t zeros = scale < 0 ? (size_t)-scale : 0;
	char *text = arena_alloc(arena, count + point + zeros + 4), *at = text;

	if (negative)
		*at++ = '-';
	if (count <= point) {
		*at++ = '0';
		*at++ = '.';
		memset(at, '0', point - count);
		at += point - count;
		memcpy(at, digits, count);
		at += count;
	} else {
		memcpy(at, digits, count - point);
		at += count - point;
		if (point > 0)
			*at++ = '.';
		memcpy(at, digits + count - point, point);
		at += point;
	}
	if (!(count == 1 && digits[0] == '0')) {
		memset(at, '0', zeros);
		at += zeros;
	}
	return (struct str){ text, (size_t)(at - text) };
}

bool
bytes_decimal_text(struct str given, int64_t scale, struct arena *arena, struct str *out)
{
	unsigned char bytes[BYTES_MAX];
	char digits[DIGITS_MAX];
	bool negative;

	if (given.len == 0 || given.len >= BYTES_MAX || scale > SCALE_MAX || scale < -SCALE_MAX)
		return false;
	memcpy(bytes, given.data, given.len);
	negative = (bytes[0] & 0x80) != 0;
	if (negative)
		negate(bytes, given.len);
	*out = scaled(negative, digits, digits_of(bytes, given.len, digits), scale, arena);
	return true;
}

bool
bytes_bits_text(struct str bytes, struct arena *arena, struct str *out)
{
	uint64_t n = 0;
	char text[24];
	int len;

	for (size_t i = 0; i < bytes.len; i++) {
		uint64_t byte = (unsigned char)bytes.data[i];

		if (i >= 8 && byte != 0)
			return false;
		if (i < 8)
			n |= byte << (8 * i);
	}
	len = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	*out = arena_str(arena, text, (size_t)len);
	return true;
}

struct str
bytes_geometry(uint32_t srid, struct str wkb, struct arena *arena)
{
	char *bytes = arena_alloc(arena, 4 + wkb.len);

	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (char)(srid >> (8 * i));
	if (wkb.len > 0)
		memcpy(bytes + 4, wkb.data, wkb.len);
	return (struct str){ bytes, 4 + wkb.len };
}
