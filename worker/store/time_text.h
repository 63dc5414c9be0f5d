#ifndef WORKER_STORE_TIME_TEXT_H
#define WORKER_STORE_TIME_TEXT_H

#include "common/str.h"

#include <stdbool.h>

/*
 * Dates and times as text.  Taken is what every MySQL and MariaDB reads alike, and RFC 3339 with an
 * offset, which becomes UTC (their sessions have time_zone +00:00).  Anything else is not ours to
 * judge.  No leap seconds, no zero dates, years 1 … 9999 of the proleptic Gregorian calendar.
 */
struct moment {
	int year, month, day;
	int hour, minute, second;
	bool has_time;
	bool had_offset;  /* RFC 3339: it is UTC now */
	char fraction[6]; /* digits as written, at most six (RFC 3339: the rest is cut off) */
	unsigned fraction_len;
	bool negative; /* duration_parse */
};

#define TIME_TEXT 32 /* room for any text below and its NUL */

/* YYYY-MM-DD, YYYY-MM-DD hh:mm:ss[.frac] (or a T between), or RFC 3339. */
bool moment_parse(struct str text, struct moment *out);
/* [-]hh:mm:ss[.frac] with hh from 00 to 838. */
bool duration_parse(struct str text, struct moment *out);

/* "YYYY-MM-DD"; returns its length. */
size_t moment_date_text(const struct moment *m, char out[TIME_TEXT]);
/* "YYYY-MM-DD hh:mm:ss[.frac]" with the digits as parsed. */
size_t moment_text(const struct moment *m, char out[TIME_TEXT]);
/* "[-]hh:mm:ss[.frac]" */
size_t duration_text(const struct moment *m, char out[TIME_TEXT]);

/* Make the fraction exactly `digits` long: false when digits other than 0 would be lost. */
bool moment_scale(struct moment *m, unsigned digits);

/* Seconds since 1970, the fraction aside. */
long long moment_seconds(const struct moment *m);
/* The reverse, without a fraction; false outside the years 1 to 9999. */
bool moment_of_seconds(long long seconds, struct moment *m);

#endif
