#include "config/unit.h"

#include "common/number.h"

#include <ctype.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first, so that printing takes the first that divides. */
static const struct unit durations[] = {
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};

static const struct unit sizes[] = {
	{ "GiB", INT64_C(1) << 30 },
	{ "MiB", INT64_C(1) << 20 },
	{ "KiB", INT64_C(1) << 10 },
	{ "B", 1 },
	/* read, never printed */
	{ "GB", 1000000000 },
	{ "MB", 1000000 },
	{ "KB", 1000 },
	{ "kB", 1000 },
	{ NULL, 0 },
};

/* Digits into *n, and what stands behind them into *unit. */
static enum unit_result
split(struct str text, int64_t *n, struct str *unit)
{
	size_t digits = 0;

	while (digits < text.len && isdigit((unsigned char)text.data[digits]))
		digits++;
	if (digits == 0)
		return UNIT_NO_NUMBER;
	if (!number_i64((struct str){ text.data, digits }, n))
		return UNIT_OVERFLOW;
	while (digits < text.len && text.data[digits] == ' ')
		digits++;
	*unit = (struct str){ text.data + digits, text.len - digits };
	return UNIT_OK;
}

static enum unit_result
apply(const struct unit *units, struct str name, int64_t n, int64_t *out)
{
	for (; units->name != NULL; units++)
		if (str_equal(name, str_of(units->name)))
			return __builtin_mul_overflow(n, units->factor, out) ? UNIT_OVERFLOW :
									       UNIT_OK;
	return UNIT_UNKNOWN;
}

enum unit_result
unit_duration(struct str text, int64_t *ms)
{
	struct str unit;
	int64_t n;
	enum unit_result result = split(text, &n, &unit);

	if (result != UNIT_OK)
		return result;
	if (unit.len == 0) {
		*ms = 0;
		return n == 0 ? UNIT_OK : UNIT_MISSING;
	}
	return apply(durations, unit, n, ms);
}

enum unit_result
unit_size(struct str text, int64_t *bytes)
{
	struct str unit;
	int64_t n;
	enum unit_result result = split(text, &n, &unit);

	if (result != UNIT_OK)
		return result;
	return apply(sizes, unit.len == 0 ? STR("B") : unit, n, bytes);
}

static void
add(struct buf *out, const struct unit *units, int64_t n)
{
	while (n % units->factor != 0)
		units++;
	buf_add_i64(out, n / units->factor);
	buf_add_str(out, units->name);
}

void
unit_add_duration(struct buf *out, int64_t ms)
{
	if (ms == 0)
		buf_add_char(out, '0');
	else
		add(out, durations, ms);
}

void
unit_add_size(struct buf *out, int64_t bytes)
{
	if (bytes == 0)
		buf_add_char(out, '0');
	else
		add(out, sizes, bytes);
}

bool
unit_sample(struct str text, int64_t *n)
{
	*n = 0;
	if (str_equal(text, STR("off")))
		return true;
	return text.len > 2 && memcmp(text.data, "1/", 2) == 0 &&
	    number_i64((struct str){ text.data + 2, text.len - 2 }, n) && *n >= 1 &&
	    *n <= 1000000000;
}

void
unit_add_sample(struct buf *out, int64_t n)
{
	buf_add_str(out, n == 0 ? "off" : "1/");
	if (n != 0)
		buf_add_i64(out, n);
}
