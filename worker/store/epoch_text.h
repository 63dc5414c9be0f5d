#ifndef WORKER_STORE_EPOCH_TEXT_H
#define WORKER_STORE_EPOCH_TEXT_H

#include "common/arena.h"
#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Numbers and bytes that stand for other values, as Kafka Connect writes them, into texts as MySQL
 * reads them.  Texts made are in the arena.  Nothing here knows columns.
 */

/* How many units a second has. */
#define EPOCH_MILLIS 1000
#define EPOCH_MICROS 1000000
#define EPOCH_NANOS 1000000000

/* Days since 1970-01-01: "2020-07-17".  False outside the years 1 to 9999. */
bool epoch_date_text(int64_t days, struct arena *arena, struct str *out);
/* Units since 1970: "2020-07-17 18:00:22.123", with the digits that aren't 0 at the end, at most six
 * (nanoseconds are cut).  False outside the years 1 to 9999. */
bool epoch_moment_text(int64_t count, int64_t per_second, struct arena *arena, struct str *out);
/* A time of MySQL in units: "-838:59:59.5".  False where it is longer than 838 hours. */
bool epoch_duration_text(int64_t count, int64_t per_second, struct arena *arena, struct str *out);

/* The decimal text of a signed big-endian number of any length below 64 bytes, divided by
 * 10^scale (negative scales multiply).  False when it is longer, empty, or |scale| > 100. */
bool bytes_decimal_text(struct str bytes, int64_t scale, struct arena *arena, struct str *out);
/* The number of little-endian bits, as Debezium writes BIT(n).  False above 64 bits. */
bool bytes_bits_text(struct str bytes, struct arena *arena, struct str *out);
/* A geometry as the server keeps it: its reference system in four bytes, then the WKB. */
struct str bytes_geometry(uint32_t srid, struct str wkb, struct arena *arena);

#endif
