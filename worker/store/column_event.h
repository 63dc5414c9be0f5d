#ifndef WORKER_STORE_COLUMN_EVENT_H
#define WORKER_STORE_COLUMN_EVENT_H

#include "worker/change.h"
#include "worker/store/schema.h"

/*
 * A value of a change event, where only the target's column can say what it is: without a schema block
 * Debezium's 18460 may be a number or a day, its "AQ==" a text, bytes or a number.  The rules, by
 * who wrote it (enum change_origin) and the kind of the column:
 *
 *	binary		texts are base64 (also its URL form) or, with the source's `binary: hex`,
 *			hexadecimal; Canal's are one character a byte
 *	BIGINT UNSIGNED	Debezium: a negative number is one above 2^63-1 (mode long); without types a
 *			text is base64 of a signed big-endian number (precise)
 *	YEAR		0 is the year 0000
 *	SET		Maxwell's list of members
 *	JSON		Maxwell's texts that are no JSON are JSON strings
 *	the rest is Debezium without types:
 *	DECIMAL		a text is the number, or base64 of the unscaled one, whose scale is the column's;
 *			one that could be both is refused
 *	DATE		days since 1970
 *	DATETIME	milliseconds, or microseconds in columns of more than three digits; by the
 *			source's `times` always milliseconds, microseconds or nanoseconds
 *	TIME		microseconds; by `times` milliseconds or nanoseconds
 *	BIT		base64 of little-endian bits
 *	geometry	{wkb, srid}
 *
 * On success *out is a value for column_check, which may be *given itself; false with *why ("is not
 * base64") when it can't be one.
 */
bool column_event_value(const struct column *column, const struct value *given,
    enum change_origin origin, const struct config_source *source, struct arena *arena,
    struct value *out, const char **why);

#endif
