#include "worker/operate/explain_entry.h"

#include "common/number.h"

#include <string.h>

enum field { F_ROW, F_STAMP, F_OVER, F_STALE, F_MARKER, F_TOKEN, F_LEASE, F_FILL, F_PUT, F_ID };

struct entry_look {
	struct redis *redis;
	struct str key;
	struct arena *arena;
	struct buf *out;
	struct err *err;
	int64_t now_ms; /* the server's clock; 0: not known */
};

void
explain_version(struct str digits, struct buf *out)
{
	size_t zeros = 0;

	if (digits.len != 21) {
		buf_add_str(out, "none");
		return;
	}
	while (zeros < 19 && digits.data[zeros] == '0')
		zeros++;
	if (digits.data[20] == '0')
		buf_add_str(out, "none");
	else
		buf_printf(out, "%.*s%s", (int)(20 - zeros), digits.data + zeros,
		    digits.data[20] == '2' ? ", deleted" : "");
}

/* NULL, and a line that says so: denied, or the key holds something else by now. */
static struct redis_reply *
ask(struct entry_look *l, const char *command)
{
	char format[64];
	struct redis_reply *reply;
	size_t len = strlen(command);

	CHECK(len + 4 < sizeof(format));
	memcpy(format, command, len);
	memcpy(format + len, " %b", 4);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	reply = redis_call(l->redis, l->arena, l->err, format, &l->key);
#pragma GCC diagnostic pop
	if (reply == NULL && redis_is_open(l->redis))
		buf_printf(l->out, "  %s: %s\n", command, l->err->text);
	return reply;
}

static void
say_number(struct entry_look *l, const char *command, const char *format)
{
	struct redis_reply *reply = ask(l, command);

	if (reply == NULL || reply->type != REDIS_INTEGER)
		return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	buf_printf(l->out, format, (long long)reply->integer);
#pragma GCC diagnostic pop
}

static void
say_ttl(struct entry_look *l)
{
	struct redis_reply *reply = ask(l, "PTTL");

	if (reply == NULL || reply->type != REDIS_INTEGER)
		return;
	if (reply->integer < 0)
		buf_printf(l->out, "  ttl      %s\n",
		    reply->integer == -1 ? "none: it never expires" : "gone meanwhile");
	else
		buf_printf(l->out, "  ttl      %.3f s left of the key\n",
		    (double)reply->integer / 1000);
}

/* ---- versioned entries ---- */

static int64_t
number_of(struct str text)
{
	uint64_t number = 0;

	return number_u64(text, &number) ? (int64_t)number : 0;
}

static void
say_left(struct entry_look *l, const char *what, struct str until)
{
	int64_t left_ms = number_of(until) - l->now_ms;

	if (until.data == NULL || l->now_ms == 0)
		return;
	if (left_ms > 0)
		buf_printf(l->out, "%s for %.3f s more", what, (double)left_ms / 1000);
	else
		buf_printf(l->out, "%s until %.3f s ago", what, (double)-left_ms / 1000);
}

static void
say_value(struct entry_look *l, const struct str *f)
{
	struct str key = l->key;
	struct redis_reply *none, *size;

	if (f[F_STAMP].data == NULL) {
		buf_add_str(l->out, "  value    none\n");
		return;
	}
	none = redis_call(l->redis, l->arena, l->err, "HEXISTS %b n", &key);
	size = redis_is_open(l->redis) ?
	    redis_call(l->redis, l->arena, l->err, "HSTRLEN %b p", &key) :
	    NULL;
	if (none != NULL && none->integer == 1)
		buf_add_str(l->out, "  value    \"there is no such row\"");
	else if (size != NULL)
		buf_printf(l->out, "  value    %lld bytes", (long long)size->integer);
	else
		buf_add_str(l->out, "  value    there is one");
	buf_add_str(l->out, ", version ");
	explain_version(f[F_ROW], l->out);
	if (l->now_ms > 0)
		buf_printf(l->out, ", written %.3f s ago",
		    (double)l->now_ms / 1000 - (double)number_of(f[F_STAMP]) / 1e6);
	say_left(l, ", served", f[F_OVER]);
	if (!str_equal(f[F_OVER], f[F_STALE]))
		say_left(l, ", stale", f[F_STALE]);
	buf_add_char(l->out, '\n');
}

static void
say_fields(struct entry_look *l, const struct str *f)
{
	say_value(l, f);
	buf_add_str(l->out, "  marker   ");
	explain_version(f[F_MARKER], l->out);
	buf_add_str(l->out, f[F_MARKER].data != NULL ? " is the last version it was told\n" : "\n");
	if (f[F_TOKEN].data != NULL) {
		buf_printf(l->out, "  lease    %s",
		    str_equal(f[F_TOKEN], STR("stretched")) ? "stretched by a refresher" : "taken");
		say_left(l, "", f[F_LEASE]);
		buf_add_char(l->out, '\n');
	}
	if (f[F_FILL].data != NULL) {
		buf_add_str(l->out, "  fills    refused");
		say_left(l, "", f[F_FILL]);
		buf_add_str(l->out, " (told without a version)\n");
	}
	if (f[F_PUT].data != NULL) {
		buf_add_str(l->out, "  pending  the put write of version ");
		explain_version(f[F_PUT], l->out);
		buf_printf(l->out, ", entry %.*s\n", STR_ARGS(f[F_ID]));
	}
}

static void
say_hash(struct entry_look *l)
{
	struct redis_reply *reply = redis_call(l->redis, l->arena, l->err,
			       "HMGET %b r w e s m t l q b i", &l->key),
			   *time;
	struct str fields[F_ID + 1];

	if (reply == NULL || reply->type != REDIS_ARRAY || reply->count != F_ID + 1) {
		if (reply == NULL && redis_is_open(l->redis))
			buf_printf(l->out, "  HMGET: %s\n", l->err->text);
		return;
	}
	for (size_t i = 0; i <= F_ID; i++)
		fields[i] = reply->element[i]->text;
	if (fields[F_STAMP].data == NULL && fields[F_MARKER].data == NULL &&
	    fields[F_TOKEN].data == NULL && fields[F_FILL].data == NULL) {
		say_number(l, "HLEN",
		    "  form     a hash of %lld fields, not of the cache functions\n");
		return;
	}
	time = redis_call(l->redis, l->arena, l->err, "TIME");
	if (time != NULL && time->type == REDIS_ARRAY && time->count == 2)
		l->now_ms = number_of(time->element[0]->text) * 1000 +
		    number_of(time->element[1]->text) / 1000;
	if (!redis_is_open(l->redis))
		return;
	buf_add_str(l->out, "  form     an entry of the cache functions\n");
	say_fields(l, fields);
}

int
explain_entry(struct redis *redis, struct str key, struct arena *arena, struct buf *out,
    struct err *err)
{
	struct entry_look l = {
		.redis = redis, .key = key, .arena = arena, .out = out, .err = err
	};
	struct redis_reply *type = ask(&l, "TYPE");

	if (type == NULL)
		return redis_is_open(redis) ? 0 : -1;
	if (str_equal(type->text, STR("none"))) {
		buf_add_str(out, "  form     absent\n");
		return 0;
	}
	if (str_equal(type->text, STR("string")))
		say_number(&l, "STRLEN", "  form     a plain value of %lld bytes\n");
	else if (str_equal(type->text, STR("set")))
		say_number(&l, "SCARD", "  form     a set of %lld members\n");
	else if (str_equal(type->text, STR("hash")))
		say_hash(&l);
	else
		buf_printf(out, "  form     a %.*s\n", STR_ARGS(type->text));
	if (redis_is_open(redis))
		say_ttl(&l);
	if (redis_is_open(redis))
		say_number(&l, "MEMORY USAGE", "  memory   %lld bytes\n");
	return redis_is_open(redis) ? 0 : -1;
}
