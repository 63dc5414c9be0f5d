#ifndef COMMON_NUMBER_H
#define COMMON_NUMBER_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Exact numbers from text.  Nothing passes through a double. */
typedef __int128 int128; /* the one typedef: C has no spelling for it without an extension */

/* [+-]?digits, nothing else; false when it isn't one or it doesn't fit. */
bool number_i64(struct str s, int64_t *out);
bool number_u64(struct str s, uint64_t *out);
bool number_i128(struct str s, int128 *out);

/* The canonical text of an integer ("7" for "007", "+7"; "0" for "-0"), when s is one written with
 * sign, digits and at most zeros behind a point.  out has room for s.len + 2 bytes; returns its
 * length, or 0 when s isn't an integer. */
size_t number_canonical(struct str s, char *out);

/* A decimal [+-]?digits[.digits] as an integer scaled by 10^scale; false when it isn't one, has
 * non-zero digits beyond the scale, or has more than 38 digits. */
bool number_scaled(struct str s, unsigned scale, int128 *out);
/* The reverse: text of n / 10^scale in out (48 bytes); returns the length. */
size_t number_scaled_text(int128 n, unsigned scale, char *out);

/* a + b, false on overflow. */
bool number_add(int128 a, int128 b, int128 *out);

#endif
