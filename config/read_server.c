#include "config/read.h"

#include "common/number.h"
#include "config/expand.h"
#include "config/url.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A URL on its way into the parts of a server. */
struct server {
	struct reader *r;
	const struct reading *in;
	const char *section; /* whose options the parts are: "redis" or "mysql" */
};

static void complain(const struct server *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The URL itself is never quoted: it may hold a password. */
static void
complain(const struct server *s, const char *format, ...)
{
	char sentence[800];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	problem_add(s->r->problems, s->in->node->at, "%s: %s", read_path(s->r, s->in), sentence);
}

/* The URL in a form whose placeholders are still in place. */
static bool
read_url(struct server *s, struct str *written)
{
	const struct node *node = s->in->node;
	bool alone = expand_is_needed(node->text) && expand_span(node->text) == node->text.len;
	struct buf value, escaped;
	bool good;

	if (!read_is_scalar(s->r, s->in, node))
		return false;
	buf_init(&value);
	buf_init(&escaped);
	*written = node->text;
	good = read_expand(s->r, s->in, node, &value);
	/* ${REDIS_URL} alone: what it holds is the URL, and a $ in there is a $ */
	if (good && alone) {
		expand_escape((struct str){ value.data, value.len }, &escaped);
		*written = arena_str(s->r->arena, escaped.data, escaped.len);
	}
	buf_deinit(&escaped);
	buf_deinit(&value);
	/* one missing variable doesn't hide the mistakes of the other parts */
	return good || (!alone && memchr(node->text.data, '\0', node->text.len) == NULL);
}

/* Is the part there?  Reports it when the map has it too. */
static bool
has_part(const struct server *s, struct str part, const char *name)
{
	const struct node *also;

	if (part.len == 0)
		return false;
	also = s->in->map != NULL ? node_find(s->in->map, name) : NULL;
	if (also != NULL)
		problem_add(s->r->problems, also->key->at, "%s: the url has a %s already",
		    s->in->where, name);
	return also == NULL;
}

static bool
decode(const struct server *s, struct str part, const char *name, struct buf *text)
{
	const struct option *option = option_find(s->section, str_of(name));
	struct err err;

	if (url_decode(part, text, &err) != 0) {
		/* that one was reported when the scalar was read */
		if (err.code != URL_UNREPLACED)
			complain(s, "%s in the %s", err.text, name);
		return false;
	}
	if (!str_is_utf8((struct str){ text->data, text->len }, NULL))
		complain(s, "the %s is not UTF-8", name);
	else if (option->type != OPTION_INT && text->len > (size_t)option->max)
		complain(s, "the %s is longer than %lld bytes", name, (long long)option->max);
	else
		return true;
	return false;
}

static void
set_text(const struct server *s, struct str part, const char *name, const char **field)
{
	struct buf text;

	if (!has_part(s, part, name))
		return;
	buf_init(&text);
	if (decode(s, part, name, &text) && text.len > 0)
		*field = arena_copy(s->r->arena, text.data, text.len);
	buf_deinit(&text);
}

static void
set_int(const struct server *s, struct str part, const char *name, int *field)
{
	const struct option *option = option_find(s->section, str_of(name));
	struct buf text;
	int64_t n;

	if (!has_part(s, part, name))
		return;
	buf_init(&text);
	if (decode(s, part, name, &text)) {
		if (number_i64((struct str){ text.data, text.len }, &n) && n >= option->min &&
		    n <= option->max) {
			*field = (int)n;
		} else {
			complain(s,
			    "the %s is not a number from %lld to %lld (inside a password write "
			    "@ as %%40, / as %%2F, : as %%3A)",
			    name, (long long)option->min, (long long)option->max);
		}
	}
	buf_deinit(&text);
}

static void
set_password(const struct server *s, struct str part, struct config_secret *secret)
{
	struct buf text, written;
	struct err err;

	if (!has_part(s, part, "password"))
		return;
	buf_init(&text);
	buf_init(&written);
	if (decode(s, part, "password", &text) && url_decode_written(part, &written, &err) == 0)
		secret->written = arena_copy(s->r->arena, written.data, written.len);
	buf_deinit(&written);
	buf_deinit(&text);
}

static bool
host_is_good(const char *host)
{
	struct in6_addr address;

	if (strchr(host, ':') != NULL)
		return inet_pton(AF_INET6, host, &address) == 1;
	for (const char *c = host; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || strchr("/@?#[]\\,;\"'", *c) != NULL)
			return false;
	return host[0] != '\0';
}

static void
set_host(const struct server *s, struct str part, const char **field)
{
	const char *host = NULL;

	set_text(s, part, "host", &host);
	if (host == NULL)
		return;
	if (strchr(host, ',') != NULL)
		complain(s, "several hosts (Sentinel, Cluster) are not supported yet");
	else if (!host_is_good(host))
		complain(s,
		    "the host is neither a name nor an address; ${HOST} and ${PORT} are parts of "
		    "their own");
	else
		*field = host;
}

struct scheme {
	const char *name;
	bool socket;
	const char *not_yet;
};

static const struct scheme redis_schemes[] = { { "redis", false, NULL }, { "valkey", false, NULL },
	{ "redis+unix", true, NULL }, { "redis+socket", true, NULL }, { "valkey+unix", true, NULL },
	{ "unix", true, NULL }, { "rediss", false, "TLS" }, { "valkeys", false, "TLS" },
	{ "redis+tls", false, "TLS" }, { "redis+sentinel", false, "Sentinel" },
	{ "redis-sentinel", false, "Sentinel" }, { "rediss+sentinel", false, "Sentinel" },
	{ "sentinel", false, "Sentinel" }, { "redis+cluster", false, "Cluster" },
	{ "redis-cluster", false, "Cluster" }, { NULL, false, NULL } };
static const struct scheme mysql_schemes[] = { { "mysql", false, NULL }, { "mariadb", false, NULL },
	{ "mysqls", false, "TLS" }, { "mysql+tls", false, "TLS" }, { "mysql+ssl", false, "TLS" },
	{ "mariadb+tls", false, "TLS" }, { NULL, false, NULL } };

/* NULL when it isn't one of ours; reported. */
static const struct scheme *
find_scheme(const struct server *s, const struct scheme *schemes, struct str name)
{

	for (const struct scheme *scheme = schemes; scheme->name != NULL; scheme++) {
		if (!str_equal(name, str_of(scheme->name)))
			continue;
		if (scheme->not_yet == NULL)
			return scheme;
		complain(s, "%s:// (%s) is not supported yet", scheme->name, scheme->not_yet);
		return NULL;
	}
	complain(s, "the URL does not begin with %s://", schemes[0].name);
	return NULL;
}

static const struct scheme *
split_url(struct server *s, const struct scheme *schemes, struct url *url)
{
	struct str written;
	struct err err;

	if (!read_url(s, &written))
		return NULL;
	if (url_split(written, url, &err) == 0)
		return find_scheme(s, schemes, url->scheme);
	problem_add(s->r->problems, s->in->node->at, "%s: %s in the URL; meant %s://…",
	    read_path(s->r, s->in), err.text, schemes[0].name);
	return NULL;
}

static void
refuse_parameter(const struct server *s, struct str name, const char *known)
{
	bool tls =
	    name.len >= 3 && (memcmp(name.data, "ssl", 3) == 0 || memcmp(name.data, "tls", 3) == 0);

	if (tls)
		complain(s, "a parameter for TLS, which is not supported yet");
	else
		/* without its name: it may be the rest of a password with a ? in it */
		complain(s, "unknown parameter; there is ?%s= (inside a password write ? as %%3F)",
		    known);
}

static struct str
without_slash(struct str path)
{
	return path.len > 0 ? (struct str){ path.data + 1, path.len - 1 } : path;
}

/* Outside of placeholders: ${file:/path} has some. */
static bool
has_slash(struct str path)
{
	size_t span;

	for (size_t i = 0; i < path.len; i += span > 0 ? span : 1) {
		span = expand_span((struct str){ path.data + i, path.len - i });
		if (path.data[i] == '/')
			return true;
	}
	return false;
}

void
read_redis_url(struct reader *r, const struct reading *in)
{
	struct server s = { r, in, "redis" };
	struct config_redis *redis = in->base;
	const struct scheme *scheme;
	struct str name, value;
	struct url url;
	unsigned known;

	scheme = split_url(&s, redis_schemes, &url);
	if (scheme == NULL)
		return;
	set_text(&s, url.user, "user", &redis->user);
	set_password(&s, url.password, &redis->password);
	if (!scheme->socket) {
		set_host(&s, url.host, &redis->host);
		set_int(&s, url.port, "port", &redis->port);
		set_int(&s, without_slash(url.path), "db", &redis->db);
	} else if (url.host.len > 0 || url.path.len < 2) {
		complain(&s, "a socket's URL has three slashes and a path: unix:///run/redis.sock");
	} else {
		set_text(&s, url.path, "socket", &redis->socket);
	}
	known = scheme->socket ? 0 : without_slash(url.path).len > 0;
	while (url_next_parameter(&url.query, &name, &value))
		if (!str_equal(name, STR("db")))
			refuse_parameter(&s, name, "db");
		else if (known++ > 0)
			complain(&s, "the db is there twice");
		else
			set_int(&s, value, "db", &redis->db);
}

void
read_mysql_url(struct reader *r, const struct reading *in)
{
	struct server s = { r, in, "mysql" };
	struct config_mysql *mysql = in->base;
	struct str name, value, database;
	unsigned known = 0;
	struct url url;

	if (split_url(&s, mysql_schemes, &url) == NULL)
		return;
	set_text(&s, url.user, "user", &mysql->user);
	set_password(&s, url.password, &mysql->password);
	set_host(&s, url.host, &mysql->host);
	set_int(&s, url.port, "port", &mysql->port);
	database = without_slash(url.path);
	if (has_slash(database))
		complain(&s, "more than a database behind the host (inside a name / is %%2F)");
	else
		set_text(&s, database, "database", &mysql->database);
	while (url_next_parameter(&url.query, &name, &value))
		if (!str_equal(name, STR("socket")))
			refuse_parameter(&s, name, "socket");
		else if (known++ > 0)
			complain(&s, "the socket is there twice");
		else
			set_text(&s, value, "socket", &mysql->socket);
}

void
read_host(struct reader *r, const struct reading *in)
{
	const char **field = read_field(in);
	struct str text;

	if (!read_text(r, in, in->node, &text))
		return;
	if (host_is_good(text.data))
		*field = text.data;
	else
		read_refuse(r, in, in->node);
}

/* host:port, [host]:port, :port; false when it is none of them. */
static bool
split_listen(struct reader *r, struct str text, const char **host, int *port)
{
	const char *colon = memrchr(text.data, ':', text.len);
	unsigned char address[sizeof(struct in6_addr)];
	bool brackets;
	struct str digits, name;
	int64_t n;

	if (colon == NULL)
		return false;
	name = (struct str){ text.data, (size_t)(colon - text.data) };
	digits = (struct str){ colon + 1, text.len - name.len - 1 };
	if (!number_i64(digits, &n) || digits.data[0] == '+' || digits.data[0] == '-' || n > 65535)
		return false;
	*port = (int)n;
	brackets = name.len > 2 && name.data[0] == '[' && name.data[name.len - 1] == ']';
	if (brackets)
		name = (struct str){ name.data + 1, name.len - 2 };
	if (name.len == 0 || str_equal(name, STR("*")))
		name = STR("0.0.0.0");
	else if (str_equal(name, STR("localhost")))
		name = STR("127.0.0.1");
	*host = arena_copy(r->arena, name.data, name.len);
	return inet_pton(brackets ? AF_INET6 : AF_INET, *host, address) == 1;
}

void
read_listen(struct reader *r, const struct reading *in)
{
	struct config *config = r->config;
	const char *host = NULL;
	struct str text;
	int port = 0;

	if (!read_text(r, in, in->node, &text))
		return;
	if (!str_equal(text, STR("off")) && !split_listen(r, text, &host, &port)) {
		read_refuse(r, in, in->node);
		return;
	}
	config->http_host = host;
	config->http_port = port;
}
