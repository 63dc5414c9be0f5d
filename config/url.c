#include "config/url.h"

#include "config/expand.h"

#include <ctype.h>
#include <string.h>

/* The first (or last) of these bytes outside of placeholders, or text.len. */
static size_t
find(struct str text, const char *bytes, bool last)
{
	size_t found = text.len, span;

	for (size_t i = 0; i < text.len; i += span > 0 ? span : 1) {
		span = expand_span((struct str){ text.data + i, text.len - i });
		if (span > 0 || text.data[i] == '\0' || strchr(bytes, text.data[i]) == NULL)
			continue;
		if (!last)
			return i;
		found = i;
	}
	return found;
}

/* What stands before and behind position `at`, which is dropped. */
static struct str
before(struct str text, size_t at)
{
	return (struct str){ text.data, at };
}

static struct str
behind(struct str text, size_t at)
{
	return (struct str){ text.data + at + 1, text.len - at - 1 };
}

static void
split_user(struct str user, struct url *url)
{
	size_t colon = find(user, ":", false);

	url->user = before(user, colon);
	if (colon < user.len)
		url->password = behind(user, colon);
}

static int
split_host(struct str host, struct url *url, struct err *err)
{
	size_t colon;

	if (host.len > 0 && host.data[0] == '[') {
		size_t end = find(host, "]", false);

		if (end == host.len)
			return err_set(err, ERR_FATAL, 0, "a \"[\" without \"]\" in the host");
		url->host = (struct str){ host.data + 1, end - 1 };
		host = behind(host, end);
		if (host.len == 0)
			return 0;
		if (host.data[0] != ':')
			return err_set(err, ERR_FATAL, 0,
			    "something other than a :port behind \"]\"");
		url->port = behind(host, 0);
		return 0;
	}
	colon = find(host, ":", false);
	url->host = before(host, colon);
	if (colon < host.len)
		url->port = behind(host, colon);
	if (find(url->port, ":", false) < url->port.len)
		return err_set(err, ERR_FATAL, 0,
		    "several \":\" in the host (IPv6 is written [::1])");
	return 0;
}

int
url_split(struct str written, struct url *url, struct err *err)
{
	struct str rest = written;
	size_t end = find(rest, ":", false);

	*url = (struct url){ .scheme = before(rest, end) };
	if (rest.len - end < 3 || memcmp(rest.data + end, "://", 3) != 0)
		return err_set(err, ERR_FATAL, 0, "no \"://\"");
	rest = (struct str){ rest.data + end + 3, rest.len - end - 3 };
	end = find(rest, "#", false);
	if (end < rest.len)
		return err_set(err, ERR_FATAL, 0, "a \"#\" (inside a part it is written %%23)");
	end = find(rest, "?", false);
	if (end < rest.len)
		url->query = behind(rest, end);
	rest = before(rest, end);
	end = find(rest, "/", false);
	url->path = (struct str){ rest.data + end, rest.len - end };
	rest = before(rest, end);
	end = find(rest, "@", true);
	if (end < rest.len) {
		split_user(before(rest, end), url);
		rest = behind(rest, end);
	}
	return split_host(rest, url, err);
}

bool
url_next_parameter(struct str *query, struct str *name, struct str *value)
{
	size_t end, equals;

	if (query->len == 0)
		return false;
	end = find(*query, "&", false);
	*name = before(*query, end);
	*query = end < query->len ? behind(*query, end) : (struct str){ NULL, 0 };
	equals = find(*name, "=", false);
	*value = (struct str){ NULL, 0 };
	if (equals < name->len)
		*value = behind(*name, equals);
	*name = before(*name, equals);
	return true;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
decode_percent(struct str text, char *c, struct err *err)
{
	int high = text.len > 2 ? hex(text.data[1]) : -1;
	int low = high >= 0 ? hex(text.data[2]) : -1;

	if (low < 0)
		return err_set(err, ERR_FATAL, 0,
		    "a %% without two hex digits (one %% is written %%25)");
	*c = (char)(high * 16 + low);
	if (*c == '\0')
		return err_set(err, ERR_FATAL, 0, "%%00 is a NUL byte");
	return 0;
}

int
url_decode_written(struct str part, struct buf *out, struct err *err)
{
	size_t step;

	for (size_t i = 0; i < part.len; i += step) {
		struct str rest = { part.data + i, part.len - i };
		char c = rest.data[0];

		step = expand_span(rest);
		if (step > 1) {
			buf_add(out, rest.data, step);
			continue;
		}
		step = 1;
		if (c == '%') {
			if (decode_percent(rest, &c, err) != 0)
				return -1;
			step = 3;
		}
		/* a literal $ must not join what follows it */
		expand_escape((struct str){ &c, 1 }, out);
	}
	return 0;
}

int
url_decode(struct str part, struct buf *out, struct err *err)
{
	struct buf written;
	int result;

	buf_init(&written);
	result = url_decode_written(part, &written, err);
	if (result == 0 && expand((struct str){ written.data, written.len }, out, NULL, NULL) > 0)
		result =
		    err_set(err, ERR_FATAL, URL_UNREPLACED, "a placeholder that can't be replaced");
	buf_deinit(&written);
	return result;
}
