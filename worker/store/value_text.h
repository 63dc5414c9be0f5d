#ifndef WORKER_STORE_VALUE_TEXT_H
#define WORKER_STORE_VALUE_TEXT_H

#include "common/arena.h"
#include "common/number.h"
#include "common/str.h"

#include <stdbool.h>

/*
 * What a value's text is: a whole number, a decimal, base64, …  Nothing here knows columns.
 * Texts made are in the arena; where the given text is already what is wanted it is lent instead.
 */

/* A bare literal stays exact on its way through any expression of either server below these. */
#define LITERAL_WHOLE_MAX 35
#define LITERAL_FRACTION_MAX 30

/* A whole number (zeros behind a point allowed), its canonical text and itself. */
bool text_whole_number(struct str given, struct arena *arena, struct str *text, int128 *n);

/* [+-]digits[.digits]: leading zeros of the whole and trailing ones of the fraction are taken off,
 * zero has no sign. */
struct decimal {
	bool negative;
	struct str whole, fraction;
};
bool decimal_parse(struct str s, struct decimal *out);
/* Canonical text with exactly `scale` digits behind the point, at least as many as there are. */
struct str decimal_text(const struct decimal *d, size_t scale, struct arena *arena);

/* [-]digits[.digits][e[+-]digits] */
bool text_is_float(struct str s);
/* 8-4-4-4-12 hexadecimal digits, of a version and variant that MariaDB doesn't turn down. */
bool text_is_uuid(struct str s);
/* 0x20 … 0x7e only */
bool text_is_printable_ascii(struct str s);

/* RFC 4648, section 4, strictly: padded, no line breaks, no stray bits; bytes have one spelling. */
bool text_base64_decode(struct str s, struct arena *arena, struct str *out);

#endif
