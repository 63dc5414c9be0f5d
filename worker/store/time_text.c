#include "worker/store/time_text.h"

#include <string.h>

/* 0001-01-01 00:00:00 and 9999-12-31 23:59:59 */
#define SECONDS_MIN (-62135596800LL)
#define SECONDS_MAX 253402300799LL

/* Exactly `count` digits at the front. */
static bool
take_digits(struct str *s, unsigned count, int *out)
{
	int n = 0;

	if (s->len < count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (s->data[i] < '0' || s->data[i] > '9')
			return false;
		n = n * 10 + (s->data[i] - '0');
	}
	s->data += count;
	s->len -= count;
	*out = n;
	return true;
}

static bool
take_char(struct str *s, char c)
{
	if (s->len == 0 || s->data[0] != c)
		return false;
	s->data++;
	s->len--;
	return true;
}

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int
days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

static bool
take_date(struct str *s, struct moment *m)
{
	return take_digits(s, 4, &m->year) && take_char(s, '-') && take_digits(s, 2, &m->month) &&
	    take_char(s, '-') && take_digits(s, 2, &m->day) && m->year >= 1 && m->month >= 1 &&
	    m->month <= 12 && m->day >= 1 && m->day <= days_of_month(m->year, m->month);
}

/* Up to six digits are kept; *cut says whether there were more. */
static bool
take_fraction(struct str *s, struct moment *m, bool *cut)
{
	size_t digits = 0;

	*cut = false;
	m->fraction_len = 0;
	if (!take_char(s, '.'))
		return true;
	for (; digits < s->len && s->data[digits] >= '0' && s->data[digits] <= '9'; digits++) {
		if (digits < sizeof(m->fraction))
			m->fraction[m->fraction_len++] = s->data[digits];
		else
			*cut = true;
	}
	s->data += digits;
	s->len -= digits;
	return digits > 0;
}

static bool
take_minutes(struct str *s, struct moment *m)
{
	return take_char(s, ':') && take_digits(s, 2, &m->minute) && take_char(s, ':') &&
	    take_digits(s, 2, &m->second) && m->minute <= 59 && m->second <= 59;
}

/* Z or ±hh:mm, in minutes. */
static bool
take_offset(struct str *s, int *minutes)
{
	bool minus = s->len > 0 && s->data[0] == '-';
	int hour, minute;

	*minutes = 0;
	if (take_char(s, 'Z') || take_char(s, 'z'))
		return true;
	if (!take_char(s, '+') && !take_char(s, '-'))
		return false;
	if (!take_digits(s, 2, &hour) || !take_char(s, ':') || !take_digits(s, 2, &minute) ||
	    hour > 23 || minute > 59)
		return false;
	*minutes = (hour * 60 + minute) * (minus ? -1 : 1);
	return true;
}

/* Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static long long
days_from_civil(int year, int month, int day)
{
	long long y = month <= 2 ? year - 1 : year;
	long long era = (y >= 0 ? y : y - 399) / 400;
	long long of_era = y - era * 400;
	long long of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void
civil_from_days(long long days, struct moment *m)
{
	long long era, of_era, year_of_era, of_year, month;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month = (5 * of_year + 2) / 153;
	m->day = (int)(of_year - (153 * month + 2) / 5 + 1);
	m->month = (int)(month < 10 ? month + 3 : month - 9);
	m->year = (int)(year_of_era + era * 400 + (m->month <= 2));
}

long long
moment_seconds(const struct moment *m)
{
	return days_from_civil(m->year, m->month, m->day) * 86400 + m->hour * 3600 +
	    m->minute * 60 + m->second;
}

/* Everything but the fraction. */
static bool
set_seconds(struct moment *m, long long seconds)
{
	long long days = seconds / 86400, rest = seconds % 86400;

	if (seconds < SECONDS_MIN || seconds > SECONDS_MAX)
		return false;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	civil_from_days(days, m);
	m->hour = (int)(rest / 3600);
	m->minute = (int)(rest / 60 % 60);
	m->second = (int)(rest % 60);
	return true;
}

static bool
move_to_utc(struct moment *m, int offset_minutes)
{
	return set_seconds(m, moment_seconds(m) - offset_minutes * 60LL);
}

bool
moment_of_seconds(long long seconds, struct moment *m)
{
	memset(m, 0, sizeof(*m));
	m->has_time = true;
	return set_seconds(m, seconds);
}

bool
moment_parse(struct str s, struct moment *m)
{
	int offset_minutes;
	bool cut;

	memset(m, 0, sizeof(*m));
	if (!take_date(&s, m))
		return false;
	if (s.len == 0)
		return true;
	if (!take_char(&s, ' ') && !take_char(&s, 'T') && !take_char(&s, 't'))
		return false;
	m->has_time = true;
	if (!take_digits(&s, 2, &m->hour) || m->hour > 23 || !take_minutes(&s, m) ||
	    !take_fraction(&s, m, &cut))
		return false;
	if (s.len == 0)
		return !cut; /* MySQL rounds there, MariaDB cuts */
	m->had_offset = true;
	return take_offset(&s, &offset_minutes) && s.len == 0 && move_to_utc(m, offset_minutes);
}

bool
duration_parse(struct str s, struct moment *m)
{
	size_t hour_digits;
	bool cut;

	memset(m, 0, sizeof(*m));
	m->has_time = true;
	m->negative = take_char(&s, '-');
	hour_digits = s.len > 2 && s.data[2] != ':' ? 3 : 2;
	return take_digits(&s, (unsigned)hour_digits, &m->hour) && m->hour <= 838 &&
	    take_minutes(&s, m) && take_fraction(&s, m, &cut) && s.len == 0 && !cut;
}

bool
moment_scale(struct moment *m, unsigned digits)
{
	while (m->fraction_len > digits) {
		if (m->fraction[--m->fraction_len] != '0')
			return false;
	}
	while (m->fraction_len < digits && m->fraction_len < sizeof(m->fraction))
		m->fraction[m->fraction_len++] = '0';
	return true;
}

static char *
put_digits(char *at, int n, unsigned count)
{
	for (unsigned i = count; i > 0; i--) {
		at[i - 1] = (char)('0' + n % 10);
		n /= 10;
	}
	return at + count;
}

static char *
put_time(char *at, const struct moment *m, unsigned hour_digits)
{
	at = put_digits(at, m->hour, hour_digits);
	*at++ = ':';
	at = put_digits(at, m->minute, 2);
	*at++ = ':';
	at = put_digits(at, m->second, 2);
	if (m->fraction_len > 0) {
		*at++ = '.';
		memcpy(at, m->fraction, m->fraction_len);
		at += m->fraction_len;
	}
	*at = '\0';
	return at;
}

size_t
moment_date_text(const struct moment *m, char out[TIME_TEXT])
{
	char *at = put_digits(out, m->year, 4);

	*at++ = '-';
	at = put_digits(at, m->month, 2);
	*at++ = '-';
	at = put_digits(at, m->day, 2);
	*at = '\0';
	return (size_t)(at - out);
}

size_t
moment_text(const struct moment *m, char out[TIME_TEXT])
{
	char *at = out + moment_date_text(m, out);

	*at++ = ' ';
	return (size_t)(put_time(at, m, 2) - out);
}

size_t
duration_text(const struct moment *m, char out[TIME_TEXT])
{
	char *at = out;

	if (m->negative)
		*at++ = '-';
	return (size_t)(put_time(at, m, m->hour > 99 ? 3 : 2) - out);
}
