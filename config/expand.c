#include "config/expand.h"

#include "common/err.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 * 1024, NAME_BYTES_MAX = 255 };

static int replace(struct str inner, struct buf *out, struct err *err);

/* Does the text begin with "${"? */
static bool
is_placeholder(struct str text)
{
	return text.len >= 2 && text.data[0] == '$' && text.data[1] == '{';
}

size_t
expand(struct str text, struct buf *out, expand_report *report, void *arg)
{
	size_t failures = 0, span;
	struct err err;

	*buf_reserve(out, 1) = '\0';
	for (size_t i = 0; i < text.len; i += span) {
		struct str rest = { text.data + i, text.len - i };

		span = expand_span(rest);
		if (!is_placeholder(rest)) {
			span = span == 0 ? 1 : span;
			buf_add_char(out, rest.data[0]);
			continue;
		}
		if (rest.data[span - 1] != '}')
			err_set(&err, ERR_FATAL, 0,
			    "\"${\" without a closing \"}\" (one $ is written $$)");
		else if (replace((struct str){ rest.data + 2, span - 3 }, out, &err) == 0)
			continue;
		failures++;
		if (report != NULL)
			report(arg, err.text);
	}
	return failures;
}

size_t
expand_span(struct str text)
{
	const char *end;

	if (text.len == 0 || text.data[0] != '$')
		return 0;
	if (is_placeholder(text)) {
		end = memchr(text.data, '}', text.len);
		return end != NULL ? (size_t)(end - text.data) + 1 : text.len;
	}
	return text.len > 1 && text.data[1] == '$' ? 2 : 1;
}

bool
expand_is_needed(struct str text)
{
	for (size_t i = 0; i + 1 < text.len; i++) {
		if (text.data[i] != '$')
			continue;
		if (text.data[i + 1] == '{')
			return true;
		if (text.data[i + 1] == '$')
			i++;
	}
	return false;
}

void
expand_escape(struct str text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '$')
			buf_add_char(out, '$');
		buf_add_char(out, text.data[i]);
	}
}

/* Content of an open file without its last newline. */
static int
read_file(int fd, struct buf *out)
{
	size_t start = out->len;
	ssize_t n;

	while ((n = read(fd, buf_reserve(out, 4096), 4096)) > 0) {
		buf_advance(out, (size_t)n);
		if (out->len - start > FILE_BYTES_MAX) {
			errno = EFBIG;
			return -1;
		}
	}
	if (n < 0)
		return -1;
	if (out->len > start && out->data[out->len - 1] == '\n')
		out->len -= out->len - start > 1 && out->data[out->len - 2] == '\r' ? 2 : 1;
	*buf_reserve(out, 1) = '\0';
	return 0;
}

static int
replace_file(const char *path, struct buf *out, struct err *err)
{
	struct stat status;
	size_t start = out->len;
	int fd, error;

	if (path[0] != '/')
		return err_set(err, ERR_FATAL, 0, "${file:%s}: the path must begin with /", path);
	/* without waiting: a pipe in this place would hold the start up for ever */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_set(err, ERR_FATAL, errno, "${file:%s}: %s", path, strerror(errno));
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return err_set(err, ERR_FATAL, 0, "${file:%s}: not a regular file", path);
	}
	if (read_file(fd, out) != 0) {
		error = errno;
		close(fd);
		return err_set(err, ERR_FATAL, error, "${file:%s}: %s", path, strerror(error));
	}
	close(fd);
	if (memchr(out->data + start, '\0', out->len - start) != NULL)
		return err_set(err, ERR_FATAL, 0, "${file:%s}: holds a NUL byte", path);
	return 0;
}

/* Where a two-byte mark begins, or text.len. */
static size_t
find_mark(struct str text, const char *mark)
{
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.data[i] == mark[0] && text.data[i + 1] == mark[1])
			return i;
	return text.len;
}

static bool
is_variable(struct str name)
{
	if (name.len == 0 || name.len > NAME_BYTES_MAX || isdigit((unsigned char)name.data[0]))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.data[i]) && name.data[i] != '_')
			return false;
	return true;
}

static int
replace_variable(struct str name, const struct str *fallback, struct buf *out, struct err *err)
{
	char zero_ended[NAME_BYTES_MAX + 1];
	const char *value;

	if (!is_variable(name))
		return err_set(err, ERR_FATAL, 0,
		    "a \"${…}\" that is neither ${VARIABLE}, ${VARIABLE:-default} nor "
		    "${file:/path} "
		    "(one $ is written $$)");
	memcpy(zero_ended, name.data, name.len);
	zero_ended[name.len] = '\0';
	value = getenv(zero_ended);
	if (value != NULL && (value[0] != '\0' || fallback == NULL))
		buf_add_str(out, value);
	else if (fallback != NULL)
		buf_add(out, fallback->data, fallback->len);
	else
		return err_set(err, ERR_FATAL, 0,
		    "environment variable %s is not set (${%s:-text} gives it a default)",
		    zero_ended, zero_ended);
	return 0;
}

/* What stands between ${ and }. */
static int
replace(struct str inner, struct buf *out, struct err *err)
{
	const struct str file = STR("file:");
	struct str fallback;
	size_t mark;
	char path[4096];

	if (inner.len > file.len && memcmp(inner.data, file.data, file.len) == 0) {
		if (inner.len - file.len >= sizeof(path))
			return err_set(err, ERR_FATAL, 0, "${file:…}: the path is too long");
		memcpy(path, inner.data + file.len, inner.len - file.len);
		path[inner.len - file.len] = '\0';
		return replace_file(path, out, err);
	}
	mark = find_mark(inner, ":-");
	if (mark == inner.len)
		return replace_variable(inner, NULL, out, err);
	fallback = (struct str){ inner.data + mark + 2, inner.len - mark - 2 };
	inner.len = mark;
	if (find_mark(fallback, "${") < fallback.len)
		return err_set(err, ERR_FATAL, 0, "${%.*s:-…}: a default can't hold another ${…}",
		    (int)(inner.len < 40 ? inner.len : 40), inner.data);
	return replace_variable(inner, &fallback, out, err);
}
