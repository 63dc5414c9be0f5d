#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/map.h"
#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	BURST = 10,
	WINDOW_MS = 10000,
	QUOTAS = 256, /* events counted apart; more than that share */
	QUOTA_PROBES = 8,
	FIELD_BYTES_MAX = 1024,
	KEY_BYTES = 128,
	READER_PATIENCE_MS = 100
};

/* What an event may still write in its window. */
struct quota {
	uint64_t hash; /* of event and key fields; 0: never used */
	int64_t since_ms;
	unsigned written;
	unsigned long long suppressed;
	char key[KEY_BYTES]; /* for people; cut */
};

static enum log_level level_min = LOG_INFO;
static enum log_format line_format = LOG_LOGFMT;
static int out = STDERR_FILENO;
static bool out_is_socket;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* under the lock */
static struct quota quotas[QUOTAS];
static unsigned long long suppressed_total;
static unsigned long long lost; /* lines that nobody read, not told of yet */
static bool reader_stands_still, line_is_cut;

void
log_init(enum log_level level, enum log_format format)
{
	level_min = level;
	line_format = format;
	if (out != STDERR_FILENO)
		close(out);
	out = STDERR_FILENO;
	out_is_socket = false;
}

void
log_never_wait(void)
{
	struct stat stat;
	int own = -1;

	if (fstat(STDERR_FILENO, &stat) != 0)
		return;
	out_is_socket = S_ISSOCK(stat.st_mode);
	if (S_ISFIFO(stat.st_mode) || isatty(STDERR_FILENO))
		own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0)
		out = own;
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		return "error";
	}
	return "unknown";
}

unsigned long long
log_suppressed(void)
{
	unsigned long long total;

	pthread_mutex_lock(&lock);
	total = suppressed_total;
	pthread_mutex_unlock(&lock);
	return total;
}

/* A logfmt value that reads as one word stands without quotes. */
static bool
is_word(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
			return false;
	}
	return s.len > 0;
}

static void
add_field(struct buf *line, const char *name, struct str value, bool number)
{
	if (line_format == LOG_LOGFMT) {
		if (line->len > 0)
			buf_add_char(line, ' ');
		buf_add_str(line, name);
		buf_add_char(line, '=');
	} else {
		buf_add_char(line, line->len > 0 ? ',' : '{');
		buf_add_json(line, name, strlen(name));
		buf_add_char(line, ':');
	}
	if (number || (line_format == LOG_LOGFMT && is_word(value)))
		buf_add(line, value.data, value.len);
	else
		buf_add_json(line, value.data, value.len);
}

static void
add_time(struct buf *line)
{
	int64_t now = clock_wall_ms();
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;
	char text[40];
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	len += (size_t)snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(now % 1000));
	add_field(line, "time", (struct str){ text, len }, false);
}

static bool
take(const char **format, const char *conversion)
{
	size_t len = strlen(conversion);

	if (strncmp(*format, conversion, len) != 0)
		return false;
	*format += len;
	return true;
}

/* The argument of the conversion at *format; true when it is a number. */
static bool
add_argument(struct buf *value, const char **format, va_list *ap)
{
	const char *text;

	if (take(format, "%s")) {
		text = va_arg(*ap, const char *);
		buf_add_str(value, text != NULL ? text : "");
		return false;
	}
	if (take(format, "%d"))
		buf_add_i64(value, va_arg(*ap, int));
	else if (take(format, "%u"))
		buf_add_u64(value, va_arg(*ap, unsigned));
	else if (take(format, "%lld"))
		buf_add_i64(value, va_arg(*ap, long long));
	else if (take(format, "%llu"))
		buf_add_u64(value, va_arg(*ap, unsigned long long));
	else if (take(format, "%zu"))
		buf_add_u64(value, va_arg(*ap, size_t));
	else if (take(format, "%ld"))
		buf_add_i64(value, va_arg(*ap, long));
	else if (take(format, "%.1f"))
		buf_printf(value, "%.1f", va_arg(*ap, double));
	else
		check_failed(__FILE__, __LINE__, "a conversion that log.h names");
	return true;
}

static void
cut(struct buf *value)
{
	size_t len = FIELD_BYTES_MAX;

	if (value->len <= FIELD_BYTES_MAX)
		return;
	while (len > 0 && (value->data[len] & 0xc0) == 0x80) /* not inside a character */
		len--;
	value->len = len;
	buf_add_str(value, "…");
}

static bool
is_key_field(const char *name)
{
	static const char *const names[] = { "key", "lane", "table", "source", "worker" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Adds the fields; *key collects what tells this event from others of its name. */
static void
add_fields(struct buf *line, struct buf *key, va_list *ap)
{
	struct buf value;
	const char *name;

	buf_init(&value);
	while ((name = va_arg(*ap, const char *)) != NULL) {
		const char *format = va_arg(*ap, const char *), *rest = format;
		const char *at = strchr(format, '%');
		bool number;

		CHECK(at != NULL);
		buf_reset(&value);
		buf_add(&value, format, (size_t)(at - format));
		rest = at;
		number = add_argument(&value, &rest, ap) && at == format && *rest == '\0';
		CHECK(strchr(rest, '%') == NULL);
		buf_add_str(&value, rest);
		cut(&value);
		add_field(line, name, (struct str){ value.data, value.len }, number);
		if (is_key_field(name))
			buf_printf(key, " %s=%s", name, value.data);
	}
	buf_deinit(&value);
}

/* Not the clock of clock.h: it may be a fake, and those who read are not. */
static int64_t
real_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Room?  In a pipe it is for PIPE_BUF bytes. */
static bool
may_write(int64_t until_ms)
{
	struct pollfd fd = { .fd = out, .events = POLLOUT };
	int64_t left_ms = until_ms - real_ms();

	return poll(&fd, 1, left_ms > 0 ? (int)left_ms : 0) != 0;
}

static ssize_t
write_some(const char *data, size_t len)
{
	len = len < PIPE_BUF ? len : PIPE_BUF;
	return out_is_socket ? send(out, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) :
			       write(out, data, len);
}

/*
 * A line that can't be written is lost: a log must not stop the work.  Who reads a pipe or a terminal may
 * stand still: once that is waited for.
 */
static bool
bytes_write(const char *data, size_t len)
{
	int64_t until_ms = real_ms() + (reader_stands_still ? 0 : READER_PATIENCE_MS);
	size_t done = 0;

	while (done < len && may_write(until_ms)) {
		ssize_t n = write_some(data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (real_ms() < until_ms)
				continue;
			break;
		}
		if (n <= 0)
			return true;
		done += (size_t)n;
		line_is_cut = data[done - 1] != '\n';
	}
	reader_stands_still = done < len;
	return done == len;
}

static void
line_finish(struct buf *line, unsigned long long suppressed)
{
	char text[64];

	if (suppressed > 0) {
		snprintf(text, sizeof(text), "%llu (log lines, not events)", suppressed);
		add_field(line, "suppressed", str_of(text), false);
	}
	buf_add_str(line, line_format == LOG_JSON ? "}\n" : "\n");
}

static void
line_begin(struct buf *line, enum log_level level, const char *event)
{
	buf_init(line);
	add_time(line);
	add_field(line, "level", str_of(level_name(level)), false);
	add_field(line, "event", str_of(event), false);
}

static void
lost_tell(void)
{
	struct buf line;
	char text[32];

	line_begin(&line, LOG_WARN, "log_lines_lost");
	snprintf(text, sizeof(text), "%llu", lost);
	add_field(&line, "lines", str_of(text), true);
	add_field(&line, "why", str_of("nobody read the log"), false);
	line_finish(&line, 0);
	if (bytes_write(line.data, line.len))
		lost = 0;
	buf_deinit(&line);
}

static void
line_write(const struct buf *line)
{
	if (line_is_cut)
		bytes_write("\n", 1);
	if (lost > 0)
		lost_tell();
	if (lost > 0 || !bytes_write(line->data, line->len)) {
		lost++;
		suppressed_total++;
	}
}

static void
quota_tell(struct quota *quota)
{
	struct buf line;

	if (quota->suppressed == 0)
		return;
	line_begin(&line, LOG_WARN, "log_lines_suppressed");
	add_field(&line, "of", str_of(quota->key), false);
	line_finish(&line, quota->suppressed);
	line_write(&line);
	buf_deinit(&line);
	quota->suppressed = 0;
}

/* Its own slot, a free or stale one, or, when the neighbourhood is taken, another event's. */
static struct quota *
quota_find(uint64_t hash, const struct buf *key, int64_t now_ms)
{
	struct quota *quota, *stale = NULL;

	for (uint64_t i = 0; i < QUOTA_PROBES; i++) {
		quota = &quotas[(hash + i) % QUOTAS];
		if (quota->hash == hash)
			return quota;
		if (stale == NULL && (quota->hash == 0 || now_ms - quota->since_ms >= WINDOW_MS))
			stale = quota;
	}
	if (stale == NULL)
		return &quotas[hash % QUOTAS];
	quota_tell(stale);
	*stale = (struct quota){ .hash = hash, .since_ms = now_ms };
	snprintf(stale->key, sizeof(stale->key), "%s", key->data);
	return stale;
}

/* May this line be written?  *suppressed: how many before it were not. */
static bool
quota_take(const struct buf *key, unsigned long long *suppressed)
{
	uint64_t hash = map_hash(key->data, key->len) | 1;
	int64_t now_ms = clock_ms();
	struct quota *quota = quota_find(hash, key, now_ms);

	if (now_ms - quota->since_ms >= WINDOW_MS) {
		quota->since_ms = now_ms;
		quota->written = 0;
	}
	if (quota->written >= BURST) {
		quota->suppressed++;
		suppressed_total++;
		return false;
	}
	quota->written++;
	*suppressed = quota->suppressed;
	quota->suppressed = 0;
	return true;
}

void
log_event(enum log_level level, const char *event, ...)
{
	unsigned long long suppressed;
	struct buf line, key;
	int errno_before = errno;
	va_list ap;

	if (level < level_min)
		return;
	line_begin(&line, level, event);
	buf_init(&key);
	buf_add_str(&key, event);
	va_start(ap, event);
	add_fields(&line, &key, &ap);
	va_end(ap);
	pthread_mutex_lock(&lock);
	if (quota_take(&key, &suppressed)) {
		line_finish(&line, suppressed);
		line_write(&line);
	}
	pthread_mutex_unlock(&lock);
	buf_deinit(&line);
	buf_deinit(&key);
	errno = errno_before;
}

static void
tell_suppressed(int64_t quiet_ms)
{
	int64_t now_ms = clock_ms();

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < QUOTAS; i++)
		if (now_ms - quotas[i].since_ms >= quiet_ms)
			quota_tell(&quotas[i]);
	pthread_mutex_unlock(&lock);
}

void
log_flush(void)
{
	tell_suppressed(INT64_MIN);
}

void
log_flush_quiet(void)
{
	tell_suppressed(WINDOW_MS);
}
